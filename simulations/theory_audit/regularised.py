"""Audit of noisy verifiers and of KL-regularised optima: one maximisation, and GRPO's sequence of them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from scipy.optimize import root
from scipy.stats import binom

from bandit_rft import arms, learners, run
from simulations.theory_audit.case import Case, Measured, exact, joined, of_seeds
from simulations.theory_audit.explicit_groups import signal_of, signals_by_count, softmax

PROBABILITIES = (0.03, 0.1, 0.3, 0.5, 0.8)


def _verified_drift(name: str, p: float, acceptance: np.ndarray, ddof: int, eps: float, group: int = 4) -> float:
    """Drift of logit p over that of the noise-free raw reward; every group of draws and every verdict counted.

    acceptance [3]: each arm's probability of being accepted; arm 0 is the correct one.
    """
    policy = np.array([p, 0.4 * (1 - p), 0.6 * (1 - p)])
    gradient, mean = p * (np.eye(3)[0] - policy), np.zeros(3)
    for chosen in itertools.product(range(3), repeat=group):
        scores = np.eye(3)[list(chosen)] - policy
        for verdicts in itertools.product((0.0, 1.0), repeat=group):
            rewards, rates = np.asarray(verdicts), acceptance[list(chosen)]
            weight = np.prod(policy[list(chosen)]) * np.prod(np.where(rewards > 0, rates, 1 - rates))
            mean += weight * np.mean(signal_of(name, rewards, ddof, eps)[:, None] * scores, axis=0)
    return float(mean @ gradient / (gradient @ gradient))


def _noisy_exact(
    name: str, true_positive: float, false_positive: float, ddof: int = 1, eps: float = 0.0, group: int = 4
) -> Case:
    acceptance = np.array([true_positive, false_positive, false_positive])
    return Case(
        entry="noisy_verifier",
        instance=f"{name}, rates {true_positive:g} and {false_positive:g}, G = {group}, all groups and verdicts",
        x=PROBABILITIES,
        x_label="p",
        y_label="drift over that of the noise-free raw reward",
        predict=lambda f: f(true_positive, false_positive, name, np.asarray(PROBABILITIES), group, ddof, eps),
        measure=lambda key: exact([_verified_drift(name, p, acceptance, ddof, eps, group) for p in PROBABILITIES]),
    )


def _noisy_step(key: int, p: float, rates: tuple[float, float], **learner: Any) -> Measured:
    """The same from one real update on two arms, where the logit moves by the update itself (κ = 2)."""
    history = run(
        arms.Noisy(arms.Bernoulli((1.0, 0.0), base_mass=(p, 1 - p)), *rates),
        learners.SoftmaxPolicyGradient(step_size=1.0, **learner),
        rounds=2,
        seeds=4000,
        key=key,
    )
    logit = np.log(history.value) - np.log1p(-history.value)
    return of_seeds((logit[:, 1] - logit[:, 0]) / (2 * p * (1 - p)))


NOISY_CASES = (
    Case(
        entry="noisy_verifier",
        instance="raw reward, TPR = .7, G = 2, p = .3, one real update on two arms",
        x=(0.0, 0.4, 0.9),
        x_label="false positive rate",
        y_label="drift over that of the noise-free raw reward",
        predict=lambda f: [f(0.7, rate) for rate in (0.0, 0.4, 0.9)],
        measure=lambda key: joined(
            [_noisy_step(key + i, 0.3, (0.7, rate), rollouts=2) for i, rate in enumerate((0.0, 0.4, 0.9))]
        ),
    ),
    Case(
        entry="noisy_verifier",
        instance="grpo, rates .9 and .1, G = 8, one real update on two arms",
        x=PROBABILITIES[1:],
        x_label="p",
        y_label="drift over that of the noise-free raw reward",
        predict=lambda f: f(0.9, 0.1, "grpo", np.asarray(PROBABILITIES[1:]), 8),
        measure=lambda key: joined(
            [
                _noisy_step(key + i, p, (0.9, 0.1), signal="grpo", rollouts=8, eps=0.0)
                for i, p in enumerate(PROBABILITIES[1:])
            ]
        ),
    ),
    _noisy_exact("raw", 0.8, 0.3),
    _noisy_exact("signed", 0.8, 0.3),
    _noisy_exact("mean_baseline", 0.6, 0.1),
    _noisy_exact("rloo", 0.2, 0.7),
    _noisy_exact("grpo", 0.8, 0.3, 1, 0.1),
    _noisy_exact("grpo", 0.9, 0.05, 0),
    *(_noisy_exact(name, 0.8, 0.3) for name in ("maxrl", "maxrl_centred", "pass_at_k", "nsr")),
    _noisy_exact("grpo", 0.8, 0.3, 1, 0.25, 1),
    Case(
        entry="noisy_verifier",
        instance="grpo, rates .9 and .1, G = 16: TPR - FPR times the multiplier at the true p",
        x=(0.03, 0.1, 0.5),
        x_label="p",
        y_label="drift over that of the noise-free raw reward",
        predict=lambda f: 0.8 * f(1.0, 0.0, "grpo", np.array([0.03, 0.1, 0.5]), 16),
        measure=lambda key: joined(
            [
                _noisy_step(key + i, p, (0.9, 0.1), signal="grpo", rollouts=16, eps=0.0)
                for i, p in enumerate((0.03, 0.1, 0.5))
            ]
        ),
        inside=False,
        why="GRPO divides by the spread of what the verifier says: its multiplier belongs to the share of accepted "
        "answers, not to p.",
    ),
    Case(
        entry="noisy_verifier",
        instance="raw, TPR = .9, one wrong arm of two always accepted, its share taken for the rate",
        x=PROBABILITIES,
        x_label="p",
        y_label="drift over that of the noise-free raw reward",
        predict=lambda f: [f(0.9, 0.4)] * len(PROBABILITIES),
        measure=lambda key: exact(
            [_verified_drift("raw", p, np.array([0.9, 1.0, 0.0]), 1, 0.0) for p in PROBABILITIES]
        ),
        inside=False,
        why="The verifier errs on one wrong answer and never on the other: the rates depend on the answer.",
    ),
)

ITERATIONS = (1, 2, 3, 4, 5, 6)


def _best_policy(advantage: np.ndarray, reference: np.ndarray, beta: float) -> np.ndarray:
    """The policy that maximises E[A] - beta KL(policy | reference), by solving its stationarity on the logits."""

    def slope(logit: np.ndarray) -> np.ndarray:
        # At the maximum, which is inside the simplex and the only one, all answers are worth the same.
        worth = advantage - beta * np.log(softmax(np.append(logit, 0.0)) / reference)
        return worth[:-1] - worth[-1]

    found = root(slope, np.log(reference[:-1] / reference[-1]), tol=1e-15)
    return softmax(np.append(found.x, 0.0))


def _sequence(p0: float, beta: float, mirror: bool, eps: float, group: int | None = None) -> np.ndarray:
    """Pass@1 after each maximisation on a table of 5 unequal arms, 2 correct; whitened by the truth or by groups."""
    correct = np.arange(5) < 2
    base = np.where(correct, p0, 1 - p0) * np.array([0.7, 0.3, 0.5, 0.3, 0.2])
    policy, found = base, []
    for _ in ITERATIONS:
        p = policy[correct].sum()
        if group is None:
            advantage = (correct - p) / np.sqrt(p * (1 - p) + eps)
        else:
            up, down = signals_by_count("grpo", group, 0, eps)
            # Mean signal of a correct and of a wrong answer, over what the other G - 1 rollouts are.
            others = binom.pmf(np.arange(group), group - 1, p)
            advantage = np.where(correct, others @ up[1:], others @ down[:-1])
        policy = _best_policy(advantage, policy if mirror else base, beta)
        found.append(policy[correct].sum())
    return np.asarray(found)


def _mroueh_case(p0: float, beta: float, reference: str, eps: float, group: int | None = None) -> Case:
    whitened = "whitened exactly" if group is None else f"whitened by groups of {group}"
    return Case(
        entry="mroueh_map",
        instance=f"{reference}, p0 = {p0:g}, beta {beta:g}, eps {eps:g}, 2 of 5 arms, {whitened}",
        x=ITERATIONS,
        x_label="iteration",
        y_label="Pass@1",
        predict=lambda f: f(p0, beta, len(ITERATIONS), reference, eps)[1:],
        measure=lambda key: exact(_sequence(p0, beta, reference == "mirror", eps, group)),
        inside=group is None,
        why="" if group is None else "Each group whitens by its own spread, not by that of infinitely many rollouts.",
    )


MROUEH_CASES = (
    _mroueh_case(0.1, 5.0, "mirror", 0.0),
    _mroueh_case(0.2, 4.0, "mirror", 0.05),
    _mroueh_case(0.1, 3.0, "fixed", 0.0),
    _mroueh_case(0.6, 4.0, "fixed", 0.1),
    _mroueh_case(0.03, 5.0, "mirror", 0.0, 8),
)

BETAS = (0.3, 0.5, 1.0, 2.0)


def _at_rest(key: int) -> Measured:
    """Pass@1 of a real learner with a KL penalty, averaged over rounds 100 to 200."""
    parts = []
    for i, beta in enumerate(BETAS[1:]):
        history = run(
            arms.Needle(log10_arms=1, p0=0.1),
            learners.SoftmaxPolicyGradient(step_size=0.3, rollouts=8, signal="rloo", kl_coefficient=beta),
            rounds=200,
            seeds=30,
            key=key + i,
        )
        parts.append(of_seeds(history.value[:, 100:].mean(axis=1)))
    return joined(parts)


def _other_direction(p0: float, beta: float) -> float:
    """Pass@1 that maximises p - beta KL(base | policy): 1 + beta (p0/p - (1-p0)/(1-p)) = 0."""
    found = root(lambda p: p * (1 - p) + beta * (p0 - p), 0.9, tol=1e-15)
    return float(found.x[0])


KL_CASES = (
    Case(
        entry="kl_optimum",
        instance="stationarity solved on every logit, 2 of 5 unequal arms, p0 = .1",
        x=BETAS,
        x_label="weight of the KL penalty",
        y_label="Pass@1 of the optimum",
        predict=lambda f: [f(0.1, beta) for beta in BETAS],
        measure=lambda key: exact(
            [
                _best_policy((np.arange(5) < 2).astype(float), np.array([0.07, 0.03, 0.45, 0.27, 0.18]), beta)[:2].sum()
                for beta in BETAS
            ]
        ),
    ),
    Case(
        entry="kl_optimum",
        instance="long runs of RLOO with a KL penalty, G = 8, step .3, needle among 10 arms, p0 = .1",
        x=BETAS[1:],
        x_label="weight of the KL penalty",
        y_label="Pass@1 at rest",
        predict=lambda f: [f(0.1, beta) for beta in BETAS[1:]],
        measure=_at_rest,
        tolerance=0.03,
        why="A step of .3 keeps the policy in motion around the optimum.",
    ),
    Case(
        entry="kl_optimum",
        instance="the penalty KL(base | policy) in place of KL(policy | base), p0 = .1",
        x=BETAS,
        x_label="weight of the KL penalty",
        y_label="Pass@1 of the optimum",
        predict=lambda f: [f(0.1, beta) for beta in BETAS],
        measure=lambda key: exact([_other_direction(0.1, beta) for beta in BETAS]),
        inside=False,
        why="The divergence is taken the other way round, as the gradient of k3 in the loss does on policy.",
    ),
)

CASES: tuple[Case, ...] = (*NOISY_CASES, *MROUEH_CASES, *KL_CASES)
