"""A8: advantage and number of rollouts are not the key bottlenecks; the base model is (A7)."""

from collections.abc import Mapping

from bandit_rft.experiments import Claim, Effect, Outcome, Results, less_size
from simulations.reproduction.claims.a7_base_model import across_models
from simulations.reproduction.experiments import advantage, base_model


def beyond(results: Results, other: Mapping[str, Effect]) -> dict[str, Effect]:
    """By optimiser, the gain of the best base model less that of the worst, less the size of another effect; some of
    their runs are the same."""
    return {
        label: less_size(models, other[label]) for label, models in across_models(results).items() if label in other
    }


CLAIM = Claim(
    id="A8 advantage",
    statement="The advantage function matters less to test Pass@1 than the base model does.",
    source="arXiv 2601.14599",
    experiments=(advantage, base_model),
    effect="gain of the best base model less that of the worst, less the size of GRPO's effect",
    measure=lambda results: beyond(
        results, results.paired(advantage, "GRPO, 8 rollouts", "raw, 8 rollouts", Outcome.final_test)
    ),
    direction="above",
    threshold=0.0,
    tiers=("tiny", "paper"),
)
