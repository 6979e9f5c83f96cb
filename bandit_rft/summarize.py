"""`summarize`: p0, κ and what else a law needs, exactly, of tables of arms and of token policies."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from scipy import special

from bandit_rft.arms import Contexts, Noisy, TokenSequences
from bandit_rft.arms.lumped_arms import LumpedArms
from bandit_rft.errors import InputError
from bandit_rft.theory.response_tree import ResponseTree
from bandit_rft.theory.summary import Summary

__all__ = ["summarize"]

_MOST_ARMS = 256  # edges of a table's tree


def logsumexp(values: Any) -> float:
    """ln Σ exp of a list, a plain float."""
    return float(np.asarray(special.logsumexp(np.asarray(values, np.float64))))


def summarize(arms: Any, learner: Any = None, state: Any = None) -> Summary:
    """The summary of a policy over these arms.

    Args:
        arms: a table of arms with fixed means, `TokenSequences` or `Contexts`. (A language model's prompt is measured:
            `llm_bridge.measuring.measure`.)
        learner: the policy-gradient learner whose state this is; None for the base policy.
        state: its state for one seed (`jax.tree.map(lambda leaf: leaf[s], history.final_state)`); None for its start.

    Returns:
        The summary, computed in float64 without sampling.

    Raises:
        InputError: arms whose optimum or κ has no closed form, a learner without a softmax policy, or a policy that is
            certainly right or certainly wrong.

    Example:
        >>> from bandit_rft import arms, summarize
        >>> found = summarize(arms.Needle(log10_arms=100, p0=0.05))
        >>> round(found.p0, 12), round(found.kappa, 12), found.symmetric
        (0.05, 1.0, True)
    """
    if (state is None) != (learner is None):
        raise InputError("summarize needs a learner and its state together, or neither for the base policy.")
    if isinstance(arms, Noisy):
        inner = summarize(arms.arms, learner, state)
        tree = inner.tree
        if tree is not None:
            said = arms.false_positive + (arms.true_positive - arms.false_positive) * tree.reward
            tree = dataclasses.replace(tree, reward=said, truth=tree.reward)
        return dataclasses.replace(
            inner,
            true_positive=arms.true_positive,
            false_positive=arms.false_positive,
            deterministic=False,
            tree=tree,
        )
    with jax.enable_x64(True):
        if isinstance(arms, LumpedArms):
            return _of_table(arms, state)
        if isinstance(arms, TokenSequences):
            return _of_sequences(arms, state)
        if isinstance(arms, Contexts):
            return _of_contexts(arms, state)
    raise InputError(
        f"{type(arms).__name__} cannot be summarised exactly: give a table of arms, TokenSequences or Contexts, or "
        "measure a language model's prompt with llm_bridge.measuring.measure."
    )


# --------------------------------------------------------------------------------------------------------------- tables


def _of_table(table: LumpedArms, state: Any) -> Summary:
    means = table.fixed_means
    if table.reservoir or means is None:
        raise InputError(
            f"{type(table).__name__} has no fixed means, so no arm is known to be correct: give a table that has."
        )
    correct = means == means.max()
    if correct.all():
        raise InputError(f"Every arm of this {type(table).__name__} has the same mean: there is nothing to learn.")
    if state is None:
        log_mass = np.asarray(table.base_log_mass) - logsumexp(table.base_log_mass)
        log_count, right = np.asarray(table.log_counts), correct
    else:
        log_mass, log_count, right = _of_rows(table, state, correct)
    log_p, log_q = logsumexp(log_mass[right]), logsumexp(log_mass[~right])
    # κ = Σ over correct arms of (π/p)², and over wrong arms of (π/(1 − p))²; a group of n arms adds (mass/p)²/n.
    log_share = np.where(right, log_mass - log_p, log_mass - log_q)
    kappa = float(np.sum(np.exp(2 * log_share - log_count)))
    if kappa == 0.0:
        raise InputError("So many arms share the step that kappa is below any float: give at most 10^300 correct arms.")
    per_arm = log_mass - log_count
    log_counts = np.asarray(table.log_counts)
    deterministic = bool(np.isin(means, (0.0, 1.0)).all() and table.sigma in (None, 0.0))
    tree, lumped = _arms(log_mass, log_count, right) if deterministic else (None, False)
    return Summary(
        log_p0=float(log_p),
        kappa=kappa,
        log_arms=table.log_arms,
        log_correct=float(logsumexp(log_counts[correct])),
        symmetric=bool(np.ptp(per_arm[right]) < 1e-9 and np.ptp(per_arm[~right]) < 1e-9),
        table=True,
        deterministic=deterministic,
        delay=table.delay,
        tree=tree,
        lumped=lumped,
    )


def _arms(log_mass: np.ndarray, log_count: np.ndarray, right: np.ndarray) -> tuple[ResponseTree | None, bool]:
    """(one decision whose edges are the arms, whether classes of wrong arms are one edge each); None: too many arms.

    A class of n wrong arms that are never reinforced keeps them alike. Its share then moves as that of one arm whose
    logit feels 1/n of its gradient, so that its entry of the kernel is 1/n, at steps of any size.
    """
    here = np.isfinite(log_mass)  # an arm that is never drawn is learnt by nothing
    log_mass, log_count, right = log_mass[here], log_count[here], right[here]
    lumped = logsumexp(log_count) > math.log(_MOST_ARMS)
    split = right | (not lumped)
    if logsumexp(np.where(split, log_count, 0.0)) > math.log(_MOST_ARMS) + 1e-9:
        return None, lumped
    number = np.where(split, np.rint(np.exp(np.where(split, log_count, 0.0))), 1).astype(int)
    log_prob = np.repeat(log_mass - np.where(split, log_count, 0.0), number)
    log_prob -= logsumexp(log_prob)
    size = log_prob.size
    tree = ResponseTree(
        node=np.zeros(size, int),
        child=np.full(size, -1),
        reward=np.repeat(right.astype(np.float64), number),
        log_prob=log_prob,
        gram=np.diag(np.repeat(np.exp(np.where(split, 0.0, -log_count)), number)),
        # An arm's own logit is the one weight that it has, and Adam's step on it is exact; not so on a lumped class.
        coordinates=None if lumped else np.eye(size, dtype=np.float32),
        dimension=0 if lumped else size,
    )
    return tree, lumped


def _of_rows(table: LumpedArms, state: Any, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ln mass, ln number of arms, whether correct) of each inhabited group of a policy-gradient state."""
    if "logit" not in getattr(state, "statistic", {}):
        raise InputError("This state holds no logits: summarise a softmax or natural policy gradient's state.")
    rows = state.rows
    log_count = np.asarray(rows.log_multiplicity, np.float64)
    if log_count.ndim != 1:
        raise InputError("The state holds several seeds: give one, jax.tree.map(lambda leaf: leaf[seed], state).")
    index = np.asarray(rows.class_index)
    inhabited = log_count > -math.inf
    logit = np.asarray(state.statistic["logit"], np.float64)
    mass, count, kind = (logit + log_count)[inhabited], log_count[inhabited], index[inhabited]
    right = np.where(kind >= 0, correct[kind], False)
    if kind[0] < 0:  # a pool: its correct arms are those that have not left it, and all its arms have one logit
        gone = math.log(right.sum()) if right.any() else -math.inf
        left = _log_difference(logsumexp(np.asarray(table.log_counts)[correct]), gone)
        wrong = _log_difference(float(count[0]), left)
        parts = [(log_n, is_right) for log_n, is_right in ((left, True), (wrong, False)) if log_n > -math.inf]
        count = np.concatenate([[log_n for log_n, _ in parts], count[1:]])
        mass = np.concatenate([[logit[inhabited][0] + log_n for log_n, _ in parts], mass[1:]])
        right = np.concatenate([[is_right for _, is_right in parts], right[1:]])
    return mass - logsumexp(mass), count, right


