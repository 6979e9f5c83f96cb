"""A3, second half: an advantage does not improve test Pass@1."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import advantage

CLAIM = Claim(
    id="A3 test",
    statement="GRPO's advantage does not improve final test Pass@1 over the raw reward of groups of the same size.",
    source="arXiv 2601.14599",
    experiments=(advantage,),
    effect="final test Pass@1, GRPO less raw",
    measure=lambda results: results.paired(advantage, "GRPO, 8 rollouts", "raw, 8 rollouts", Outcome.final_test),
    direction="below",
    threshold=0.0,
    margin=0.03,
    tiers=("tiny", "small", "paper"),
)
