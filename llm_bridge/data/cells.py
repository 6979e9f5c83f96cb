"""What the cells of question data say: chat messages, and the text of an answer."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError

# A list of objects with roles, or an object with a ground truth, and the quotes that it is written with.
_WRITTEN = re.compile(
    r"""\s*(?:\[\s*\{(?=.*['"]role['"]\s*:)|\{(?=.*['"]ground_truth['"]\s*:))\s*(['"])""", flags=re.DOTALL
)
_LONGEST_NUMBER = 40  # digits of a number that stands in the data as one

Messages = tuple[dict[str, str], ...]


class RowError(InputError):
    """A row without a prompt or an answer that can be used; its number is `row`, from 0."""

    def __init__(self, row: int, sentence: str) -> None:
        self.row = row
        super().__init__(sentence)


def read(value: Any) -> Any:
    """A text that is a chat or an object with a ground truth, as a CSV file must hold them in JSON, or as pandas writes
    them there, in Python's spelling: what it says, None where that is malformed. Of NumPy, as rows of a data frame have
    it: an array as a list, a number as the decimal that it was written from. Any other value as it is.
    """
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.floating):
        return float(str(value))
    begins = _WRITTEN.match(value) if isinstance(value, str) else None
    if begins is None:
        return value
    try:
        found = json.loads(value) if begins[1] == '"' else ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if isinstance(found, dict):
        return found if "ground_truth" in found else None
    return found if all(isinstance(one, dict) and {"role", "content"} <= one.keys() for one in found) else None


def messages_of(value: Any) -> Messages | None:
    """The chat that a prompt is, a text as the user's one turn; None where it is empty or malformed. Turns of the
    assistant at its end that say nothing, as a chat has them that is to be answered, are left out.
    """
    if isinstance(value, str):
        return ({"role": "user", "content": value},) if value.strip() else None
    if not isinstance(value, list) or not value:
        return None
    messages = []
    while value and _is_unanswered(value[-1]):
        value = value[:-1]
    for message in value:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if not isinstance(role, str) or not isinstance(content, str) or not role or not content.strip():
            return None
        messages.append({"role": role, "content": content})
    return tuple(messages) or None


def _is_unanswered(message: Any) -> bool:
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return False
    content = message.get("content")
    return content is None or (isinstance(content, str) and not content.strip())


def last_of_user(messages: Sequence[Mapping[str, str]]) -> int:
    """The place of the user's last turn, -1 where there is none."""
    return max((place for place, message in enumerate(messages) if message["role"] == "user"), default=-1)


def grouped(number: str) -> str:
    """A number without the commas between its thousands, as verl's preprocessing writes it; any other text as it is."""
    return number.replace(",", "") if re.fullmatch(r"-?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?", number) else number


def answer_text(value: Any, column: str, index: int, where: str) -> str | None:
    """The text of an answer, None where there is none. Raises RowError for one of another type."""
    if value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, dict) and not value):
        return None
    if isinstance(value, float | Decimal) and math.isnan(value):  # what pandas writes where there is nothing
        return None
    if isinstance(value, str):
        return value
    if arguments.is_whole(value) or (isinstance(value, float | Decimal) and math.isfinite(value)):
        exact = Decimal(repr(value) if isinstance(value, float) else value)
        whole = exact.adjusted() < _LONGEST_NUMBER and exact == exact.to_integral()
        plain = str(int(exact)) if whole else format(exact, "f") if exact.adjusted() > -_LONGEST_NUMBER else ""
        if 0 < len(plain) <= _LONGEST_NUMBER:
            return plain
    raise RowError(
        index,
        f"row {index} of {where} has the answer {str(value)[:40]} in {column!r}, a {type(value).__name__}: give a text "
        "or a number",
    )
