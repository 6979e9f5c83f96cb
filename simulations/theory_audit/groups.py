"""Audit of section B, groups of rollouts, and the identities of a verifiable reward (F8 to F10)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import binom

from bandit_rft import arms, learners, run
from simulations.theory_audit import dynamic_sampling, group_flow, group_noise, regularised, verifiable, windows
from simulations.theory_audit.case import Case, Measured, exact, joined, of_seeds
from simulations.theory_audit.explicit_groups import signal_of, signals_by_count

PROBABILITIES = (0.03, 0.1, 0.3, 0.5, 0.8)
GROUPS = (2, 4, 8)


def _one_step(
    p: float, key: int, *, seeds: int, step_size: float = 1.0, noise: tuple[float, float] | None = None, **learner: Any
) -> Measured:
    """Mean drift of logit p over that of the raw reward, from one real update on two arms: there z = θ_1 - θ_2 moves
    by the update itself, whatever the step, so that nothing is linearised. κ = 2.
    """
    table = arms.Bernoulli((1.0, 0.0), base_mass=(p, 1 - p))
    history = run(
        table if noise is None else arms.Noisy(table, *noise),
        learners.SoftmaxPolicyGradient(step_size=step_size, **learner),
        rounds=2,
        seeds=seeds,
        key=key,
    )
    logit = np.log(history.value) - np.log1p(-history.value)
    return of_seeds((logit[:, 1] - logit[:, 0]) / (step_size * 2 * p * (1 - p)))


def _over(points: tuple[float, ...], name: str, **fixed: Any) -> Callable[[int], Measured]:
    """`_one_step` at each point of p, or of rollouts."""

    def measure(key: int) -> Measured:
        parts = []
        for i, point in enumerate(points):
            setting = {"p": 0.3, **fixed, name: point}
            parts.append(_one_step(key=key + i, **setting))
        return joined(parts)

    return measure


def _by_count(signal: str, group: int, **options: Any) -> np.ndarray:
    """A signal's drift over the raw reward's at PROBABILITIES, summed over the number of correct rollouts."""
    up, down = signals_by_count(signal, group, **options)
    right, p = np.arange(group + 1), np.asarray(PROBABILITIES)[:, None]
    drift = (right * up * (1 - p) - (group - right) * down * p) / group
    return (binom.pmf(right, group, p) * drift).sum(axis=1) / (p * (1 - p))[:, 0]


def _dead_share(key: int, p: float, groups: tuple[int, ...]) -> Measured:
    """Share of groups whose rewards are all equal: the first pulls of the first round of real runs."""
    history = run(
        arms.Needle(log10_arms=3, p0=p),
        learners.SoftmaxPolicyGradient(step_size=0.1, signal="grpo", rollouts=groups[-1]),
        rounds=1,
        seeds=4000,
        key=key,
    )
    return of_seeds(np.stack([np.ptp(history.rewards[:, 0, :group], axis=1) == 0 for group in groups], axis=1))


def _dead_while_learning(key: int) -> Measured:
    history = run(
        arms.Needle(log10_arms=2, p0=0.1),
        learners.SoftmaxPolicyGradient(step_size=0.5, signal="grpo", rollouts=8),
        rounds=60,
        seeds=1000,
        key=key,
    )
    return of_seeds((np.ptp(history.rewards, axis=2) == 0)[:, [0, 5, 10, 20, 40]])


def _correlated(key: int, groups: tuple[int, ...]) -> Measured:
    """Rollouts that copy the first one of their group with probability a half."""
    generator = np.random.default_rng(key)
    parts = []
    for group in groups:
        own = generator.random((20000, group)) < 0.1
        copied = generator.random((20000, group)) < 0.5
        rewards = np.where(copied, own[:, :1], own)
        parts.append(of_seeds(np.ptp(rewards.astype(int), axis=1) == 0))
    return joined(parts)


def _constant_signal(signal: str, seeds: int = 4000, **learner: Any) -> Case:
    return Case(
        entry="drift_multiplier",
        instance=f"{signal}, p = .3, one real update on two arms",
        x=GROUPS,
        x_label="rollouts a round",
        y_label="drift over that of the raw reward",
        predict=lambda f: [f(signal, rollouts=group) for group in GROUPS],
        measure=_over(GROUPS, "rollouts", signal=signal, seeds=seeds, **learner),
    )


def _grpo(ddof: int, group: int, seeds: int, eps: float = 0.0) -> Case:
    return Case(
        entry="drift_multiplier",
        instance=f"grpo, ddof {ddof}, eps {eps:g}, G = {group}, one real update on two arms",
        x=PROBABILITIES[1:],
        x_label="p",
        y_label="drift over that of the raw reward",
        predict=lambda f: f("grpo", np.asarray(PROBABILITIES[1:]), group, ddof, eps),
        measure=_over(PROBABILITIES[1:], "p", signal="grpo", rollouts=group, ddof=ddof, eps=eps, seeds=seeds),
    )


def _grpo_exact(ddof: int, group: int, eps: float) -> Case:
    return Case(
        entry="drift_multiplier",
        instance=f"grpo, ddof {ddof}, eps {eps:g}, G = {group}, summed over the number of correct rollouts",
        x=PROBABILITIES,
        x_label="p",
        y_label="drift over that of the raw reward",
        predict=lambda f: f("grpo", np.asarray(PROBABILITIES), group, ddof, eps),
        measure=lambda key: exact(_by_count("grpo", group, ddof=ddof, eps=eps)),
    )


def _by_p(signal: str, group: int, **k: int) -> Case:
    """A signal whose multiplier depends on p, but for GRPO. Above p = .5 nearly all groups of MaxRL move alike."""
    points = PROBABILITIES[1:4]
    return Case(
        entry="drift_multiplier",
        instance=f"{signal}{_shown(k)}, G = {group}, one real update on two arms",
        x=points,
        x_label="p",
        y_label="drift over that of the raw reward",
        predict=lambda f: f(signal, np.asarray(points), group, **k),
        measure=_over(points, "p", signal=signal, rollouts=group, seeds=5000, **k),
    )


def _by_p_exact(signal: str, group: int, **k: int) -> Case:
    return Case(
        entry="drift_multiplier",
        instance=f"{signal}{_shown(k)}, G = {group}, summed over the number of correct rollouts",
        x=PROBABILITIES,
        x_label="p",
        y_label="drift over that of the raw reward",
        predict=lambda f: f(signal, np.asarray(PROBABILITIES), group, **k),
        measure=lambda key: exact(_by_count(signal, group, **k)),
    )


def _shown(k: dict[str, int]) -> str:
    return "".join(f", k = {value}" for value in k.values())


MULTIPLIER_CASES = (
    _constant_signal("raw"),
    _constant_signal("signed"),
    _constant_signal("mean_baseline"),
    _constant_signal("rloo"),
    _constant_signal("psr"),
    _constant_signal("nsr"),
    Case(
        entry="drift_multiplier",
        instance="grpo, 2 rollouts and 6 more for mean and spread alone: G = 8, one real update on two arms",
        x=PROBABILITIES[1:],
        x_label="p",
        y_label="drift over that of the raw reward",
        predict=lambda f: f("grpo", np.asarray(PROBABILITIES[1:]), 8),
        measure=_over(PROBABILITIES[1:], "p", signal="grpo", rollouts=2, extra_rollouts=6, eps=0.0, seeds=5000),
    ),
    _by_p("maxrl", 4),
    _by_p("maxrl_centred", 4),
    _by_p("pass_at_k", 8, k=4),
    _by_p_exact("maxrl", 64),
    _by_p_exact("maxrl_centred", 64),
    _by_p_exact("pass_at_k", 10, k=1),
    _by_p_exact("pass_at_k", 10, k=3),
    _by_p_exact("pass_at_k", 8),
    _grpo(0, 8, 5000),
    _grpo(1, 8, 5000),
    _grpo_exact(0, 8, 0.0),
    _grpo_exact(1, 8, 0.0),
    _grpo_exact(1, 32, 0.1),
    _grpo_exact(0, 1000, 1e-4),
    Case(
        entry="drift_multiplier",
        instance="grpo, a group of one, eps .25, one real update on two arms",
        x=PROBABILITIES[1:],
        x_label="p",
        y_label="drift over that of the raw reward",
        predict=lambda f: [f("grpo", p, 1, eps=0.25) for p in PROBABILITIES[1:]],
        measure=_over(PROBABILITIES[1:], "p", signal="grpo", rollouts=1, eps=0.25, seeds=5000),
    ),
    Case(
        entry="drift_multiplier",
        instance="grpo, G = 8, a verifier with rates .9 and .1",
        x=PROBABILITIES[1:],
        x_label="p",
        y_label="drift over that of the raw reward",
        predict=lambda f: f("grpo", np.asarray(PROBABILITIES[1:]), 8),
        measure=_over(PROBABILITIES[1:], "p", signal="grpo", rollouts=8, eps=0.0, noise=(0.9, 0.1), seeds=5000),
        inside=False,
        why="Rewards are noisy, not a function of the answer; noisy_verifier has the law.",
    ),
    Case(
        entry="drift_multiplier",
        instance="maxrl, G = 8, a verifier with rates .9 and .1",
        x=PROBABILITIES[1:],
        x_label="p",
        y_label="drift over that of the raw reward",
        predict=lambda f: f("maxrl", np.asarray(PROBABILITIES[1:]), 8),
        measure=_over(PROBABILITIES[1:], "p", signal="maxrl", rollouts=8, noise=(0.9, 0.1), seeds=5000),
        inside=False,
        why="Rewards are noisy, not a function of the answer; noisy_verifier has the law.",
    ),
    Case(
        entry="drift_multiplier",
        instance="raw reward, G = 4, four clipped epochs at step 1",
        x=PROBABILITIES[1:],
        x_label="p",
        y_label="drift over that of the raw reward",
        predict=lambda f: [f("raw", rollouts=4)] * 4,
        measure=_over(PROBABILITIES[1:], "p", signal="raw", rollouts=4, clip=0.2, epochs=4, seeds=2000),
        inside=False,
        why="Several clipped epochs a round (PPO) are not one step along the mean of signal times score.",
    ),
    Case(
        entry="drift_multiplier",
        instance="the speed-up 1/sqrt(p (1-p)) of infinite groups, held against groups of 8",
        x=PROBABILITIES[:4],
        x_label="p",
        y_label="drift over that of the raw reward",
        predict=lambda f: f("grpo", np.asarray(PROBABILITIES[:4]), 10_000, 0),
        measure=_over(PROBABILITIES[:4], "p", signal="grpo", rollouts=8, ddof=0, eps=0.0, seeds=5000),
        inside=False,
        why="G = 10,000 was predicted, G = 8 run: where G p << 1 the speed-up is sqrt(G - 1), not 1/sqrt(p).",
    ),
)

DEAD_CASES = (
    Case(
        entry="dead_group_probability",
        instance="first rounds of GRPO on a needle, p = .1",
        x=(2, 4, 8, 16),
        x_label="rollouts a round",
        y_label="share of dead groups",
        predict=lambda f: [f(0.1, group) for group in (2, 4, 8, 16)],
        measure=lambda key: _dead_share(key, 0.1, (2, 4, 8, 16)),
    ),
    Case(
        entry="dead_group_probability",
        instance="first rounds of GRPO on a needle, p = .8",
        x=(2, 3, 4, 6),
        x_label="rollouts a round",
        y_label="share of dead groups",
        predict=lambda f: [f(0.8, group) for group in (2, 3, 4, 6)],
        measure=lambda key: _dead_share(key, 0.8, (2, 3, 4, 6)),
    ),
    Case(
        entry="dead_group_probability",
        instance="p0 = .1 kept while GRPO learns, G = 8, step .5",
        x=(0, 5, 10, 20, 40),
        x_label="round",
        y_label="share of dead groups",
        predict=lambda f: [f(0.1, 8)] * 5,
        measure=_dead_while_learning,
        inside=False,
        why="The policy moves: p is not p0 after the first round.",
    ),
    Case(
        entry="dead_group_probability",
        instance="rollouts that copy the group's first with probability a half, p = .1",
        x=(2, 4, 8, 16),
        x_label="rollouts a round",
        y_label="share of dead groups",
        predict=lambda f: [f(0.1, group) for group in (2, 4, 8, 16)],
        measure=lambda key: _correlated(key, (2, 4, 8, 16)),
        inside=False,
        why="The rollouts of a group are correlated.",
    ),
)


def _windowed(signal: str, past: float, now: float, rollouts: int, window: int, **options: Any) -> float:
    """Drift over the raw reward's, summed over every outcome of the window by itertools, on two arms."""
    total = 0.0
    for rewards in itertools.product((0.0, 1.0), repeat=window):
        scores = np.asarray(rewards)
        chance = np.where(np.arange(window) < rollouts, now, past)
        advantage = signal_of(signal, scores, **options)[:rollouts]
        along = np.where(scores[:rollouts] > 0, 1 - now, -now)
        total += np.prod(np.where(scores > 0, chance, 1 - chance)) * np.mean(advantage * along)
    return float(total / (now * (1 - now)))


