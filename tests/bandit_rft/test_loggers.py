"""What TensorBoard and W&B have been told, read back from their own files; a killed run tells each round once."""

import math
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from bandit_rft.cli.finetune_recorder import FineTuneRecorder

from bandit_rft.errors import InputError
from bandit_rft.runs import RunFolder, loggers
from bandit_rft.runs.loggers import LoggedRecorder

ROUNDS = 6
CONFIG = {"command": "finetune", "rounds": ROUNDS}


class State(NamedTuple):
    params: np.ndarray


def go(path: Path, names: list[str], *, until: int = ROUNDS) -> list[str]:
    """Rounds of a run whose every number is known, up to `until`, continued where the folder has some."""
    complaints: list[str] = []

    def evaluate(params: Any, done: int) -> dict[str, Any]:
        return {"pass_at_1": done / 10, "low": 0.0, "high": 1.0, "pass_at_k": {"1": done / 10, "4": 0.5}}

    with RunFolder.claim(path, CONFIG) as folder:
        recorder = FineTuneRecorder(
            folder=folder, rounds=ROUNDS, checkpoint_every=2, evaluators={"train": (3, evaluate)}
        )
        told = loggers.make(names, path, CONFIG)
        logged = LoggedRecorder(recorder=recorder, loggers=told, complain=complaints.append)
        found = logged.resume(0, State(np.zeros(1)))
        for place in range(found[0] if found else 0, until):
            record = {"rewards": [place, 0.0], "pulled_mean": None, "value": None, "metrics": {"loss": place / 4}}
            record["metrics"]["kl"] = math.nan
            arms = SimpleNamespace(text=["", ""], lengths=[1, 2], truncated=[False, True])
            logged.record(0, place, record, State(np.full(1, place + 1.0)), arms)
        logged.close()
        recorder.close()
    return complaints


EXPECTED = {
    **{("round/reward", t): t / 2 for t in range(ROUNDS)},
    **{("round/loss", t): t / 4 for t in range(ROUNDS)},
    **{(f"round/verifier_{what}", t): 0.0 for what in ("timeouts", "crashes") for t in range(ROUNDS)},
    **{("train/pass_at_1", t): t / 10 for t in (0, 3, 6)},
    **{("train/pass_at_4", t): 0.5 for t in (0, 3, 6)},
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


def check(found: list[tuple[tuple[str, int], float]]) -> None:
    known = dict(found)
    assert len(known) == len(found), "a number was told twice"
    assert set(known) - {(f"train/{side}", t) for side in ("low", "high") for t in (0, 3, 6)} == set(EXPECTED)
    assert all(known[name] == pytest.approx(value) for name, value in EXPECTED.items())


def test_tensorboard_has_every_number_at_its_round_once(tmp_path):
    """Catches steps off by one, a NaN that is told, and evaluations that are missing or at the wrong round."""
    pytest.importorskip("tensorboardX")
    assert go(tmp_path / "run", ["tensorboard"]) == []
    check(tensorboard_scalars(tmp_path / "run"))


def test_a_killed_run_goes_on_in_the_same_curves(tmp_path):
    """Killed after round 4, checkpoint at 4, and again at once: no round is missing and none is there twice."""
    pytest.importorskip("tensorboardX")
    go(tmp_path / "run", ["tensorboard"], until=5)
    go(tmp_path / "run", ["tensorboard"], until=5)
    go(tmp_path / "run", ["tensorboard"])
    check(tensorboard_scalars(tmp_path / "run"))


KILLED = """
import os, sys
from pathlib import Path
from bandit_rft.cli.finetune_recorder import FineTuneRecorder
from tests.bandit_rft import test_loggers
save = FineTuneRecorder._save
def killed(*arguments):
    save(*arguments)
    if arguments[1] == 3:
        os.kill(os.getpid(), 9)  # after the checkpoint of round 4, before the loggers are told of it
FineTuneRecorder._save = killed
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


def test_a_mere_folder_is_no_library(tmp_path, monkeypatch):
    """Catches W&B's own wandb/ folder, where it is not installed, that counts as the library."""
    (tmp_path / "wandb_of_a_run").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(loggers.LOGGERS, "wandb", "wandb_of_a_run")
    with pytest.raises(InputError, match="not installed"):
        loggers.check(["wandb"])


def test_a_logger_that_joins_later_is_told_what_it_missed(tmp_path):
    pytest.importorskip("tensorboardX")
    go(tmp_path / "run", [], until=5)
    go(tmp_path / "run", ["tensorboard"])
    check(tensorboard_scalars(tmp_path / "run"))


def test_a_logger_that_fails_is_named_once_and_the_run_goes_on(tmp_path, monkeypatch):
    class Broken:
        def open(self, done: int) -> int:
            return done

        def log(self, step, values):
            raise OSError("no space left\non device")

        def close(self):
            raise AssertionError("closed after it failed")

    monkeypatch.setattr(loggers, "make", lambda *_: [Broken()])
    complaints = go(tmp_path / "run", ["tensorboard"])
    assert complaints == ["Broken failed (OSError: no space left on device); the run goes on without it."]
    assert len((tmp_path / "run" / "history.jsonl").read_text().splitlines()) == ROUNDS


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
