"""The rejection method without a loop an element: refused proposals are gathered and tried again in small buffers."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from bandit_rft.sampling.words import Arrays

SMALL = 64  # elements that are redrawn together rather than gathered
BLOCK = 1024  # elements that are drawn at a time
SHARE = 8  # a buffer holds one element in so many: 1.3 times the highest share that is ever refused

# (element uint32 [n], attempt uint32, parameters [n] each) -> value [n], −inf where refused.
Propose = Callable[[jax.Array, jax.Array, Arrays], jax.Array]


def elements(size: int) -> jax.Array:
    return jnp.arange(size, dtype=jnp.uint32)


def settle_all(propose: Propose, parameters: Arrays) -> jax.Array:
    """Accepted values [n]; more than BLOCK elements go block by block, which keeps what is in use in the cache."""
    size = parameters[0].shape[0]
    blocks = -(-size // BLOCK)
    if blocks <= 1:
        return _settle(propose, elements(size), jnp.uint32(0), parameters, jnp.ones(size, bool))
    width = -(-size // blocks)

    def cut(array: jax.Array) -> jax.Array:
        return jnp.pad(array, (0, blocks * width - size)).reshape(blocks, width)

    def one_block(block: tuple[jax.Array, jax.Array, Arrays]) -> jax.Array:
        active, element, parameters = block
        return _settle(propose, element, jnp.uint32(0), parameters, active)

    whole = (cut(jnp.ones(size, bool)), cut(elements(size)), tuple(cut(entry) for entry in parameters))
    return lax.map(one_block, whole).ravel()[:size]


def _settle(
    propose: Propose, element: jax.Array, attempt: jax.Array, parameters: Arrays, active: jax.Array
) -> jax.Array:
    """Values [n] of the first accepted proposal of each element from `attempt` on; 0 where not `active`.

    An element's proposals depend on its own random bits alone (counter = element and attempt), so neither the order
    nor the grouping of retries can touch the law.
    """
    size = element.shape[0]
    if size <= SMALL:
        return _redraw_all(propose, element, attempt, parameters, active)
    value = jnp.where(active, propose(element, attempt, parameters), 0.0)
    words, before, total = _pack(value == -jnp.inf)
    slots = max(SMALL // 4, -(-size // SHARE))

    def unsettled(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        return carry[0] < total

    def settle_some(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        start, value = carry
        rank = start + elements(slots)
        wanted = rank < total
        place = jnp.where(wanted, _place(words, before, rank), 0)
        gathered = tuple(parameter[place] for parameter in parameters)
        settled = _settle(propose, element[place], attempt + jnp.uint32(1), gathered, wanted)
        target = jnp.where(wanted, place, size)  # beyond the end: not written
        return start + jnp.uint32(slots), value.at[target].set(settled, mode="drop")

    return lax.while_loop(unsettled, settle_some, (jnp.uint32(0), value))[1]


def _redraw_all(
    propose: Propose, element: jax.Array, attempt: jax.Array, parameters: Arrays, active: jax.Array
) -> jax.Array:
    def unsettled(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.any(carry[1] == -jnp.inf)

    def again(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        attempt, value = carry
        return attempt + jnp.uint32(1), jnp.where(value == -jnp.inf, propose(element, attempt, parameters), value)

    return lax.while_loop(unsettled, again, (attempt, jnp.where(active, -jnp.inf, 0.0)))[1]


def _pack(flags: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """bool [n] as (uint32 words [⌈n/32⌉], set flags before each word, set flags in all)."""
    blocks = -(-flags.shape[0] // 32)
    bits = jnp.pad(flags, (0, blocks * 32 - flags.shape[0])).reshape(blocks, 32)
    weight = jnp.uint32(1) << jnp.arange(32, dtype=jnp.uint32)
    words = jnp.sum(jnp.where(bits, weight, jnp.uint32(0)), axis=1, dtype=jnp.uint32)
    counts = lax.population_count(words)
    upto = jnp.cumsum(counts, dtype=jnp.uint32)
    return words, upto - counts, upto[-1]


def _place(words: jax.Array, before: jax.Array, rank: jax.Array) -> jax.Array:
    """int32 index of the rank-th set flag (from 0); anything where there is none."""
    block = jnp.searchsorted(before, rank, side="right", method="compare_all").astype(jnp.int32) - 1
    word, left = words[block], rank - before[block]
    position = jnp.zeros_like(word)
    for width in (16, 8, 4, 2, 1):  # descend to the half that holds it
        in_low_half = lax.population_count((word >> position) & jnp.uint32((1 << width) - 1))
        go_up = left >= in_low_half
        position = jnp.where(go_up, position + jnp.uint32(width), position)
        left = jnp.where(go_up, left - in_low_half, left)
    return block * 32 + position.astype(jnp.int32)
