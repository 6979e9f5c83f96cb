"""`theory.predict`: which law applies to a policy and a learner, and why; or that none does."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from bandit_rft import arguments, signals
from bandit_rft.errors import InputError, NoLawError
from bandit_rft.signals import SUCCESSES_ONLY
from bandit_rft.theory.policy_gradient.group_flow import pg_group
from bandit_rft.theory.policy_gradient.groups import SIGNALS
from bandit_rft.theory.policy_gradient.softmax import pg_jump_single
from bandit_rft.theory.policy_gradient.window_flow import LONGEST_WINDOW, MOST_ROUNDS, pg_window
from bandit_rft.theory.prediction import Prediction
from bandit_rft.theory.response_tree import ResponseTree
from bandit_rft.theory.sequences.rft import rft_predict
from bandit_rft.theory.sequences.token_sequences import prefix_tree_jump
from bandit_rft.theory.sequences.tree import tree_jump, tree_rounds
from bandit_rft.theory.summary import Summary

__all__ = ["predict"]

OPTIMIZERS = ("sgd", "adam")
_NOT_VERIFIABLE = "Rewards are not 0 or 1 for certain: every law of the curve here is for a verifiable reward."


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
) -> Prediction:
    """The prediction of the law that applies, chosen by the summary alone: it cannot tell a table from a model.

    Where a tree of responses was measured, and shows enough of the policy, its law is preferred to those of p0 and κ.

    Args:
        summary: of the policy before the first round: `summarize(arms)`, or a model's measurement.
        step_size: η > 0, of the mean over a round's rollouts.
        rounds: T ≥ 1.
        signal: a name of `bandit_rft.signals`, pass_at_k with k = G. rollouts: G.
        optimizer: "sgd" (plain gradient ascent) or "adam".
        ddof, eps: GRPO's.
        adam: β1, β2 and ε of Adam. kl_coefficient: β of a KL term to the start. epochs: steps on each round's
            responses, without clipping. Only the law of the tree knows of these; a table is a tree of one decision.
        questions: B, of which each round takes so many, G rollouts each, where the summary's tree is a forest
            (`theory.forest`); 0: one question.
        window: W, the newest scores of the question, this round's among them, that give mean and spread to "grpo" and
            "mean_baseline"; None: this round's. dynamic_sampling: how often a round's dead group is drawn again at
            most. Only the laws of p0 and κ know of these two.

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
    step_size, rounds = arguments.positive("step_size", step_size), arguments.whole("rounds", rounds)
    rollouts = arguments.whole("rollouts", rollouts)
    if signal not in SIGNALS:
        raise InputError(f"Signal {arguments.shown(signal)} is unknown: choose one of {', '.join(SIGNALS)}.")
    if optimizer not in OPTIMIZERS:
        raise InputError(f"optimizer is {optimizer!r}: choose one of {', '.join(OPTIMIZERS)}.")
    questions = arguments.whole("questions", questions, 0)
    signals.check_window(window, signal, rollouts, extra=0)
    signals.check_dynamic_sampling(dynamic_sampling, signal, rollouts, window)
    _refuse(summary)
    epochs = arguments.whole("epochs", epochs)
    if window is not None or dynamic_sampling:
        used = "A window of scores" if window is not None else "Dynamic sampling"
        _refuse_beside(used, summary, optimizer, epochs, kl_coefficient, questions)
        return _of_means(summary, step_size, rounds, signal, rollouts, ddof, eps, window, dynamic_sampling)
    if summary.table and (optimizer == "adam" or epochs > 1 or not _alike(summary)):
        return _table(summary, step_size, rounds, signal, rollouts, ddof, eps, optimizer, adam, kl_coefficient, epochs)
    if questions:
        return _forest(
            summary,
            step_size,
            rounds,
            signal,
            rollouts,
            questions=questions,
            ddof=ddof,
            eps=eps,
            optimizer=optimizer,
            adam=adam,
            kl_coefficient=kl_coefficient,
            epochs=epochs,
        )
    why_not = ""
    if summary.tree is not None and not summary.table:
        try:
            summary.tree.refuse()
            return _tree(
                summary.tree,
                step_size,
                rounds,
                signal,
                rollouts,
                ddof,
                eps,
                optimizer,
                adam,
                kl_coefficient,
                epochs,
                summary.delay,
            )
        except NoLawError as refused:
            if summary.delay:
                raise
            why_not = f"the tree law is left out: {refused}"
    if epochs > 1:
        raise NoLawError(
            f"{epochs} steps on each round's responses have a law here on a tree alone: measure the tree of responses, "
            "or take one."
        )
    found = _two_numbers(summary, step_size, rounds, signal, rollouts, optimizer, ddof, eps)
    return replace(found, flags=(*found.flags, why_not)) if why_not else found


