"""The law of the mean update for a round's settings: which of `pg_group` and `pg_window` has it."""

from __future__ import annotations

from bandit_rft.theory.policy_gradient.group_flow import pg_group
from bandit_rft.theory.policy_gradient.window_flow import LONGEST_WINDOW, MOST_ROUNDS, pg_window
from bandit_rft.theory.prediction import Prediction
from bandit_rft.theory.update_settings import UpdateSettings

__all__ = ["by_mean_update"]


def by_mean_update(p0: float, kappa: float, settings: UpdateSettings, rounds: int) -> Prediction:
    """The curve of plain gradient steps by p0, κ and the mean update; optimizer, KL term, delay, epochs and questions
    are not looked at. A window of over 1,024 scores has no lag here.
    """
    step, group, window = settings.step_size, settings.group, settings.window
    if window is not None and rounds <= MOST_ROUNDS and 2 <= window <= LONGEST_WINDOW:
        given = {"ddof": settings.ddof, "eps": settings.eps}
        return pg_window(p0, step, rounds, group, window, settings.signal, kappa=kappa, **given)
    return pg_group(
        settings.signal,
        p0,
        step,
        rounds,
        group,  # rollouts for the baseline alone are as many more pulls, and the drift is that of a group of all
        ddof=settings.ddof,
        eps=settings.eps,
        k=settings.k,
        kappa=kappa,
        window=window,
        dynamic_sampling=settings.dynamic_sampling,
    )
