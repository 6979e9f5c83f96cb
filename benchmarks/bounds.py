"""What bounds a round of a simulation, and how far is each cell of `bandits.py` from that bound?

    python benchmarks/bounds.py

For UCB1, Thompson, softmax policy gradient and EXP3 at K = 10, 10^3 (every arm a row) and 10^5 (10^3 rows for the arms
touched), 64 seeds on all cores: the time of a round beside three limits measured in the same run, each on the same
number of rows and seeds.

    dispatch   a round of the same learner on two arms: operations too small to take time of their own
    read       one pass over float64 [seeds, rows]: its maximum
    numbers    what the learner cannot do without for each row: Beta draws (Thompson), exponentials (softmax, EXP3)

"bound" is dispatch + numbers, or dispatch + two reads (UCB1 must read a mean and a width an arm); the last column is
the time over the bound. What is left is the search for the arm drawn, the value of the policy, and the update.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import SweepWarning, arms, learners, run
from bandit_rft.loop.groups import number_of_groups
from bandit_rft.sampling import log_minus_log_beta

SEEDS = 64
CELLS = ((10, 4000), (1000, 2000), (100_000, 1000))
LEARNERS = {
    "UCB1": learners.UCB1(),
    "Thompson": learners.ThompsonBeta(),
    "softmax": learners.SoftmaxPolicyGradient(step_size=0.1),
    "EXP3": learners.EXP3("gain"),
}


def round_time(number_of_arms: int, learner: object, rounds: int, repeats: int) -> float:
    """Seconds of a round of SEEDS seeds, the least of `repeats`, compilation and the history's making excluded."""
    table = arms.Bernoulli(np.random.default_rng(0).random(number_of_arms).tolist())
    times = {}
    for length in (rounds, rounds // 2):
        run(table, learner, length, seeds=SEEDS, key=0)
        best = np.inf
        for repeat in range(repeats):
            start = time.perf_counter()
            run(table, learner, length, seeds=SEEDS, key=1 + repeat)
            best = min(best, time.perf_counter() - start)
        times[length] = best
    return (times[rounds] - times[rounds // 2]) / (rounds - rounds // 2)


def limit_time(work: Callable[[jax.Array, jax.Array], jax.Array], rows: int, repeats: int, rounds: int = 400) -> float:
    """Seconds of a round that does only `work(key, values [rows]) -> scalar` for every seed, on all cores."""
    groups = number_of_groups(SEEDS)
    seeds = SEEDS // groups

    @jax.jit
    def loop(values: jax.Array) -> jax.Array:
        def step(values: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
            keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(0), seed + index))(
                jnp.arange(seeds, dtype=jnp.int32)
            )
            # One entry changes by what was found, so that no round can be left out or moved out of the loop.
            return values.at[:, 0].add(1e-9 * jax.vmap(work)(keys, values)), None

        return jax.lax.scan(step, values, jnp.arange(rounds, dtype=jnp.int32))[0]

    with jax.enable_x64(True):
        values = jnp.full((seeds, rows), 2.0)
        compiled = loop.lower(values).compile()
        best = np.inf
        with ThreadPoolExecutor(groups) as threads:
            for _ in range(repeats + 1):
                start = time.perf_counter()
                list(threads.map(lambda _: jax.block_until_ready(compiled(values)), range(groups)))
                best = min(best, time.perf_counter() - start)
    return best / rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore", SweepWarning)
    print(f"microseconds a round of {SEEDS} seeds")
    print(
        f"{'':10s}{'K':>8s}{'round':>9s}{'dispatch':>10s}{'read':>8s}{'numbers':>9s}{'bound':>8s}{'round/bound':>13s}"
    )
    for number_of_arms, rounds in CELLS:
        rows = min(number_of_arms, rounds + 1)
        read = limit_time(lambda key, values: jnp.max(values), rows, repeats)
        beta = limit_time(lambda key, values: jnp.min(log_minus_log_beta(key, values, values)), rows, repeats)
        exponential = limit_time(lambda key, values: jnp.sum(jnp.exp(-values)), rows, repeats)
        for name, learner in LEARNERS.items():
            taken = round_time(number_of_arms, learner, rounds, repeats)
            dispatch = round_time(2, learner, 4000, repeats)
            numbers = {"Thompson": beta, "softmax": exponential, "EXP3": exponential}.get(name, 2 * read)
            bound = dispatch + numbers
            row = (taken, dispatch, read, numbers, bound)
            cells = "".join(f"{1e6 * x:>{w}.1f}" for x, w in zip(row, (9, 10, 8, 9, 8), strict=True))
            print(f"{name:10s}{number_of_arms:>8d}{cells}{taken / bound:>13.2f}", flush=True)


if __name__ == "__main__":
    main()
