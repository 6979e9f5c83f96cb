"""One peer's cell of the table that `bandits.py` prints: runs inside that peer's own environment.

    python bandits_peer.py LIBRARY ALGORITHM ARMS ROUNDS SECONDS SEED [--after-a-sweep]

Bernoulli arms, one repetition, at most SECONDS of pulling; prints one JSON object with the pulls made, the seconds
that they took, and the last cumulative pseudo-regret. Each loop is the one that the library's own simulator runs (the
body of SMPyBandits' `delayed_play`, of mabby's `Simulation._run_trials_for_agent`; `predict` and `partial_fit` as
mabwiser's documentation has them), with the library's own arms where it has them. The simulators' bookkeeping is left
out in the peers' favour: their regret curves cost O(K) a pull (mabby) and O(K²T) in all (SMPyBandits); here it is one
cumulative sum in NumPy.

PyMAB is measured by its own `Experiment`, whose loop is in Rust and plays up to 64 replicates at once.

`--after-a-sweep`: every arm has been pulled once before the clock starts. Where K > T nothing else than the first sweep
would be timed, and some peers skip their index in it. mabwiser, which learns from logged pulls and never tries an arm
that it has not seen, is given that sweep wherever K ≤ T.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Choose = Callable[[], int]
Learn = Callable[[int, float], None]
Draw = Callable[[int], float]


def smpybandits(algorithm: str, means: np.ndarray, swept: np.ndarray | None, seed: int) -> tuple[Choose, Learn, Draw]:
    from SMPyBandits.Arms import Bernoulli
    from SMPyBandits.Policies import UCB, Exp3, Softmax, Thompson

    np.random.seed(seed)  # noqa: NPY002 - the library draws from NumPy's global state
    arms = [Bernoulli(mean) for mean in means]
    policy = {"UCB1": UCB, "Thompson": Thompson, "softmax": Softmax, "EXP3": Exp3}[algorithm](len(means))
    policy.startGame()
    if swept is not None:
        if algorithm == "EXP3":
            policy.t = len(means)  # its update costs O(K), and equal weights are as good a start
        else:
            for arm, reward in enumerate(swept):
                policy.getReward(arm, reward)
    return policy.choice, policy.getReward, lambda arm: arms[arm].draw()


def mabby(algorithm: str, means: np.ndarray, swept: np.ndarray | None, seed: int) -> tuple[Choose, Learn, Draw]:
    import mabby as library
    from mabby.strategies import BetaTSStrategy, UCB1Strategy

    bandit = library.BernoulliArm.bandit(p=means.tolist(), seed=seed)
    # Its index is Q + alpha sqrt(ln t / N): UCB1's at alpha = √2.
    strategy = {"UCB1": lambda: UCB1Strategy(alpha=2**0.5), "Thompson": BetaTSStrategy}[algorithm]()
    agent = library.Agent(strategy)
    generator = np.random.default_rng(seed)
    agent.prime(len(means), 10**6, generator)
    for arm, reward in enumerate(swept if swept is not None else ()):
        strategy.update(arm, reward, generator)
    return agent.choose, lambda arm, reward: agent.update(reward), bandit.play


def mabwiser(algorithm: str, means: np.ndarray, swept: np.ndarray | None, seed: int) -> tuple[Choose, Learn, Draw]:
    from mabwiser.mab import MAB, LearningPolicy

    policy = {
        "UCB1": lambda: LearningPolicy.UCB1(alpha=1),
        "Thompson": LearningPolicy.ThompsonSampling,
        "softmax": lambda: LearningPolicy.Softmax(tau=0.1),
    }[algorithm]()
    bandit = MAB(list(range(len(means))), policy, seed=seed)
    draw = np.random.default_rng(seed)
    # `predict` needs a `fit` first: of one pull, or of the sweep.
    first = np.arange(len(means)) if swept is not None else np.zeros(1, int)
    bandit.fit(first, swept if swept is not None else (draw.random(1) < means[0]).astype(int))
    return (
        bandit.predict,
        lambda arm, reward: bandit.partial_fit([arm], [reward]),
        lambda arm: int(draw.random() < means[arm]),
    )


def pymab_run(algorithm: str, means: np.ndarray, rounds: int, replicates: int, seed: int) -> tuple[float, float]:
    """(seconds, last cumulative regret) of PyMAB's own experiment, whose loop over all replicates is in Rust."""
    import pymab
    from pymab import policies

    make = {
        "UCB1": policies.UCBPolicy,
        "Thompson": policies.BernoulliThompsonSamplingPolicy,
        "softmax": policies.GradientBanditPolicy,
        "EXP3": policies.EXP3Policy,
    }[algorithm]
    start = time.perf_counter()
    result = pymab.Experiment(
        environment=pymab.BanditEnvironment(means, pymab.BernoulliReward()),
        policies={algorithm: make(n_arms=len(means))},
        config=pymab.ExperimentConfig(horizon=rounds, n_replicates=replicates, seed=seed),
    ).run()
    regret = float(np.ravel(result.cumulative_regret)[-1])
    return time.perf_counter() - start, regret


