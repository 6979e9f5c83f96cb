"""Arguments of Python: what counts as a number."""

from typing import Any

import numpy as np
import pytest

import bandit_rft
from bandit_rft import arms, learners, theory
from bandit_rft.errors import InputError


@pytest.mark.parametrize("yes", [True, np.bool_(True)])
def test_a_yes_is_no_number(yes: Any) -> None:
    """Catches a switch in a number's place, which would be one round, one seed or certain success."""
    needle = arms.Needle(log10_arms=2, optimal=1, p0=0.1)
    with pytest.raises(InputError, match=r"^rounds is .*True"):
        bandit_rft.run(needle, learners.Uniform(), rounds=yes, seeds=2, key=0)
    with pytest.raises(InputError, match=r"^seeds is .*True"):
        bandit_rft.run(needle, learners.Uniform(), rounds=2, seeds=yes, key=0)
    with pytest.raises(InputError, match=r"^p0 is .*True"):
        theory.pg_jump_single(p0=yes, step_size=0.5, rounds=10)
    with pytest.raises(InputError, match=r"^step_size is .*True"):
        learners.SoftmaxPolicyGradient(step_size=yes)


def test_whole_numbers_of_other_types_are_whole_numbers() -> None:
    needle = arms.Needle(log10_arms=2, optimal=1, p0=0.1)
    runs = [
        bandit_rft.run(needle, learners.Uniform(), rounds=rounds, seeds=2, key=0).rewards
        for rounds in (3, np.int32(3), np.float64(3.0))
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0], runs[2])
