"""A3, first half, by another measure of stability: the time below half of the running maximum."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import advantage

CLAIM = Claim(
    id="A3 below half",
    statement="Under GRPO's advantage test Pass@1 is below half of its running maximum for longer.",
    source="arXiv 2601.14599",
    experiments=(advantage,),
    effect="share of the rounds with test Pass@1 below half of its running maximum, GRPO less raw",
    measure=lambda results: results.paired(advantage, "GRPO, 8 rollouts", "raw, 8 rollouts", Outcome.below_half),
    direction="above",
    threshold=0.0,
    margin=0.1,
    tiers=("tiny", "small", "paper"),
)
