"""Predictable GRPO (arXiv 2606.30789): the mean path does not depend on the group size. Here G p is large."""

from bandit_rft.experiments import Claim
from simulations.reproduction.experiments import group_sizes
from simulations.reproduction.half_times import later_at_half

CLAIM = Claim(
    id="D2 large",
    statement="At p0 = .25 GRPO's mean path is the same for groups of 16 and of 64.",
    source="Predictable GRPO, arXiv 2606.30789",
    experiments=(group_sizes,),
    effect="log2 of the rounds to Pass@1 = .5, G = 16 less G = 64",
    measure=lambda results: later_at_half(results, group_sizes, "p0 = .25, G = 16", "p0 = .25, G = 64"),
    direction="within",
    margin=0.2,
    tiers=("simulation",),
)
