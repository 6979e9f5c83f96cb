"""A4: more rollouts per round do not notably improve generalisation, at equal rounds."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import rollouts

CLAIM = Claim(
    id="A4",
    statement="Sixteen rollouts per round do not improve final test Pass@1 over one, at equal rounds.",
    source="arXiv 2601.14599",
    experiments=(rollouts,),
    effect="final test Pass@1, raw reward, 16 rollouts less 1",
    measure=lambda results: results.paired(rollouts, "raw, 16", "raw, 1", Outcome.final_test),
    direction="below",
    threshold=0.0,
    margin=0.03,
    tiers=("tiny", "small", "paper"),
)
