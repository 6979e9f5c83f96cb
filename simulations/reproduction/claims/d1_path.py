"""NSR follows the path of exact gradients: its noise lies in the wrong arms."""

import functools

import numpy as np

from bandit_rft import theory
from bandit_rft.experiments import Claim, Effect, Outcome, Results
from simulations.reproduction.experiments import SMALL, diversity
from simulations.reproduction.tables import SMALL_ARMS, SMALL_CORRECT


@functools.lru_cache
def exact_gradients(rounds: int) -> np.ndarray:
    """float64 [T], Pass@1 before each round, of `theory.pg_ode`."""
    kappa = 1 / SMALL_CORRECT + 1 / (SMALL_ARMS - SMALL_CORRECT)
    law = theory.pg_ode(
        SMALL_CORRECT / SMALL_ARMS,
        SMALL["step"] / kappa,
        rounds,
        optimal=SMALL_CORRECT,
        log_arms=float(np.log(SMALL_ARMS)),
    )
    return np.asarray(law.value)


def from_path(outcome: Outcome) -> np.ndarray:
    """float64 [S], largest distance of Pass@1 from the law over the rounds."""
    law = exact_gradients(outcome.train.shape[1])
    return np.abs(outcome.train - law).max(axis=1)


def measure(results: Results) -> dict[str, Effect]:
    """One rollout a round."""
    return results.level(diversity, "failures alone", from_path)


CLAIM = Claim(
    id="D1 path",
    statement="From failures alone, each run follows the path of exact gradients.",
    source="this project, of NSR (arXiv 2506.01347)",
    experiments=(diversity,),
    effect="largest distance of a run's Pass@1 from theory.pg_ode",
    measure=measure,
    direction="within",
    margin=0.1,
    expected=lambda: {"all": 0.0},
    tiers=("simulation",),
)
