"""Objectives: log-probabilities and learning signals in, a surrogate to maximise (or a penalty to minimise) out.

A rollout i is a sequence of tokens t = 1 … L_i; an arm of a table is a sequence of one token. With signal A_i, current
log-probabilities lp and those at sampling time lp_old, per token

    reinforce   A_i · lp_it                                              gradient A_i ∇ log π
    ppo_clip    min(r·A_i, clip(r, 1 − low, 1 + high)·A_i),  r = exp(lp_it − lp_old_it)
    kl          k1 = lp − ref;  k2 = ½(lp − ref)²;  k3 = e^d − d − 1, d = ref − lp

and `aggregate` turns [G, T] tokens into a scalar. Definitions, names and default constants are verl's
(verl/trainer/ppo/core_algos.py) where a docstring does not name a difference; k1, k2, k3 are Schulman's
(joschu.net/blog/kl-approx.html); the surrogate is PPO's (arXiv 1707.06347); dual clip is arXiv 1912.09729. The
surrogates are to be *maximised*: a loss is their negative. Other ratios than PPO's are in `bandit_rft.ratios`.

The default aggregation here is "seq-mean-token-sum", not verl's "token-mean": with it the gradient is the mean over
rollouts of A_i ∇ log π(sequence i), the policy gradient of the contract and of the theory; every other mode rescales
tokens by a length and is a different update direction.

All functions are pure, work under jit, vmap and grad, and keep the dtype of their input. The entropy bonus needs whole
distributions, not the chosen tokens' log-probabilities, and is added where those are
(`llm_bridge.training.policy_gradient`).
Left out: clip-covariance variants.
"""

from __future__ import annotations

from typing import Literal, get_args

import jax
import jax.numpy as jnp

from bandit_rft.errors import InputError

Array = jax.Array

KLEstimator = Literal["k1", "k2", "k3"]
Aggregation = Literal["seq-mean-token-sum", "seq-mean-token-sum-norm", "seq-mean-token-mean", "token-mean", "token-sum"]
AGGREGATIONS: tuple[str, ...] = get_args(Aggregation)
KL_ESTIMATORS: tuple[str, ...] = get_args(KLEstimator)

# verl clamps a log-ratio to ±20 before the exponential: e^20 is still finite in every float type in use but float16.
LOG_RATIO_CLAMP = 20.0
# (clamp of ref − lp, clamp of the estimate) that verl applies to k3 alone.
K3_CLAMP = (20.0, 10.0)


def _per_token(signals: Array, log_probs: Array) -> Array:
    """Signals [G] or [G, T] against log-probabilities [G, T] (or one signal per arm against [G])."""
    return signals[..., None] if signals.ndim == log_probs.ndim - 1 else signals


def log_ratio(log_probs: Array, old_log_probs: Array, clamp: float | None = LOG_RATIO_CLAMP) -> Array:
    """log r = lp − lp_old, clamped to ±`clamp` (None: not clamped).

    Args:
        log_probs: [...] float, the current policy's.
        old_log_probs: same shape and dtype, the sampling policy's; no gradient flows into it.
        clamp: bound on |log r|; beyond it the gradient is zero, as in verl.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import objectives
        >>> new, old = jnp.log(jnp.array([[0.5, 0.2]])), jnp.log(jnp.array([[0.4, 0.2]]))
        >>> print(objectives.log_ratio(new, old).round(3))
        [[0.223 0.   ]]
    """
    difference = log_probs - jax.lax.stop_gradient(old_log_probs)
    return difference if clamp is None else jnp.clip(difference, -clamp, clamp)


def importance_ratio(log_probs: Array, old_log_probs: Array, clamp: float | None = LOG_RATIO_CLAMP) -> Array:
    """r = π(token) / π_old(token), exp of the clamped `log_ratio`; same shape and dtype as its inputs.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import objectives
        >>> new, old = jnp.log(jnp.array([[0.5, 0.2]])), jnp.log(jnp.array([[0.4, 0.2]]))
        >>> print(objectives.importance_ratio(new, old).round(3))
        [[1.25 1.  ]]
    """
    return jnp.exp(log_ratio(log_probs, old_log_probs, clamp))


def reinforce(log_probs: Array, signals: Array) -> Array:
    """Per-token surrogate A·lp, whose gradient is the score function estimate A ∇ log π (Williams 1992).

    Args:
        log_probs: [G, T] float.
        signals: [G] (one per rollout) or [G, T], same dtype; held constant.

    Returns:
        [G, T], to be maximised.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import objectives
        >>> print(objectives.reinforce(jnp.log(jnp.array([[0.5, 0.2]])), jnp.array([1.0])).round(3))
        [[-0.693     -1.6090001]]
    """
    return _per_token(jax.lax.stop_gradient(signals), log_probs) * log_probs


