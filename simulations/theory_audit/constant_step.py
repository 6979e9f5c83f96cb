"""Audit of how sampled policy gradient's regret grows at a constant step: two arms around the threshold, and many."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

from simulations.theory_audit.case import Case, Measured, by_jackknife, exact, of_seeds

_TAIL = "Many rounds mean all of them: the powers are reached slowly."


def _two_arms(
    rounds: Sequence[int],
    means: tuple[float, float],
    step: float,
    seeds: int,
    key: int,
    *,
    rollouts: int = 1,
    baseline: float = 0.0,
    deterministic: bool = False,
    running: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits z and regrets, float64 [S, N], after these rounds from the uniform policy; `running`: the baseline is the
    mean of the rewards so far.
    """
    generator = np.random.default_rng(key)
    z, regret, logits, regrets = np.zeros(seeds), np.zeros(seeds), [], []
    total = np.zeros(seeds)
    for t in range(1, max(rounds) + 1):
        p = 1.0 / (1.0 + np.exp(-z))
        regret += rollouts * (means[0] - means[1]) * (1.0 - p)
        move = np.zeros(seeds)
        for _ in range(rollouts):
            best = generator.random(seeds) < p
            mean = np.where(best, *means)
            reward = mean if deterministic else (generator.random(seeds) < mean).astype(float)
            against = total / max(t - 1, 1) if running else baseline
            move += (reward - against) * np.where(best, 1.0 - p, -p)
            total += reward / rollouts
        z = z + 2.0 * step * move / rollouts
        if t in rounds:
            logits.append(z.copy())
            regrets.append(regret.copy())
    return np.stack(logits, axis=1), np.stack(regrets, axis=1)


def _staying(rounds: tuple[int, int], *arguments: Any, **options: Any) -> Measured:
    """a in P(the worse arm is the likelier after t rounds) ~ t^-a, between two rounds."""
    logits, _ = _two_arms(rounds, *arguments, **options)
    return by_jackknife(
        logits < 0, lambda at: [-np.log(at[:, 1].mean() / at[:, 0].mean()) / np.log(rounds[1] / rounds[0])]
    )


def _regret_exponent(rounds: tuple[int, int], *arguments: Any, **options: Any) -> Measured:
    """1 - a of `_staying`, the exponent of what regret grows as; 0 where a exceeds 1."""
    value, error = _staying(rounds, *arguments, **options)
    return Measured(np.maximum(0.0, 1.0 - value), error)


def _threshold(steps: tuple[float, float], rounds: tuple[int, int], *arguments: Any, **options: Any) -> Measured:
    """The step at which `_staying` is 1, on the line of its logarithm between two steps."""
    means, seeds, key = arguments
    found = [_staying(rounds, means, step, seeds, key + place, **options) for place, step in enumerate(steps)]
    value, error = (np.array([float(part[0]) for part in parts]) for parts in zip(*found, strict=True))
    slope = np.diff(np.log(value))[0] / np.diff(np.log(steps))[0]
    root = np.log(steps[0]) - np.log(value[0]) / slope
    # How the root answers to each of the two.
    weight = (np.log(steps[1]) - root) / np.diff(np.log(steps))[0]
    spread = np.hypot(weight * error[0] / value[0], (1 - weight) * error[1] / value[1]) / abs(slope)
    return Measured(np.exp([root]), np.exp([root]) * spread)


def _gained(means: Sequence[float], step: float, rounds: tuple[int, int], seeds: int, key: int) -> Measured:
    """Regret per unit of ln T between two rounds: any number of arms, Bernoulli rewards, one rollout."""
    generator, mean = np.random.default_rng(key), np.asarray(means)
    logit, regret, found = np.zeros((seeds, mean.size)), np.zeros(seeds), []
    rows = np.arange(seeds)
    for t in range(1, rounds[1] + 1):
        policy = np.exp(logit - logit.max(axis=1, keepdims=True))
        policy /= policy.sum(axis=1, keepdims=True)
        regret += mean.max() - policy @ mean
        arm = np.minimum((generator.random((seeds, 1)) > policy.cumsum(axis=1)).sum(axis=1), mean.size - 1)
        won = step * (generator.random(seeds) < mean[arm])
        logit -= won[:, None] * policy
        logit[rows, arm] += won
        if t in rounds:
            found.append(regret.copy())
    return of_seeds((found[1] - found[0]) / np.log(rounds[1] / rounds[0]))