def _log_difference(log_more: float, log_fewer: float) -> float:
    """ln(n − k) of whole numbers n ≥ k of any size, from ln n and ln k; −inf for none left."""
    if log_more < 30:
        left = round(math.exp(log_more)) - round(math.exp(log_fewer))
        return math.log(left) if left > 0 else -math.inf
    share = math.exp(log_fewer - log_more)
    return log_more + math.log1p(-share) if share < 1 else -math.inf


# ------------------------------------------------------------------------------------------------------- token policies


def _of_sequences(arms: TokenSequences, state: Any) -> Summary:
    policy = arms.policy.bind(arms.vocabulary_size, arms.length, arms.verifier, arms.p0, touches=0)
    if policy.log_success is None or policy.kappa is None:
        raise InputError(
            f"p and kappa of a {arms.policy.name} policy under {arms.verifier.name} have no closed form: use a "
            "verifier with structure (Needle, AnswerToken, ModularSum)."
        )
    params = policy.init() if state is None else state
    log_odds = None if policy.needed_log_odds is None else np.asarray(policy.needed_log_odds(params), np.float64)
    return Summary(
        log_p0=float(policy.log_success(params)[0]),
        kappa=float(policy.kappa(params)),
        log_arms=arms.log_arms,
        log_correct=float(arms.verifier.log_correct(arms.vocabulary_size, arms.length)),
        position_log_odds=log_odds,
        vocabulary_size=arms.vocabulary_size,
    )


def _of_contexts(arms: Contexts, state: Any) -> Summary:
    policies = arms.policies(touches=0)
    if policies.form is None:
        raise InputError("These verifiers have no structure, so p and kappa of the prompts have no closed form.")
    params = policies.init() if state is None else state
    success = np.exp(np.asarray(policies.log_success(params)[0], np.float64))
    gram = np.asarray(policies.gram(params), np.float64)
    # ∇ logit of the mean p: Σ_i p_i(1 − p_i) δ_i / (B p̄(1 − p̄)).
    mean = success.mean()
    weight = success * (1 - success) / (success.size * mean * (1 - mean))
    return Summary(
        log_p0=float(np.log(mean)),
        kappa=float(weight @ gram @ weight),
        prompt_success=success,
        gram=gram,
        vocabulary_size=arms.vocabulary_size,
    )
