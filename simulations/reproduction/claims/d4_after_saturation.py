"""One-example RLVR (arXiv 2504.20571): test accuracy rises long after training is saturated."""

import numpy as np

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import minimalist

SATURATED = 0.95  # mean training Pass@1 over seeds
SMOOTHED = 20  # rounds over which it is taken


def later_gain(outcome: Outcome) -> np.ndarray:
    """Test Pass@1 after the last round less that at the first evaluation since training is saturated; NaN where that is
    the last evaluation, or none."""
    none = np.full(outcome.train.shape[0], np.nan)
    curve = outcome.train.mean(axis=0)
    smooth = np.convolve(curve, np.ones(SMOOTHED) / SMOOTHED, mode="valid")
    if not outcome.evaluated.size or not (smooth >= SATURATED).any():
        return none
    since = int(np.argmax(smooth >= SATURATED)) + SMOOTHED
    later = np.flatnonzero(outcome.evaluated >= since)
    return none if later.size < 2 else outcome.test[:, -1] - outcome.test[:, later[0]]


CLAIM = Claim(
    id="D4",
    statement="After training on one example is saturated, test Pass@1 goes on rising.",
    source="arXiv 2504.20571; the line in ln t of theory.transfer_slope",
    experiments=(minimalist,),
    effect="test Pass@1 after the last round less that when training Pass@1 first is .95",
    measure=lambda results: results.level(minimalist, "minimalist", later_gain),
    direction="above",
    threshold=0.0,
    margin=0.03,
    tiers=("tiny", "small", "paper"),
)
