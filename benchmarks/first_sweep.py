"""Processor microseconds per round of runs that end before every arm was tried: 10^5 arms, 10^3 rounds, 64 seeds.

    python benchmarks/first_sweep.py [--repeats 3] [--root CHECKOUT]

Compilation is left out, and processor time counts all threads. With --root the package is imported from another
checkout, such as a worktree of an earlier commit; run the two in turns, and compare their figures of one sitting.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ARMS, ROUNDS, SEEDS = 100_000, 1_000, 64


def main() -> None:
    parser = argparse.ArgumentParser(description="processor time of first sweeps")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--root", type=Path, help="the checkout to measure; default: the installed package")
    told = parser.parse_args()
    if told.root:
        sys.path.insert(0, str(told.root.resolve()))
    import warnings

    import numpy as np

    from bandit_rft import arms, learners, run

    warnings.simplefilter("ignore")  # that the run ends within its first sweep is what is measured
    table = arms.Bernoulli(np.linspace(0.1, 0.9, ARMS).tolist())
    for learner in (learners.UCB1(), learners.SoftmaxPolicyGradient(step_size=0.1)):
        run(table, learner, ROUNDS, seeds=SEEDS, key=0)
        best = float("inf")
        for _ in range(told.repeats):
            start = time.process_time()
            run(table, learner, ROUNDS, seeds=SEEDS, key=0)
            best = min(best, time.process_time() - start)
        print(f"{type(learner).__name__}: {1e6 * best / ROUNDS:.0f} microseconds a round", flush=True)


if __name__ == "__main__":
    main()
