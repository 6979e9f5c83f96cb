"""A7: the base model is a bottleneck. One checkpoint of a family says nothing about the family.

The paper says more: that it is the base model more than any other choice. Other choices are held against it in A8.
"""

from bandit_rft.experiments import Claim, Effect, Outcome, Results, widest
from simulations.reproduction.experiments import base_model


def across_models(results: Results) -> dict[str, Effect]:
    """By optimiser, the gain of the best base model less that of the worst, whichever they are."""
    groups: dict[str, list] = {}
    for stratum in results.strata(base_model).values():
        values = results.values(base_model, "minimalist", stratum, Outcome.gain)
        if values.size:
            groups.setdefault(f"optimizer {stratum['optimizer']}, step {stratum['step']}", []).append(values)
    return {label: widest(some, (-1.0, 1.0)) for label, some in groups.items() if len(some) > 1}


CLAIM = Claim(
    id="A7",
    statement="How much test Pass@1 is gained depends on the base model: the best gains over .03 more than the worst.",
    source="arXiv 2601.14599: OLMo learns its example without generalising",
    experiments=(base_model,),
    effect="gain of test Pass@1, the best base model less the worst, by optimiser",
    measure=across_models,
    direction="above",
    threshold=0.03,
    tiers=("tiny", "paper"),
)
