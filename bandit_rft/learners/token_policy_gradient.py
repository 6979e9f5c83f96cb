"""Policy gradient (REINFORCE) on token policies: one prompt's `TokenSequences`, or the many prompts of `Contexts`.

    params ← params + step_size · (1/G) Σ_g A_g ∇ log π(tokens_g),   A = signal(r_1 … r_G)

Williams 1992; with the raw signal and one rollout the minimalist configuration of arXiv 2601.14599. The same signals
and the same mean over rollouts as on tables and on an LLM's weights. With all B prompts each round the step is the
mean over prompts of each prompt's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from bandit_rft import signals
from bandit_rft.arms.contexts import Contexts, Responses
from bandit_rft.arms.token_sequences import TokenSequences
from bandit_rft.contract import Info, Learner
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.policies.prompt_policies import Params
from bandit_rft.verifiers import Needle

MOST_LOGGED_PROMPTS = 32  # prompts whose own p is logged each round


def bind(
    arms: TokenSequences | Contexts,
    *,
    step_size: float,
    signal: str | signals.Signal = "raw",
    rollouts: int = 1,
    ddof: int = 1,
    eps: float = 1e-6,
    k: int | None = None,
    rounds: int,
    row_capacity: int | None = None,
) -> Learner:
    """The learner on token arms.

    Args:
        arms: `TokenSequences` or `Contexts`.
        step_size: η > 0, per round.
        signal: a name of `bandit_rft.signals` or a function [G] -> [G]; over the rollouts of one prompt.
        rollouts: G, responses per prompt and round.
        ddof, eps: GRPO's (see `signals.grpo`). k: of pass_at_k; None: G.
        rounds: T; it sizes the lazily grown parts of the policy.
        row_capacity: rollouts that may move tokens that no verifier names; None takes the most that the run can need.

    Returns:
        A learner whose state is the policy's parameters, float64 under `run`. `Info.value` is the exact p (its mean
        over prompts), or None under a verifier without structure. Contexts of up to 32 prompts log each prompt's p
        after the update as the metrics p_0, p_1, ….

    Raises:
        InputError: arms of another kind, or parameters beyond memory.
    """
    if row_capacity is not None and row_capacity < 0:
        raise InputError(f"row_capacity is {row_capacity}: give a whole number of at least 0, or None.")
    signal_of = signals.make(signal, ddof=ddof, eps=eps, k=k)
    if isinstance(arms, TokenSequences):
        # Where only successes teach a failure moves nothing, and a needle's only success touches no token but its own.
        still = signal in signals.SUCCESSES_ONLY and isinstance(arms.verifier, Needle)
        touches = 0 if still else rounds * rollouts
        return _bind_one(arms, step_size, signal_of, rollouts, touches if row_capacity is None else row_capacity)
    if isinstance(arms, Contexts):
        still = signal in signals.SUCCESSES_ONLY and all(isinstance(verifier, Needle) for verifier in arms.verifiers)
        touches = 0 if still else rounds * rollouts * (arms.prompts if arms.batch == "all" else 1)
        return _bind_many(arms, step_size, signal_of, rollouts, touches if row_capacity is None else row_capacity)
    raise InputError(
        f"Token policies learn on TokenSequences or Contexts, not on {type(arms).__name__}: choose another."
    )


def _bind_one(
    arms: TokenSequences, step_size: float, signal_of: signals.Signal, rollouts: int, touches: int
) -> Learner:
    policy = arms.policy.bind(arms.vocabulary_size, arms.length, arms.verifier, arms.p0, touches=touches)

    def init(key: jax.Array) -> Any:
        as_key(key)  # not used, and refused like any other
        return policy.init()

    def act(key: jax.Array, state: Any) -> tuple[jax.Array, Info]:
        value = None if policy.log_success is None else jnp.exp(policy.log_success(state)[0])
        return policy.sample(as_key(key), state, rollouts), Info(value=value)

    def update(state: Any, tokens: jax.Array, rewards: jax.Array) -> Any:
        return policy.step(state, tokens, signal_of(rewards) * (step_size / rollouts))

    return Learner(init=init, act=act, update=update, rollouts=rollouts, overflowed=policy.overflowed)


def _bind_many(arms: Contexts, step_size: float, signal_of: signals.Signal, rollouts: int, touches: int) -> Learner:
    policies = arms.policies(touches=touches)
    known = policies.form is not None
    groups = arms.prompts if arms.batch == "all" else 1

    def init(key: jax.Array) -> Params:
        as_key(key)  # not used, and refused like any other
        return policies.init()

    def act(key: jax.Array, state: Params) -> tuple[Responses, Info]:
        prompt_key, token_key = jax.random.split(as_key(key))
        if arms.batch == "all":
            group = jnp.arange(arms.prompts, dtype=jnp.int32)
        else:
            group = jax.random.randint(prompt_key, (1,), 0, arms.prompts, jnp.int32)
        prompt = jnp.repeat(group, rollouts, total_repeat_length=groups * rollouts)
        value = jnp.mean(jnp.exp(policies.log_success(state)[0])) if known else None
        return Responses(prompt=prompt, tokens=policies.sample(token_key, state, prompt)), Info(value=value)

    def update(state: Params, responses: Responses, rewards: jax.Array) -> Params:
        signal = jax.vmap(signal_of)(rewards.reshape(groups, rollouts)).reshape(-1)
        return policies.step(state, responses.prompt, responses.tokens, signal * (step_size / (groups * rollouts)))

    def metrics(state: Params) -> dict[str, jax.Array]:
        if not known or arms.prompts > MOST_LOGGED_PROMPTS:
            return {}
        p = jnp.exp(policies.log_success(state)[0])
        return {f"p_{index}": p[index] for index in range(arms.prompts)}

    overflowed: Callable[[Params], jax.Array] = lambda state: state.overflowed  # noqa: E731
    return Learner(
        init=init,
        act=act,
        update=update,
        rollouts=groups * rollouts,
        overflowed=overflowed,
        metrics=metrics,
    )
