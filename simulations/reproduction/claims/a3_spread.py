"""A3, first half, by another measure of stability: the spread over seeds."""

import numpy as np

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import advantage


def _measure(outcome: Outcome) -> np.ndarray:
    return np.array([outcome.seed_variance()])


CLAIM = Claim(
    id="A3 spread",
    statement="Under GRPO's advantage seeds differ more in final test Pass@1 than under the raw reward.",
    source="arXiv 2601.14599",
    experiments=(advantage,),
    effect="variance over seeds of final test Pass@1, without that of its evaluation, GRPO less raw",
    measure=lambda results: results.paired(advantage, "GRPO, 8 rollouts", "raw, 8 rollouts", _measure),
    direction="above",
    threshold=0.0,
    margin=0.03**2,  # a standard deviation of .03, where the other has none
    tiers=("tiny", "small", "paper"),
)
