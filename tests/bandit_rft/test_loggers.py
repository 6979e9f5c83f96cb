"""What TensorBoard and W&B have been told, read back from their own files; a killed run tells each round once."""

import dataclasses
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from bandit_rft import History
from bandit_rft.errors import InputError
from bandit_rft.runs import RunFolder, loggers, read_lines
from bandit_rft.runs.loggers import Loggers
from llm_bridge.training import checkpoints
from llm_bridge.training.recorder import RunRecorder

ROUNDS = 6
# How far each seed is from the mean of all.
OFFSETS = {1: np.zeros(1), 3: np.asarray([-1.0, 0.0, 1.0])}


@partial(jax.tree_util.register_dataclass, data_fields=["params", "round"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class State:
    params: np.ndarray
    round: np.ndarray


def state_after(done: int, seeds: int) -> Any:
    """As the host loop has it: of one seed its own, else a tuple; weights say the seed and the round."""
    states = tuple(State(np.full(2, done + offset), np.asarray(done, np.int32)) for offset in OFFSETS[seeds])
    return states[0] if seeds == 1 else states


def history_of(seeds: int, rounds: int) -> History:
    """The first rounds of a run whose every number is known."""
    known = np.arange(rounds) + OFFSETS[seeds][:, None]
    metrics = {"loss": known / 4, "gradient_norm": 2 * known, "signal_mean": known, "response_length": known + 2}
    metrics["kl"] = np.full(known.shape, np.nan)
    return History(
        rewards=np.stack([known, np.zeros_like(known)], axis=-1),
        value=np.full(known.shape, np.nan),
        pulled_mean=None,
        best_mean=None,
        metrics=metrics,
    )


def go(path: Path, names: list[str], *, until: int = ROUNDS, seeds: int = 1) -> list[str]:
    """That run up to `until`, continued where the folder has some, as a loop would drive its recorder."""
    complaints: list[str] = []
    config = {"command": "finetune", "rounds": ROUNDS, "seeds": seeds}

    def evaluate(params: Any, done: int, seed: int | None) -> dict[str, Any]:
        assert (seed is None) == (done == 0)
        offset = OFFSETS[seeds][seed or 0]
        np.testing.assert_array_equal(params, done + offset)
        share = done / 10 + (offset / 100 if done else 0.0)
        found = {"pass_at_1": share, "low": 0.0, "high": 1.0, "pass_at_k": {"1": share, "4": 0.5}}
        return found | {"successes": done, "samples": 10, "mean_length": 2.0 + done + offset * bool(done)}

    with RunFolder.claim(path, config) as folder:
        recorder = RunRecorder(
            folder=folder,
            rounds=ROUNDS,
            seeds=seeds,
            checkpoint_every=2,
            evaluators={"train": (3, evaluate)},
            arms=SimpleNamespace(model=SimpleNamespace(texts=lambda tokens, lengths: ["x"] * len(lengths))),
            loggers=loggers.make(names, path, config),
            tell=complaints.append,
            clock=lambda: 0.0,
        )
        assert recorder.groups(1) == 1
        resumed = recorder.resume(state_after(0, seeds))
        done = 0
        if resumed is not None:
            done = resumed[0]["rewards"].shape[1]
            np.testing.assert_array_equal(resumed[0]["rewards"], history_of(seeds, done).rewards)
        while done < until:
            start, done = done, min(recorder.chunk_end(done), until)
            chunk, length = history_of(seeds, done), done - start
            records = {"rewards": chunk.rewards[:, start:]}
            records["metrics"] = {name: values[:, start:] for name, values in chunk.metrics.items()}
            kept = {
                "tokens": np.zeros((seeds, length, 2, 4), np.int32),
                "lengths": np.full((seeds, length, 2), 3),
                "truncated": np.zeros((seeds, length, 2), bool),
            }
            recorder.check(start, records, kept)
            recorder.record(chunk, state_after(done, seeds), kept)
        recorder.close()
    return complaints


EXPECTED = {
    **{("round/reward", t): t / 2 for t in range(ROUNDS)},
    **{("round/loss", t): t / 4 for t in range(ROUNDS)},
    **{("round/gradient_norm", t): 2 * t for t in range(ROUNDS)},
    **{("round/signal_mean", t): t for t in range(ROUNDS)},
    **{("round/response_length", t): t + 2 for t in range(ROUNDS)},
    **{("train/pass_at_1", t): t / 10 for t in (0, 3, 6)},
    **{("train/pass_at_4", t): 0.5 for t in (0, 3, 6)},
    **{("train/mean_length", t): t + 2 for t in (0, 3, 6)},
}


def tensorboard_scalars(path: Path) -> list[tuple[tuple[str, int], float]]:
    """The event files' scalars, in order, less those that a later session start purges, as TensorBoard reads them."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    found: list[tuple[tuple[str, int], float]] = []
    for file in sorted((path / "tensorboard").iterdir()):
        data, at = file.read_bytes(), 0
        while at < len(data):  # TFRecord: uint64 length, its checksum, the record, its checksum
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            if event.session_log.status == SessionLog.START:
                found = [entry for entry in found if entry[0][1] < event.step]
            found += [((value.tag, event.step), value.simple_value) for value in event.summary.value]
    return found


def check(found: list[tuple[tuple[str, int], float]], seeds: int = 1) -> None:
    known = dict(found)
    assert len(known) == len(found), "a number was told twice"
    # Of many seeds only what all share, the evaluation before the first round, has an interval of its own.
    intervals = {(f"train/{side}", t) for side in ("low", "high") for t in ((0, 3, 6) if seeds == 1 else (0,))}
    assert set(known) == set(EXPECTED) | intervals
    assert all(known[name] == pytest.approx(value) for name, value in EXPECTED.items())


@pytest.mark.parametrize("seeds", [1, 3])
def test_tensorboard_has_every_number_at_its_round_once(tmp_path, seeds):
    """Catches steps off by one, a NaN that is told, evaluations that are missing or at the wrong round, and one seed's
    numbers for the mean of all."""
    pytest.importorskip("tensorboardX")
    assert go(tmp_path / "run", ["tensorboard"], seeds=seeds) == []
    check(tensorboard_scalars(tmp_path / "run"), seeds)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_killed_run_goes_on_in_the_same_curves(tmp_path, seeds):
    """Killed after round 4, checkpoint at 4, and again at once: no round is missing and none is there twice."""
    pytest.importorskip("tensorboardX")
    go(tmp_path / "run", ["tensorboard"], until=5, seeds=seeds)
    go(tmp_path / "run", ["tensorboard"], until=5, seeds=seeds)
    go(tmp_path / "run", ["tensorboard"], seeds=seeds)
    check(tensorboard_scalars(tmp_path / "run"), seeds)


class Killed(BaseException):
    """Stands for a kill: nothing on its way may catch it."""


def killed_before(place: int, original: Any, *, after: bool = False) -> Any:
    """The function, but that its call of that number, from 0, ends the run before (or after) it."""
    calls = iter(range(1000))

    def function(*arguments: Any, **options: Any) -> Any:
        now = next(calls) == place
        if now and not after:
            raise Killed
        found = original(*arguments, **options)
        if now:
            raise Killed
        return found

    return function


# What a round's end consists of, and the calls of it that the kills fall on.
PLACES = {
    "written": (RunRecorder, "_write", range(5)),
    "told": (Loggers, "rounds", range(5)),
    "saved": (checkpoints, "save", range(4)),
    "told of evaluations": (Loggers, "evaluations", range(3)),
}


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("place", PLACES)
def test_wherever_in_a_round_a_kill_falls_every_round_is_told_once(tmp_path, monkeypatch, place, seeds):
    """Before and after each step of each chunk's end. Catches a checkpoint that takes untold rounds for told."""
    pytest.importorskip("tensorboardX")
    holder, name, calls = PLACES[place]
    for call in calls:
        for after in (False, True):
            run = tmp_path / f"{call}{after}"
            with monkeypatch.context() as patched:
                patched.setattr(holder, name, killed_before(call, getattr(holder, name), after=after))
                with pytest.raises(Killed):
                    go(run, ["tensorboard"], seeds=seeds)
            go(run, ["tensorboard"], seeds=seeds)
            check(tensorboard_scalars(run), seeds)
            assert [line["round"] for line in read_lines(run / "history.jsonl")] == list(range(ROUNDS))


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_between_the_evaluations_of_two_seeds_tells_the_mean_of_all(tmp_path, monkeypatch, seed):
    """Catches the mean of those that were evaluated before the kill, or after it, for the mean of all, and an interval
    of one seed."""
    pytest.importorskip("tensorboardX")
    measured = RunRecorder._evaluate_if_due

    def killed(self, done, state):
        if done == 3:
            name, (every, measure) = next(iter(self.evaluators.items()))
            self.evaluators = {name: (every, killed_before(seed, measure))}
        measured(self, done, state)

    with monkeypatch.context() as patched:
        patched.setattr(RunRecorder, "_evaluate_if_due", killed)
        with pytest.raises(Killed):
            go(tmp_path / "run", ["tensorboard"], seeds=3)
    evaluations = read_lines(tmp_path / "run" / "evaluations.jsonl")
    assert [(e["round"], e["seed"]) for e in evaluations] == [(0, None), *((3, done) for done in range(seed))]
    go(tmp_path / "run", ["tensorboard"], seeds=3)
    check(tensorboard_scalars(tmp_path / "run"), 3)


KILLED = """
import os, sys
from pathlib import Path
from llm_bridge.training import checkpoints
from tests.bandit_rft import test_loggers
save = checkpoints.save
def killed(folder, done, *rest, **options):
    save(folder, done, *rest, **options)
    if done == 4:
        os.kill(os.getpid(), 9)  # after the checkpoint of round 4
checkpoints.save = killed
test_loggers.go(Path(sys.argv[1]), ["tensorboard"])
"""


def test_a_run_that_is_killed_outright_has_told_every_round_once_it_is_done(tmp_path):
    """Catches rounds that were only in a logger's memory at SIGKILL, and the one between checkpoint and telling."""
    pytest.importorskip("tensorboardX")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "run")], cwd=root, check=False, timeout=120)
    assert done.returncode == -9
    go(tmp_path / "run", ["tensorboard"])
    check(tensorboard_scalars(tmp_path / "run"))


