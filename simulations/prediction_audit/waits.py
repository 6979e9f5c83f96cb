"""Questions that no measured response was right on: the wait for the first success, predicted and measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax

from bandit_rft import theory
from bandit_rft.keys import as_key
from llm_bridge.data import datasets
from llm_bridge.language_model import LanguageModel
from llm_bridge.measuring.evaluate import evaluate
from simulations.prediction_audit.design import RUN_KEY, Tier

FRESH = 16_384  # responses of the model as it is, from which p0 and so the mean wait 1/p0 are counted
SHARES = (0.1, 0.5, 0.9)


def never_right(rows: Sequence[dict[str, Any]], known: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str, int]]:
    """(model, task, question) of each question whose measurement had no success and whose wait is not known yet."""
    done = {(record["model"], record["task"], record["question"]) for record in known}
    found = dict.fromkeys(
        (record["model"], record["task"], record["question"])
        for record in rows
        if record.get("refused", "").startswith("0 of ")
    )
    yield from (one for one in found if one not in done)


def waits(tier: Tier, model: LanguageModel, task: str, question: int) -> dict[str, Any]:
    """Pulls until the first success: the quantiles that the measurement's failures predict, and the mean 1/p0 of a
    geometric wait by fresh responses, with how many of them were right."""
    example = datasets.load(task, "train").example(question)
    found = evaluate(
        model,
        [example],
        key=jax.random.fold_in(as_key(RUN_KEY), question),
        max_tokens=tier.max_tokens,
        samples=FRESH,
        batch=tier.batch,
    )
    right = int(found.per_question[0])
    return {
        "tier": tier.name,
        "model": model.name,
        "task": task,
        "question": question,
        "predicted": [theory.pulls_to_first_success(share, 0, tier.responses) for share in SHARES],
        "right": right,
        "responses": FRESH,
        "measured": FRESH / right if right else None,
    }
