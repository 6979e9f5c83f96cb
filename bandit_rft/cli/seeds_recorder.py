"""The recorder of a fine-tuning run of many seeds: what is written between chunks of rounds.

Order after a chunk: its responses, then history.npz as far as it has come, then (where due) a checkpoint of every
seed's state, then (where due) the evaluations. An evaluated round always has a checkpoint, so whatever a resumed run
finds in evaluations.jsonl was measured on weights that it continues from; and a checkpoint is never newer than history
and responses. A chunk ends where something is due, and takes about two seconds otherwise, so that a stop that is asked
for (SIGTERM) need not wait long; no number of the run depends on where it ends.

How fast the chunks were stands in timings.jsonl alone, so that everything else is the same whenever and wherever a run
was made. Weights that are not finite are never saved, so a checkpoint before them stays.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bandit_rft.cli import seeds_responses
from bandit_rft.cli.finetune_evaluators import EVALUATION_FIELDS, Evaluate
from bandit_rft.cli.stopping import StopRequest
from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.loop.chunk_recorder import MOST_ROUNDS
from bandit_rft.runs import EVALUATIONS, HISTORY, TIMINGS, LineWriter, RunFolder, read_lines, rewrite_lines
from llm_bridge.training import checkpoints
from llm_bridge.training.finite import NotFiniteError, all_finite, opening
from llm_bridge.training.scan_learner import final_weights

CHUNK_SECONDS = 2.0
HISTORY_SHARE = 0.05  # of the time, that writing the history may take between checkpoints
GROUPS = "seed_groups"  # in config.json, among what the run resolved


@dataclass(kw_only=True)
class SeedsRecorder:
    """A `bandit_rft.loop.ChunkRecorder` over a run folder; call `close` at the end.

    Attributes:
        folder: the run folder.
        rounds, seeds: T and S.
        checkpoint_every: rounds between checkpoints.
        evaluators: name of a measurement -> (rounds between its evaluations, or None for round 0 and round T only;
            function of weights, rounds done and seed, giving its record).
        arms: the arm set, whose prompt is named where a seed's numbers are not finite.
        keep: checkpoints kept.
        on_evaluation: told the records of all seeds, whenever a measurement of a round is complete.
        tell: given sentences for the user: a damaged checkpoint that was passed over, where the run continues.
        on_state: given the run's state before its first round, for what is to be said of it.
        stop: asked after each chunk whether to stop.
        clock: seconds, monotonic; decides where chunks end, and thereby no number.
    """

    folder: RunFolder
    rounds: int
    seeds: int
    checkpoint_every: int
    evaluators: Mapping[str, tuple[int | None, Evaluate]]
    arms: Any
    keep: int = 2
    on_evaluation: Callable[[list[dict[str, Any]]], None] = lambda records: None
    tell: Callable[[str], None] = lambda sentence: None
    on_state: Callable[[Any], None] = lambda state: None
    stop: StopRequest = field(default_factory=StopRequest)
    clock: Callable[[], float] = time.monotonic
    resumed_at: int = 0

    def __post_init__(self) -> None:
        self._checkpoints = self.folder.path / "checkpoints"
        self.evaluations = read_lines(self.folder.path / EVALUATIONS, EVALUATION_FIELDS)
        self._evaluation_lines: LineWriter | None = None
        self._timing_lines: LineWriter | None = None
        self._responses: LineWriter | None = None
        self._start = self._length = 0
        self._began = self._written = 0.0
        self._cost = 0.0

    def groups(self, usual: int) -> int:
        """See `bandit_rft.loop.ChunkRecorder`: those that the run began with, also where there are other cores now."""
        found = self.folder.resolved.get(GROUPS)
        if found is None:
            found = usual
            self.folder.resolve(**{GROUPS: found})
        return int(found)

    def resume(self, state: Any) -> tuple[Mapping[str, Any], Any] | None:
        """See `bandit_rft.loop.ChunkRecorder`; the history is cut to the checkpoint's round.

        Raises:
            InputError: the history is shorter than its checkpoint says, or either is damaged.
        """
        with jax.enable_x64(False):
            return self._resume(state)

    def chunk_end(self, done: int) -> int:
        """See `bandit_rft.loop.ChunkRecorder`. From here on a stop waits for the chunk."""
        now = self.clock()
        if self._length:
            rate = self._length / max(now - self._began, 1e-9)
            self._length = max(1, min(2 * self._length, int(rate * CHUNK_SECONDS), MOST_ROUNDS))
        self._began, self._length = now, self._length or 1
        every = [self.checkpoint_every, *(every for every, _ in self.evaluators.values() if every is not None)]
        end = min(done + self._length, self.rounds, *(done + each - done % each for each in every))
        self._start, self._length = done, end - done
        self.stop.hold()
        return end

    def check(self, start: int, records: Mapping[str, Any], kept: Mapping[str, np.ndarray]) -> None:
        """Raises NotFiniteError for the first round, and in it the first seed, whose numbers are not finite."""
        metrics = records["metrics"]
        signs = {
            "responses whose log-probabilities are not finite": np.isfinite(records["rewards"]).all(axis=2),
            "a learning signal that is not finite": np.isfinite(metrics["signal_mean"]),
            "a loss that is not finite": np.isfinite(metrics["loss"]),
            "a gradient that is not finite": np.isfinite(metrics["gradient_norm"]),
        }
        lost = ~np.logical_and.reduce(list(signs.values()))
        if not lost.any():
            return
        offset, seed = (int(place) for place in np.argwhere(lost.T)[0])
        what = next(what for what, sound in signs.items() if not sound[seed, offset])
        row = int(np.argmin(np.isfinite(records["rewards"][seed, offset])))
        question = _question(kept, seed, offset, row)
        raise self._not_finite(start + offset, seed, question, what, sound=start + offset - 1)

    def record(self, history: History, state: Any, kept: Any) -> None:
        """See `bandit_rft.loop.ChunkRecorder`; returns when what is due has been written."""
        with jax.enable_x64(False):
            done = history.rounds
            self._time(history)
            due = done % self.checkpoint_every == 0 or done == self.rounds or bool(self._due(done)) or self.stop.asked
            if due:
                self._refuse_unsound(done, state, kept)
            assert self._responses is not None
            seeds_responses.write(self._responses, self._start, history.rewards[:, self._start :], kept)
            if due or self._cost <= HISTORY_SHARE * (self.clock() - self._written):
                self._write(history)
            if due:
                self._responses.sync()
                checkpoints.save(self._checkpoints, done, state, keep=self.keep)
                self.stop.saved = done
            seconds = self.clock() - self._began
            self.stop.release()
            self._evaluate_if_due(done, state)
            self._began = self.clock() - seconds  # evaluations are no part of what a round takes

    def last_sound(self, error: NotFiniteError) -> Path | None:
        """The newest checkpoint whose weights are not suspect of this error."""
        found = [path for path in checkpoints.available(self._checkpoints) if checkpoints.round_of(path) <= error.sound]
        return found[-1] if found else None

    def close(self) -> None:
        for writer in (self._evaluation_lines, self._timing_lines, self._responses):
            if writer is not None:
                writer.close()

    def _resume(self, state: Any) -> tuple[Mapping[str, Any], Any] | None:
        self.on_state(state)
        damaged: list[str] = []
        found = checkpoints.load_latest(self._checkpoints, like=state, tell=damaged.append, finished=self.rounds)
        path = self.folder.path / HISTORY
        done, seen, records = 0, 0, None
        if found is None:
            path.unlink(missing_ok=True)  # of rounds that are done again
        else:
            done, state, _ = found
            history = History.load(path)
            seen = history.rounds
            if seen < done or history.seeds != self.seeds:
                raise InputError(
                    f"{path} holds {history.seeds} seeds and {seen} rounds, but the newest checkpoint is of "
                    f"{self.seeds} seeds after round {done}: restore the file, or start over."
                )
            records = {
                "rewards": history.rewards[:, :done],
                "pulled_mean": None,
                "value": None,
                "best_mean": None,
                "metrics": {name: values[:, :done] for name, values in history.metrics.items()},
            }
        for sentence in damaged:
            self.tell(sentence)
        if damaged:
            again = f"; rounds {done + 1} to {seen} are done again" if seen > done else ""
            self.tell(f"The run continues after round {done}{again}.")
        self.evaluations = [record for record in self.evaluations if record["round"] <= done]
        lines = self.folder.path / EVALUATIONS
        rewrite_lines(lines, self.evaluations)
        self._evaluation_lines = LineWriter(lines)
        timings = self.folder.path / TIMINGS
        rewrite_lines(timings, [record for record in read_lines(timings, {"to": int}) if record["to"] <= done])
        self._timing_lines = LineWriter(timings)
        self._responses = seeds_responses.continued(self.folder.path, done)
        self.resumed_at = self.stop.saved = done
        self._evaluate_if_due(done, state)
        return None if records is None else (records, state)

    def _time(self, history: History) -> None:
        """A line of timings.jsonl: the chunk's rounds from `from` up to and without `to`. The first of a process holds
        compilation too.
        """
        seconds = max(self.clock() - self._began, 1e-9)
        rounds = slice(self._start, history.rounds)
        found = {"from": self._start, "to": history.rounds, "seconds": seconds}
        found["rounds_per_second"] = (history.rounds - self._start) / seconds
        lengths = history.metrics.get("response_length")
        if lengths is not None:
            found["tokens"] = tokens = round(float(lengths[:, rounds].sum()) * history.rollouts)
            found["tokens_per_second"] = tokens / seconds
        assert self._timing_lines is not None
        self._timing_lines.write(found)

    def _write(self, history: History) -> None:
        began = self.clock()
        dataclasses.replace(history, evaluations=tuple(self.evaluations)).save(self.folder.path / HISTORY)
        self._written = self.clock()
        self._cost = self._written - began

    def _refuse_unsound(self, done: int, state: Any, kept: Mapping[str, np.ndarray]) -> None:
        sound = np.asarray(jax.vmap(all_finite)(state.params))
        if not sound.all():
            seed = int(np.argmin(sound))
            question = _question(kept, seed, -1, 0)
            raise self._not_finite(done - 1, seed, question, "weights that are not finite", sound=done - 1)

    def _not_finite(self, round_index: int, seed: int, question: int, what: str, *, sound: int) -> NotFiniteError:
        prompt = opening(self.arms, question)
        return NotFiniteError(round_index, question, prompt, f"{what} in seed {seed}", sound=sound)

    def _due(self, done: int) -> dict[str, Evaluate]:
        return {
            name: evaluate
            for name, (every, evaluate) in self.evaluators.items()
            if done in (0, self.rounds) or (every is not None and done % every == 0)
        }

    def _evaluate_if_due(self, done: int, state: Any) -> None:
        # Before the first round all seeds have the weights of the model as loaded.
        seeds: list[int | None] = list(range(self.seeds)) if done else [None]
        for name, evaluate in self._due(done).items():
            have = {r.get("seed"): r for r in self.evaluations if r["round"] == done and r["measured"] == name}
            for seed in seeds:
                if seed in have:
                    continue
                found = evaluate(final_weights(state, seed or 0), done, seed)
                record = {"round": done, "measured": name, "seed": seed, **found}
                assert self._evaluation_lines is not None
                self._evaluation_lines.write(record)
                self._evaluation_lines.sync()
                self.evaluations.append(record)
                have[seed] = record
            self.on_evaluation([have[seed] for seed in seeds])


def _question(kept: Mapping[str, np.ndarray], seed: int, offset: int, row: int) -> int:
    """Which question a response of a chunk answers."""
    return int(kept["questions"][seed, offset, row]) if "questions" in kept else 0
