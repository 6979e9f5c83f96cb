"""A6 among the seeds that do learn the hard example: it is then not the example that fails to generalise."""

import numpy as np

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import difficulty


def gain_of_learners(outcome: Outcome) -> np.ndarray:
    """float64 [S], gain of test Pass@1; NaN for seeds that did not learn their example."""
    return np.where(outcome.learnt(), outcome.gain(), np.nan)


CLAIM = Claim(
    id="A6 learnt",
    statement="A hard example generalises less than one of medium difficulty also where it is learnt.",
    source="arXiv 2601.14599; in a pilot of this project it was the other way round",
    experiments=(difficulty,),
    effect="gain of test Pass@1 of the seeds that learn their example, hard less medium, over questions",
    measure=lambda results: results.apart(difficulty, "p0 about .01", "p0 about .25", gain_of_learners),
    direction="below",
    threshold=0.0,
    margin=0.03,
    tiers=("tiny", "paper"),
)
