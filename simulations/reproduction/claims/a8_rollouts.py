"""A8, the other choice: the number of rollouts against the base model."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.claims.a8_bottlenecks import beyond
from simulations.reproduction.experiments import base_model, rollouts

CLAIM = Claim(
    id="A8 rollouts",
    statement="The number of rollouts matters less to test Pass@1 than the base model does.",
    source="arXiv 2601.14599",
    experiments=(rollouts, base_model),
    effect="gain of the best base model less that of the worst, less the size of the effect of 16 rollouts over 1",
    measure=lambda results: beyond(results, results.paired(rollouts, "raw, 16", "raw, 1", Outcome.final_test)),
    direction="above",
    threshold=0.0,
    tiers=("tiny", "paper"),
)
