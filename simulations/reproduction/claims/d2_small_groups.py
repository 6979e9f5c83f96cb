"""Predictable GRPO (arXiv 2606.30789): the mean path does not depend on the group size. Here G p is about 1 or less."""

import numpy as np

from bandit_rft.experiments import Claim, Effect, Outcome, Results
from simulations.reproduction.experiments import group_sizes


def rounds_to_half(outcome: Outcome) -> np.ndarray:
    """log2 of the first round with a Pass@1 of at least one half; the run's length where there is none."""
    reached = outcome.train >= 0.5
    first = np.where(reached.any(axis=1), reached.argmax(axis=1), outcome.train.shape[1])
    return np.log2(np.maximum(first, 1))


def measure(results: Results) -> dict[str, Effect]:
    """Two against sixty-four rollouts, on either world."""
    return results.apart(group_sizes, "p0 = .02, G = 2", "p0 = .02, G = 64", rounds_to_half)


CLAIM = Claim(
    id="D2 small",
    statement="At p0 = .02 GRPO's mean path is the same for groups of 2 and of 64.",
    source="Predictable GRPO, arXiv 2606.30789",
    experiments=(group_sizes,),
    effect="log2 of the rounds to Pass@1 = .5, G = 2 less G = 64",
    measure=measure,
    direction="within",
    margin=0.2,
    tiers=("simulation",),
)
