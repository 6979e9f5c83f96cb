"""The wait for a first success where none was seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from bandit_rft import theory
from bandit_rft.errors import InputError
from bandit_rft.theory.many_arms.waiting import wait_in_words


@pytest.mark.parametrize(("successes", "rollouts"), [(0, 5), (2, 9), (0, 64)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_quantile_is_that_of_an_integral_over_p0(successes: int, rollouts: int, share: float) -> None:
    """Catches a wrong posterior or a survival function of t + 1 pulls: E[(1 - p)^t] by quadrature in sqrt(p)."""
    pulls = theory.pulls_to_first_success(share, successes, rollouts)

    def density(root: float) -> float:  # p = root², which takes the prior's singularity at 0 away
        return 2 * root ** (2 * successes) * (1 - root**2) ** (rollouts - successes - 0.5)

    total = quad(density, 0, 1)[0]
    none = quad(lambda root: density(root) * (1 - root**2) ** pulls, 0, 1, limit=500)[0] / total
    assert none == pytest.approx(1 - share, rel=1e-6)


def test_of_many_wrong_responses_the_median_is_three_times_their_number() -> None:
    assert theory.pulls_to_first_success(0.5, 0, 10**6) == pytest.approx(3e6, rel=1e-5)
    assert theory.pulls_to_first_success(0.1, 0, 10**6) == pytest.approx(1e6 * (1 / 0.81 - 1), rel=1e-5)


def test_a_wait_that_no_float_holds_is_infinite_and_none_overflows() -> None:
    assert theory.pulls_to_first_success(np.nextafter(1.0, 0.0), 0, 10**9) > 1e30
    assert math.isfinite(theory.pulls_to_first_success(1e-12, 5, 5))


def test_bad_counts_are_refused() -> None:
    with pytest.raises(InputError, match="at most 4"):
        theory.pulls_to_first_success(0.5, 5, 4)
    with pytest.raises(InputError, match="strictly between"):
        theory.pulls_to_first_success(1.0, 0, 4)


def test_the_sentence_has_the_numbers_of_the_law() -> None:
    assert "within 769 pulls" in wait_in_words(256)
    assert "60 to 25,369" in wait_in_words(256)
