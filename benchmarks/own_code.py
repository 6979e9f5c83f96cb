"""What our own machinery is worth: the time a user waits without a piece, over the time with it, in pairs.

    python benchmarks/own_code.py [NAME ...] [--pairs 15] [--out FILE.json]

Each workload below is run with its piece and without it, in turns and in changing order, in one process, so that a busy
machine slows both; what compiles is run once before, unless compilation is what is measured. Told is the median of the
ratios of the pairs, without over with, and a 95 % interval of that median (bootstrap over the pairs), in seconds on the
clock and in processor seconds of all threads. A piece earns its place where the median on the clock is at least 1.10
and the lower end of its interval above 1.05; what did not is deleted, and stands with its ratio in
`benchmarks/README.md`. The workloads named "first" compile in every run. All of them take some ten minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np

from bandit_rft import arms, learners, run, sweep
from bandit_rft.loop import executables, scan

WANTED, WANTED_LOW = 1.10, 1.05
RESAMPLES = 4000
SEEDS, ROUNDS = 64, 10_000
MEANS = np.random.default_rng(0).uniform(size=10).tolist()

Call = Callable[[], object]
Without = Callable[[], AbstractContextManager[Any]]


def without_random_bits() -> AbstractContextManager[Any]:
    return mock.patch.object(scan, "quick", lambda keys: keys)


def without_executables() -> AbstractContextManager[Any]:
    return mock.patch.object(executables, "executable", lambda lowered, structure: lowered.compile())


def forget() -> None:
    """What scans have been compiled."""
    scan._cached.cache_clear()
    executables.forget()


def simulation(learner: Any, *, rounds: int = ROUNDS, cold: bool = False) -> Callable[[], Call]:
    def make() -> Call:
        table = arms.Bernoulli(MEANS)

        def call() -> None:
            if cold:
                forget()
            run(table, learner, rounds=rounds, seeds=SEEDS, key=0)

        return call

    return make


def swept(make_point: Callable[..., Any], **over: list[Any]) -> Callable[[], Call]:
    def make() -> Call:
        def call() -> None:
            forget()
            sweep(make_point, over=over, rounds=1000, seeds=SEEDS, key=0)

        return call

    return make


def equal_table() -> Call:
    def call() -> None:
        forget()
        for _ in range(2):
            run(arms.Bernoulli(MEANS), learners.UCB1(), rounds=1000, seeds=SEEDS, key=0)

    return call


def of_means(table: int) -> Any:
    return arms.Bernoulli(np.random.default_rng(table).uniform(size=10).tolist()), learners.UCB1()


def of_step(step_size: float) -> Any:
    return arms.Bernoulli(MEANS), learners.SoftmaxPolicyGradient(step_size=step_size)


def of_needle(p0: float) -> Any:
    return arms.Needle(log10_arms=100, p0=p0), learners.SoftmaxPolicyGradient(step_size=0.5)


@dataclasses.dataclass(frozen=True)
class Workload:
    """`make` is called once a side, within the side's `without`, and what it returns is what is timed."""

    piece: str
    make: Callable[[], Call]
    without: Without
    pairs: int = 15


WORKLOADS = {
    "ucb1": Workload("random_bits", simulation(learners.UCB1()), without_random_bits),
    "thompson": Workload("random_bits", simulation(learners.ThompsonBeta(), rounds=2000), without_random_bits),
    "softmax": Workload("random_bits", simulation(learners.SoftmaxPolicyGradient(step_size=0.1)), without_random_bits),
    "ucb1-first": Workload("random_bits", simulation(learners.UCB1(), cold=True), without_random_bits, 7),
    "softmax-first": Workload(
        "random_bits",
        simulation(learners.SoftmaxPolicyGradient(step_size=0.1), cold=True),
        without_random_bits,
        7,
    ),
    "sweep-steps": Workload("executables", swept(of_step, step_size=[0.05, 0.1, 0.2, 0.4]), without_executables, 9),
    "sweep-tables": Workload("executables", swept(of_means, table=[1, 2, 3, 4]), without_executables, 9),
    "sweep-needles": Workload("executables", swept(of_needle, p0=[0.02, 0.05, 0.1, 0.2]), without_executables, 9),
    "equal-table": Workload("executables", equal_table, without_executables, 9),
}


def timed(call: Call) -> tuple[float, float]:
    """Seconds on the clock and processor seconds of all threads."""
    start = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def measured(workload: Workload, pairs: int) -> np.ndarray:
    """Float [pairs, 2 (without, with), 2 (clock, processor)]."""
    taken = np.zeros((pairs, 2, 2))
    with workload.without():
        calls = [workload.make()]
        calls[0]()
    calls.append(workload.make())
    calls[1]()
    for pair in range(pairs):
        for side in (0, 1) if pair % 2 else (1, 0):
            if side:
                taken[pair, side] = timed(calls[side])
            else:
                with workload.without():
                    taken[pair, side] = timed(calls[side])
    return taken


def interval(ratios: np.ndarray) -> tuple[float, float, float]:
    """The median, and the ends of its 95 % bootstrap interval."""
    draws = np.random.default_rng(0).choice(ratios, (RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return float(np.median(ratios)), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description="The worth of our own machinery, in pairs with and without.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(WORKLOADS)}; default: all")
    parser.add_argument("--pairs", type=int, help="pairs of each (default: as each workload says)")
    parser.add_argument("--out", type=Path, help="also write the seconds here as JSON")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in WORKLOADS]
    if unknown:
        parser.error(f"{unknown[0]} is no workload: give some of {', '.join(WORKLOADS)}.")

    print(f"{os.cpu_count()} CPUs ({platform.machine()}), jax {jax.__version__} on {jax.default_backend()}", flush=True)
    figures = {}
    for name in options.names or WORKLOADS:
        workload = WORKLOADS[name]
        taken = measured(workload, options.pairs or workload.pairs)
        ratios = taken[:, 0] / taken[:, 1]
        (clock, low, high), (used, used_low, used_high) = (interval(ratios[:, place]) for place in (0, 1))
        earned = clock >= WANTED and low > WANTED_LOW
        print(
            f"{workload.piece:16s} {name:16s} with {np.median(taken[:, 1, 0]):7.3f} s, without "
            f"{np.median(taken[:, 0, 0]):7.3f} s: ratio {clock:.2f} ({low:.2f} to {high:.2f}), of processor seconds "
            f"{used:.2f} ({used_low:.2f} to {used_high:.2f}), {len(taken)} pairs, load {os.getloadavg()[0]:.1f}: "
            f"{'earns its place' if earned else 'does NOT earn its place'}",
            flush=True,
        )
        figures[name] = {"piece": workload.piece, "seconds": taken.tolist(), "ratio": [clock, low, high]}
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
