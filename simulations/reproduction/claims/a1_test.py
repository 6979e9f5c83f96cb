"""A1, second half: test Pass@1 rises with it."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import minimalist

CLAIM = Claim(
    id="A1 test",
    statement="While one example is learnt, Pass@1 on test questions rises.",
    source="arXiv 2601.14599: by up to .5",
    experiments=(minimalist,),
    effect="test Pass@1 after the run less before",
    measure=lambda results: results.level(minimalist, "minimalist", Outcome.gain),
    direction="above",
    threshold=0.0,
    margin=0.03,
    tiers=("tiny", "small", "paper"),
)
