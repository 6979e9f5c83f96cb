"""A6: extremely hard examples fail to generalise."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import difficulty

CLAIM = Claim(
    id="A6",
    statement="Training on an extremely hard example generalises less than on one of medium difficulty.",
    source="arXiv 2601.14599",
    experiments=(difficulty,),
    effect="gain of test Pass@1, hard less medium, over questions",
    measure=lambda results: results.apart(difficulty, "p0 about .01", "p0 about .25", Outcome.gain),
    direction="below",
    threshold=0.0,
    margin=0.03,
    tiers=("tiny", "paper"),
)
