"""Worker processes with a time limit, for what may hang: symbolic mathematics and expressions with backtracking.

    rewards = pool.run([{"kind": "math", "gold": "\\frac12", "answer": "0.5"}], seconds=5.0)

The processes are started when they are first needed (by `subprocess`: nothing is forked, so JAX's threads are safe, and
the caller's main module is not imported again), kept, and ended at exit. A request that takes longer than its seconds
of wall-clock time earns 0 and its process is killed and replaced; so does one whose process dies twice (a stack or
memory that ran out), the second time a process that has answered nothing before. Both are counted (`counts`). A process
that is killed while it starts is started again, a few times. Any thread may call; no signal is used. Requests and
answers are JSON.

The limit is wall-clock: on a machine much too busy, a slow but right answer can earn 0, and the counter shows it. Left
out: limits on memory where the system has none (macOS, Windows).
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError
from bandit_rft.runs.files import loads

WORKERS = max(1, min(8, os.cpu_count() or 1))
GRACE_SECONDS = 5.0  # after which a worker that does not report its child's lateness is killed itself
MEMORY = 1 << 30  # bytes of address space a worker; it needs 60 MB
START_SECONDS = 120.0  # until a new worker has imported its libraries, on however busy a machine
START_TRIES = 3  # a system short of memory kills whoever is growing, and a worker that starts is

_FORKS = hasattr(os, "fork")  # then a worker has a child to kill, and stays itself
_WORKER = Path(__file__).with_name("worker.py")
# The rest of the environment may hold the user's keys, and is nothing to a process that reads model output.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT", "TEMP", "TMPDIR")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
    """What the workers of this process have done.

    Attributes:
        calls: requests answered, in time or not.
        timeouts: those that earned 0 because their time was over.
        crashes: those that earned 0 because two processes in turn died of them.
        started: processes started.
        longest: seconds until the slowest answer, or until its time was over.
    """

    calls: int = 0
    timeouts: int = 0
    crashes: int = 0
    started: int = 0
    longest: float = 0.0

    def since(self, before: Counts) -> Counts:
        """What was done after `before` was read; the longest is that of the process."""
        done = {
            name: getattr(self, name) - getattr(before, name) for name in ("calls", "timeouts", "crashes", "started")
        }
        return Counts(**done, longest=self.longest)

    def said(self) -> str:
        """A sentence on what went wrong; empty if nothing did."""
        faults = {"ran out of time": self.timeouts, "broke the worker": self.crashes}
        parts = [f"{number} {what}" for what, number in faults.items() if number]
        return f"Of {self.calls} answers checked in worker processes, {' and '.join(parts)}: 0 each." if parts else ""


class _Died(Exception):
    """The process ended without an answer."""


class _Worker:
    """One process; one request at a time.

    Raises:
        InputError: at construction, a process that cannot be started or cannot import its libraries.
        _Died: at construction, one that ended before it was ready.
    """

    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        # Sympy orders sets by hash: fixed, so that a verdict does not change from run to run.
        environment |= {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8"}
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-s", str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd=os.path.abspath(os.sep),
                start_new_session=True,  # Ctrl-C is for the caller, who ends us in turn
            )
        except OSError as error:
            raise InputError(
                f"A verifier's worker process cannot be started ({error.strerror or error}): make room for processes, "
                "or choose a verifier that needs none, such as math-boxed."
            ) from None
        path = [os.path.abspath(entry) for entry in sys.path]
        try:
            ready = self.ask({"path": path, "memory": MEMORY}, START_SECONDS)
        except TimeoutError:
            ready = {"error": f"it was not ready within {START_SECONDS:.0f} seconds"}
        except BaseException:
            self.close()
            raise
        if "error" in ready:
            self.close()
            raise InputError(
                f"A verifier's worker process did not start ({ready['error']}): install math-verify, or choose a "
                "verifier that needs none, such as math-boxed."
            )

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The answer. Raises TimeoutError or _Died; the process is then of no further use."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        late = threading.Event()

        def kill() -> None:
            late.set()
            self.kill()

        # Killing ends the blocking read below: no signal, no polling, the same on every system.
        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline(1 << 16)
        except (BrokenPipeError, OSError, ValueError):
            line = b""
        finally:
            timer.cancel()
        if late.is_set():
            raise TimeoutError
        try:
            return loads(line)
        except ValueError:
            raise _Died from None

    def kill(self) -> None:
        """The process and its child."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, 9)  # its session's: it was started as one
            else:
                self.process.kill()

    def close(self) -> None:
        """End it: an idle one goes when its input does, and takes its child along; a busy one is killed."""
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError, ValueError):
                assert stream is not None
                stream.close()
        try:
            self.process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()


