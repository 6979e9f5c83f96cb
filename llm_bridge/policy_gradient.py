"""What fine-tuning compiles: the loss of a micro-batch and its gradient, and the optimiser's step.

Module-level functions, so that every learner of one model shares their compilations; `llm_bridge.finetune` puts them to
work.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from bandit_rft import objectives
from llm_bridge import scoring
from llm_bridge.gradient_clip import clip_by_global_norm

Array = jax.Array
PyTree = Any


@dataclass(frozen=True)
class Objective:
    """What the compiled loss is traced for. Numbers are arguments instead, so that a sweep over them compiles once."""

    clipped: bool
    dual_clipped: bool
    kl: objectives.KLEstimator | None
    remat: bool


@partial(jax.jit, static_argnames=("graphdef",))
def token_log_probs(
    params: PyTree, prompt: Array, tokens: Array, lengths: Array, temperature: Array, *, graphdef: Any
) -> Array:
    """`scoring.token_log_probs` [G, T], compiled: the reference's score of a micro-batch."""
    return scoring.token_log_probs(graphdef, params, prompt, tokens, lengths, temperature=temperature)


@partial(jax.jit, static_argnames=("graphdef", "objective"))
def loss_and_gradient(
    params: PyTree,
    prompt: Array,
    tokens: Array,
    lengths: Array,
    weights: Array,
    signal: Array,
    old_log_probs: Array,
    ref_log_probs: Array | None,
    numbers: dict[str, Array],
    *,
    graphdef: Any,
    objective: Objective,
) -> tuple[dict[str, Array], PyTree]:
    """Sums over the rows of a micro-batch (loss, KL, tokens clipped, largest sampling gap), and the loss's gradient.

    Args:
        params: the policy's weights.
        prompt: int32 [P], shared by all rows.
        tokens, lengths: int32 [R, T] and [R], the responses.
        weights: float32 [R, T] of `objectives.aggregation_weights` over the whole round; 0 on padding.
        signal: float32 [R].
        old_log_probs: float32 [R, T], as recorded when sampling.
        ref_log_probs: float32 [R, T] of the reference, or None without a KL penalty.
        numbers: float32 scalars temperature, clip_low, clip_high, dual_clip, kl_coefficient.
    """

    def loss_of(params: PyTree) -> tuple[Array, dict[str, Array]]:
        log_probs = scoring.token_log_probs(
            graphdef, params, prompt, tokens, lengths, temperature=numbers["temperature"], remat=objective.remat
        )
        counted = weights != 0
        # Padding must be neutral before any exponential: an infinite ratio times a zero weight would be NaN.
        log_probs = jnp.where(counted, log_probs, 0.0)
        old = jnp.where(counted, old_log_probs, 0.0)
        zero = jnp.zeros((), jnp.float32)
        if objective.clipped:
            limits = (numbers["clip_low"], numbers["clip_high"])
            dual_clip = numbers["dual_clip"] if objective.dual_clipped else None
            surrogate = objectives.ppo_clip(log_probs, old, signal, *limits, dual_clip=dual_clip)
            outside = objectives.outside_clip(log_probs, old, signal, *limits)
            clipped = jnp.sum(jnp.where(counted & outside, 1.0, 0.0))
        else:
            surrogate = objectives.reinforce(log_probs, signal)
            clipped = zero
        loss = -objectives.weighted_sum(surrogate, weights)
        divergence = zero
        if objective.kl is not None:
            assert ref_log_probs is not None
            per_token = objectives.kl(log_probs, jnp.where(counted, ref_log_probs, 0.0), objective.kl)
            divergence = jnp.sum(jnp.where(counted, per_token, 0.0))
            loss = loss + numbers["kl_coefficient"] * objectives.weighted_sum(per_token, weights)
        gap = jnp.max(jnp.where(counted, jnp.abs(log_probs - old), 0.0))
        return loss, {"loss": loss, "kl": divergence, "clipped": clipped, "sampling_gap": gap}

    (_, sums), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
    return sums, gradient


@partial(jax.jit, donate_argnums=(0,))
def add(total: PyTree, part: PyTree) -> PyTree:
    """total + part, in total's memory."""
    return jax.tree.map(jnp.add, total, part)


@jax.jit
def norm(tree: PyTree) -> Array:
    """Euclidean norm over all leaves; summed along the last axis first, where float32 keeps more digits."""
    return jnp.sqrt(sum(jnp.sum(jnp.sum(jnp.square(leaf), axis=-1)) for leaf in jax.tree.leaves(tree)))


def _step(
    params: PyTree, opt_state: PyTree, gradient: PyTree | None, *, optimizer: optax.GradientTransformation
) -> tuple[PyTree, PyTree]:
    """One optimiser step; a gradient of None is exactly zero (made inside the trace, where it costs no memory)."""
    slope = jax.tree.map(jnp.zeros_like, params) if gradient is None else gradient
    # optax raises floats to int32 powers, which strict dtype promotion refuses; that is its own arithmetic, not ours.
    with jax.numpy_dtype_promotion("standard"):
        updates, opt_state = optimizer.update(slope, opt_state, params)
        return optax.apply_updates(params, updates), opt_state


step_donated = jax.jit(_step, static_argnames=("optimizer",), donate_argnums=(0, 1))
step_kept = jax.jit(_step, static_argnames=("optimizer",))


@lru_cache(maxsize=64)
def named_optimizer(
    name: str, learning_rate: float | optax.Schedule, weight_decay: float, betas: tuple[float, float], eps: float
) -> optax.GradientTransformation:
    """Cached, because jit recognises an optimiser by identity."""
    if name == "sgd":
        return optax.sgd(learning_rate)
    return optax.adamw(learning_rate, b1=betas[0], b2=betas[1], eps=eps, weight_decay=weight_decay)


@lru_cache(maxsize=64)
def clipped_optimizer(
    optimizer: optax.GradientTransformation, gradient_clip: float | None
) -> optax.GradientTransformation:
    """The optimiser behind a bound on the gradient's Euclidean norm; cached as above."""
    return optimizer if gradient_clip is None else optax.chain(clip_by_global_norm(gradient_clip), optimizer)


def bucket_rows(count: int, most: int) -> int:
    """Rows of a micro-batch: a power of two, or `most`. Coarser than lengths: each pair of the two is a compilation."""
    return min(1 << (count - 1).bit_length(), most)
