"""Send a fine-tuning run to TensorBoard or Weights & Biases while it runs, each through its own library.

Neither library is needed, and neither is imported unless it is chosen. The run folder holds the same numbers anyway:
a logger that fails prints one sentence, and the run continues without it. The step is the round: metrics of round t
stand at step t, an evaluation after t rounds at step t; a run of several seeds sends the means over seeds.

    RUN/tensorboard/    event files, of tensorboardX
    RUN/wandb.json      the W&B run's id, so that a resumed run continues it; RUN/wandb/ its own files

W&B's mode (online, offline, disabled), project and entity are set as everywhere, by `wandb` itself: WANDB_MODE,
WANDB_PROJECT, WANDB_ENTITY.
"""

from __future__ import annotations

import math
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.runs import read_json, to_json, write_atomically
from bandit_rft.runs.names import TENSORBOARD, WANDB, WANDB_FILES

LOGGERS = {"tensorboard": "tensorboardX", "wandb": "wandb"}  # name -> library
PROJECT = "bandit-rft"


class Logger(Protocol):
    """Receives numbers by name, per round."""

    def open(self, done: int) -> int:
        """Begin, or continue after `done` rounds; returns the first round that it needs."""
        ...

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step; steps never fall."""
        ...

    def close(self) -> None: ...


def make(names: Sequence[str], folder: Path, config: Mapping[str, Any]) -> list[Logger]:
    """The loggers of these names for a run folder; nothing is written before they are opened.

    Raises:
        InputError: an unknown name, or a library that is not installed.
    """
    check(names)
    kinds: dict[str, Callable[[], Logger]] = {
        "tensorboard": lambda: TensorBoardLogger(folder),
        "wandb": lambda: WandbLogger(folder, config),
    }
    return [kinds[name]() for name in dict.fromkeys(names)]


def check(names: Sequence[str]) -> None:
    """Raises InputError where `make` would: before a model is loaded."""
    for name in names:
        if name not in LOGGERS:
            raise InputError(f"There is no logger {name!r}: choose {' or '.join(LOGGERS)}.")
        spec = find_spec(LOGGERS[name])
        # Without an origin it is a mere folder of that name, such as the wandb/ that W&B makes where it runs.
        if spec is None or spec.origin is None:
            raise InputError(
                f"--log {name} needs {LOGGERS[name]}, which is not installed: "
                f"pip install {LOGGERS[name]}, or leave the option out."
            )


class TensorBoardLogger:
    """Event files in RUN/tensorboard, which `tensorboard --logdir RUN` shows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / TENSORBOARD

    def open(self, done: int) -> int:
        # Not `SummaryWriter`: it writes from a queue that its flush() does not wait for, and a kill loses the rest.
        library: Any = import_module("tensorboardX.event_file_writer")  # by name, as W&B below
        self.messages: Any = import_module("tensorboardX.proto.event_pb2")
        known = any(self.folder.glob("events.out.tfevents.*"))
        first = _first_unsent(done) if known else 0
        self.folder.mkdir(exist_ok=True)
        # Files are read in the order of their names, whose seconds are too coarse to tell a quick resumption apart.
        self.writer = library.EventsWriter(str(self.folder / "events"), filename_suffix=f".{done:09d}")
        if known:
            # TensorBoard drops what an earlier, killed process wrote about rounds that are now sent again.
            start = self.messages.SessionLog(status=self.messages.SessionLog.START)
            self.writer.write_event(self.messages.Event(wall_time=time.time(), step=first, session_log=start))
        self.writer.flush()
        return first

    def log(self, step: int, values: Mapping[str, float]) -> None:
        event = self.messages.Event(wall_time=time.time(), step=step)
        for name, value in values.items():
            event.summary.value.add(tag=name, simple_value=value)
        self.writer.write_event(event)
        self.writer.flush()  # into the kernel's hands, where a kill of this process loses nothing

    def close(self) -> None:
        self.writer.close()


class WandbLogger:
    """A Weights & Biases run whose id is kept in the run folder.

    W&B takes no step below its newest: rounds that are repeated after a kill keep the numbers that were
    sent first, and those are the same, bit for bit.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder, self.config = folder, config

    def open(self, done: int) -> int:
        wandb: Any = import_module(LOGGERS["wandb"])  # by name: no type checker needs an optional package
        path = self.folder / WANDB
        known = path.exists()
        identity = str(read_json(path).get("id", "")) if known else secrets.token_hex(8)
        if not identity.isalnum():
            raise InputError(f"{path} names no W&B run: delete it for a new one.")
        self._wait_for_a_folder(identity)
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=identity,
            name=self.folder.resolve().name,
            dir=str(self.folder),
            config=dict(self.config),
            resume="allow",
            save_code=False,
            settings=wandb.Settings(silent=True, console="off", disable_git=True),
        )
        if not known:
            write_atomically(path, to_json({"id": identity}))
        return _first_unsent(done) if known else 0

    def _wait_for_a_folder(self, identity: str) -> None:
        """W&B names a run's files by the second and the id: a run that is resumed at once would overwrite its own."""
        while any((self.folder / WANDB_FILES).glob(f"*run-{time.strftime('%Y%m%d_%H%M%S')}-{identity}*")):
            time.sleep(0.05)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def close(self) -> None:
        self.run.finish()


