"""The exception that a user's bad input raises, a sentence that says what is wrong, where, and what to do; its kinds;
and a run's end by request, which is no error.
"""

from __future__ import annotations

import zipfile
import zlib

# What zipfile, zlib, numpy and json raise of a damaged .npz file, in one place or another.
DAMAGED_ARRAYS: tuple[type[Exception], ...] = (
    *(OSError, LookupError, ValueError, EOFError, TypeError, AttributeError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RecursionError, RuntimeError, MemoryError),
)


class InputError(ValueError):
    """Bad input. The message is one sentence for a person; the command line prints it alone and exits with code 2."""


class RowCapacityError(InputError):
    """A simulation touched more arms than its row capacity holds; no arm was dropped, the run stopped instead.

    Attributes:
        history: the `History` of the rounds before, or None.
    """

    def __init__(self, message: str, history: object = None) -> None:
        super().__init__(message)
        self.history = history


class UnknownOptimumError(InputError):
    """Regret was asked for where the best arm's mean is unknown (an LLM's verifier): report reward and Pass@1
    instead.
    """


class NoLawError(InputError):
    """No law of the theory gives the curve that was asked for; the sentence says why, and what there is instead."""


class SweepWarning(UserWarning):
    """A run that cannot learn: the learner tries every arm once first, and the rounds do not exceed the arms."""


class ModelWarning(UserWarning):
    """A model that loads or trains, but not as one may think; the sentence says what differs and what to do."""


class Stopped(BaseException):
    """The run was asked to stop and has; the message says what is saved. No Exception: nothing on its way may take it
    for a failure of its own, such as a damaged file.

    Attributes:
        exit_code: of the process, 128 and the signal's number.
    """

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def reason(error: BaseException) -> str:
    """What somebody else's error says, in one line of at most 200 characters; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")
