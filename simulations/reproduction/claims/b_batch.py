"""B: the number of questions per round, one response each, at equal rounds."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import batch

CLAIM = Claim(
    id="B batch",
    statement="Thirty-two questions per round do no better on test questions than eight, at equal rounds.",
    source="factor of arXiv 2601.22532, whose table could not be read",
    experiments=(batch,),
    effect="final test Pass@1, 32 questions per round less 8",
    measure=lambda results: results.paired(batch, "32 questions", "8 questions", Outcome.final_test),
    direction="below",
    threshold=0.0,
    margin=0.03,
    tiers=("tiny", "paper"),
)
