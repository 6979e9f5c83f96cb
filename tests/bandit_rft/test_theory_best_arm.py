"""`best_arm_complexity`, `identification_lower`, `sequential_halving_bound` and `annealed_softmax_exponent`: limits and
sentences. Their numbers are held against other computations and simulations in the audit.
"""

import math

import pytest
from scipy.special import rel_entr

from bandit_rft import InputError, theory
from bandit_rft.best_arm import optimal_weights


def d(p: float, q: float) -> float:
    return float(rel_entr(p, q) + rel_entr(1 - p, 1 - q))


@pytest.mark.parametrize("means", [[0.5, 0.45, 0.43, 0.4], [0.3, 0.21, 0.2, 0.19, 0.18], [0.2, 0.9]])
def test_the_complexity_is_the_cost_at_the_learners_weights(means: list[float]) -> None:
    """Two codes of one optimum: the entry's by roots, track-and-stop's by bisection of all seeds at once."""
    weight, best = optimal_weights(means), means.index(max(means))
    cost = []
    for mean, part in zip(means, weight, strict=True):
        if mean != means[best]:
            m = (weight[best] * means[best] + part * mean) / (weight[best] + part)
            cost.append(weight[best] * d(means[best], m) + part * d(mean, m))
    assert theory.best_arm_complexity(means) == pytest.approx(1 / min(cost), rel=1e-4)


def test_counts_are_arms_listed_singly() -> None:
    alike = theory.best_arm_complexity([0.7, 0.5, 0.2], [1, 3, 2])
    assert alike == pytest.approx(theory.best_arm_complexity([0.7, 0.5, 0.5, 0.5, 0.2, 0.2]), rel=1e-9)


def test_rivals_alike_but_for_rounding() -> None:
    """0.15 + 0.3 is not 0.45 in floats: the roots had no bracket, and a ValueError of SciPy's came through."""
    alike = theory.best_arm_complexity([0.55, 0.45], [1, 3])
    for near in (0.15 + 0.3, math.nextafter(0.45, 1), 0.45 * (1 - 1e-15)):
        assert theory.best_arm_complexity([0.55, near, 0.45, 0.45]) == pytest.approx(alike, rel=1e-12)


def test_it_grows_with_the_number_of_arms() -> None:
    """No rule of a fixed confidence ends at 10^100 arms: its least is of the order of their number."""
    assert theory.identification_lower([0.9, 0.1], 0.05, [1, 1e100]) > 1e100


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: theory.best_arm_complexity([0.5, 0.5, 0.1]), "one arm has to be best"),
        (lambda: theory.best_arm_complexity([0.5, 0.1], [2, 1]), "one arm has to be best"),
        (lambda: theory.best_arm_complexity([1.0, 0.1]), "strictly between"),
        (lambda: theory.best_arm_complexity([0.5]), "two or more"),
        (lambda: theory.identification_lower([0.5, 0.1], 0.5), "1/2"),
        (lambda: theory.sequential_halving_bound([0.5, 0.1], 0), "budget"),
        (lambda: theory.annealed_softmax_exponent(1.0), "alpha"),
    ],
)
def test_what_does_not_fit_is_a_sentence(call, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call()


def test_a_short_budget_promises_nothing() -> None:
    assert theory.sequential_halving_bound([0.5, 0.4], 1) == 1.0
    assert theory.sequential_halving_bound([0.9, 0.1], 1e5) < 1e-100


def test_the_exponent_is_least_at_the_root() -> None:
    assert theory.annealed_softmax_exponent(0.5) == 0.5
    assert theory.annealed_softmax_exponent(0.0) == 1.0
    assert math.isclose(theory.annealed_softmax_exponent(0.7), 0.7)
