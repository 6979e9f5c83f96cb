"""At equal pulls more rollouts of a group buy MaxRL nothing: the factor G costs G."""

from bandit_rft.experiments import Claim
from simulations.reproduction.claims.d5_grpo_rounds import exponent
from simulations.reproduction.experiments import rare_groups

CLAIM = Claim(
    id="D5 MaxRL pulls",
    statement="For MaxRL, more rollouts of a group buy nothing at equal pulls and the same step.",
    source="drift of MaxRL, pass@G / p (arXiv 2602.02710)",
    experiments=(rare_groups,),
    effect="exponent of 1/G in the pulls to Pass@1 = .5, from 4 to 16 rollouts, MaxRL",
    measure=exponent("MaxRL", 1.0),
    direction="below",
    threshold=0.0,
    margin=0.1,
    tiers=("simulation",),
)