def _second_round(key: int, p: float) -> Measured:
    """Drift in the second round of real runs, whose window holds the first round's scores; two arms, a tiny step."""
    history = run(
        arms.Bernoulli((1.0, 0.0), base_mass=(p, 1 - p)),
        learners.SoftmaxPolicyGradient(step_size=1e-6, signal="grpo", rollouts=2, window=4, eps=0.0),
        rounds=3,
        seeds=5000,
        key=key,
    )
    logit = np.log(history.value) - np.log1p(-history.value)
    return of_seeds((logit[:, 2] - logit[:, 1]) / (1e-6 * 2 * p * (1 - p)))


def _window_case(signal: str, rollouts: int, **options: Any) -> Case:
    now = (0.1, 0.3, 0.6, 0.9)
    shown = "".join(f", {name} {value:g}" for name, value in options.items())
    return Case(
        entry="score_window_drift",
        instance=f"{signal}{shown}, G = {rollouts}, W = 7, older scores of chance .2, every window enumerated",
        x=now,
        x_label="p now",
        y_label="drift over that of the raw reward",
        predict=lambda f: [f(p, rollouts, 7, 0.2, signal, **options) for p in now],
        measure=lambda key: exact([_windowed(signal, 0.2, p, rollouts, 7, **options) for p in now]),
    )


