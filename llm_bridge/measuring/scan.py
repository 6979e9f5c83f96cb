"""Which single question? p0 of many, each with its interval, and the one nearest to a wanted difficulty.

    rows = [*scan(model, [(7, example)], key=key, samples=32, max_tokens=256)]
    nearest(rows, 0.25)[0].index

Each question is sampled under a key of its own (`fold_in(key, index)`), so its row does not depend on which others are
scanned, or in what order: a scan that was cut continues to the same numbers.

The p0 of the question chosen is biased, away from where most questions lie, because the choice looked at it: measure it
anew (`llm_bridge.measuring.measure`, another key) before it is used as a number.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import jax

from bandit_rft.errors import InputError
from bandit_rft.keys import Key, as_key
from llm_bridge.measuring.evaluate import VerifierFactory, evaluate, wilson

if TYPE_CHECKING:
    from llm_bridge.data.datasets import Dataset, Example
    from llm_bridge.language_model import LanguageModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One question's p0.

    Attributes:
        index: its place in the data.
        p0: share of right responses, with Wilson's interval [low, high].
        successes, samples: counts.
        truncated: share of responses stopped by the token limit.
        mean_length: response tokens.
    """

    index: int
    p0: float
    low: float
    high: float
    successes: int
    samples: int
    truncated: float
    mean_length: float


FIELDS: dict[str, type] = {
    **dict.fromkeys(("index", "successes", "samples"), int),
    **dict.fromkeys(("p0", "low", "high", "truncated", "mean_length"), float),
}


def scan(
    model: LanguageModel,
    examples: Iterable[tuple[int, Example]],
    *,
    key: Key,
    samples: int,
    max_tokens: int,
    verifier: str | VerifierFactory | None = None,
    temperature: float = 1.0,
    batch: int = 32,
    confidence: float = 0.95,
) -> Iterator[Row]:
    """One row per question, computed when the iterator reaches it.

    Args:
        model: whose policy is sampled.
        examples: (place in the data, question).
        key: a whole number or a JAX key; a question's row depends on it and on the question's place.
        samples: responses per question.
        max_tokens, verifier, temperature, batch, confidence: as `evaluate`'s.

    Raises:
        InputError: as `evaluate`.
    """
    key = as_key(key)
    for index, example in examples:
        evaluation = evaluate(
            model,
            [example],
            key=jax.random.fold_in(key, index),
            max_tokens=max_tokens,
            verifier=verifier,
            samples=samples,
            temperature=temperature,
            batch=batch,
        )
        low, high = wilson(evaluation.successes, evaluation.samples, confidence)
        yield Row(
            index=index,
            p0=evaluation.pass_at_1,
            low=low,
            high=high,
            successes=evaluation.successes,
            samples=evaluation.samples,
            truncated=evaluation.truncated,
            mean_length=evaluation.mean_length,
        )


def shortest(data: Dataset, places: Sequence[int], number: int) -> list[int]:
    """The `number` places whose prompts have the fewest characters, shortest first: what a small model can answer
    within few tokens.
    """
    length = {place: sum(len(message["content"]) for message in data.example(place).prompt) for place in places}
    return sorted(places, key=lambda place: (length[place], place))[:number]


def nearest(rows: Sequence[Row], wanted: float) -> list[Row]:
    """The rows from the nearest to a wanted p0 to the farthest, in log-odds (so .01 is far from .05); ties by index.

    Log-odds of (c + ½)/(n − c + ½), finite where none or all of n are right.

    Raises:
        InputError: a wanted p0 that is not strictly between 0 and 1.
    """
    if not 0.0 < wanted < 1.0:
        raise InputError(f"The wanted p0 is {wanted}: give a number strictly between 0 and 1, such as 0.25.")
    target = math.log(wanted / (1.0 - wanted))

    def distance(row: Row) -> float:
        return abs(math.log((row.successes + 0.5) / (row.samples - row.successes + 0.5)) - target)

    return sorted(rows, key=lambda row: (distance(row), row.index))


def as_csv(rows: Sequence[Row]) -> str:
    """A table with a header, in the order of the data."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(Row)])
    writer.writerows(dataclasses.astuple(row) for row in sorted(rows, key=lambda row: row.index))
    return text.getvalue()


def as_markdown(rows: Sequence[Row], confidence: float = 0.95) -> str:
    """A table, from the easiest question to the hardest."""
    lines = [
        f"| index | p0 | {100 * confidence:.4g}% interval | right | cut off | tokens |",
        "| ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.index} | {row.p0:.3f} | {row.low:.3f} to {row.high:.3f} | {row.successes} of {row.samples} | "
        f"{row.truncated:.0%} | {row.mean_length:.0f} |"
        for row in sorted(rows, key=lambda row: (-row.p0, row.index))
    ]
    return "\n".join(lines) + "\n"
