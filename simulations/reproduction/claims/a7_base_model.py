"""A7: the base model is a bottleneck. One checkpoint of a family says nothing about the family."""

from bandit_rft.experiments import Claim, Effect, Outcome, Results, difference
from simulations.reproduction.experiments import base_model


def widest(results: Results) -> dict[str, Effect]:
    """Best less worst by the mean; the choice of the two favours the claim, so that only a refusal of it is exact."""
    groups: dict[str, list] = {}
    for stratum in results.strata(base_model).values():
        values = results.values(base_model, "minimalist", stratum, Outcome.gain)
        if values.size:
            groups.setdefault(f"optimizer {stratum['optimizer']}, step {stratum['step']}", []).append(values)
    found = {}
    for label, some in groups.items():
        some.sort(key=lambda values: values.mean())
        if len(some) > 1:
            found[label] = difference(some[-1], some[0])
    return found


CLAIM = Claim(
    id="A7",
    statement="How much test Pass@1 is gained depends on the base model more than on any other choice.",
    source="arXiv 2601.14599: OLMo learns its example without generalising",
    experiments=(base_model,),
    effect="gain of test Pass@1, the best base model less the worst, by optimiser",
    measure=widest,
    direction="above",
    threshold=0.03,
    tiers=("tiny", "paper"),
)
