"""LUCB, lower and upper confidence bounds (Kalyanakrishnan, Tewari, Auer, Stone 2012, section 3), for the best arm.

    β(n, t) = sqrt(ln(5 K t⁴ / (4δ)) / (2n)),   h the arm of the largest mean, l the other of the largest mean + β
    stop where mean(l) + β(l) − (mean(h) − β(h)) < ε;   else pull h and l
Every arm is pulled once first. With probability 1 − δ the arm named is within ε of the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandit_rft import arguments
from bandit_rft.best_arm.explicit_table import Play


@dataclass(frozen=True)
class LUCB:
    """LUCB on an explicit table of Bernoulli arms.

    Args:
        delta: δ in (0, 1), the probability of naming a wrong arm that is allowed for.
        epsilon: ε ≥ 0, how far below the best an arm may be named.

    Raises:
        InputError: delta outside (0, 1), or epsilon negative.
    """

    delta: float
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        arguments.fraction("delta", self.delta)
        arguments.at_least("epsilon", self.epsilon, 0.0)

    def step(self, play: Play) -> tuple[np.ndarray, list[np.ndarray]]:
        """Which seeds stop, bool [S], and the two arms to pull in each, int [S] each."""
        every, mean = np.arange(play.running.size), play.empirical
        radius = np.sqrt((np.log(1.25 * mean.shape[1] / self.delta) + 4 * np.log(play.time)) / (2 * play.pulls))
        best = np.argmax(mean, axis=1)
        upper = mean + radius
        upper[every, best] = -np.inf
        rival = np.argmax(upper, axis=1)
        lower = mean[every, best] - radius[every, best]
        return upper[every, rival] - lower < self.epsilon, [best, rival]
