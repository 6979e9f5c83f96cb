"""A3 on training: stability is the largest drop of Pass@1 from a running maximum, on curves that are exact."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import advantage

CLAIM = Claim(
    id="A3 training",
    statement="GRPO's advantage makes training less stable than the raw reward of groups of the same size.",
    source="arXiv 2601.14599",
    experiments=(advantage,),
    effect="largest drop of training Pass@1 from a running maximum, GRPO less raw",
    measure=lambda results: results.paired(
        advantage, "GRPO, 8 rollouts", "raw, 8 rollouts", Outcome.largest_training_drop
    ),
    direction="above",
    threshold=0.0,
    margin=0.03,
    tiers=("simulation",),
)
