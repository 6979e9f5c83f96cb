"""The recorder of a fine-tuning run: history lines, evaluations and checkpoints, continued bit by bit after a kill.

Order within a round: its history line, then (where due) a checkpoint, then (where due) the evaluations. An evaluated
round always has a checkpoint of its own, so whatever a resumed run finds in evaluations.jsonl was measured on weights
that it continues from. How fast the rounds were stands in timings.jsonl alone, so that everything else is the same
whenever and wherever a run was made.

A stop that is asked for (SIGTERM) waits for the round in hand and its checkpoint, not for evaluations: a resumed run
makes those that are missing. Weights that are not finite are never saved, so a checkpoint before them stays.

Answers that earned 0 because the verifier's time was over, or its worker process died of them, are counted in each
round's metrics and in each evaluation, as `verifier_timeouts` and `verifier_crashes`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.cli.finetune_evaluators import Evaluate
from bandit_rft.cli.stopping import StopRequest
from bandit_rft.errors import InputError
from bandit_rft.runs import EVALUATIONS, LINES, TIMINGS, LineWriter, RunFolder, read_lines, rewrite_lines
from llm_bridge import verifiers
from llm_bridge.training import checkpoints
from llm_bridge.training.finite import NotFiniteError, all_finite, opening


@dataclass(kw_only=True)
class FineTuneRecorder:
    """A `bandit_rft.loop.Recorder` over a run folder; call `close` at the end.

    Attributes:
        folder: the run folder.
        rounds: T.
        checkpoint_every: rounds between checkpoints.
        evaluators: name of a measurement -> (rounds between its evaluations, or None for round 0 and
            round T only; function of weights and rounds done, giving its record).
        keep: checkpoints kept.
        on_evaluation: told of each new evaluation record.
        tell: given sentences for the user: a damaged checkpoint that was passed over, where the run continues.
        on_state: given the run's state before its first round, for what is to be said of it.
        stop: asked after each round whether to stop.
        arms: the arm set, named where a round's weights are not finite.
        clock: seconds, monotonic.
    """

    folder: RunFolder
    rounds: int
    checkpoint_every: int
    evaluators: Mapping[str, tuple[int | None, Evaluate]]
    keep: int = 2
    arms: Any = None
    on_evaluation: Callable[[dict[str, Any]], None] = lambda record: None
    tell: Callable[[str], None] = lambda sentence: None
    on_state: Callable[[Any], None] = lambda state: None
    stop: StopRequest = field(default_factory=StopRequest)
    clock: Callable[[], float] = time.monotonic
    resumed_at: int = 0

    def __post_init__(self) -> None:
        self._checkpoints = self.folder.path / "checkpoints"
        self._evaluations_path = self.folder.path / EVALUATIONS
        self.evaluations = read_lines(self._evaluations_path, {"round": int, "measured": str})
        self._lines: LineWriter | None = None
        self._evaluation_lines: LineWriter | None = None
        self._timing_lines: LineWriter | None = None

    def resume(self, seed: int, state: Any) -> tuple[int, Any, list[dict[str, Any]]] | None:
        """See `bandit_rft.loop.Recorder`; the history is cut to the checkpoint's round.

        Raises:
            InputError: the history is shorter than its checkpoint says, or either is damaged.
        """
        if seed:
            raise InputError(
                "A fine-tuning run folder holds one seed: run each further seed with a --key and --out of its own."
            )
        self.on_state(state)
        damaged: list[str] = []
        found = checkpoints.load_latest(self._checkpoints, like=state, tell=damaged.append, finished=self.rounds)
        done = 0
        if found is not None:
            done, state, _ = found
        path = self.folder.path / LINES
        records = read_lines(path, {"round": int, "rewards": list, "metrics": dict})
        if len(records) < done:
            raise InputError(
                f"{path} holds {len(records)} rounds, but the newest checkpoint is of round {done}: restore the file, "
                "or start over."
            )
        for sentence in damaged:
            self.tell(sentence)
        if damaged:
            again = f"; rounds {done + 1} to {len(records)} are done again" if len(records) > done else ""
            self.tell(f"The run continues after round {done}{again}.")
        records = records[:done]
        rewrite_lines(path, records)
        self.evaluations = [record for record in self.evaluations if record["round"] <= done]
        rewrite_lines(self._evaluations_path, self.evaluations)
        timings = self.folder.path / TIMINGS
        rewrite_lines(timings, [record for record in read_lines(timings, {"round": int}) if record["round"] < done])
        self._lines, self._evaluation_lines = LineWriter(path), LineWriter(self._evaluations_path)
        self._timing_lines = LineWriter(timings)
        self.resumed_at = done
        self.stop.saved = done
        self._evaluate_if_due(done, state)
        self._begin_round(done)
        return None if found is None else (done, state, [_as_loop_record(record) for record in records])

    def record(self, seed: int, round_index: int, record: dict[str, Any], state: Any, arms: Any) -> None:
        """One round done; returns when what is due has been written. What the verifier could not check is added to the
        record's metrics.
        """
        del seed
        assert self._lines is not None
        assert self._timing_lines is not None
        seconds, tokens = self.clock() - self._round_began, int(np.sum(arms.lengths))
        self._timing_lines.write(
            {
                "round": round_index,
                "seconds": seconds,
                "tokens": tokens,
                "tokens_per_second": tokens / max(seconds, 1e-9),
            }
        )
        responses = [
            {"text": text, "tokens": int(length), "truncated": bool(truncated)}
            for text, length, truncated in zip(
                arms.text, np.asarray(arms.lengths), np.asarray(arms.truncated), strict=True
            )
        ]
        questions = getattr(arms, "questions", None)
        if questions is not None:
            for response, question in zip(responses, questions.tolist(), strict=True):
                response["question"] = question
        record["metrics"] |= self._verifier_faults()
        self._lines.write({"round": round_index, **record, "responses": responses})
        done = round_index + 1
        if done % self.checkpoint_every == 0 or done == self.rounds or self._due(done) or self.stop.asked:
            self._save(round_index, state, questions)
        self.stop.release()
        self._evaluate_if_due(done, state)
        self._begin_round(done)

    def last_sound(self, error: NotFiniteError) -> Path | None:
        """The newest checkpoint whose weights are not suspect of this error."""
        found = [path for path in checkpoints.available(self._checkpoints) if checkpoints.round_of(path) <= error.sound]
        return found[-1] if found else None

    def close(self) -> None:
        for writer in (self._lines, self._evaluation_lines, self._timing_lines):
            if writer is not None:
                writer.close()

    def _begin_round(self, done: int) -> None:
        if done < self.rounds:
            self.stop.hold()
        self._round_began, self._counts = self.clock(), verifiers.counts()

    def _verifier_faults(self) -> dict[str, int]:
        """Answers since the round, or the evaluation, began that the verifier's workers could not check."""
        before, now = self._counts, verifiers.counts()
        return {
            "verifier_timeouts": now.timeouts - before.timeouts,
            "verifier_crashes": now.crashes - before.crashes,
        }

    def _save(self, round_index: int, state: Any, questions: Any) -> None:
        if not all_finite(state.params):
            question = 0 if questions is None else int(questions[0])
            prompt = "" if self.arms is None else opening(self.arms, question)
            raise NotFiniteError(round_index, question, prompt, "weights that are not finite", sound=round_index)
        assert self._lines is not None
        self._lines.sync()
        checkpoints.save(self._checkpoints, round_index + 1, state, keep=self.keep)
        self.stop.saved = round_index + 1

    def _due(self, done: int) -> dict[str, Evaluate]:
        return {
            name: evaluate
            for name, (every, evaluate) in self.evaluators.items()
            if done in (0, self.rounds) or (every is not None and done % every == 0)
        }

    def _evaluate_if_due(self, done: int, state: Any) -> None:
        have = {record["measured"] for record in self.evaluations if record["round"] == done}
        for name, evaluate in self._due(done).items():
            if name not in have:
                assert self._evaluation_lines is not None
                self._counts = verifiers.counts()
                record = {"round": done, "measured": name, **evaluate(state.params, done), **self._verifier_faults()}
                self._evaluation_lines.write(record)
                self._evaluation_lines.sync()
                self.evaluations.append(record)
                self.on_evaluation(record)


def _as_loop_record(line: Mapping[str, Any]) -> dict[str, Any]:
    """A history line as the loop's own record: JSON's null among the metrics is NaN."""
    metrics = {name: math.nan if value is None else value for name, value in line["metrics"].items()}
    return {
        "rewards": line["rewards"],
        "pulled_mean": line.get("pulled_mean"),
        "value": line.get("value"),
        "metrics": metrics,
    }
