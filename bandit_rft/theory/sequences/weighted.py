"""Losses that weigh responses (by 1/length, say): how fast logit p then moves."""

from __future__ import annotations

from typing import Any

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.sequences.kernel import check_scores

__all__ = ["weighted_drift"]


@entry(
    formula=r"\frac{dz}{dt} = \eta\,p\,\langle \delta, \tilde u_g\rangle,\quad "
    r"\tilde u_g = \frac{1}{p}\sum_{a\ \mathrm{correct}} \pi_a w_a s_a;\qquad w = 1:\ \eta\kappa p(1-p)",
    assumptions=(
        "Gradient flow: exact expected updates, in the limit of small steps; the raw 0/1 reward.",
        "The update of a response is weight times reward times score: 1/length for a mean over tokens within each "
        "response, 1 for a sum.",
        "gram and policy belong to the same parameters: it is a velocity at one moment.",
        "gram holds scores, so that sum_b pi(b) <s_a, s_b> = 0 (checked).",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "gram": "[K, K] inner products <s_a, s_b> of the scores s_a = grad log pi(a); symmetric",
        "policy": "[K] probabilities pi(a), which sum to 1",
        "correct": "[K] booleans (or 0/1), which responses are correct",
        "weights": "[K] weight of each response in the loss, at least 0: 1/length for a mean over its tokens",
        "step_size": "eta, logit per unit gradient, above 0",
    },
    section="F4.1",
    kind="quantity",
    derivation="`weighted_drift`: losses normalised by length",
)
def weighted_drift(gram: Any, policy: Any, correct: Any, weights: Any, step_size: float) -> float:
    """How fast logit p moves when the loss weighs responses, as one averaged over each response's tokens does.

    It may be negative: rewarded responses that are long, and hence light, may lose to what they share with wrong ones.

    Returns:
        dz/dt, per round.

    Raises:
        InputError: gram, policy, correct or weights misfit, a weight below 0, step_size not positive, or gram not that
            of scores.

    Example:
        >>> from bandit_rft import theory
        >>> gram, policy = [[0.49, -0.21], [-0.21, 0.09]], [0.3, 0.7]
        >>> round(theory.weighted_drift(gram, policy, [True, False], weights=[1.0, 1.0], step_size=0.1), 4)
        0.021
    """
    scores = check_scores(gram, policy, correct)
    weight = arguments.numbers("weights", weights)
    if weight.shape != scores.correct.shape or not np.all((weight >= 0.0) & np.isfinite(weight)):
        raise InputError(f"weights must be {scores.correct.size} finite numbers of at least 0, one a response.")
    probability = arguments.numbers("policy", policy)
    if np.abs(scores.gram @ probability).max() > 1e-6 * np.abs(scores.gram).max():
        raise InputError(
            "gram is not that of scores, whose mean under the policy is 0: subtract the mean from the features first."
        )
    update = np.where(scores.correct, probability * weight, 0.0)
    return arguments.positive("step_size", step_size) * float(scores.contrast @ scores.gram @ update)