def _two_numbers(
    summary: Summary,
    step_size: float,
    rounds: int,
    signal: str,
    rollouts: int,
    optimizer: str,
    ddof: int,
    eps: float,
) -> Prediction:
    """The law of p0 and κ alone."""
    if optimizer == "adam":
        raise NoLawError(
            "Adam moves each coordinate by its own scale, which p0 and kappa do not hold: theory.adam_jump gives an "
            "isolated success's move and theory.adam_flow the curve once its kappa is known."
        )
    if signal in ("raw", "psr") and rollouts == 1:
        return _one_rollout(summary, step_size, rounds)
    found = pg_group(signal, summary.p0, step_size, rounds, rollouts, kappa=summary.kappa, ddof=ddof, eps=eps)
    return replace(
        found,
        why=f"pg_group: {rollouts} rollouts of the {signal} signal move logit p by step x kappa p(1-p) M on average.",
        flags=(*found.flags, *_approximate(summary)),
    )


def _refuse_beside(
    used: str, summary: Summary, optimizer: str, epochs: int, kl_coefficient: float, questions: int
) -> None:
    """Raises NoLawError where the law by p0 and κ, the only one with these two, is not that of the run."""
    if optimizer == "adam" or epochs > 1 or kl_coefficient or questions:
        raise NoLawError(
            f"{used} has a law here for plain gradient steps on one question alone: leave out Adam, epochs, a KL term "
            "and questions, or it."
        )
    if summary.table and not _alike(summary):
        raise NoLawError(
            f"{used} has a law here on tables of one correct arm among wrong ones that are alike, whose rewards are "
            "true and heard at once: take such a table."
        )


def _of_means(
    summary: Summary,
    step_size: float,
    rounds: int,
    signal: str,
    rollouts: int,
    ddof: int,
    eps: float,
    window: int | None,
    dynamic_sampling: int,
) -> Prediction:
    """The law of a window of scores, or of dead groups drawn again: that of the mean update at p0 and κ."""
    spread: dict[str, Any] = {"kappa": summary.kappa, "ddof": ddof, "eps": eps}
    if window is not None and rounds <= MOST_ROUNDS and 2 <= window <= LONGEST_WINDOW:
        found = pg_window(summary.p0, step_size, rounds, rollouts, window, signal, **spread)
        why = f"pg_window: {rollouts} rollouts of the {signal} signal against a window of {window} scores, which lags."
    else:
        found = pg_group(
            signal,
            summary.p0,
            step_size,
            rounds,
            rollouts,
            window=window,
            dynamic_sampling=dynamic_sampling,
            **spread,
        )
        how = f"dead groups drawn again up to {dynamic_sampling} times" if window is None else f"a window of {window}"
        why = f"pg_group: {rollouts} rollouts of the {signal} signal with {how}, by the mean update."
    left_out = "dynamic sampling" if window is None else "window of scores"
    tree = () if summary.tree is None or summary.table else (f"the tree law is left out: it knows no {left_out}",)
    return replace(found, why=why, flags=(*found.flags, *_approximate(summary), *tree))


def _tree(
    tree: ResponseTree,
    step_size: float,
    rounds: int,
    signal: str,
    rollouts: int,
    ddof: int,
    eps: float,
    optimizer: str,
    adam: tuple[float, float, float],
    kl_coefficient: float,
    epochs: int,
    delay: int,
) -> Prediction:
    """The law of the tree."""
    of = f"of {tree.responses} responses" if tree.responses else "of all responses"
    flags = (f"the decisions are those {of}, and their kernel is that of the start",) if tree.responses else ()
    if signal in ("raw", "psr") and (rollouts, optimizer, kl_coefficient, epochs, delay) == (1, "sgd", 0.0, 1, 0):
        found = tree_jump(tree, step_size, rounds)
        why = f"tree_jump: one rollout, raw reward, plain gradient steps; the decisions {of} with their kernel."
    else:
        found = tree_rounds(
            tree,
            step_size,
            rounds,
            signal,
            rollouts,
            ddof=ddof,
            eps=eps,
            optimizer=optimizer,
            adam=adam,
            kl_coefficient=kl_coefficient,
            delay=delay,
            epochs=epochs,
        )
        late = f", learned from {delay} rounds late" if delay else ""
        why = (
            f"tree_rounds: {rollouts} rollouts of the {signal} signal under {optimizer}{late}; the decisions {of} with "
        )
        why += "their kernel."
        if optimizer == "adam":
            flags += ("Adam's step is summed over weights drawn at random, and over linearised log-probabilities",)
    return replace(found, why=why, flags=(*found.flags, *flags))


