"""Signals against definitions worked by hand, and the fixed points that users trip over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import signals
from bandit_rft.errors import InputError

REWARDS = [1.0, 0.0, 0.0, 1.0, 0.0]


def of(name: str, rewards: list[float], **options) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(signals.make(name, **options)(jnp.asarray(rewards)))


def test_definitions() -> None:
    np.testing.assert_allclose(of("raw", REWARDS), REWARDS)
    np.testing.assert_allclose(of("signed", REWARDS), [1, -1, -1, 1, -1])
    np.testing.assert_allclose(of("mean_baseline", REWARDS), [0.6, -0.4, -0.4, 0.6, -0.4])
    # leave-one-out: 1 − 1/4, 0 − 2/4
    np.testing.assert_allclose(of("rloo", REWARDS), [0.75, -0.5, -0.5, 0.75, -0.5])
    sample, population = np.std(REWARDS, ddof=1), np.std(REWARDS)
    np.testing.assert_allclose(of("grpo", REWARDS), (np.asarray(REWARDS) - 0.4) / (sample + 1e-6))
    np.testing.assert_allclose(of("grpo", REWARDS, ddof=0, eps=1e-8), (np.asarray(REWARDS) - 0.4) / (population + 1e-8))


def test_group_of_one_follows_verl() -> None:
    assert of("rloo", [1.0]).tolist() == [1.0]
    np.testing.assert_allclose(of("grpo", [1.0]), [1 / (1 + 1e-6)], rtol=1e-15)
    assert of("mean_baseline", [1.0]).tolist() == [0.0]


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_dead_group_is_exactly_zero(value: float) -> None:
    """0.1 three times has a mean that rounds: a std taken from it would turn noise of 1e-17 into signals of order
    one.
    """
    for options in ({"eps": 0.0}, {"eps": 1e-6}, {"eps": 0.0, "ddof": 0}):
        assert of("grpo", [value] * 3, **options).tolist() == [0.0, 0.0, 0.0]


def test_refusals() -> None:
    with pytest.raises(InputError, match="Signal 'gae' is unknown"):
        signals.make("gae")
    with pytest.raises(InputError, match="ddof is 2"):
        signals.make("grpo", ddof=2)
    with pytest.raises(InputError, match="eps is -1"):
        signals.make("grpo", eps=-1)
