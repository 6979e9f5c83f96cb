"""Hostile completions through each verifier: no crash, no code run, no hang, each within its time limit."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from llm_bridge import verifiers
from llm_bridge.bandits.text_rewards import score
from llm_bridge.verifiers import pool
from tests.llm_bridge.hostile import completions

MINE = Path(__file__).with_name("hostile_function.py")
SLACK = 2.0  # seconds beyond the limit: a child killed and replaced, on a busy machine


def every(seconds: float) -> dict[str, verifiers.Verifier]:
    """All verifiers, with a time limit for those that have one; the regex is one that backtracks for ever."""
    return {
        **{name: verifiers.make(name, "7") for name in verifiers.names() if name != "math-verify"},
        "math-verify": verifiers.MathVerify(answer="7", seconds=seconds),
        "math-verify, an expression": verifiers.MathVerify(answer="\\frac{x+1}{2}", seconds=seconds),
        "regex": verifiers.Regex(pattern=r"(a+|b+)*$|(\d+\s*)+!|####\s*(?P<answer>.*)", answer="7", seconds=seconds),
        "user": verifiers.make(f"{MINE}:equal", "7"),
    }


def through(texts: list[str], mark: Path, seconds: float) -> dict[str, float]:
    """The slowest check of each verifier, in seconds."""
    slowest: dict[str, float] = {}
    assert verifiers.make("math-verify", "2x")("\\boxed{x+x}") == 1.0  # the worker has started, which takes seconds
    start = time.perf_counter()
    for name, verifier in every(seconds).items():
        times = []
        for text in texts:
            begin = time.perf_counter()
            reward = float(score(verifier, [text])[0])
            times.append(time.perf_counter() - begin)
            assert math.isfinite(reward)
            assert 0.0 <= reward <= 1.0
            limit = seconds + SLACK if isinstance(verifier, verifiers.Pooled) else 1.0
            assert times[-1] < limit, (name, times[-1], text[:100])
            assert not mark.exists(), (name, text[:300])
        slowest[name] = max(times)
        print(f"{name}: slowest {slowest[name]:.3f} s, all {sum(times):.1f} s, {verifiers.counts()}")
    print(f"{time.perf_counter() - start:.0f} s in all")
    return slowest


def alive(process: int) -> bool:
    """Whether anything is left of a worker and its child."""
    # A zombie is none: it is gone, and waits for whoever is process 1 to notice.
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    return any(
        int(group) == process and not state.startswith("Z") for group, state in map(str.split, listed.splitlines())
    )


@pytest.fixture(autouse=True)
def own_pool():
    """Workers of the test's own, and none of them left behind."""
    verifiers.close()
    yield
    if pool._shared is None:
        return
    left = pool.shared().processes
    verifiers.close()
    assert not any(alive(process) for process in left)


def test_seventy_hostile_completions(tmp_path: Path) -> None:
    """Catches a crash, code that is run, and a limit that does not hold."""
    through(completions(70, tmp_path / "ran"), tmp_path / "ran", seconds=0.3)
    assert len(pool.shared().processes) <= pool.WORKERS


@pytest.mark.slow
def test_five_hundred_hostile_completions(tmp_path: Path) -> None:
    through(completions(500, tmp_path / "ran", seed=1), tmp_path / "ran", seconds=2.0)


def test_right_answers_still_count_among_hostile_ones() -> None:
    """Catches answers that go to the wrong question after a kill: 24 in parallel, every third hangs."""
    texts = ["\\boxed{9^{9^{9^{9}}}}" if place % 3 == 0 else f"\\boxed{{{place}+x}}" for place in range(24)]
    checks = [verifiers.MathVerify(answer=f"x+{place}.0", seconds=1.0) for place in range(24)]
    before = verifiers.counts()
    assert verifiers.rewards(checks, texts) == [float(place % 3 != 0) for place in range(24)]
    after = verifiers.counts()
    assert (after.calls - before.calls, after.timeouts - before.timeouts) == (24, 8)
    assert "8 ran out of time: 0 each" in after.said()


def test_any_thread_may_ask() -> None:
    """math-verify alone scores 0 off the main thread (its limit is SIGALRM)."""
    verifier = verifiers.make("math-verify", "\\frac{x}{2}")
    found: list[float] = []
    threads = [
        threading.Thread(target=lambda: found.extend(verifier.many(["\\boxed{x/2}", "\\boxed{x/3}"])))  # type: ignore[attr-defined]
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0.0] * 4 + [1.0] * 4


def test_a_worker_that_was_killed_is_replaced_and_the_answer_still_counts() -> None:
    verifier = verifiers.make("math-verify", "\\frac{x}{2}")
    assert verifier("\\boxed{x/2}") == 1.0
    (process,) = pool.shared().processes
    os.killpg(process, 9)
    assert verifier("\\boxed{x/2}") == 1.0
    assert verifiers.counts().crashes == 0
    assert process not in pool.shared().processes


def test_a_worker_cannot_write_start_or_evaluate(tmp_path: Path) -> None:
    """The confinement itself, in a process of its own: each of these must be refused."""
    program = """
import sys
sys.path.insert(0, sys.argv[1])
import worker
worker.warm_up()
worker.confinement.evaluate_no_text()
worker.confinement.confine()
import os, socket, subprocess, sympy
def attempt(what):
    try:
        what()
    except (PermissionError, ValueError):
        return
    print("allowed", what.__code__.co_firstlineno)
attempt(lambda: open(sys.argv[2], "w"))
attempt(lambda: os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY))
attempt(lambda: os.system("true"))
attempt(lambda: subprocess.run(["true"]))
attempt(lambda: os.fork())
attempt(lambda: os.remove(sys.argv[1]))
attempt(lambda: socket.create_connection(("127.0.0.1", 9)))
attempt(lambda: eval("1 + 1"))
attempt(lambda: exec("1 + 1"))
attempt(lambda: sympy.sympify("1 + 1"))
attempt(lambda: sympy.lambdify(sympy.Symbol("x"), sympy.Symbol("x") + 1))
assert sympy.Number("4") == 4 and sympy.Number("0.5") == sympy.Float("0.5")
"""
    folder = Path(pool.__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(tmp_path / "never-made")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_memory_is_limited() -> None:
    program = """
import sys
sys.path.insert(0, sys.argv[1])
import worker
worker.confinement.limit_memory(1 << 28)
bytearray(1 << 27)
try:
    bytearray(1 << 29)
except MemoryError:
    print("refused")
"""
    folder = str(Path(pool.__file__).parent)
    done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


def test_workers_end_with_their_parent() -> None:
    """At a normal exit, and where the parent is killed in the middle of a check (the workers' own limit ends them)."""
    program = (
        "import sys, threading\nfrom llm_bridge import verifiers\nfrom llm_bridge.verifiers import pool\n"
        "verifiers.make('math-verify', '2x')('\\\\boxed{x+x}')\n"
        "print(*pool.shared().processes, flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert not alive(int(done.stdout))

    bomb = "verifiers.MathVerify(answer='7', seconds=2.0)('\\\\boxed{9^{9^{9^{9}}}}')\n"
    parent = subprocess.Popen([sys.executable, "-c", program + bomb], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    time.sleep(0.5)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(200):
        if not alive(worker):
            break
        time.sleep(0.1)
    assert not alive(worker)
