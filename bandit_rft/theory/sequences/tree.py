"""The tree law: policy gradient on the decisions that sampled responses show, with the kernel of their scores."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from bandit_rft import arguments, signals
from bandit_rft.errors import InputError, NoLawError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.laws.adam_step import Adam
from bandit_rft.theory.laws.chain import chain_prediction
from bandit_rft.theory.laws.tree_law import LONGEST, TreeJumpLaw, TreeRoundsLaw
from bandit_rft.theory.policy_gradient.groups import check_group
from bandit_rft.theory.prediction import Prediction
from bandit_rft.theory.response_tree import ResponseTree

__all__ = ["tree_jump", "tree_rounds", "tree_transfer"]

_UNITS = {
    "tree": "theory.ResponseTree: decisions, edges with log-probabilities, rewards at the leaves, kernel of the scores",
    "step_size": "eta of plain gradient ascent, logit per unit gradient, above 0",
    "rounds": "horizon T, rounds, up to 100,000",
}
_ASSUMPTIONS = (
    "One prompt, a reward that is deterministic given the response, 0 or 1.",
    "The kernel of the decisions' scores stays what it is at the start: only the softmax of each decision moves.",
    "What the responses did not show is learnt by nothing: their tree holds the policy's correct responses.",
    "A step is small enough that log-probabilities move in proportion to it, but for each decision's own softmax.",
)
_DERIVATION = "`tree_jump`, `tree_rounds` and `tree_transfer`: decisions with a kernel"


@entry(
    formula=r"x_{n+1} = x_n + \eta A u_n,\quad u_n = \sum_{\text{decisions}}(\mathrm{onehot}(e) - q),\quad "
    r"q = \mathrm{softmax\ of\ }x\mathrm{\ within\ each\ decision},\quad A_{ee'} = \langle\nabla\log\pi_e, "
    r"\nabla\log\pi_{e'}\rangle,\quad \text{wait}_n \sim \mathrm{Geometric}(p_n)",
    assumptions=(
        *_ASSUMPTIONS,
        "Plain gradient ascent at a constant step size, one rollout a round, raw reward: a failure moves nothing.",
    ),
    source="derived here (docs/derivations.md)",
    units=_UNITS,
    section="F12",
    kind="prediction",
    derivation=_DERIVATION,
)
def tree_jump(tree: ResponseTree, step_size: float, rounds: int) -> Prediction:
    """Training curve of one rollout a round from the tree of sampled responses, without any fitted parameter.

    A success walks the tree, edge e with probability q_e V(child)/V(decision); waits are Geometric(p_n). The law is
    averaged over 256 random walks: they differ only where several correct paths exist.

    Returns:
        Mean curves with standard deviations, exact given the walks, and the law of a run.

    Raises:
        InputError: an argument out of range.
        NoLawError: a reward that errs; `tree_rounds` has its law.

    Example:
        >>> from bandit_rft import theory
        >>> from bandit_rft.theory.compared import chain_of_decisions
        >>> tree = chain_of_decisions(0.1, 40.0, 3)
        >>> round(float(theory.tree_jump(tree, step_size=0.005, rounds=100).value[-1]), 3)
        0.52
    """
    rounds = arguments.whole("rounds", rounds, most=LONGEST)
    if _checked(tree).truth is not None:
        raise NoLawError("The tree's reward errs, so that successes are not correct responses: take tree_rounds.")
    law = jump_law(_checked(tree), arguments.positive("step_size", step_size))
    return chain_prediction("tree_jump", law, rounds, _parameters(tree, step_size=step_size, rounds=rounds))


@entry(
    formula=r"x_{t+1} = x_t + \eta A\,\tfrac1G\sum_i A_i u_i - \eta\beta A\,\nabla_x \mathrm{KL}(\pi\|\pi_0),\quad "
    r"G\ \text{walks by } q,\ A_i = \text{signals of their rewards}",
    assumptions=(
        *_ASSUMPTIONS,
        "Plain gradient ascent, or Adam (where the tree holds scores at sampled coordinates), at a constant step size; "
        "each round updates on the rollouts of one round; no clipping; signals of whole responses.",
        "Where the reward errs, it does so independently each time.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        **_UNITS,
        "step_size": "eta of plain gradient ascent, or Adam's learning rate, above 0",
        "signal": "one of bandit_rft.signals.NAMES",
        "rollouts": "G, rollouts a round, one group",
        "ddof": "1: sample standard deviation, 0: population (grpo)",
        "eps": "added to the standard deviation, at least 0 (grpo)",
        "optimizer": "sgd or adam",
        "adam": "beta1, beta2, eps of Adam",
        "kl_coefficient": "beta of a KL term to the start, at least 0",
        "delay": "rounds from a response to its reward, at least 0; its score is taken when the reward is heard",
        "epochs": "steps on the responses of a round, without clipping or importance ratios, at least 1",
        "questions": "B, of a forest: a round takes so many of its questions, G rollouts each; 0: a tree of one",
    },
    section="F12",
    kind="prediction",
    derivation=_DERIVATION,
)
def tree_rounds(
    tree: ResponseTree,
    step_size: float,
    rounds: int,
    signal: str = "raw",
    rollouts: int = 1,
    *,
    ddof: int = 1,
    eps: float = 0.0,
    optimizer: str = "sgd",
    adam: tuple[float, float, float] = (0.9, 0.999, 1e-8),
    kl_coefficient: float = 0.0,
    delay: int = 0,
    epochs: int = 1,
    questions: int = 0,
) -> Prediction:
    """Training curve under any signal, group size and KL term from the tree of sampled responses; nothing fitted.

    The policy on the tree is trained 1,024 times, round by round: mean curves are good to a hundredth and less. Of a
    forest (`theory.forest`) each round takes `questions` of its questions, all different, in epochs of a random order.

    Returns:
        Mean curves with standard deviations, and the law of a run.

    Raises:
        InputError: an argument out of range.
        NoLawError: Adam, where the tree holds no scores at sampled coordinates.

    Example:
        >>> from bandit_rft import theory
        >>> from bandit_rft.theory.compared import chain_of_decisions
        >>> tree = chain_of_decisions(0.1, 40.0, 3)
        >>> curve = theory.tree_rounds(tree, 0.005, rounds=50, signal="grpo", rollouts=8)
        >>> round(float(curve.value[-1]), 3)
        0.504
    """
    rounds = arguments.whole("rounds", rounds, most=LONGEST)
    law = rounds_law(
        tree,
        step_size,
        signal,
        rollouts,
        ddof=ddof,
        eps=eps,
        optimizer=optimizer,
        adam=adam,
        kl_coefficient=kl_coefficient,
        delay=delay,
        epochs=epochs,
        questions=questions,
    )
    parameters = _parameters(
        tree,
        step_size=step_size,
        rounds=rounds,
        signal=signal,
        rollouts=law.rollouts,
        ddof=ddof,
        eps=eps,
        optimizer=optimizer,
        kl_coefficient=kl_coefficient,
        delay=delay,
        epochs=epochs,
        questions=questions,
    )
    return chain_prediction("tree_rounds", law, rounds, parameters)


def rounds_law(
    tree: ResponseTree,
    step_size: float,
    signal: str,
    rollouts: int,
    *,
    ddof: int,
    eps: float,
    optimizer: str = "sgd",
    adam: tuple[float, float, float] = (0.9, 0.999, 1e-8),
    kl_coefficient: float = 0.0,
    delay: int = 0,
    epochs: int = 1,
    questions: int = 0,
) -> TreeRoundsLaw:
    """The law of `tree_rounds`; raises as that does. Equal arguments give one law, which keeps what it has drawn."""
    rollouts, eps = check_group(signal, rollouts, ddof, eps)
    if optimizer not in ("sgd", "adam"):
        raise InputError(f"optimizer is {arguments.shown(optimizer)}: choose one of sgd, adam.")
    if optimizer == "adam" and _checked(tree).coordinates is None:
        raise NoLawError(
            "Adam moves each weight by its own scale, and this tree holds no scores at single weights: measure it with "
            "coordinates."
        )
    questions, roots = arguments.whole("questions", questions, 0), int((_checked(tree).node == 0).sum())
    if questions > roots:
        raise InputError(f"questions is {questions} and the forest has {roots}: take fewer each round.")
    return _rounds_law(
        _checked(tree),
        arguments.positive("step_size", step_size),
        signal,
        rollouts,
        ddof,
        eps,
        None if optimizer == "sgd" else _adam(adam),
        arguments.at_least("kl_coefficient", kl_coefficient, 0.0),
        arguments.whole("delay", delay, 0),
        arguments.whole("epochs", epochs),
        questions,
    )


@functools.lru_cache(maxsize=4)
def _rounds_law(
    tree: ResponseTree,
    step_size: float,
    signal: str,
    rollouts: int,
    ddof: int,
    eps: float,
    adam: tuple[float, float, float] | None,
    kl_coefficient: float,
    delay: int,
    epochs: int,
    questions: int,
) -> TreeRoundsLaw:
    def move(on: ResponseTree, runs: int) -> Callable[[np.ndarray], np.ndarray]:
        if adam is None or on.coordinates is None:
            kernel = step_size * on.gram
            return lambda scores: scores @ kernel
        beta1, beta2, added = adam
        return Adam(on.coordinates, on.dimension, learning_rate=step_size, beta1=beta1, beta2=beta2, eps=added).stepper(
            runs
        )

    made = jax.jit(jax.vmap(signals.make(signal, ddof=ddof, eps=eps)))
    return TreeRoundsLaw(
        tree,
        move,
        made,
        rollouts,
        kl_coefficient=kl_coefficient,
        delay=delay,
        epochs=epochs,
        questions=questions,
    )


@functools.lru_cache(maxsize=4)
def jump_law(tree: ResponseTree, step_size: float) -> TreeJumpLaw:
    """The law of `tree_jump`; equal arguments give one law, which keeps what it has drawn."""
    return TreeJumpLaw(tree, step_size)


@entry(
    formula=r"x^{\mathrm{test}}_t = x^{\mathrm{test}}_0 + \eta\,C \sum_{s<t}\bar u_s,\quad "
    r"C_{ee'} = \langle\nabla\log\pi^{\mathrm{test}}_e, \nabla\log\pi_{e'}\rangle",
    assumptions=(
        *_ASSUMPTIONS,
        "Plain gradient ascent: test questions are moved by what the training question learns.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        **{name: _UNITS[name] for name in ("tree", "step_size")},
        "tests": "(tree, cross-kernel [its edges, the training tree's edges]) of each test question",
        "at": "[N] rounds, increasing",
        "signal": "one of bandit_rft.signals.NAMES",
        "rollouts": "G, rollouts a round, one group",
        "ddof": "1: sample standard deviation, 0: population (grpo)",
        "eps": "added to the standard deviation, at least 0 (grpo)",
    },
    section="F12.1",
    kind="quantity",
    derivation=_DERIVATION,
)
def tree_transfer(
    tree: ResponseTree,
    tests: Sequence[tuple[ResponseTree, np.ndarray]],
    step_size: float,
    at: Any,
    signal: str = "raw",
    rollouts: int = 1,
    *,
    ddof: int = 1,
    eps: float = 0.0,
) -> np.ndarray:
    """Pass@1 of other questions while one question is trained, from their own trees and the kernel between them.

    Returns:
        float64 [questions, N], the mean over runs of each test question's Pass@1 before the update of each round `at`.

    Raises:
        InputError: an argument out of range, or a cross-kernel whose shape does not fit.
    """
    given = arguments.numbers("at", at)
    if not (given.size and given.ndim == 1 and given[0] >= 0 and given[-1] <= LONGEST and np.all(np.diff(given) >= 0)):
        raise InputError(f"at must hold increasing rounds, from 0 to {LONGEST:,}.")
    rounds = given.astype(np.int64)
    if not isinstance(tests, Sequence) or not all(isinstance(one, tuple) and len(one) == 2 for one in tests):
        raise InputError("tests must hold a pair (tree, cross-kernel) for each test question.")
    scores = rounds_law(tree, step_size, signal, rollouts, ddof=ddof, eps=eps).scores(rounds)
    found = np.empty((len(tests), rounds.size))
    for row, (test, cross) in enumerate(tests):
        _checked(test)
        if np.shape(cross) != (test.edges, tree.edges):
            raise InputError(f"A cross-kernel has shape {np.shape(cross)}: give [{test.edges}, {tree.edges}].")
        for column in range(rounds.size):
            logits = test.log_prob + step_size * (scores[:, column] @ np.asarray(cross).T)
            found[row, column] = (test.walks(logits).path @ test.leaf_reward).mean()
    return found


def _checked(tree: ResponseTree) -> ResponseTree:
    if not isinstance(tree, ResponseTree):
        raise InputError(f"tree is {type(tree).__name__}: give a theory.ResponseTree, as measured or as grown.")
    return tree


def _adam(given: Any) -> tuple[float, float, float]:
    numbers = arguments.numbers("adam", given)
    if numbers.shape != (3,) or not (np.all(numbers >= 0) and np.all(numbers[:2] < 1)):
        raise InputError("adam must hold beta1, beta2 (below 1) and eps, none of them negative.")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


def _parameters(tree: ResponseTree, **parameters: Any) -> dict[str, Any]:
    """What the entry was called with; of the tree, the numbers that say which it was."""
    about = {"edges": tree.edges, "p0": tree.p0, "responses": tree.responses}
    return {"tree": about, **parameters}
