"""`compare`: does a history agree with the theory?

verdict = compare(history, prediction)      curves, all rounds at once, at a stated false-alarm rate
verdict = compare(history, bound)           falsified where the mean regret is three standard errors beyond it
print(verdict.line()); print(verdict.report()); verdict.bands; verdict.fits
"""

from __future__ import annotations

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.bound import Bound
from bandit_rft.theory.prediction import Prediction
from bandit_rft.verdict.against_bound import against_bound
from bandit_rft.verdict.against_prediction import against_prediction
from bandit_rft.verdict.verdict import Band, Fit, HistoryLike, Verdict

__all__ = ["Band", "Fit", "HistoryLike", "Verdict", "compare"]


def compare(
    history: HistoryLike, theory: Prediction | Bound, *, false_alarm: float = 0.01, tolerance: float = 1e-5
) -> Verdict:
    """Hold the mean over seeds against a prediction, simultaneously over rounds, value and regret, or against a bound.

    Args:
        history: value [seeds, rounds] (all NaN where unknown), rewards [seeds, rounds, rollouts], regret().
        theory: a prediction of the same number of rounds and rollouts, for a best mean of 1; or a bound on regret.
        false_alarm: probability of refusing a true prediction, in (0, 1). Measured in tests/bandit_rft/test_verdict.py.
            A bound is refused beyond three standard errors, whatever this says. The error of what a prediction was
            measured from counts as chance, as a Gaussian one: at 0.05 with 64 seeds, 4 of 60 true laws were refused
            whose p0 came from 256 responses and κ with an error of 15%, 10 of 60 at 64 responses and 30%.
        tolerance: relative difference that counts as rounding (float32 runs), taken off every difference.

    Returns:
        The verdict. A single seed is tested only where the prediction's law is known; otherwise `tested` is False.

    Raises:
        InputError: no history or no entry of the theory, rounds, rollouts or best mean at odds, some but not all
            values NaN, false_alarm outside (0, 1), tolerance negative, a bound on something else than regret.
        UnknownOptimumError: a bound, where the best mean is unknown.

    Example:
        >>> from bandit_rft import arms, compare, learners, run, theory
        >>> table = arms.Needle(log10_arms=2, p0=0.1)
        >>> history = run(table, learners.SoftmaxPolicyGradient(step_size=0.5), rounds=50, seeds=8, key=0)
        >>> law = theory.pg_jump_single(p0=0.1, step_size=0.5, rounds=50, log_arms=table.log_arms)
        >>> compare(history, law).agrees
        True
    """
    arguments.require("theory", theory, (Prediction, Bound), "a prediction or a bound of bandit_rft.theory")
    if not hasattr(history, "rewards"):
        raise InputError(f"history is of type {type(history).__name__}: give what bandit_rft.run returns.")
    false_alarm = arguments.fraction("false_alarm", false_alarm)
    tolerance = arguments.at_least("tolerance", tolerance, 0.0)
    if isinstance(theory, Bound):
        return against_bound(history, theory)
    return against_prediction(history, theory, false_alarm, tolerance)
