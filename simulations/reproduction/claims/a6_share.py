"""A6 by shares of seeds, since it is bimodal: some learn the hard example, and others nothing."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import difficulty

CLAIM = Claim(
    id="A6 share",
    statement="Fewer seeds generalise from an extremely hard example than from one of medium difficulty.",
    source="arXiv 2601.14599",
    experiments=(difficulty,),
    effect="share of seeds whose test Pass@1 rises by two standard errors, hard less medium",
    measure=lambda results: results.apart(difficulty, "p0 about .01", "p0 about .25", Outcome.generalised),
    shares=lambda results: results.shares(difficulty, Outcome.generalised),
    direction="below",
    threshold=0.0,
    margin=0.1,
    tiers=("tiny", "paper"),
)
