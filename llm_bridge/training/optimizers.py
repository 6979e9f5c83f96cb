"""The optimisers that fine-tuning knows by name, their schedules, and the bound on the gradient's norm; all of optax.

    adamw   Loshchilov and Hutter 2019 (arXiv 1711.05101); verl's, TRL's and Tunix's default
    sgd     plain gradient steps: no momentum, no decay, no moments in memory (the update of the theory)
    muon    momentum orthogonalised by Newton–Schulz (Jordan 2024; arXiv 2502.16982) for the layers' matrices, AdamW for
            embedding, head, norms and biases

Every function is cached, because jit recognises an optimiser by identity: two learners of the same settings share one
compiled step.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MuonDimensionNumbers

from bandit_rft.errors import InputError
from llm_bridge.training.gradient_clip import clip_by_global_norm

PyTree = Any
Optimizer = Literal["adamw", "sgd", "muon"]
Schedule = Literal["constant", "linear", "cosine"]
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
SCHEDULES: tuple[str, ...] = get_args(Schedule)

# Root mean square of Muon's update of a matrix, in learning rates: about that of AdamW's (arXiv 2502.16982, section
# 2.2), so that one learning rate serves the matrices and the rest, and a run may change optimiser and nothing else.
MUON_RMS = 0.2


@lru_cache(maxsize=64)
def schedule(
    kind: Schedule, peak: float, *, rounds: int | None, warmup_rounds: int, floor: float, steps_per_round: int
) -> float | optax.Schedule:
    """The learning rate as a function of the number of optimiser steps taken; constant within a round, as in verl.

    In round t (from 0) of T with W rounds of warmup, the definitions of verl and transformers:

        t < W          peak · t / W: the first round of a warmup does not move
        constant       peak
        linear         peak · max(floor, (T − t)/(T − W))
        cosine         peak · (floor + (1 − floor) · ½ (1 + cos(π (t − W)/(T − W))))

    Args:
        kind: "constant", "linear" or "cosine".
        peak: the learning rate.
        rounds: T; only "constant" does without.
        warmup_rounds: W.
        floor: what share of the peak is left at the end (verl's min_lr_ratio).
        steps_per_round: optimiser steps per round.

    Raises:
        InputError: an unknown kind, W or the floor out of range, or no T where one is needed.
    """
    if kind not in SCHEDULES:
        raise InputError(f"Unknown schedule {kind!r}: choose one of {', '.join(SCHEDULES)}.")
    if not 0.0 <= floor <= 1.0:
        raise InputError(f"learning_rate_floor is {floor}: give a share of the learning rate between 0 and 1.")
    if warmup_rounds < 0:
        raise InputError(f"warmup_rounds is {warmup_rounds}: give a whole number of at least 0.")
    if kind == "constant" and warmup_rounds == 0:
        return peak
    if kind != "constant" and (rounds is None or warmup_rounds >= rounds):
        raise InputError(
            f"The {kind} schedule has {rounds} rounds, {warmup_rounds} of them warmup: give more rounds than warmup."
        )

    def at(count: Any) -> jax.Array:
        t = (jnp.asarray(count, jnp.int32) // steps_per_round).astype(jnp.float32)
        share = jnp.ones((), jnp.float32)
        if kind != "constant":
            assert rounds is not None
            progress = jnp.clip((t - warmup_rounds) / (rounds - warmup_rounds), 0.0, 1.0)
            if kind == "linear":
                share = jnp.maximum(floor, 1.0 - progress)
            else:
                share = floor + (1.0 - floor) * 0.5 * (1.0 + jnp.cos(math.pi * progress))
        return peak * jnp.where(t < warmup_rounds, t / max(warmup_rounds, 1), share)

    return at


@lru_cache(maxsize=64)
def named(
    name: Optimizer, learning_rate: float | optax.Schedule, weight_decay: float, betas: tuple[float, float], eps: float
) -> optax.GradientTransformation:
    """The optimiser of that name; SGD takes the learning rate alone.

    Muon takes AdamW's `betas` and `eps` for the parameters that AdamW moves, and its own momentum of 0.95; its update
    of a matrix is scaled by 0.2 √max(in, out). `optax.contrib.muon` as such would orthogonalise whatever has two axes:
    here that is the embedding and the stacked norms, while a stack of matrices [L, in, out] has three.
    """
    if name == "sgd":
        return optax.sgd(learning_rate)
    adamw = optax.adamw(learning_rate, b1=betas[0], b2=betas[1], eps=eps, weight_decay=weight_decay)
    if name == "adamw":
        return adamw
    matrices = optax.chain(
        optax.contrib.scale_by_muon(weight_dimension_numbers=_stacked_matrices),
        optax.stateless(lambda updates, _: jax.tree.map(_consistent_rms, updates)),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
    return optax.partition({"muon": matrices, "adamw": adamw}, _labels)


def wide(tree: PyTree) -> PyTree:
    """Floating-point leaves of 16 bits in float32."""
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if leaf.dtype.itemsize < 4 else leaf, tree)


def _labels(params: PyTree) -> PyTree:
    """Matrices of the layers, [L, in, out], are Muon's; norms and biases [L, d], embedding and head [V, D] are not."""
    return jax.tree.map(lambda leaf: "muon" if leaf.ndim == 3 else "adamw", params)


def _stacked_matrices(params: PyTree) -> PyTree:
    """The axes that a layer's matrix maps from and to; the first, over layers, is left to be mapped over."""
    return jax.tree.map(lambda leaf: MuonDimensionNumbers(reduction_axis=1, output_axis=2), params)


def _consistent_rms(update: jax.Array) -> jax.Array:
    """An orthogonal matrix's entries have a root mean square of 1/√max(in, out)."""
    return update * (MUON_RMS * math.sqrt(max(update.shape[-2:])))


@lru_cache(maxsize=64)
def in_float32(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The optimiser with moments and arithmetic in float32, whatever the weights have.

    Moments of 16 bits stop: with beta2 of .999 a step changes the second one by a thousandth, and bfloat16 has 2⁻⁸ of a
    number between it and the next; in float16 the square of a small gradient, and AdamW's epsilon, are 0. Of weights in
    float32 it changes nothing.
    """

    def init(params: PyTree) -> PyTree:
        return optimizer.init(wide(params))

    def update(updates: PyTree, state: PyTree, params: PyTree = None) -> tuple[PyTree, PyTree]:
        return optimizer.update(wide(updates), state, None if params is None else wide(params))

    return optax.GradientTransformation(init, update)


@lru_cache(maxsize=64)
def clipped(optimizer: optax.GradientTransformation, gradient_clip: float | None) -> optax.GradientTransformation:
    """The optimiser behind a bound on the gradient's Euclidean norm; None: no bound."""
    return optimizer if gradient_clip is None else optax.chain(clip_by_global_norm(gradient_clip), optimizer)
