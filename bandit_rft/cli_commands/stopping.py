"""How a run stops before its end: by SIGTERM, or by a number that is not finite.

SIGTERM is a request: the round in hand is finished and saved, and the run ends in one sentence and exit code 143. A
scheduler that takes a machine back (Slurm, Kubernetes, systemd) sends SIGTERM, waits, and kills. SIGINT (Ctrl-C)
keeps its usual meaning: it ends the run at once, also while it waits for the round in hand.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from bandit_rft.errors import InputError

if TYPE_CHECKING:
    from bandit_rft.progress import ProgressLine
    from llm_bridge.finite import NotFiniteError

EXIT_CODE = 143  # 128 + SIGTERM, as shells report it


class Stopped(BaseException):
    """The run was asked to stop and has; the message says what is saved. No Exception: nothing on its way may take it
    for a failure of its own, such as a damaged file.
    """


class StopRequest:
    """Takes SIGTERM while it is entered; a context manager. Outside the main thread it leaves signals alone.

    A stop asked for between `hold` and `release` waits for `release`; at any other time it raises at once.

    Attributes:
        asked: whether SIGTERM has come.
        saved: rounds that the newest checkpoint holds.
    """

    def __init__(self) -> None:
        self.asked, self.saved = False, 0
        self._held = False
        self._before: Any = None
        self._installed = False

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._handle)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            # None stands for a handler that was not installed from Python, which cannot be put back from here.
            signal.signal(signal.SIGTERM, signal.SIG_DFL if self._before is None else self._before)
            self._installed = False

    def hold(self) -> None:
        """From here on a stop waits."""
        self._held = True

    def release(self) -> None:
        """From here on a stop ends the run at once.

        Raises:
            Stopped: one was asked for meanwhile.
        """
        self._held = False
        if self.asked:
            raise self._stopped()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked = True
        if not self._held:
            raise self._stopped()

    def _stopped(self) -> Stopped:
        if self.saved:
            return Stopped(f"stopped by SIGTERM: saved after round {self.saved}; the same command continues it.")
        return Stopped("stopped by SIGTERM before a round was done; the same command starts again.")


def not_finite(error: NotFiniteError, prompt: str, checkpoint: Path | None) -> InputError:
    """The error as the command says it: with the user's name of the prompt, and the last good checkpoint or None."""
    kept = "no checkpoint before it is kept" if checkpoint is None else f"the last good checkpoint is {checkpoint}"
    return InputError(
        f"Round {error.round} gave {error.what} on {prompt} ({error.prompt!r}) and the run stopped; {kept}: lower the "
        "learning rate, or check the model's weights, in another --out."
    )


def say(line: ProgressLine, sentence: str) -> None:
    """A sentence on standard error, on a line of its own."""
    line.clear()
    print(f"bandit-rft: {sentence}", file=sys.stderr, flush=True)
