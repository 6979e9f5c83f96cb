"""The recorder of a fine-tuning run of any number of seeds: what is written between chunks of rounds.

Order after a chunk: its responses and its history, then (where due) a checkpoint of every seed's state, then (where
due) the evaluations. An evaluated round always has a checkpoint, so whatever a resumed run finds in evaluations.jsonl
was measured on weights that it continues from; and a checkpoint is never newer than history and responses. A chunk ends
where something is due, and takes about two seconds otherwise (one round at least), so that a requested stop
(SIGTERM) need not wait long; no number of the run depends on where it ends.

How fast the chunks were stands in timings.jsonl alone, so that everything else is the same whenever and wherever a run
was made. Weights that are not finite are never saved, so a checkpoint before them stays.

Answers that earned 0 because the verifier's time was over, or its worker process died of them, are counted in each
round's metrics (of all seeds together) and in each evaluation, as `verifier_timeouts` and `verifier_crashes`.

Where there are several processes, process 0 writes, and its clock says where chunks end; a stop that one was asked for
is one of all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.loop.recorder import MOST_ROUNDS
from bandit_rft.runs import (
    EVALUATIONS,
    LINES,
    RESPONSES,
    TIMINGS,
    LineWriter,
    RunFolder,
    cut_lines,
    read_lines,
    rewrite_lines,
)
from bandit_rft.runs.loggers import Logger, Loggers
from bandit_rft.runs.reading import round_record, rounds_as_arrays
from bandit_rft.runs.rollouts import responses_record
from bandit_rft.runs.stopping import StopRequest
from llm_bridge import hosts, verifiers
from llm_bridge.measuring.evaluate import NoPolicyError
from llm_bridge.training import checkpoints
from llm_bridge.training.evaluators import EVALUATION_FIELDS, Measure
from llm_bridge.training.finite import NotFiniteError, all_finite, check_records, opening
from llm_bridge.training.state import weights_of_seed

CHUNK_SECONDS = 2.0
_ROUND = {"round": int, "rewards": list, "metrics": dict}  # fields of a line of history.jsonl
_COUNTS = ("verifier_timeouts", "verifier_crashes")
GROUPS = "seed_groups"  # in config.json, among what the run resolved


@dataclass(kw_only=True)
class RunRecorder:
    """A `bandit_rft.loop.Recorder` over a run folder; call `close` at the end.

    Attributes:
        folder: the run folder.
        rounds, seeds: T and S.
        checkpoint_every: rounds between checkpoints; None: no checkpoint is written, nor can the run be continued.
        evaluators: name of a measurement -> (rounds between its evaluations, or None for round 0 and round T only;
            function of weights, rounds done and seed, giving its record).
        arms: the arm set, whose model decodes the responses, and whose prompt is named where numbers are not finite.
        keep: checkpoints kept.
        loggers: receive every round and evaluation.
        on_evaluation: called with the records of all seeds whenever a measurement of a round is complete.
        tell: given sentences for the user: a damaged checkpoint that was passed over, where the run continues.
        on_state: given the run's state before its first round, for what is to be said of it.
        stop: checked after each chunk.
        clock: seconds, monotonic; decides where chunks end, and thereby no number.
    """

    folder: RunFolder
    rounds: int
    seeds: int
    checkpoint_every: int | None
    evaluators: Mapping[str, tuple[int | None, Measure]]
    arms: Any
    keep: int = 2
    loggers: Sequence[Logger] = ()
    on_evaluation: Callable[[list[dict[str, Any]]], None] = lambda records: None
    tell: Callable[[str], None] = lambda sentence: None
    on_state: Callable[[Any], None] = lambda state: None
    stop: StopRequest = field(default_factory=StopRequest)
    clock: Callable[[], float] = time.monotonic
    resumed_at: int = 0

    def __post_init__(self) -> None:
        self._checkpoints = self.folder.path / "checkpoints"
        self.evaluations = read_lines(self.folder.path / EVALUATIONS, EVALUATION_FIELDS)
        self._writers: dict[str, LineWriter] = {}
        self._writes = hosts.index() == 0
        self._loggers = Loggers(self.loggers, self.tell)
        self._uncounted: list[str] = []  # in the lines of this run's beginning, and none of the loop's
        self._start = self._length = 0
        self._began = 0.0

    def groups(self, usual: int) -> int:
        """See `bandit_rft.loop.Recorder`: those that the run began with, also where there are other cores now."""
        found = self.folder.resolved.get(GROUPS)
        if found is None:
            found = usual
            self.folder.resolve(**{GROUPS: found})
        return int(found)

    def resume(self, state: Any) -> tuple[Mapping[str, Any], Any] | None:
        """See `bandit_rft.loop.Recorder`; history and responses are cut to the checkpoint's round. Where there is a
        checkpoint the arrays of `state` are deleted before it is read.

        Raises:
            InputError: the history is shorter than its checkpoint says, or either is damaged.
        """
        with jax.enable_x64(False):
            return self._resume(state)

    def chunk_end(self, done: int) -> int:
        """See `bandit_rft.loop.Recorder`. From here on a stop waits for the chunk."""
        now = self.clock()
        if self._length:
            rate = self._length / max(now - self._began, 1e-9)
            self._length = max(1, min(2 * self._length, int(rate * CHUNK_SECONDS), MOST_ROUNDS))
        self._began, self._length = now, self._length or 1
        every = [self.checkpoint_every, *(every for every, _ in self.evaluators.values())]
        ends = (done + each - done % each for each in every if each is not None)
        end = int(hosts.gathered(np.int32(min(done + self._length, self.rounds, *ends)))[0])
        self._start, self._length = done, end - done
        self.stop.hold()
        return end

    def check(self, start: int, records: Mapping[str, Any], kept: Mapping[str, np.ndarray]) -> None:
        """Raises NotFiniteError for the first round, and in it the first seed, whose numbers are not finite."""
        check_records(self.arms, start, records, lambda: kept)

    def record(self, history: History, state: Any, kept: Mapping[str, np.ndarray]) -> None:
        """See `bandit_rft.loop.Recorder`; returns when what is due has been written."""
        with jax.enable_x64(False):
            done, asked = history.rounds, self._asked_to_stop()
            due = done == self.rounds or bool(self._due(done)) or asked
            due = due or (self.checkpoint_every is not None and done % self.checkpoint_every == 0)
            if due:
                self._refuse_unsound(done, state, kept)
            self._time(history)
            self._write(history, kept)
            self._loggers.rounds(history, self._start)  # before the checkpoint: a resumed run takes them as sent
            if self.stop.asked and not due and hosts.count() == 1:  # while that was written; several ask a chunk later
                due = True
                self._refuse_unsound(done, state, kept)
            if due and self.checkpoint_every is not None:
                for name in (RESPONSES, LINES) if self._writes else ():
                    self._writers[name].sync()
                checkpoints.save(self._checkpoints, done, state, keep=self.keep)
                self.stop.saved = done
            seconds = self.clock() - self._began
            if asked:
                hosts.over()
            if asked or (due and hosts.count() == 1):  # else a stop waits for the next chunk's end: nothing is saved
                self.stop.release()
            self._evaluate_if_due(done, state)
            self._began = self.clock() - seconds  # evaluations are no part of what a round takes

    def last_sound(self, error: NotFiniteError) -> Path | None:
        """The newest checkpoint whose weights are not suspect of this error."""
        found = [path for path in checkpoints.available(self._checkpoints) if checkpoints.round_of(path) <= error.sound]
        return found[-1] if found else None

    def close(self) -> None:
        self._loggers.close()
        for writer in self._writers.values():
            writer.close()

    def _resume(self, state: Any) -> tuple[Mapping[str, Any], Any] | None:
        self.on_state(state)
        damaged: list[str] = []
        like = state = checkpoints.given_up(self._checkpoints, state)
        found = checkpoints.load_latest(self._checkpoints, like=like, tell=damaged.append, finished=self.rounds)
        done = 0
        if found is not None:
            done, state, _ = found
        records = hosts.agreed(lambda: self._cut(done, damaged) if self._writes else None)
        if hosts.count() > 1:
            records = self._followed(done, records)
        self.folder.stands()  # nothing is left that could refuse to go on
        written = (LINES, RESPONSES, EVALUATIONS, TIMINGS)
        self._writers = {name: LineWriter(self.folder.path / name) for name in written} if self._writes else {}
        records = None if records is None else self._as_counted_here(records)
        self.resumed_at = self.stop.saved = done
        self._loggers.open(done, records, self.evaluations)
        self._evaluate_if_due(done, state)
        return None if records is None else (records, state)

    def _cut(self, done: int, damaged: Sequence[str]) -> Mapping[str, Any] | None:
        """Cut the files to this round, the newest checkpoint's; the records of the rounds before."""
        folder = self.folder.path
        path = folder / LINES
        lines = read_lines(path, _ROUND)
        if len(lines) < done:
            raise InputError(
                f"{path} holds {len(lines)} rounds, but the newest checkpoint is of round {done}: restore the file, "
                "or start over."
            )
        for sentence in damaged:
            self.tell(sentence)
        if damaged:
            again = f"; rounds {done + 1} to {len(lines)} are done again" if len(lines) > done else ""
            self.tell(f"The run continues after round {done}{again}.")
        records = rounds_as_arrays(path, lines[:done], self.seeds) if done else None
        rewrite_lines(path, lines[:done])
        last = cut_lines(folder / RESPONSES, lambda record: record["round"] < done, {"round": int})
        if done and (last is None or last["round"] != done - 1):
            there = "no round" if last is None else f"round {last['round']}"
            raise InputError(
                f"{folder / RESPONSES} ends with {there}, but the newest checkpoint is of round {done}: restore the "
                "file, or start over."
            )
        self.evaluations = [record for record in self.evaluations if record["round"] <= done]
        rewrite_lines(folder / EVALUATIONS, self.evaluations)
        timings = folder / TIMINGS
        rewrite_lines(timings, [record for record in read_lines(timings, {"to": int}) if record["to"] <= done])
        return records

    def _followed(self, done: int, records: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """The records and the evaluations that process 0 has, now that it has cut the files, in every process: what is
        due next follows from them.
        """
        path = self.folder.path / LINES
        lines: list[dict[str, Any]] = []

        def look() -> str:
            lines[:] = [] if self._writes or not done else read_lines(path, _ROUND)
            if self._writes or len(lines) == done:
                return ""
            return (
                f"sees {len(lines)} rounds in {path}, where process 0 has {done}: put the run folder on a file system "
                "that all hosts share, and start all processes again."
            )

        hosts.until_seen(look)
        self.evaluations = hosts.first(lambda: self.evaluations)
        return rounds_as_arrays(path, lines, self.seeds) if lines else records

    def _as_counted_here(self, records: Mapping[str, Any]) -> Mapping[str, Any]:
        """The records with the counts of what the verifier failed at, or without, as the loop's own are: where the
        device computes rewards nothing fails and nothing is counted, and a run may go on where Python computes them.
        """
        metrics, counted = records["metrics"], getattr(self.arms, "counts", dict)()
        self._uncounted = [name for name in _COUNTS if name in metrics and name not in counted]
        none = np.zeros(records["rewards"].shape[:2])
        own = {name: values for name, values in metrics.items() if name not in self._uncounted}
        return {**records, "metrics": own | {name: none for name in counted if name not in metrics}}

    def _asked_to_stop(self) -> bool:
        """Whether any process was asked to stop."""
        if hosts.count() == 1:
            return self.stop.asked
        number = int(hosts.gathered(np.int32(self.stop.number)).max())
        if number:
            self.stop.ask(number)
        return bool(number)

    def _write(self, history: History, kept: Mapping[str, np.ndarray]) -> None:
        """The chunk's rounds, a line for each in both files."""
        if not self._writes:
            return
        tokens, lengths, truncated = (np.asarray(kept[name]) for name in ("tokens", "lengths", "truncated"))
        questions = np.asarray(kept["questions"]) if "questions" in kept else None
        texts = self.arms.model.texts(tokens.reshape(-1, tokens.shape[-1]), lengths.reshape(-1))
        per_round = np.asarray(texts, object).reshape(lengths.shape)
        for place, round_index in enumerate(range(self._start, history.rounds)):
            rewards = history.rewards[:, round_index].tolist()
            self._writers[RESPONSES].write(
                responses_record(
                    round_index,
                    rewards=rewards,
                    texts=per_round[:, place].tolist(),
                    tokens=lengths[:, place].tolist(),
                    truncated=truncated[:, place].tolist(),
                    questions=None if questions is None else questions[:, place].tolist(),
                )
            )
            metrics = {name: values[:, round_index] for name, values in history.metrics.items()}
            metrics |= {name: np.zeros(self.seeds) for name in self._uncounted}
            self._writers[LINES].write(round_record(round_index, rewards, metrics))

    def _time(self, history: History) -> None:
        """A line of timings.jsonl: the chunk's rounds from `from` up to and without `to`. The first of a process holds
        compilation too.
        """
        if not self._writes:
            return
        seconds = max(self.clock() - self._began, 1e-9)
        rounds = slice(self._start, history.rounds)
        metrics = history.metrics
        if "tokens" in metrics:  # groups were drawn again
            tokens = round(float(metrics["tokens"][:, rounds].sum()))
        else:
            tokens = round(float(metrics["response_length"][:, rounds].sum()) * history.rollouts)
        self._writers[TIMINGS].write(
            {
                "from": self._start,
                "to": history.rounds,
                "seconds": seconds,
                "rounds_per_second": (history.rounds - self._start) / seconds,
                "tokens": tokens,
                "tokens_per_second": tokens / seconds,
            }
        )

    def _refuse_unsound(self, done: int, state: Any, kept: Mapping[str, np.ndarray]) -> None:
        for seed in range(self.seeds):
            if not all_finite(weights_of_seed(state, seed)):
                question = _question(kept, seed, -1, 0)
                raise self._not_finite(done - 1, seed, question, "weights that are not finite", sound=done - 1)

    def _not_finite(self, round_index: int, seed: int, question: int, what: str, *, sound: int) -> NotFiniteError:
        prompt, where = opening(self.arms, question), f" in seed {seed}" if self.seeds > 1 else ""
        return NotFiniteError(round_index, question, prompt, f"{what}{where}", sound=sound)

    def _due(self, done: int) -> dict[str, Measure]:
        return {
            name: measure
            for name, (every, measure) in self.evaluators.items()
            if done in (0, self.rounds) or (every is not None and done % every == 0)
        }

    def _evaluate_if_due(self, done: int, state: Any) -> None:
        # Before the first round all seeds have the weights of the model as loaded.
        seeds: list[int | None] = list(range(self.seeds)) if done else [None]
        fresh = []
        for name, measure in self._due(done).items():
            have = {r.get("seed"): r for r in self.evaluations if r["round"] == done and r["measured"] == name}
            for seed in seeds:
                if seed in have:
                    continue
                before = verifiers.counts()
                try:
                    found = measure(weights_of_seed(state, seed or 0), done, seed)
                except NoPolicyError:
                    if not done:
                        raise
                    what = "weights whose log-probabilities are not finite"
                    raise self._not_finite(done - 1, seed or 0, 0, what, sound=done - 1) from None
                after = verifiers.counts()
                record = {"round": done, "measured": name, "seed": seed, **found}
                record["verifier_timeouts"] = after.timeouts - before.timeouts
                record["verifier_crashes"] = after.crashes - before.crashes
                if self._writes:
                    self._writers[EVALUATIONS].write(record)
                    self._writers[EVALUATIONS].sync()
                self.evaluations.append(record)
                fresh.append(record)
                have[seed] = record
            self.on_evaluation([have[seed] for seed in seeds])
        self._loggers.evaluations(fresh)


def _question(kept: Mapping[str, np.ndarray], seed: int, offset: int, row: int) -> int:
    """Which question a response of a chunk answers."""
    return int(kept["questions"][seed, offset, row]) if "questions" in kept else 0
