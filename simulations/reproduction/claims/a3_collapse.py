"""A3, first half, by another measure of stability: the share of seeds that collapse."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import advantage

CLAIM = Claim(
    id="A3 collapse",
    statement="More seeds collapse under GRPO's advantage than under the raw reward of groups of the same size.",
    source="arXiv 2601.14599",
    experiments=(advantage,),
    effect="share of seeds whose test Pass@1 ends below its start by two standard errors, GRPO less raw",
    measure=lambda results: results.paired(advantage, "GRPO, 8 rollouts", "raw, 8 rollouts", Outcome.collapsed),
    direction="above",
    threshold=0.0,
    margin=0.1,
    tiers=("tiny", "small", "paper"),
)
