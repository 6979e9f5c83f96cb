"""What every bound must satisfy, and the numbers that the bounds' tests share."""

from __future__ import annotations

import numpy as np

from bandit_rft import theory

MEANS = (0.9, 0.6, 0.5)
LONG = 10**9


def sound(bound: theory.Bound) -> None:
    """Finite where it should be, capped, and growing with T."""
    assert bound.at[0] == 1
    assert not np.isnan(bound.uncapped).any()
    assert np.isfinite(bound.value).all()
    if bound.kind == "upper":
        assert (bound.value <= bound.trivial).all()
        assert bound.vacuous == (bound.uncapped[-1] >= bound.trivial[-1])
    assert (np.diff(bound.value) >= -1e-9 * np.abs(bound.value[1:])).all()
    assert bound.name in bound.report()
