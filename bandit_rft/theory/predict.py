"""`theory.predict`: which law applies to a policy and a learner, and why; or that none does."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import NoLawError
from bandit_rft.theory.applicable import errs, laws_of
from bandit_rft.theory.policy_gradient.mean_update import by_mean_update
from bandit_rft.theory.policy_gradient.softmax import pg_jump_single
from bandit_rft.theory.prediction import Prediction
from bandit_rft.theory.remeasured import remeasured
from bandit_rft.theory.response_tree import ResponseTree
from bandit_rft.theory.sequences.rft import rft_predict
from bandit_rft.theory.sequences.token_sequences import prefix_tree_jump
from bandit_rft.theory.sequences.tree import on_tree
from bandit_rft.theory.summary import Summary
from bandit_rft.theory.update_settings import UpdateSettings

__all__ = ["predict"]

_SAMPLED = "Adam's step is summed over weights drawn at random, and over linearised log-probabilities"


def predict(
    summary: Summary,
    *,
    step_size: float,
    rounds: int,
    signal: str = "raw",
    rollouts: int = 1,
    optimizer: str = "sgd",
    ddof: int = 1,
    eps: float = 0.0,
    adam: tuple[float, float, float] = (0.9, 0.999, 1e-8),
    kl_coefficient: float = 0.0,
    epochs: int = 1,
    questions: int = 0,
    window: int | None = None,
    dynamic_sampling: int = 0,
    extra_rollouts: int = 0,
    k: int | None = None,
    normalise: str = "group",
) -> Prediction:
    """The prediction of the law that applies, chosen by the summary alone: it cannot tell a table from a model.

    Where a tree of responses was measured, and shows enough of the policy, its law is preferred to those of p0 and κ.

    Args:
        summary: of the policy before the first round: `summarize(arms)`, or a model's measurement.
        step_size: η > 0, of the mean over a round's rollouts.
        rounds: T ≥ 1.
        signal: a name of `bandit_rft.signals`. rollouts: G, that are learned from.
        optimizer: "sgd" (plain gradient ascent) or "adam".
        ddof, eps: GRPO's.
        adam: β1, β2 and ε of Adam. kl_coefficient: β of a KL term to the start. epochs: steps on each round's
            responses, without clipping. Only the law of the tree knows of these; a table is a tree of one decision.
        questions: B, of which each round takes so many, G rollouts each, where the summary's tree is a forest
            (`theory.forest`); 0: one question.
        window: W, the newest scores of the question, this round's among them, that give mean and spread to "grpo" and
            "mean_baseline"; None: this round's.
        dynamic_sampling: how often a round's dead group is drawn again at most.
        extra_rollouts: E more per group, which enter the signal alone: that of all G + E.
        k: of pass_at_k; None: G + E.
        normalise: "group", or "batch": GRPO's standard deviation is that of all rewards of the round's questions.

    Returns:
        The prediction; its `why` says which law was chosen and for what reason, its `flags` what is only approximate.

    Raises:
        NoLawError: no law of the catalogue gives this learner's curve; the sentence says why and what there is instead.
        InputError: an argument out of range.

    Example:
        >>> from bandit_rft import arms, summarize, theory
        >>> found = theory.predict(summarize(arms.Needle(log10_arms=100, p0=0.05)), step_size=0.5, rounds=400)
        >>> found.name, round(float(found.value[-1]), 4)
        ('pg_jump_single', 0.9938)
    """
    rounds = arguments.whole("rounds", rounds)
    settings = UpdateSettings.among(locals(), delay=summary.delay)
    found = _chosen(summary, settings, rounds)
    other = functools.partial(_two_numbers, settings=settings, rounds=rounds)
    return replace(found, remeasured=remeasured(found, summary, other))


def _chosen(summary: Summary, settings: UpdateSettings, rounds: int) -> Prediction:
    """The law that applies."""
    laws = laws_of(summary, settings)
    if laws.tree is not None and not laws.exact:
        if summary.table:
            return _table(laws.tree, errs(summary), settings, rounds)
        return (_forest if settings.questions else _tree)(laws.tree, settings, rounds)
    found = _two_numbers(summary, settings, rounds)
    beta = settings.kl_coefficient
    left_out = f"the KL term of weight {beta:g} is left out, which the law of a tree has" if beta else ""
    return replace(found, flags=(*found.flags, *filter(None, (left_out, laws.left_out))))


def _two_numbers(summary: Summary, settings: UpdateSettings, rounds: int) -> Prediction:
    """The law of p0 and κ alone."""
    if settings.epochs > 1:
        raise NoLawError(
            f"{settings.epochs} steps on each round's responses have a law here on a tree alone: measure the tree of "
            "responses, or take one."
        )
    if settings.optimizer == "adam":
        raise NoLawError(
            "Adam moves each coordinate by its own scale, which p0 and kappa do not hold: theory.adam_jump gives an "
            "isolated success's move and theory.adam_flow the curve once its kappa is known."
        )
    if replace(settings, kl_coefficient=0.0).by_successes:  # these laws leave a KL term out
        return _one_rollout(summary, settings, rounds)
    found = by_mean_update(summary.p0, summary.kappa, settings, rounds)
    lag = ", where older scores lag behind" if found.name == "pg_window" else ""
    why = f"{found.name}: {_drawn(settings)} move logit p by step x kappa p(1-p) M on average{lag}."
    return replace(found, why=why, flags=(*found.flags, *_approximate(summary)))


def _drawn(settings: UpdateSettings) -> str:
    """What a round draws and learns from, for the middle of a sentence."""
    said = f"{settings.rollouts} rollouts of the {settings.signal} signal"
    if settings.k is not None:
        said += f", k = {settings.k},"
    if settings.extra_rollouts:
        said += f" with {settings.extra_rollouts} more for its baseline"
    if settings.normalise == "batch":
        said += " by the spread of the batch"
    if settings.window is not None:
        said += f" against a window of {settings.window} scores"
    if settings.dynamic_sampling:
        said += f" with dead groups drawn again up to {settings.dynamic_sampling} times"
    return said


def _single(settings: UpdateSettings) -> str:
    """One rollout whose reward alone is learned from, for the middle of a sentence."""
    if settings.signal in ("raw", "psr"):
        return "one rollout, raw reward"
    over = " over 1 + eps" if settings.signal == "grpo" and settings.eps else ""
    return f"one rollout, of which {settings.signal} is the raw reward{over}"


def _tree(tree: ResponseTree, settings: UpdateSettings, rounds: int) -> Prediction:
    """The law of the tree."""
    of = f"of {tree.responses} responses" if tree.responses else "of all responses"
    flags = (f"the decisions are those {of}, and their kernel is that of the start",) if tree.responses else ()
    found = on_tree(tree, settings, rounds)
    if found.name == "tree_jump":
        why = f"tree_jump: {_single(settings)}, plain gradient steps; the decisions {of} with their kernel."
    else:
        late = f", learned from {settings.delay} rounds late" if settings.delay else ""
        why = f"tree_rounds: {_drawn(settings)} under {settings.optimizer}{late}; the decisions {of} with their kernel."
        if settings.optimizer == "adam":
            flags += (_SAMPLED,)
    return replace(found, why=why, flags=(*found.flags, *flags))


def _forest(tree: ResponseTree, settings: UpdateSettings, rounds: int) -> Prediction:
    """The law of several questions, which is that of their trees."""
    found = on_tree(tree, settings, rounds)
    flags = (f"the decisions are those of {tree.responses} responses, and their kernel is that of the start",)
    if settings.optimizer == "adam":
        flags += (_SAMPLED,)
    each = _drawn(settings).replace("rollouts of", "rollouts each of", 1)
    why = (
        f"tree_rounds: {settings.questions} of {tree.questions} questions a round, {each} under "
        f"{settings.optimizer}; the decisions of {tree.responses} responses with their kernel."
    )
    return replace(found, why=why, flags=(*found.flags, *flags))


def _table(tree: ResponseTree, errs: bool, settings: UpdateSettings, rounds: int) -> Prediction:
    """The law of a table whose arms are the edges of one decision: logits of their own make its kernel exact."""
    exact = "the arms of the table, each with a logit of its own; exact but for the runs that it is averaged over"
    found = on_tree(tree, settings, rounds)
    if found.name == "tree_jump":
        return replace(found, why=f"tree_jump: {_single(settings)}, plain gradient steps; {exact}.")
    late = f", rewards {settings.delay} rounds late" if settings.delay else ""
    noisy = ", a verifier that errs" if errs else ""
    return replace(found, why=f"tree_rounds: {_drawn(settings)} under {settings.optimizer}{late}{noisy}; {exact}.")


def _one_rollout(summary: Summary, settings: UpdateSettings, rounds: int) -> Prediction:
    step_size, single = settings.success_step, _single(settings)
    if summary.table:
        found = pg_jump_single(summary.p0, step_size, rounds, log_arms=summary.log_arms)
        return replace(found, why=f"pg_jump_single: one correct arm in a table, {single}; exact.")
    odds = summary.position_log_odds
    if odds is not None and summary.vocabulary_size is not None and np.ptp(odds) <= 1e-9:
        found = prefix_tree_jump(summary.vocabulary_size, odds.size, step_size, rounds, p0=summary.p0)
        return replace(
            found,
            why=f"prefix_tree_jump: {odds.size} needed tokens with logits of their own, alike at the start; exact.",
        )
    found = rft_predict(summary.p0, summary.kappa, step_size, rounds)
    return replace(
        found,
        why=f"rft_predict: {single}, plain gradient steps; the jump chain at the kappa of the start.",
        flags=(*found.flags, *_approximate(summary)),
    )


def _approximate(summary: Summary) -> tuple[str, ...]:
    """What keeps p0 and κ from being the whole truth."""
    flags = []
    if not (summary.table and summary.symmetric):
        flags.append(
            "kappa is that of the start and is taken as constant, which parameters shared by arms need not keep"
        )
    if not summary.exact:
        relative = summary.kappa_standard_error / summary.kappa
        known = f"a relative standard error of {relative:.0%}" if math.isfinite(relative) else "an unknown error"
        flags.append(f"kappa was measured, with {known}")
    return tuple(flags)
