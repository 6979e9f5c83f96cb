"""`join`: this process becomes one of several that make one run, before JAX has looked at any device."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

import jax

from bandit_rft import arguments
from bandit_rft.errors import InputError, reason
from llm_bridge.hosts import roll_call

WAIT = 300.0  # seconds for all processes to join
_SHUTDOWN_SECONDS = 60


def join(
    coordinator: str = "auto",
    processes: int | None = None,
    process: int | None = None,
    *,
    wait: float = WAIT,
    words: Callable[[str], str] = str,
) -> None:
    """Join the other processes of a run; call it in each of them, before anything that uses a device of JAX.

    From then on `jax.devices()` are the devices of all processes, and a mesh spans them. Each process calls the same
    functions with the same arguments; process 0 writes the run folder, which all must see, and checkpoints are written
    by all.

    Args:
        coordinator: "HOST:PORT" of process 0, as all processes reach it; the port after it is used too. "auto": as the
            cluster's environment says (SLURM, Open MPI, Cloud TPU, Kubernetes), which JAX detects; the other port is
            then 4096 below.
        processes: how many there are. process: the number of this one, from 0. Both are left out with "auto".
        wait: seconds for all processes to join.
        words: name of an argument -> how a message calls it.

    Raises:
        InputError: arguments that do not go together, no cluster where it is "auto", a process that is missing when
            the time is over (named), or devices that were in use before.

    Left out: the number of processes cannot change while a run goes on. A run can be continued by another number of
    processes, on any mesh.

    Example:
        >>> from llm_bridge import join_hosts
        >>> join_hosts("localhost:9000", processes=1, process=0)  # one process needs no other
    """
    if roll_call.watch() is not None:
        raise InputError("This process has joined already: join once, at the start.")
    try:
        waits = arguments.number("wait", wait) > 0
    except InputError:
        waits = False
    if not waits:
        raise InputError(f"{words('wait')} is {arguments.shown(wait)}: give a number of seconds above 0.")
    automatic = coordinator == "auto"
    if automatic:
        if processes is not None or process is not None:
            raise InputError(
                f"{words('coordinator')} auto takes the number of processes from the cluster: leave out "
                f"{words('processes')} and {words('process')}, or name the coordinator as HOST:PORT."
            )
        host, port, count, index = _detected(wait, words)
    else:
        host, port = _address(coordinator, words)
        count, index = _numbers(processes, process, words)
    if count == 1:
        return
    if _started():
        raise InputError("JAX has looked at its devices already: join before anything is loaded or computed.")
    lines = roll_call.call(host, _call_port(port, automatic), port, index, count, wait, words)
    how: dict[str, Any] = {"initialization_timeout": max(1, round(wait)), "shutdown_timeout_seconds": _SHUTDOWN_SECONDS}
    if not automatic:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        how |= {"coordinator_address": address, "num_processes": count, "process_id": index}
        how["cluster_detection_method"] = "deactivate"
    watch = roll_call.begin(index, count, lines)
    _say_how_it_ends()
    with contextlib.suppress(AttributeError):  # of another version: it would take SIGTERM from `runs.stopping`
        jax.config.update("jax_enable_preemption_service", False)
    watch.section, watch.working = 1, True  # JAX waits for all: whoever goes meanwhile is missed
    try:
        jax.distributed.initialize(**how)
    except Exception as error:
        raise InputError(
            f"JAX cannot join {count} processes at {host}:{port} ({reason(error)}): see that the port is free, and "
            f"choose another in {words('coordinator')}."
        ) from None
    finally:
        watch.working = False


def _say_how_it_ends() -> None:
    """The others are told of an end that is not the run's: an exception that nobody catches, a failed section."""
    atexit.register(_leave)
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        watch = roll_call.watch()
        if watch is not None:
            watch.exit_code = watch.exit_code or 1
            watch.tell(left=(str(error) or kind.__name__)[:500])
        before(kind, error, trace)

    sys.excepthook = hook


def _leave() -> None:
    """The end of a process whose run has failed: not by JAX's own farewell, where it would wait for the others."""
    watch = roll_call.watch()
    if watch is None or watch.exit_code is None:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if watch.index == 0:  # the others have JAX's coordination service from here, and are to end in words of their own
        watch.wait_for_all(roll_call.GRACE_SECONDS + 5.0)
    os._exit(watch.exit_code)


def _started() -> bool:
    try:
        from jax._src import xla_bridge

        return bool(xla_bridge.backends_are_initialized())
    except (ImportError, AttributeError):  # `jax.distributed.initialize` looks for itself
        return False


def _call_port(port: int, automatic: bool) -> int:
    """Where the call is held: beside the coordinator's port. A cluster's jobs of consecutive numbers have consecutive
    ports (SLURM's the last 4096), so there it is as far off as they reach.
    """
    if automatic and port > 8192:
        return port - 4096
    return port + 1 if port < 65535 else port - 1


def _address(coordinator: str, words: Callable[[str], str]) -> tuple[str, int]:
    host, _, port = coordinator.rpartition(":") if isinstance(coordinator, str) else ("", "", "")
    if not (host and port.isascii() and port.isdecimal() and len(port) < 6 and 0 < int(port) < 65536):
        raise InputError(
            f"{words('coordinator')} is {coordinator!r}: give HOST:PORT of process 0, such as node0:9000, or auto."
        )
    return host.strip("[]"), int(port)


def _numbers(processes: int | None, process: int | None, words: Callable[[str], str]) -> tuple[int, int]:
    for name, value in (("processes", processes), ("process", process)):
        if value is None:
            raise InputError(
                f"{words('coordinator')} needs {words(name)}: say how many processes there are by {words('processes')}"
                f" and which one this is, from 0, by {words('process')}."
            )
    assert processes is not None
    assert process is not None
    processes = arguments.whole(words("processes"), processes)
    process = arguments.whole(words("process"), process, 0)
    if processes < 1 or not 0 <= process < processes:
        raise InputError(
            f"{words('process')} is {process} and {words('processes')} {processes}: number the processes from 0 to "
            f"{max(processes - 1, 0)}."
        )
    return processes, process


def _detected(wait: float, words: Callable[[str], str]) -> tuple[str, int, int, int]:
    """(host, port, processes, process) as JAX finds them in the environment."""
    try:
        from jax._src.clusters import ClusterEnv

        address, count, index, _ = ClusterEnv.auto_detect_unset_distributed_params(
            None, None, None, None, None, max(1, round(wait))
        )
    except Exception as error:
        raise InputError(
            f"{words('coordinator')} auto: the cluster's environment cannot be read ({reason(error)}): name the "
            "coordinator as HOST:PORT."
        ) from None
    if address is None or count is None or index is None:
        raise InputError(
            f"{words('coordinator')} auto finds no cluster (SLURM, Open MPI, Cloud TPU, Kubernetes) in the environment"
            f": start the processes by its launcher, such as srun, or give HOST:PORT, {words('processes')} and "
            f"{words('process')}."
        )
    host, port = _address(address, words)
    return host, port, count, index