def _two_arm_gained(rounds: tuple[int, int], *arguments: Any, **options: Any) -> Measured:
    _, regret = _two_arms(rounds, *arguments, **options)
    return of_seeds((regret[:, 1] - regret[:, 0]) / np.log(rounds[1] / rounds[0]))


def _root(best: str, other: str, baseline: str) -> float:
    """The threshold of Bernoulli rewards, bisected in numbers of 60 digits."""
    with localcontext() as context:
        context.prec = 60
        mean, lesser, against = Decimal(best), Decimal(other), Decimal(baseline)

        def left(x: Decimal) -> Decimal:
            won = mean * (-2 * x * (1 - against)).exp()
            return won + (1 - mean) * (2 * x * against).exp() - 1 + 2 * x * (lesser - against)

        low, high = Decimal("1e-9"), Decimal(1000)
        for _ in range(150):
            middle = (low + high) / 2
            low, high = (middle, high) if left(middle) < 0 else (low, middle)
        return float(low)


# Means and baseline of instances whose roots lie where one form of the equation serves, and where the other does.
_DIGITS = (("0.5", "0.499", "0.2"), ("0.9", "0.6", "0.0"), ("0.9", "0.3", "0.1"), ("0.8", "0.1", "0.0"))
_STEPS = tuple(1.5 * _root(*digits) for digits in _DIGITS)
_RUNNING = "A baseline that follows the rewards is not constant: at the worse arm it comes to that arm's mean."


def _joined(parts: Sequence[Measured]) -> Measured:
    return Measured(*(np.concatenate(found) for found in zip(*parts, strict=True)))


def _threshold_case(instance: str, x: Sequence[float], predict: Any, measure: Any, **options: Any) -> Case:
    return Case(
        entry="two_arm_step_threshold",
        instance=instance,
        x=x,
        x_label="mean reward of the worse arm",
        y_label="step where staying falls as 1/t",
        predict=lambda f: [predict(f, other) for other in x],
        measure=measure,
        **options,
    )


def _exponent_case(instance: str, x: Sequence[float], predict: Any, measure: Any, **options: Any) -> Case:
    return Case(
        entry="two_arm_regret_exponent",
        instance=instance,
        x=x,
        x_label="step size",
        y_label="power of the horizon",
        predict=lambda f: [predict(f, step) for step in x],
        measure=measure,
        **options,
    )


def _growth_case(instance: str, x: Sequence[float], arms: int, measure: Any, rollouts: int = 1, **options: Any) -> Case:
    return Case(
        entry="regret_per_log_round",
        instance=instance,
        x=x,
        x_label="step size",
        y_label="reward lost per unit of ln T",
        predict=lambda f: [f(step_size=step, log_arms=np.log(arms), rollouts=rollouts) for step in x],
        measure=measure,
        **options,
    )


