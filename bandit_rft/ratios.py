"""Importance ratios other than PPO's own: of whole responses, as constant weights, and of the sampler.

Where responses come from a policy that is not quite the one being trained (older weights, lower precision, another
engine), the surrogates of `bandit_rft.objectives` need a ratio of the two. With lp the current policy's log-probability
of token t of response i, and lp_old that of the policy that acted,

    gspo                  min(s_i·A_i, clip(s_i, 1 − low, 1 + high)·A_i),  s_i = exp(mean_t(lp_it − lp_old_it))
    cispo                 stop_gradient(clip(r_it, 1 − low, 1 + high))·A_i·lp_it,  r_it = exp(lp_it − lp_old_it)
    truncated_importance  stop_gradient(min(exp(lp_it − sampler_it), C)), a factor of any surrogate

GSPO is arXiv 2507.18071, CISPO arXiv 2506.13585 (MiniMax-M1). The surrogates are to be maximised. All functions are
pure, work under jit, vmap and grad, and keep the dtype of their input.

Left out: rejection of tokens or responses by their ratio (verl's rollout_rs, IcePop).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from bandit_rft.errors import InputError
from bandit_rft.objectives import LOG_RATIO_CLAMP, clipped_surrogate, importance_ratio, reinforce

Array = jax.Array

Ratio = Literal["token", "sequence", "cispo"]
Level = Literal["token", "sequence"]
RATIOS: tuple[str, ...] = get_args(Ratio)
LEVELS: tuple[str, ...] = get_args(Level)


def sequence_ratio(log_probs: Array, old_log_probs: Array, mask: Array, clamp: float | None = LOG_RATIO_CLAMP) -> Array:
    """GSPO's ratio of each response, s_i = exp(mean_t(lp_it − lp_old_it)), at each of its tokens (arXiv 2507.18071).

    Its value is s_i at every token of response i; its gradient is that of GSPO-token, sg(s_i)·π/sg(π), which flows into
    token t from token t alone. That is verl's "gspo". Where all tokens of a response have one signal and one weight, as
    with every signal and aggregation here, the summed gradient is that of GSPO itself.

    Args:
        log_probs, old_log_probs: [G, T] float; whatever padding holds must be finite.
        mask: bool [G, T], the tokens of the responses, L_i of response i.
        clamp: bound on |log s_i|; beyond it the gradient is zero. verl's bound is 10, on one side; TRL has none.

    Returns:
        [G, T]; a response without a token has 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import ratios
        >>> new, old = jnp.log(jnp.array([[0.5, 0.2]])), jnp.log(jnp.array([[0.4, 0.2]]))
        >>> print(ratios.sequence_ratio(new, old, jnp.array([[True, True]])).round(3))
        [[1.118 1.118]]
    """
    inside = mask.astype(log_probs.dtype)
    tokens = jnp.maximum(jnp.sum(inside, axis=-1, keepdims=True), 1.0)
    mean = jnp.sum((log_probs - old_log_probs) * inside, axis=-1, keepdims=True) / tokens
    difference = (log_probs - jax.lax.stop_gradient(log_probs)) + jax.lax.stop_gradient(mean)
    return jnp.exp(difference if clamp is None else jnp.clip(difference, -clamp, clamp))


def gspo(
    log_probs: Array,
    old_log_probs: Array,
    signals: Array,
    mask: Array,
    clip_low: float | Array = 0.2,
    clip_high: float | Array = 0.2,
    dual_clip: float | Array | None = None,
) -> Array:
    """GSPO's surrogate per token, min(s·A, clip(s, 1 − low, 1 + high)·A) with `sequence_ratio`'s s (arXiv 2507.18071).

    A response is clipped as a whole. Averaged by "seq-mean-token-mean" it is the paper's objective. On policy (s = 1)
    its gradient equals that of `reinforce`. The paper's clip is far narrower than PPO's: low 3e-4, high 4e-4. TRL calls
    it importance_sampling_level="sequence".

    Args:
        log_probs, old_log_probs, mask: as `sequence_ratio` takes them.
        signals, clip_low, clip_high: as `ppo_clip` takes them.
        dual_clip: as `ppo_clip` takes it; verl's has none for GSPO.

    Returns:
        [G, T], to be maximised.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import ratios
        >>> new, old = jnp.log(jnp.array([[0.5, 0.2]])), jnp.log(jnp.array([[0.4, 0.2]]))
        >>> print(ratios.gspo(new, old, jnp.array([1.0]), jnp.array([[True, True]]), 0.1, 0.1).round(3))
        [[1.1 1.1]]
    """
    return clipped_surrogate(sequence_ratio(log_probs, old_log_probs, mask), signals, clip_low, clip_high, dual_clip)


def cispo(
    log_probs: Array,
    old_log_probs: Array,
    signals: Array,
    clip_low: float | Array = 0.2,
    clip_high: float | Array = 0.2,
) -> Array:
    """CISPO's surrogate per token, sg(clip(r, 1 − low, 1 + high))·A·lp (MiniMax-M1, arXiv 2506.13585, equations 4, 5).

    The ratio is a weight that is held constant: a token outside the clip keeps a gradient, by the bound as its weight,
    where `ppo_clip` has none. On policy its gradient equals that of `reinforce`. The paper bounds the ratio from above
    only: clip_low of 1 or more. TRL's epsilon_high of its "cispo" loss is 1 + clip_high here; verl's clip_ratio_high is
    clip_high.

    Args:
        log_probs, old_log_probs, signals: as `ppo_clip` takes them.
        clip_low, clip_high: how far the weight may be from 1.

    Returns:
        [G, T], to be maximised.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import ratios
        >>> new, old = jnp.log(jnp.array([[0.5, 0.2]])), jnp.log(jnp.array([[0.4, 0.2]]))
        >>> print(ratios.cispo(new, old, jnp.array([1.0])).round(3))
        [[-0.832     -1.6090001]]
    """
    weight = jnp.clip(importance_ratio(log_probs, old_log_probs), 1.0 - clip_low, 1.0 + clip_high)
    return jax.lax.stop_gradient(weight) * reinforce(log_probs, signals)


def truncated_importance(
    log_probs: Array,
    sampler_log_probs: Array,
    mask: Array,
    most: float | Array,
    level: Level = "token",
    log_ratio_clamp: float | None = LOG_RATIO_CLAMP,
) -> Array:
    """Weights min(ρ, C) of tokens, ρ = π/π_sampler, that correct for a sampler that is not quite the policy; constants.

    A surrogate whose expectation is meant under π is multiplied by them where its responses come from π_sampler: in
    lower precision, of another engine, or of earlier weights. C = ∞ leaves no bias at level "sequence"; at level
    "token" only for responses of one token, for it leaves out what the tokens before and after were drawn with, and has
    far less variance for it. A smaller C trades variance for bias (truncated importance sampling, Ionides 2008).

    It is verl's algorithm.rollout_correction.rollout_is = "token" | "sequence" with rollout_is_threshold (2.0 by
    default; tis_imp_ratio_cap in older versions), and TRL's vllm_importance_sampling_correction with
    vllm_importance_sampling_mode = "token_truncate" | "sequence_truncate" and vllm_importance_sampling_cap
    (_clip_max in newer versions). Left out: verl's rejection (rollout_rs) and batch normalisation, TRL's "mask" modes.

    Args:
        log_probs: [G, T] float, of the policy that is trained, at the weights before the round's first step.
        sampler_log_probs: same shape and dtype, as recorded while sampling; whatever padding holds must be finite.
        mask: bool [G, T], the tokens of the responses.
        most: C > 0; `math.inf`: not truncated.
        level: "token", ρ of each token; "sequence", ρ of the whole response (the product), at each of its tokens.
        log_ratio_clamp: bound on |log ρ|, verl's.

    Raises:
        InputError: unknown level.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import ratios
        >>> policy, sampler = jnp.log(jnp.array([[0.5, 0.3]])), jnp.log(jnp.array([[0.2, 0.4]]))
        >>> print(ratios.truncated_importance(policy, sampler, jnp.array([[True, True]]), 2.0).round(3))
        [[2.         0.75000006]]
    """
    if level not in LEVELS:
        raise InputError(f"Unknown level {level!r} of importance: choose one of {', '.join(LEVELS)}.")
    difference = jnp.where(mask, log_probs - sampler_log_probs, 0.0)
    if level == "sequence":
        difference = jnp.broadcast_to(jnp.sum(difference, axis=-1, keepdims=True), difference.shape)
    if log_ratio_clamp is not None:
        difference = jnp.clip(difference, -log_ratio_clamp, log_ratio_clamp)
    return jax.lax.stop_gradient(jnp.minimum(jnp.exp(difference), most))


def check_ratio(
    ratio: str,
    *,
    clip: tuple[float, float] | float | None,
    dual_clip: float | None,
    replay: int = 0,
    names: Mapping[str, str] | None = None,
) -> None:
    """Raises InputError for an unknown ratio, or for a ratio or a dual clip that has no meaning with the clip.

    Args:
        ratio: one of `RATIOS`.
        clip, dual_clip: of the surrogate; None: none.
        replay: past rounds that are learned from again, by their ratio also where it is not clipped.
        names: how the user calls the arguments, by "ratio", "clip" and "dual_clip".

    Example:
        >>> from bandit_rft import ratios
        >>> ratios.check_ratio("cispo", clip=None, dual_clip=None)
        Traceback (most recent call last):
        bandit_rft.errors.InputError: ratio is 'cispo', and without a clip there is no ratio: give clip a number.
    """
    said = {"ratio": "ratio", "clip": "clip", "dual_clip": "dual_clip"} | dict(names or {})
    if ratio not in RATIOS:
        raise InputError(f"Unknown {said['ratio']} {ratio!r}: choose one of {', '.join(RATIOS)}.")
    if ratio != "token" and clip is None:
        raise InputError(
            f"{said['ratio']} is {ratio!r}, and without a clip there is no ratio: give {said['clip']} a number."
        )
    if dual_clip is not None and clip is None and not replay:
        raise InputError(
            f"{said['dual_clip']} bounds what a ratio makes of negative signals, and without a clip there is no ratio: "
            f"leave it out, or give {said['clip']} a number."
        )
    if ratio == "cispo" and dual_clip is not None:
        raise InputError(
            f"{said['ratio']} is 'cispo', whose weights {said['clip']} bounds for negative signals too: leave out "
            f"{said['dual_clip']}."
        )


def check_importance(
    most: float | None, level: str, *, old_log_probs: str, ratio: bool, names: Mapping[str, str] | None = None
) -> None:
    """Raises InputError for truncated importance that is no finite number above 0, or that would correct twice.

    Args:
        most: C; None: none.
        level: one of `LEVELS`.
        old_log_probs: "sampler" or "trainer", whose log-probabilities divide the surrogate's ratio.
        ratio: whether the surrogate has one.
        names: how the user calls the arguments, by "truncated_importance", "importance_level" and "old_log_probs".

    Example:
        >>> from bandit_rft import ratios
        >>> ratios.check_importance(2.0, "token", old_log_probs="trainer", ratio=True)
    """
    keys = ("truncated_importance", "importance_level", "old_log_probs")
    said = {key: key for key in keys} | dict(names or {})
    if level not in LEVELS:
        raise InputError(f"Unknown {said['importance_level']} {level!r}: choose one of {', '.join(LEVELS)}.")
    if most is None:
        if level != "token":
            raise InputError(
                f"{said['importance_level']} is that of a correction: give {said['truncated_importance']}."
            )
        return
    if not (math.isfinite(most) and most > 0):
        raise InputError(
            f"{said['truncated_importance']} is {most}: give a finite number above 0, such as 2; 1e9 truncates nothing."
        )
    if ratio and old_log_probs == "sampler":
        raise InputError(
            f"{said['truncated_importance']} would count the sampler twice, for the ratio divides by its "
            f"log-probabilities already: give {said['old_log_probs']} trainer, or no clip and no replay."
        )


def check_delay(delay: int, replay: int, rounds: int | None = None, names: Mapping[str, str] | None = None) -> None:
    """Raises InputError for rounds that learn late and replay at once, or for a run that ends before it learns.

    Args:
        delay, replay: of the learner, rounds.
        rounds: of the run; None: not known yet.
        names: how the user calls the arguments, by "delay", "replay" and "rounds".

    Example:
        >>> from bandit_rft import ratios
        >>> ratios.check_delay(1, 0)
    """
    said = {name: name for name in ("delay", "replay", "rounds")} | dict(names or {})
    if delay and replay:
        raise InputError(
            f"{said['delay']} is {delay} and {said['replay']} {replay}, and both learn from earlier rounds: leave one "
            "out."
        )
    if rounds is not None and 0 < rounds <= delay:
        raise InputError(
            f"{said['delay']} is {delay} and {said['rounds']} {rounds}: the first {delay} rounds only sample, so that "
            f"nothing would be learned; give more rounds."
        )
