"""A5: rewards of -1 for wrong responses make training fail."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import reward_design

CLAIM = Claim(
    id="A5",
    statement="A reward of -1 for wrong responses makes training fail.",
    source="arXiv 2601.14599",
    experiments=(reward_design,),
    effect="share of seeds whose training Pass@1 ends above one half, -1 less 0",
    measure=lambda results: results.paired(reward_design, "wrong earns -1", "wrong earns 0", Outcome.learnt),
    shares=lambda results: results.shares(reward_design, Outcome.learnt),
    direction="below",
    threshold=-0.25,
    margin=0.1,
)
