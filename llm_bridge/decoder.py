"""The decoder of the Llama, Qwen2 and OLMo2 families in Flax NNX: parameters stacked, forward scanned over layers.

The block is a pure function (`block`) over one layer's weights, so that the whole-sequence forward
(`Decoder.__call__`), the scorer that fine-tuning differentiates (`Decoder.response_states`) and cached decoding
(`llm_bridge.generate`) share one code path and differ only in what a query may attend to. Projections are stored [in,
out] (x @ W), the layout in which XLA's matrix products reach memory bandwidth on a CPU at batch 1 and the GEMM peak at
batch 32.

Sources: RMSNorm, Zhang & Sennrich 2019; rotary embedding in the half-split form, Su et al. 2021; grouped-query
attention, Ainslie et al. 2023; SwiGLU, Shazeer 2020; the parameterisation is that of Hugging Face transformers, whose
logits are the test oracle. Left out: dropout, sliding windows, attention sinks, mixture of experts, packing of several
sequences in a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np

from llm_bridge.config import DecoderConfig

Array = jax.Array
# One layer's arrays by name, or the stack over layers; see `layer_shapes`.
Layer = Mapping[str, Array]
# Keys [B or 1, KV, head_dim, S], values [B or 1, KV, S, head_dim], and which of the S positions each query may see:
# bool [B or 1, T, S]. In this layout both products of attention are plain batched matrix products: on a CPU a quarter
# of the time of [B, S, KV, head_dim], which needs a transpose for each.
Piece = tuple[Array, Array, Array]
MASKED = -1e30
# Attention scores are formed for so many queries at a time, so that memory grows with T and not with T².
QUERY_CHUNK = 512


def layer_shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of each of a layer's parameters; the decoder stacks them over layers on a leading axis L."""
    width, inner = config.width, config.mlp_width
    q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "attention_norm": (width,),
        "mlp_norm": (width,),
        "q": (width, q),
        "k": (width, kv),
        "v": (width, kv),
        "o": (q, width),
        "gate": (width, inner),
        "up": (width, inner),
        "down": (inner, width),
    }
    if config.family.projection_bias:
        shapes |= {"q_bias": (q,), "k_bias": (kv,), "v_bias": (kv,)}
    if config.family.projection_norm:
        shapes |= {"q_norm": (q,), "k_norm": (kv,)}
    return shapes


def matmul(x: Array, weight: Array, *, transposed: bool = False, out: Any = None) -> Array:
    """x [..., in] times weight [in, out] (or [out, in] if `transposed`), in x's dtype; float32 stays float32 on every
    device.

    Without the explicit precision a GPU would run float32 products in TF32 and a TPU in bfloat16.
    """
    contracting = ((x.ndim - 1,), (1 if transposed else 0,))
    out, weight = out or x.dtype, weight.astype(x.dtype)
    if out == jnp.float32:
        x, weight = _widened(x), _widened(weight)
    return jax.lax.dot_general(
        x, weight, (contracting, ((), ())), precision=_precision(x.dtype), preferred_element_type=out
    )


def _widened(x: Array) -> Array:
    """x on accelerators, which multiply 16-bit floats into float32; x as float32 on a CPU, where XLA may refuse to."""
    return x.astype(jnp.float32) if jax.default_backend() == "cpu" else x


def _precision(dtype: Any) -> jax.lax.Precision | None:
    return jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None


def rms_norm(config: DecoderConfig, x: Array, weight: Array) -> Array:
    """x / sqrt(mean(x²) + ε) · weight over the last axis; the mean in float32, the product in x's dtype or, where the
    family is `wide`, in float32 before rounding.
    """
    wide = x.astype(jnp.float32)
    # Divided by a root, not times `rsqrt`: XLA on a CPU miscomputes the vmapped gradient of that form.
    scaled = wide / jnp.sqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + config.norm_epsilon)
    if config.family.wide:
        # The weight has the compute dtype's values, as in a model held in that dtype.
        return (scaled * weight.astype(x.dtype).astype(jnp.float32)).astype(x.dtype)
    return scaled.astype(x.dtype) * weight.astype(x.dtype)


