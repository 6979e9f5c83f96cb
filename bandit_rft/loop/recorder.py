"""What both loops tell between chunks of rounds, so that a run can be written, and continued, as it happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from bandit_rft.history import History

MOST_ROUNDS = 64  # of a chunk: what is compiled makes room for so many records, whatever the chunk's own length


class Recorder(Protocol):
    """A recorder of a run. Where the run is cut into chunks changes no number of it: a round's keys depend on the round
    alone, and in the scan loop the chunk's length is an argument of one compiled program.
    """

    def groups(self, usual: int) -> int:
        """Groups of seeds to run beside each other; `usual` at first, and always the same for one run: how many seeds
        are computed together decides the last bits of a model's numbers.
        """
        ...

    def resume(self, state: Any) -> tuple[Mapping[str, Any], Any] | None:
        """(records [S, done, ...] by the loop's names, state after them) to go on from, or None to start afresh.
        `state` is a template, see `record`; where there is something to go on from, its arrays may be deleted.
        """
        ...

    def chunk_end(self, done: int) -> int:
        """The round that the next chunk runs up to, above `done`."""
        ...

    def check(self, start: int, records: Mapping[str, Any], kept: Any) -> None:
        """Raises where the records [S, L, ...] of the rounds from `start` on are not sound; nothing is kept of them
        then.
        """
        ...

    def record(self, history: History, state: Any, kept: Any) -> None:
        """A chunk is done: everything so far, and the state after it, which the next chunk overwrites; of the chunk's
        own rounds, what the arm set keeps of their arms (`ArmSet`), arrays [S, L, ...], or None.

        The state is that of all seeds: leaves [S, ...] where they are computed together, else a tuple of S states, or
        the one seed's own.
        """
        ...


def recorded_chunks(begin: int, rounds: int, recorder: Recorder) -> Iterator[tuple[int, int]]:
    """(start, length) of the chunks, each asked for when the one before it is done."""
    start = begin
    while start < rounds:
        end = min(max(recorder.chunk_end(start), start + 1), start + MOST_ROUNDS, rounds)
        yield start, end - start
        start = end