def _first_unsent(done: int) -> int:
    """The first round that a resumed run's logger may lack: a kill can fall between the round's checkpoint and the
    moment when the round is sent.
    """
    return max(done - 1, 0)


class Loggers:
    """The loggers of a run. Each first gets the rounds that it missed; one that fails is left out, because it must not
    end a run of days.

    Args:
        loggers: what receives the numbers.
        complain: given a sentence on a logger that fails.
    """

    def __init__(self, loggers: Sequence[Logger], complain: Callable[[str], None]) -> None:
        self._loggers, self._complain, self._open = loggers, complain, list[Logger]()
        self._begun: list[Mapping[str, Any]] = []

    def open(self, done: int, records: Mapping[str, Any] | None, evaluations: Sequence[Mapping[str, Any]]) -> None:
        """Begin, or continue after `done` rounds. A new logger gets the rounds that it missed.

        Args:
            done: rounds done.
            records: of them, rewards [S, done, G] and metrics [S, done] by name; None before the first.
            evaluations: made up to now. One after the last round may be new, so it is sent, unless a kill fell between
                two of its seeds: it is then sent once the other seeds' records are there.
        """
        seeds, last = 1 if records is None else len(records["rewards"]), [e for e in evaluations if e["round"] == done]
        count = Counter(record["measured"] for record in last)
        self._begun = [record for record in last if count[record["measured"]] < seeds]
        evaluations = [record for record in evaluations if record not in self._begun]
        for logger in self._loggers:
            self._open.append(logger)
            first = self._attempt(logger, logger.open, done)
            if first is not None:
                self._attempt(logger, self._catch_up, logger, first, done, records, evaluations)

    def rounds(self, history: History, start: int) -> None:
        """Send the rounds from `start` on."""
        for step in range(start, history.rounds):
            values = metrics(history.rewards[:, step], {n: v[:, step] for n, v in history.metrics.items()})
            for logger in list(self._open):
                self._attempt(logger, logger.log, step, values)

    def evaluations(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Send new evaluations, all of one round."""
        names = {record["measured"] for record in records}
        values = evaluated([*(record for record in self._begun if record["measured"] in names), *records])
        self._begun = []
        for logger in list(self._open) if values else ():
            self._attempt(logger, logger.log, records[0]["round"], values)

    def close(self) -> None:
        """Close the loggers."""
        for logger in list(self._open):
            self._attempt(logger, logger.close)
        self._open.clear()

    def _catch_up(
        self,
        logger: Logger,
        first: int,
        done: int,
        records: Mapping[str, Any] | None,
        evaluations: Sequence[Mapping[str, Any]],
    ) -> None:
        for step in range(first, done + 1):
            values = evaluated([record for record in evaluations if record["round"] == step])
            if step < done and records is not None:
                of_round = {name: series[:, step] for name, series in records["metrics"].items()}
                values |= metrics(records["rewards"][:, step], of_round)
            if values:
                logger.log(step, values)

    def _attempt(self, logger: Logger, act: Callable[..., Any], *arguments: Any) -> Any:
        """What `act` returns; None, and no more of this logger, where it fails."""
        try:
            return act(*arguments)
        except Exception as error:
            self._open.remove(logger)
            said = " ".join(str(error).split())[:200]
            self._complain(
                f"{type(logger).__name__} failed ({type(error).__name__}: {said}); the run goes on without it."
            )
            return None


def metrics(rewards: np.ndarray, values: Mapping[str, np.ndarray]) -> dict[str, float]:
    """A round's numbers by the names that loggers show, means over the seeds that have one; what none has is left out.

    Args:
        rewards: [S, G].
        values: [S] by name.
    """
    known = {name: of_seeds[np.isfinite(of_seeds)] for name, of_seeds in {"reward": rewards, **values}.items()}
    return {f"round/{name}": float(of_seeds.mean()) for name, of_seeds in known.items() if of_seeds.size}


def evaluated(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Evaluations' numbers by the names that loggers show: of one seed with the interval, of several their mean."""
    values: dict[str, list[Any]] = {}
    for name in dict.fromkeys(record["measured"] for record in records):
        own = [record for record in records if record["measured"] == name]
        shown = ("pass_at_1", "truncated", "mean_length", *(("low", "high") if len(own) == 1 else ()))
        for key in shown:
            values[f"{name}/{key}"] = [record.get(key) for record in own]
        for k in own[0].get("pass_at_k", {}):
            values[f"{name}/pass_at_{k}"] = [record.get("pass_at_k", {}).get(k) for record in own]
    return {name: sum(series) / len(series) for name, series in values.items() if all(map(_known, series))}


def _known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
