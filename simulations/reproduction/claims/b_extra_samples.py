"""B: seven more samples that enter GRPO's mean and spread alone, in place of a group of eight.

The effect was first the mean of the last 20 rounds, which is 1 in every run of the simulation tier and could not tell
the two apart: it was changed for that reason, after those runs.
"""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import extra_samples

CLAIM = Claim(
    id="B extra",
    statement="One rollout with 7 more for GRPO's baseline alone does as well as a group of 8 that is learned from.",
    source="arXiv 2601.22532",
    experiments=(extra_samples,),
    effect="training Pass@1, mean of all rounds, extra samples less group",
    measure=lambda results: results.paired(extra_samples, "GRPO, 1 and 7 more", "GRPO, 8 rollouts", Outcome.mean_train),
    direction="above",
    threshold=-0.03,  # no worse than that; one that does better does as well, too
    margin=0.03,
)
