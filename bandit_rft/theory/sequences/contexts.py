"""Many prompts trained in one batch: each prompt's curve from the matrix of inner products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import expit, logit

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import about, entry
from bandit_rft.theory.checks import check_rate
from bandit_rft.theory.prediction import Prediction, rounds_shown
from bandit_rft.theory.sequences.kernel import check_gram

__all__ = ["ContextsPrediction", "contexts_flow"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ContextsPrediction(Prediction):
    """`value` and `regret` are means over prompts.

    Attributes:
        value_by_prompt: float64 [B, N], p_i at the rounds shown.
    """

    value_by_prompt: np.ndarray


@entry(
    formula=r"\frac{dz_i}{dt} = \frac{\eta}{B}\sum_j \langle\delta_i, \delta_j\rangle\, p_j(1-p_j),\quad "
    r"z = \mathrm{logit}\,p,\ \delta = \nabla z",
    assumptions=(
        "Every prompt is in every batch, and the objective is the mean of the prompts' p (raw 0/1 rewards).",
        "Exact gradients in the limit of small steps: no sampling noise.",
        "gram stays what it is at the start.",
        "Plain gradient ascent at a constant step size.",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "p0": "[B] each prompt's probability of a correct answer at the start, in (0, 1)",
        "gram": "[B, B] inner products <delta_i, delta_j> of grad logit p_i; negative entries are interference",
        "step_size": "eta of the mean over prompts, above 0",
        "rounds": "horizon T, rounds",
    },
    section="G",
    kind="prediction",
    derivation="`contexts_flow`: many prompts in one batch",
)
def contexts_flow(p0: Any, gram: Any, step_size: float, rounds: int) -> ContextsPrediction:
    """Gradient flow of many prompts that share parameters, prompt by prompt.

    Solved numerically, to a relative error of about 1e-9 in z. Memory: prompts x rounds shown.

    Returns:
        Mean curves over prompts, and `value_by_prompt`. Regret is that of the mean value.

    Raises:
        InputError: an argument out of range, or gram not a symmetric positive semi-definite [B, B] matrix.

    Example:
        >>> from bandit_rft import theory
        >>> curves = theory.contexts_flow([0.1, 0.2], [[1.0, 0.0], [0.0, 1.0]], step_size=0.5, rounds=100)
        >>> round(float(curves.value[-1]), 4)
        0.9062
    """
    start = arguments.numbers("p0", p0)
    if not np.all((start > 0.0) & (start < 1.0)):
        raise InputError("p0 must lie strictly between 0 and 1 for every prompt.")
    matrix, rounds = check_gram(gram, start.size), arguments.whole("rounds", rounds)
    if np.linalg.eigvalsh(matrix)[0] < -1e-9 * np.abs(matrix).max():
        raise InputError("gram is not positive semi-definite: give inner products of gradients.")
    if largest := float(np.abs(matrix).max()):
        check_rate(step_size, largest, "the largest entry of gram")
    speed = arguments.positive("step_size", step_size) / start.size * matrix
    at = rounds_shown(rounds)

    def velocity(time: float, state: np.ndarray) -> np.ndarray:
        del time
        wrong = expit(-state[:-1])
        return np.append(speed @ (expit(state[:-1]) * wrong), wrong.mean())

    # The last component of the state is the regret, in which each round counts up to its end.
    solution = solve_ivp(
        velocity,
        (0.0, float(rounds)),
        np.append(logit(start), 0.0),
        method="LSODA",
        rtol=1e-10,
        atol=1e-12,
        dense_output=True,
    )
    if not solution.success:
        raise InputError(f"The flow could not be solved: {solution.message}")
    value = expit(solution.sol(at)[:-1])
    return ContextsPrediction(
        **about("contexts_flow"),
        at=at,
        value=value.mean(axis=0),
        value_by_prompt=value,
        regret=solution.sol(at + 1.0)[-1],
        parameters={"p0": start.tolist(), "gram": matrix.tolist(), "step_size": step_size, "rounds": rounds},
    )
