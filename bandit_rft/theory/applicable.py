"""Which laws a policy and a learner have, and what has none: `theory.predict` and `theory.times_to` both ask here."""

from __future__ import annotations

import math
from typing import NamedTuple

from bandit_rft.errors import NoLawError
from bandit_rft.theory.response_tree import ResponseTree
from bandit_rft.theory.summary import Summary
from bandit_rft.theory.update_settings import UpdateSettings

__all__ = ["Laws", "errs", "laws_of"]

_NOT_VERIFIABLE = "Rewards are not 0 or 1 for certain: every law of the curve here is for a verifiable reward."


class Laws(NamedTuple):
    """The laws of a policy.

    Attributes:
        tree: whose law the policy has; None: it has none.
        numbers: whether the laws of p0 and κ are of this policy and learner.
        exact: whether these are exact, but for the mean that they take over a group: no tree stands before them.
        left_out: why a tree that was measured is not followed, a clause; or empty.
    """

    tree: ResponseTree | None
    numbers: bool
    exact: bool = False
    left_out: str = ""


def laws_of(summary: Summary, settings: UpdateSettings) -> Laws:
    """The laws that apply.

    Raises:
        NoLawError: no law of the catalogue gives this learner's curve; the sentence says why and what there is instead.
    """
    _refuse(summary)
    if summary.table:
        _refuse_baseline(settings)
        by_means = settings.optimizer == "sgd" and settings.epochs == 1 and not settings.kl_coefficient
        exact = by_means and not settings.questions and _alike(summary)
        if exact and summary.lumped and settings.failures_teach:
            return Laws(None, numbers=True, exact=True)
        if not exact:
            _refuse_table(summary, settings)
        return Laws(summary.tree, numbers=not errs(summary), exact=exact)
    tree = summary.tree
    if settings.questions:  # p0 and κ of a mean over questions have no law
        if tree is None:
            raise NoLawError(
                "Several questions have a law here on the trees of their responses alone, which were not measured: "
                "measure them, or take one question."
            )
        tree.refuse()
        return Laws(tree, numbers=False)
    if tree is None:
        return Laws(None, numbers=True)
    try:
        tree.refuse()
    except NoLawError as refused:
        if settings.delay or settings.epochs > 1 or settings.optimizer == "adam" or tree.questions:
            raise  # of these the laws of p0 and κ know nothing
        return Laws(None, numbers=True, left_out=f"the tree law is left out: {refused}")
    return Laws(tree, numbers=not tree.questions)


def errs(summary: Summary) -> bool:
    """Whether the policy's verifier errs."""
    return (summary.true_positive, summary.false_positive) != (1.0, 0.0)


def _refuse(summary: Summary) -> None:
    if summary.prompt_success is not None and summary.prompt_success.size > 1:
        raise NoLawError(
            "Several prompts share their parameters: theory.contexts_flow takes the summary's prompt_success and gram, "
            "and gives the curve of exact gradients for each prompt."
        )
    if not summary.deterministic and not errs(summary):
        raise NoLawError(_NOT_VERIFIABLE)
    if not summary.table and errs(summary):
        raise NoLawError(
            "The verifier errs: theory.noisy_verifier gives the mean drift, and the curve of rewards that reinforce "
            "wrong responses has a law here for tables alone."
        )
    if not summary.table and summary.delay and summary.tree is None:
        raise NoLawError(
            f"Rewards come {summary.delay} rounds late, after the policy has moved: theory.pg_delayed gives the curve "
            "of small steps or large groups; single rollouts at a step of any size have a law here for tables alone."
        )


def _alike(summary: Summary) -> bool:
    """Whether a table is one correct arm among wrong ones that are alike, and rewards are true and heard at once."""
    many = summary.log_correct is not None and summary.log_correct > 1e-9
    return summary.symmetric and not (many or errs(summary) or summary.delay)


def _refuse_baseline(settings: UpdateSettings) -> None:
    if settings.extra_rollouts and settings.signal == "mean_baseline":
        raise NoLawError(
            "On a table mean_baseline takes the mean of the extra rollouts alone, and the laws take that of all "
            "rollouts: give rloo, or no extra_rollouts."
        )


def _refuse_table(summary: Summary, settings: UpdateSettings) -> None:
    """Where not even the arms of a table, as the edges of one decision, have a law."""
    if summary.tree is None and not summary.deterministic and (summary.log_correct or 0.0) <= math.log(256):
        raise NoLawError(_NOT_VERIFIABLE)
    if summary.tree is None:
        raise NoLawError(
            "A table with so many correct arms: each success reinforces one of them (a Polya urn). theory.pg_monopoly "
            "gives the mean time to learn, and the curve has a law here up to 256 correct arms."
        )
    if settings.optimizer == "adam" and summary.lumped:
        raise NoLawError(
            "Adam moves each arm by a scale of its own, and the law of a table follows 256 arms at most: "
            "theory.adam_jump gives an isolated success's move and theory.adam_flow the curve once its kappa is known."
        )
    if summary.lumped and (settings.failures_teach or summary.false_positive > 0):
        pays = summary.false_positive > 0
        moves = "the verifier pays for wrong arms" if pays else f"{settings.signal} moves wrong arms"
        raise NoLawError(
            f"Wrong arms do not stay alike where {moves}, and the law of such a table follows 256 arms at most: take "
            "fewer arms, or the raw reward of a verifier without false positives."
        )