def measure_pymab(algorithm: str, arms: int, rounds: int, cap: float, seed: int, most: int = 64) -> dict[str, Any]:
    """As many replicates of the whole horizon as the cap leaves room for, `most` at most; a shorter horizon where not
    even one fits. The first, short run is not counted: it warms the library up and says how long a pull takes.
    """
    means = means_of(arms)
    trial = min(rounds, max(10, 100_000 // arms))
    pymab_run(algorithm, means, trial, 1, seed)
    a_pull = pymab_run(algorithm, means, trial, 1, seed)[0] / trial
    # Its table of rewards holds every arm in every round and replicate: 2 GiB of it at most.
    room = min(cap / a_pull, 2**28 / arms)
    horizon = min(rounds, max(trial, int(room)))
    replicates = min(most, max(1, int(room / horizon)))
    seconds, regret = pymab_run(algorithm, means, horizon, replicates, seed)
    version = importlib.metadata.version("pymab")
    return {"version": version, "pulls": horizon * replicates, "seconds": seconds, "final_regret": regret}


LIBRARIES: dict[str, tuple[str, Callable[..., tuple[Choose, Learn, Draw]], tuple[str, ...]]] = {
    "SMPyBandits": ("SMPyBandits", smpybandits, ("UCB1", "Thompson", "softmax", "EXP3")),
    "mabby": ("mabby", mabby, ("UCB1", "Thompson")),
    "mabwiser": ("mabwiser", mabwiser, ("UCB1", "Thompson", "softmax")),
}
ALL = (*LIBRARIES, "PyMAB")


def means_of(arms: int) -> np.ndarray:
    """The K true means, the same for every library: uniform on [0, 1]."""
    return np.random.default_rng(0).random(arms)


def measure(
    library: str, algorithm: str, arms: int, rounds: int, cap: float, seed: int, after_a_sweep: bool
) -> dict[str, Any]:
    if library == "PyMAB":
        # Its loop starts where it starts: there is no way to hand it a sweep.
        return {"absent": True} if after_a_sweep else measure_pymab(algorithm, arms, rounds, cap, seed)
    package, make, algorithms = LIBRARIES[library]
    if algorithm not in algorithms:
        return {"absent": True}
    means = means_of(arms)
    sweep = after_a_sweep or (library == "mabwiser" and arms <= rounds)
    swept = (np.random.default_rng(seed + 1).random(arms) < means).astype(int) if sweep else None
    with contextlib.redirect_stdout(io.StringIO()):
        choose, learn, draw = make(algorithm, means, swept, seed)
    pulled = np.empty(rounds, np.int64)
    start = time.perf_counter()
    pulls, elapsed = 0, 0.0
    while pulls < rounds and elapsed < cap:
        arm = choose()
        learn(arm, draw(arm))
        pulled[pulls] = arm
        pulls += 1
        elapsed = time.perf_counter() - start
    regret = np.cumsum(means.max() - means[pulled[:pulls]])
    seconds = time.perf_counter() - start
    version = importlib.metadata.version(package)
    return {"version": version, "pulls": pulls, "seconds": seconds, "final_regret": float(regret[-1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=ALL)
    parser.add_argument("algorithm")
    parser.add_argument("arms", type=int)
    parser.add_argument("rounds", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("seed", type=int)
    parser.add_argument("--after-a-sweep", action="store_true")
    told = parser.parse_args()
    result = measure(told.library, told.algorithm, told.arms, told.rounds, told.seconds, told.seed, told.after_a_sweep)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
