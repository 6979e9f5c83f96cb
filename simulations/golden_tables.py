"""Every learner on every arm set that it plays, with the numbers that came out, to be compared on another platform.

    python -m simulations.golden_tables                      run all here and compare (minutes)
    python -m simulations.golden_tables "UCB1, Drifting"     these alone
    python -m simulations.golden_tables --write              run all here and write tests/bandit_rft/golden_tables.json

JAX's random bits are integers, the same on every platform, but exponentials, logarithms and sums may differ in their
last bits from one processor to another. So a pair is "identical" where all its rewards and values are equal to the
bit, "equal" where each seed's sum of rewards and last values agree within `TOLERANCE`, which simulations in float64
leave far below, and "different" otherwise. A difference is either a fault, or a draw that fell within a rounding error
of a boundary: its seed then goes another way from that round on. Nothing else is tolerated.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import warnings
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bandit_rft import run
from bandit_rft.errors import SweepWarning
from bandit_rft.runs import write_atomically
from simulations.support_table import ARM_SETS, LEARNERS, supported

TABLES = Path(__file__).resolve().parents[1] / "tests" / "bandit_rft" / "golden_tables.json"
ROUNDS, SEEDS, KEY = 60, 4, 501
TOLERANCE = 1e-9  # relative, of sums of rewards and of values

Table = dict[str, Any]


def pairs() -> list[tuple[str, str]]:
    """(learner, arm set) of all that bind."""
    return [
        (learner, arm_set)
        for learner in LEARNERS
        for arm_set in ARM_SETS
        if supported(LEARNERS[learner], ARM_SETS[arm_set], ROUNDS)
    ]


def table_of(learner: str, arm_set: str) -> Table:
    """What a pair gives here.

    Returns:
        rewards: each seed's sum of rewards. values: each seed's last value, None where it has none. digest: CRC-32 of
        all rewards and values, float64.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SweepWarning)
        history = run(ARM_SETS[arm_set], LEARNERS[learner], rounds=ROUNDS, seeds=SEEDS, key=KEY)
    values = [float(value) if math.isfinite(value) else None for value in history.value[:, -1]]
    digest = zlib.crc32(history.value.tobytes(), zlib.crc32(history.rewards.tobytes()))
    return {"rewards": history.rewards.sum(axis=(1, 2)).tolist(), "values": values, "digest": digest}


def compared(here: Table, golden: Table) -> str:
    """Whether a table is "identical", "equal" or "different"."""
    if here["digest"] == golden["digest"]:
        return "identical"
    for name in ("rewards", "values"):
        a, b = (np.array(one[name], float) for one in (here, golden))
        if not np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            return "different"
    return "equal"


def written() -> dict[str, Any]:
    """The tables that stand in the checkout, with the platform that made them."""
    return json.loads(TABLES.read_text())


def write(found: dict[str, Table]) -> None:
    """Put tables, a line each, where `written` finds them."""
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(one)}" for name, one in found.items())
    told = {"platform": f"{platform.machine()}, {jax.default_backend()}", "jax": jax.__version__}
    head = json.dumps(told | {"rounds": ROUNDS, "seeds": SEEDS, "key": KEY})[:-1]
    write_atomically(TABLES, f'{head}, "tables": {{\n{lines}\n}}}}\n')


def main(options: Iterable[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the tables instead of comparing with them")
    parser.add_argument("pairs", nargs="*", help='such as "UCB1, Drifting" (default: all)')
    told = parser.parse_args(list(options))
    known = [f"{learner}, {arm_set}" for learner, arm_set in pairs()]
    if unknown := set(told.pairs) - set(known):
        parser.error(f"no pair {', '.join(map(repr, sorted(unknown)))}: give a learner and an arm set that it plays.")
    if told.write and told.pairs:
        parser.error("--write writes all pairs: leave them out.")
    golden = {} if told.write else written()["tables"]
    found: dict[str, Table] = {}
    verdicts: dict[str, str] = {}
    for name in told.pairs or known:
        found[name] = table_of(*name.split(", "))
        verdicts[name] = compared(found[name], golden[name]) if name in golden else "new"
        if not told.write and verdicts[name] != "identical":
            print(f"{name}: {verdicts[name]}", flush=True)
        jax.clear_caches()
    if told.write:
        write(found)
        return 0
    counts = {word: list(verdicts.values()).count(word) for word in ("identical", "equal", "different", "new")}
    print(f"{len(verdicts)} pairs on {platform.machine()}, {jax.default_backend()}, jax {jax.__version__}: {counts}")
    return int(counts["different"] + counts["new"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
