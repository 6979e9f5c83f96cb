"""Questions as Python users give them: objects that have a prompt and an answer, or rows of named columns.

    given([{"question": "1+1=?", "answer": "2"}], "examples")

A row, such as one of a list of dicts or of a `datasets.Dataset`, is read as a row of a data file is (`layouts`): the
same columns, templates and choice of a verifier.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from bandit_rft.errors import InputError
from llm_bridge.data.datasets import Example
from llm_bridge.data.layouts import layout_of, question_of

_LOG = logging.getLogger(__name__)


def given(examples: Iterable[Any], what: str, verifier: Any = None) -> tuple[Any, ...]:
    """The questions, each with `.prompt` and `.answer`.

    Args:
        examples: objects that have both, as they are; or mappings from column to value, which become `Example`s.
        what: what messages call them.
        verifier: that of all of them; where it is None and a row's had to be assumed, a warning says which.

    Raises:
        InputError: something else, a row without a known column, or without a prompt or an answer that can be used.
    """
    if isinstance(examples, str | bytes | Mapping) or not isinstance(examples, Iterable):
        raise InputError(f"{what} is of type {type(examples).__name__}: give a list of questions.")
    questions: list[Any] = []
    assumed: set[str] = set()
    try:
        listed = list(examples)
    except TypeError:  # an array of no axis has __iter__, and refuses to be iterated over
        raise InputError(f"{what} is of type {type(examples).__name__}: give a list of questions.") from None
    for place, example in enumerate(listed):
        if isinstance(example, Mapping):
            where = f"{what}[{place}]"
            question = question_of(example, layout_of([*map(str, example)], where), what, place, what)
            source = str(example.get("data_source") or what)
            if question.assumed:
                assumed.add(question.verifier)
            example = Example(
                prompt=question.prompt,
                ground_truth=question.answer,
                index=place,
                data_source=source,
                verifier=question.verifier,
            )
        elif not hasattr(example, "prompt") or not hasattr(example, "answer"):
            raise InputError(
                f"{what} has an example of type {type(example).__name__}: give questions that have a prompt and an "
                "answer, as attributes or as columns."
            )
        questions.append(example)
    if assumed and verifier is None:
        _LOG.warning(
            "Rows of %s name no known data source: their answers are checked by %s. Choose another by verifier=.",
            what,
            " or ".join(sorted(assumed)),
        )
    return tuple(questions)
