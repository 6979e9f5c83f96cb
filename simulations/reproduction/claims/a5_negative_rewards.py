"""A5: rewards of -1 for wrong responses make training fail."""

import numpy as np

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import reward_design


def learners(outcome: Outcome) -> np.ndarray:
    """float64 [S], 1 where training Pass@1 ends above one half."""
    return outcome.learnt().astype(float)


CLAIM = Claim(
    id="A5",
    statement="A reward of -1 for wrong responses makes training fail.",
    source="arXiv 2601.14599",
    experiments=(reward_design,),
    effect="share of seeds whose training Pass@1 ends above one half, -1 less 0",
    measure=lambda results: results.paired(reward_design, "wrong earns -1", "wrong earns 0", learners),
    shares=lambda results: results.shares(reward_design, learners),
    direction="below",
    threshold=-0.25,
    margin=0.1,
)
