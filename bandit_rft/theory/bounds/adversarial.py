"""Bounds that hold against any sequence of rewards in [0, 1], random or chosen in advance by an adversary."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.bound import Bound
from bandit_rft.theory.bounds.common import COUNTS, MEANS, ROUNDS, arms_of, bounded, horizons, instance_of
from bandit_rft.theory.catalogue import entry

__all__ = ["exp3_bound", "exp3_ix_bound", "tsallis_inf_bound", "tsallis_inf_stochastic_bound"]

_ARMS = "K, number of arms (a whole number of any size)"
_OBLIVIOUS = "Rewards lie in [0, 1]; their sequence may be arbitrary, but does not react to the learner's draws."
_TUNED = "The learner is tuned to the horizon: each T is a run of its own."
_COMPARATOR = "Regret is against the best fixed arm, in expectation: a best arm that changes is another game."


@entry(
    formula=r"\text{loss: } E[R_T] \le \sqrt{2 T K \ln K};\qquad \text{gain: } E[R_T] \le 2 \sqrt{e - 1}\, "
    r"\sqrt{T K \ln K}",
    assumptions=(
        _OBLIVIOUS,
        "Loss form with eta = sqrt(2 ln K / (T K)), or gain form with gamma = min(1, sqrt(K ln K / ((e-1) T))).",
        _TUNED,
        _COMPARATOR,
    ),
    source="Loss: Lattimore & Szepesvari 2020, theorem 11.2, read in a draft. Gain: Auer, Cesa-Bianchi, Freund & "
    "Schapire 2002, corollary 3.2 with g = T; derived again here",
    units={"arms": _ARMS, "rounds": ROUNDS, "form": "gain or loss, as in the learner"},
    section="D8",
    kind="bound",
    derivation="`exp3_bound`",
)
def exp3_bound(arms: int, rounds: int, form: str) -> Bound:
    """EXP3's regret against any rewards in [0, 1], for either form at its default tuning.

    Returns:
        Upper bound of the pseudo-regret of runs of length T = 1 .. rounds, in rewards.

    Raises:
        InputError: another form, fewer than two arms, rounds below 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.exp3_bound(arms=10, rounds=1000, form="loss").value[-1]), 2)
        214.6
    """
    (number, log_number), at = arms_of(arms), horizons(rounds)
    constants = {"loss": math.sqrt(2), "gain": 2 * math.sqrt(math.e - 1)}
    if not isinstance(form, str) or form not in constants:
        raise InputError(f"form is {form!r}: choose gain or loss, whose bounds differ.")
    uncapped = constants[form] * np.sqrt(at * log_number) * math.sqrt(number)
    parameters = {"arms": arms, "rounds": rounds, "form": form}
    return bounded("exp3_bound", at, uncapped, largest_gap=1.0, parameters=parameters, tuned=True)


@entry(
    formula=r"E[R_T] \le \frac{3}{\sqrt 2} \sqrt{T K \ln K};\qquad P\Big(R_T > 2\sqrt{2TK\ln K} + \Big(\sqrt{\frac{TK}"
    r"{2 \ln K}} + 1\Big) \ln\frac{2}{\delta}\Big) \le \delta",
    assumptions=(
        _OBLIVIOUS,
        "EXP3-IX with eta = sqrt(2 ln K / (T K)) and gamma = eta/2.",
        _TUNED,
        "In expectation: regret against the best fixed arm. With `failure`: realised regret against the best fixed arm "
        "in hindsight.",
    ),
    source="Both derived here with the lemma of Neu 2015 (arXiv 1506.03271); his theorem 1 (from memory) has the "
    "second form with sqrt(2TK/ln K), twice as much, in front of ln(2/delta)",
    units={
        "arms": _ARMS,
        "rounds": ROUNDS,
        "failure": "delta, the probability with which the bound may fail; None bounds the expectation",
    },
    section="D9",
    kind="bound",
    derivation="`exp3_ix_bound`",
)
def exp3_ix_bound(arms: int, rounds: int, failure: float | None = None) -> Bound:
    """EXP3-IX's regret against any rewards in [0, 1], in expectation or with high probability.

    Returns:
        Upper bound of the pseudo-regret, or of what the realised regret exceeds with probability `failure` at most; of
        runs of length T = 1 .. rounds, in rewards.

    Raises:
        InputError: fewer than two arms, rounds below 1, failure outside (0, 1).

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.exp3_ix_bound(arms=10, rounds=1000).value[-1]), 2)
        321.89
    """
    (number, log_number), at = arms_of(arms), horizons(rounds)
    parameters = {"arms": arms, "rounds": rounds, "failure": failure}
    root = np.sqrt(2 * at * log_number) * math.sqrt(number)  # 2 ln K / eta
    if failure is None:
        return bounded("exp3_ix_bound", at, 1.5 * root, largest_gap=1.0, parameters=parameters, tuned=True)
    log_failure = math.log(2) - math.log(arguments.fraction("failure", failure))
    return bounded(
        "exp3_ix_bound",
        at,
        2 * root + (root / (2 * log_number) + 1) * log_failure,
        largest_gap=1.0,
        quantity=f"realised regret, exceeded with probability {failure:g} at most,",
        parameters=parameters,
        tuned=True,
    )


@entry(
    formula=r"E[R_T] \le 4 \sqrt{KT} - 2\sqrt{T}",
    assumptions=(
        _OBLIVIOUS,
        "Tsallis-INF with importance-weighted losses and eta_t = 2/sqrt(t); it needs no horizon.",
        _COMPARATOR,
    ),
    source="derived here; Zimmert & Seldin 2021 (arXiv 1807.07623), theorem 1, has 4 sqrt(KT) + 1 (from memory)",
    units={"arms": _ARMS, "rounds": ROUNDS},
    section="D10",
    kind="bound",
    derivation="`tsallis_inf_bound`, `tsallis_inf_stochastic_bound`",
)
def tsallis_inf_bound(arms: int, rounds: int) -> Bound:
    """Tsallis-INF's regret against any rewards in [0, 1]: no logarithm of K.

    Returns:
        Upper bound of the pseudo-regret after T = 1 .. rounds, in rewards.

    Raises:
        InputError: fewer than two arms, rounds below 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.tsallis_inf_bound(arms=10, rounds=1000).value[-1]), 2)
        336.75
    """
    (number, _), at = arms_of(arms), horizons(rounds)
    parameters = {"arms": arms, "rounds": rounds}
    return bounded("tsallis_inf_bound", at, _any_rewards(number, at), largest_gap=1.0, parameters=parameters)


@entry(
    formula=r"E[R_T] \le 2\big(4\sqrt{K t_0} - 2\sqrt{t_0}\big) + \sum_{a: \Delta_a > 0} c_0^2 \Big( \frac{1}{t_0 "
    r"\Delta_a - 4 \sqrt{t_0}} + \frac{2}{\Delta_a} \ln\frac{\sqrt T \Delta_a - 4}{\sqrt{t_0} \Delta_a - 4} \Big),"
    r"\quad t_0 = \lceil 64/\Delta_{\min}^2 \rceil,\ c_0 = 1 + \frac{2}{1 + \sqrt{1 - 1/t_0}}",
    assumptions=(
        "Rewards of an arm are independent and identically distributed in [0, 1].",
        "One arm alone is best.",
        "Tsallis-INF with importance-weighted losses and eta_t = 2/sqrt(t).",
    ),
    source="derived here by the self-bounding argument of Zimmert & Seldin 2021 (arXiv 1807.07623), with their leading "
    "term 4 ln T / gap; their lower-order terms are smaller",
    units={"means": MEANS, "rounds": ROUNDS, "counts": COUNTS},
    section="D10",
    kind="bound",
    derivation="`tsallis_inf_bound`, `tsallis_inf_stochastic_bound`",
)
def tsallis_inf_stochastic_bound(means: Sequence[float], rounds: int, counts: Sequence[float] | None = None) -> Bound:
    """Tsallis-INF's regret on random rewards: 4 ln T / gap for each suboptimal arm, or the bound against any rewards.

    Returns:
        Upper bound of the pseudo-regret after T = 1 .. rounds, in rewards: the smaller of the two.

    Raises:
        InputError: no mean, one outside [0, 1], counts that do not fit, no arm or several arms that are best alone,
            rounds below 1.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.tsallis_inf_stochastic_bound(means=[0.2, 0.8], rounds=1000).value[-1]), 2)
        115.26
    """
    found, at = instance_of(means, counts), horizons(rounds)
    if found.arms - found.number.sum() > 1 or not found.gap.size:
        raise InputError("The bound wants two arms or more of which one alone is best: means has none such.")
    uncapped = _any_rewards(found.arms, at)
    least = float(found.gap.min())
    if at[-1] * least**2 > 64:
        start = math.ceil(64 / least**2)
        slope = (1 + 2 / (1 + math.sqrt(1 - 1 / start))) ** 2
        first = math.sqrt(start) * found.gap - 4
        # Before the start the logarithm is not evaluated: the bound against any rewards is the smaller one there.
        last = np.sqrt(np.maximum(at, start))
        late = 2 * _any_rewards(found.arms, np.asarray(start)) + slope * found.total(1 / (first * math.sqrt(start)))
        for gap, number, below in zip(found.gap, found.number, first, strict=True):
            late = late + number * slope * (2 / gap * np.log((last * gap - 4) / below))
        uncapped = np.minimum(uncapped, late)
    parameters = {"means": means, "rounds": rounds, "counts": counts}
    return bounded("tsallis_inf_stochastic_bound", at, uncapped, largest_gap=found.largest_gap, parameters=parameters)


def _any_rewards(arms: float, time: np.ndarray) -> np.ndarray:
    return (4 * math.sqrt(arms) - 2) * np.sqrt(time)