def rope_frequencies(config: DecoderConfig) -> np.ndarray:
    """Angular frequencies [head_dim / 2] in radians a position, float32, with Llama 3.x's scaling where configured.

    Rounded to float32 step by step as transformers does, so that angles at far positions round alike: at position
    131,071 one unit in the last place of a frequency turns an angle by up to 0.008. The power is taken in float64
    first, because numpy's in float32 is off by a unit where torch's, like this one, is not (7 of Llama 3's 32).
    """
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    powers = np.power(np.float64(config.rope_theta), exponents.astype(np.float64)).astype(np.float32)
    frequencies = (np.float32(1.0) / powers).astype(np.float32)
    scaling = config.rope_scaling
    if scaling is None:
        return frequencies
    low, high, original = scaling.low_frequency_factor, scaling.high_frequency_factor, scaling.original_positions
    wavelength = (2 * np.pi / frequencies).astype(np.float32)
    slowed = (frequencies / np.float32(scaling.factor)).astype(np.float32)
    blend = ((original / wavelength - low) / (high - low)).astype(np.float32)
    smooth = ((1 - blend) * frequencies / np.float32(scaling.factor) + blend * frequencies).astype(np.float32)
    between = (wavelength >= original / high) & (wavelength <= original / low)
    return np.where(wavelength > original / low, slowed, np.where(between, smooth, frequencies)).astype(np.float32)


def rope_table(config: DecoderConfig, positions: Array) -> tuple[Array, Array]:
    """Cosine and sine [..., head_dim / 2], float32, of the rotary angles at int positions [...]."""
    angles = positions.astype(jnp.float32)[..., None] * jnp.asarray(rope_frequencies(config))
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x: Array, rope: tuple[Array, Array], *, wide: bool = False) -> Array:
    """Rotary embedding of x [B, T, heads, d], pairing dimension i with i + d / 2; tables [B or 1, T, d / 2].

    In x's dtype, or in float32 and then rounded if `wide`.
    """
    kind = jnp.dtype(jnp.float32) if wide else x.dtype
    cos, sin = (table[:, :, None, :].astype(kind) for table in rope)
    first, second = jnp.split(x.astype(kind), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)


