"""Who makes the runs of a plan: this process, several of this machine, or Ray's workers, here or on other machines.

Each is a generator of (what the run's function gave, run) as runs end, whatever their order. What a run gives does not
depend on who makes it: it draws from keys of its own, and finds in its folder what an earlier try of it left.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from bandit_rft.errors import InputError, Stopped, reason

Job = TypeVar("Job")
Given = TypeVar("Given")
Backend = Callable[[Callable[[Job], Given], Sequence[Job], int], Iterator[tuple[Job, Given]]]
RETRIES = 3  # of a run whose Ray worker is lost


def serial(make: Callable[[Job], Given], jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Given]]:
    """One after another in this process."""
    for job in jobs:
        yield job, make(job)


def processes(make: Callable[[Job], Given], jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Given]]:
    """Side by side in `workers` processes; `make` and the runs must be picklable.

    Raises:
        InputError: a process was ended from outside, or a run's own.
    """
    others = set(multiprocessing.active_children())
    # Spawned, not forked: JAX holds threads, which a fork would lose.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _end_with_parent) as pool:
        try:
            running: dict[Future[Given], Job] = {pool.submit(_unless_stopped, make, job): job for job in jobs}
            for future in as_completed(running):
                yield running[future], future.result()
        except BrokenProcessPool:
            raise InputError(
                "A worker process was ended before its run was: it may have been short of memory, so take fewer "
                'processes; a script needs `if __name__ == "__main__":` around what it does; and the same call again '
                "goes on with what its folder has."
            ) from None
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(error, Exception):  # Ctrl-C in a notebook, say, of which they hear nothing
                for worker in set(multiprocessing.active_children()) - others:
                    worker.terminate()  # a fine-tuning run saves the round in hand
            raise


def _unless_stopped(make: Callable[[Job], Given], job: Job) -> Given:
    """The run, in a process that ends when it is stopped by a signal: it would take the next run from the queue, where
    a few wait that nobody can call back.
    """
    try:
        return make(job)
    except Stopped as stopped:
        os._exit(stopped.exit_code)


def _end_with_parent() -> None:
    """End this process when the one that began it ends, however that comes: by itself it would make the runs that it
    has, in folders that the same command made again is at work in, and then wait for ever.
    """
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def on_ray(make: Callable[[Job], Given], jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Given]]:
    """On a Ray cluster: the one that RAY_ADDRESS names or this program has joined, else `workers` processes here. A run
    takes one core, and one GPU where the cluster has any. A run whose worker is lost is given to another one, a few
    times. Workers on other machines need this Python environment, and the run folder on a file system that all see.

    Raises:
        InputError: Ray is not installed, or a run's own.
    """
    try:
        import ray
        from ray.exceptions import RayError, RayTaskError
    except ImportError:
        raise InputError("The backend ray needs Ray: install it with `pip install 'bandit-rft[ray]'`.") from None
    joined = ray.is_initialized()
    if not joined:
        local: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers}
        # Workers import what this process can import, such as a checkout that is not installed.
        paths = {"env_vars": {"PYTHONPATH": os.pathsep.join([*(path for path in sys.path if path), os.getcwd()])}}
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, runtime_env=paths, **local)
    try:
        gpus = 1 if ray.cluster_resources().get("GPU", 0) else 0
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(_called)
        running = {task.remote(make, job): job for job in jobs}
        while running:
            (ended,), _ = ray.wait(list(running), num_returns=1)
            job = running.pop(ended)
            try:
                yield job, ray.get(ended)
            except RayTaskError as error:
                raise error.cause from None
            except RayError as error:  # short of memory, a node that is gone, an environment that cannot be made
                raise InputError(
                    f"A run was given to up to {RETRIES + 1} workers of Ray and none came to its end "
                    f"({reason(error)}): they may be short of memory; look at Ray's logs, and repeat the command to go "
                    "on."
                ) from None
    finally:
        if not joined:
            ray.shutdown()


def _called(make: Callable[[Any], Any], job: Any) -> Any:
    return make(job)  # Ray takes functions, and no partial ones


BACKENDS: dict[str, Backend[Any, Any]] = {"processes": processes, "ray": on_ray}


def chosen(name: str, workers: int) -> Backend[Any, Any]:
    """The backend of this name; `serial` for one process here.

    Raises:
        InputError: there is none of this name.
    """
    if name not in BACKENDS:
        raise InputError(f"The backend is {name!r}: choose one of {', '.join(BACKENDS)}.")
    return serial if name == "processes" and workers == 1 else BACKENDS[name]
