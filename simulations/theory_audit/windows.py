"""Audit of windows of scores and of dead groups drawn again: their curves, and token policies."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import numpy as np

from bandit_rft import arms, learners, policies, run, verifiers
from simulations.theory_audit import windows_noise
from simulations.theory_audit.case import Case, Measured, exact, joined, of_seeds
from simulations.theory_audit.explicit_groups import (
    mean_flow,
    mean_update_of,
    softmax,
    symmetric_policy,
)
from simulations.theory_audit.explicit_windows import PROBABILITIES, of_window

LN20 = np.log(20)
SMALL = "The step is small, not infinitesimal."


# ------------------------------------------------------------------------------------------------- curves of a window


def _stepped(
    signal: str, p0: float, rate: float, rounds: int, group: int, window: int, period: int, **options: Any
) -> np.ndarray:
    """p before each round of the mean update, every outcome of the window enumerated in each."""
    z, chances = np.log(p0 / (1 - p0)), []
    for t in range(rounds):
        p = 1 / (1 + np.exp(-z))
        chances.append(p)
        own = np.repeat(chances[t::-period], group)[:window]
        for rewards in itertools.product((0.0, 1.0), repeat=own.size):
            scores = np.asarray(rewards)
            weight = np.prod(np.where(scores > 0, own, 1 - own))
            signals = of_window(signal, scores, group, **options)
            z += rate * weight * np.mean(signals * (scores[:group] - p))
    return np.asarray(chances)


def _stepped_case(
    signal: str, group: int, window: int, period: int, shown: str, fixed: dict[str, Any], kappa: float, **options: Any
) -> Case:
    """`fixed` is what the entry is given of the table, whose squared gradient gap is kappa."""
    at = (1, 2, 4, 8, 16)
    own = "".join(f", {name} {value:g}" for name, value in options.items())
    regret = shown == "cumulative regret"

    def measure(key: int) -> Measured:
        path = _stepped(signal, 0.1, 0.4 * kappa, 17, group, window, period, **options)
        return exact((group * np.cumsum(1 - path) if regret else path)[list(at)])

    def predict(f: Any) -> Any:
        found = f(0.1, 0.4, 17, group, window, signal, period=period, **fixed, **options)
        return found.regret[list(at)] if regret else found.law.value(np.asarray(at, np.float64))

    return Case(
        entry="pg_window",
        instance=f"{signal}{own}, G = {group}, W = {window}, met every {period} rounds, windows enumerated: {shown}",
        x=at,
        x_label="round",
        y_label=shown,
        predict=predict,
        measure=measure,
    )


def _two_arms(key: int, at: list[int], *, p0: float = 0.1, seeds: int = 300, **learner: Any) -> np.ndarray:
    """Pass@1 [seeds, len(at)] of real runs on two arms, where kappa is 2."""
    history = run(
        arms.Bernoulli((1.0, 0.0), base_mass=(p0, 1 - p0)),
        learners.SoftmaxPolicyGradient(eps=0.0, **learner),
        rounds=at[-1] + 1,
        seeds=seeds,
        key=key,
    )
    return history.value[:, at]


def _in_turn(key: int, at: list[int], questions: int, group: int, window: int, rate: float) -> Measured:
    """Questions that share one logit are met in turn, each with its own window; 400 runs in NumPy."""
    generator, runs = np.random.default_rng(key), 400
    z = np.full(runs, np.log(0.1 / 0.9))
    scores = [np.zeros((runs, 0)) for _ in range(questions)]
    found = []
    for t in range(at[-1] + 1):
        p = 1 / (1 + np.exp(-z))
        found.append(p)
        rewards = (generator.random((runs, group)) < p[:, None]).astype(float)
        held = scores[t % questions] = np.concatenate([rewards, scores[t % questions]], axis=1)[:, :window]
        deviation = held.std(axis=1, ddof=1, keepdims=True)
        signals = np.where(
            deviation > 0, (rewards - held.mean(axis=1, keepdims=True)) / np.where(deviation, deviation, 1), 0
        )
        z = z + rate * np.mean(signals * (rewards - p[:, None]), axis=1)
    return of_seeds(np.stack([found[t] for t in at], axis=1))


_AT = [20, 40, 80, 120, 160]

WINDOW_CASES = (
    _stepped_case("grpo", 2, 5, 1, "Pass@1", {"optimal": 3, "log_arms": LN20}, 1 / 3 + 1 / 17),
    _stepped_case("grpo", 1, 6, 3, "Pass@1", {}, 1.0, ddof=0, eps=0.1),
    _stepped_case("grpo", 3, 7, 2, "cumulative regret", {"kappa": 2.5}, 2.5),
    _stepped_case("mean_baseline", 2, 4, 1, "Pass@1", {}, 1.0),
    Case(
        entry="pg_window",
        instance="grpo, G = 2, W = 5, met every 2 rounds, windows enumerated: first rounds at some levels",
        x=(0.05, 0.2, 0.4, 0.6),
        x_label="Pass@1 to reach",
        y_label="first round",
        predict=lambda f: [f(0.1, 0.4, 10, 2, 5, period=2).mean_hitting_time(level) for level in (0.05, 0.2, 0.4, 0.6)],
        measure=lambda key: exact(
            [(_stepped("grpo", 0.1, 0.4, 40, 2, 5, 2) >= level).argmax() for level in (0.05, 0.2, 0.4, 0.6)]
        ),
    ),
    Case(
        entry="pg_window",
        instance="grpo, G = 16, W = 128, real runs on two arms, p0 = .1, step .05",
        x=_AT,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.1, 0.05, 161, 16, 128, log_arms=np.log(2)).value[_AT],
        measure=lambda key: of_seeds(_two_arms(key, _AT, step_size=0.05, signal="grpo", rollouts=16, window=128)),
        tolerance=0.02,
        why=SMALL,
    ),
    Case(
        entry="pg_window",
        instance="grpo, G = 16, W = 64, 12 questions of one logit in turn, p0 = .1, step .05",
        x=_AT,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.1, 0.05, 161, 16, 64, kappa=2.0, period=12).value[_AT],
        measure=lambda key: _in_turn(key, _AT, 12, 16, 64, 0.1),
        tolerance=0.02,
        why=SMALL,
    ),
    Case(
        entry="pg_window",
        instance="grpo, G = 16, W = 64, 12 questions of one logit in turn, taken for one",
        x=_AT,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.1, 0.05, 161, 16, 64, kappa=2.0).value[_AT],
        measure=lambda key: _in_turn(key, _AT, 12, 16, 64, 0.1),
        inside=False,
        why="The window's older scores are twelve rounds old and more, not one.",
    ),
    Case(
        entry="pg_window",
        instance="grpo, G = 1, W = 8, real runs on two arms, p0 = .1, step 1",
        x=(5, 10, 20, 40),
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.1, 1.0, 41, 1, 8, log_arms=np.log(2)).value[[5, 10, 20, 40]],
        measure=lambda key: of_seeds(
            _two_arms(key, [5, 10, 20, 40], seeds=2000, step_size=1.0, signal="grpo", window=8)
        ),
        inside=False,
        why="A step of 1 is large: single rounds decide, and the mean over seeds is not the path of the mean update.",
    ),
)

# ------------------------------------------------------------------------------- curves of groups, a window or redraws


def _redrawn_update(group: int, most: int) -> Any:
    """π [20] -> the mean step of GRPO where dead groups are drawn again, 3 arms correct: draw by draw."""
    once = mean_update_of("grpo", group, 3, 20, 0.02)

    def update(policy: np.ndarray) -> np.ndarray:
        p = policy[:3].sum()
        reached, total = 1.0, np.zeros(20)
        for _ in range(most + 1):
            total += reached * once(policy)
            reached *= p**group + (1 - p) ** group
        return total

    return update


def _redrawn_regret(group: int, most: int, rounds: list[int]) -> np.ndarray:
    """Integral of pulls times 1 - p, by Simpson's rule on 40,000 points of the ODE's path."""
    from scipy.integrate import cumulative_simpson, solve_ivp

    update = _redrawn_update(group, most)
    time = np.linspace(0.0, rounds[-1], 40_001)
    start = np.log(symmetric_policy(0.05, 3, 20))
    path = solve_ivp(lambda _, z: update(softmax(z)), (0.0, time[-1]), start, "DOP853", time, rtol=1e-12, atol=1e-12)
    p = softmax(path.y.T)[:, :3].sum(axis=1)
    dead = p**group + (1 - p) ** group
    pulls = group * sum(dead**n for n in range(most + 1))
    return np.interp(rounds, time, cumulative_simpson(pulls * (1 - p), x=time, initial=0.0))


def _hits(key: int, learner: dict[str, Any], rounds: int, levels: tuple[float, ...]) -> Measured:
    value = _two_arms(key, list(range(rounds)), p0=0.05, seeds=150, **learner)
    return of_seeds(np.stack([(value >= level).argmax(axis=1) for level in levels], axis=1))


def _regret_of_runs(key: int) -> Measured:
    history = run(
        arms.Bernoulli((1.0, 0.0), base_mass=(0.05, 0.95)),
        learners.SoftmaxPolicyGradient(step_size=0.02, signal="grpo", rollouts=4, eps=0.0, dynamic_sampling=6),
        rounds=401,
        seeds=150,
        key=key,
    )
    return of_seeds(history.regret()[:, [100, 200, 400]])


_ROUNDS = [50, 200, 500, 1000, 3000]
_LEVELS = (0.1, 0.3, 0.5, 0.8)

FLOW_CASES = (
    Case(
        entry="pg_group",
        instance="grpo, G = 2, a window of 8, 3 of 20 arms, ODE of groups of 8 on every logit: Pass@1",
        x=_ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f("grpo", 0.05, 0.02, 3001, 2, 3, LN20, window=8).value[_ROUNDS],
        measure=lambda key: exact(mean_flow(mean_update_of("grpo", 8, 3, 20, 0.02), 0.05, 3, 20, _ROUNDS)[0]),
    ),
    Case(
        entry="pg_group",
        instance="grpo, G = 2, a window of 8, 3 of 20 arms, ODE of groups of 8 on every logit: regret",
        x=_ROUNDS,
        x_label="round",
        y_label="cumulative regret",
        predict=lambda f: f("grpo", 0.05, 0.02, 3001, 2, 3, LN20, window=8).regret[_ROUNDS],
        measure=lambda key: exact(
            2 * mean_flow(mean_update_of("grpo", 8, 3, 20, 0.02), 0.05, 3, 20, [t + 1 for t in _ROUNDS])[1]
        ),
    ),
    Case(
        entry="pg_group",
        instance="grpo, G = 4, dead groups again up to 3 times, 3 of 20 arms, ODE on every logit: Pass@1",
        x=_ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f("grpo", 0.05, 0.02, 3001, 4, 3, LN20, dynamic_sampling=3).value[_ROUNDS],
        measure=lambda key: exact(mean_flow(_redrawn_update(4, 3), 0.05, 3, 20, _ROUNDS)[0]),
    ),
    Case(
        entry="pg_group",
        instance="grpo, G = 4, dead groups again up to 3 times, 3 of 20 arms, ODE on every logit: regret of all pulls",
        x=_ROUNDS,
        x_label="round",
        y_label="cumulative regret",
        predict=lambda f: f("grpo", 0.05, 0.02, 3001, 4, 3, LN20, dynamic_sampling=3).regret[_ROUNDS],
        measure=lambda key: exact(_redrawn_regret(4, 3, [t + 1 for t in _ROUNDS])),
        tolerance=1e-6,
        why="The measured integral is a sum over 40,000 points.",
    ),
    Case(
        entry="pg_group",
        instance="grpo, G = 4, dead groups again up to 6 times, real runs on two arms, step .02: first rounds",
        x=_LEVELS,
        x_label="Pass@1 to reach",
        y_label="mean first round",
        predict=lambda f: [
            f("grpo", 0.05, 0.02, 10, 4, log_arms=np.log(2), dynamic_sampling=6).mean_hitting_time(level)
            for level in _LEVELS
        ],
        measure=lambda key: _hits(
            key, {"step_size": 0.02, "signal": "grpo", "rollouts": 4, "dynamic_sampling": 6}, 300, _LEVELS
        ),
        tolerance=0.03,
        why=SMALL,
    ),
    Case(
        entry="pg_group",
        instance="grpo, G = 4, dead groups again up to 6 times, real runs on two arms, step .02: regret of all pulls",
        x=(100, 200, 400),
        x_label="round",
        y_label="cumulative regret",
        predict=lambda f: f("grpo", 0.05, 0.02, 401, 4, log_arms=np.log(2), dynamic_sampling=6).regret[[100, 200, 400]],
        measure=_regret_of_runs,
        tolerance=0.03,
        why=SMALL,
    ),
    Case(
        entry="pg_group",
        instance="grpo, G = 2, a window of 8, real runs on two arms, step .01: first rounds",
        x=_LEVELS,
        x_label="Pass@1 to reach",
        y_label="mean first round",
        predict=lambda f: [
            f("grpo", 0.05, 0.01, 10, 2, log_arms=np.log(2), window=8).mean_hitting_time(level) for level in _LEVELS
        ],
        measure=lambda key: _hits(key, {"step_size": 0.01, "signal": "grpo", "rollouts": 2, "window": 8}, 900, _LEVELS),
        tolerance=0.03,
        why=SMALL,
    ),
    Case(
        entry="pg_group",
        instance="grpo, G = 1, a window of 64, real runs on two arms, step .2: Pass@1",
        x=(10, 20, 40),
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f("grpo", 0.1, 0.2, 41, 1, log_arms=np.log(2), window=64).value[[10, 20, 40]],
        measure=lambda key: of_seeds(_two_arms(key, [10, 20, 40], seeds=2000, step_size=0.2, signal="grpo", window=64)),
        inside=False,
        why="The policy moves while 64 scores are gathered, one a round: the window is not full, and it lags.",
    ),
)

# ------------------------------------------------------------------------------------------------ pulls, token policies


def _pulls(key: int, most: int, group: int, step: float = 0.0, rounds: int = 1) -> Measured:
    """Pulls of the last round at PROBABILITIES, drawn group by group in NumPy; 20,000 runs of rloo on two arms."""
    generator, runs, found = np.random.default_rng(key), 20_000, []
    for start in PROBABILITIES:
        z, pulls = np.full(runs, np.log(start / (1 - start))), np.zeros(runs)
        for _ in range(rounds):
            p = 1 / (1 + np.exp(-z))
            rewards = generator.random((runs, group)) < p[:, None]
            pulls = np.full(runs, group)
            for _ in range(most):
                dead = np.flatnonzero(np.ptp(rewards.astype(int), axis=1) == 0)
                if not dead.size:
                    break
                rewards[dead] = generator.random((dead.size, group)) < p[dead, None]
                pulls[dead] += group
            mean = rewards.mean(axis=1, keepdims=True)
            signals = (rewards - mean) * group / (group - 1)
            z = z + step * 2 * np.mean(signals * (rewards - p[:, None]), axis=1)
        found.append(of_seeds(pulls))
    return joined(found)


def _pulls_case(most: int, group: int, given: int | None, **outside: Any) -> Case:
    until = "until alive" if given is None else f"again up to {most} times"
    moved = ", ten rounds on at step 1" if outside else ""
    return Case(
        entry="dynamic_sampling_pulls",
        instance=f"groups of {group} drawn {until}{moved}, group by group",
        x=PROBABILITIES,
        x_label="p",
        y_label="pulls of a round",
        predict=lambda f: f(np.asarray(PROBABILITIES), group, given),
        measure=lambda key: _pulls(key, most, group, **({"step": 1.0, "rounds": 10} if outside else {})),
        **outside,
    )


def _token_drift(key: int, rounds: int, **learner: Any) -> Measured:
    """Drift of logit p over that of exact gradients on the raw reward, in the last of some tiny steps of a prefix tree
    and of one softmax for all positions; seeds in one run each.
    """
    found = []
    for place, policy in enumerate((policies.PrefixTree(), policies.LogLinear())):
        world = arms.TokenSequences(3, 2, verifiers.AnswerToken(1), policy)
        history = run(
            world,
            learners.SoftmaxPolicyGradient(step_size=1e-4, eps=0.0, **learner),
            rounds=rounds + 1,
            seeds=5000,
            key=key + place,
        )
        with jax.enable_x64(True):
            own = policy.bind(3, 2, world.verifier, touches=0)
            assert own.kappa is not None
            kappa = float(own.kappa(own.init()))
        z = np.log(history.value) - np.log1p(-history.value)
        p = history.value[:, -2]
        found.append(of_seeds((z[:, -1] - z[:, -2]) / (1e-4 * kappa * p * (1 - p))))
    return joined(found)


TOKEN_CASES = (
    Case(
        entry="score_window_drift",
        instance="grpo, G = 2, W = 6, third round of real runs on two token policies, p = 1/3",
        x=(0, 1),
        x_label="prefix tree (0) or one softmax (1)",
        y_label="drift over that of the raw reward",
        predict=lambda f: [f(1 / 3, 2, 6)] * 2,
        measure=lambda key: _token_drift(key, 3, signal="grpo", rollouts=2, window=6),
    ),
    Case(
        entry="dynamic_sampling_drift",
        instance="grpo, G = 4, up to 3 further draws, one real round on two token policies, p = 1/3",
        x=(0, 1),
        x_label="prefix tree (0) or one softmax (1)",
        y_label="drift over that of the raw reward",
        predict=lambda f: [f("grpo", 1 / 3, 4, 3)] * 2,
        measure=lambda key: _token_drift(key, 1, signal="grpo", rollouts=4, dynamic_sampling=3),
    ),
    _pulls_case(3, 4, 3),
    _pulls_case(2000, 3, None),
    _pulls_case(1, 2, 1),
    _pulls_case(3, 4, 3, inside=False, why="The policy moves: p is that of the start after the first round no more."),
)

CASES: tuple[Case, ...] = (*WINDOW_CASES, *FLOW_CASES, *windows_noise.CASES, *TOKEN_CASES)
