"""The noise of the update of a group of rollouts: its second moment, and its signal-to-noise ratio."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom

from bandit_rft import arguments, signal_checks
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_log_arms, check_probabilities, log_count
from bandit_rft.theory.policy_gradient.dynamic_sampling import groups_drawn
from bandit_rft.theory.policy_gradient.groups import SIGNALS, check_group, check_k, log_binomial, summed_group
from bandit_rft.theory.policy_gradient.score_window import signal_in_window
from bandit_rft.theory.policy_gradient.softmax import table_kappa

__all__ = ["UpdateMoments", "snr2", "update_second_moment"]


class UpdateMoments(NamedTuple):
    """Of one round's update before the step size, in units of the gradient squared.

    Attributes:
        mean_square: squared norm of the mean update, |E u|^2.
        second_moment: mean squared norm of the update, E |u|^2; the rest is noise.
    """

    mean_square: float
    second_moment: float


@entry(
    formula=r"E\|u\|^2 = \sum_k \binom{G}{k}p^k(1-p)^{G-k}\Big[\kappa\Big(\frac{kA^+_k(1-p) - (G-k)A^-_k p}{G}\Big)^2"
    r" + \frac{k (A^+_k)^2\,\mathrm{tr}\,\Sigma_g + (G-k)(A^-_k)^2\,\mathrm{tr}\,\Sigma_b}{G^2}\Big]"
    "\n"
    r"\text{window: } A_{k+s},\ s \sim \mathrm{Bin}(W-G, p_{\mathrm{past}});\quad \text{dead groups again: } "
    r"\|Eu\|^2 \text{ times } c^2,\ E\|u\|^2 \text{ times } c = \sum_{n=0}^{N} d^n,\ d = p^G + (1-p)^G",
    assumptions=(
        "Independent rollouts of one policy, deterministic 0/1 rewards.",
        "The update is the mean over the rollouts of signal times the score; the signal sees the rewards alone.",
        "With a window: it is full, and its older scores are of policies whose Pass@1 was p_past.",
        "Without traces: a table whose m correct arms are equally likely, and so are the wrong ones.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "signal": f"one of {', '.join(SIGNALS)}",
        "p": "probability of a correct answer, in (0, 1)",
        "rollouts": "G, rollouts a group",
        "optimal": "m, number of optimal arms",
        "log_arms": "ln K, K the number of arms; None: infinitely many",
        "ddof": "1: sample standard deviation, 0: population (grpo)",
        "eps": "added to the standard deviation, at least 0 (grpo)",
        "k": "of pass_at_k, from 1 to G; None: G",
        "window": "W, newest scores that give mean and spread, this round's among them (grpo, mean_baseline); None: G",
        "past": "p_past, chance of the window's older scores, in (0, 1); None: p",
        "dynamic_sampling": "N, how often a dead group is drawn again at most in a round; 0: never",
        "kappa": "squared gradient gap |grad logit p|^2; None: the table's own constant",
        "trace_correct": "trace of the covariance of correct answers' scores; None: the table's, 1 - 1/m",
        "trace_wrong": "the same of wrong answers; None: the table's, 1 - 1/(K - m)",
    },
    section="B4",
    kind="quantity",
    derivation="`update_second_moment`",
)
def update_second_moment(
    signal: str,
    p: float,
    rollouts: int = 1,
    optimal: int = 1,
    log_arms: float | None = None,
    *,
    ddof: int = 1,
    eps: float = 0.0,
    k: int | None = None,
    window: int | None = None,
    past: float | None = None,
    dynamic_sampling: int = 0,
    kappa: float | None = None,
    trace_correct: float | None = None,
    trace_wrong: float | None = None,
) -> UpdateMoments:
    """Mean squared norm of a group's update, and the squared norm of its mean.

    Returns:
        Both numbers; their ratio is the exact form of `snr2`, for any signal and group.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> from bandit_rft import theory
        >>> round(theory.update_second_moment("raw", 0.1).mean_square, 4)
        0.0081
    """
    rollouts, eps = check_group(signal, summed_group(rollouts), ddof, eps)
    p = arguments.fraction("p", p)
    constant = table_kappa(optimal, log_arms) if kappa is None else arguments.positive("kappa", kappa)
    traces = _table_traces(optimal, log_arms)
    correct, wrong = (
        own if given is None else arguments.at_least(name, given, 0.0)
        for name, given, own in zip(("trace_correct", "trace_wrong"), (trace_correct, trace_wrong), traces, strict=True)
    )
    signal_checks.check_window(window, signal, rollouts, extra=0)
    if window is not None:
        window = summed_group(window, "window")
    signal_checks.check_dynamic_sampling(dynamic_sampling, signal, rollouts, window)
    if past is not None and window is None:
        raise InputError("past is the chance of a window's older scores, and there is no window: give one.")
    right = np.linspace(0.0, rollouts, rollouts + 1)
    weight = np.exp(log_binomial(rollouts, right) + right * math.log(p) + (rollouts - right) * math.log1p(-p))
    if window is None:
        up, down = _signals(signal, right, rollouts, ddof, eps, check_k(signal, rollouts, k))
    else:
        older = np.linspace(0.0, window - rollouts, window - rollouts + 1)
        earlier = binom.pmf(older, window - rollouts, p if past is None else arguments.fraction("past", past))
        weight = earlier[:, None] * weight
        share = (older[:, None] + right) / window
        up, down = (signal_in_window(reward, share, window, signal, ddof, eps) for reward in (1.0, 0.0))
    along = (right * up * (1.0 - p) - (rollouts - right) * down * p) / rollouts
    noise = (right * up**2 * correct + (rollouts - right) * down**2 * wrong) / rollouts**2
    drawn = 1.0
    if dynamic_sampling:
        drawn = float(groups_drawn(np.array(math.log(p)), np.array(math.log1p(-p)), rollouts, dynamic_sampling))
    return UpdateMoments(
        mean_square=float(constant * np.square(drawn * np.sum(weight * along))),
        second_moment=float(drawn * np.sum(weight * (constant * np.square(along) + noise))),
    )


def _table_traces(optimal: int, log_arms: float | None) -> tuple[float, float]:
    """1 - 1/m and 1 - 1/(K - m); an arm drawn evenly among n has a score whose covariance has the trace 1 - 1/n."""
    optimal = arguments.whole("optimal", optimal, most=None)
    log_arms = check_log_arms(log_arms, optimal)
    log_optimal = log_count(optimal)
    log_wrong = log_arms + math.log(-math.expm1(log_optimal - log_arms))
    return -math.expm1(-log_optimal), -math.expm1(-log_wrong)


def _signals(
    signal: str, right: np.ndarray, rollouts: int, ddof: int, eps: float, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Signals of a correct and of a wrong rollout in a group with so many right ones."""
    one, zero = np.ones_like(right), np.zeros_like(right)
    if signal in ("raw", "psr") or (rollouts == 1 and signal == "rloo"):
        return one, zero
    if signal == "nsr":
        return zero, -one
    if signal == "signed":
        return one, -one
    if signal == "grpo" and rollouts == 1:
        return np.reciprocal(one + eps), zero
    if signal == "pass_at_k":
        return _best_of_k(rollouts - right, rollouts, k), zero
    share, alive = right / rollouts, right > 0.0
    if signal in ("maxrl", "maxrl_centred"):
        up = np.where(alive, rollouts / np.maximum(right, 1.0), 0.0)
        return (up, zero) if signal == "maxrl" else (up - alive, -one * alive)
    if signal == "mean_baseline":
        scale = one
    elif signal == "rloo":
        scale = np.full_like(right, rollouts / (rollouts - 1.0))
    else:
        deviation = np.sqrt(share * (1.0 - share) * rollouts / (rollouts - ddof)) + eps
        alive &= share < 1.0
        scale = np.where(alive, np.reciprocal(np.where(alive, deviation, np.inf)), 0.0)
    return scale * (1.0 - share), -scale * share


