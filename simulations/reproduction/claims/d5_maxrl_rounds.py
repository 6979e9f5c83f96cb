"""What more rollouts buy MaxRL at equal rounds: G, where a group rarely holds more than one success."""

from bandit_rft.experiments import Claim
from simulations.reproduction.claims.d5_grpo_rounds import expected, exponent
from simulations.reproduction.experiments import rare_groups

CLAIM = Claim(
    id="D5 MaxRL rounds",
    statement="For MaxRL, G rollouts are worth a factor G at equal rounds, at p0 = .002.",
    source="drift of MaxRL, pass@G / p (arXiv 2602.02710); A4 of arXiv 2601.14599 says: nothing",
    experiments=(rare_groups,),
    effect="exponent of G in the rounds to Pass@1 = .5, from 4 to 16 rollouts, less 1",
    measure=exponent("MaxRL", 1.0),
    direction="within",
    margin=0.1,
    expected=lambda: expected("MaxRL", 1.0),
    tiers=("simulation",),
)
