"""Values of a config.json that anybody may have written, each checked as it is taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bandit_rft import arguments
from bandit_rft.errors import InputError

_LARGEST = 2**31 - 1  # token ids and positions are int32


class Given:
    """Values of a config.json, each checked as it is taken."""

    def __init__(self, values: Mapping[str, Any], source: str, file: str = "config.json") -> None:
        self.values, self.source, self.file = values, source, file

    def wrong(self, name: str, wanted: str) -> InputError:
        return InputError(
            f"{self.file} of {self.source} has {name} = {str(self.values.get(name))[:40]!r}, which is {wanted}: take "
            "a complete checkpoint folder."
        )

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number from 1 to 2^31 − 1; raises InputError for anything else, and where there is no default."""
        value = self._number(name, default)
        if not 1 <= value <= _LARGEST or value != int(value):
            raise self.wrong(name, "no whole number of at least 1")
        return int(value)

    def positive(self, name: str, default: float | None = None) -> float:
        """A finite number above 0; raises as `whole`."""
        value = self._number(name, default)
        if not 0 < value < math.inf:
            raise self.wrong(name, "no finite number above 0")
        return float(value)

    def _number(self, name: str, default: float | None) -> float:
        value = self.values.get(name)
        value = default if value is None else value
        if value is None:
            raise InputError(f"config.json of {self.source} has no '{name}': take a complete checkpoint folder.")
        if not arguments.is_number(value):
            raise self.wrong(name, "no number")
        return value

    def ids(self, name: str) -> tuple[int, ...]:
        """Token ids: none, one or a list of them."""
        value = self.values.get(name)
        found = [] if value is None else value if isinstance(value, list) else [value]
        if any(not arguments.is_whole(v) or not -1 <= v <= _LARGEST for v in found):
            raise self.wrong(name, "no token id, nor a list of them")
        return tuple(found)

    def ends(self, vocabulary: int) -> tuple[int, ...]:
        """The ids that end a response; −1 stands for none. Raises InputError for one beyond the vocabulary."""
        found = [token for token in self.ids("eos_token_id") if token >= 0]
        if any(token >= vocabulary for token in found):
            raise self.wrong("eos_token_id", f"beyond the vocabulary of {vocabulary}")
        return tuple(found)

    def flag(self, name: str) -> bool:
        """true or false; false where there is none."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "neither true nor false")
        return bool(value)
