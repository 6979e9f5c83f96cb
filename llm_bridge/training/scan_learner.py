"""Fine-tuning inside one compiled scan: `FineTune` on arms whose rewards are computed on the device.

The same update as `llm_bridge.training.learner` makes round by round: it samples with `llm_bridge.sampling.generate`,
takes the gradient with `policy_gradient.loss_and_gradient` and steps with the same optimiser; only Python between
rounds is gone, so that `bandit_rft.run` can `lax.scan` over rounds and `vmap` over seeds. A test holds the weights of
the two equal to float32 rounding. Every seed carries its own weights and optimiser state.

Left out: mini- and micro-batches, replay. Weights are updated in place by the scan itself. A loss that is not finite
shows as a refused reward in the next round (`TokenPromptArms.pull`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import objectives
from bandit_rft.contract import Info, Learner
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from llm_bridge.bandits.question_arms import drawn
from llm_bridge.bandits.token_arms import TokenPromptArms, TokenQuestionArms
from llm_bridge.sampling.generate import pad_prompts, sample_traced
from llm_bridge.sampling.rollouts import Responses
from llm_bridge.training import policy_gradient
from llm_bridge.training.state import QUESTION_ORDER, FineTuneState
from llm_bridge.training.update import Update

if TYPE_CHECKING:
    from llm_bridge.bandits.prompt_arms import PromptArms
    from llm_bridge.bandits.question_arms import QuestionArms
    from llm_bridge.training.learner import FineTune

    AnyArms = PromptArms | QuestionArms | TokenPromptArms | TokenQuestionArms

Array = jax.Array


def refused(settings: FineTune) -> str | None:
    """The setting that only the host loop has, if there is one."""
    group = settings.rollouts + settings.baseline_rollouts
    chosen = {
        "micro_batch": (settings.micro_batch or group * settings.prompts) < settings.prompts * settings.rollouts,
        "generation_batch": (settings.generation_batch or group * settings.prompts) < settings.prompts * group,
        "mini_batches": settings.mini_batches > 1,
        "replay": settings.replay > 0,
    }
    return next((name for name, asked in chosen.items() if asked), None)


def bind(settings: FineTune, arms: AnyArms, rounds: int | None = None) -> Learner:
    """The learner of these settings on these arms, all of it traceable.

    Raises:
        InputError: settings that only the host loop has (micro-batches, mini-batches, replay), another model than the
            arms', or a response that does not fit the context.
    """
    name = refused(settings)
    if name is not None:
        raise InputError(
            f"{name} is {getattr(settings, name)}, and many seeds take a round at once: leave {name} out, or run the "
            "seeds one by one."
        )
    group = settings.rollouts + settings.baseline_rollouts
    if settings.model is not arms.model:
        raise InputError("FineTune and its arms have different models: give both the same one.")
    max_tokens = settings.max_tokens
    assert max_tokens is not None  # `FineTune.bind` has resolved it
    model, questions = settings.model, len(arms.question_tokens)
    prompts, prompt_lengths = pad_prompts(arms.question_tokens, questions, model.config.pad_id)
    owners = np.repeat(np.arange(settings.prompts, dtype=np.int32), group)

    def act(key: Array, state: FineTuneState) -> tuple[Responses, Info]:
        chosen = jnp.zeros(1, jnp.int32)
        if questions > 1:
            chosen = drawn(state.key(QUESTION_ORDER), state.round, questions, settings.prompts)
        sampled = sample_traced(
            model.graphdef,
            state.params,
            model.config,
            jnp.asarray(prompts)[chosen],
            jnp.asarray(prompt_lengths)[chosen],
            jnp.asarray(owners),
            max_tokens=max_tokens,
            key=as_key(key),
            temperature=settings.temperature,
        )
        return Responses(*sampled, questions=chosen[owners] if questions > 1 else None), Info(value=None)

    return Learner(
        init=_single_precision(lambda key: settings._init(key, rounds)),
        act=_single_precision(act),
        update=_single_precision(partial(_update, Update(settings, arms, rounds))),
        rollouts=settings.prompts * group,
        metrics=lambda state: state.metrics,
    )


def _single_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function traced with 32-bit defaults, as on the host: `run` traces simulations in 64 bits."""

    def traced(*arguments: Any) -> Any:
        with jax.enable_x64(False):
            return function(*arguments)

    return traced


def _asked(host: Update, questions: Array | None) -> dict[str, Array | None]:
    """The prompts of a round's R rows, as `policy_gradient` takes them but for `owners`; `questions` as of Responses.

    A lone question's prompt has its own length, as on the host.
    """
    if questions is None:
        prompt = jnp.asarray(host.prompts[0], jnp.int32)
        return {"prompt": prompt, "prompt_lengths": jnp.asarray(prompt.size, jnp.int32)}
    table, lengths = pad_prompts(host.prompts, len(host.prompts), 0)
    chosen = questions[:: host.group]
    if host.settings.prompts == 1:
        return {"prompt": jnp.asarray(table)[chosen[0]], "prompt_lengths": jnp.asarray(lengths)[chosen[0]]}
    return {"prompt": jnp.asarray(table)[chosen], "prompt_lengths": jnp.asarray(lengths)[chosen]}


