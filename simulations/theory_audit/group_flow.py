"""Audit of section B, the curves of groups of rollouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bandit_rft import arms, learners, run
from simulations.theory_audit.case import Case, Measured, exact, joined, of_seeds
from simulations.theory_audit.explicit_groups import mean_flow, mean_update_of, simulate

LN100 = np.log(100)
LEVELS = (0.05, 0.2, 0.4, 0.6, 0.8)
GROUPS = (4, 8, 16, 32, 128)
SMALL = "A step of .05 is small, not infinitesimal."


def _first_rounds(value: np.ndarray, levels: tuple[float, ...]) -> Measured:
    return of_seeds(np.stack([(value >= level).argmax(axis=1) for level in levels], axis=1))


def _hitting_times(key: int) -> Measured:
    history = run(
        arms.Needle(log10_arms=2, p0=0.01),
        learners.SoftmaxPolicyGradient(step_size=0.05, signal="grpo", rollouts=8, ddof=0, eps=0.0),
        rounds=1400,
        seeds=100,
        key=key,
    )
    return _first_rounds(history.value, LEVELS)


def _hitting_times_by_group(key: int) -> Measured:
    found = []
    for group in GROUPS:
        rounds = 2200 if group < 8 else 1500 if group < 16 else 1000
        value = simulate(
            "grpo", p0=0.01, arms=100, step_size=0.05, group=group, rounds=rounds, seeds=80, key=key + group
        )
        found.append(_first_rounds(value, (0.8,)))
    return joined(found)


def _table_flow(
    name: str, group: int, ddof: int, eps: float, k: int | None, rounds: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    return mean_flow(mean_update_of(name, group, 3, 20, 0.02, ddof, eps, k), 0.05, 3, 20, rounds)


def _values(rounds: list[int], **learner: Any) -> Callable[[int], Measured]:
    def measure(key: int) -> Measured:
        history = run(
            arms.Needle(log10_arms=2, p0=0.05),
            learners.SoftmaxPolicyGradient(**learner),
            rounds=rounds[-1] + 1,
            seeds=400,
            key=key,
        )
        return of_seeds(history.value[:, rounds])

    return measure


def _whitened(step_size: float) -> Callable[[np.ndarray], np.ndarray]:
    def update(policy: np.ndarray) -> np.ndarray:
        p = policy[:3].sum()
        advantage = ((np.arange(policy.size) < 3) - p) / np.sqrt(p * (1 - p))
        return step_size * policy * advantage

    return update


def _flow_cases() -> list[Case]:
    """The quadrature against an ODE solver on every logit of a table of 20 arms, 3 of them correct."""
    rounds, cases = [50, 200, 500, 1000, 3000, 10000], []
    after = [t + 1 for t in rounds]
    for name, group, ddof, eps, k in (
        ("grpo", 8, 1, 0.1, None),
        ("grpo", 5, 0, 0.0, None),
        ("signed", 1, 1, 0.0, None),
        ("mean_baseline", 4, 1, 0.0, None),
        ("rloo", 4, 1, 0.0, None),
        ("raw", 2, 1, 0.0, None),
        ("grpo", 1, 1, 0.25, None),
        ("maxrl", 8, 1, 0.0, None),
        ("maxrl_centred", 8, 1, 0.0, None),
        ("pass_at_k", 8, 1, 0.0, 4),
        ("nsr", 4, 1, 0.0, None),
    ):
        own = f"ddof {ddof}, eps {eps:g}" if k is None else f"k = {k}"
        setting = f"{name}, G = {group}, {own}, 3 of 20 arms, ODE on every logit"
        options = {"ddof": ddof, "eps": eps, "k": k}

        def predicted(f: Any, n: str = name, g: int = group, o: Any = options) -> Any:
            return f(n, 0.05, 0.02, 10001, g, 3, np.log(20), **o)

        cases.append(
            Case(
                entry="pg_group",
                instance=f"{setting}: Pass@1",
                x=rounds,
                x_label="round",
                y_label="Pass@1",
                predict=lambda f, predicted=predicted: predicted(f).value[rounds],
                measure=lambda key, a=(name, group, ddof, eps, k): exact(_table_flow(*a, rounds)[0]),
            )
        )
        if name in ("grpo", "maxrl", "pass_at_k") and group > 1:
            cases.append(
                Case(
                    entry="pg_group",
                    instance=f"{setting}: regret",
                    x=rounds,
                    x_label="round",
                    y_label="cumulative regret",
                    predict=lambda f, predicted=predicted: predicted(f).regret[rounds],
                    measure=lambda key, a=(name, group, ddof, eps, k): exact(a[1] * _table_flow(*a, after)[1]),
                )
            )
    return cases


CASES = (
    Case(
        entry="pg_group",
        instance="GRPO, G = 8, needle among 100 arms, p0 = .01, step .05",
        x=LEVELS,
        x_label="Pass@1 to reach",
        y_label="mean first round",
        predict=lambda f: [
            f("grpo", 0.01, 0.05, 10, 8, log_arms=LN100, ddof=0).mean_hitting_time(level) for level in LEVELS
        ],
        measure=_hitting_times,
        tolerance=0.02,
        why=SMALL,
    ),
    Case(
        entry="pg_group",
        instance="GRPO, G = 4 to 128, needle among 100 arms, p0 = .01, step .05",
        x=GROUPS,
        x_label="rollouts a round",
        y_label="mean first round with Pass@1 of .8",
        predict=lambda f: [
            f("grpo", 0.01, 0.05, 10, group, log_arms=LN100, ddof=0).mean_hitting_time(0.8) for group in GROUPS
        ],
        measure=_hitting_times_by_group,
        tolerance=0.02,
        why=SMALL,
    ),
    *_flow_cases(),
    Case(
        entry="pg_group",
        instance="GRPO, G = 8, needle among 100 arms, p0 = .05, step 2: Pass@1 averaged over seeds",
        x=(2, 5, 10, 20, 40),
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f("grpo", 0.05, 2.0, 41, 8, log_arms=LN100).value[[2, 5, 10, 20, 40]],
        measure=_values([2, 5, 10, 20, 40], step_size=2.0, signal="grpo", rollouts=8),
        inside=False,
        why="A step of 2 is large: single rounds decide, and the mean over seeds is not the flow of the mean update.",
    ),
    Case(
        entry="pg_group",
        instance="raw reward, one rollout, needle among 100 arms, p0 = .05, step .5",
        x=(25, 50, 100, 200, 400),
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f("raw", 0.05, 0.5, 401, 1, log_arms=LN100).value[[25, 50, 100, 200, 400]],
        measure=_values([25, 50, 100, 200, 400], step_size=0.5),
        inside=False,
        why="One rollout and a large step: the noise of the update moves the policy, as pg_jump_single says.",
    ),
    Case(
        entry="pg_group",
        instance="GRPO, G = 8, 10 of 100 arms correct, p0 = .1, step .05: mean over seeds",
        x=(100, 200, 400, 800),
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f("grpo", 0.1, 0.05, 801, 8, 10, LN100, ddof=0).value[[100, 200, 400, 800]],
        measure=lambda key: of_seeds(
            simulate("grpo", p0=0.1, arms=100, optimal=10, step_size=0.05, group=8, rounds=801, seeds=100, key=key)[
                :, [100, 200, 400, 800]
            ]
        ),
        inside=False,
        why="Ten correct arms do not keep equal logits: the noise parts them, and the lucky ones take over.",
    ),
    Case(
        entry="grpo_flow",
        instance="GRPO, G = 4096, needle among 100 arms, p0 = .01, step .02",
        x=(200, 400, 600, 800, 1000, 1200),
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.01, 0.02, 1201, 4096, log_arms=LN100).value[200::200],
        measure=lambda key: of_seeds(
            simulate("grpo", p0=0.01, arms=100, step_size=0.02, group=4096, rounds=1201, seeds=20, key=key)[:, 200::200]
        ),
        tolerance=0.04,
        why="At p0 = .01 a group of 4096 holds 41 correct answers, not infinitely many; a step of .02 is not 0.",
    ),
    Case(
        entry="grpo_flow",
        instance="rewards whitened exactly, 3 of 20 arms, ODE on every logit: Pass@1",
        x=(50, 200, 500, 1000),
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.05, 0.02, 1001, 7, 3, np.log(20)).value[[50, 200, 500, 1000]],
        measure=lambda key: exact(mean_flow(_whitened(0.02), 0.05, 3, 20, [50, 200, 500, 1000])[0]),
    ),
    Case(
        entry="grpo_flow",
        instance="rewards whitened exactly, 3 of 20 arms, ODE on every logit: regret of 7 rollouts",
        x=(50, 200, 500, 1000),
        x_label="round",
        y_label="cumulative regret",
        predict=lambda f: f(0.05, 0.02, 1001, 7, 3, np.log(20)).regret[[50, 200, 500, 1000]],
        measure=lambda key: exact(7 * mean_flow(_whitened(0.02), 0.05, 3, 20, [51, 201, 501, 1001])[1]),
    ),
    Case(
        entry="grpo_flow",
        instance="GRPO, G = 8, needle among 100 arms, p0 = .01, step .05",
        x=(100, 200, 400, 600, 800),
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.01, 0.05, 801, 8, log_arms=LN100).value[[100, 200, 400, 600, 800]],
        measure=lambda key: of_seeds(
            simulate("grpo", p0=0.01, arms=100, step_size=0.05, group=8, rounds=801, seeds=100, key=key)[
                :, [100, 200, 400, 600, 800]
            ]
        ),
        inside=False,
        why="A group of 8 holds .08 correct answers at p0 = .01: most groups are dead and 1/sqrt(p) is not reached.",
    ),
)
