"""The decoder of all families (`families`) in Flax NNX: parameters stacked, forward scanned over layers.

The block is a pure function (`block`) over one layer's weights, so that the whole-sequence forward
(`Decoder.__call__`), the scorer that fine-tuning differentiates (`Decoder.response_states`) and cached decoding
(`llm_bridge.sampling.decoding`) share one code path and differ only in what a query may attend to. Projections are
stored [in, out] (x @ W), the layout in which XLA's products on a CPU are the quickest.

Sources: RMSNorm, Zhang & Sennrich 2019; rotary embedding in the half-split form, Su et al. 2021; grouped-query
attention, Ainslie et al. 2023; SwiGLU, Shazeer 2020; the parameterisation is that of Hugging Face transformers, whose
logits are the test oracle. Left out: dropout, attention sinks, mixture of experts, packing of several
sequences in a row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp

from llm_bridge.models import attention, placement
from llm_bridge.models.alternation import Local, local_layers, rope_of, rope_tables, within
from llm_bridge.models.attention import MASKED, QUERY_CHUNK, Piece, attend
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.layer import Layer, block, embedded, layer_shapes, rms_norm
from llm_bridge.models.lora import Lora, start
from llm_bridge.models.products import matmul
from llm_bridge.models.rotary import rope_frequencies, rope_table, rotate

__all__ = [
    "MASKED",
    "QUERY_CHUNK",
    "Decoder",
    "Layer",
    "Piece",
    "attend",
    "block",
    "layer_shapes",
    "matmul",
    "rms_norm",
    "rope_frequencies",
    "rope_table",
    "rotate",
]

Array = jax.Array
# What a scan over layers hands to one: its weights, and whether it is local.
Scanned = tuple[Layer, Local]


def _of_rows(x: Array, owners: Array | None) -> Array:
    """[R, …] of the prompts' [H, …]: entry owners[r] for row r; all of x, uncopied, where there are no owners.

    The gradient of an entry is the sum over its rows, which is taken in float32 whatever x's dtype is.
    """
    return x if owners is None else x.astype(jnp.float32)[owners].astype(x.dtype)


def _checkpointed(step: Callable[..., Any], remat: bool, lora: Lora | None = None) -> Callable[..., Any]:
    """A scanned layer whose backward pass keeps the products with weights alone, or nothing if `remat`.

    What is between them (norms, rotations, softmax, gates) costs less to compute again than to write and read: at 135M
    parameters and 208 tokens a third of the memory, and 8 per cent of the time of a gradient. What adapters add is
    computed again too: kept beside the product with the weight it would double what is kept.
    """
    kept = jax.checkpoint_policies
    policy = kept.nothing_saveable if remat else kept.dots_with_no_batch_dims_saveable
    if lora is not None and not remat:
        policy = partial(_keeps, lora.rank)
    # Inside a scan nothing can be merged with the forward pass.
    return jax.checkpoint(step, policy=policy, prevent_cse=False)


def _keeps(rank: int, primitive: Any, *operands: Any, **settings: Any) -> Any:
    """Products with weights alone, other than those that contract an adapter's rank."""
    keeps = jax.checkpoint_policies.dots_with_no_batch_dims_saveable(primitive, *operands, **settings)
    if keeps is not True:
        return keeps
    (contracted, _), _ = settings["dimension_numbers"]
    return tuple(operands[0].shape[axis] for axis in contracted) != (rank,)


