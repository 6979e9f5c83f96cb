"""Audit of G and F7: prompts that share parameters."""

from __future__ import annotations

import functools

import numpy as np

from bandit_rft import arms, learners, run, verifiers
from simulations.theory_audit.case import Case, Measured, exact, of_seeds

START = (0.3, 0.1, 0.05)
FEATURE = np.array([[1.0, 0.0], [0.6, 0.8], [-0.5, -0.2]])
KERNEL = FEATURE @ FEATURE.T
ROUNDS = (0, 1000, 3000, 10_000)
RUN_ROUNDS = (200, 500, 1000, 2000)
LEVELS = (0.2, 0.35, 0.5, 0.7, 0.9)
SMALL = "A step of .02 is small, not infinitesimal."


def _ascended(targets: tuple[int, ...], step_size: float) -> tuple[np.ndarray, np.ndarray]:
    """(p [3, N], cumulative mean of 1 - p [N]) at ROUNDS: three prompts over five answers, logits x_i W plus a base."""
    number, vocabulary = 3, 5
    base = np.zeros((number, vocabulary))
    base[range(number), targets] = np.log(np.divide(START, 1 - np.asarray(START)) * (vocabulary - 1))
    weights = np.zeros((2, vocabulary))
    wanted = np.eye(vocabulary)[list(targets)]
    value = np.empty((max(ROUNDS) + 1, number))
    for t in range(value.shape[0]):
        policy = np.exp(base + FEATURE @ weights)
        policy /= policy.sum(axis=1, keepdims=True)
        p = (policy * wanted).sum(axis=1)
        value[t] = p
        weights += step_size * FEATURE.T @ (p[:, None] * (wanted - policy)) / number
    return value[list(ROUNDS)].T, np.cumsum((1 - value).mean(axis=1))[list(ROUNDS)]


def _trained(key: int) -> Measured:
    """Mean p over the three prompts, as `run` trains them: four rollouts of each prompt a round."""
    prompts = arms.Contexts(1000, 1, [verifiers.Needle((7,))] * 3, kernel=KERNEL, batch="all", p0=START)
    learner = learners.SoftmaxPolicyGradient(step_size=0.02, rollouts=4)
    history = run(prompts, learner, rounds=max(RUN_ROUNDS) + 1, seeds=100, key=key)
    return of_seeds(history.value[:, list(RUN_ROUNDS)])


@functools.lru_cache
def _two_prompts(noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Features [200, 20] of the train and of the test prompt's answers, of which the first 20 are correct."""
    generator = np.random.default_rng(3)
    both = noise * generator.normal(size=(2, 200, 20)) / np.sqrt(20)
    both[0, :20, 0] += 1.0
    both[1, :20, :2] += [0.69, 0.72]
    return both[0], both[1]


def _delta(features: np.ndarray) -> np.ndarray:
    """grad logit p of the uniform policy."""
    return features[:20].mean(axis=0) - features[20:].mean(axis=0)


def _slopes(noise: float) -> np.ndarray:
    """Change of the test prompt's logit p over that of the train prompt's, once that has reached each level."""
    train, test = _two_prompts(noise)
    weights, found = np.zeros(20), []
    start = np.log(20 / 180)
    while len(found) < len(LEVELS):
        policy = np.exp(train @ weights)
        policy /= policy.sum()
        p = policy[:20].sum()
        if p >= LEVELS[len(found)]:
            other = np.exp(test @ weights)
            moved = np.log(other[:20].sum() / other[20:].sum()) - start
            found.append(moved / (np.log(p / (1 - p)) - start))
        weights += 0.05 * (policy[:20] @ train[:20] - p * (policy @ train))
    return np.asarray(found)


CASES = (
    Case(
        entry="transfer_slope",
        instance="200 answers of 20 features, noise .3 beside class means 1 apart",
        x=LEVELS,
        x_label="Pass@1 on the train prompt",
        y_label="change of logit p, test over train",
        predict=lambda f: [f(_delta(_two_prompts(0.3)[1]), _delta(_two_prompts(0.3)[0]))] * len(LEVELS),
        measure=lambda key: exact(_slopes(0.3)),
        tolerance=0.03,
        why="Both delta change a little along the run.",
    ),
    Case(
        entry="transfer_slope",
        instance="200 answers of 20 features, noise 3 beside class means 1 apart",
        x=LEVELS,
        x_label="Pass@1 on the train prompt",
        y_label="change of logit p, test over train",
        predict=lambda f: [f(_delta(_two_prompts(3.0)[1]), _delta(_two_prompts(3.0)[0]))] * len(LEVELS),
        measure=lambda key: exact(_slopes(3.0)),
        tolerance=0.03,
        inside=False,
        why="Scores spread within a class far beyond delta: single answers are learnt by heart.",
    ),
    Case(
        entry="contexts_flow",
        instance="three prompts with one answer, one of them opposed; exact gradients, step .02: each prompt",
        x=(*ROUNDS, *ROUNDS, *ROUNDS),
        x_label="round (three prompts in turn)",
        y_label="Pass@1 of a prompt",
        predict=lambda f: f(START, KERNEL * 5 / 4, 0.02, 10_001).value_by_prompt[:, list(ROUNDS)].ravel(),
        measure=lambda key: exact(_ascended((0, 0, 0), 0.02)[0].ravel()),
        tolerance=0.005,
        why=SMALL,
    ),
    Case(
        entry="contexts_flow",
        instance="three prompts with one answer, one of them opposed; exact gradients, step .02: regret",
        x=ROUNDS,
        x_label="round",
        y_label="cumulative regret, mean over prompts",
        predict=lambda f: f(START, KERNEL * 5 / 4, 0.02, 10_001).regret[list(ROUNDS)],
        measure=lambda key: exact(_ascended((0, 0, 0), 0.02)[1]),
        tolerance=0.005,
        why=SMALL,
    ),
    Case(
        entry="contexts_flow",
        instance="three prompts among 1000 answers, one of them opposed; 4 rollouts of each, step .02",
        x=RUN_ROUNDS,
        x_label="round",
        y_label="Pass@1, mean over prompts",
        predict=lambda f: f(START, KERNEL * 1000 / 999, 0.02, 2001).value[list(RUN_ROUNDS)],
        measure=_trained,
        tolerance=0.01,
        why=SMALL,
    ),
    Case(
        entry="contexts_flow",
        instance="three prompts with three different answers of five; gram of the start",
        x=(*ROUNDS, *ROUNDS, *ROUNDS),
        x_label="round (three prompts in turn)",
        y_label="Pass@1 of a prompt",
        predict=lambda f: f(START, _start_gram((0, 1, 2)), 0.02, 10_001).value_by_prompt[:, list(ROUNDS)].ravel(),
        measure=lambda key: exact(_ascended((0, 1, 2), 0.02)[0].ravel()),
        tolerance=0.005,
        inside=False,
        why="A prompt's wrong answers stop being alike, and the inner products change.",
    ),
)


def _start_gram(targets: tuple[int, ...]) -> np.ndarray:
    """<delta_i, delta_j> where each prompt's wrong answers are alike."""
    contrast = np.eye(5)[list(targets)] * 1.25 - 0.25
    return KERNEL * (contrast @ contrast.T)
