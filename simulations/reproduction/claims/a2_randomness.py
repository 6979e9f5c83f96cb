"""A2: seeds differ by more than the evaluation alone would make them."""

import math

import numpy as np

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import minimalist


def _spread(outcome: Outcome) -> np.ndarray:
    return np.array([math.sqrt(outcome.seed_variance())])


CLAIM = Claim(
    id="A2",
    statement="Generalisation under the minimalist configuration is random: seeds differ.",
    source="arXiv 2601.14599",
    experiments=(minimalist,),
    effect="standard deviation over seeds of final test Pass@1, without that of its evaluation",
    measure=lambda results: results.level(minimalist, "minimalist", _spread),
    direction="above",
    threshold=0.01,
    tiers=("tiny", "small", "paper"),
)