class Decoder(nnx.Module):
    """A causal language model: token ids in, float32 logits out.

    `nnx.split(decoder)` gives the static graph and the parameters; the parameters are

        embedding [V, D], blocks.<name> [L, *layer_shapes(config)[name]], final_norm [D], head [D, V] (absent when
        tied), and with `config.lora` adapters.<name> [L, *adapter_shapes(config)[name]] in float32.

    Attributes:
        config: shape and constants.
        dtype: of activations and matrix products; logits, norms' means, softmaxes are float32 whatever it is.
        param_dtype: in which parameters are stored (float32 masters with bfloat16 compute is the usual pair on
            accelerators).
    """

    def __init__(
        self, config: DecoderConfig, *, rngs: nnx.Rngs, dtype: Any = jnp.float32, param_dtype: Any = jnp.float32
    ) -> None:
        """Random weights: normal with standard deviation 0.02, norms' factors one, biases zero (transformers'
        initialisation).
        """
        self.config, self.dtype, self.param_dtype = config, jnp.dtype(dtype), jnp.dtype(param_dtype)

        def normal(*shape: int) -> nnx.Param:
            return nnx.Param(0.02 * jax.random.normal(rngs.params(), shape, self.param_dtype))

        self.embedding = normal(config.vocabulary, config.width)
        unit = jnp.zeros if config.family.norm_offset else jnp.ones
        blocks: dict[str, nnx.Param] = {}
        for name, shape in layer_shapes(config).items():
            stacked = (config.layers, *shape)
            if name.endswith("_norm"):
                blocks[name] = nnx.Param(unit(stacked, self.param_dtype))
            elif name.endswith("_bias"):
                blocks[name] = nnx.Param(jnp.zeros(stacked, self.param_dtype))
            else:
                blocks[name] = normal(*stacked)
        self.blocks = nnx.Dict(blocks)
        self.final_norm = nnx.Param(unit((config.width,), self.param_dtype))
        if not config.tied:
            self.head = normal(config.width, config.vocabulary)
        if config.lora is not None:
            started = start(config, rngs.params())
            self.adapters = nnx.Dict({name: nnx.Param(array) for name, array in started.items()})

    def layers(self) -> dict[str, Array]:
        """The stacked layer arrays [L, …] by name, adapters included."""
        adapters = self.adapters if self.config.lora is not None else {}
        return {name: param[...] for name, param in (*self.blocks.items(), *adapters.items())}

    def embed(self, tokens: Array) -> Array:
        """Embeddings [..., D] in the compute dtype of int tokens [...]."""
        rows = jnp.take(self._gathered("embedding"), tokens, axis=0).astype(self.dtype)
        return placement.rows(self.config.mesh, embedded(self.config, rows))

    def scanned(self) -> Scanned:
        """What scans over layers run over: `layers`, and which of them are local."""
        return self.layers(), local_layers(self.config)

    def normed(self, x: Array) -> Array:
        """The final norm: what the output head reads."""
        return rms_norm(self.config, x, self.final_norm[...])

    def head_logits(self, states: Array) -> Array:
        """Logits [..., V] float32 of final-normed states [..., D]."""
        weight = self._gathered("embedding" if self.config.tied else "head")
        logits = matmul(states, weight, transposed=self.config.tied, out=jnp.float32)
        return placement.vocabulary(self.config.mesh, logits)

    def _gathered(self, name: str) -> Array:
        """A weight outside the layers, whole along the mesh's fsdp axis."""
        return placement.gathered(self.config.mesh, {name: getattr(self, name)[...]})[name]

    def __call__(self, tokens: Array) -> Array:
        """Logits [B, T, V] float32 for int tokens [B, T]; row b's logits at t depend on tokens[b, :t + 1] alone."""
        return self.head_logits(self.prompt_states(tokens)[0])

    def prompt_states(self, tokens: Array, *, remat: bool = False) -> tuple[Array, tuple[Array, Array]]:
        """Final-normed states [B, T, D] of tokens [B, T] at positions 0 … T − 1, and each layer's keys [L, B, KV, d, T]
        and
        values [L, B, KV, T, d].
        """
        positions = jnp.arange(tokens.shape[1], dtype=jnp.int32)[None]
        ropes, causal = rope_tables(self.config, positions), positions[:, :, None] >= positions[:, None, :]

        def step(x: Array, scanned: Scanned) -> tuple[Array, tuple[Array, Array]]:
            layer, local = scanned
            seen = within(self.config, local, causal, positions, positions)
            rope = rope_of(ropes, local)
            return block(self.config, layer, x, rope, lambda q, k, v: (self._alone(local, q, k, v, seen), (k, v)))

        x, kept = jax.lax.scan(_checkpointed(step, remat, self.config.lora), self.embed(tokens), self.scanned())
        return self.normed(x), kept

    def response_states(
        self,
        prompts: Array,
        prompt_lengths: Array,
        tokens: Array,
        owners: Array | None = None,
        *,
        remat: bool = False,
    ) -> tuple[Array, Array]:
        """States that predict each response token, teacher-forced: what scoring and fine-tuning differentiate.

        A prompt is run once and attended to by all its rows, so that R responses to H prompts cost H·P + R·T tokens,
        not R·(P + T). A lone prompt's keys and values stay one set that all rows read; several prompts' are copied to
        their rows, a layer at a time.

        Args:
            prompts: int [H, P], right-padded.
            prompt_lengths: int [H], at least 1.
            tokens: int [R, T] responses, right-padded.
            owners: int [R], which prompt each response continues, all below H; None: the lone prompt (H = 1), or row
                r's own (H = R).
            remat: recompute each layer's activations in the backward pass.

        Returns:
            Final-normed states [R or 1, D] at each row's prompt's last token (they predict token 0; 1 where H = 1) and
            [R, T, D] at each response token (state t predicts token t + 1).
        """
        owners = None if len(prompts) == 1 else owners
        if placement.row_shards(self.config.mesh) > 1:
            if len(prompts) == 1:
                return self._after_one_prompt(prompts, prompt_lengths, tokens, remat)
            if owners is not None:
                prompts, prompt_lengths = prompts[owners], prompt_lengths[owners]
            return self._after_own_prompts(prompts, prompt_lengths, tokens, remat)
        (held, width), (rows, length) = prompts.shape, tokens.shape
        config, split = self.config, held * width
        prompt_positions = jnp.arange(width, dtype=jnp.int32)[None]
        steps = jnp.arange(length, dtype=jnp.int32)[None]
        prompt_causal = prompt_positions[:, :, None] >= prompt_positions[:, None, :]
        causal = steps[:, :, None] >= steps[:, None, :]
        before = _of_rows(prompt_lengths, owners)
        visible = prompt_positions[:, None, :] < before[:, None, None]
        visible = jnp.broadcast_to(visible, (len(before), length, width))

        def flat(prompt: Array, response: Array) -> Array:
            """One row of all tokens, the prompts' first: one product a weight, and one gradient of it to sum."""
            return jnp.concatenate([prompt.reshape(split), response.reshape(rows * length)])[None]

        asked_at = jnp.broadcast_to(prompt_positions, (held, width))
        answered_at = before[:, None] + steps
        positions = flat(asked_at, jnp.broadcast_to(answered_at, (rows, length)))
        ropes = rope_tables(config, positions)

        def mixed(local: Local, q: Array, k: Array, v: Array) -> tuple[Array, None]:
            heads, size = q.shape[2:]

            def pieces(part: slice, batch: int) -> tuple[Array, Array, Array]:
                keys = k[0, :, :, part].reshape(*k.shape[1:3], batch, -1).transpose(2, 0, 1, 3)
                values = v[0, :, part].reshape(v.shape[1], batch, -1, size).transpose(1, 0, 2, 3)
                return q[0, part].reshape(batch, -1, heads, size), keys, values

            queries, keys, values = pieces(slice(0, split), held)
            seen = within(config, local, prompt_causal, prompt_positions, prompt_positions)
            prompt = self._alone(local, queries, keys, values, seen)
            answered, *own = pieces(slice(split, None), rows)
            read = _of_rows(keys, owners), _of_rows(values, owners)
            if config.attention == "dot-product":
                limited = {"window": config.window, "local": local}
                response = attention.continued(answered, read, before, (own[0], own[1]), **limited)
            else:
                seen = within(config, local, visible, answered_at, prompt_positions)
                after = within(config, local, causal, steps, steps)
                response = attend(answered, (read[0], read[1], seen), (own[0], own[1], after))
            both = [part.reshape(-1, heads, size) for part in (prompt, response)]
            return jnp.concatenate(both)[None], None

        def step(x: Array, scanned: Scanned) -> tuple[Array, None]:
            layer, local = scanned
            return block(config, layer, x, rope_of(ropes, local), partial(mixed, local))[0], None

        start = self.embed(flat(prompts, tokens))
        x, _ = jax.lax.scan(_checkpointed(step, remat, self.config.lora), start, self.scanned())
        prompt, response = x[0, :split].reshape(held, width, -1), x[0, split:].reshape(rows, length, -1)
        last = jnp.take_along_axis(prompt, (prompt_lengths - 1)[:, None, None], axis=1)[:, 0]
        return _of_rows(self.normed(last), owners), self.normed(response)

    def _alone(self, local: Local, q: Array, k: Array, v: Array, seen: Array) -> Array:
        """Attention of sequences that see themselves alone, by the configured kind; `seen` is what own attention reads
        of the same: each token what is before it.
        """
        if self.config.attention == "dot-product":
            return attention.causal(q, k, v, window=self.config.window, local=local)
        return attend(q, (k, v, seen))

    def _after_one_prompt(
        self, prompts: Array, prompt_lengths: Array, tokens: Array, remat: bool
    ) -> tuple[Array, Array]:
        """`response_states` of a lone prompt on a mesh that divides rows: every device computes the prompt, and its own
        responses. In one row of all tokens they would be moved between devices at every layer.
        """
        config = self.config
        places = jnp.arange(prompts.shape[1], dtype=jnp.int32)[None]
        steps = jnp.arange(tokens.shape[1], dtype=jnp.int32)[None]
        prompt_causal, causal = (line[:, :, None] >= line[:, None, :] for line in (places, steps))
        visible = jnp.broadcast_to(places[:, None] < prompt_lengths[:, None, None], (1, steps.size, places.size))
        asked_ropes = rope_tables(config, places)
        answered_at = prompt_lengths[:, None] + steps
        answered_ropes = rope_tables(config, answered_at)

        def step(both: tuple[Array, Array], scanned: Scanned) -> tuple[tuple[Array, Array], None]:
            layer, local = scanned

            def alone(q: Array, k: Array, v: Array) -> tuple[Array, tuple[Array, Array]]:
                return attend(q, (k, v, within(config, local, prompt_causal, places, places))), (k, v)

            prompt, read = block(config, layer, both[0], rope_of(asked_ropes, local), alone)

            def after(q: Array, k: Array, v: Array) -> tuple[Array, None]:
                seen = within(config, local, visible, answered_at, places)
                return attend(q, (*read, seen), (k, v, within(config, local, causal, steps, steps))), None

            return (prompt, block(config, layer, both[1], rope_of(answered_ropes, local), after)[0]), None

        start = self.embed(prompts), self.embed(tokens)
        (prompt, response), _ = jax.lax.scan(_checkpointed(step, remat, self.config.lora), start, self.scanned())
        last = jnp.take_along_axis(prompt, (prompt_lengths - 1)[:, None, None], axis=1)[:, 0]
        return self.normed(last), self.normed(response)

    def _after_own_prompts(
        self, prompts: Array, prompt_lengths: Array, tokens: Array, remat: bool
    ) -> tuple[Array, Array]:
        """`response_states` on a mesh that divides rows, each after its own prompt [R, P]: prompt and response are one
        row of P + T tokens, for one product a weight, and one gradient of it to sum over devices.
        """
        width, length = prompts.shape[1], tokens.shape[1]
        steps = prompt_lengths[:, None] + jnp.arange(length, dtype=jnp.int32)[None]
        place = jnp.arange(width + length, dtype=jnp.int32)
        positions = jnp.concatenate([jnp.broadcast_to(place[:width], prompts.shape), steps], axis=1)
        ropes, query, key = rope_tables(self.config, positions), place[None, :, None], place[None, None, :]
        filled = (key < prompt_lengths[:, None, None]) | (key >= width)  # no response reads what fills up its prompt
        mask = (key <= query) & (filled | (query < width))

        def step(x: Array, scanned: Scanned) -> tuple[Array, None]:
            layer, local = scanned
            seen, rope = within(self.config, local, mask, positions, positions), rope_of(ropes, local)
            return block(self.config, layer, x, rope, lambda q, k, v: (attend(q, (k, v, seen)), None))[0], None

        x, _ = jax.lax.scan(
            _checkpointed(step, remat, self.config.lora),
            self.embed(jnp.concatenate([prompts, tokens], axis=1)),
            self.scanned(),
        )
        last = jnp.take_along_axis(x, (prompt_lengths - 1)[:, None, None], axis=1)[:, 0]
        return self.normed(last), self.normed(x[:, width:])
