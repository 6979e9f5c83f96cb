"""Predictable GRPO (arXiv 2606.30789): the mean path does not depend on the group size. Here G p is about 1 or less."""

from bandit_rft.experiments import Claim, Effect, Results
from simulations.reproduction.experiments import group_sizes
from simulations.reproduction.half_times import later_at_half


def measure(results: Results) -> dict[str, Effect]:
    """Two against sixty-four rollouts, on either world."""
    return later_at_half(results, group_sizes, "p0 = .02, G = 2", "p0 = .02, G = 64")


CLAIM = Claim(
    id="D2 small",
    statement="At p0 = .02 GRPO's mean path is the same for groups of 2 and of 64.",
    source="Predictable GRPO, arXiv 2606.30789",
    experiments=(group_sizes,),
    effect="log2 of the rounds to Pass@1 = .5, G = 2 less G = 64",
    measure=measure,
    direction="within",
    margin=0.2,
    tiers=("simulation",),
)
