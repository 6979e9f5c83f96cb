"""Audit of section B, the noise of a group's update."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from bandit_rft import arms, learners, run, signals
from simulations.theory_audit.case import Case, Measured, exact, joined, of_seeds
from simulations.theory_audit.explicit_groups import all_updates, symmetric_policy

PROBABILITIES = (0.03, 0.1, 0.3, 0.5, 0.8)


def _moments(
    name: str, p: float, optimal: int, number: int, group: int, ddof: int, eps: float, k: int | None = None
) -> np.ndarray:
    """(|E u|^2, E |u|^2) over every group of arms of a table."""
    correct = np.arange(number) < optimal
    weight, update = all_updates(name, symmetric_policy(p, optimal, number), correct, group, ddof, eps, k)
    return np.array([np.sum((weight @ update) ** 2), weight @ np.sum(update**2, axis=1)])


def _moment_case(name: str, which: int, group: int, ddof: int = 1, eps: float = 0.0, k: int | None = None) -> Case:
    setting = f"{name}, G = {group}, " + (f"ddof {ddof}, eps {eps:g}" if k is None else f"k = {k}")
    return Case(
        entry="update_second_moment",
        instance=f"{setting}, 2 of 5 arms, every group enumerated: " + ("norm of the mean", "mean of the norm")[which],
        x=PROBABILITIES,
        x_label="p",
        y_label=("squared norm of the mean update", "mean squared norm of the update")[which],
        predict=lambda f: [f(name, p, group, 2, np.log(5), ddof=ddof, eps=eps, k=k)[which] for p in PROBABILITIES],
        measure=lambda key: exact([_moments(name, p, 2, 5, group, ddof, eps, k)[which] for p in PROBABILITIES]),
    )


def _real_second_moment(key: int) -> Measured:
    """On two arms the update lies on the line (1, -1), so that |u|^2 is half the square of the logit's move."""
    parts = []
    for i, p in enumerate(PROBABILITIES[1:]):
        history = run(
            arms.Bernoulli((1.0, 0.0), base_mass=(p, 1 - p)),
            learners.SoftmaxPolicyGradient(step_size=1.0, signal="grpo", rollouts=8),
            rounds=2,
            seeds=4000,
            key=key + i,
        )
        logit = np.log(history.value) - np.log1p(-history.value)
        parts.append(of_seeds((logit[:, 1] - logit[:, 0]) ** 2 / 2))
    return joined(parts)


def _unequal(p: float) -> np.ndarray:
    """2 of 5 arms correct, with unequal shares in both classes."""
    return np.array([0.9 * p, 0.1 * p, 0.7 * (1 - p), 0.2 * (1 - p), 0.1 * (1 - p)])


def _unequal_second_moment(p: float) -> float:
    weight, update = all_updates("raw", _unequal(p), np.arange(5) < 2, 2)
    return float(weight @ np.sum(update**2, axis=1))


MOMENT_CASES = (
    *(_moment_case(name, which, 3) for name in ("raw", "signed", "mean_baseline", "rloo") for which in (0, 1)),
    *(_moment_case(name, which, 4) for name in ("maxrl", "maxrl_centred") for which in (0, 1)),
    *(_moment_case(name, which, 3) for name in ("psr", "nsr") for which in (0, 1)),
    *(_moment_case("pass_at_k", which, 4, k=3) for which in (0, 1)),
    *(_moment_case("grpo", which, 4, ddof, eps) for ddof, eps in ((0, 0.0), (1, 0.2)) for which in (0, 1)),
    _moment_case("grpo", 1, 1, 1, 0.25),
    _moment_case("rloo", 1, 1),
    Case(
        entry="update_second_moment",
        instance="grpo, G = 8, one real update on two arms",
        x=PROBABILITIES[1:],
        x_label="p",
        y_label="mean squared norm of the update",
        predict=lambda f: [f("grpo", p, 8, 1, np.log(2)).second_moment for p in PROBABILITIES[1:]],
        measure=_real_second_moment,
    ),
    Case(
        entry="update_second_moment",
        instance="raw, G = 2, 2 of 5 arms with unequal shares, the table's traces assumed",
        x=PROBABILITIES,
        x_label="p",
        y_label="mean squared norm of the update",
        predict=lambda f: [f("raw", p, 2, 2, np.log(5)).second_moment for p in PROBABILITIES],
        measure=lambda key: exact([_unequal_second_moment(p) for p in PROBABILITIES]),
        inside=False,
        why="The correct arms are not equally likely, nor the wrong ones: kappa and the traces must be given.",
    ),
)

_DIFFUSE = (0.02, 0.1, 0.25, 0.5, 0.8)
_KAPPA = 0.3