def attend(query: Array, *pieces: Piece) -> Array:
    """Grouped-query attention of query [B, T, H, head_dim] over the union of the pieces; shape and dtype of query.

    A piece whose leading axis is 1 (the prompt that all rollouts share) is read once for all B rows. Scores and softmax
    are float32. Every query must see at least one position.
    """
    queries = query.shape[1]
    if queries <= QUERY_CHUNK:
        return _attend(query, *pieces)
    count = -(-queries // QUERY_CHUNK)
    short = count * QUERY_CHUNK - queries

    def split(x: Array, **fill: Any) -> Array:
        padded = jnp.pad(x, [(0, 0), (0, short)] + [(0, 0)] * (x.ndim - 2), **fill)
        return jnp.moveaxis(padded.reshape(x.shape[0], count, QUERY_CHUNK, *x.shape[2:]), 1, 0)

    masks = tuple(split(mask, constant_values=True) for _, _, mask in pieces)

    @jax.checkpoint
    def one(chunk: tuple[Array, tuple[Array, ...]]) -> Array:
        part, part_masks = chunk
        return _attend(part, *((k, v, mask) for (k, v, _), mask in zip(pieces, part_masks, strict=True)))

    out = jnp.moveaxis(jax.lax.map(one, (split(query), masks)), 0, 1)
    return out.reshape(query.shape[0], count * QUERY_CHUNK, *query.shape[2:])[:, :queries]


def _attend(query: Array, *pieces: Piece) -> Array:
    rows, queries, heads, head_dim = query.shape
    kv_heads = pieces[0][0].shape[1]
    group = heads // kv_heads
    grouped = query.reshape(rows, queries, kv_heads, group, head_dim).transpose(0, 2, 3, 1, 4)
    merged = grouped.reshape(rows, kv_heads, group * queries, head_dim)
    scores = []
    for keys, _, mask in pieces:
        raw = _product(merged, keys).reshape(rows, kv_heads, group, queries, keys.shape[3])
        scores.append(jnp.where(mask[:, None, None], raw * head_dim**-0.5, MASKED))
    # One softmax over all pieces, kept in parts: the long ones are never copied into one.
    top = reduce(jnp.maximum, [jnp.max(part, axis=-1, keepdims=True) for part in scores])
    powers = [jnp.exp(part - jax.lax.stop_gradient(top)) for part in scores]
    total = reduce(jnp.add, [jnp.sum(part, axis=-1, keepdims=True) for part in powers])
    mixed = []
    for (_, values, _), power in zip(pieces, powers, strict=True):
        weights = power.astype(query.dtype).reshape(rows, kv_heads, group * queries, values.shape[2])
        mixed.append(_product(weights, values))
    out = reduce(jnp.add, mixed).reshape(rows, kv_heads, group, queries, head_dim) / total
    return out.astype(query.dtype).transpose(0, 3, 1, 2, 4).reshape(rows, queries, heads, head_dim)


def _product(left: Array, right: Array) -> Array:
    """Matrix products left [B, KV, m, k] times right [B or 1, KV, k, n]: [B, KV, m, n] float32.

    Written out as one `dot_general` in this order of operands: for a lone query einsum turns them round, which takes
    four times as long on a CPU.
    """
    left, right = _widened(left), _widened(right)
    settings = {"precision": _precision(left.dtype), "preferred_element_type": jnp.float32}
    if right.shape[0] == left.shape[0]:
        return jax.lax.dot_general(left, right, (((3,), (2,)), ((0, 1), (0, 1))), **settings)
    # One set for all rows: the rows' queries are one taller matrix.
    rows, kv_heads, height, _ = left.shape
    stacked = left.transpose(1, 0, 2, 3).reshape(kv_heads, rows * height, -1)
    out = jax.lax.dot_general(stacked, right[0], (((2,), (1,)), ((0,), (0,))), **settings)
    return out.reshape(kv_heads, rows, height, -1).transpose(1, 0, 2, 3)


def block(
    config: DecoderConfig,
    layer: Layer,
    x: Array,
    rope: tuple[Array, Array],
    attention: Callable[[Array, Array, Array], tuple[Array, Any]],
) -> tuple[Array, Any]:
    """One decoder layer on x [B, T, D].

    Args:
        config: the decoder's shape.
        layer: one layer's arrays by name (`layer_shapes`); "qkv", "qkv_bias" and "gate_up" may stand for their fused
            parts.
        x: the residual stream.
        rope: `rope_table` at x's positions.
        attention: (q [B, T, H, d], k [B, KV, d, T], v [B, KV, T, d]) -> (output like q, anything): the caller decides
            what is attended to and what is kept.

    Returns:
        The new residual stream and the second value of `attention`.
    """
    family = config.family
    rows, length, _ = x.shape
    q_size, kv_size = config.heads * config.head_dim, config.kv_heads * config.head_dim
    y = rms_norm(config, x, layer["attention_norm"]) if family.norm_first else x
    if "qkv" in layer:
        fused = matmul(y, layer["qkv"])
        if "qkv_bias" in layer:
            fused = fused + layer["qkv_bias"].astype(x.dtype)
        q, k, v = jnp.split(fused, [q_size, q_size + kv_size], axis=-1)
    else:
        q, k, v = (matmul(y, layer[name]) for name in "qkv")
        if family.projection_bias:
            q, k, v = (part + layer[f"{name}_bias"].astype(x.dtype) for name, part in (("q", q), ("k", k), ("v", v)))
    if family.projection_norm:
        q, k = rms_norm(config, q, layer["q_norm"]), rms_norm(config, k, layer["k_norm"])
    q = rotate(q.reshape(rows, length, config.heads, config.head_dim), rope, wide=family.wide)
    k = rotate(k.reshape(rows, length, config.kv_heads, config.head_dim), rope, wide=family.wide).transpose(0, 2, 3, 1)
    v = v.reshape(rows, length, config.kv_heads, config.head_dim).transpose(0, 2, 1, 3)
    mixed, kept = attention(q, k, v)
    y = matmul(mixed.reshape(rows, length, q_size), layer["o"])
    x = x + (y if family.norm_first else rms_norm(config, y, layer["attention_norm"]))
    y = rms_norm(config, x, layer["mlp_norm"]) if family.norm_first else x
    if "gate_up" in layer:
        gate, up = jnp.split(matmul(y, layer["gate_up"]), 2, axis=-1)
    else:
        gate, up = matmul(y, layer["gate"]), matmul(y, layer["up"])
    y = matmul(jax.nn.silu(gate) * up, layer["down"])
    return x + (y if family.norm_first else rms_norm(config, y, layer["mlp_norm"])), kept


def _checkpointed(step: Callable[..., Any], remat: bool) -> Callable[..., Any]:
    """A scanned layer whose backward pass keeps the products with weights alone, or nothing if `remat`.

    What is between them (norms, rotations, softmax, gates) costs less to compute again than to write and read: at 135M
    parameters and 208 tokens a third of the memory, and 8 per cent of the time of a gradient.
    """
    kept = jax.checkpoint_policies
    policy = kept.nothing_saveable if remat else kept.dots_with_no_batch_dims_saveable
    # Inside a scan nothing can be merged with the forward pass.
    return jax.checkpoint(step, policy=policy, prevent_cse=False)


class Decoder(nnx.Module):
    """A causal language model: token ids in, float32 logits out.

    `nnx.split(decoder)` gives the static graph and the parameters; the parameters are

        embedding [V, D], blocks.<name> [L, *layer_shapes(config)[name]], final_norm [D], head [D, V] (absent when
        tied).

    Attributes:
        config: shape and constants.
        dtype: of activations and matrix products; logits, norms' means, softmaxes are float32 whatever it is.
        param_dtype: in which parameters are stored (float32 masters with bfloat16 compute is the usual pair on
            accelerators).
    """

    def __init__(
        self, config: DecoderConfig, *, rngs: nnx.Rngs, dtype: Any = jnp.float32, param_dtype: Any = jnp.float32
    ) -> None:
        """Random weights: normal with standard deviation 0.02, norms one, biases zero (transformers'
        initialisation).
        """
        self.config, self.dtype, self.param_dtype = config, jnp.dtype(dtype), jnp.dtype(param_dtype)

        def normal(*shape: int) -> nnx.Param:
            return nnx.Param(0.02 * jax.random.normal(rngs.params(), shape, self.param_dtype))

        self.embedding = normal(config.vocabulary, config.width)
        blocks: dict[str, nnx.Param] = {}
        for name, shape in layer_shapes(config).items():
            stacked = (config.layers, *shape)
            if name.endswith("_norm"):
                blocks[name] = nnx.Param(jnp.ones(stacked, self.param_dtype))
            elif name.endswith("_bias"):
                blocks[name] = nnx.Param(jnp.zeros(stacked, self.param_dtype))
            else:
                blocks[name] = normal(*stacked)
        self.blocks = nnx.Dict(blocks)
        self.final_norm = nnx.Param(jnp.ones((config.width,), self.param_dtype))
        if not config.tied:
            self.head = normal(config.width, config.vocabulary)

    def layers(self) -> dict[str, Array]:
        """The stacked layer arrays [L, …] by name."""
        return {name: param[...] for name, param in self.blocks.items()}

    def embed(self, tokens: Array) -> Array:
        """Embeddings [..., D] in the compute dtype of int tokens [...]."""
        return jnp.take(self.embedding[...], tokens, axis=0).astype(self.dtype)

    def normed(self, x: Array) -> Array:
        """The final norm: what the output head reads."""
        return rms_norm(self.config, x, self.final_norm[...])

    def head_logits(self, states: Array) -> Array:
        """Logits [..., V] float32 of final-normed states [..., D]."""
        weight = self.embedding[...] if self.config.tied else self.head[...]
        return matmul(states, weight, transposed=self.config.tied, out=jnp.float32)

    def __call__(self, tokens: Array) -> Array:
        """Logits [B, T, V] float32 for int tokens [B, T]; row b's logits at t depend on tokens[b, :t + 1] alone."""
        return self.head_logits(self.prompt_states(tokens)[0])

    def prompt_states(self, tokens: Array, *, remat: bool = False) -> tuple[Array, tuple[Array, Array]]:
        """Final-normed states [B, T, D] of tokens [B, T] at positions 0 … T − 1, and each layer's keys [L, B, KV, d, T]
        and
        values [L, B, KV, T, d].
        """
        positions = jnp.arange(tokens.shape[1], dtype=jnp.int32)[None]
        rope, causal = rope_table(self.config, positions), positions[:, :, None] >= positions[:, None, :]

        def step(x: Array, layer: Layer) -> tuple[Array, tuple[Array, Array]]:
            return block(self.config, layer, x, rope, lambda q, k, v: (attend(q, (k, v, causal)), (k, v)))

        x, kept = jax.lax.scan(_checkpointed(step, remat), self.embed(tokens), self.layers())
        return self.normed(x), kept

    def response_states(
        self, prompts: Array, prompt_lengths: Array, tokens: Array, *, remat: bool = False
    ) -> tuple[Array, Array]:
        """States that predict each response token, teacher-forced: what scoring and fine-tuning differentiate.

        A shared prompt is run once and attended to by all rows, so that a round of G rollouts costs P + G·T tokens, not
        G·(P + T).

        Args:
            prompts: int [G or 1, P], right-padded; one row is shared by all responses.
            prompt_lengths: int [G or 1], at least 1.
            tokens: int [G, T] responses, right-padded.
            remat: recompute each layer's activations in the backward pass.

        Returns:
            Final-normed states [G or 1, D] at each prompt's last token (they predict token 0) and [G, T, D] at each
            response token (state t predicts token t + 1).
        """
        (held, width), (rows, length) = prompts.shape, tokens.shape
        config, split = self.config, held * width
        prompt_positions = jnp.arange(width, dtype=jnp.int32)[None]
        steps = jnp.arange(length, dtype=jnp.int32)[None]
        prompt_causal = prompt_positions[:, :, None] >= prompt_positions[:, None, :]
        causal = steps[:, :, None] >= steps[:, None, :]
        visible = prompt_positions[:, None, :] < prompt_lengths[:, None, None]
        visible = jnp.broadcast_to(visible, (held, length, width))

        def flat(prompt: Array, response: Array) -> Array:
            """One row of all tokens, the prompts' first: one product a weight, and one gradient of it to sum."""
            return jnp.concatenate([prompt.reshape(split), response.reshape(rows * length)])[None]

        positions = flat(
            jnp.broadcast_to(prompt_positions, (held, width)),
            jnp.broadcast_to(prompt_lengths[:, None] + steps, (rows, length)),
        )
        rope = rope_table(config, positions)

        def attention(q: Array, k: Array, v: Array) -> tuple[Array, None]:
            heads, size = q.shape[2:]

            def pieces(part: slice, batch: int) -> tuple[Array, Array, Array]:
                keys = k[0, :, :, part].reshape(*k.shape[1:3], batch, -1).transpose(2, 0, 1, 3)
                values = v[0, :, part].reshape(v.shape[1], batch, -1, size).transpose(1, 0, 2, 3)
                return q[0, part].reshape(batch, -1, heads, size), keys, values

            asked, keys, values = pieces(slice(0, split), held)
            prompt = attend(asked, (keys, values, prompt_causal))
            answered, *own = pieces(slice(split, None), rows)
            response = attend(answered, (keys, values, visible), (own[0], own[1], causal))
            mixed = [part.reshape(-1, heads, size) for part in (prompt, response)]
            return jnp.concatenate(mixed)[None], None

        def step(x: Array, layer: Layer) -> tuple[Array, None]:
            return block(config, layer, x, rope, attention)[0], None

        start = self.embed(flat(prompts, tokens))
        x, _ = jax.lax.scan(_checkpointed(step, remat), start, self.layers())
        prompt, response = x[0, :split].reshape(held, width, -1), x[0, split:].reshape(rows, length, -1)
        last = jnp.take_along_axis(prompt, (prompt_lengths - 1)[:, None, None], axis=1)[:, 0]
        return self.normed(last), self.normed(response)
