"""B: a budget of responses per round, split into many questions or many rollouts of few."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import budget_split

CLAIM = Claim(
    id="B split",
    statement="One question with 32 rollouts does no better on test questions than 16 questions with 2.",
    source="factor of arXiv 2601.22532, whose table could not be read",
    experiments=(budget_split,),
    effect="final test Pass@1, GRPO, 1 x 32 less 16 x 2",
    measure=lambda results: results.paired(budget_split, "1 x 32", "16 x 2", Outcome.final_test),
    direction="below",
    threshold=0.0,
    margin=0.03,
    tiers=("tiny", "paper"),
)
