"""How a run stops before its end: by SIGTERM or SIGINT, or by a number that is not finite.

Both signals are requests: the round in hand is finished and saved, and the run ends in one sentence and exit code 143
(SIGTERM) or 130 (SIGINT, which is Ctrl-C). A scheduler that takes a machine back (Slurm, Kubernetes, systemd) sends
SIGTERM, waits, and kills. A second Ctrl-C ends the process at once, also in the middle of a compilation; as after a
kill, whatever was saved is whole.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from bandit_rft.errors import Stopped

if TYPE_CHECKING:
    from bandit_rft.runs.progress import ProgressLine

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class StopRequest:
    """Takes SIGTERM and SIGINT while it is entered; a context manager. Outside the main thread it leaves signals alone,
    and SIGINT too where it was ignored (a shell's background jobs are not to end by the Ctrl-C of another).

    A stop asked for between `hold` and `release` waits for `release`; at any other time it raises at once.

    Attributes:
        saved: rounds that the newest checkpoint holds.
    """

    def __init__(self) -> None:
        self.saved = 0
        self._number: int | None = None
        self._held = False
        self._before: dict[int, Any] = {}
        self._watch: _SecondInterrupt | None = None

    @property
    def asked(self) -> bool:
        """Whether a signal has arrived."""
        return self._number is not None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
            if signal.SIGINT in self._before:
                self._watch = _SecondInterrupt()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        for number, handler in self._before.items():
            # None stands for a handler that was not installed from Python, which cannot be put back from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    @property
    def number(self) -> int:
        """Of the first signal that has arrived; 0: none has."""
        return self._number or 0

    def ask(self, number: int) -> None:
        """As if this signal had arrived: another process of the run has had it."""
        self._number = number

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
        del frame
        self._number = self._number or number
        if not self._held:
            raise self._stopped()

    def _stopped(self) -> Stopped:
        by = "Ctrl-C" if self._number == signal.SIGINT else "SIGTERM"
        code = 128 + (self._number or signal.SIGTERM)
        if self.saved:
            return Stopped(f"stopped by {by}: saved after round {self.saved}; the same command continues it.", code)
        return Stopped(f"stopped by {by} before a round was done; the same command starts again.", code)


class _SecondInterrupt:
    """Ends the process at a second SIGINT, whatever the main thread is doing.

    Python calls a signal's handler only between two steps of its own, and takes signals that come during one long step
    (a compilation, a round on the device) for one. The bytes that it writes to the wake-up socket come at once.
    """

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        self._before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._wait, name="second Ctrl-C", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave signals to whoever had them before."""
        signal.set_wakeup_fd(self._before)
        self._write.close()
        self._thread.join()
        self._read.close()

    def _wait(self) -> None:
        seen = 0
        while numbers := self._read.recv(64):
            seen += numbers.count(signal.SIGINT)
            if seen > 1:
                # By the file's number, as the main thread may hold the stream's lock; and not by an exception, to which
                # the main thread may not come for minutes.
                with contextlib.suppress(OSError):
                    os.write(
                        2, b"\nbandit-rft: interrupted; what was saved is whole, and the same command continues.\n"
                    )
                os._exit(INTERRUPTED)


def say(line: ProgressLine, sentence: str) -> None:
    """A sentence on standard error, on a line of its own."""
    line.clear()
    print(f"bandit-rft: {sentence}", file=sys.stderr, flush=True)