def ppo_clip(
    log_probs: Array,
    old_log_probs: Array,
    signals: Array,
    clip_low: float | Array = 0.2,
    clip_high: float | Array = 0.2,
    dual_clip: float | Array | None = None,
    log_ratio_clamp: float | None = LOG_RATIO_CLAMP,
) -> Array:
    """PPO's clipped surrogate per token, min(r·A, clip(r, 1 − low, 1 + high)·A).

    With the raw reward R as A it is the minimalist configuration of arXiv 2601.14599. On policy (r = 1) its gradient
    equals that of `reinforce`.

    Args:
        log_probs, old_log_probs: [G, T] float.
        signals: [G] or [G, T], same dtype; held constant.
        clip_low, clip_high: how far r may fall or rise before the gradient stops; `math.inf` switches a side off.
        dual_clip: c > 1 bounds the surrogate of a negative signal from below by c·A; None, the default: no bound, where
            verl's default is 3.
        log_ratio_clamp: see `log_ratio`.

    Returns:
        [G, T], to be maximised.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import objectives
        >>> new, old = jnp.log(jnp.array([[0.5, 0.2]])), jnp.log(jnp.array([[0.4, 0.2]]))
        >>> print(objectives.ppo_clip(new, old, jnp.array([1.0])).round(3))
        [[1.2 1. ]]
    """
    ratio = importance_ratio(log_probs, old_log_probs, log_ratio_clamp)
    return clipped_surrogate(ratio, signals, clip_low, clip_high, dual_clip)


def clipped_surrogate(
    ratio: Array,
    signals: Array,
    clip_low: float | Array = 0.2,
    clip_high: float | Array = 0.2,
    dual_clip: float | Array | None = None,
) -> Array:
    """`ppo_clip` of ratios [G, T], of tokens or of responses.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import objectives
        >>> print(objectives.clipped_surrogate(jnp.array([[1.25, 0.5]]), jnp.array([1.0])))
        [[1.2 0.5]]
    """
    signal = _per_token(jax.lax.stop_gradient(signals), ratio)
    surrogate = jnp.minimum(ratio * signal, jnp.clip(ratio, 1.0 - clip_low, 1.0 + clip_high) * signal)
    if dual_clip is None:
        return surrogate
    return jnp.where(signal < 0, jnp.maximum(surrogate, dual_clip * signal), surrogate)


def outside_clip(
    log_probs: Array,
    old_log_probs: Array,
    signals: Array,
    clip_low: float | Array = 0.2,
    clip_high: float | Array = 0.2,
) -> Array:
    """[G, T] bool: where the clip binds, that is where `ppo_clip` passes no gradient (dual clip aside).

    Its share of all response tokens is verl's pg_clipfrac; the dual clip's, pg_clipfrac_lower, is not counted.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import objectives
        >>> new, old = jnp.log(jnp.array([[0.5, 0.2]])), jnp.log(jnp.array([[0.4, 0.2]]))
        >>> print(objectives.outside_clip(new, old, jnp.array([1.0])))
        [[ True False]]
    """
    return clip_binds(importance_ratio(log_probs, old_log_probs), signals, clip_low, clip_high)


def clip_binds(ratio: Array, signals: Array, clip_low: float | Array = 0.2, clip_high: float | Array = 0.2) -> Array:
    """`outside_clip` of ratios [G, T], of tokens or of responses.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import objectives
        >>> print(objectives.clip_binds(jnp.array([[1.25, 0.5]]), jnp.array([1.0])))
        [[ True False]]
    """
    signal = _per_token(signals, ratio)
    return ((signal > 0) & (ratio > 1.0 + clip_high)) | ((signal < 0) & (ratio < 1.0 - clip_low))


def kl(
    log_probs: Array,
    ref_log_probs: Array,
    estimator: KLEstimator = "k3",
    clamp: tuple[float, float] | None = K3_CLAMP,
) -> Array:
    """Per-token estimate of KL(π ‖ reference) from tokens drawn from π.

    k1 is unbiased and may be negative; k2 is biased, never negative; k3 is unbiased and never negative (its clamp
    apart). Their *gradients* on policy differ too, given the tokens before: in expectation k1's is zero, k2's is
    ∇ KL(π ‖ reference), k3's is ∇ KL(reference ‖ π). That of whole responses has more: what a token does to the KL of
    those after it, which no sum of these over tokens holds. k3 is what verl and the papers use in the loss
    ("low_var_kl"). verl's "abs", and "k1+" and "k3+" (the value of k1 or k3 with the gradient of k2), are left out;
    TRL's k3 has no clamp.

    Args:
        log_probs: [...] float, the current policy's.
        ref_log_probs: same shape and dtype, the reference's; no gradient flows into it.
        estimator: "k1", "k2" or "k3".
        clamp: (bound on |ref − lp|, bound on |estimate|) for k3, as verl clamps k3 alone; None: no clamp.

    Raises:
        InputError: unknown estimator.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import objectives
        >>> new, old = jnp.log(jnp.array([[0.5, 0.2]])), jnp.log(jnp.array([[0.4, 0.2]]))
        >>> print(objectives.kl(new, old, "k3").round(4))
        [[0.0231 0.    ]]
    """
    reference = jax.lax.stop_gradient(ref_log_probs)
    if estimator == "k1":
        return log_probs - reference
    if estimator == "k2":
        return 0.5 * jnp.square(log_probs - reference)
    if estimator != "k3":
        raise InputError(f"Unknown KL estimator {estimator!r}: choose one of {', '.join(KL_ESTIMATORS)}.")
    difference = reference - log_probs
    if clamp is not None:
        difference = jnp.clip(difference, -clamp[0], clamp[0])
    # expm1 keeps the leading term d²/2, which e^d − 1 loses to rounding for |d| < 1e-4 in float32.
    estimate = jnp.expm1(difference) - difference
    return estimate if clamp is None else jnp.clip(estimate, -clamp[1], clamp[1])


