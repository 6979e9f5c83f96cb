"""Does simulation cost depend on the number of arms? It must not: rows hold the arms touched, never K.

    python benchmarks/simulate.py

Times `run` at 10^3, 10^100 and 10^100000 arms with one row capacity, in turn, compile time excluded (a first run of
each), and prints each time's ratio to the one at 10^3 (median of paired repetitions), with the peak memory of the whole
process after each.
"""

from __future__ import annotations

import resource
import statistics
import time
import warnings

from bandit_rft import SweepWarning, arms, learners, run

ROUNDS, SEEDS, CAPACITY, REPEATS = 400, 128, 402, 7
CASES = {
    "softmax PG, raw": learners.SoftmaxPolicyGradient(step_size=0.5),
    "softmax PG, GRPO 4": learners.SoftmaxPolicyGradient(step_size=0.5, signal="grpo", rollouts=4),
    "UCB1": learners.UCB1(),
}
EXPONENTS = (3, 100, 100_000)


def main() -> None:
    warnings.simplefilter("ignore", SweepWarning)  # UCB1 is timed, not judged
    print(f"{ROUNDS} rounds x {SEEDS} seeds, {REPEATS} paired repetitions; time over that at 10^3 (median, min to max)")
    for name, learner in CASES.items():
        capacity = CAPACITY * learner.rollouts if hasattr(learner, "rollouts") else CAPACITY
        tables = {exponent: arms.Needle(log10_arms=exponent, p0=0.05) for exponent in EXPONENTS}
        times: dict[int, list[float]] = {exponent: [] for exponent in EXPONENTS}
        for repeat in range(REPEATS + 1):
            for exponent, table in tables.items():
                start = time.perf_counter()
                run(table, learner, rounds=ROUNDS, seeds=SEEDS, key=repeat, row_capacity=capacity)
                if repeat:  # the first of each compiles
                    times[exponent].append(time.perf_counter() - start)
        for exponent in EXPONENTS:
            ratios = [a / b for a, b in zip(times[exponent], times[EXPONENTS[0]], strict=True)]
            rate = ROUNDS * SEEDS / statistics.median(times[exponent])
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            print(
                f"{name:20s} 10^{exponent:<6d} {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                f"   {rate:.3g} rounds a second   peak {memory:.0f} MiB"
            )


if __name__ == "__main__":
    main()
