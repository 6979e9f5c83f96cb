"""What is measured before a run (p0, kappa, the tree of its responses), and the step size that follows from it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.keys import Purpose
from bandit_rft.runs import RunFolder
from bandit_rft.runs.progress import ProgressLine
from bandit_rft.runs.trees import write_tree
from bandit_rft.settings.ranges import MOST_INT, MOST_ROWS
from llm_bridge import hosts, verifiers
from llm_bridge.bandits.response_arms import ResponseArms
from llm_bridge.measuring import kept_scores
from llm_bridge.measuring.measure import measure as measure_kappa
from llm_bridge.measuring.several import check_count, measure_several
from llm_bridge.training.continuation import Words
from llm_bridge.training.description import recorded_questions
from llm_bridge.training.learner import FineTune

SMALL = 20_000_000  # weights of a model whose tree is measured unasked
ADAM_COORDINATES = 4096  # weights drawn at random from which the law sums Adam's steps


@dataclass(frozen=True)
class Measuring:
    """How p0 and kappa are measured before a run.

    Attributes:
        rollouts: fresh responses.
        standard_error: of kappa too, for two thirds more time.
        batch: responses generated together, to bound memory; it changes no draw.
        tree: also the tree of these responses' decisions, from which the run's law is then made; None: of models of up
            to 20 million weights, where it takes seconds.

    Raises:
        InputError: rollouts or batch below 1, or another that is neither True nor False.
    """

    rollouts: int = 64
    standard_error: bool = True
    batch: int = 32
    tree: bool | None = None

    def __post_init__(self) -> None:
        for name, most in (("rollouts", MOST_ROWS), ("batch", MOST_INT)):
            object.__setattr__(self, name, arguments.whole(f"Measuring's {name}", getattr(self, name), 1, most))
        for name in ("standard_error", "tree"):
            if getattr(self, name) is not None or name != "tree":
                arguments.require(f"Measuring's {name}", getattr(self, name), (bool, np.bool_), "True or False")
                object.__setattr__(self, name, bool(getattr(self, name)))


def measuring_of(measure: bool | int | Measuring | None, learner: FineTune) -> Measuring | None:
    if isinstance(measure, Measuring):
        return measure
    if measure is None or measure is False:
        return None if learner.step_over_kappa is None else Measuring()
    return Measuring() if measure is True else Measuring(arguments.whole("measure", measure))


def resolved_by(
    learner: FineTune, folder: RunFolder, arms: ResponseArms, measuring: Measuring | None, key: jax.Array, shown: bool
) -> FineTune:
    """The learner with its step size, measured for where asked; recorded in config.json and manifest.json. A run that
    goes on keeps the one that it began with.
    """
    resolved = folder.resolved
    rate = learner.learning_rate
    if measuring is not None and "measurement" not in resolved:
        questions = [
            (question.encoded, (question.factory or partial(verifiers.make, question.verifier))(question.answer))
            for question in recorded_questions(arms)
        ]
        assert learner.max_tokens is not None
        how: dict[str, Any] = {
            "key": jax.random.fold_in(key, Purpose.MEASUREMENT),
            "max_tokens": learner.max_tokens,
            "rollouts": measuring.rollouts,
            "batch": measuring.batch,
            "temperature": learner.temperature,
            "remat": learner.remat,
        }
        of_tree: dict[str, Any] = {"coordinates": ADAM_COORDINATES if learner.optimizer == "adamw" else 0}
        with ProgressLine("measuring p0 and kappa", unit="steps", quantity="p0", shown=shown) as line:
            how["progress"] = line
            if len(questions) > 1:
                how |= of_tree | {"standard_error": False, "folder": folder.path}
                record, sample = measure_several(learner.model, questions, **how)
            else:
                how["standard_error"] = measuring.standard_error
                if _with_tree(measuring, learner):
                    how |= of_tree | {"tree": True, "kept": kept_scores.path_of(folder.path)}
                found = measure_kappa(learner.model, *questions[0], **how)
                record, sample = found.to_json(), None if found.tree is None else found.tree.sample
        # Several hosts may round differently, and the step size is to be the same to the bit: the first one's word.
        resolved["measurement"] = hosts.first(lambda: record)
        if sample is not None:
            resolved["tree"] = hosts.first(lambda: write_tree(folder.path, sample))
    if learner.step_over_kappa is not None:
        found = resolved["measurement"]
        kappa = found["kappa"]
        if kappa is None or not (math.isfinite(kappa) and kappa > 0):
            _discard_scores(folder)  # they would keep the folder for the same command, which leads here again
            raise InputError(
                f"kappa could not be measured ({found['successes']} of {found['rollouts']} responses were right, "
                f"estimate {kappa}): measure with more responses, choose another question, or give a learning rate."
            )
        rate = learner.step_over_kappa / kappa
    elif folder.config.get("learning_rate") is None:  # of a folder whose default was another version's
        before = resolved.get("learning_rate")
        rate = before if isinstance(before, float) and math.isfinite(before) else rate
    if not callable(rate):
        resolved["learning_rate"] = rate
    folder.resolve(**resolved)
    _discard_scores(folder)
    folder.amend_manifest(resolved=resolved)
    return dataclasses.replace(learner, learning_rate=rate, step_over_kappa=None)


def _discard_scores(folder: RunFolder) -> None:
    """Remove the scores that were kept of a measurement: it is at its end."""
    if hosts.index() == 0:
        kept_scores.discard(folder.path)


def check_several(measuring: Measuring, learner: FineTune, questions: int, words: Words) -> None:
    """Raises InputError where several questions cannot be measured as asked."""
    if learner.step_over_kappa is not None:
        raise InputError(f"kappa is that of one question: leave out {words.option('step_over_kappa')}.")
    if measuring.tree is False:
        raise InputError("Several questions have a law on their trees alone: measure with the tree, or not at all.")
    check_count(questions, words.option("measure"))


def _with_tree(measuring: Measuring, learner: FineTune) -> bool:
    """Whether the tree is measured too."""
    if measuring.tree is not None:
        return measuring.tree
    return sum(leaf.size for leaf in jax.tree.leaves(learner.model.params)) <= SMALL
