"""A1, first half: the minimalist configuration learns its example."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import minimalist

CLAIM = Claim(
    id="A1 training",
    statement="One rollout per round and the raw reward learn an optimal policy for the example.",
    source="arXiv 2601.14599",
    experiments=(minimalist,),
    effect="training Pass@1, mean of the last 20 rounds",
    measure=lambda results: results.level(minimalist, "minimalist", Outcome.final_train),
    direction="above",
    threshold=0.9,
)
