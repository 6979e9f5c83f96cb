"""Dot-product attention against our own, which torch holds elsewhere; where it is taken, and where it is refused.

Against torch it is held in test_alternation.py, on a family whose layers alternate.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft.cli import main
from bandit_rft.errors import InputError
from llm_bridge import load_model
from llm_bridge.models import attention
from llm_bridge.models.attention import attend, causal, chosen, continued, implementation
from tests.llm_bridge import toy

ROWS, HEADS, KV, SIZE, PROMPT, LENGTH, WINDOW = 3, 4, 2, 8, 9, 7, 5


def parts(rows: int, length: int, seed: int, dtype: Any = jnp.float32) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Queries, keys and values."""
    shapes = (rows, length, HEADS, SIZE), (rows, KV, SIZE, length), (rows, KV, length, SIZE)
    keys = jax.random.split(jax.random.key(seed), 3)
    return tuple(jax.random.normal(key, shape, dtype) for key, shape in zip(keys, shapes, strict=True))  # type: ignore[return-value]


def near(queries: np.ndarray, keys: np.ndarray, window: int | None) -> jax.Array:
    apart = queries[..., :, None] - keys[..., None, :]
    return jnp.asarray((apart >= 0) & (apart < (window or 10**6)))


@pytest.mark.parametrize("local", [None, True, False, "traced"])
def test_a_sequence_by_itself(local: Any) -> None:
    """Values and gradients. Catches a window off by one, and heads that read another group's keys."""
    q, k, v = parts(ROWS, LENGTH, 0)
    window = None if local is None else WINDOW
    place = np.arange(LENGTH)
    seen = near(place, place, WINDOW if local is True or local == "traced" else None)[None]
    flag = jnp.asarray(True) if local == "traced" else local

    def summed(ours: bool, *inputs: jax.Array) -> jax.Array:
        out = attend(inputs[0], (*inputs[1:], seen)) if ours else causal(*inputs, window=window, local=flag)
        return jnp.sum(out * jnp.cos(jnp.arange(out.size, dtype=jnp.float32)).reshape(out.shape))

    both = jax.jit(lambda *inputs: [jax.value_and_grad(summed, (1, 2, 3))(ours, *inputs) for ours in (False, True)])
    for found, wanted in zip(*map(jax.tree.leaves, both(q, k, v)), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("lengths", [(4, 9, 1), (6,)], ids=["own prompts", "one prompt"])
@pytest.mark.parametrize("local", [None, True])
def test_responses_after_their_prompts(lengths: tuple[int, ...], local: bool | None) -> None:
    """Prompts of unequal lengths, padded, or one for all rows; values and gradients. Catches a response that reads its
    prompt's padding, or stands elsewhere than after its prompt."""
    q, k, v = parts(ROWS, LENGTH, 1)
    prompt = parts(len(lengths), PROMPT, 2)[1:]
    window, held = (WINDOW if local else None), np.asarray(lengths, np.int32)
    steps, places = np.arange(LENGTH), np.arange(PROMPT)
    before = near(held[:, None] + steps, np.broadcast_to(places, (len(held), PROMPT)), window)
    before &= jnp.asarray(places < held[:, None])[:, None]
    after = near(steps, steps, window)[None]

    def summed(ours: bool, q: jax.Array, k: jax.Array, v: jax.Array, *prompt: jax.Array) -> jax.Array:
        if ours:
            out = attend(q, (*prompt, before), (k, v, after))  # type: ignore[arg-type]
        else:
            out = continued(q, prompt, jnp.asarray(held), (k, v), window=window, local=local)  # type: ignore[arg-type]
        return jnp.sum(out * jnp.sin(jnp.arange(out.size, dtype=jnp.float32)).reshape(out.shape))

    inputs = q, k, v, *prompt
    both = jax.jit(
        lambda *inputs: [jax.value_and_grad(summed, (1, 2, 3, 4, 5))(ours, *inputs) for ours in (False, True)]
    )
    for one, other in zip(*map(jax.tree.leaves, both(*inputs)), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_cudnn_is_taken_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a kernel that is asked for on a CPU, of float32, or of heads that it does not know: JAX stops there."""
    assert implementation(jnp.bfloat16, 64) == "xla"
    assert chosen("auto", jnp.bfloat16, 64, meshed=False) == "own"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert implementation(jnp.bfloat16, 64) == implementation(jnp.float16, 128) == "cudnn"
    assert implementation(jnp.float32, 64) == implementation(jnp.bfloat16, 12) == "xla"
    assert implementation(jnp.bfloat16, 256) == "xla"
    assert chosen("auto", jnp.bfloat16, 64, meshed=False) == "dot-product"
    assert chosen("auto", jnp.bfloat16, 64, meshed=True) == "own"
    assert chosen("auto", jnp.float32, 64, meshed=False) == chosen("own", jnp.bfloat16, 64, meshed=False) == "own"


def test_a_model_scores_and_decodes_alike_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same responses, same scores; and the kernel is really called, in scoring and in prefill, not in decoding. Catches
    a choice that nothing reads."""
    model, called = load_model("tiny-llama"), []
    original = jax.nn.dot_product_attention

    def counted(query: jax.Array, *rest: Any, **settings: Any) -> jax.Array:
        called.append(query.shape[1])
        return original(query, *rest, **settings)

    monkeypatch.setattr(jax.nn, "dot_product_attention", counted)
    other = load_model("tiny-llama", attention="dot-product")
    assert (model.config.attention, other.config.attention) == ("own", "dot-product")
    settings = {"rollouts": 2, "max_tokens": 6, "key": 1}
    own, theirs = model.generate("12+30=?\n", **settings), other.generate("12+30=?\n", **settings)
    np.testing.assert_array_equal(own.tokens, theirs.tokens)
    assert called == [32]
    np.testing.assert_allclose(model.log_probs("12+30=?\n", own), other.log_probs("12+30=?\n", own), atol=2e-5)
    assert called == [32, 32, 32 + 6]
    ids = np.arange(10)[None]
    np.testing.assert_allclose(model.logits(ids), other.logits(ids), atol=1e-4)


def test_what_cannot_be_chosen_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """By name in Python and as typed; nothing is written."""
    with pytest.raises(InputError, match=r"^attention 'flash' is not known: use one of own, dot-product, auto\.$"):
        toy.model().with_attention("flash")
    with pytest.raises(InputError, match=r"^attention 'dot-product' is of one device, [^\n]*\.$"):
        chosen("dot-product", jnp.bfloat16, 64, meshed=True)
    command = ["finetune", "--model", "tiny-llama", "--data", "tiny-addition", "--rounds", "1", "--out"]
    assert main([*command, str(tmp_path / "r"), "--attention", "dot-product", "--mesh", "data=2"]) == 2
    assert "--attention dot-product is of one device: leave out --mesh" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_a_run_records_what_it_took(tmp_path: Path) -> None:
    """ "auto" is what it meant on this machine, so that no run goes on elsewhere with another. Catches a config.json
    that says what was typed, and a continued run that reads it differently."""
    command = ["finetune", "--model", "tiny-llama", "--data", "tiny-addition", "--index", "3", "--max-tokens", "8"]
    command += ["--rounds", "1", "--train-samples", "0", "--test-questions", "0", "--out"]
    recorded = {}
    for kind in ("auto", "dot-product"):
        folder = tmp_path / kind
        assert main([*command, str(folder), "--attention", kind]) == 0
        recorded[kind] = json.loads((folder / "config.json").read_text())["attention"]
    assert recorded == {"auto": "own", "dot-product": "dot-product"}
    assert main([*command, str(tmp_path / "auto"), "--attention", "auto"]) == 0


def test_the_kernel_of_a_scan_over_layers_is_in_the_gradient() -> None:
    """With `remat` and without, of a model whose layers alternate, inside one compiled gradient: catches a branch a
    layer that a backward pass cannot go through."""
    window = {"model_type": "gemma3_text", "layers": 3, "window": 7, "local_layers": (True, False, True)}
    model = toy.model(1, query_scalar=16, **window)
    prompts, lengths = jnp.asarray([[3, 4, 5, 6, 7, 8, 9, 1], [9, 8, 7, 1, 1, 1, 1, 1]]), jnp.asarray([7, 3])
    tokens = jax.random.randint(jax.random.key(0), (3, 9), 1, 60)

    def gradient(kind: str, remat: bool) -> Any:
        graphdef = model.with_attention(kind).graphdef

        def loss(params: Any) -> jax.Array:
            decoder = nnx.merge(graphdef, params)
            owners = jnp.asarray([0, 1, 1])
            return jnp.sum(decoder.response_states(prompts, lengths, tokens, owners, remat=remat)[1][..., 0])

        return jax.jit(jax.grad(loss))(model.params)

    wanted = gradient("own", False)
    for remat in (False, True):
        for one, other in zip(*map(jax.tree.leaves, (gradient("dot-product", remat), wanted)), strict=True):
            np.testing.assert_allclose(one, other, atol=2e-4)
    assert attention.ATTENTIONS[0] == "own"
