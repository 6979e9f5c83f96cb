"""When is NSR useless? Where a failure pushes down one of 10^100 wrong arms, of which none is met twice."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import failures_alone

CLAIM = Claim(
    id="D1 useless",
    statement="Failures alone teach less than successes alone where wrong arms are too many to be met twice.",
    source="the objection to NSR (arXiv 2506.01347); the identity E[(r-1)s] = E[r s] speaks against it on a table",
    experiments=(failures_alone,),
    effect="training Pass@1, mean of the last 20 rounds, failures alone less successes alone",
    measure=lambda results: results.paired(failures_alone, "failures alone", "successes alone", Outcome.final_train),
    direction="below",
    threshold=0.0,
    margin=0.03,
    tiers=("simulation",),
)