def _best_of_k(wrong: np.ndarray, rollouts: int, k: int) -> np.ndarray:
    """k C(wrong, k-1) / C(G-1, k-1): k times the share of sets of k - 1 other rollouts that are all wrong."""
    enough = wrong >= k - 1
    others = np.where(enough, wrong, k - 1.0)
    sets = log_binomial(others, k - 1.0) - log_binomial(rollouts - 1, k - 1.0)
    return np.where(enough, k * np.exp(sets), 0.0)


def _group_snr2(signal: str, p: np.ndarray, rollouts: int, group: dict[str, Any]) -> float | np.ndarray:
    """The ratio of `update_second_moment` for scores of norm 1."""
    if np.any(group["kappa"] * np.square(np.maximum(p, 1.0 - p)) > 1.0):
        raise InputError(
            f"kappa is {group['kappa']:g}, and scores of norm 1 have at most 1/max(p, 1 - p)^2: give it in their units."
        )
    found = np.empty(p.shape)
    for place, one in np.ndenumerate(p):
        traces = {
            "trace_correct": 1.0 - group["kappa"] * (1.0 - one) ** 2,
            "trace_wrong": 1.0 - group["kappa"] * one**2,
        }
        moments = update_second_moment(signal, float(one), rollouts, **group, **traces)
        # A signal that is 0 in every group says nothing.
        found[place] = moments.mean_square / moments.second_moment if moments.second_moment else 0.0
    return float(found) if found.ndim == 0 else found


