"""A fine-tuning run against a full disk and damaged checkpoints, within one process and on random weights.

Each comparison is to the bit with a run that was never disturbed (`survival.assert_same_outcome`). What ends the
process is in test_survival_kills.py, numbers that are not finite in test_survival_numbers.py.
"""

import errno
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bandit_rft.errors import Stopped
from bandit_rft.runs import RunFolder
from bandit_rft.runs.stopping import StopRequest
from llm_bridge.training import checkpoints
from llm_bridge.training.recorder import RunRecorder
from tests.bandit_rft import tiny_folder
from tests.llm_bridge.survival import (
    ROOT,
    assert_same_outcome,
    cut_short,
    fill_lines,
    flip_a_byte,
    litter,
    remove_meta,
    run,
    sentence,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_folder.write(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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
    (fill_whole_file, "finetune.png"),
]


@pytest.mark.slow
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
        assert {"finetune.png": "figures"}.get(name, name) in said
        assert not litter(tmp_path / "cut"), name
        for lines in (tmp_path / "cut").glob("*.jsonl"):
            assert lines.read_bytes()[-1:] in (b"", b"\n"), "half a line"
    assert run(model, "cut") == 0
    assert_same_outcome(tmp_path / "cut", tmp_path / "whole")
    assert (tmp_path / "cut" / "figures" / "finetune.png").exists()


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
        assert_same_outcome(tmp_path / name, tmp_path / "whole")
        assert checkpoints.round_of(checkpoints.available(Path(name) / "checkpoints")[-1]) == 7
    for path in checkpoints.available(Path("a") / "checkpoints"):
        remove_meta(path)
    history = (tmp_path / "a" / "history.jsonl").read_bytes()
    assert run(model, "a") == 2
    assert "Every checkpoint in" in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "a" / "history.jsonl").read_bytes() == history


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_taken_only_within_the_command_and_put_back(number: signal.Signals) -> None:
    """The caller's own handler is in place again after the command; in another thread none is installed."""

    def own(*given: object) -> None:
        raise AssertionError(given)

    before = signal.signal(number, own)
    try:
        with StopRequest():
            assert signal.getsignal(number) is not own
            with pytest.raises(Stopped, match="before a round was done") as found:
                os.kill(os.getpid(), number)
            assert found.value.exit_code == 128 + number
        assert signal.getsignal(number) is own
        assert signal.set_wakeup_fd(-1) == -1

        def elsewhere() -> None:
            with StopRequest():
                assert signal.getsignal(number) is own

        with ThreadPoolExecutor(1) as threads:
            threads.submit(elsewhere).result()
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(("moment", "saved"), [("written", 7), ("checkpoint", 50), ("timed", 8)])
def test_a_stop_while_a_chunk_is_written_saves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, saved: int
) -> None:
    """At whatever moment of it, with no checkpoint due for long. Catches rounds that are lost, of which it was said
    that none was done."""
    kept: list[int] = []

    def stop(now: str) -> None:
        if now == moment:
            os.kill(os.getpid(), signal.SIGTERM)

    def save(folder: Path, done: int, *given: object, **named: object) -> None:
        kept.append(done)
        stop("checkpoint")

    monkeypatch.setattr(checkpoints, "save", save)
    monkeypatch.setattr(RunRecorder, "_refuse_unsound", lambda *given: None)
    monkeypatch.setattr(RunRecorder, "_time", lambda *given: None)
    monkeypatch.setattr(RunRecorder, "_write", lambda *given: stop("written"))
    with RunFolder.claim(tmp_path, {}) as folder, StopRequest() as request:
        options: dict[str, Any] = {
            "rounds": 100,
            "seeds": 1,
            "checkpoint_every": 50,
            "evaluators": {},
            "arms": None,
            "stop": request,
        }
        recorder = RunRecorder(folder=folder, clock=lambda: stop("timed") or 0.0, **options)
        recorder._writes = False
        rounds: list[Any] = [
            SimpleNamespace(rounds=done, rewards=np.zeros((1, done, 1)), metrics={}) for done in (7, 8, 50)
        ]

        def go_on() -> None:
            for history in rounds:
                request.hold()
                recorder.record(history, None, {})

        with pytest.raises(Stopped, match=f"saved after round {saved}"):
            go_on()
        assert kept == [saved]


def test_ctrl_c_that_was_ignored_stays_so() -> None:
    """Catches a job in a shell's background that ends by the Ctrl-C of another; SIGTERM is taken even so."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop.asked
            with pytest.raises(Stopped):
                os.kill(os.getpid(), signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_second_ctrl_c_ends_the_process_at_once() -> None:
    """Within one call of compiled code that takes hours. Catches a second one that waits for Python's turn, and two
    that are taken for one."""
    program = (
        "import hashlib\nfrom bandit_rft.runs.stopping import StopRequest\nwith StopRequest() as stop:\n"
        "    stop.hold()\n    print('ready', flush=True)\n    hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1.0)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30.0)
    finally:
        process.kill()
    assert process.returncode == 130
    assert error.strip() == "bandit-rft: interrupted; what was saved is whole, and the same command continues."