def _forest(summary: Summary, step_size: float, rounds: int, signal: str, rollouts: int, **settings: Any) -> Prediction:
    """The law of several questions, which is that of their trees: p0 and κ of a mean over questions have none."""
    tree, questions = summary.tree, settings["questions"]
    if tree is None:
        raise NoLawError(
            "Several questions have a law here on the trees of their responses alone, which were not measured: measure "
            "them, or take one question."
        )
    tree.refuse()
    found = tree_rounds(tree, step_size, rounds, signal, rollouts, delay=summary.delay, **settings)
    flags = (f"the decisions are those of {tree.responses} responses, and their kernel is that of the start",)
    if settings["optimizer"] == "adam":
        flags += ("Adam's step is summed over weights drawn at random, and over linearised log-probabilities",)
    why = (
        f"tree_rounds: {questions} of {int((tree.node == 0).sum())} questions a round, {rollouts} rollouts each of the "
        f"{signal} signal under {settings['optimizer']}; the decisions of {tree.responses} responses with their kernel."
    )
    return replace(found, why=why, flags=(*found.flags, *flags))


def _refuse(summary: Summary) -> None:
    if summary.prompt_success is not None and summary.prompt_success.size > 1:
        raise NoLawError(
            "Several prompts share their parameters: theory.contexts_flow takes the summary's prompt_success and gram, "
            "and gives the curve of exact gradients for each prompt."
        )
    if not summary.deterministic and not _errs(summary):
        raise NoLawError(_NOT_VERIFIABLE)
    if not summary.table and _errs(summary):
        raise NoLawError(
            "The verifier errs: theory.noisy_verifier gives the mean drift, and the curve of rewards that reinforce "
            "wrong responses has a law here for tables alone."
        )
    if not summary.table and summary.delay and summary.tree is None:
        raise NoLawError(
            f"Rewards come {summary.delay} rounds late, after the policy has moved: theory.pg_delayed gives the curve "
            "of small steps or large groups; single rollouts at a step of any size have a law here for tables alone."
        )


def _errs(summary: Summary) -> bool:
    return (summary.true_positive, summary.false_positive) != (1.0, 0.0)


def _alike(summary: Summary) -> bool:
    """Whether a table is one correct arm among wrong ones that are alike, and rewards are true and heard at once."""
    return summary.symmetric and not (_many_correct(summary) or _errs(summary) or summary.delay)


def _table(
    summary: Summary,
    step_size: float,
    rounds: int,
    signal: str,
    rollouts: int,
    ddof: int,
    eps: float,
    optimizer: str,
    adam: tuple[float, float, float],
    kl_coefficient: float,
    epochs: int,
) -> Prediction:
    """The law of a table whose arms are the edges of one decision: logits of their own make its kernel exact."""
    tree = summary.tree
    if tree is None and not summary.deterministic and (summary.log_correct or 0.0) <= math.log(256):
        raise NoLawError(_NOT_VERIFIABLE)
    if tree is None:
        raise NoLawError(
            "A table with so many correct arms: each success reinforces one of them (a Polya urn). theory.pg_monopoly "
            "gives the mean time to learn, and the curve has a law here up to 256 correct arms."
        )
    if optimizer == "adam" and summary.lumped:
        raise NoLawError(
            "Adam moves each arm by a scale of its own, and the law of a table follows 256 arms at most: "
            "theory.adam_jump gives an isolated success's move and theory.adam_flow the curve once its kappa is known."
        )
    if summary.lumped and (signal not in SUCCESSES_ONLY or summary.false_positive > 0):
        moves = "the verifier pays for wrong arms" if summary.false_positive > 0 else f"{signal} moves wrong arms"
        raise NoLawError(
            f"Wrong arms do not stay alike where {moves}, and the law of such a table follows 256 arms at most: take "
            "fewer arms, or the raw reward of a verifier without false positives."
        )
    exact = "the arms of the table, each with a logit of its own; exact but for the runs that it is averaged over"
    plain = (rollouts, optimizer, kl_coefficient, epochs) == (1, "sgd", 0.0, 1)
    if signal in ("raw", "psr") and plain and not summary.delay and not _errs(summary):
        found = tree_jump(tree, step_size, rounds)
        return replace(found, why=f"tree_jump: one rollout, raw reward, plain gradient steps; {exact}.")
    found = tree_rounds(
        tree,
        step_size,
        rounds,
        signal,
        rollouts,
        ddof=ddof,
        eps=eps,
        optimizer=optimizer,
        adam=adam,
        kl_coefficient=kl_coefficient,
        delay=summary.delay,
        epochs=epochs,
    )
    late = f", rewards {summary.delay} rounds late" if summary.delay else ""
    errs = ", a verifier that errs" if _errs(summary) else ""
    why = f"tree_rounds: {rollouts} rollouts of the {signal} signal under {optimizer}{late}{errs}; {exact}."
    return replace(found, why=why)


def _one_rollout(summary: Summary, step_size: float, rounds: int) -> Prediction:
    if summary.table:
        found = pg_jump_single(summary.p0, step_size, rounds, log_arms=summary.log_arms)
        return replace(found, why="pg_jump_single: one correct arm in a table, one rollout, raw reward; exact.")
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
        why="rft_predict: one rollout, raw reward, plain gradient steps; the jump chain at the kappa of the start.",
        flags=(*found.flags, *_approximate(summary)),
    )


def _many_correct(summary: Summary) -> bool:
    return summary.log_correct is not None and summary.log_correct > 1e-9


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
