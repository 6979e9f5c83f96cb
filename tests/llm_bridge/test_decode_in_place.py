"""The decode loop writes its caches in place: read from the compiled program, whatever the machine's load."""

import re
from math import prod

import jax
import jax.numpy as jnp
import pytest

from llm_bridge.sampling import decoding, generate, refill
from tests.llm_bridge import toy

# No other array of the program has 44 and 8 (the model's head_dim) for axes and is as large as a cache.
ROWS, CAPACITY, SEEDS = 3, 44, 2
OPENING = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
CALLED = re.compile(r"(?:body|condition|calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
MADE = re.compile(r"= \(?\w+\[([\d,]*)\][^ ]* (copy|copy-start|select)\(")


def compiled(model, seeds):
    """The HLO of decoding, alone or vmapped over weights a seed. Traced anew, past `decode`'s own cache."""

    def run(params):
        keys = jax.random.split(jax.random.key(0), ROWS)
        heat, ends = jnp.float32(1), jnp.asarray([0], jnp.int32)
        prefix, state = decoding.prefill(
            model.graphdef,
            params,
            jnp.ones((1, 32), jnp.int32),
            jnp.asarray([5], jnp.int32),
            jnp.zeros(ROWS, jnp.int32),
            jnp.zeros(ROWS, bool),
            keys,
            heat,
            ends,
            capacity=CAPACITY,
            greedy=False,
        )
        weights = generate.prepare(model.graphdef, params)
        return decoding.decode.__wrapped__(
            weights, prefix, state, jnp.int32(40), keys, heat, ends, config=model.config, greedy=False
        )

    if seeds == 1:
        return jax.jit(run).lower(model.params).compile().as_text()
    params = jax.tree.map(lambda leaf: jnp.stack([leaf * (1 + 0.1 * seed) for seed in range(seeds)]), model.params)
    return jax.jit(jax.vmap(run)).lower(params).compile().as_text()


def whole_caches_made_in_loops(text, cache):
    """Lines inside the while loops of an HLO text, and inside what they call, that copy or select as many elements as a
    cache has along axes among which are a cache's longest two."""
    bodies: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        opening = OPENING.match(line)
        if opening:
            name = opening[1]
        bodies.setdefault(name, []).append(line)
    waiting = re.findall(r"\bwhile\(.*body=%?([\w.\-]+)", text)
    assert waiting, "the program has no loop"
    inside: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in inside:
            inside.add(name)
            waiting += [called for line in bodies[name] for called in CALLED.findall(line)]
    found = []
    for line in (line for name in inside for line in bodies[name]):
        made = MADE.search(line)
        shape = [int(size) for size in made[1].split(",") if size] if made else []
        if prod(shape) >= prod(cache) and set(sorted(cache)[-2:]) <= set(shape):
            found.append(line.strip())
    return found


@pytest.fixture(scope="module")
def model():
    return toy.model()


def cache_of(model, seeds):
    return (seeds, ROWS, model.config.kv_heads, model.config.head_dim, CAPACITY)


@pytest.mark.parametrize("seeds", [1, SEEDS])
def test_the_loop_copies_no_cache(model, seeds):
    """Catches a place in the cache that XLA can simplify, and under `vmap` a condition a seed: either copies every
    layer's keys and values at every token."""
    assert whole_caches_made_in_loops(compiled(model, seeds), cache_of(model, seeds)) == []


def test_the_loop_of_waiting_rows_copies_no_cache(model):
    """Catches the same in the loop whose rows begin at different times: an index a row, where one slot serves all."""
    block = refill.read(model.graphdef, model.params, jnp.ones((2, 32), jnp.int32), jnp.asarray([5, 5]))
    prefix, places = refill.empty(block, config=model.config, rows=ROWS, capacity=CAPACITY)
    weights, ends = generate.prepare(model.graphdef, model.params), jnp.asarray([0], jnp.int32)
    given = weights, prefix, places, jnp.int32(ROWS), jnp.float32(1), ends, jnp.int32(40)
    text = refill.advance.lower(*given, config=model.config, greedy=False).compile().as_text()
    assert whole_caches_made_in_loops(text, cache_of(model, 1)) == []


@pytest.mark.parametrize(
    ("seeds", "everywhere"),
    [(1, lambda done: jnp.zeros((), bool)), (SEEDS, lambda done: jnp.zeros((), bool)), (SEEDS, jnp.all)],
    ids=["plain place", "plain place, vmapped", "a condition a seed"],
)
def test_a_copied_cache_is_seen(model, seeds, everywhere, monkeypatch):
    """The measure itself: where `_all` is known, the place is the slot and nothing else; where it is a plain `all`,
    every seed has its own place and end."""
    monkeypatch.setattr(decoding, "_all", everywhere)
    found = whole_caches_made_in_loops(compiled(model, seeds), cache_of(model, seeds))
    assert len(found) >= 2 * model.config.layers  # keys and values
