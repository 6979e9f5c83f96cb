"""A7 of families: what the base models of one family have in common, apart from the seed each was pretrained from."""

import numpy as np

from bandit_rft.experiments import Claim, Effect, Outcome, Results, widest
from simulations.reproduction.experiments import base_model

FAMILIES = ("llama", "qwen2", "olmo2")


def gains(results: Results) -> dict[str, dict[str, list[np.ndarray]]]:
    """By optimiser and family, of each base model the gains of test Pass@1, one number per question."""
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    for stratum in results.strata(base_model).values():
        values = results.values(base_model, "minimalist", stratum, Outcome.gain)
        family = next((name for name in FAMILIES if name in stratum["model"]), None)
        if family is not None and values.size:
            label = f"optimizer {stratum['optimizer']}, step {stratum['step']}"
            found.setdefault(label, {}).setdefault(family, []).append(values)
    return found


def across_families(results: Results) -> dict[str, Effect]:
    """By optimiser, the gain of the best family less that of the worst; its base models are the units."""
    return {
        label: widest([[float(np.nanmean(values)) for values in some] for some in families.values()], (-1.0, 1.0))
        for label, families in gains(results).items()
        if len(families) > 1
    }


CLAIM = Claim(
    id="A7 family",
    statement="How much test Pass@1 is gained depends on the family: the best gains over .03 more than the worst.",
    source="arXiv 2601.14599: OLMo learns its example without generalising; one checkpoint of a family cannot say it",
    experiments=(base_model,),
    effect="gain of test Pass@1, the best family less the worst, over base models",
    measure=across_families,
    direction="above",
    threshold=0.03,
    tiers=("checkpoints",),
)
