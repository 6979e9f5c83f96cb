"""Audit of PPO's clip on one correct arm."""

from __future__ import annotations

from typing import Any

import numpy as np

from bandit_rft import arms, learners, run
from simulations.theory_audit.case import Case, Measured, exact, of_seeds
from simulations.theory_audit.simulated import hitting_times


def _ppo_value(key: int, needle: dict[str, Any], rounds: tuple[int, ...], **learner: Any) -> Measured:
    history = run(
        arms.Needle(**needle), learners.SoftmaxPolicyGradient(**learner), rounds=rounds[-1] + 1, seeds=1000, key=key
    )
    return of_seeds(history.value[:, list(rounds)])


PPO_ROUNDS = (20, 40, 80, 160, 240)


# step size, epochs; the clip is .2
PPO = ((0.02, 20), (0.1, 10), (0.5, 4))


def _ppo_times(key: int, settings: tuple[tuple[float, int], ...]) -> Measured:
    needle = {"log10_arms": 100, "p0": 0.02}
    times = [hitting_times(900, 250, key, needle, step_size=step, clip=0.2, epochs=epochs) for step, epochs in settings]
    return of_seeds(np.stack(times, axis=1))


def _compounded(p0: float, step: float, clip: float, level: float) -> float:
    """Waits 1/p added up while p, multiplied by the most that one success can give, lies below the level."""
    p, total = p0, 0.0
    while p < level:
        total += 1 / p
        p *= (1 + clip) * np.exp(step * (1 + clip))
    return total


CASES = (
    Case(
        entry="ppo_jump_single",
        instance="needle among 10^100 arms, p0 = .05, clip .2, four epochs of step .15",
        x=PPO_ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(p0=0.05, step_size=0.15, rounds=241, clip=0.2, epochs=4).value[list(PPO_ROUNDS)],
        measure=lambda key: _ppo_value(
            key, {"log10_arms": 100, "p0": 0.05}, PPO_ROUNDS, step_size=0.15, clip=0.2, epochs=4
        ),
    ),
    Case(
        entry="ppo_jump_single",
        instance="one correct arm of three, p0 = .1, no clip, three epochs of step .1",
        x=PPO_ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(p0=0.1, step_size=0.1, rounds=241, log_arms=np.log(3), clip=None, epochs=3).value[
            list(PPO_ROUNDS)
        ],
        measure=lambda key: _ppo_value(
            key, {"log10_arms": np.log10(3), "p0": 0.1}, PPO_ROUNDS, step_size=0.1, epochs=3
        ),
    ),
    Case(
        entry="ppo_jump_single",
        instance="ten correct arms of 10^3, p0 = .05, clip .2, four epochs of step .15",
        x=PPO_ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(p0=0.05, step_size=0.15, rounds=241, clip=0.2, epochs=4).value[list(PPO_ROUNDS)],
        measure=lambda key: _ppo_value(
            key, {"log10_arms": 3, "optimal": 10, "p0": 0.05}, PPO_ROUNDS, step_size=0.15, clip=0.2, epochs=4
        ),
        inside=False,
        why="Ten correct arms share the successes; the law is for one.",
    ),
    Case(
        entry="ppo_clip_floor",
        instance="needle among 10^100 arms, p0 = .02, clip .2",
        x=[step for step, _ in PPO],
        x_label="step size (epochs 20, 10, 4)",
        y_label="mean rounds to Pass@1 = 1/2",
        predict=lambda f: [f(p0=0.02, step_size=step, clip=0.2) for step, _ in PPO],
        measure=lambda key: _ppo_times(key, PPO),
        relation="lower",
    ),
    Case(
        entry="ppo_clip_floor",
        instance="waits added up while p compounds by its most",
        x=(0.0, 0.1, 0.5, 2.0),
        x_label="step size",
        y_label="least mean rounds to Pass@1 = .4",
        predict=lambda f: [f(p0=0.003, step_size=step, clip=0.3, level=0.4) for step in (0.0, 0.1, 0.5, 2.0)],
        measure=lambda key: exact([_compounded(0.003, step, 0.3, 0.4) for step in (0.0, 0.1, 0.5, 2.0)]),
    ),
    Case(
        entry="ppo_clip_floor",
        instance="the floor of small steps against steps of .5 and 2, p0 = .02, clip .2",
        x=(0.5, 2.0),
        x_label="step size (four epochs)",
        y_label="mean rounds to Pass@1 = 1/2",
        predict=lambda f: [f(p0=0.02, step_size=0.0, clip=0.2)] * 2,
        measure=lambda key: _ppo_times(key, ((0.5, 4), (2.0, 4))),
        relation="lower",
        inside=False,
        why="Steps are not small: the first epoch is never clipped and the last one may overshoot.",
    ),
)