def _scores(params: Any, reference: Any, **rows: Any) -> Array:
    """float32 [2, R, T], log-probabilities at both weights, by one loop body: equal weights give equal numbers.

    Two calls would not: where seeds are vmapped the reference's weights are shared by all, and its matrix products are
    then others than the policy's.
    """

    def score(own: Array) -> Array:
        weights = jax.tree.map(partial(jnp.where, own), params, reference)
        return policy_gradient.token_log_probs(weights, **rows)

    return jax.lax.map(score, jnp.array([True, False]))


def _equal(params: Any, others: Any) -> Array:
    """Whether the weights are equal to the bit, traceable."""
    pairs = zip(*map(jax.tree.leaves, (params, others)), strict=True)
    return jnp.all(jnp.stack([jnp.array_equal(x, y) for x, y in pairs]))


def _update(host: Update, state: FineTuneState, responses: Responses, rewards: Array) -> FineTuneState:
    """What the host loop's update `host` does, traceable."""
    settings, numbers, model = host.settings, host.numbers, host.settings.model
    tokens, lengths, old_log_probs, truncated, entropy, questions = responses
    rewards = rewards.astype(jnp.float32)
    asked = {**_asked(host, questions), "graphdef": model.graphdef}
    rows, several = np.arange(len(tokens)), settings.prompts > 1
    owners = (rows // host.group).astype(np.int32)
    inside = jnp.arange(tokens.shape[1], dtype=jnp.int32) < lengths[:, None]
    not_a_number = jnp.asarray(jnp.nan, jnp.float32)
    policy = reference = None
    if settings.scores_policy:
        policy, reference = _scores(
            state.params,
            model.params,
            tokens=tokens,
            lengths=lengths,
            temperature=numbers["temperature"],
            owners=jnp.asarray(owners) if several else None,
            **asked,
        )
        reference = reference if settings.needs_reference else None
    signal, kl = host.signals(rewards, inside, policy, reference)
    before = policy if settings.old_log_probs == "trainer" else None
    # Of each group the first G are learned from; the others were only there for the signals' baseline.
    learned = np.flatnonzero(rows % host.group < settings.rollouts)
    signal = signal[learned]
    weights = objectives.aggregation_weights(
        inside[learned], settings.aggregation, settings.max_tokens, jnp.dtype(jnp.float32)
    )
    # A rollout without signal has no gradient unless another term gives it one: as on the host, it counts in no metric.
    whole = host.objective.kl is not None or host.objective.entropy
    active = jnp.ones_like(signal, bool) if whole else signal != 0
    any_active = jnp.any(active)
    params, opt_state, updates = state.params, state.opt_state, state.updates
    sums: dict[str, Array] = {}
    gap = not_a_number
    for epoch in range(settings.epochs):
        sums, gradient = policy_gradient.loss_and_gradient(
            params,
            tokens=tokens[learned],
            lengths=lengths[learned],
            weights=jnp.where(active[:, None], weights, 0.0),
            signal=signal,
            old_log_probs=(old_log_probs if before is None else before)[learned],
            ref_log_probs=None if host.objective.kl is None or reference is None else reference[learned],
            at_reference=False if host.objective.kl is None else _equal(params, model.params),
            fresh=jnp.ones_like(signal, bool),
            owners=jnp.asarray(owners[learned]) if several else None,
            numbers=numbers,
            objective=host.objective,
            **asked,
        )
        sums = sums | {"gradient_norm": policy_gradient.norm(gradient)}
        if epoch == 0:
            gap = jnp.where(any_active, sums["sampling_gap"], gap)
        params, opt_state = policy_gradient.step_kept(params, opt_state, gradient, optimizer=host.optimizer)
        updates = updates + (any_active.astype(jnp.int32) if host.still_on_zero else 1)
    if before is not None:
        gap = jnp.max(jnp.where(inside, jnp.abs(before - old_log_probs), 0.0))
    counted, scored = jnp.sum(inside, dtype=jnp.float32), jnp.maximum(sums["tokens"], 1.0)
    rate = not_a_number
    if isinstance(settings.optimizer, str):
        rate = host.rate(jnp.maximum(updates - 1, 0)) if callable(host.rate) else jnp.asarray(host.rate, jnp.float32)
    values = {
        "reward_mean": jnp.mean(rewards),
        "signal_mean": jnp.mean(signal),
        "signal_spread": jnp.std(signal),
        "dead_groups": jnp.mean(jnp.where(jnp.any(signal.reshape(settings.prompts, -1) != 0, axis=1), 0.0, 1.0)),
        "loss": sums["loss"],
        "gradient_norm": sums["gradient_norm"],
        "kl": kl,
        "entropy": not_a_number
        if entropy is None
        else jnp.where(counted > 0, jnp.sum(entropy) / jnp.maximum(counted, 1.0), not_a_number),
        "response_length": jnp.mean(lengths.astype(jnp.float32)),
        "truncated": jnp.mean(truncated.astype(jnp.float32)),
        "clipped": sums["clipped"] / jnp.maximum(jnp.sum(inside[learned], dtype=jnp.float32), 1.0),
        "ratio_outside": not_a_number if settings.clip is None else sums["outside"] / scored,
        "sampling_gap": gap,
        "learning_rate": rate,
    }
    return dataclasses.replace(
        state,
        params=params,
        opt_state=opt_state,
        round=state.round + 1,
        updates=updates,
        metrics={name: jnp.asarray(values[name], jnp.float32) for name in state.metrics},
    )