WINDOW_CASES = (
    _window_case("grpo", 1, ddof=1),
    _window_case("grpo", 3, ddof=0, eps=0.1),
    _window_case("mean_baseline", 2),
    Case(
        entry="score_window_drift",
        instance="grpo, G = 2, W = 4, second round of real runs on two arms, step 1e-6",
        x=(0.1, 0.3, 0.6),
        x_label="p now",
        y_label="drift over that of the raw reward",
        predict=lambda f: [f(p, 2, 4) for p in (0.1, 0.3, 0.6)],
        measure=lambda key: joined([_second_round(key + i, p) for i, p in enumerate((0.1, 0.3, 0.6))]),
    ),
    Case(
        entry="score_window_drift",
        instance="grpo, ddof 1, G = 1, W = 7, the older scores' chance of .2 taken for today's",
        x=(0.3, 0.6, 0.9),
        x_label="p now",
        y_label="drift over that of the raw reward",
        predict=lambda f: [f(p, 1, 7) for p in (0.3, 0.6, 0.9)],
        measure=lambda key: exact([_windowed("grpo", 0.2, p, 1, 7) for p in (0.3, 0.6, 0.9)]),
        inside=False,
        why="The policy has moved since the older scores were drawn: their chance must be given.",
    ),
)

CASES: tuple[Case, ...] = (
    *MULTIPLIER_CASES,
    *WINDOW_CASES,
    *DEAD_CASES,
    *dynamic_sampling.CASES,
    *group_flow.CASES,
    *group_noise.CASES,
    *windows.CASES,
    *regularised.CASES,
    *verifiable.CASES,
)