@entry(
    formula=r"\frac{\|E u\|^2}{E\|u\|^2} = \frac{\kappa\,p^2(1-p)^2}{p(1-b)^2 + (1-p)b^2}",
    assumptions=(
        "Deterministic 0/1 reward. One rollout a round, signal r - b (or a multiple of it) with a constant b; or, with "
        "`signal`, any signal of G rollouts: the ratio of `update_second_moment` at tr Sigma_g = 1 - kappa (1-p)^2 and "
        "tr Sigma_b = 1 - kappa p^2.",
        "A diffuse policy: no single answer has more than a small share, so that every score has norm about 1 "
        "(in the units in which kappa is measured).",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "p": "probability of a correct answer, in (0, 1), any shape",
        "kappa": "squared gradient gap |grad logit p|^2, for scores of norm 1; a table: 1/m + 1/(K - m)",
        "baseline": "b: 0 raw reward and psr, p the mean baseline, 0.5 signed rewards -1/+1, 1 nsr; a shape that fits "
        "p's; not with a signal",
        "signal": f"one of {', '.join(SIGNALS)}; None: r - b of one rollout",
        "rollouts": "G, rollouts a group",
        "ddof": "1: sample standard deviation, 0: population (grpo)",
        "eps": "added to the standard deviation, at least 0 (grpo)",
        "k": "of pass_at_k, from 1 to G; None: G",
        "window": "W, newest scores that give mean and spread, this round's among them (grpo, mean_baseline); None: G",
        "past": "p_past, chance of the window's older scores, in (0, 1); None: p",
        "dynamic_sampling": "N, how often a dead group is drawn again at most in a round; 0: never",
    },
    section="B5",
    kind="quantity",
    derivation="`snr2`",
)
def snr2(
    p: ArrayLike,
    kappa: float,
    baseline: ArrayLike = 0.0,
    *,
    signal: str | None = None,
    rollouts: int = 1,
    ddof: int = 1,
    eps: float = 0.0,
    k: int | None = None,
    window: int | None = None,
    past: float | None = None,
    dynamic_sampling: int = 0,
) -> float | np.ndarray:
    """Squared signal-to-noise ratio of a round's update: the share of its squared norm that is progress.

    Raw: kappa p (1-p)^2; b = p: kappa p (1-p), the best constant; signed: 4 kappa p^2 (1-p)^2. Signed beats raw only
    above p = 1/4, and at small p no baseline gains anything over raw. nsr: kappa p^2 (1-p), better than raw (psr) only
    above p = 1/2. At small p a group of G has about G times raw's ratio under raw, psr and maxrl, and G - 1 times under
    the signals that compare the responses of a group: at G = 2 these gain nothing. Dead groups drawn again multiply the
    ratio by the number of groups drawn: per pull nothing is gained.

    Returns:
        A float for scalar p and baseline, otherwise float64 of their common shape.

    Raises:
        InputError: p outside (0, 1), kappa not positive or above what scores of norm 1 can have; a
            baseline that is not finite or does not fit, or beside a signal; what `update_second_moment` refuses.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.snr2(0.5, kappa=4.0)), 4)
        0.5
    """
    probability, constant = check_probabilities(p), arguments.positive("kappa", kappa)
    if signal is not None:
        if np.any(np.asarray(baseline)):
            raise InputError("snr2 got a signal and a baseline: give one of them.")
        group = {"ddof": ddof, "eps": eps, "k": k, "kappa": constant}
        group |= {"window": window, "past": past, "dynamic_sampling": dynamic_sampling}
        return _group_snr2(signal, probability, rollouts, group)
    if window is not None or past is not None or dynamic_sampling:
        raise InputError("A window and dynamic sampling are of grpo and its like: give a signal.")
    if rollouts != 1:
        raise InputError(f"rollouts is {rollouts!r} and a constant baseline's ratio is of one: give a signal.")
    try:
        shift = np.asarray(baseline, dtype=np.float64)
        probability, shift = np.broadcast_arrays(probability, shift)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"baseline must be a number or an array of p's shape, but is {baseline!r}.") from None
    if not np.all(np.isfinite(shift)):
        raise InputError("baseline must be finite everywhere.")
    wrong = 1.0 - probability
    # p^2 (1-p)^2 over both terms, each divided by p first: p^2 alone would underflow.
    result = constant * probability * wrong**2 / (np.square(1.0 - shift) + wrong * (shift / probability) * shift)
    if np.any(result > 1.0 + 1e-9):
        raise InputError(
            f"kappa is {constant:g}, and progress would be more than all of the update: give it in the units in which "
            "scores have norm 1."
        )
    return float(result) if result.ndim == 0 else result
