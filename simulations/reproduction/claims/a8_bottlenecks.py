"""A8: advantage and number of rollouts are not the key bottlenecks; the base model is (A7)."""

import math
from collections.abc import Mapping

from bandit_rft.experiments import Claim, Effect, Outcome, Results
from simulations.reproduction.claims.a7_base_model import widest
from simulations.reproduction.experiments import advantage, base_model


def beyond(results: Results, other: Mapping[str, Effect]) -> dict[str, Effect]:
    """By optimiser, the gain of the best base model less that of the worst, less the size of another effect."""
    found = {}
    for label, models in widest(results).items():
        if label not in other:
            continue
        effect = other[label]
        error = math.hypot(models.standard_error, effect.standard_error)
        freedom = min(models.freedom, effect.freedom)
        found[label] = Effect(models.value - abs(effect.value), error, freedom, models.units)
    return found


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
