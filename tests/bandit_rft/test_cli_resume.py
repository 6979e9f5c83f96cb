"""Runs of the command line that are killed or stopped continue bit by bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bandit_rft.cli import main
from tests.bandit_rft import tiny_folder
from tests.bandit_rft.command_line import RUN, refused

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_folder.write(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Default run folders land in the test's own folder, and the cache is the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def outcome(run: Path) -> tuple[bytes, bytes, bytes, list[dict[str, object]]]:
    """History, evaluations, responses and the checksums of the final weights, to the bit."""
    final = sorted((run / "checkpoints").glob("round_*"))[-1]
    leaves = json.loads((final / "meta.json").read_text())["leaves"]
    history, evaluations, responses = (
        (run / f"{name}.jsonl").read_bytes() for name in ("history", "evaluations", "responses")
    )
    return history, evaluations, responses, leaves


def start(tiny: str, out: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bandit_rft.cli", *RUN, "--model", tiny, "--out", str(out), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen[str], out: Path, rounds: int) -> None:
    history = out / "history.jsonl"
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if history.exists() and history.read_bytes().count(b"\n") >= rounds:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("seeds", ["1", "2"])
def test_a_run_killed_again_and_again_ends_as_if_it_never_had_been(tiny: str, tmp_path: Path, seeds: str) -> None:
    """SIGKILL early, just past a checkpoint, and late: all that is written, and the final weights, equal to the bit.

    Catches keys that depend on where a run was cut, a history that keeps rounds past its checkpoint, optimiser state
    that is not restored, and evaluations made twice or on other weights.
    """
    process = start(tiny, tmp_path / "whole", "--seeds", seeds)
    said = process.communicate()
    assert process.returncode == 0, said
    for rounds in (1, 5, 8, 13):
        kill_after(start(tiny, tmp_path / "cut", "--seeds", seeds), tmp_path / "cut", rounds)
    process = start(tiny, tmp_path / "cut", "--seeds", seeds)
    said = process.communicate()
    assert process.returncode == 0, said
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "whole")
    assert not list((tmp_path / "cut").rglob("*.partial"))


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_run_stopped_in_any_round_continues_bit_by_bit(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seeds: int
) -> None:
    """The same in one process, by an exception within a round and half a line left over; then a finished run again."""
    from llm_bridge.training.recorder import RunRecorder

    command = [*RUN, "--model", tiny, "--seeds", str(seeds)]
    assert main([*command, "--out", "whole"]) == 0
    original = RunRecorder.record
    for stop in (2, 9):

        def record(self, history, *rest, stop=stop):
            if history.rounds > stop:
                raise KeyboardInterrupt
            original(self, history, *rest)

        monkeypatch.setattr(RunRecorder, "record", record)
        assert main([*command, "--out", "cut"]) == 130
        for name in ("history", "responses"):
            with (tmp_path / "cut" / f"{name}.jsonl").open("a") as file:
                file.write('{"round":99,"rewa')
    monkeypatch.setattr(RunRecorder, "record", original)
    capsys.readouterr()
    assert main([*command, "--out", "cut"]) == 0
    first = capsys.readouterr().out
    assert "round 6:" not in first, "an evaluation was made twice"
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "whole")
    assert len(outcome(tmp_path / "whole")[0].splitlines()) == 14
    evaluated = [(line["round"], line["seed"]) for line in map(json.loads, outcome(tmp_path / "whole")[1].splitlines())]
    assert evaluated == [(0, None), *((done, seed) for done in (6, 12, 14) for seed in range(seeds))]
    # A finished run runs nothing again; from its own config.json it is the same run; another configuration is refused.
    before = {path: path.read_bytes() for path in (tmp_path / "cut").glob("*.jsonl")}
    assert main(["finetune", "--config", "cut/config.json", "--seeds", str(seeds), "--out", "cut"]) == 0
    assert {path: path.read_bytes() for path in (tmp_path / "cut").glob("*.jsonl")} == before
    capsys.readouterr()
    assert "temperature is 1.0 there and 0.5 here" in refused(
        [*command, "--temperature", "0.5", "--out", "cut"], capsys
    )
    assert f"seeds is {seeds} there and 3 here" in refused([*command, "--seeds", "3", "--out", "cut"], capsys)
    assert os.listdir(tmp_path / "cut" / "figures") != []


def test_the_step_size_follows_from_the_measured_kappa(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """learning rate × kappa = the number asked for, in config and manifest; one it cannot measure is refused."""
    options = [
        *(
            "finetune",
            "--model",
            tiny,
            "--prompt",
            "2+2=?",
            "--max-tokens",
            "4",
            "--optimizer",
            "sgd",
            "--step-over-kappa",
            "0.5",
        ),
        *(
            "--kl-coefficient",
            "0",
            "--gradient-clip",
            "none",
            "--rounds",
            "12",
            "--train-samples",
            "32",
            "--measure-rollouts",
            "64",
            "--no-measure-error",
        ),
    ]
    assert main([*options, "--answer", "8", "--out", "run"]) == 0
    said = capsys.readouterr().out
    assert "measured" in said
    resolved = json.loads((tmp_path / "run" / "config.json").read_text())["resolved"]
    assert resolved.pop("seed_groups") == 1  # what the loop came to, not the measurement
    kappa = resolved["measurement"]["kappa"]
    assert resolved["learning_rate"] * kappa == pytest.approx(0.5, rel=1e-12)
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["resolved"] == resolved
    assert (tmp_path / "run" / "figures" / "finetune.png").exists()
    assert "kappa could not be measured" in refused([*options, "--answer", "123456", "--out", "other"], capsys)
    assert not (tmp_path / "other" / "config.json").exists()
