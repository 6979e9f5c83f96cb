"""What fine-tuning compiles: the objective, the loss of a micro-batch with its gradient, and the optimiser's step.

`objective_sums` is the objective itself, a pure function of log-probabilities that every learner of this package calls.
The rest is jitted at module level, so that every learner of one model shares its compilations;
`llm_bridge.training.update` puts it to work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from bandit_rft import objectives, ratios
from llm_bridge.models import lora, placement
from llm_bridge.sampling import scoring
from llm_bridge.training import gradient_clip, optimizers

Array = jax.Array
PyTree = Any

# The names of what `objective_sums` reports.
SUMS = (
    *("loss", "kl", "clipped", "outside", "tokens"),
    *("gap_most", "gap", "gap_tokens", "importance", "importance_squared"),
)


@dataclass(frozen=True)
class Objective:
    """What the compiled loss is traced for. Numbers are arguments instead, so that a sweep over them compiles once.

    Attributes:
        clipped: PPO's surrogate with its importance ratio; False: REINFORCE, A log π, without one.
        dual_clipped: negative signals are bounded too.
        kl: estimator of the KL term in the loss; None: there is none.
        remat: activations are recomputed in the backward pass.
        entropy: the loss has an entropy bonus.
        kl_weighted: each token's KL is multiplied by its importance ratio (TRL: use_bias_correction_kl).
        ratio: whose ratio the surrogate has: each token's (PPO), the response's (GSPO), or each token's as a constant
            weight (CISPO). Without `clipped` there is none.
        truncated: level of the truncated importance that the surrogate is weighed by; None: it is not.
    """

    clipped: bool
    dual_clipped: bool
    kl: objectives.KLEstimator | None
    remat: bool
    entropy: bool = False
    kl_weighted: bool = False
    ratio: ratios.Ratio = "token"
    truncated: ratios.Level | None = None


def objective_sums(
    objective: Objective,
    log_probs: Array,
    old_log_probs: Array,
    ref_log_probs: Array | None,
    signal: Array,
    weights: Array,
    numbers: Mapping[str, Any],
    *,
    entropy: Array | None = None,
    fresh: Array | None = None,
    sampler_log_probs: Array | None = None,
) -> tuple[Array, dict[str, Array]]:
    """The loss of some rows of a round, and what is reported of them; pure, differentiable in the log-probabilities.

        loss = Σ w · (−surrogate + kl_coefficient · KL − entropy_coefficient · H)

    which is verl's policy_loss = pg_loss − entropy_coeff · entropy_loss + kl_loss_coef · kl_loss, each term aggregated
    by the same mode (verl/workers/actor/dp_actor.py). With `kl_weighted` a token's KL stands multiplied by its ratio
    π / π_sampled, through which the gradient flows too: of k3 on policy it is then that of KL(π ‖ reference), where
    without it is that of KL(reference ‖ π). It is TRL's per_token_kl · coef_1 but for the clamps of ratio and k3.

    Args:
        objective: which terms there are.
        log_probs: float32 [R, T], the current policy's.
        old_log_probs: float32 [R, T], of the policy that sampled, as recorded then, or as the trainer scored it.
        ref_log_probs: float32 [R, T] of the reference, or None without a KL term.
        signal: float32 [R].
        weights: float32 [R, T] of `objectives.aggregation_weights` over all rows of the step; 0 on padding.
        numbers: float32 scalars clip_low, clip_high, dual_clip, kl_coefficient, entropy_coefficient, importance_cap, as
            far as the objective has the term.
        entropy: float32 [R, T], nats, exact over the vocabulary (`scoring.token_statistics`); only with the bonus.
        fresh: bool [R], rows sampled by the very policy that is scored, or None for all; the others (replayed ones)
            are left out of the sampling gap.
        sampler_log_probs: float32 [R, T], as recorded while sampling, that `ratios.truncated_importance` divides
            old_log_probs by; None: those are the sampler's, and the ones that divide them are log_probs, which are then
            those before the round's only step.

    Returns:
        The loss, and sums over tokens: "loss"; "kl" (nats, of the term in the loss); "clipped" (tokens where the clip
        stops the gradient, verl's pg_clipfrac before the division; dual clip aside, which verl counts apart; with
        GSPO's ratio all tokens of a response where it does, with CISPO's those whose weight it changes);
        "outside" (tokens whose ratio is outside [1 − low, 1 + high], whatever the sign of the signal); "tokens" (how
        many were scored); and those of `disagreement`, between log_probs and old, of the fresh rows.
    """
    counted = weights != 0
    # Padding must be neutral before any exponential: an infinite ratio times a zero weight would be NaN.
    log_probs = jnp.where(counted, log_probs, 0.0)
    old = jnp.where(counted, old_log_probs, 0.0)
    zero = jnp.zeros((), jnp.float32)
    clipped = outside = divergence = zero
    if objective.clipped:
        limits = (numbers["clip_low"], numbers["clip_high"])
        dual_clip = numbers["dual_clip"] if objective.dual_clipped else None
        ratio = objectives.importance_ratio(log_probs, old)
        if objective.ratio == "sequence":
            ratio = ratios.sequence_ratio(log_probs, old, counted)
            surrogate = ratios.gspo(log_probs, old, signal, counted, *limits, dual_clip=dual_clip)
        elif objective.ratio == "cispo":
            surrogate = ratios.cispo(log_probs, old, signal, *limits)
        else:
            surrogate = objectives.ppo_clip(log_probs, old, signal, *limits, dual_clip=dual_clip)
        left = (ratio > 1.0 + numbers["clip_high"]) | (ratio < 1.0 - numbers["clip_low"])
        binds = left if objective.ratio == "cispo" else objectives.clip_binds(ratio, signal, *limits)
        clipped = jnp.sum(jnp.where(counted & binds, 1.0, 0.0))
        outside = jnp.sum(jnp.where(counted & left, 1.0, 0.0))
    else:
        surrogate = objectives.reinforce(log_probs, signal)
    if objective.truncated is not None:
        pair = (log_probs, old) if sampler_log_probs is None else (old, jnp.where(counted, sampler_log_probs, 0.0))
        cap = numbers["importance_cap"]
        surrogate = surrogate * ratios.truncated_importance(*pair, counted, cap, objective.truncated)
    loss = -objectives.weighted_sum(surrogate, weights)
    if objective.kl is not None:
        assert ref_log_probs is not None
        per_token = objectives.kl(log_probs, jnp.where(counted, ref_log_probs, 0.0), objective.kl)
        if objective.kl_weighted:
            per_token = per_token * objectives.importance_ratio(log_probs, old)
        divergence = jnp.sum(jnp.where(counted, per_token, 0.0))
        loss = loss + numbers["kl_coefficient"] * objectives.weighted_sum(per_token, weights)
    if objective.entropy:
        assert entropy is not None
        loss = loss - numbers["entropy_coefficient"] * objectives.weighted_sum(entropy, weights)
    own = counted if fresh is None else counted & fresh[:, None]
    tokens = jnp.sum(jnp.where(counted, 1.0, 0.0))
    sums = {"loss": loss, "kl": divergence, "clipped": clipped, "outside": outside, "tokens": tokens}
    return loss, sums | disagreement(log_probs, old, own)


def disagreement(trainer: Array, sampler: Array, inside: Array) -> dict[str, Array]:
    """What the metrics of the gap between sampler and trainer are made of, float32 scalars.

    Args:
        trainer, sampler: float32 [R, T], log-probabilities of the same tokens.
        inside: bool [R, T], the tokens that count.

    Returns:
        "gap_most", the largest |trainer − sampler|, which is no sum; and sums over tokens: "gap" (of those),
        "gap_tokens" (their number), "importance" and "importance_squared" (of w = exp(trainer − sampler) and w²).
    """
    trainer, sampler = (jax.lax.stop_gradient(jnp.where(inside, scores, 0.0)) for scores in (trainer, sampler))
    size, ratio = jnp.abs(trainer - sampler), jnp.where(inside, objectives.importance_ratio(trainer, sampler), 0.0)
    return {
        "gap_most": jnp.max(size),
        "gap": jnp.sum(size),
        "gap_tokens": jnp.sum(inside, dtype=jnp.float32),
        "importance": jnp.sum(ratio),
        "importance_squared": jnp.sum(jnp.square(ratio)),
    }


def added(sums: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """The sums of `objective_sums` of two parts of a step, together."""
    largest = {"gap_most": jnp.maximum(sums["gap_most"], more["gap_most"])}
    return {name: value + more[name] for name, value in sums.items()} | largest


def gap_metrics(sums: dict[str, Any]) -> dict[str, Array]:
    """The metrics of the gap between sampler and trainer, of the sums of `disagreement`; NaN where no token counts."""
    tokens = jnp.asarray(sums["gap_tokens"], jnp.float32)
    count = jnp.maximum(tokens, 1.0)
    found = {
        "sampler_trainer_gap": sums["gap_most"],
        "sampler_trainer_gap_mean": sums["gap"] / count,
        "effective_sample_size": jnp.square(sums["importance"])
        / (count * jnp.maximum(sums["importance_squared"], jnp.finfo(jnp.float32).tiny)),
    }
    return {name: jnp.where(tokens > 0, value, jnp.nan) for name, value in found.items()}


@partial(jax.jit, static_argnames=("graphdef",))
def token_log_probs(
    params: PyTree,
    prompt: Array,
    prompt_lengths: Array,
    tokens: Array,
    lengths: Array,
    temperature: Array,
    *,
    owners: Array | None = None,
    graphdef: Any,
) -> Array:
    """`scoring.token_log_probs` [R, T], compiled: the score of a micro-batch, that of policy and reference alike.

    Equal weights have equal scores, to the bit, where the shapes are equal. Those of the sampler, and those that
    `loss_and_gradient` differentiates, come from other programs and differ by rounding.
    """
    return scoring.token_log_probs(
        graphdef, params, prompt, tokens, lengths, prompt_lengths=prompt_lengths, owners=owners, temperature=temperature
    )


@partial(jax.jit, static_argnames=("graphdef", "objective"))
def loss_and_gradient(
    params: PyTree,
    prompt: Array,
    prompt_lengths: Array,
    tokens: Array,
    lengths: Array,
    weights: Array,
    signal: Array,
    old_log_probs: Array,
    ref_log_probs: Array | None,
    fresh: Array,
    numbers: Mapping[str, Any],
    *,
    sampler_log_probs: Array | None = None,
    owners: Array | None = None,
    graphdef: Any,
    objective: Objective,
    at_reference: bool | Array = False,
    frozen: PyTree | None = None,
) -> tuple[dict[str, Array], PyTree]:
    """`objective_sums` of a micro-batch at these weights, and the loss's gradient in them, in their dtype; in float32
    where that is float16.

    Args:
        params: the policy's weights, or those of them that are trained.
        prompt: int32 [P], shared by all rows, or [H, P], right-padded.
        prompt_lengths: int32 scalar, or [H].
        tokens, lengths: int32 [R, T] and [R], the responses.
        weights, signal, old_log_probs, ref_log_probs, fresh, numbers, sampler_log_probs, objective: as
            `objective_sums` takes them, and among the numbers the temperature.
        owners: int32 [R], which prompt each row continues; None: the shared one, or row r's own (H = R).
        at_reference: bool scalar, the weights are the reference's. The KL term is then exactly zero, and so is the
            gradient of k2 and k3; the rounding between two programs would be a gradient that AdamW blows up to full
            steps.
        frozen: the policy's other weights, such as the model's where adapters are trained; None: there are none.
    """

    def loss_of(params: PyTree) -> tuple[Array, dict[str, Array]]:
        score = scoring.token_statistics if objective.entropy else scoring.token_log_probs
        scored = score(
            graphdef,
            lora.whole(params, frozen),
            prompt,
            tokens,
            lengths,
            prompt_lengths=prompt_lengths,
            owners=owners,
            temperature=numbers["temperature"],
            remat=objective.remat,
        )
        log_probs, entropy = scored if isinstance(scored, tuple) else (scored, None)
        if ref_log_probs is not None:
            value = jax.lax.stop_gradient(log_probs)
            log_probs = jnp.where(at_reference, ref_log_probs, value) + (log_probs - value)
        return objective_sums(
            objective,
            log_probs,
            old_log_probs,
            ref_log_probs,
            signal,
            weights,
            numbers,
            entropy=entropy,
            fresh=fresh,
            sampler_log_probs=sampler_log_probs,
        )

    decoder = nnx.merge(graphdef, lora.whole(params, frozen))
    factor = None
    if jnp.float16 in (decoder.dtype, *(leaf.dtype for leaf in jax.tree.leaves(params))):
        factor = _lifting(weights)

    def lifted(params: PyTree) -> tuple[Array, dict[str, Array]]:
        loss, sums = loss_of(params)
        return loss if factor is None else loss * factor, sums

    (_, sums), gradient = jax.value_and_grad(lifted, has_aux=True)(params)
    if factor is not None:
        gradient = jax.tree.map(lambda leaf: leaf / factor, optimizers.wide(gradient))
    return sums, placement.weights(decoder.config.mesh, gradient)


def _lifting(weights: Array) -> Array:
    """The power of two by which a loss with these weights of tokens is multiplied before it is differentiated in
    float16, so that the largest is 2⁻⁸ or more (loss scaling; Micikevicius et al. 2018, arXiv 1710.03740).

    float16 ends at 6e-8: of "token-mean" over a million tokens a quarter of the gradient was 0. Weights of that size
    are left alone, for its sums over many tokens end at 65,504.
    """
    _, exponent = jnp.frexp(jnp.max(weights))
    return jnp.ldexp(jnp.float32(1.0), jnp.clip(-7 - exponent, 0, 100))


Total = tuple[dict[str, Array], PyTree]


@partial(jax.jit, static_argnames=("graphdef", "objective"), donate_argnames="total")
def accumulated(
    params: PyTree,
    batches: dict[str, Any],
    count: int | Array,
    total: Total | None,
    numbers: Mapping[str, Any],
    *,
    graphdef: Any,
    objective: Objective,
    at_reference: bool | Array = False,
    frozen: PyTree | None = None,
) -> Total:
    """`loss_and_gradient` of several micro-batches of one shape, summed one after another in the memory of one.

    Weights come from all rows of the step, so the sum over micro-batches is the loss of the whole step. Gradients are
    added up in float32, in which no part is too small to count.

    Args:
        batches: what `loss_and_gradient` takes of a micro-batch, by name; every array has an axis of K before.
        count: int32, how many of the K are computed.
        total: sums and gradient (float32) of the step's micro-batches before, which are consumed; None: there is none.
    """

    def one(index: Any) -> Total:
        batch = jax.tree.map(lambda leaf: leaf[index], batches)
        return loss_and_gradient(
            params,
            **batch,
            numbers=numbers,
            graphdef=graphdef,
            objective=objective,
            at_reference=at_reference,
            frozen=frozen,
        )

    def add(index: Any, before: Total) -> Total:
        (sums, gradient), (more, part) = before, one(index)
        return added(sums, more), jax.tree.map(jnp.add, gradient, optimizers.wide(part))

    if total is None:
        if len(batches["tokens"]) == 1:
            return one(0)
        sums, gradient = jax.eval_shape(one, 0)
        total = _zeros(sums), optimizers.wide(_zeros(gradient))
    return jax.lax.fori_loop(0, count, add, total)


def total_of(params: PyTree, batches: dict[str, Any], count: int | Array, total: Total | None, **given: Any) -> Total:
    """`accumulated`; of a lone micro-batch that is the first, `loss_and_gradient` alone. Same arguments."""
    if total is None and len(batches["tokens"]) == 1:
        return loss_and_gradient(params, **jax.tree.map(lambda leaf: leaf[0], batches), **given)
    before = None if total is None else (total[0], optimizers.wide(total[1]))
    return accumulated(params, batches, count, before, **given)


def _zeros(shapes: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def equal(params: PyTree, others: PyTree) -> bool:
    """Whether the weights are equal to the bit; where they differ it mostly ends at the first leaf."""
    return all(bool(jnp.array_equal(x, y)) for x, y in zip(*map(jax.tree.leaves, (params, others)), strict=True))


@jax.jit
def norm(tree: PyTree) -> Array:
    """Euclidean norm over all leaves, as the clip takes it."""
    return gradient_clip.norm(tree)


def _step(
    params: PyTree,
    opt_state: PyTree,
    gradient: PyTree | None,
    *,
    optimizer: optax.GradientTransformation,
    mesh: Mesh | None = None,
) -> tuple[PyTree, PyTree]:
    """One optimiser step; a gradient of None is exactly zero (made inside the trace, where it costs no memory). On a
    mesh weights and state stay where they were.
    """
    slope = jax.tree.map(jnp.zeros_like, params) if gradient is None else gradient
    # optax raises floats to int32 powers, which strict dtype promotion refuses; that is its own arithmetic, not ours.
    with jax.numpy_dtype_promotion("standard"):
        updates, opt_state = optimizer.update(slope, opt_state, params)
        return placement.weights(mesh, (optax.apply_updates(params, updates), opt_state))


step_donated = jax.jit(_step, static_argnames=("optimizer", "mesh"), donate_argnums=(0, 1))
step_kept = jax.jit(_step, static_argnames=("optimizer", "mesh"))
