"""Runs of `bandit-rft finetune` that are ended from outside, and what is left of them; shared by the survival tests.

Each comparison is to the bit with a run that was never disturbed.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bandit_rft.cli import main
from bandit_rft.runs import LineWriter, read_history

ROOT = Path(__file__).resolve().parents[2]
# transformers imports torch where it finds it, which costs seconds and is never used.
WITHOUT_TORCH = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torch" else find(name, *rest)
from bandit_rft.cli import main
sys.exit(main(sys.argv[1:]))
"""
# Short runs of the random weights of `tiny_folder`, within the test's own process.
SHORT = (
    *("finetune", "--prompt", "2+2=?", "--answer", "7", "--rollouts", "4", "--signal", "grpo", "--replay", "1"),
    *("--max-tokens", "4", "--learning-rate", "0.01", "--train-samples", "8", "--evaluation-batch", "8"),
    *("--rounds", "7", "--evaluate-every", "4", "--checkpoint-every", "2", "--keep-checkpoints", "3"),
)


def run(model: str, out: str, *options: str) -> int:
    """The exit code of a short run on a model's folder."""
    return main([*SHORT, "--model", model, "--out", out, *options])


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error, beside those of progress that a run of half a minute has."""
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("fine-tuning")]
    assert len(lines) == 1, lines
    return lines[0]


def environment(cache: Path, *, optimised: bool = False) -> dict[str, str]:
    """Of processes that keep their compiled programs for each other, so that kills fall on rounds and not on
    compilation alone; compiled quickly where runs are too short for optimised programs to be worth it.
    """
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": str(int(not optimised)),
        "TF_CPP_MIN_LOG_LEVEL": "3",  # XLA would say of a busy machine that compiling took long
    }


def outcome(run: Path) -> tuple[dict[str, bytes], list[dict[str, object]]]:
    """History, evaluations, and the checksums of every array of the last checkpoint (weights, optimiser, keys, …)."""
    final = sorted((run / "checkpoints").glob("round_*"))[-1]
    leaves = json.loads((final / "meta.json").read_text())["leaves"]
    names = ("history.jsonl", "evaluations.jsonl", "responses.jsonl")
    return {name: (run / name).read_bytes() for name in names if (run / name).exists()}, leaves


def assert_same_outcome(run: Path, other: Path) -> None:
    """Raises AssertionError, which names what differs: thousands of equal lines would hide it."""
    (files, leaves), (files_of_other, leaves_of_other) = outcome(run), outcome(other)
    assert [leaf["name"] for leaf in leaves] == [leaf["name"] for leaf in leaves_of_other]
    pairs = zip(leaves, leaves_of_other, strict=True)
    differ = [str(leaf["name"]) for leaf, same in pairs if leaf != same]
    assert files.keys() == files_of_other.keys()
    for name, written in files.items():
        lines = zip(written.splitlines(), files_of_other[name].splitlines(), strict=False)
        differ += [f"{name}: {a[:2000]!r} and {b[:2000]!r}" for a, b in lines if a != b]
        differ += [f"{name}: of two lengths"] if len(written) != len(files_of_other[name]) else []
    assert not differ, "\n".join(differ)


def litter(run: Path) -> list[Path]:
    """Half files and half checkpoints."""
    return [*run.rglob("*.partial"), *run.glob("checkpoints/.round_*")]


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


def cut_short(checkpoint: Path) -> None:
    """Half of its largest file is gone."""
    file = max((path for path in (checkpoint / "state").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def cut_all_short(checkpoint: Path) -> None:
    """Half of each of its data files is gone: no array is whole, wherever Orbax put it."""
    for file in [path for path in (checkpoint / "state").rglob("*") if path.is_file() and path.parent.name == "d"]:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip_a_byte(checkpoint: Path) -> None:
    """In the header: one array's name, so that the checkpoint looks like another model's."""
    path = checkpoint / "meta.json"
    path.write_text(path.read_text().replace(".params", ".qarams", 1))


def remove_meta(checkpoint: Path) -> None:
    (checkpoint / "meta.json").unlink()


class Command:
    """The command in a process group of its own."""

    def __init__(self, options: Sequence[str], out: Path, environment: dict[str, str]) -> None:
        self.options, self.out = options, out
        self.process = subprocess.Popen(
            [sys.executable, "-c", WITHOUT_TORCH, *options, "--out", str(out)],
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

    def wait_for_rounds(self, number: int) -> None:
        """Until this process has written so many rounds of the history. It first cuts off what stands there since the
        last checkpoint, which is no round of it."""
        least = self.written()

        def grows() -> bool:
            nonlocal least
            now = self.written()
            least = min(least, now)
            return now > least

        self.wait_until(grows)
        target = self.written() + number - 1
        self.wait_until(lambda: self.written() >= target)

    def written(self) -> int:
        """Lines of history.jsonl; 0 where there is none."""
        lines = self.out / "history.jsonl"
        return lines.read_bytes().count(b"\n") if lines.exists() else 0

    def saves(self) -> bool:
        """Whether a checkpoint is being written."""
        folder = self.out / "checkpoints"
        return folder.is_dir() and any(name.startswith(".round_") for name in os.listdir(folder))

    def kill(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def finish(self) -> tuple[int, str, str]:
        """Exit code, standard output and standard error, without the line of progress that a slow machine brings every
        half minute."""
        out, error = self.process.communicate(timeout=600)
        kept = [line for line in error.splitlines(keepends=True) if not line.startswith("fine-tuning: ")]
        return self.process.returncode, out, "".join(kept)


def survives(
    kinds: Sequence[str], options: Sequence[str], folder: Path, environment: dict[str, str], enough: int | None = None
) -> list[str]:
    """End a run at one random moment of each kind, or until enough have hit; continue it each time, and compare; the
    kinds that hit.

    clock       SIGKILL any time from the start of the process on, imports and compilation included
    round       SIGKILL some rounds after the first round of this process
    checkpoint  SIGKILL while a checkpoint is written
    stop        SIGTERM some rounds after the first, and meanwhile the same command once more on the same folder
    interrupt   the same with SIGINT
    """
    draw = random.Random(20)
    whole, cut = Command(options, folder / "whole", environment), folder / "cut"
    whole.wait_for_rounds(2)  # by then its programs are compiled, for the others as well, which need not wait for it
    seconds = 0.0
    if "clock" in kinds:  # as long as a run that finds its programs compiled, as the killed ones do
        ends_well(whole)
        began = time.monotonic()
        ends_well(Command(options, folder / "again", environment))
        seconds = time.monotonic() - began
        assert_same_outcome(folder / "again", folder / "whole")
    hit: list[str] = []
    for kind in kinds:
        command = Command(options, cut, environment)
        if kind == "clock":
            command.wait_until(lambda: False, draw.uniform(0.0, seconds))
        else:
            command.wait_for_rounds(draw.randint(1, 5))
            if kind == "checkpoint":
                command.wait_until(command.saves)
            else:
                time.sleep(draw.uniform(0.0, 0.02))
        if command.process.poll() is not None:  # done before its moment came: one survivor more to compare
            ends_well(command)
            if whole.process.returncode is None:
                ends_well(whole)
            assert_same_outcome(cut, folder / "whole")
            shutil.rmtree(cut)
            continue
        if kind in STOPS:
            stops(command, kind)
        else:
            command.kill(signal.SIGKILL)
            command.finish()
        hit.append(kind)
        if len(hit) == enough:
            break
    ends_well(Command(options, cut, environment))
    if whole.process.returncode is None:
        ends_well(whole)
    assert_same_outcome(cut, folder / "whole")
    assert not litter(cut)
    return hit


def ends_well(command: Command) -> None:
    code, _, error = command.finish()
    assert (code, error) == (0, ""), error


# kind -> signal, exit code, name in the sentence
STOPS = {"stop": (signal.SIGTERM, 143, "SIGTERM"), "interrupt": (signal.SIGINT, 130, "Ctrl-C")}


def stops(command: Command, kind: str) -> None:
    """Ask a run to stop: its exit code, one sentence, and a checkpoint of its last round, due or not."""
    number, want, name = STOPS[kind]
    command.kill(signal.SIGSTOP)  # else it might be done before the second one has begun
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr(sys.stderr, "write", lambda text: said.append(text) or len(text))
        code = main([*command.options, "--out", str(command.out)])
    assert code == 2, said
    assert "is in use by another process" in "".join(said)
    command.kill(number)
    command.kill(signal.SIGCONT)
    code, _, error = command.finish()
    assert code == want, error
    sentence = rf"bandit-rft: stopped by {name}: saved after round (\d+); the same command continues it.\n"
    found = re.fullmatch(sentence, error)
    assert found, error
    assert read_history(command.out).rounds == int(found[1])
    assert (command.out / "checkpoints" / f"round_{int(found[1]):08d}" / "meta.json").exists()