def test_a_number_that_some_seeds_lack_is_the_mean_of_the_others():
    """Catches a metric that vanishes from the curves in every round in which one seed has nothing to say."""
    gap = np.array([1.0, np.nan, 3.0])
    told = loggers.metrics(np.zeros((3, 1)), {"sampler_trainer_gap": gap, "kl": np.full(3, np.nan)})
    assert told == {"round/reward": 0.0, "round/sampler_trainer_gap": 2.0}


def test_a_mere_folder_is_no_library(tmp_path, monkeypatch):
    """Catches W&B's own wandb/ folder, where it is not installed, that counts as the library."""
    (tmp_path / "wandb_of_a_run").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(loggers.LOGGERS, "wandb", "wandb_of_a_run")
    with pytest.raises(InputError, match="not installed"):
        loggers.check(["wandb"])


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_logger_that_joins_later_is_told_what_it_missed(tmp_path, seeds):
    pytest.importorskip("tensorboardX")
    go(tmp_path / "run", [], until=5, seeds=seeds)
    go(tmp_path / "run", ["tensorboard"], seeds=seeds)
    check(tensorboard_scalars(tmp_path / "run"), seeds)


class Told:
    """Keeps what it is told; fails at one of its calls."""

    def __init__(self, fails: str = "") -> None:
        self.fails, self.steps, self.closed = fails, list[int](), 0

    def _act(self, name: str) -> None:
        if name == self.fails:
            raise OSError("no space left\non device")

    def open(self, done: int) -> int:
        self._act("open")
        return done

    def log(self, step: int, values: Any) -> None:
        self._act("log" if step else "first log")
        self.steps.append(step)

    def close(self) -> None:
        self.closed += 1
        self._act("close")


