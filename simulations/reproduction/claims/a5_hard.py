"""A5 where it is bimodal: at a p0 of about .01 some seeds learn and others do not; their share is the effect."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import hard_rewards

CLAIM = Claim(
    id="A5 hard",
    statement="On a question with p0 of about .01, a reward of -1 for wrong responses keeps more seeds from learning.",
    source="arXiv 2601.14599",
    experiments=(hard_rewards,),
    effect="share of seeds whose training Pass@1 ends above one half, -1 less 0",
    measure=lambda results: results.paired(hard_rewards, "wrong earns -1", "wrong earns 0", Outcome.learnt),
    shares=lambda results: results.shares(hard_rewards, Outcome.learnt),
    direction="below",
    threshold=0.0,
    margin=0.1,
    tiers=("tiny", "paper"),
)