def aggregation_weights(
    mask: Array,
    mode: Aggregation = "seq-mean-token-sum",
    length: int | None = None,
    dtype: jnp.dtype | None = None,
    *,
    rollouts: int | Array | None = None,
) -> Array:
    """Weights w [G, T] with aggregate(x) = Σ w·x: every mode is linear in the tokens.

    Computed once for the whole round, they let rounds be split into micro-batches, or rollouts without a gradient be
    left out, without changing any denominator.

    Args:
        mask: [G, T] bool, True on the tokens that count (through the first end-of-sequence token).
        mode: G rollouts (all of the step, of every prompt), L_i tokens in rollout i, N = Σ L_i:
            "seq-mean-token-sum"       (1/G) Σ_i Σ_t x
            "seq-mean-token-sum-norm"  (1/G) Σ_i (1/length) Σ_t x     (Dr.GRPO)
            "seq-mean-token-mean"      (1/G) Σ_i (1/L_i) Σ_t x        (GRPO as published)
            "token-mean"               (1/N) Σ_i Σ_t x                (DAPO; verl's default)
            "token-sum"                Σ_i Σ_t x
        length: the constant of "seq-mean-token-sum-norm", a maximum response length; default T, the padded length.
        dtype: of the weights; default float32.
        rollouts: G, where rows of the mask only fill a fixed shape and are no rollouts; default all rows.

    Differences from verl's agg_loss: its "seq-mean-token-sum-norm" has no 1/G up to version 0.7, so that it is G times
    this one; newer ones have it, as TRL's "dr_grpo" has. It knows no "token-sum". A rollout with no token weighs zero
    and counts among the G, where newer versions of verl leave it out; and they add 1e-8 to L_i. An all-False mask
    gives zeros, never NaN.

    Raises:
        InputError: unknown mode.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import objectives
        >>> mask = jnp.array([[1.0, 1.0], [1.0, 0.0]])
        >>> print(objectives.aggregation_weights(mask, "token-mean").round(3))
        [[0.333 0.333]
         [0.333 0.   ]]
    """
    ones = mask.astype(jnp.float32 if dtype is None else dtype)
    rows, padded = mask.shape
    rollouts = jnp.asarray(rows if rollouts is None else rollouts, ones.dtype)
    if mode == "token-sum":
        return ones
    if mode == "token-mean":
        return ones / jnp.maximum(ones.sum(), 1.0)
    if mode == "seq-mean-token-sum":
        return ones / rollouts
    if mode == "seq-mean-token-sum-norm":
        return ones / (rollouts * (padded if length is None else length))
    if mode == "seq-mean-token-mean":
        return ones / (rollouts * jnp.maximum(ones.sum(axis=1, keepdims=True), 1.0))
    raise InputError(f"Unknown aggregation {mode!r}: choose one of {', '.join(AGGREGATIONS)}.")


def weighted_sum(per_token: Array, weights: Array) -> Array:
    """Σ w·x over the tokens of non-zero weight; whatever padding holds (even NaN) is left out.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import objectives
        >>> print(objectives.weighted_sum(jnp.array([[1.0, 2.0]]), jnp.array([[0.5, 0.5]])))
        1.5
    """
    return jnp.sum(jnp.where(weights == 0, jnp.zeros_like(per_token), per_token) * weights)


def aggregate(
    per_token: Array, mask: Array, mode: Aggregation = "seq-mean-token-sum", length: int | None = None
) -> Array:
    """The scalar of [G, T] tokens under a mask, by verl's aggregation names: see `aggregation_weights`.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import objectives
        >>> mask = jnp.array([[1.0, 1.0], [1.0, 0.0]])
        >>> round(float(objectives.aggregate(2 * mask, mask, "token-mean")), 3)
        2.0
    """
    return weighted_sum(per_token, aggregation_weights(mask, mode, length, per_token.dtype))
