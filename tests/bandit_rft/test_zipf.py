"""Log masses of a Zipf law in bins, against plain sums, the zeta function and asymptotics."""

import math

import numpy as np
import pytest
from scipy.special import zeta

from bandit_rft import arms


@pytest.mark.parametrize("exponent", [0.0, 0.5, 0.999999, 1.0, 1.5, 2.0, 10.0])
def test_bins_are_sums_over_their_ranks(exponent: float) -> None:
    """Bins on both sides of 10,000 ranks and across. Catches an integral in place of the first ranks, which is up to
    two thirds off, and a correction that is left out."""
    for before, count in ((0, 1), (0, 10_000), (0, 20_000), (5, 300_000), (20, 200_000), (9_999, 5), (12_345, 90_000)):
        ranks = np.arange(before + 1, before + count + 1, dtype=np.longdouble)
        counts = [math.log(count)] if not before else [math.log(before), math.log(count)]
        found = arms.zipf_log_mass(counts, exponent)[-1]
        assert found == pytest.approx(float(np.log(np.sum(ranks ** -np.longdouble(exponent)))), abs=1e-9)


def test_huge_bins_have_their_limits() -> None:
    """Catches digits lost between two rounded logarithms, of bins that are small beside the ranks before them."""
    assert arms.zipf_log_mass([60.0], 2.0)[0] == pytest.approx(math.log(zeta(2.0)), abs=1e-12)
    assert arms.zipf_log_mass([60.0], 3.0)[0] == pytest.approx(math.log(zeta(3.0)), abs=1e-12)
    assert arms.zipf_log_mass([1e5], 1.0)[0] == pytest.approx(math.log(1e5 + np.euler_gamma), abs=1e-12)
    for before, count in ((80.0, 0.0), (200.0, 100.0), (40.0, 10.0)):
        assert arms.zipf_log_mass([before, count], 1.0)[1] == pytest.approx(count - before, abs=1e-9)


@pytest.mark.parametrize("count", [9_999, 10_000, 10_001])
def test_counts_one_rounding_from_the_ranks_that_are_summed(count: int) -> None:
    """ln 10^4 less one unit in the last place left a tail of less than no arm: the logarithm of a negative number."""
    direct = math.log(np.sum(1 / np.arange(1, count + 1)))
    for log_count in (np.nextafter(math.log(count), 0), math.log(count), np.nextafter(math.log(count), 99)):
        assert arms.zipf_log_mass([log_count])[0] == pytest.approx(direct, rel=1e-12)
