"""Our form of JAX's default generator against JAX's own, bit for bit: catches a wrong rotation, key schedule, counter
or word order, and a key of another kind taken for the default one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import arms, learners, run
from bandit_rft.random_bits import plain, quick


def same_keys(a: jax.Array, b: jax.Array) -> bool:
    return np.array_equal(jax.random.key_data(a), jax.random.key_data(b))


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_every_number_is_jaxs_own(seed: int, x64: bool) -> None:
    with jax.enable_x64(x64):
        key = jax.random.key(seed)
        ours = quick(key)
        assert jax.random.key_impl(ours) != jax.random.key_impl(key)  # else nothing is compared
        for shape in (2, (3, 5)):
            assert same_keys(jax.random.split(key, shape), jax.random.split(ours, shape))
        for data in (0, 7, 2**32 - 1):
            assert same_keys(jax.random.fold_in(key, data), jax.random.fold_in(ours, data))
        for draw in (jax.random.uniform, jax.random.normal, jax.random.bits):
            for shape in ((), (7,), (3, 4, 5)):
                assert np.array_equal(draw(key, shape), draw(ours, shape)), (draw, shape)
        for dtype in (jnp.uint8, jnp.uint16, jnp.uint32):
            assert np.array_equal(jax.random.bits(key, (9,), dtype), jax.random.bits(ours, (9,), dtype))
        assert np.array_equal(jax.random.permutation(key, 50), jax.random.permutation(ours, 50))
        assert np.array_equal(jax.random.randint(key, (9,), 0, 1000), jax.random.randint(ours, (9,), 0, 1000))
        many = jax.vmap(lambda k: jax.random.uniform(k, (3,)))
        assert np.array_equal(many(jax.random.split(key, 4)), many(jax.random.split(ours, 4)))


def test_other_keys_are_left_alone() -> None:
    other = jax.random.key(0, impl="rbg")
    assert quick(other) is other
    with jax.threefry_partitionable(False):  # other bits for the same key
        key = jax.random.key(0)
        assert quick(key) is key


def test_accelerators_have_jaxs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches our form where JAX writes the generator out itself."""
    key = jax.random.key(0)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert quick(key) is key


def test_a_key_in_a_final_state_is_jaxs_own_again() -> None:
    tree = {"key": quick(jax.random.key(3)), "number": jnp.ones(2)}
    assert jax.random.key_impl(plain(tree)["key"]) == "threefry2x32"
    drifting = arms.Drifting(arms.Bernoulli([0.1, 0.9]), step=0.1)
    by_scan, by_host = (
        run(drifting, learners.UCB1(), rounds=5, seeds=2, key=1, loop=loop) for loop in ("scan", "host")
    )
    assert same_keys(by_scan.final_state.world.key[-1], by_host.final_state[-1].world.key)
