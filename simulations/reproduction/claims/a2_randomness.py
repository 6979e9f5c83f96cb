"""A2: seeds differ by more than the evaluation alone would make them."""

import numpy as np

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import minimalist


def _variance(outcome: Outcome) -> np.ndarray:
    return np.array([outcome.seed_variance()])


CLAIM = Claim(
    id="A2",
    statement="Generalisation under the minimalist configuration is random: seeds differ.",
    source="arXiv 2601.14599",
    experiments=(minimalist,),
    effect="variance over seeds of final test Pass@1, without that of its evaluation",
    measure=lambda results: results.level(minimalist, "minimalist", _variance),
    direction="above",
    threshold=0.01**2,  # a standard deviation of .01; of variances the estimate is unbiased
    tiers=("tiny", "small", "paper"),
)