class Pool:
    """A few workers; see this module's docstring. One, `pool.run`'s, serves a whole process."""

    def __init__(self, workers: int = WORKERS) -> None:
        self._free = threading.BoundedSemaphore(workers)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="verifier")
        self._counts = Counts()
        self._closed = False

    def run(self, requests: Sequence[Mapping[str, Any]], seconds: float) -> list[float]:
        """Rewards of the requests, in order, checked side by side; each within its `seconds` from its turn on.

        Raises:
            InputError: no worker can be started.
        """
        if len(requests) == 1:
            return [self._one(requests[0], seconds)]
        return list(self._threads.map(lambda request: self._one(request, seconds), requests))

    @property
    def counts(self) -> Counts:
        return self._counts

    @property
    def processes(self) -> list[int]:
        """Ids of the living workers."""
        with self._lock:
            return [worker.process.pid for worker in self._all]

    def close(self) -> None:
        """End the workers."""
        with self._lock:
            self._closed = True
            workers, self._all, self._idle = list(self._all), set(), []
        for worker in workers:
            worker.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _one(self, request: Mapping[str, Any], seconds: float) -> float:
        with self._free:
            worker = self._take()
            # Once more with a fresh process: the death may have been another's doing (a system short of memory).
            for last in (False, True):
                try:
                    start = time.monotonic()
                    answer = worker.ask({**request, "seconds": seconds}, seconds + GRACE_SECONDS * _FORKS)
                except TimeoutError:
                    self._drop(worker)
                    self._add(calls=1, timeouts=1)
                    return 0.0
                except _Died:
                    self._drop(worker)
                    if not last:
                        worker = self._started()  # not an idle one, which may have died of the same
                    continue
                except BaseException:  # Ctrl-C between question and answer: the answer would meet the next question
                    self._drop(worker)
                    raise
                if "died" in answer and not last:
                    continue  # the worker is alive, and the child that it asks next is a new one
                if answer.get("retire") and not _FORKS:
                    self._drop(worker)
                else:
                    with self._lock:
                        self._idle.append(worker)
                if "died" in answer:
                    break
                self._add(calls=1, timeouts="late" in answer, longest=time.monotonic() - start)
                return float(answer.get("reward", 0.0))
            self._add(calls=1, crashes=1)
            return 0.0

    def _take(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise InputError("The verifiers' worker processes have been ended: call before the program's end.")
            if self._idle:
                return self._idle.pop()
        return self._started()

    def _started(self) -> _Worker:
        """A new worker. Raises InputError where `START_TRIES` in a row ended before they were ready."""
        for _ in range(START_TRIES):
            self._add(started=1)
            with contextlib.suppress(_Died):
                worker = _Worker()
                with self._lock:
                    self._all.add(worker)
                return worker
        raise InputError(
            f"A verifier's worker process did not start ({START_TRIES} in a row ended before they were ready, as they "
            "do where memory is short): free some memory, or choose a verifier that needs none, such as math-boxed."
        )

    def _drop(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.close()

    def _add(self, calls: int = 0, timeouts: int = 0, crashes: int = 0, started: int = 0, longest: float = 0.0) -> None:
        with self._lock:
            old = self._counts
            self._counts = Counts(
                calls=old.calls + calls,
                timeouts=old.timeouts + timeouts,
                crashes=old.crashes + crashes,
                started=old.started + started,
                longest=max(old.longest, longest),
            )


_shared: Pool | None = None
_shared_lock = threading.Lock()


def shared() -> Pool:
    """This process's pool."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Pool()
        return _shared


_elsewhere: dict[str, int] = {}


def run(requests: Sequence[Mapping[str, Any]], seconds: float) -> list[float]:
    """`Pool.run` of this process's pool."""
    return shared().run(requests, seconds)


def counts() -> Counts:
    """`Pool.counts` of this process's pool, zeros before its first request, and what other processes of the run did."""
    own = _shared.counts if _shared is not None else Counts()
    return dataclasses.replace(own, **{name: getattr(own, name) + more for name, more in _elsewhere.items()})


def own_counts() -> Counts:
    """`Pool.counts` of this process's pool alone."""
    return _shared.counts if _shared is not None else Counts()


def add_elsewhere(**numbers: int) -> None:
    """Count in `counts` what the workers of other processes did for this run: calls, timeouts, crashes."""
    for name, number in numbers.items():
        _elsewhere[name] = _elsewhere.get(name, 0) + number


def close() -> None:
    """End this process's workers; the next request starts new ones."""
    global _shared
    with _shared_lock:
        ended, _shared = _shared, None
    if ended is not None:
        ended.close()


def _forget() -> None:
    # A forked child shares the parent's pipes: it must not use, nor end, the parent's workers.
    global _shared, _shared_lock
    _shared, _shared_lock = None, threading.Lock()


atexit.register(close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
