"""A4 at equal rollouts instead of equal rounds."""

from bandit_rft.experiments import Claim
from simulations.reproduction.claims.d5_test_pulls import at_equal_pulls
from simulations.reproduction.experiments import group_rollouts

CLAIM = Claim(
    id="A4 pulls",
    statement="Sixteen rollouts per round do not improve test Pass@1 over four, at equal rollouts in all.",
    source="arXiv 2601.14599, which compares at equal rounds",
    experiments=(group_rollouts,),
    effect="test Pass@1 at equal pulls, raw reward, 16 rollouts less 4",
    measure=lambda results: at_equal_pulls(results, "raw"),
    direction="below",
    threshold=0.0,
    margin=0.03,
    tiers=("tiny", "paper"),
)
