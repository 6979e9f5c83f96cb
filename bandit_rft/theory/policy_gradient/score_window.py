"""A window of scores: the drift of a group whose mean and spread come from a prompt's newest scores, older ones too."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.policy_gradient.groups import check_group

__all__ = ["score_window_drift", "signal_in_window"]

_LONGEST = 20_000  # scores of a window: two laws of counts are convolved


@entry(
    formula=r"M = \sum_s P(S=s)\,[A(1 \mid s) - A(0 \mid s)],\quad "
    r"S = \mathrm{Bin}(G-1, p) + \mathrm{Bin}(W-G, p_{\mathrm{past}}),"
    "\n"
    r"A(r \mid s) = \frac{r - v}{\sqrt{v(1-v)W/(W-\mathrm{ddof})}+\epsilon}\ (\mathrm{grpo}),\ r - v\ "
    r"(\mathrm{mean\_baseline}),\quad v = \frac{s+r}{W}",
    assumptions=(
        "Independent rollouts, deterministic 0/1 rewards; the G of this round are of today's policy, the W - G older "
        "scores of policies whose Pass@1 was p_past.",
        "The window is full; all its scores enter mean and spread, and this round's rollouts alone are learned from.",
        "Only the mean of the update is described.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "p": "probability of a correct answer now, in (0, 1)",
        "rollouts": "G, rollouts a round",
        "window": "W, scores in the window, this round's among them, from G to 20,000",
        "past": "p_past, probability of a correct answer when the older scores were drawn, in (0, 1); None: p",
        "signal": "grpo or mean_baseline",
        "ddof": "1: sample standard deviation, 0: population (grpo)",
        "eps": "added to the standard deviation, at least 0 (grpo)",
    },
    section="B8",
    kind="quantity",
    derivation="`score_window_drift` and `pg_window`",
)
def score_window_drift(
    p: float,
    rollouts: int,
    window: int,
    past: float | None = None,
    signal: str = "grpo",
    *,
    ddof: int = 1,
    eps: float = 0.0,
) -> float:
    """Drift over the raw reward's where the mean and spread are those of the newest W scores of a prompt.

    While the policy stands still it is the drift of a group of W, from G rollouts a round. After it has risen from
    p_past the older failures keep the mean low and the spread wide or narrow as they were: the delay.

    Returns:
        M, a float.

    Raises:
        InputError: an argument out of range, or another signal.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.score_window_drift(0.1, rollouts=1, window=8)), 4)
        2.1774
    """
    if signal not in ("grpo", "mean_baseline"):
        raise InputError(f"signal is {arguments.shown(signal)}: a window of scores is for grpo and mean_baseline.")
    rollouts, eps = check_group(signal, rollouts, ddof, eps)
    window = arguments.whole("window", window, rollouts, _LONGEST)
    p = arguments.fraction("p", p)
    older = p if past is None else arguments.fraction("past", past)
    new, old = rollouts - 1, window - rollouts
    weight = np.convolve(binom.pmf(np.arange(new + 1), new, p), binom.pmf(np.arange(old + 1), old, older))
    others = np.arange(window, dtype=np.float64)
    up = signal_in_window(1.0, (others + 1.0) / window, window, signal, ddof, eps)
    down = signal_in_window(0.0, others / window, window, signal, ddof, eps)
    return float(weight @ (up - down))


def signal_in_window(reward: float, share: np.ndarray, window: int, signal: str, ddof: int, eps: float) -> np.ndarray:
    """Signal of one reward in a window with such a share of correct scores; 0 where all are equal."""
    alive = (share > 0.0) & (share < 1.0)
    if signal == "mean_baseline":
        return np.where(alive, reward - share, 0.0)
    variance = share * (1.0 - share) * window / max(window - ddof, 1)
    return np.where(alive, (reward - share) / (np.sqrt(np.where(alive, variance, 1.0)) + eps), 0.0)
