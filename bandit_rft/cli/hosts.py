"""Options of the commands that several processes can run together, on one host or on many."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator

from bandit_rft.errors import InputError
from bandit_rft.settings.options import count, number, whole

_NAMES = {"wait": "--join-wait"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options, in a group of their own; none is part of a run's configuration."""
    group = parser.add_argument_group("several processes (the same command in each; see the how-tos)")
    group.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="join the others at process 0's host, of which this port and the next are used; auto: as SLURM, Open MPI, "
        "Cloud TPU or Kubernetes say (default: none, a run of one process)",
    )
    group.add_argument("--processes", type=count, metavar="N", help="how many processes there are (default: none)")
    group.add_argument(
        "--process", type=whole, metavar="I", help="which of them this one is, from 0; 0 writes (default: none)"
    )
    group.add_argument("--join-wait", type=number, metavar="S", help="seconds for all processes to join (default: 300)")


@contextlib.contextmanager
def joined(arguments: argparse.Namespace) -> Iterator[None]:
    """The command's work, once all processes are there; where one ends before its time, the others end too.

    Raises:
        InputError: options that do not go together, or a process that is missing.
    """
    if arguments.coordinator is None:
        for name in ("processes", "process", "join_wait"):
            if getattr(arguments, name) is not None:
                raise InputError(
                    f"--{name.replace('_', '-')} is for several processes: give --coordinator HOST:PORT too, the same "
                    "in all."
                )
        yield
        return
    from llm_bridge import hosts

    how = {} if arguments.join_wait is None else {"wait": arguments.join_wait}
    hosts.join(
        arguments.coordinator,
        arguments.processes,
        arguments.process,
        words=lambda name: _NAMES.get(name, f"--{name}"),
        **how,
    )
    with hosts.together():
        yield
