"""Learners' settings at the ends of the floats: a number, or a sentence; never an index or a logit that is NaN."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import learners
from bandit_rft.errors import InputError
from bandit_rft.learners.index import Arm, IndexLearner, Setting

ENDS = [5e-324, 1e-300, 1e-200, 1e-100, 1e100, 1e160, 1e200, 1e300]
PULLS, TOTAL = np.array([0.0, 1.0, 1.0, 5.0]), np.array([0.0, 0.0, 1.0, 3.0])
MEAN = TOTAL / np.maximum(PULLS, 1)
EXTRA = {
    "squares": TOTAL,
    "idle": np.zeros(4),
    "average": np.where(PULLS > 0, MEAN, math.inf),
    "width": np.where(PULLS > 0, 1 / np.sqrt(np.maximum(PULLS, 1)), 0.0),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    "made",
    [
        lambda end: learners.ThompsonGaussian(sigma=end),
        lambda end: learners.ThompsonGaussian(prior_variance=end),
        lambda end: learners.ThompsonGaussian(prior_mean=end, prior_variance=1e-200),
        lambda end: learners.ThompsonGaussian(sigma=end, prior_variance=end),
        lambda end: learners.UCB(end),
        lambda end: learners.UCBV(end, end, end),
        lambda end: learners.UCBF(end),
        lambda end: learners.DiscountedUCB(0.9, end, end),
        lambda end: learners.SlidingWindowUCB(3, end, end),
        lambda end: learners.AnnealedSoftmax(end),
        lambda end: learners.KLUCB(end),
        lambda end: learners.BayesUCB(end),
    ],
)
def test_an_index_is_a_number_or_the_setting_is_refused(made: Callable[[float], IndexLearner], end: float) -> None:
    """σ² and products of settings left the floats: NaN and infinite indices, by which every arm ties with every other,
    or a traceback (`OverflowError`).
    """
    try:
        learner = made(end)
    except InputError:
        return
    with jax.enable_x64(True):
        as_array: Any = jax.tree.map(jnp.asarray, EXTRA)
        arm = Arm(*map(jnp.asarray, (PULLS, TOTAL, MEAN)), extra=as_array)
        rows: Any = SimpleNamespace(log_multiplicity=jnp.zeros(4), heads=0)
        index = learner.index(jax.random.key(0), arm, jnp.asarray(7.0), rows, Setting(4.0, math.log(4), 100))
    assert np.isfinite(np.asarray(index)[1:]).all()
    assert not np.isnan(np.asarray(index)).any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: learners.ThompsonGaussian(sigma=1e-200), "sigma is 1e-200"),
        (lambda: learners.ThompsonGaussian(sigma=1e200), "sigma is 1e.200"),
        (lambda: learners.NaturalPolicyGradient(step_size=1e300), "step_size is 1e.300"),
        (lambda: learners.SoftmaxPolicyGradient(step_size=1e305), "step_size is 1e.305"),
        (
            lambda: learners.SoftmaxPolicyGradient(step_size=1e20, entropy_coefficient=1e290),
            "step_size . entropy_coeff",
        ),
        (lambda: learners.LinTS(scale=1e200), "scale is 1e.200"),
        (lambda: learners.LinUCB(width=1e200), "width is 1e.200"),
    ],
)
def test_what_no_float_follows_is_a_sentence(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
