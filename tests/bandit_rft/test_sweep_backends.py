"""A sweep gives the same bits whoever runs its points: this process, several, or Ray's workers, some of them lost."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bandit_rft.cli import main
from bandit_rft.errors import InputError
from bandit_rft.runs import backends
from bandit_rft.sweep import sweep
from tests.bandit_rft.sweeps import GRID, SETTINGS, lost_once, make, refused, same, total

MINE = """
from bandit_rft import arms, learners

def make(p0, step_size):
    return arms.Needle(6, p0=p0), learners.SoftmaxPolicyGradient(step_size=step_size)

def mean(history):
    return history.rewards.mean(axis=(1, 2))

def text(history):
    return "all"
"""


def test_points_in_processes_have_the_bits_of_points_here(tmp_path: Path) -> None:
    """In a folder that has one point already. Catches a key that depends on the process, points in
    the order in which they end, and a point that is run twice; and what no process can be given is said."""
    alone = sweep(make, GRID, **SETTINGS, out=tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for path in sorted((tmp_path / "two" / "points").iterdir())[1:]:
        path.unlink()
    told: list[int] = []
    settings = SETTINGS | {"progress": lambda done, total, mean, seconds: told.append(done)}
    same(sweep(make, GRID, **settings, out=tmp_path / "two", processes=2), alone)
    assert told == [14, 21, 28, 35, 42]
    for path in (tmp_path / "one" / "points").iterdir():
        assert (tmp_path / "two" / "points" / path.name).read_bytes() == path.read_bytes()
    settings = SETTINGS | {"measure": lambda history: total(history)}
    with pytest.raises(InputError, match=r"make or measure cannot be given to another process .* processes=1"):
        sweep(make, GRID, **settings, processes=2)


SIDE_BY_SIDE = """
import os, time
from pathlib import Path
from bandit_rft.runs import backends
from bandit_rft.runs.stopping import StopRequest

def deaf(job):
    begin(job)
    time.sleep(100)

def saving(job):
    with StopRequest() as request:
        request.hold()
        begin(job)
        while not request.asked:
            time.sleep(0.05)
        time.sleep(1)  # the round in hand
        request.release()

def begin(job):
    (Path(__file__).parent / f"{os.getpid()}.pid").touch()
    (Path(__file__).parent / f"{job}.begun").touch()

if __name__ == "__main__":
    list(backends.processes(RUN, list(range(8)), 2))
"""


@pytest.mark.parametrize("run", ["deaf", "saving"])
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_command_that_is_killed_or_interrupted(
    tmp_path: Path, ending: signal.Signals, run: str
) -> None:
    """Catches workers that go on with their runs, and then wait for ever, once the command is gone; and an interrupted
    command that waits for their runs, where the signal was its own alone (a notebook, `kill -INT`): for those that they
    are at, or, where a run takes the signal as a request to stop, as fine-tuning does, for the ones that come next."""
    script = tmp_path / "script.py"
    script.write_text(SIDE_BY_SIDE.replace("RUN", run))
    command = subprocess.Popen([sys.executable, str(script)])

    def workers() -> list[int]:
        return [int(path.stem) for path in tmp_path.glob("*.pid")]

    try:
        waited(lambda: len(workers()) == 2, 60)
        command.send_signal(ending)
        command.wait(timeout=60)
        waited(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers()), 20)
        assert len([*tmp_path.glob("*.begun")]) == 2
    finally:
        command.kill()
        for worker in workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


def waited(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)


@pytest.mark.slow
def test_on_ray_a_lost_worker_s_point_is_run_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions that are no module's too, as in a notebook. Catches points that are lost with their worker, and a
    refusal without its point."""
    pytest.importorskip("ray", reason="needs Ray (the extra `ray`)")
    monkeypatch.setenv("SWEEP_MARK", str(tmp_path / "lost"))
    alone = sweep(make, GRID, rounds=7, seeds=3, key=11, measure=total)
    ray = {"processes": 2, "backend": "ray"}
    found = sweep(lambda **point: make(**point), GRID, rounds=7, seeds=3, key=11, measure=lost_once, **ray)
    assert (tmp_path / "lost").exists()
    np.testing.assert_array_equal(found.samples["value"], alone.samples["value"])
    with pytest.raises(InputError, match=r"^At chance=0\.5: no number here\.$"):
        sweep(make, {"chance": [0.5]}, rounds=3, measure=refused, **ray)


