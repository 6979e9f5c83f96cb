"""What training on one prompt does to another: the slope of the test curve in the train curve."""

from __future__ import annotations

from typing import Any

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry

__all__ = ["transfer_slope"]


@entry(
    formula=r"\frac{\Delta z_{\mathrm{test}}}{\Delta z_{\mathrm{train}}} = "
    r"\frac{\langle \delta_{\mathrm{test}}, \delta_{\mathrm{train}}\rangle}{\|\delta_{\mathrm{train}}\|^2},\quad "
    r"\delta = \nabla\,\mathrm{logit}\,p",
    assumptions=(
        "Plain gradient ascent on the training prompt alone, exact gradients or small steps.",
        "Both delta stay what they are at the start (exact at the start, an approximation later: it fails where scores "
        "spread widely within a class).",
        "One training prompt (of many, each has its own z: see contexts_flow).",
    ),
    source="derived here (docs/derivations.md)",
    units={
        "delta_test": "[d] gradient of logit p on the test prompt, in the shared parameters",
        "delta_train": "[d] the same on the training prompt",
    },
    section="F7",
    kind="quantity",
    derivation="`transfer_slope`",
)
def transfer_slope(delta_test: Any, delta_train: Any) -> float:
    """How far the test prompt's logit p moves per unit of the training prompt's.

    Returns:
        The slope, a pure number of either sign.

    Raises:
        InputError: vectors of different lengths, not finite, or a delta_train of zero.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.transfer_slope([1.0, 0.0], delta_train=[2.0, 0.0])), 4)
        0.5
    """
    test, train = arguments.numbers("delta_test", delta_test), arguments.numbers("delta_train", delta_train)
    if test.shape != train.shape or not (np.all(np.isfinite(test)) and np.all(np.isfinite(train))):
        raise InputError("delta_test and delta_train must be finite and of the same length.")
    largest = float(np.abs(train).max())
    if largest == 0.0:
        raise InputError("delta_train is zero: training moves nothing, and the slope is undefined.")
    # Scaled first: squares of 1e-200 or 1e200 leave float64.
    train = train / largest
    return float((test / largest) @ train / (train @ train))
