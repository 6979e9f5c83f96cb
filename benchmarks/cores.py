"""Run a benchmark on so many cores: the process and all that it starts are tied to them before any library is imported.

`pin` sets the affinity, which XLA's and llama.cpp's threads obey, and the thread counts of OpenMP and BLAS, which
torch and NumPy read when they are imported. Threads that wait give way (`OMP_WAIT_POLICY`), so that a library at rest
does not spin beside the one that is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def available() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def pin(cores: int) -> None:
    """Tie this process, and those that it starts, to its first `cores` cores. Call it before JAX, torch or NumPy is
    imported.

    Raises:
        SystemExit: there are fewer.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if not 1 <= cores <= len(allowed):
        raise SystemExit(f"--cores {cores}: give 1 to {len(allowed)}, which this process may use.")
    os.sched_setaffinity(0, allowed[:cores])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(cores)
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def without(arguments: Sequence[str], *options: str) -> list[str]:
    """The command line without these options and their values."""
    kept, skipping = [], False
    for argument in arguments:
        if argument.startswith("--"):
            skipping = argument.partition("=")[0] in options
        if not skipping:
            kept.append(argument)
    return kept


def one_by_one(script: str, arguments: Sequence[str], cores: Sequence[int]) -> list[dict[str, Any]]:
    """What the script writes to --out, run once for each number of cores in a process of its own.

    Raises:
        SystemExit: a run failed; its own message stands above.
    """
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for count in cores:
            out = Path(folder) / f"{count}.json"
            command = [sys.executable, script, *arguments, "--cores", str(count), "--out", str(out)]
            code = subprocess.run(command, check=False).returncode
            if code:
                raise SystemExit(code)
            results.append(json.loads(out.read_text()))
    return results


def on_each(
    script: str,
    told: argparse.Namespace,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    table: Callable[[list[dict[str, Any]]], str],
) -> None:
    """What a benchmark does: measure on `told.cores` cores, or on each of several numbers of them in a process
    of its own; print the table, and write `told.out`."""
    counts = told.cores or [available()]
    if len(counts) > 1:
        results = one_by_one(script, without(sys.argv[1:], "--cores", "--out"), counts)
    else:
        pin(counts[0])
        results = [measure(told)]
    if len(counts) > 1 or told.out is None:
        print("\n" + table(results))
    if told.out:
        told.out.write_text(json.dumps(results[0] if len(counts) == 1 else results, indent=1) + "\n")
