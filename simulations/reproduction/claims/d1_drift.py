"""PSR and NSR have the same mean update, E[(r - 1) s] = E[r s], since E[s] = 0."""

import numpy as np

from bandit_rft.experiments import Claim, Effect, Outcome, Results
from simulations.reproduction.claims.d1_path import exact_gradients
from simulations.reproduction.experiments import diversity

EARLY = 20  # rounds, before the two policies have become different ones


def rise(outcome: Outcome) -> np.ndarray:
    """What Pass@1 gains in the first rounds, over what exact gradients give."""
    law = exact_gradients(EARLY + 1)
    return (outcome.train[:, EARLY] - outcome.train[:, 0]) / (law[EARLY] - law[0])


def measure(results: Results) -> dict[str, Effect]:
    """Groups of 64, whose mean has little noise."""
    return results.paired(diversity, "failures alone, 64 rollouts", "successes alone, 64 rollouts", rise)


CLAIM = Claim(
    id="D1 drift",
    statement="Failures alone move Pass@1 as fast in the mean as successes alone do.",
    source="the identity E[(r-1)s] = E[r s] of this project",
    experiments=(diversity,),
    effect="rise of Pass@1 in 20 rounds over that of exact gradients, failures alone less successes alone",
    measure=measure,
    direction="within",
    margin=0.1,
    expected=lambda: {"all": 0.0},
    tiers=("simulation",),
)
