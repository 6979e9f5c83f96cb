"""The tree law: policy gradient on the decisions that sampled responses show, with the kernel of their scores."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError, NoLawError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_rate
from bandit_rft.theory.laws.adam_step import Adam
from bandit_rft.theory.laws.chain import chain_prediction
from bandit_rft.theory.laws.tree_law import LONGEST, TreeJumpLaw
from bandit_rft.theory.laws.tree_rounds_law import TreeRoundsLaw
from bandit_rft.theory.prediction import Prediction
from bandit_rft.theory.response_tree import ResponseTree
from bandit_rft.theory.update_settings import UpdateSettings

__all__ = ["tree_jump", "tree_rounds", "tree_transfer"]

# All are followed one by one, in a thousand runs.
MOST_ROLLOUTS, MOST_EPOCHS = 16_384, 1024
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
    formula=r"x_{t+1} = x_t + \eta A\,\tfrac1G\sum_{i \le G} A_i u_i - \eta\beta A\,\nabla_x "
    r"\mathrm{KL}(\pi\|\pi_0),\quad A_i = \text{signals of the rewards of } G + E \text{ walks by } q,"
    "\n"
    r"\text{or of a question's newest } W \text{ scores};\text{ a group of equal rewards is walked again, } N "
    r"\text{ times at most}",
    assumptions=(
        *_ASSUMPTIONS,
        "Plain gradient ascent, or Adam (where the tree holds scores at sampled coordinates), at a constant step size; "
        "each round updates on the rollouts of one round; no clipping; signals of whole responses.",
        "Under Adam, on a tree that says how its scores turn, they do so in proportion to the way that the weights "
        "have gone along the sign of a success's gradient.",
        "Where the reward errs, it does so independently each time.",
        "A window of scores starts empty, and holds the scores of the runs themselves, as old as they are; groups are "
        "drawn again of the same question, by the policy of the round.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        **_UNITS,
        "step_size": "eta of plain gradient ascent, or Adam's learning rate, above 0",
        "signal": "one of bandit_rft.signals.NAMES",
        "rollouts": "G, rollouts a round that are learned from, one group",
        "ddof": "1: sample standard deviation, 0: population (grpo)",
        "eps": "added to the standard deviation, at least 0 (grpo)",
        "optimizer": "sgd or adam",
        "adam": "beta1, beta2, eps of Adam",
        "kl_coefficient": "beta of a KL term to the start, at least 0",
        "delay": "rounds from a response to its reward, at least 0; its score is taken when the reward is heard",
        "epochs": "steps on the responses of a round, without clipping or importance ratios, at least 1",
        "questions": "B, of a forest: a round takes so many of its questions, G rollouts each; 0: a tree of one",
        "extra_rollouts": "E, more rollouts of each group, which enter the signal alone: that of all G + E",
        "window": "W, newest scores of a question that give mean and spread (grpo, mean_baseline); None: the group's",
        "dynamic_sampling": "N, how often a dead group is drawn again at most in a round; 0: never",
        "k": "of pass_at_k, from 1 to G + E; None: G + E",
        "normalise": "group, or batch: grpo's standard deviation is that of all rewards of the round's questions",
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
    extra_rollouts: int = 0,
    window: int | None = None,
    dynamic_sampling: int = 0,
    k: int | None = None,
    normalise: str = "group",
) -> Prediction:
    """Training curve under any signal, group size and KL term from the tree of sampled responses; nothing fitted.

    The policy on the tree is trained 1,024 times, round by round: the standard error of a mean curve is .016 at most.
    Of a forest (`theory.forest`) each round takes `questions` of its questions, all different, in epochs of a random
    order. Dead groups that are drawn again count as pulls, in the regret too.

    Returns:
        Mean curves with standard deviations, and the law of a run.

    Raises:
        InputError: an argument out of range, or two that do not go together.
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
    settings = UpdateSettings.among(locals())
    law = rounds_law(_checked(tree), settings)
    found = chain_prediction("tree_rounds", law, rounds, _parameters(tree, rounds=rounds, **settings.given()))
    return dataclasses.replace(found, reward=law.earned(rounds))


def law_on(tree: ResponseTree, settings: UpdateSettings) -> TreeJumpLaw | TreeRoundsLaw:
    """The law of such rounds: `tree_jump`'s where a failure moves nothing and rewards do not err, else `tree_rounds`'s;
    raises as those do.
    """
    if settings.by_successes and tree.truth is None:
        return jump_law(tree, settings.success_step)
    return rounds_law(tree, settings)