def _snr2(p: float, baseline: float, optimal: int, number: int) -> float:
    """|E u|^2 / E |u|^2 of one rollout, summed over every arm."""
    policy = symmetric_policy(p, optimal, number)
    signal = (np.arange(number) < optimal) - baseline
    mean = policy * signal - policy * (policy @ signal)
    norms = 1 - 2 * policy + policy @ policy
    return float(mean @ mean / (policy @ (signal**2 * norms)))


def _snr_case(label: str, baseline: Callable[[float], float]) -> Case:
    return Case(
        entry="snr2",
        instance=f"{label}, 1000 of 3000 arms correct, every arm summed",
        x=_DIFFUSE,
        x_label="p",
        y_label="squared signal-to-noise ratio",
        predict=lambda f: [f(p, 1 / 1000 + 1 / 2000, baseline(p)) for p in _DIFFUSE],
        measure=lambda key: exact([_snr2(p, baseline(p), 1000, 3000) for p in _DIFFUSE]),
        tolerance=0.002,
        why="The likeliest arm has a share of .001, not 0.",
    )


def _signed_over_raw(key: int) -> Measured:
    """Ratio of both ratios from real draws of arms: numerators of the exact mean, denominators of 40,000 rollouts."""
    generator, parts = np.random.default_rng(key), []
    for p in _DIFFUSE:
        policy = symmetric_policy(p, 1000, 3000)
        drawn = generator.choice(3000, size=40_000, p=policy)
        norms = 1 - 2 * policy[drawn] + policy @ policy
        raw = of_seeds((drawn < 1000) * norms)
        # The signed update's mean is twice the raw one's, its squared signal 1.
        ratio = 4 * raw.value / norms.mean()
        parts.append((ratio[0], 4 * raw.standard_error[0] / norms.mean()))
    return Measured(*np.asarray(parts).T)


def _group_snr2(name: str, p: float, group: int, k: int | None) -> float:
    """|E u|^2 / E |u|^2 over every vector of a group's rewards, from mean products of scores of norm 1."""
    made = signals.make(name, eps=0.0, k=k)
    inner = _KAPPA * np.array([[p * p, -p * (1 - p)], [-p * (1 - p), (1 - p) ** 2]])
    mean, square = np.zeros(2), 0.0
    for rewards in itertools.product((0, 1), repeat=group):
        weight = p ** sum(rewards) * (1 - p) ** (group - sum(rewards))
        signal = np.asarray(made(jnp.asarray(rewards, jnp.float32)), np.float64) / group
        products = inner[np.ix_(rewards, rewards)]
        np.fill_diagonal(products, 1.0)
        square += weight * signal @ products @ signal
        # The mean update in units of the mean scores of wrong and of correct answers.
        mean += weight * np.bincount(rewards, signal, 2)
    return float(mean @ inner @ mean / square)


def _group_snr_case(name: str, group: int, k: int | None = None) -> Case:
    return Case(
        entry="snr2",
        instance=f"{name}, G = {group}" + (f", k = {k}" if k else "") + ", every vector of rewards",
        x=_DIFFUSE,
        x_label="p",
        y_label="squared signal-to-noise ratio",
        predict=lambda f: [f(p, _KAPPA, signal=name, rollouts=group, k=k) for p in _DIFFUSE],
        measure=lambda key: exact([_group_snr2(name, p, group, k) for p in _DIFFUSE]),
        tolerance=1e-5,
        why="Signals are computed in float32.",
    )


SNR_CASES = (
    *(_group_snr_case(name, 4) for name in ("rloo", "grpo", "maxrl", "maxrl_centred", "psr", "nsr")),
    _group_snr_case("pass_at_k", 4, 3),
    _snr_case("raw reward", lambda p: 0.0),
    _snr_case("mean baseline", lambda p: p),
    _snr_case("signed reward", lambda p: 0.5),
    _snr_case("baseline .2", lambda p: 0.2),
    _snr_case("nsr: wrong answers alone", lambda p: 1.0),
    Case(
        entry="snr2",
        instance="signed over raw, 1000 of 3000 arms correct: above 1 only for p > 1/4",
        x=_DIFFUSE,
        x_label="p",
        y_label="squared signal-to-noise ratio, signed over raw",
        predict=lambda f: [f(p, 0.0015, 0.5) / f(p, 0.0015, 0.0) for p in _DIFFUSE],
        measure=_signed_over_raw,
        tolerance=0.002,
        why="The likeliest arm has a share of .001, not 0.",
    ),
    Case(
        entry="snr2",
        instance="raw reward, a table of 1 correct arm among 10",
        x=_DIFFUSE,
        x_label="p",
        y_label="squared signal-to-noise ratio",
        predict=lambda f: [f(p, 1 + 1 / 9) for p in _DIFFUSE],
        measure=lambda key: exact([_snr2(p, 0.0, 1, 10) for p in _DIFFUSE]),
        inside=False,
        why="One arm has all of p: the policy is not diffuse, and a likely arm's score is shorter than 1.",
    ),
)

CASES: tuple[Case, ...] = (*MOMENT_CASES, *SNR_CASES)