@pytest.mark.parametrize("fails", ["open", "first log", "log", "close"])
def test_a_logger_that_fails_is_named_once_and_the_run_goes_on(tmp_path, monkeypatch, fails):
    """The run, and the other logger. Catches one that is told more, or closed, after it failed."""
    broken, sound = Told(fails), Told()
    monkeypatch.setattr(loggers, "make", lambda *_: [broken, sound])
    complaints = go(tmp_path / "run", ["tensorboard"])
    assert complaints == ["Told failed (OSError: no space left on device); the run goes on without it."]
    assert len((tmp_path / "run" / "history.jsonl").read_text().splitlines()) == ROUNDS
    assert broken.closed == (fails == "close")
    assert broken.steps == (sound.steps if fails == "close" else [0, 0] if fails == "log" else [])
    # A round's metrics, and an evaluation after so many rounds.
    assert sound.steps == [0, 0, 1, 2, 3, 3, 4, 5, 6]
    assert sound.closed == 1


def test_a_library_that_is_not_installed_is_a_sentence(monkeypatch):
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install tensorboardX"):
        loggers.check(["tensorboard"])
    with pytest.raises(InputError, match="choose tensorboard or wandb"):
        loggers.check(["mlflow"])


def wandb_records(path: Path) -> list[Any]:
    """The records of the folder's offline files, oldest first, by W&B's own record type.

    The file is a LevelDB log: 7 bytes of header; blocks of 32 KiB; records of checksum (4), length (2), type (1).
    """
    from wandb.proto import wandb_internal_pb2 as messages

    found = []
    for file in sorted((path / "wandb").glob("offline-run-*/*.wandb")):
        data, at, part = file.read_bytes(), 7, b""
        while at + 7 <= len(data):
            left = 2**15 - at % 2**15
            if left < 7:
                at += left
                continue
            _, length, kind = struct.unpack_from("<IHB", data, at)
            part += data[at + 7 : at + 7 + length]
            at += 7 + length
            if kind in (1, 4):  # whole, or the last of several parts
                found.append(messages.Record.FromString(part))
                part = b""
    return found


def test_wandb_offline_continues_one_run(tmp_path, monkeypatch):
    """Catches a resumed run under a new id, and rounds that W&B never hears of; no network is used."""
    pytest.importorskip("wandb", reason="needs wandb (pip install 'bandit-rft[loggers]')")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert go(tmp_path / "run", ["wandb"], until=5) == []
    assert go(tmp_path / "run", ["wandb"]) == []
    # W&B's own process may still be writing when its `finish` returns; "exit" is the last record of each part.
    until = time.monotonic() + 20
    while True:
        records = wandb_records(tmp_path / "run")
        if sum(record.HasField("exit") for record in records) == 2 or time.monotonic() > until:
            break
        time.sleep(0.1)
    assert len({r.run.run_id for r in records if r.HasField("run")}) == 1
    told: dict[tuple[str, int], float] = {}
    for record in records:
        items = {(i.key or "/".join(i.nested_key)): float(i.value_json) for i in record.history.item}
        for name, value in items.items():
            place = (name, record.history.step.num)
            if not name.startswith("_"):
                assert told.setdefault(place, value) == value, f"{place} was told twice, differently"
    assert {place: told.get(place) for place in EXPECTED} == pytest.approx(EXPECTED)
