"""A7 of checkpoints: what base models of one family, alike but for the seed of their pretraining, differ by."""

from bandit_rft.experiments import Claim, Effect, Results, widest
from simulations.reproduction.claims.a7_family import gains
from simulations.reproduction.experiments import base_model


def across_checkpoints(results: Results) -> dict[str, Effect]:
    """By optimiser and family, the gain of its best base model less that of its worst; questions are the units."""
    return {
        f"{label}, {family}": widest(some, (-1.0, 1.0))
        for label, families in gains(results).items()
        for family, some in families.items()
        if len(some) > 1
    }


CLAIM = Claim(
    id="A7 checkpoint",
    statement="Base models of one family, pretrained from other seeds, gain over .03 of test Pass@1 apart.",
    source="this project: what A7 of arXiv 2601.14599 has to be told from",
    experiments=(base_model,),
    effect="gain of test Pass@1, the best base model of a family less the worst",
    measure=across_checkpoints,
    direction="above",
    threshold=0.03,
    tiers=("checkpoints",),
)
