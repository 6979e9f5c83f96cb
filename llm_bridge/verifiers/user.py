"""The user's own verifier: a Python function of response and answer, named `module:function` or `file.py:function`.

It is the user's trusted code and runs in this process, without a time limit: what it does with the response's text is
its own affair. Whatever it raises is one sentence; what ends the process itself (os._exit, a crash
of compiled code) cannot be caught, and KeyboardInterrupt is left to mean Ctrl-C.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from bandit_rft import by_name
from bandit_rft.errors import InputError, reason


@dataclasses.dataclass(frozen=True, kw_only=True)
class UserFunction:
    """text -> function(text, answer). Picklable: it holds the function's name.

    Attributes:
        name: "module:function" or "path/file.py:function".
        answer: the ground truth, as the data set gives it.

    Raises:
        InputError: on building, nothing of that name, or nothing that takes two arguments; on calling, an exception of
            the function's.
    """

    name: str
    answer: str

    def __post_init__(self) -> None:
        function = by_name.imported(self.name, "verifier")
        if inspect.iscoroutinefunction(function):
            raise InputError(f"The verifier {self.name} is asynchronous: make it a plain function, without async.")
        try:
            inspect.signature(function).bind("", self.answer)
        except TypeError as error:
            raise InputError(
                f"The verifier {self.name} does not take a response and its answer ({reason(error)}): make it a "
                "function of two texts, (response, answer) -> float."
            ) from None
        except ValueError:  # compiled code, some of which says nothing of its arguments
            pass

    def __call__(self, text: str) -> Any:
        """What the function makes of a response; whether it is a finite number is `text_rewards.score`'s to check."""
        try:
            return by_name.imported(self.name, "verifier")(text, self.answer)
        except by_name.PASSING:
            raise
        except BaseException as error:
            raise InputError(
                f"The verifier {self.name} raised {type(error).__name__}{by_name.said(error)} on a response of "
                f"{len(text)} characters: make it return a float for every text."
            ) from error
