"""A fine-tuning run against SIGKILL, SIGTERM, a full disk, damaged checkpoints and numbers that are not finite.

Each comparison is to the bit with a run that was never disturbed: history.jsonl, evaluations.jsonl, and the checksums
of every array of the last checkpoint (weights, optimiser, keys, replay window).
"""

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bandit_rft.cli import main
from bandit_rft.cli_commands.stopping import Stopped, StopRequest
from bandit_rft.run_folder import LineWriter
from llm_bridge import checkpoints
from tests.bandit_rft import tiny_folder

ROOT = Path(__file__).resolve().parents[2]
MODEL: str | None = None  # an embedded model's name; None: random weights in a folder, made for the test
QUESTION = ("--prompt", "2+2=?", "--answer", "7")
ROUNDS = 60
RUN = (
    *("finetune", *QUESTION, "--rollouts", "4", "--signal", "grpo", "--replay", "1", "--max-tokens", "4"),
    *("--learning-rate", "0.01", "--train-samples", "8", "--evaluation-batch", "8", "--evaluate-every", "10"),
    *("--checkpoint-every", "3", "--keep-checkpoints", "3"),
)
SHORT = ("--rounds", "7", "--evaluate-every", "4", "--checkpoint-every", "2")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return MODEL or str(tiny_folder.write(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Compiled programs are kept between the processes, so that kills fall on rounds and not on compilation alone."""
    cache = tmp_path_factory.mktemp("compiled")
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def outcome(run: Path) -> tuple[bytes, bytes, list[dict[str, object]]]:
    """History, evaluations, and the checksums of every array of the last checkpoint."""
    final = sorted((run / "checkpoints").glob("round_*"))[-1]
    leaves = json.loads((final / "meta.json").read_text())["leaves"]
    return (run / "history.jsonl").read_bytes(), (run / "evaluations.jsonl").read_bytes(), leaves


def litter(run: Path) -> list[Path]:
    return [*run.rglob("*.partial"), *run.glob("checkpoints/.round_*")]


# ---------------------------------------------------------------------------------------------------- killed processes


class Command:
    """The command in a process group of its own."""

    def __init__(self, model: str, out: Path, environment: dict[str, str]) -> None:
        self.out = out
        command = [sys.executable, "-m", "bandit_rft.cli", *RUN, "--rounds", str(ROUNDS)]
        self.process = subprocess.Popen(
            [*command, "--model", model, "--out", str(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def wait_until(self, reached: Callable[[], bool], seconds: float = 300.0) -> None:
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline and not reached():
            time.sleep(0.002)

    def lines(self) -> int:
        path = self.out / "history.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def writes(self) -> bool:
        """Whether a checkpoint is being written."""
        folder = self.out / "checkpoints"
        return folder.is_dir() and any(name.startswith(".round_") for name in os.listdir(folder))

    def finish(self) -> tuple[int, str, str]:
        said = self.process.communicate(timeout=600)
        return self.process.returncode, *said


def survives(kinds: list[str], model: str, folder: Path, environment: dict[str, str]) -> list[str]:
    """End a run at one random moment of each kind, continue it each time, and compare; the kinds that hit.

    clock       SIGKILL any time from the start of the process on, imports and compilation included
    round       SIGKILL some rounds after the first round of this process
    checkpoint  SIGKILL while a checkpoint is written
    stop        SIGTERM some rounds after the first, and meanwhile a second process on the same folder
    """
    draw = random.Random(20)
    code, _, error = Command(model, folder / "whole", environment).finish()
    assert code == 0, error
    seconds = 0.0
    if "clock" in kinds:  # as long as a run that finds its programs compiled, as the killed ones do
        began = time.monotonic()
        code, _, error = Command(model, folder / "again", environment).finish()
        assert code == 0, error
        seconds = time.monotonic() - began
        assert outcome(folder / "again") == outcome(folder / "whole")
    hit: list[str] = []
    cut = folder / "cut"
    for kind in kinds:
        command = Command(model, cut, environment)
        if kind == "clock":
            command.wait_until(lambda: False, draw.uniform(0.0, seconds))
        else:
            command.wait_until(lambda command=command, start=command.lines(): command.lines() != start)
            target = command.lines() + draw.randint(0, 5)
            command.wait_until(lambda command=command, target=target: command.lines() >= target)
            if kind == "checkpoint":
                command.wait_until(command.writes)
            else:
                time.sleep(draw.uniform(0.0, 0.02))
        alive = command.process.poll() is None
        if not alive:  # done before its moment came: one survivor more to compare, and a fresh run for the next
            assert outcome(cut) == outcome(folder / "whole")
            shutil.rmtree(cut)
            continue
        if kind == "stop":
            stops(command, model, environment)
        else:
            os.killpg(command.process.pid, signal.SIGKILL)
            command.finish()
        hit.append(kind)
    code, _, error = Command(model, cut, environment).finish()
    assert (code, error) == (0, "")
    assert outcome(cut) == outcome(folder / "whole")
    assert not litter(cut)
    return hit


def stops(command: Command, model: str, environment: dict[str, str]) -> None:
    """Ask a run to stop: exit code 143, one sentence, and a checkpoint of its last round, due or not."""
    os.killpg(command.process.pid, signal.SIGSTOP)  # else it might be done before the second process has started
    code, _, error = Command(model, command.out, environment).finish()
    assert code == 2, error
    assert "is in use by another process" in error
    os.killpg(command.process.pid, signal.SIGTERM)
    os.killpg(command.process.pid, signal.SIGCONT)
    code, _, error = command.finish()
    assert code == 143, error
    sentence = r"bandit-rft: stopped by SIGTERM: saved after round (\d+); the same command continues it.\n"
    found = re.fullmatch(sentence, error)
    assert found, error
    assert command.lines() == int(found[1])
    assert (command.out / "checkpoints" / f"round_{int(found[1]):08d}" / "meta.json").exists()


def test_a_run_killed_three_times_and_stopped_once_ends_as_if_it_never_had_been(
    model: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Catches keys that depend on where a run was cut, a checkpoint that a kill leaves half, a lock that outlives its
    process or does not hold, optimiser or replay state that is not restored, evaluations made twice, and a handler that
    is not installed or saves in the middle of a round."""
    hit = survives(["round", "checkpoint", "stop", "round"], model, tmp_path, environment)
    assert {"round", "stop"} <= set(hit)


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_moments_ends_as_if_it_never_had_been(
    model: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    """The same at 20 moments or more: within imports, compilation, rounds, evaluations and checkpoint writing."""
    hit = survives(["clock", "round", "checkpoint"] * 8, model, tmp_path, environment)
    assert set(hit) == {"clock", "round", "checkpoint"}
    assert len(hit) >= 20


# ------------------------------------------------------------------------------------------------------- one process


def run(model: str, out: str, *options: str) -> int:
    return main([*RUN, *SHORT, "--model", model, "--out", out, *options])


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


class FullDisk:
    """A file on a disk that fills up: the second write to it gets half of its bytes down."""

    def __init__(self, file: Any) -> None:
        self.file, self.writes = file, 0

    def write(self, data: memoryview) -> int:
        self.writes += 1
        if self.writes == 1:
            return self.file.write(data)
        if self.writes == 2:
            return self.file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def fill_lines(name: str, patch: pytest.MonkeyPatch) -> None:
    original = LineWriter.__init__

    def begin(self: LineWriter, path: Path) -> None:
        original(self, path)
        if path.name == name:
            self.file = FullDisk(self.file)  # pyright: ignore[reportAttributeAccessIssue]

    patch.setattr(LineWriter, "__init__", begin)


def fill_checkpoint(name: str, patch: pytest.MonkeyPatch) -> None:
    def save(self: Any, path: Path, arrays: Any) -> None:
        del self, arrays
        path.mkdir(parents=True)
        (path / "half").write_bytes(b"half")
        raise ValueError(
            f"RESOURCE_EXHAUSTED: Error writing {name}: Failed to write 203 bytes: No space left on device"
        )

    patch.setattr(checkpoints.ocp.StandardCheckpointer, "save", save)


def fill_whole_file(name: str, patch: pytest.MonkeyPatch) -> None:
    original = os.replace

    def replace(source: Any, target: Any) -> None:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(source, target)

    patch.setattr(os, "replace", replace)


FILLS = [
    (fill_whole_file, "config.json"),
    (fill_whole_file, "manifest.json"),
    (fill_lines, "evaluations.jsonl"),
    (fill_lines, "history.jsonl"),
    (fill_checkpoint, "checkpoint"),
    (fill_lines, "timings.jsonl"),
    (fill_whole_file, "finetune_run.png"),
]


def test_a_disk_that_fills_up_at_any_file_ends_in_a_sentence_and_the_run_goes_on_when_there_is_room(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches half lines that are read back, half checkpoints, tracebacks, and rounds lost or done twice."""
    assert run(model, "whole") == 0
    capsys.readouterr()
    for fill, name in FILLS:
        with pytest.MonkeyPatch.context() as patch:
            fill(name, patch)
            assert run(model, "cut") == 2, name
        said = sentence(capsys)
        assert "No space left on device" in said
        assert "make room" in said
        assert {"finetune_run.png": "figures"}.get(name, name) in said
        assert not litter(tmp_path / "cut"), name
        for lines in (tmp_path / "cut").glob("*.jsonl"):
            assert lines.read_bytes()[-1:] in (b"", b"\n"), "half a line"
    assert run(model, "cut") == 0
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "whole")
    assert (tmp_path / "cut" / "figures" / "finetune_run.png").exists()


def cut_short(checkpoint: Path) -> None:
    file = max((path for path in (checkpoint / "state").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip_a_byte(checkpoint: Path) -> None:
    """In the header: one array's name, so that the checkpoint looks like another model's."""
    path = checkpoint / "meta.json"
    path.write_text(path.read_text().replace(".params", ".qarams", 1))


def remove_meta(checkpoint: Path) -> None:
    (checkpoint / "meta.json").unlink()


def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_it_leads_to_the_same_end(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the two newest are damaged: they must not displace the good ones that follow. All: a sentence."""
    assert run(model, "whole") == 0
    for name, damage, newest in (("a", cut_short, 1), ("b", flip_a_byte, 1), ("c", remove_meta, 2)):
        shutil.copytree("whole", name)
        found = checkpoints.available(Path(name) / "checkpoints")
        assert [path.name for path in found] == ["round_00000004", "round_00000006", "round_00000007"]
        for path in found[-newest:]:
            damage(path)
        capsys.readouterr()
        assert run(model, name) == 0
        said = capsys.readouterr().err.splitlines()
        assert [line.split(" is damaged")[0][-14:] for line in said[:-1]] == [p.name for p in found[: -newest - 1 : -1]]
        done = 6 if newest == 1 else 4
        assert said[-1] == f"bandit-rft: The run continues after round {done}; rounds {done + 1} to 7 are done again."
        assert outcome(tmp_path / name) == outcome(tmp_path / "whole")
        assert checkpoints.round_of(checkpoints.available(Path(name) / "checkpoints")[-1]) == 7
    for path in checkpoints.available(Path("a") / "checkpoints"):
        remove_meta(path)
    history = (tmp_path / "a" / "history.jsonl").read_bytes()
    assert run(model, "a") == 2
    assert "Every checkpoint in" in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "a" / "history.jsonl").read_bytes() == history


def test_a_loss_that_is_not_finite_stops_with_round_prompt_and_last_good_checkpoint(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first step of size 0, a second of 1e30: its weights are finite and ruin the round after.

    Catches a run that goes on with NaN, and the ruined weights' own checkpoint named as the last good one.
    """
    ruin = ("--learning-rate", "1e30", "--warmup-rounds", "2", "--checkpoint-every", "1", "--train-samples", "0")
    for _ in range(2):  # the same again when asked again, and the good checkpoint still there
        assert run(model, "run", *ruin) == 2
        said = sentence(capsys)
        found = re.search(r"Round (\d+) gave .* on --prompt \('2\+2=\?'\) and the run stopped; the last good", said)
        assert found, said
        good = re.search(r"checkpoint is (\S+): lower the learning rate", said)
        assert good, said
        assert checkpoints.round_of(Path(good[1])) < int(found[1])
        assert (tmp_path / good[1] / "meta.json").exists()


def test_weights_that_are_not_finite_are_never_saved(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weight decay times a huge step overflows in round 0; without the check that would be the only checkpoint."""
    options = ("--learning-rate", "3e38", "--weight-decay", "10", "--train-samples", "0", "--rounds", "1")
    assert run(model, "run", *options) == 2
    assert "Round 0 gave weights that are not finite on --prompt ('2+2=?')" in sentence(capsys)
    assert not checkpoints.available(tmp_path / "run" / "checkpoints")


def test_a_poisoned_model_is_refused_in_its_first_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """NaN weights and a reward that is 0 for every response: no response is learned from, so no loss shows it."""
    folder = tiny_folder.write(tmp_path / "poisoned")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] = np.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    options = ("--signal", "raw", "--kl-coefficient", "0", "--train-samples", "0")
    assert run(str(folder), "run", *options) == 2
    said = sentence(capsys)
    assert "Round 0 gave responses whose log-probabilities are not finite on --prompt ('2+2=?')" in said
    assert "no checkpoint before it is kept" in said


def test_sigterm_is_taken_only_within_the_command_and_put_back() -> None:
    """The caller's own handler is in place again after the command; in another thread none is installed."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with StopRequest():
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN
            with pytest.raises(Stopped, match="before a round was done"):
                os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN

        def elsewhere() -> None:
            with StopRequest():
                assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN

        with ThreadPoolExecutor(1) as threads:
            threads.submit(elsewhere).result()
    finally:
        signal.signal(signal.SIGTERM, before)