def on_tree(tree: ResponseTree, settings: UpdateSettings, rounds: int) -> Prediction:
    """The prediction of `law_on`; raises as the entries do."""
    if settings.by_successes and tree.truth is None:
        return tree_jump(tree, settings.success_step, rounds)
    return tree_rounds(tree, rounds=rounds, **settings.given())


@functools.lru_cache(maxsize=4)
def rounds_law(tree: ResponseTree, settings: UpdateSettings) -> TreeRoundsLaw:
    """The law of `tree_rounds`; equal arguments give one law, which keeps what it has drawn.

    Raises:
        InputError: more questions than the forest has, or more rollouts or epochs than can be followed one by one.
        NoLawError: Adam, where the tree holds no scores at sampled coordinates.
    """
    if settings.optimizer == "adam" and tree.coordinates is None:
        raise NoLawError(
            "Adam moves each weight by its own scale, and this tree holds no scores at single weights: measure it with "
            "coordinates."
        )
    _check_questions(tree, settings)
    if settings.optimizer == "sgd":
        _check_moves(tree, settings.step_size)
    for name in ("rollouts", "extra_rollouts", "window"):
        arguments.whole(name, getattr(settings, name) or 0, 0, most=MOST_ROLLOUTS)
    arguments.whole("epochs", settings.epochs, most=MOST_EPOCHS)

    def move(on: ResponseTree, runs: int) -> Callable[[np.ndarray], np.ndarray]:
        if settings.optimizer == "sgd" or on.coordinates is None:
            kernel = settings.step_size * on.gram
            return lambda scores: scores @ kernel
        beta1, beta2, added = settings.adam
        rate = settings.step_size
        how: dict[str, Any] = {"learning_rate": rate, "beta1": beta1, "beta2": beta2, "eps": added}
        how |= {"turned": on.turned, "way": on.way, "stands_for": on.stands_for}
        return Adam(on.coordinates, on.dimension, **how).stepper(runs)

    return TreeRoundsLaw(tree, move, settings)


def _check_moves(tree: ResponseTree, step_size: float) -> None:
    """Raises InputError for a step whose move of the logits has no float."""
    if (largest := float(np.diag(tree.gram).max())) > 0.0:
        check_rate(step_size, largest, "the largest entry of gram")


def _check_questions(tree: ResponseTree, settings: UpdateSettings) -> None:
    """Raises InputError for rounds of several questions on a tree of one, or of more than a forest has, and for a
    signal that would compare responses to different questions.
    """
    asked, roots = settings.questions, tree.questions
    if asked and not roots:
        raise InputError(
            f"questions is {asked} and the tree is of one question, whose first decision is its own: leave questions "
            "out, or give theory.forest of several trees."
        )
    if asked > roots:
        raise InputError(f"questions is {asked} and the forest has {roots}: take fewer each round.")
    if roots and not asked and settings.compares:
        raise InputError(
            f"The tree is a forest of {roots} questions, and {settings.signal} compares responses to one question: "
            "give questions, how many each round takes."
        )


@functools.lru_cache(maxsize=4)
def jump_law(tree: ResponseTree, step_size: float) -> TreeJumpLaw:
    """The law of `tree_jump`; equal arguments give one law, which keeps what it has drawn.

    Raises:
        InputError: a move of the logits that no float follows.
    """
    _check_moves(tree, step_size)
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
    if not (given[0] >= 0 and given[-1] <= LONGEST and np.all(np.diff(given) > 0) and np.all(given % 1 == 0)):
        raise InputError(f"at must hold increasing rounds, whole numbers from 0 to {LONGEST:,}.")
    rounds = given.astype(np.int64)
    if not isinstance(tests, Sequence) or not all(isinstance(one, tuple) and len(one) == 2 for one in tests):
        raise InputError("tests must hold a pair (tree, cross-kernel) for each test question.")
    settings = UpdateSettings.among(locals())
    scores = rounds_law(_checked(tree), settings).scores(rounds)
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


def _parameters(tree: ResponseTree, **parameters: Any) -> dict[str, Any]:
    """What the entry was called with; of the tree, the numbers that say which it was."""
    about = {"edges": tree.edges, "p0": tree.p0, "responses": tree.responses}
    return {"tree": about, **parameters}
