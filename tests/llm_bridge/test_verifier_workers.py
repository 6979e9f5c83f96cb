"""Worker processes that die: while they start, while they wait, all of them at once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from bandit_rft.errors import InputError
from llm_bridge.verifiers import pool
from llm_bridge.verifiers.pool import Pool

HALF = {"kind": "math", "gold": "\\frac12", "answer": "0.5"}


@pytest.fixture
def workers() -> Iterator[Pool]:
    made = Pool(workers=2)
    yield made
    made.close()


def die_at_start(patch: pytest.MonkeyPatch, deaths: int) -> None:
    """The first so many processes end before they are ready, as by the OOM killer."""
    start, left = subprocess.Popen, deaths

    def begin(command: list[str], **how: Any) -> Any:
        nonlocal left
        left -= 1
        return start([sys.executable, "-c", ""] if left >= 0 else command, **how)

    patch.setattr(pool.subprocess, "Popen", begin)


def test_a_worker_that_is_killed_while_it_starts_is_started_again(
    workers: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a run that ends because one process was killed before its first answer."""
    die_at_start(monkeypatch, pool.START_TRIES - 1)
    assert workers.run([HALF], seconds=20.0) == [1.0]
    assert workers.counts.started == pool.START_TRIES
    assert (workers.counts.crashes, len(workers.processes)) == (0, 1)


def test_a_worker_that_never_starts_is_a_sentence(workers: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches tries without end, and processes that are left over."""
    die_at_start(monkeypatch, 10**9)
    with pytest.raises(InputError, match=r"did not start .3 in a row"):
        workers.run([HALF], seconds=20.0)
    assert workers.processes == []


def test_the_second_try_is_a_process_that_is_new(workers: Pool) -> None:
    """Two idle workers, both dead: catches a second try that takes the other dead one, and a right answer that earns 0
    for it."""
    held = [workers._started() for _ in range(2)]
    workers._idle.extend(held)
    for worker in held:
        os.killpg(worker.process.pid, 9)
        worker.process.wait()
    assert workers.run([HALF], seconds=20.0) == [1.0]
    assert workers.counts.crashes == 0
    assert workers.counts.started == 3


@pytest.mark.skipif(not pool._FORKS, reason="a worker has a child where the system forks")
def test_a_child_that_dies_is_replaced_before_the_second_try(workers: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers, whose children both die of what they are asked. Catches a second try by the other worker's child,
    which is no new process."""
    asked: list[int] = []

    def ask(self: pool._Worker, request: Any, seconds: float) -> dict[str, Any]:
        del request, seconds
        asked.append(self.process.pid)
        return {"died": True}

    workers._idle.extend([workers._started() for _ in range(2)])
    monkeypatch.setattr(pool._Worker, "ask", ask)
    assert workers.run([HALF], seconds=20.0) == [0.0]
    assert len(asked) == 2
    assert len(set(asked)) == 1
    assert workers.counts.crashes == 1
    assert len(workers._idle) == 2
