"""The published models' own configurations against transformers' torch: random weights, everything else real.

Layers and width are reduced (width to an eighth; number and size of heads, vocabulary, rotary settings, epsilon, head,
context stay), or one layer is kept at full size. Weights go through sharded safetensors with an index.
"""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers

from llm_bridge import load_model
from llm_bridge.models.config import DecoderConfig, LinearScaling
from llm_bridge.models.decoder import attend, block, rope_table
from llm_bridge.models.weights import abstract_decoder, load_params
from llm_bridge.sampling import decoding, generate
from llm_bridge.sampling.scoring import token_log_probs
from tests.llm_bridge.checkpoints import torch_model, write

CONFIGS = Path(__file__).parent / "configs"
NAMES = ("Llama-3.2-1B-Instruct", "OLMo-2-0425-1B-Instruct", "Qwen2.5-0.5B-Instruct", "Qwen2.5-1.5B-Instruct")
# Held to torch at these sizes by slow tests alone: `test_decoder` and `test_alternation` hold small ones.
LATER = ("Qwen3-0.6B", "gemma-3-1b-it")
# One layer of each kind, and a window shorter than the tests' sequences.
SLIDING = {"gemma-3-1b-it": {"num_hidden_layers": 2, "sliding_window_pattern": 2, "sliding_window": 16}}


