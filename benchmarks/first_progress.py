"""Seconds from the start of `bandit-rft finetune` to its first progress, with warm caches, on a terminal of its own.

    python benchmarks/first_progress.py [--models smollm2-135m tiny-llama] [--repeats 2] [--out FILE] [-- OPTION …]

Each run is a process of its own on a pseudo-terminal, so that progress is shown, in a run folder of its own. Told are
the seconds until

    line            the first character of the progress line: imports, weights, tokenizer and run folder are done
    first responses the first count, of responses sampled or of rounds: something is compiled, and the model has spoken
    first round     the first count of rounds: evaluation before the run and the first round are done too

and the processor seconds of the process at that time, which say more on a busy machine. The process is ended there.
Wanted of the first two is WANTED_SECONDS; the third waits for an evaluation whose size is an option
(`--train-samples`). The first run of each model fills the caches (downloads, compiled functions) and is told apart.
Options after `--` are handed on to `finetune`; by default its own defaults hold.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import select
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

WANTED_SECONDS = 30.0
PATIENCE_SECONDS = 900.0
TASK = ["--prompt", "What is 2 + 3? Answer with a number.", "--answer", "5"]
MARKS = {
    "line": re.compile(rb"fine-tuning: "),
    "first responses": re.compile(rb": [1-9]\d*/\d+ (responses|rounds)"),
    "first round": re.compile(rb"fine-tuning: \d+/\d+ rounds"),
}


def processor_seconds(process: int) -> float:
    """User and system time of a process and its threads so far (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_to_progress(model: str, options: list[str], folder: str) -> dict[str, tuple[float, float]]:
    """(seconds, processor seconds) until each of the marks."""
    command = [sys.executable, "-m", "bandit_rft.cli", "finetune", "--model", model, *TASK, "--out", folder, *options]
    started = time.monotonic()
    process, terminal = pty.fork()
    if process == 0:
        os.execv(command[0], command)
    shown, found = b"", {}
    try:
        while len(found) < len(MARKS):
            if time.monotonic() - started > PATIENCE_SECONDS:
                raise SystemExit(f"{model}: no progress in {PATIENCE_SECONDS:.0f} s")
            if not select.select([terminal], [], [], 1.0)[0]:
                continue
            try:
                new = os.read(terminal, 4096)
            except OSError:  # the other end is closed
                new = b""
            if not new:
                raise SystemExit(f"{model}: ended before its first round:\n{shown.decode(errors='replace')}")
            shown += new
            for name, mark in MARKS.items():
                if name not in found and mark.search(shown):
                    found[name] = time.monotonic() - started, processor_seconds(process)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds to the first progress of bandit-rft finetune.")
    parser.add_argument("--models", nargs="+", default=["smollm2-135m", "tiny-llama"])
    parser.add_argument("--repeats", type=int, default=2, help="with warm caches")
    parser.add_argument("--out", type=Path, help="also write the figures here as JSON")
    parser.add_argument("options", nargs="*", help="handed on to finetune, after --")
    arguments = parser.parse_args()

    figures: dict[str, list[dict[str, tuple[float, float]]]] = {}
    for model in arguments.models:
        figures[model] = []
        for repeat in range(arguments.repeats + 1):
            with tempfile.TemporaryDirectory() as folder:
                found = start_to_progress(model, arguments.options, str(Path(folder) / "run"))
            figures[model].append(found)
            told = ", ".join(f"{name} {wall:.1f} s ({used:.1f} of processor)" for name, (wall, used) in found.items())
            print(f"{model}, {'warm' if repeat else 'first'}: {told}; load {os.getloadavg()[0]:.1f}", flush=True)
        warm = figures[model][1:]
        for name in MARKS if warm else ():
            median = statistics.median(run[name][0] for run in warm)
            verdict = f", within {WANTED_SECONDS:.0f} s wanted: {'met' if median <= WANTED_SECONDS else 'MISSED'}"
            print(f"{model}: {name} after {median:.1f} s{verdict if name != 'first round' else ''}")
    if arguments.out:
        arguments.out.write_text(json.dumps({"seconds_and_processor_seconds": figures}, indent=2))


if __name__ == "__main__":
    main()
