"""p0, kappa and the trees of several questions together, for the law of a run that draws from them.

Left out: more than `MOST` questions, whose decisions are too many to step through.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.theory import ForestSample
from llm_bridge.bandits.text_rewards import Verifier
from llm_bridge.measuring import kept_scores
from llm_bridge.measuring.branch_scores import SKETCH
from llm_bridge.measuring.evaluate import wilson
from llm_bridge.measuring.measure import Measurement, measure
from llm_bridge.measuring.response_tree import MEMORY, MeasuredTree, forest_sample

if TYPE_CHECKING:
    from llm_bridge.bandits.response_arms import Prompt
    from llm_bridge.language_model import LanguageModel

__all__ = ["MOST", "check_count", "measure_several"]

MOST = 16
_RESAMPLES = 100  # behind the standard error of kappa


def check_count(questions: int, option: str) -> None:
    """Raises InputError where the trees of so many questions are too much for a law; `option` asked for them."""
    if questions > MOST:
        raise InputError(
            f"{option} would measure {questions} questions, and a law steps through the decisions of {MOST} at most: "
            "take fewer, or leave it out."
        )


def measure_several(
    model: LanguageModel,
    questions: Sequence[tuple[Prompt, Verifier]],
    *,
    key: jax.Array,
    rollouts: int = 64,
    confidence: float = 0.95,
    folder: Path | None = None,
    **settings: Any,
) -> tuple[dict[str, Any], ForestSample]:
    """Measure each question, and the kernel between the decisions of all.

    Args:
        model: the language model.
        questions: (prompt, verifier) of each, two or more.
        key: question i measures with fold_in(key, i).
        rollouts: of each question.
        confidence: of the intervals for p0.
        folder: keeps sketched scores as they come (`kept_scores`); None: they are not kept.
        settings: more of what `measure` takes.

    Returns:
        (the numbers of all together, under the names of a `Measurement`, with those of each under "questions"; the
        responses with their kernel). kappa is |∇ logit p|² of the mean p over questions, by their trees, with the
        standard error of a bootstrap.

    Raises:
        InputError: as `measure`; or more than `MOST` questions.
    """
    check_count(len(questions), "This")
    size = sum(leaf.size for leaf in jax.tree.leaves(model.params))
    # The same for all, so that their scores can be compared.
    sketched = size > SKETCH and 4 * size * rollouts * len(questions) > MEMORY
    found: list[Measurement] = [
        measure(
            model,
            prompt,
            verifier,
            key=jax.random.fold_in(key, place),
            rollouts=rollouts,
            confidence=confidence,
            tree=True,
            sketched=sketched,
            turning=False,  # a forest's questions turn each its own way, of which its law does not know
            kept=None if folder is None else kept_scores.path_of(folder, place),
            **settings,
        )
        for place, (prompt, verifier) in enumerate(questions)
    ]
    trees: list[MeasuredTree] = [one.tree for one in found if one.tree is not None]
    sample = forest_sample(trees)
    return _together(found, sample, confidence), sample


def _together(found: Sequence[Measurement], sample: ForestSample, confidence: float) -> dict[str, Any]:
    successes, rollouts = (sum(getattr(one, name) for one in found) for name in ("successes", "rollouts"))
    low, high = wilson(successes, rollouts, confidence)
    kappa, error, note = math.nan, math.nan, "Every question has one response alone, and nothing to learn."
    try:
        kappa, note = sample.tree().kappa, ""
        generator = np.random.default_rng(0)
        drawn = [tree.kappa for tree in (sample.resampled(generator) for _ in range(_RESAMPLES)) if tree is not None]
        known = np.array(drawn)[np.isfinite(drawn)]
        error = float(known.std(ddof=1)) if known.size > 1 else math.nan
    except InputError:
        pass
    if math.isnan(kappa) and not note:
        note = "The responses are all right or all wrong: kappa is unknown."
    return {
        "p0": successes / rollouts,
        "p0_low": low,
        "p0_high": high,
        "confidence": confidence,
        "successes": successes,
        "rollouts": rollouts,
        "kappa": kappa,
        "kappa_standard_error": error,
        "mean_length": sum(one.mean_length * one.rollouts for one in found) / rollouts,
        "truncated": sum(one.truncated * one.rollouts for one in found) / rollouts,
        "distinct": sum(one.distinct for one in found),
        "note": note,
        "questions": [one.to_json() for one in found],
    }
