"""A3, first half, by another measure of stability: the time below half of the running maximum."""

import numpy as np

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import advantage


def _measure(outcome: Outcome) -> np.ndarray:
    return outcome.below_half()


CLAIM = Claim(
    id="A3 below half",
    statement="Under GRPO's advantage test Pass@1 is below half of its running maximum for longer.",
    source="arXiv 2601.14599",
    experiments=(advantage,),
    effect="share of the rounds with test Pass@1 below half of its running maximum, GRPO less raw",
    measure=lambda results: results.paired(advantage, "GRPO, 8 rollouts", "raw, 8 rollouts", _measure),
    direction="above",
    threshold=0.0,
    margin=0.1,
    tiers=("tiny", "small", "paper"),
)
