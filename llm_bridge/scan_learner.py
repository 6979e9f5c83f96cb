"""Fine-tuning inside one compiled scan: `FineTune` on arms whose rewards are computed on the device.

The same update as `llm_bridge.finetune` makes round by round: it samples with `llm_bridge.generate`, takes the gradient
with `policy_gradient.loss_and_gradient` and steps with the same optimiser; only Python between rounds is gone, so that
`bandit_rft.run` can `lax.scan` over rounds and `vmap` over seeds. A test holds the weights of the two equal to float32
rounding. Every seed carries its own weights and optimiser state.

Left out: micro-batches (`micro_batch` must be None or hold the whole round) and in-place updates, which the scan does
on its own. A loss that is not finite shows as a refused reward in the next round (`TokenPromptArms.pull`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import objectives, signals
from bandit_rft.contract import Info, Learner
from bandit_rft.errors import InputError
from llm_bridge import policy_gradient
from llm_bridge.generate import sample_traced
from llm_bridge.tiny.arms import Responses, TokenPromptArms

if TYPE_CHECKING:
    from llm_bridge.finetune import FineTune, FineTuneState

Array = jax.Array


def bind(settings: FineTune, arms: TokenPromptArms) -> Learner:
    """The learner of these settings on these arms, all of it traceable.

    Raises:
        InputError: micro-batches, another model than the arms', or a response that does not fit the context.
    """
    if settings.micro_batch is not None and settings.micro_batch < settings.rollouts:
        raise InputError(
            f"micro_batch is {settings.micro_batch} with {settings.rollouts} rollouts, and the scan loop takes a round "
            "at once: leave micro_batch out, or use PromptArms."
        )
    if settings.model is not arms.model:
        raise InputError("FineTune and its arms have different models: give both the same one.")
    arms.check_fits(settings.max_tokens)
    model = settings.model
    prompt = arms.prompt_tokens

    def act(key: Array, state: FineTuneState) -> tuple[Responses, Info]:
        sampled = sample_traced(
            model.graphdef,
            state.params,
            model.config,
            prompt,
            rows=settings.rollouts,
            max_tokens=settings.max_tokens,
            key=key,
            temperature=settings.temperature,
        )
        return Responses(*sampled), Info(value=None)

    return Learner(
        init=_single_precision(settings._init),
        act=_single_precision(act),
        update=_single_precision(partial(_update, settings, np.asarray(prompt, np.int32))),
        rollouts=settings.rollouts,
        metrics=lambda state: state.metrics,
    )


def _single_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function traced with 32-bit defaults, as on the host: `run` traces simulations in 64 bits."""

    def traced(*arguments: Any) -> Any:
        with jax.enable_x64(False):
            return function(*arguments)

    return traced


def _update(
    settings: FineTune, tokens_of_prompt: np.ndarray, state: FineTuneState, responses: Responses, rewards: Array
) -> FineTuneState:
    from llm_bridge.finetune import FineTuneState  # it imports this file

    tokens, lengths, old_log_probs, truncated = responses
    prompt = jnp.asarray(tokens_of_prompt)
    graphdef, optimizer = settings.model.graphdef, settings.transformation()
    objective = policy_gradient.Objective(
        clipped=settings.clip is not None,
        dual_clipped=settings.dual_clip is not None,
        kl=settings.kl if settings.kl_coefficient > 0 else None,
        remat=settings.remat,
    )
    low, high = (0.0, 0.0) if settings.clip is None else settings._clip_limits()
    numbers = {
        name: jnp.asarray(value, jnp.float32)
        for name, value in (
            ("clip_low", low),
            ("clip_high", high),
            ("dual_clip", settings.dual_clip or 0.0),
            ("kl_coefficient", settings.kl_coefficient),
            ("temperature", settings.temperature),
        )
    }
    rewards = rewards.astype(jnp.float32)
    signal = signals.make(settings.signal, ddof=settings.ddof, eps=settings.eps)(rewards).astype(jnp.float32)
    inside = jnp.arange(tokens.shape[1], dtype=jnp.int32) < lengths[:, None]
    weights = objectives.aggregation_weights(inside, settings.aggregation, settings.max_tokens)
    # A rollout without signal has no gradient unless a KL penalty gives it one: as on the host, it counts in no metric.
    active = jnp.ones_like(signal, bool) if objective.kl is not None else signal != 0
    weights = jnp.where(active[:, None], weights, 0.0)
    any_active = jnp.any(active)
    reference = None
    if objective.kl is not None:
        reference = policy_gradient.token_log_probs(
            settings.model.params, prompt, tokens, lengths, numbers["temperature"], graphdef=graphdef
        )
    params, opt_state, updates = state.params, state.opt_state, state.updates
    # SGD at a fixed step size neither moves on a zero gradient nor counts it.
    still_on_zero = settings.optimizer == "sgd" and not callable(settings.learning_rate)
    sums: dict[str, Array] = {}
    gap = jnp.asarray(jnp.nan, jnp.float32)
    for epoch in range(settings.epochs):
        sums, gradient = policy_gradient.loss_and_gradient(
            params,
            prompt,
            tokens,
            lengths,
            weights,
            signal,
            old_log_probs,
            reference,
            numbers,
            graphdef=graphdef,
            objective=objective,
        )
        sums = sums | {"gradient_norm": policy_gradient.norm(gradient)}
        if epoch == 0:
            gap = jnp.where(any_active, sums["sampling_gap"], gap)
        params, opt_state = policy_gradient.step_kept(params, opt_state, gradient, optimizer=optimizer)
        updates = updates + (any_active.astype(jnp.int32) if still_on_zero else 1)
    counted = jnp.sum(inside, dtype=jnp.float32)
    in_loss = jnp.sum(jnp.where(active, lengths, 0), dtype=jnp.int32).astype(jnp.float32)
    not_a_number = jnp.asarray(jnp.nan, jnp.float32)
    values = {
        "reward_mean": jnp.mean(rewards),
        "signal_mean": jnp.mean(signal),
        "signal_spread": jnp.std(signal),
        "dead_group": jnp.where(jnp.any(signal != 0), 0.0, 1.0),
        "loss": sums["loss"],
        "gradient_norm": sums["gradient_norm"],
        "kl": sums["kl"] / np.float32(settings.rollouts) if objective.kl is not None else not_a_number,
        "entropy": jnp.where(counted > 0, -jnp.sum(old_log_probs) / jnp.maximum(counted, 1.0), not_a_number),
        "response_length": jnp.mean(lengths.astype(jnp.float32)),
        "truncated": jnp.mean(truncated.astype(jnp.float32)),
        "clipped": sums["clipped"] / jnp.maximum(in_loss, 1.0),
        "sampling_gap": gap,
    }
    return FineTuneState(
        params=params,
        opt_state=opt_state,
        round=state.round + 1,
        updates=updates,
        metrics={name: jnp.asarray(values[name], jnp.float32) for name in state.metrics},
    )


def final_weights(state: Any, seed: int) -> Any:
    """The weights of one seed from a scan run's `history.final_state`, as `LanguageModel` methods take them by
    `params=`.
    """
    return jax.tree.map(lambda leaf: leaf[seed], state.params)
