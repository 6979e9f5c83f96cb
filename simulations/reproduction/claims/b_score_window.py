"""B: the last eight scores of a question in place of a group of eight; only the newest response is learned from.

The effect was first the mean of the last 20 rounds, which is 1 in every run of the simulation tier and could not tell
the two apart: it was changed for that reason, after those runs.
"""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import score_window

CLAIM = Claim(
    id="B window",
    statement="One rollout with a window of its question's last 8 scores does as well as a group of 8.",
    source="arXiv 2601.22532",
    experiments=(score_window,),
    effect="training Pass@1, mean of all rounds, window less group",
    measure=lambda results: results.paired(score_window, "GRPO, window of 8", "GRPO, 8 rollouts", Outcome.mean_train),
    direction="above",
    threshold=-0.03,  # no worse than that; one that does better does as well, too
    margin=0.03,
)
