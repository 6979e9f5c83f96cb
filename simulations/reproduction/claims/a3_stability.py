"""A3, first half: an advantage makes generalisation less stable. Stability is the largest drop of test Pass@1."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import advantage

CLAIM = Claim(
    id="A3 stability",
    statement="GRPO's advantage makes generalisation less stable than the raw reward of groups of the same size.",
    source="arXiv 2601.14599",
    experiments=(advantage,),
    effect="largest drop of test Pass@1 from a running maximum, GRPO less raw",
    measure=lambda results: results.paired(advantage, "GRPO, 8 rollouts", "raw, 8 rollouts", Outcome.largest_drop),
    direction="above",
    threshold=0.0,
    margin=0.03,
    tiers=("tiny", "small", "paper"),
)
