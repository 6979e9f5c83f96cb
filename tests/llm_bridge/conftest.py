"""What tests of this folder may ask for."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(scope="module")
def compiled_quickly() -> Iterator[None]:
    """Programs that are not optimised: for runs too short for optimising them to be worth it.

    Programs of both kinds round differently, and JAX does not tell them apart: an optimised one of an earlier test that
    is used by one run, and has left the cache by the next, would be taken for a run that does not repeat to the bit.
    """
    before = jax.config.read("jax_disable_most_optimizations")
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
    jax.clear_caches()
