"""A training log as the law reads it: successes of each round, and how many rounds stand behind each line."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

__all__ = ["MOST_ROWS", "TrainingLog"]

MOST_ROWS = 250  # that are judged; of longer logs neighbouring rows are added up


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingLog:
    """The reward curve of one run. T rows.

    Attributes:
        source: the file. column: the name of its rewards.
        step: int64 [T], rising.
        reward: float64 [T], the mean over the row's responses.
        responses: int64 [T], behind each row.
        rounds: int64 [T], that the row stands for: from it to the next, or, where the log looks back, from the row
            before to this one.
        seen: int64 [T], how many of these the row's reward is the mean of.
        looks_back: whether those are the last of its rounds, as where a record is the mean of the steps since the one
            before (trl), or the first.
        group: int64 [T], responses to one prompt that are compared with each other.
        rate: float64 [T], learning rates; None where the log has none.
        dead: float64 [T], share of groups whose rewards are all equal; None where the log has none.
        resolution: half a unit of the last digit that the log gives of a reward.
        others: columns of the file that may hold another reward.
        notes: what the reader should know, one sentence each.
    """

    source: str
    column: str
    step: np.ndarray
    reward: np.ndarray
    responses: np.ndarray
    rounds: np.ndarray
    seen: np.ndarray
    group: np.ndarray
    rate: np.ndarray | None = None
    dead: np.ndarray | None = None
    looks_back: bool = False
    resolution: float = 1e-6
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def rows(self) -> int:
        """T."""
        return len(self.step)

    @property
    def successes(self) -> np.ndarray:
        """int64 [T], right responses of each row."""
        return np.clip(np.rint(self.reward * self.responses), 0, self.responses).astype(np.int64)

    @property
    def steps(self) -> np.ndarray:
        """float64 [T], size of each row's steps, of mean 1."""
        if self.rate is None or not np.mean(self.rate) > 0:
            return np.ones(self.rows)
        return self.rate / np.mean(self.rate)

    def part(self, rows: slice) -> TrainingLog:
        """Some of the rows; rates keep the mean of all."""
        chosen = {
            name: getattr(self, name)[rows] for name in ("step", "reward", "responses", "rounds", "seen", "group")
        }
        dead = None if self.dead is None else self.dead[rows]
        return replace(self, **chosen, rate=self.steps[rows], dead=dead)

    def merged(self, most: int = MOST_ROWS) -> TrainingLog:
        """At most so many rows, neighbours added up; more of them where the group changes, which is not averaged."""
        if self.rows <= most:
            return self
        even = np.linspace(0, self.rows, most + 1).astype(np.int64)[:-1]
        cuts = np.union1d(even, np.flatnonzero(np.diff(self.group)) + 1)

        def added(values: np.ndarray) -> np.ndarray:
            return np.add.reduceat(values, cuts)

        responses, rounds = added(self.responses), added(self.rounds)
        dead = None if self.dead is None else added(self.dead * self.responses) / responses
        return replace(
            self,
            step=self.step[cuts],
            reward=added(self.successes) / responses,
            responses=responses,
            rounds=rounds,
            seen=added(self.seen),
            group=self.group[cuts],
            rate=None if self.rate is None else added(self.rate * self.rounds) / rounds,
            dead=dead,
            notes=(*self.notes, f"{self.rows:,} rows were added up to {len(cuts)}"),
        )
