"""Progress of a long job: rounds, reward, Pass@1, rounds per second, time left.

On a terminal and in a notebook it is one line, redrawn in place. Elsewhere (a log file, a pipe) a line of its own is
written every half minute, and none of a shorter job.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

_REDRAW_SECONDS = 0.1
_LOG_SECONDS = 30.0  # between lines where nothing can be redrawn
_RATE_WINDOW = 32  # updates over which the rate is averaged: recent enough to follow a run whose responses grow


class ProgressLine:
    """One line, redrawn in place; a context manager that clears it at the end.

    Calling it with (done, total, mean, seconds) is the `Progress` of `bandit_rft.run` and of `llm_bridge`.

    Args:
        label: what is going on, at the head of the line.
        unit: what is counted, in the plural.
        quantity: what the mean is.
        stream: where to write; standard error by default.
        clock: seconds, monotonic.
        shown: False writes nothing at all.

    Attributes:
        active: whether the line is redrawn in place.
        pass_at_1: the last known Pass@1, shown where it is not None.
    """

    def __init__(
        self,
        label: str,
        *,
        unit: str = "rounds",
        quantity: str = "reward",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        shown: bool = True,
    ) -> None:
        self.label, self.unit, self.quantity = label, unit, quantity
        self.stream = sys.stderr if stream is None else stream
        self.clock = clock
        notebook = type(self.stream).__module__.startswith("ipykernel.")
        self.active = shown and (self.stream.isatty() or notebook)
        self._logged: float | None = self.clock() if shown and not self.active else None
        self.pass_at_1: float | None = None
        self._seen: deque[tuple[float, int]] = deque(maxlen=_RATE_WINDOW)
        self._drawn = -_REDRAW_SECONDS
        self._width = 0

    def __enter__(self) -> ProgressLine:
        if self.active:
            self._draw(f"{self.label}: starting")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def __call__(self, done: int, total: int, mean: float, seconds: float) -> None:
        """`done` of `total`, the mean of the newest; `seconds` is the caller's clock and is not needed."""
        del seconds
        if not self.active and self._logged is None:
            return
        now = self.clock()
        self._seen.append((now, done))
        if self._logged is not None:
            if now - self._logged >= _LOG_SECONDS:
                self._logged = now
                print(self.text(done, total, mean), file=self.stream, flush=True)
            return
        if now - self._drawn < _REDRAW_SECONDS and done < total:
            return
        self._drawn = now
        self._draw(self.text(done, total, mean))

    def doing(self, what: str) -> None:
        """Show what is going on where nothing is counted, such as "compiling the gradient"."""
        text = f"{self.label}: {what}"
        if self.active:
            self._draw(text)
        elif self._logged is not None and self.clock() - self._logged >= _LOG_SECONDS:
            self._logged = self.clock()
            print(text, file=self.stream, flush=True)

    def text(self, done: int, total: int, mean: float) -> str:
        """The line for this state, without control characters."""
        parts = [f"{self.label}: {done}/{total} {self.unit}", f"{self.quantity} {mean:z.3f}"]
        if self.pass_at_1 is not None:
            parts.append(f"Pass@1 {self.pass_at_1:.3f}")
        if len(self._seen) > 1:
            (start, first), (end, last) = self._seen[0], self._seen[-1]
            if end > start and last > first:
                rate = (last - first) / (end - start)
                parts.append(f"{rate:.3g} {self.unit}/s")
                parts.append(f"{_duration((total - done) / rate)} left")
        return ", ".join(parts)

    def clear(self) -> None:
        """Wipe the line, so that what is printed next starts on a clean one."""
        if self.active and self._width:
            self.stream.write("\r" + " " * self._width + "\r")
            self.stream.flush()
            self._width = 0

    def _draw(self, text: str) -> None:
        # One column is kept free: a full line wraps on some terminals and is then no longer redrawn in place.
        text = text[: max(shutil.get_terminal_size().columns - 1, 20)]
        self.stream.write("\r" + text.ljust(self._width))
        self.stream.flush()
        self._width = len(text)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
