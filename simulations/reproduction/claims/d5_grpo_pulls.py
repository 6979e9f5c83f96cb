"""At equal pulls more rollouts of a group buy GRPO nothing: the factor sqrt(G) costs G."""

from bandit_rft.experiments import Claim
from simulations.reproduction.claims.d5_grpo_rounds import exponent
from simulations.reproduction.experiments import rare_groups

CLAIM = Claim(
    id="D5 GRPO pulls",
    statement="For GRPO, more rollouts of a group buy nothing at equal pulls and the same step.",
    source="drift of GRPO at small G p, of this project",
    experiments=(rare_groups,),
    effect="exponent of 1/G in the pulls to Pass@1 = .5, from 4 to 16 rollouts, GRPO",
    measure=exponent("GRPO", 1.0),  # G^-a rounds are G^(1-a) pulls
    direction="below",
    threshold=0.0,
    margin=0.1,
    tiers=("simulation",),
)
