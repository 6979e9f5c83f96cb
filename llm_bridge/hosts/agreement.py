"""What all processes of a run are to have alike: values from each, the first one's word, and errors.

Every function here is called by all processes at the same place of the program, and returns the same to all; where
there is one process it costs nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from bandit_rft.errors import InputError
from llm_bridge.hosts import roll_call

T = TypeVar("T")
SEEN_SECONDS = 20.0


def gathered(values: Any) -> np.ndarray:
    """Numbers of every process: [processes, ...] of arrays [...] of one shape and dtype (32 bits at most, as JAX)."""
    values = np.asarray(values)
    if roll_call.count() == 1:
        return values[None]
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(values))


def texts(text: str) -> list[str]:
    """A text of every process, in order."""
    if roll_call.count() == 1:
        return [text]
    raw = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    lengths = gathered(np.int32(len(raw)))
    room = 1 << max(6, int(lengths.max()).bit_length())  # few shapes, few compilations
    padded = np.zeros(room, np.uint8)
    padded[: len(raw)] = raw
    rows = gathered(padded)
    return [row[:length].tobytes().decode("utf-8", "surrogatepass") for row, length in zip(rows, lengths, strict=True)]


def agreed(work: Callable[[], T]) -> T:
    """This process's own result of `work`, once no process has refused.

    Raises:
        InputError: as `work` raised it here, or the first of another process, with its number.
    """
    result, refusal, kind = _tried(work)
    if roll_call.count() > 1:
        said = texts("" if refusal is None else json.dumps([str(refusal)]))
        first = next((process for process, text in enumerate(said) if text), None)
        if first is not None and refusal is None:
            kind = InputError(f"Process {first}: {json.loads(said[first])[0]}")
    if kind is not None:
        over()
        raise kind
    return result  # type: ignore[return-value]


def first(work: Callable[[], Any]) -> Any:
    """What `work` gives process 0, plain JSON values; the others only wait for it.

    Raises:
        InputError: as process 0 raised it.
    """
    if roll_call.count() == 1:
        return work()
    result, refusal, kind = _tried(work) if roll_call.index() == 0 else (None, None, None)
    told = json.loads(texts(json.dumps([result, None if refusal is None else str(refusal)]))[0])
    if told[1] is not None:
        over()
        raise kind or InputError(told[1])
    return told[0]


def until_seen(look: Callable[[], str]) -> None:
    """Wait until every process sees what it is to see, for a file system of a network may show a change late.

    Args:
        look: what this process lacks, as the end of a sentence that "Process 1" begins; "" once nothing is.

    Raises:
        InputError: in all processes, for the first that still lacks something after `SEEN_SECONDS`.
    """
    end = time.monotonic() + SEEN_SECONDS
    while (lacking := look()) and time.monotonic() < end:
        time.sleep(0.1)
    for process, said in enumerate(texts(lacking)):
        if said:
            over()
            raise InputError(f"Process {process} {said}")


def _tried(work: Callable[[], Any]) -> tuple[Any, str | None, InputError | None]:
    try:
        return work(), None, None
    except InputError as error:
        return None, str(error), error


def counted(numbers: dict[str, int]) -> dict[str, int]:
    """Sums over all processes, by name."""
    if roll_call.count() == 1:
        return numbers
    total = gathered(np.asarray(list(numbers.values()), np.int32)).sum(axis=0)
    return dict(zip(numbers, total.tolist(), strict=True))


def shares(rows: int) -> list[slice]:
    """Which of so many rows are each process's: equal parts in order, sizes that differ by one at most."""
    bounds = np.linspace(0, rows, roll_call.count() + 1).astype(int)
    return [slice(start, stop) for start, stop in itertools.pairwise(bounds.tolist())]


def over() -> None:
    """All processes end the section here, and know it: what is raised now needs no telling."""
    watch = roll_call.watch()
    if watch is not None:
        watch.working = False


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Work in which no process may be missing: where one goes, the others end in one sentence.

    Raises:
        ProcessGone: a process has gone.
    """
    watch = roll_call.watch()
    if watch is None or watch.working:
        yield
        return
    watch.section += 1
    watch.working, watch.exit_code = True, None
    try:
        if watch.gone:
            raise roll_call.ProcessGone(watch.sentence())
        yield
        watch.tell(done=watch.section)
        gathered(np.int32(0))
    except BaseException as error:
        if not watch.working:  # all know
            raise
        bad_input = isinstance(error, InputError)
        watch.exit_code = getattr(error, "exit_code", 2 if bad_input else 1)
        # A collective whose other side is gone raises what the transport says, before or after the watch knows it.
        if isinstance(error, Exception) and not bad_input and watch.wait_for_news(5.0):
            watch.exit_code = 2
            watch.tell(left=watch.sentence())
            raise roll_call.ProcessGone(watch.sentence()) from None
        watch.tell(left=(str(error) or type(error).__name__)[:500])
        raise
    finally:
        watch.working = False
