"""Pulls a second, ours against SMPyBandits, mabby, mabwiser and PyMAB, end to end: pulling and the regret curve.

    python benchmarks/bandits.py --environments DIR [--out FILE.json]      make the peers' environments, measure all
    python benchmarks/bandits.py --peer-python mabby=PYTHON … [--side peers|ours] [--peers-from FILE.json]
    python benchmarks/bandits.py --memory                                  10^4 seeds x 10^3 rounds at 10^100 arms

Bernoulli arms with means drawn once from U[0, 1]; UCB1, Thompson sampling with Beta(1, 1), softmax and EXP3; K = 10
and 10^3 with T = 10^4, K = 10^5 with T = 10^3. Ours: `run` with 64 seeds and the mean of `History.regret`, on all
cores, compile time told apart. Peers: one repetition each on one core (they have no other; PyMAB up to 64 replicates at
once), at most `--cap` seconds of pulling a repeat (the pulls made are in the JSON), by `bandits_peer.py` in their own
environments. A rate is the median of the repeats, which take turns library by library.

Where K > T the peers are timed twice: from the start (their first sweep over fresh arms), and after that sweep ("w"),
which is what a run long enough to learn would meet. Ours starts fresh in both. "softmax" is each library's own: ours
and PyMAB's the policy gradient (step 0.1), SMPyBandits' and mabwiser's the Boltzmann rule on mean rewards.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import peers
from bandits_peer import ALL, means_of

CELLS = ((10, 10_000), (1_000, 10_000), (100_000, 1_000))
ALGORITHMS = ("UCB1", "Thompson", "softmax", "EXP3")
SEEDS = 64
# SMPyBandits 0.9.7 imports names that SciPy 1.14, NumPy 2 and setuptools 80 took away.
REQUIREMENTS = {
    "SMPyBandits": ("SMPyBandits==0.9.7", "scipy<1.14", "numpy<2", "matplotlib", "seaborn", "setuptools<80"),
    "mabby": ("mabby==0.1.2",),
    "mabwiser": ("mabwiser==2.7.4",),
    "PyMAB": ("pymab==2.0.1",),
}
# The floor set for this project: our pulls per second over the fastest peer's, by algorithm and K; and over a peer that
# counts through its first sweep.
WANTED_IN_A_SWEEP = 5.0
WANTED = {10: 100.0, 1_000: 20.0, 100_000: 20.0}
WANTED_THOMPSON = {10: 20.0, 1_000: 5.0, 100_000: 300.0}
MEMORY_WANTED = {"peak_gib": 2.0, "seconds": 60.0}


# --------------------------------------------------------------------------------------------------------------- peers


def peer_cell(python: Path, library: str, task: tuple[str, int, int], cap: float, seed: int, warm: bool) -> Any:
    algorithm, arms, rounds = task
    command = [str(python), str(Path(__file__).with_name("bandits_peer.py")), library, algorithm]
    command += [str(arms), str(rounds), str(cap), str(seed), *(["--after-a-sweep"] if warm else [])]
    # One thread: the arrays are too small for more, and the peers' vectors would otherwise wait on one another.
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env={**clean, **one_thread}, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure_peers(pythons: dict[str, Path], told: argparse.Namespace) -> list[dict[str, Any]]:
    cells = []
    for arms, rounds in told.cells:
        for algorithm in told.algorithms:
            for warm in (False, True) if arms > rounds else (False,):
                results: dict[str, list[dict[str, Any]]] = {library: [] for library in pythons}
                for repeat in range(told.repeats):
                    for library, python in pythons.items():
                        task = (algorithm, arms, rounds)
                        results[library].append(peer_cell(python, library, task, told.cap, repeat, warm))
                for library, repeats in results.items():
                    if "absent" in repeats[0]:
                        continue
                    cell = {"library": library, "algorithm": algorithm, "arms": arms, "rounds": rounds}
                    cells.append({**cell, "after_a_sweep": warm, **summary(repeats)})
                    print(line(cells[-1]), flush=True)
    return cells


def summary(repeats: list[dict[str, Any]]) -> dict[str, Any]:
    if any("failed" in repeat for repeat in repeats):
        return {"failed": next(repeat["failed"] for repeat in repeats if "failed" in repeat)}
    rates = [repeat["pulls"] / repeat["seconds"] for repeat in repeats]
    return {"pulls_a_second": statistics.median(rates), "rates": rates, "repeats": repeats}


def line(cell: dict[str, Any]) -> str:
    when = " after a sweep" if cell.get("after_a_sweep") else ""
    head = f"{cell['library']:12s} {cell['algorithm']:9s} K = {cell['arms']:<7d} T = {cell['rounds']:<6d}"
    if "pulls_a_second" not in cell:
        return f"{head} {cell.get('failed', 'absent')}"
    made = cell["repeats"][0]["pulls"]
    return f"{head} {cell['pulls_a_second']:>12,.0f} pulls per second ({made:,} made{when})"


# ---------------------------------------------------------------------------------------------------------------- ours


def our_learner(algorithm: str) -> Any:
    """None where this version of the package lacks it."""
    from bandit_rft import learners

    name, arguments = {
        "UCB1": ("UCB1", {}),
        "Thompson": ("ThompsonBeta", {}),
        "softmax": ("SoftmaxPolicyGradient", {"step_size": 0.1}),
        "EXP3": ("EXP3", {"form": "gain"}),
    }[algorithm]
    factory = getattr(learners, name, None)
    return None if factory is None else factory(**arguments)


def measure_ours(told: argparse.Namespace) -> list[dict[str, Any]]:
    from bandit_rft import arms as arm_sets
    from bandit_rft import run

    cells = []
    for arms, rounds in told.cells:
        table = arm_sets.Bernoulli(means_of(arms).tolist())
        for algorithm in told.algorithms:
            cell = {"library": "bandit_rft", "algorithm": algorithm, "arms": arms, "rounds": rounds}
            learner = our_learner(algorithm)
            if learner is None:
                cells.append({**cell, "absent": True})
                print(line(cells[-1]), flush=True)
                continue

            def once(seed: int, table: Any = table, learner: Any = learner, rounds: int = rounds) -> dict[str, Any]:
                start = time.perf_counter()
                history = run(table, learner, rounds=rounds, seeds=told.seeds, key=seed)
                regret = history.regret("pulled").mean(axis=0)
                seconds = time.perf_counter() - start
                return {"pulls": told.seeds * rounds, "seconds": seconds, "final_regret": float(regret[-1])}

            first = once(0)
            repeats = [once(1 + repeat) for repeat in range(told.repeats)]
            outcome = {**summary(repeats), "first_call_seconds": first["seconds"], "seeds": told.seeds}
            cells.append({**cell, **outcome})
            print(f"{line(cells[-1])}, first call {first['seconds']:.1f} s", flush=True)
    return cells


def memory() -> dict[str, Any]:
    """Peak memory and time of the widest simulation promised, in this process: call it in a fresh one."""
    from bandit_rft import arms, learners, run

    needle, learner = arms.Needle(log10_arms=100, p0=0.05), learners.SoftmaxPolicyGradient(step_size=0.1)
    start = time.perf_counter()
    history = run(needle, learner, rounds=1_000, seeds=10_000, key=0)
    history.regret().mean(axis=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seeds": 10_000, "rounds": 1_000, "peak_gib": peak, "seconds": time.perf_counter() - start}


# --------------------------------------------------------------------------------------------------------------- table


def compare(ours: list[dict[str, Any]], peers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Our rate over the fastest peer's in every cell; where K > T, over its rate after a sweep and over its sweep."""
    rows = []
    for cell in ours:
        same = [
            peer
            for peer in peers
            if all(peer[name] == cell[name] for name in ("algorithm", "arms", "rounds")) and "pulls_a_second" in peer
        ]
        wanted = WANTED_THOMPSON[cell["arms"]] if cell["algorithm"] == "Thompson" else WANTED[cell["arms"]]
        for warm in sorted({peer["after_a_sweep"] for peer in same}):
            best = max((p for p in same if p["after_a_sweep"] == warm), key=lambda p: p["pulls_a_second"])
            if "pulls_a_second" not in cell:
                continue
            ratio = cell["pulls_a_second"] / best["pulls_a_second"]
            row = {name: cell[name] for name in ("algorithm", "arms", "rounds")}
            row |= {"ours": cell["pulls_a_second"], "fastest_peer": best["library"], "after_a_sweep": warm}
            # A peer in its first sweep counts; Thompson sampling makes none.
            counting = cell["arms"] > cell["rounds"] and not warm and cell["algorithm"] != "Thompson"
            floor = WANTED_IN_A_SWEEP if counting else wanted
            rows.append({**row, "peer": best["pulls_a_second"], "ratio": ratio, "wanted": floor})
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    print(f"\n{'algorithm':10s}{'K':>8s}{'T':>8s}{'ours':>14s}{'fastest peer':>28s}{'ratio':>10s}{'wanted':>8s}")
    for row in rows:
        peer = f"{row['fastest_peer']} {row['peer']:,.0f}{'w' if row['after_a_sweep'] else ''}"
        print(
            f"{row['algorithm']:10s}{row['arms']:>8d}{row['rounds']:>8d}{row['ours']:>14,.0f}{peer:>28s}"
            f"{row['ratio']:>10.1f}{row['wanted']:>8.0f}"
        )
    if rows:
        print("pulls per second; w: the peer's rate once every arm has been pulled")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peers.add_arguments(parser, ALL)
    parser.add_argument("--peers-from", type=Path, help="take the peers' side from an earlier --out of this machine")
    parser.add_argument("--side", choices=("both", "peers", "ours"), default="both")
    parser.add_argument("--arms", type=int, nargs="+", choices=[cell[0] for cell in CELLS], default=None)
    parser.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=list(ALGORITHMS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of ours")
    parser.add_argument("--cap", type=float, default=10.0, help="seconds of pulling a repeat of a peer's cell")
    parser.add_argument("--memory", action="store_true", help="measure the peak memory of a wide simulation instead")
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    told.cells = [cell for cell in CELLS if told.arms is None or cell[0] in told.arms]
    return told


def peer_pythons(told: argparse.Namespace) -> dict[str, Path]:
    """Each peer's interpreter; one that cannot be had is left out with a sentence."""
    if told.environments is None and not told.peer_python:
        sys.exit("Say where the peers are: --environments DIR (made where missing) or --peer-python LIBRARY=PYTHON.")
    wanted = ALL if told.environments is not None else tuple(peers.named_pythons(told.peer_python, ALL))
    pythons = {}
    for library in wanted:
        try:
            pythons[library] = peers.python_of(library, REQUIREMENTS[library], told, ALL)
        except peers.Missing as reason:
            print(reason, flush=True)
    return pythons


def main() -> None:
    told = arguments()
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    if told.memory:
        result = {**machine, "memory": memory(), "wanted": MEMORY_WANTED}
        print(json.dumps(result, indent=2))
    else:
        theirs: list[dict[str, Any]] = []
        if told.peers_from is not None:
            theirs = json.loads(told.peers_from.read_text())["peers"]
        elif told.side != "ours":
            theirs = measure_peers(peer_pythons(told), told)
        ours = measure_ours(told) if told.side != "peers" else []
        rows = compare(ours, theirs)
        show(rows)
        result = {**machine, "cap_seconds": told.cap, "ours": ours, "peers": theirs, "ratios": rows}
    if told.out is not None:
        told.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
