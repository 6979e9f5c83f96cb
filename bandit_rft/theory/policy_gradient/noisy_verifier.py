"""A verifier that errs: what is left of the drift."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_probabilities
from bandit_rft.theory.policy_gradient.groups import ANY, SIGNALS, check_group, check_k, depends_on_p, multiplier

__all__ = ["noisy_verifier"]


@entry(
    formula=r"E[\mathrm{update}] = (\mathrm{TPR} - \mathrm{FPR})\,M(q)\,\nabla p,\quad "
    r"q = \mathrm{TPR}\,p + \mathrm{FPR}\,(1-p),\quad M: \mathrm{drift\_multiplier}",
    assumptions=(
        "A correct answer is accepted with probability TPR and a wrong one with probability FPR, whichever it is, and "
        "independently of everything else.",
        "Independent rollouts of one policy; the update is the mean of signal times score.",
        "Only the mean is described: the noise of the update changes too.",
    ),
    source="derived here (docs/derivations.md); TPR - FPR is the Youden index of Rad et al., arXiv 2601.04411",
    units={
        "true_positive": "TPR, probability that a correct answer is accepted, in [0, 1]",
        "false_positive": "FPR, probability that a wrong answer is accepted, in [0, 1]",
        "signal": f"one of {', '.join(SIGNALS)}",
        "p": "probability of a correct answer, in (0, 1), any shape; grpo, maxrl(_centred), pass_at_k need it",
        "rollouts": "G, rollouts a group",
        "ddof": "1: sample standard deviation, 0: population (grpo)",
        "eps": "added to the standard deviation, at least 0 (grpo)",
        "k": "of pass_at_k, from 1 to G; None: G",
    },
    section="B7",
    kind="quantity",
    derivation="`noisy_verifier`",
)
def noisy_verifier(
    true_positive: float,
    false_positive: float,
    signal: str = "raw",
    p: ArrayLike | None = None,
    rollouts: int = 1,
    ddof: int = 1,
    eps: float = 0.0,
    k: int | None = None,
) -> float | np.ndarray:
    """Drift of a signal under a verifier that errs, over that of the raw reward under one that does not.

    Below 0 the policy unlearns. For signals linear in the reward the noise multiplies the drift by TPR - FPR; a
    multiplier that depends on p moves too, from the true p to the share q of accepted answers.

    Returns:
        A float for scalar (or no) p, otherwise float64 of p's shape.

    Raises:
        InputError: a rate outside [0, 1], and what `drift_multiplier` refuses.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.noisy_verifier(true_positive=0.9, false_positive=0.1)), 4)
        0.8
    """
    accepted_correct = arguments.between("true_positive", true_positive, 0.0, 1.0)
    accepted_wrong = arguments.between("false_positive", false_positive, 0.0, 1.0)
    rollouts, eps = check_group(signal, rollouts, ddof, eps)
    k = check_k(signal, rollouts, k)
    if p is None:
        if depends_on_p(signal, rollouts, k):
            raise InputError(f"The drift multiplier of {signal} depends on p: give p.")
        probability = np.asarray(ANY)
    else:
        probability = check_probabilities(p)
    wrong = 1.0 - probability
    youden = accepted_correct - accepted_wrong
    if youden == 0.0:
        result = np.zeros(probability.shape)
    else:
        # Both shares are sums of positive terms, so that neither end loses digits.
        accepted = accepted_correct * probability + accepted_wrong * wrong
        refused = (1.0 - accepted_correct) * probability + (1.0 - accepted_wrong) * wrong
        result = youden * multiplier(signal, np.log(accepted), np.log(refused), rollouts, ddof, eps, k)
    return float(result) if result.ndim == 0 else result