def published(name: str) -> dict[str, Any]:
    return json.loads((CONFIGS / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(name, changes to its config.json) -> the folder that transformers wrote, in shards."""

    @cache
    def folder(name: str, dtype: str, width: int, **changes: Any) -> Path:
        values = published(name)
        head_dim = values.get("head_dim") or values["hidden_size"] // values["num_attention_heads"]
        values |= {"head_dim": head_dim, "num_hidden_layers": 2, **changes}
        values |= {key: values[key] // width for key in ("hidden_size", "intermediate_size")}
        asked = tmp_path_factory.mktemp("asked")
        (asked / "config.json").write_text(json.dumps(values))
        model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(asked))
        out = write(tmp_path_factory.mktemp(name), model, dtype=dtype, shard="1MB")
        assert (out / "model.safetensors.index.json").is_file()
        return out

    return folder


def ours(folder: Path, dtype: str) -> tuple[DecoderConfig, Any, Any]:
    config = DecoderConfig.from_folder(folder)
    graphdef, _ = abstract_decoder(config, dtype=jnp.dtype(dtype), param_dtype=jnp.dtype(dtype))
    return config, graphdef, load_params(folder, config, dtype)


@jax.jit
def root_mean_square(x: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.mean(x * x))


def logits_of(folder: Path, tokens: np.ndarray, dtype: str) -> np.ndarray:
    _, graphdef, params = ours(folder, dtype)
    logits = jax.jit(lambda params, tokens: nnx.merge(graphdef, params)(tokens))(params, jnp.asarray(tokens))
    return np.asarray(logits)


def torch_logits(folder: Path, tokens: np.ndarray, dtype: str) -> np.ndarray:
    with torch.inference_mode():
        return torch_model(folder, dtype)(torch.tensor(tokens, dtype=torch.long)).logits.float().numpy()


def check_logits(folder: Path, rows: int, length: int) -> None:
    """float32: to 2e-5 of the largest logit, a hundred roundings. bfloat16: as near to the float32 logits as torch's
    own bfloat16 is (its gap is what the format costs; a tenth more is allowed, for the order of sums), and no further
    from torch's than two independent roundings are from each other, √2 gaps, with the same allowance."""
    vocabulary = DecoderConfig.from_folder(folder).vocabulary
    tokens = np.random.default_rng(0).integers(0, vocabulary, (rows, length)).astype(np.int32)
    exact = torch_logits(folder, tokens, "float32")
    assert np.abs(logits_of(folder, tokens, "float32") - exact).max() < 2e-5 * np.abs(exact).max()
    theirs, mine = torch_logits(folder, tokens, "bfloat16"), logits_of(folder, tokens, "bfloat16")
    gap = root_mean_square(theirs - exact)
    assert 1e-4 < gap / root_mean_square(exact) < 0.1
    assert root_mean_square(mine - exact) < 1.1 * gap
    assert root_mean_square(mine - theirs) < 1.1 * 2**0.5 * gap


@pytest.mark.parametrize("name", NAMES)
def test_published_configs_read_the_same_in_both_spellings(name: str, make: Any) -> None:
    """The published file (transformers 4's spelling) and the one that transformers 5 writes: catches a rotary setting,
    a tied head or an end-of-text id that is read from one of them only."""
    values = published(name)
    mine = DecoderConfig.from_values(values, source=name)
    theirs = transformers.AutoConfig.from_pretrained(CONFIGS / f"{name}.json")
    rewritten = DecoderConfig.from_values(json.loads(theirs.to_json_string(use_diff=False)), source=name)
    assert rewritten == mine
    again = DecoderConfig.from_values(mine.to_values("float32")[0], source=name)
    assert again == mine
    assert mine.tied == values["tie_word_embeddings"] == (values["model_type"] != "olmo2")
    assert mine.heads * mine.head_dim == values["hidden_size"]
    assert (mine.rope_scaling is not None) == (values["model_type"] == "llama")
    eos = values["eos_token_id"]
    assert mine.eos_ids == tuple(eos if isinstance(eos, list) else [eos])


@pytest.mark.parametrize(
    ("name", "window", "kinds"),
    [("Qwen3-0.6B", None, 0), ("gemma-3-1b-it", 512, 22), ("gemma-3-4b-it", 1024, 29)],
)
def test_published_configs_of_qwen3_and_gemma_3_are_read_as_transformers_reads_them(
    name: str, window: int | None, kinds: int
) -> None:
    """Gemma's file states what differs from transformers' defaults, and its larger ones hold the text part within: the
    oracle is transformers' own reading. Catches a default of another family, and every spelling of layers and bases."""
    mine = DecoderConfig.from_values(published(name), source=name)
    theirs = transformers.AutoConfig.from_pretrained(CONFIGS / f"{name}.json").get_text_config()
    rewritten = DecoderConfig.from_values(json.loads(theirs.to_json_string(use_diff=False)), source=name)
    eos = published(name)["eos_token_id"]
    assert mine.eos_ids == tuple(eos if isinstance(eos, list) else [eos])
    assert dataclasses.replace(rewritten, eos_ids=mine.eos_ids, pad_id=mine.pad_id) == mine
    assert DecoderConfig.from_values(mine.to_values("float32")[0], source=name) == mine
    assert (mine.vocabulary, mine.width, mine.heads, mine.kv_heads, mine.head_dim, mine.layers, mine.tied) == (
        theirs.vocab_size,
        theirs.hidden_size,
        theirs.num_attention_heads,
        theirs.num_key_value_heads,
        theirs.head_dim,
        theirs.num_hidden_layers,
        True,
    )
    assert (mine.window, sum(mine.local_layers)) == (window, kinds)
    assert [kind == "sliding_attention" for kind in theirs.layer_types] == [
        *(mine.local_layers or [False] * mine.layers)
    ]
    assert (mine.rope_theta, mine.local_rope_theta) == (1e6, 1e4)
    assert mine.rope_scaling == (LinearScaling(factor=8.0) if name == "gemma-3-4b-it" else None)


@pytest.mark.parametrize("name", [*NAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in LATER)])
def test_reduced_models_have_torchs_logits(name: str, make: Any) -> None:
    """Catches a wrong norm, bias, head grouping, rotary setting, head, shard, or place of rounding in bfloat16."""
    check_logits(make(name, "bfloat16", 8, **SLIDING.get(name, {})), rows=2, length=24)


@pytest.mark.parametrize("name", [*NAMES, *LATER])
@pytest.mark.slow
def test_one_full_size_layer_has_torchs_logits(name: str, make: Any) -> None:
    """The vocabulary is cut to 8192 here (the reduced models have it whole): with it a model would be 1.3 GB."""
    tokens = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    sizes = {"num_hidden_layers": 1, "vocab_size": 8192} | SLIDING.get(name, {})
    check_logits(make(name, "bfloat16", 1, **sizes, **tokens), rows=2, length=48)


PROMPTS = (
    "What is 3 + 4?",
    "Hi",
    "A much longer question, which has no answer and takes a hundred bytes to say nothing at all.",
)


@pytest.mark.parametrize("name", NAMES[:3])
def test_prompts_of_unequal_length_in_one_batch(name: str, make: Any) -> None:
    """What the cached sampler says of its tokens, and what the scorer says of them, against one left-padded torch
    batch with an attention mask: catches padding that is attended to, and positions counted from the padding."""
    folder = make(name, "bfloat16", 8)
    model = load_model(str(folder))
    found = model.generate_many(PROMPTS, max_tokens=9, key=1, ignore_eos=True)
    prompts = [model.encode(prompt) for prompt in PROMPTS]
    longest = max(map(len, prompts))
    tokens = np.zeros((len(prompts), longest + 9), np.int64)
    mask = np.zeros_like(tokens)
    padded = np.zeros((len(prompts), longest), np.int32)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = [*prompt, *found.tokens[row]]
        mask[row, longest - len(prompt) :] = 1
        padded[row, : len(prompt)] = prompt
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
    with torch.inference_mode():
        logits = torch_model(folder)(
            torch.tensor(tokens), attention_mask=torch.tensor(mask), position_ids=torch.tensor(positions)
        ).logits[:, longest - 1 : -1]
        wanted = torch.log_softmax(logits, -1).gather(-1, torch.tensor(tokens[:, longest:, None]))[..., 0].numpy()
    np.testing.assert_allclose(found.log_probs, wanted, atol=1e-3)
    scores = token_log_probs(
        model.graphdef,
        model.params,
        jnp.asarray(padded),
        jnp.asarray(found.tokens),
        jnp.asarray(found.lengths),
        prompt_lengths=jnp.asarray([len(prompt) for prompt in prompts]),
        chunk=16,
    )
    np.testing.assert_allclose(scores, wanted, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_rotary_tables_up_to_the_context_limit(name: str) -> None:
    """Against transformers' own module. The fast frequencies must be equal to the bit: at position 131,071 one unit in
    the last place turns an angle by up to 0.008. (One of Qwen2.5-1.5B's 64 is a unit off in torch: 10^-6 at its limit.)
    """
    values = published(name)
    config = DecoderConfig.from_values(values, source=name)
    theirs = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(
            **{**values, "num_hidden_layers": 1, "vocab_size": 256, "intermediate_size": 8}
            | dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
        )
    ).model.rotary_emb
    limit = config.max_positions
    positions = np.concatenate([np.arange(64), np.arange(limit // 2, limit // 2 + 64), np.arange(limit - 512, limit)])
    cos, sin = theirs(torch.zeros(1, dtype=torch.float32), torch.tensor(positions)[None])
    half = config.head_dim // 2
    for mine, table in zip(rope_table(config, jnp.asarray(positions, jnp.int32)), (cos, sin), strict=True):
        np.testing.assert_allclose(mine, table[0, :, :half].numpy(), atol=2e-6)


def test_olmo2_to_its_last_position(make: Any) -> None:
    """4,096 tokens, the whole context; vocabulary cut to 512, or the logits alone would be 1.6 GB."""
    tokens = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    folder = make(
        NAMES[1],
        "float32",
        8,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=512,
        intermediate_size=2048,
        **tokens,
    )
    sequence = np.random.default_rng(3).integers(0, 512, (1, 4096)).astype(np.int32)
    exact, mine = torch_logits(folder, sequence, "float32"), logits_of(folder, sequence, "float32")
    # Angles of up to 4,095 radians, rounded alike; their cosines differ by 1e-7, which two layers enlarge.
    assert np.abs(mine - exact)[:, -64:].max() < 1e-4 * np.abs(exact).max()
    assert np.abs(mine - exact).max() < 1e-4 * np.abs(exact).max()


@pytest.mark.parametrize("name", NAMES[:3])
def test_cached_decoding_just_below_the_context_limit(name: str, make: Any) -> None:
    """Twelve tokens at the end of the context, their prompt's keys written at offset positions, decoded greedily with
    the cache, against torch on the whole sequence at the same `position_ids`."""
    folder = make(name, "bfloat16", 8)
    config, graphdef, params = ours(folder, "float32")
    prompt = np.random.default_rng(4).integers(0, config.vocabulary, 8).astype(np.int32)
    steps, first = 12, config.max_positions - 20
    decoder = nnx.merge(graphdef, params)
    positions = jnp.arange(first, first + 8, dtype=jnp.int32)[None]
    causal = jnp.tril(jnp.ones((1, 8, 8), bool))
    x, kept = decoder.embed(jnp.asarray(prompt)[None]), []
    for i in range(config.layers):
        layer = {key: array[i] for key, array in decoder.layers().items()}
        x, pair = block(
            config, layer, x, rope_table(config, positions), lambda q, k, v: (attend(q, (k, v, causal)), (k, v))
        )
        kept.append(pair)
    top = jnp.argmax(decoder.head_logits(decoder.normed(x))[0, -1])
    heads = (1, config.kv_heads)
    state = generate.State(
        step=jnp.int32(1),
        tokens=jnp.zeros((1, 16), jnp.int32).at[0, 0].set(top.astype(jnp.int32)),
        log_probs=jnp.zeros((1, 16), jnp.float32),
        entropy=jnp.zeros((1, 16), jnp.float32),
        lengths=jnp.ones((1,), jnp.int32),
        done=jnp.zeros((1,), bool),
        keys=tuple(jnp.zeros((*heads, config.head_dim, 16), jnp.float32) for _ in kept),
        values=tuple(jnp.zeros((*heads, 16, config.head_dim), jnp.float32) for _ in kept),
    )
    prefix = generate.Prefix(
        keys=tuple(k for k, _ in kept), values=tuple(v for _, v in kept), lengths=jnp.asarray([first + 8], jnp.int32)
    )
    state = decoding.decode(
        generate.prepare(graphdef, params),
        prefix,
        state,
        jnp.int32(steps),
        jax.random.split(jax.random.key(0), 1),
        jnp.float32(1.0),
        jnp.asarray([-1], jnp.int32),
        config=config,
        greedy=True,
    )
    tokens = np.concatenate([prompt, np.asarray(state.tokens)[0, :steps]])
    ids = torch.tensor(tokens, dtype=torch.long)[None]
    with torch.inference_mode():
        logits = torch_model(folder)(ids, position_ids=torch.arange(first, first + len(tokens))[None]).logits[0, 7:-1]
    assert logits.argmax(-1).tolist() == tokens[8:].tolist()
    wanted = torch.log_softmax(logits, -1).max(-1).values.numpy()
    np.testing.assert_allclose(np.asarray(state.log_probs)[0, 1:steps], wanted[1:], atol=2e-3)
