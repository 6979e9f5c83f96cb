"""A2 on training: how soon one half is right differs from seed to seed, as the exact law of single runs says.

The test was fixed when its runs had been made for A1 already, and before this measure of them was looked at.
"""

import numpy as np

from bandit_rft.experiments import Claim, Effect, Outcome, Results, mean_effect
from simulations.reproduction.experiments import minimalist
from simulations.reproduction.half_times import arrive, unknown

BLOCKS = 16  # of two seeds at least, each with a spread of its own: the units; fewer of fewer seeds


def measure(results: Results) -> dict[str, Effect]:
    """Standard deviation over a block's seeds; without any bound where too few of them get to one half."""
    found = {}
    for label, stratum in results.strata(minimalist).items():
        for outcome in results.outcomes(minimalist, "minimalist", stratum).values():
            rounds = Outcome.rounds_to_half(outcome)
            blocks = np.array_split(rounds, min(BLOCKS, rounds.size // 2))
            effect = mean_effect([block.std(ddof=1) for block in blocks])
            found[label] = effect if arrive(outcome) else unknown(effect)
    return found


CLAIM = Claim(
    id="A2 training",
    statement="Training under the minimalist configuration is random: seeds differ in how soon half is right.",
    source="arXiv 2601.14599",
    experiments=(minimalist,),
    effect="standard deviation over seeds of log2 of the rounds to Pass@1 = .5",
    measure=measure,
    direction="above",
    threshold=0.1,
    tiers=("simulation",),
)
