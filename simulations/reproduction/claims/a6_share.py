"""A6 by shares of seeds, since it is bimodal: some learn the hard example, and others nothing."""

import numpy as np

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import difficulty


def generalisers(outcome: Outcome) -> np.ndarray:
    """float64 [S], 1 where test Pass@1 rises by two standard errors."""
    return outcome.generalised().astype(float)


CLAIM = Claim(
    id="A6 share",
    statement="Fewer seeds generalise from an extremely hard example than from one of medium difficulty.",
    source="arXiv 2601.14599",
    experiments=(difficulty,),
    effect="share of seeds whose test Pass@1 rises by two standard errors, hard less medium",
    measure=lambda results: results.apart(difficulty, "p0 about .01", "p0 about .25", generalisers),
    shares=lambda results: results.shares(difficulty, generalisers),
    direction="below",
    threshold=0.0,
    margin=0.1,
    tiers=("tiny", "paper"),
)