def test_a_process_that_dies_is_one_sentence() -> None:
    """As where the system ends one that is short of memory. Catches a traceback of the pool."""
    with pytest.raises(InputError, match=r"A worker process was ended before its run was: .* goes on with what"):
        list(backends.processes(os._exit, [9], 1))


@pytest.mark.parametrize("name", ["WorkerCrashedError", "OutOfMemoryError", "NodeDiedError"])
def test_whatever_ends_a_ray_worker_is_one_sentence(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Of Ray's own errors, by a Ray that raises them. Catches the traceback of a worker that is short of memory."""
    ray = pytest.importorskip("ray", reason="needs Ray (the extra `ray`)")
    error = getattr(ray.exceptions, name)
    error = error() if name == "WorkerCrashedError" else error("the node is gone")

    def get(ended: object) -> None:
        raise error

    remote = lambda **options: lambda function: SimpleNamespace(remote=lambda *given: "ref")  # noqa: E731
    for attribute, value in {
        "is_initialized": lambda: True,
        "cluster_resources": dict,
        "remote": remote,
        "wait": lambda running, num_returns: (running, []),
        "get": get,
    }.items():
        monkeypatch.setattr(ray, attribute, value)
    with pytest.raises(InputError, match=r"A run was given to up to 4 workers of Ray and none came to its end \(.*\)"):
        list(backends.on_ray(abs, [1], 1))


def test_an_unknown_backend_and_no_process_are_refused() -> None:
    with pytest.raises(InputError, match="The backend is 'slurm': choose one of processes, ray"):
        sweep(make, GRID, **SETTINGS, backend="slurm")
    with pytest.raises(InputError, match="processes is 0"):
        sweep(make, GRID, **SETTINGS, processes=0)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


SWEEP = ("sweep", "mine.py:make", "--over", "p0=0.1,0.3", "--over", "step_size=1", "--rounds", "20", "--seeds", "3")


def test_the_command_sweeps_a_file_s_function_here_and_in_processes(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same table by both. Catches a function that another process cannot import, and values that are texts."""
    for jobs in ("1", "2"):
        command = (
            *SWEEP,
            "--measure",
            "mine.py:mean",
            "--jobs",
            jobs,
            "--json",
            f"{jobs}.json",
            "--out",
            f"run-{jobs}",
        )
        assert main(command) == 0
        assert "p0  step_size" in capsys.readouterr().out
    one, two = (json.loads((mine / f"{jobs}.json").read_text())["table"] for jobs in (1, 2))
    assert one == two
    assert [(record["p0"], record["step_size"], record["seeds"]) for record in one] == [(0.1, 1, 3), (0.3, 1, 3)]
    assert one[0]["mean_mean"] < one[1]["mean_mean"]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (SWEEP[:2] + SWEEP[6:], "There is nothing to sweep: give --over"),
        ((*SWEEP, "--over", "p0=1"), "--over names p0 twice"),
        ((*SWEEP, "--over", "p0"), "--over is 'p0': give a parameter and its values"),
        ((*SWEEP, "--over", "rounds=3"), "--over sweeps rounds and --rounds gives it: leave one out"),
        (SWEEP[:6], "The number of rounds is missing: give --rounds"),
        ((SWEEP[0], "mine.py:other", *SWEEP[2:]), "mine.py has no function or class 'other'"),
        ((SWEEP[0], "needle", *SWEEP[2:]), "The experiment is 'needle': write your own function as module:name"),
        ((*SWEEP, "--over", "eta=1"), "make does not take these parameters"),
        ((*SWEEP, "--measure", "mine.py:text"), "At p0=0.1, step_size=1: the measure 'text' gave what is no number"),
        ((*SWEEP, "--jobs", "0"), "--jobs: give a whole number of at least 1"),
        ((*SWEEP, "--backend", "slurm"), "invalid choice: 'slurm'"),
    ],
)
def test_what_cannot_be_swept_is_said_in_a_sentence(
    command: tuple[str, ...], sentence: str, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and no folder."""
    assert main((*command, "--out", "run")) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (mine / "run").exists()