CASES = (
    _threshold_case(
        "Bernoulli, the better arm .9, rounds 160 to 640, with .6 those to 2560",
        (0.4, 0.5, 0.6),
        lambda f, other: f(best_mean=0.9, other_mean=other),
        lambda key: _joined(
            [
                _threshold((0.8, 1.1), (160, 640), (0.9, 0.4), 400_000, key),
                _threshold((0.6, 0.8), (160, 640), (0.9, 0.5), 400_000, key + 2),
                _threshold((0.38, 0.5), (640, 2560), (0.9, 0.6), 200_000, key + 4),
            ]
        ),
        tolerance=0.05,
        why=_TAIL,
    ),
    _threshold_case(
        "rewards always .9 and .5, 4 rollouts, rounds 160 to 640",
        (0.5,),
        lambda f, other: f(best_mean=0.9, other_mean=other, rollouts=4, reward="deterministic"),
        lambda key: _threshold((2.5, 3.5), (160, 640), (0.9, 0.5), 400_000, key, rollouts=4, deterministic=True),
        tolerance=0.05,
        why=_TAIL,
    ),
    _threshold_case(
        "Bernoulli .9 and .5, baseline .2, rounds 160 to 640",
        (0.5,),
        lambda f, other: f(best_mean=0.9, other_mean=other, baseline=0.2),
        lambda key: _threshold((1.0, 1.4), (160, 640), (0.9, 0.5), 400_000, key, baseline=0.2),
        tolerance=0.05,
        why=_TAIL,
    ),
    _threshold_case(
        "Bernoulli .9 and .6, signals less the mean reward so far",
        (0.6,),
        lambda f, other: f(best_mean=0.9, other_mean=other),
        lambda key: _threshold((1.2, 2.0), (40, 160), (0.9, 0.6), 400_000, key, running=True),
        inside=False,
        why=_RUNNING,
    ),
    *(
        _threshold_case(
            f"the equation bisected to 60 digits, Bernoulli {best} and {other}, baseline {baseline}",
            (float(other),),
            lambda f, other, best=best, baseline=baseline: f(
                best_mean=float(best), other_mean=other, baseline=float(baseline)
            ),
            lambda key, digits=(best, other, baseline): exact([_root(*digits)]),
        )
        for best, other, baseline in _DIGITS
    ),
    _exponent_case(
        "Bernoulli .9 and .6, rounds 640 to 10,240",
        (0.7, 1.0, 2.0, 4.0),
        lambda f, step: f(best_mean=0.9, other_mean=0.6, step_size=step),
        lambda key: _joined(
            [
                _regret_exponent((640, 10240), (0.9, 0.6), step, 30_000, key + place)
                for place, step in enumerate((0.7, 1.0, 2.0, 4.0))
            ]
        ),
        tolerance=0.03,
        why=_TAIL,
    ),
    _exponent_case(
        "rewards always .9 and .5, rounds 640 to 10,240",
        (1.5,),
        lambda f, step: f(best_mean=0.9, other_mean=0.5, step_size=step, reward="deterministic"),
        lambda key: _regret_exponent((640, 10240), (0.9, 0.5), 1.5, 30_000, key, deterministic=True),
        tolerance=0.03,
        why=_TAIL,
    ),
    _exponent_case(
        "Bernoulli .9 and .6, signals less the mean reward so far",
        (2.0,),
        lambda f, step: f(best_mean=0.9, other_mean=0.6, step_size=step),
        lambda key: _regret_exponent((640, 10240), (0.9, 0.6), 2.0, 30_000, key, running=True),
        inside=False,
        why=_RUNNING,
    ),
    *(
        _exponent_case(
            f"the equation bisected to 60 digits, Bernoulli {best} and {other}, baseline {baseline}",
            (step,),
            lambda f, step, means=(float(best), float(other)), baseline=float(baseline): f(
                *means, step_size=step, baseline=baseline
            ),
            lambda key: exact([1 / 3]),
        )
        for (best, other, baseline), step in zip(_DIGITS, _STEPS, strict=True)
    ),
    _growth_case(
        "Bernoulli .9 and .4, rounds 2000 to 20,000",
        (0.25, 0.5, 0.75),
        2,
        lambda key: _joined(
            [
                _two_arm_gained((2000, 20000), (0.9, 0.4), step, 3000, key + place)
                for place, step in enumerate((0.25, 0.5, 0.75))
            ]
        ),
        tolerance=0.02,
        why=_TAIL,
    ),
    _growth_case(
        "Bernoulli .9 and .4, baseline .5, 4 rollouts, rounds 2000 to 20,000",
        (0.5,),
        2,
        lambda key: _two_arm_gained((2000, 20000), (0.9, 0.4), 0.5, 2000, key, baseline=0.5, rollouts=4),
        rollouts=4,
        tolerance=0.02,
        why=_TAIL,
    ),
    _growth_case(
        "five distinct Bernoulli arms, rounds 10,000 to 100,000",
        (0.1,),
        5,
        lambda key: _gained((0.9, 0.6, 0.5, 0.3, 0.1), 0.1, (10000, 100000), 500, key),
        tolerance=0.03,
        why=_TAIL,
    ),
    _growth_case(
        "Bernoulli .9 and .4, above the threshold, rounds 2000 to 20,000",
        (2.0,),
        2,
        lambda key: _two_arm_gained((2000, 20000), (0.9, 0.4), 2.0, 3000, key),
        inside=False,
        why="The step is twice the threshold: regret grows as a power of the horizon.",
    ),
)
