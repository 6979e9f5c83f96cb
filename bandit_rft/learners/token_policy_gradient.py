"""Policy gradient (REINFORCE) on token policies: one prompt's `TokenSequences`, or the many prompts of `Contexts`.

    params ← params + step_size · (1/G) Σ_g A_g ∇ log π(tokens_g),   A = signal(r_1 … r_G)

Williams 1992; with the raw signal and one rollout the minimalist configuration of arXiv 2601.14599. The same signals
and the same mean over rollouts as on tables and on an LLM's weights. With all B prompts each round the step is the
mean over prompts of each prompt's own. A window of scores is each prompt's own too, and moves when the prompt is drawn;
a dead group is drawn again for the same prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from bandit_rft import arguments, signal_checks, signals
from bandit_rft.arms.contexts import Contexts, Responses
from bandit_rft.arms.token_sequences import TokenSequences
from bandit_rft.contract import Info, Learner, Redraws
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.learners import score_window
from bandit_rft.learners.score_window import Scores
from bandit_rft.policies.prompt_policies import Params
from bandit_rft.verifiers import Needle

MOST_LOGGED_PROMPTS = 32  # prompts whose own p is logged each round


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Windowed:
    """What a learner with a window of scores carries.

    Attributes:
        params: the policy's parameters.
        scores: of each prompt, the newest ones.
    """

    params: Any
    scores: Scores


@dataclass(frozen=True, kw_only=True)
class _Lessons:
    """How a round's rewards become coefficients of the score: signals of each prompt's group, over the rollouts.

    Attributes:
        signal_of: of a group's own rewards, [G] -> [G]; not called where there is a window.
        signal: its name, or the function. step_size, rollouts, ddof, eps, window: as `bind` takes them.
        prompts: all of them. groups: prompts of a round.
        redraws: how often dead groups are drawn again at most.
    """

    signal_of: signals.Signal
    signal: str | signals.Signal
    step_size: float
    rollouts: int
    ddof: int
    eps: float
    window: int | None
    prompts: int
    groups: int
    redraws: int

    def start(self, params: Any) -> Any:
        """The learner's state: the parameters alone where there is no window."""
        scores = score_window.start(self.prompts, self.window, self.rollouts, dtype=float)
        return params if scores is None else Windowed(params=params, scores=scores)

    def params(self, state: Any) -> Any:
        """The parameters in the state."""
        return state if self.window is None else state.params

    def taught(self, state: Any, prompt: jax.Array | None, rewards: jax.Array, step: Callable[[jax.Array], Any]) -> Any:
        """The state after a round.

        Args:
            prompt: int32 [B], of each group, all different; None where there is only one.
            rewards: float [B G].
            step: coefficients [B G] -> parameters after their step.
        """
        scale = self.step_size / (self.groups * self.rollouts)
        groups = rewards.reshape(self.groups, self.rollouts)
        if self.window is None:
            signal = self.signal_of(rewards) if prompt is None else jax.vmap(self.signal_of)(groups).reshape(-1)
            return step(signal * scale)
        asked = jnp.zeros((1,), jnp.int32) if prompt is None else prompt
        spread = {"normalised": self.signal == "grpo", "ddof": self.ddof, "eps": self.eps}
        signal, scores = score_window.signals_of(state.scores, asked, groups, **spread)
        return Windowed(params=step(signal.reshape(-1) * scale), scores=scores)

    def further(self, again: Callable[[jax.Array, Any, Any], Any]) -> Redraws | None:
        """How dead groups are drawn again; `again` draws responses to the same prompts anew."""
        if not self.redraws:
            return None

        def cost(responses: Any, dead: jax.Array | None) -> dict[str, jax.Array]:
            del responses
            groups = self.groups if dead is None else jnp.sum(dead, dtype=jnp.int32)
            return {"pulls": jnp.asarray(groups * self.rollouts, jnp.int32)}

        return Redraws(
            most=self.redraws,
            dead=lambda rewards: jax.vmap(signals.dead)(rewards.reshape(self.groups, self.rollouts)),
            again=lambda key, state, responses, dead: again(key, state, responses),
            cost=cost,
        )


def bind(
    arms: TokenSequences | Contexts,
    *,
    step_size: float,
    signal: str | signals.Signal = "raw",
    rollouts: int = 1,
    ddof: int = 1,
    eps: float = 1e-6,
    k: int | None = None,
    window: int | None = None,
    dynamic_sampling: int = 0,
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
        window: W, the newest scores of a prompt that give mean and spread of "mean_baseline" and "grpo"; None: this
            round's.
        dynamic_sampling: how often a round's dead groups are drawn again at most; the metric "pulls" counts all draws.
        rounds: T; it sizes the lazily grown parts of the policy.
        row_capacity: rollouts that may move tokens that no verifier names; None takes the most that the run can need.

    Returns:
        A learner whose state is the policy's parameters, float64 under `run`, or `Windowed` with a window. `Info.value`
        is the exact p (its mean over prompts), or None under a verifier without structure. Contexts of up to 32 prompts
        log each prompt's p after the update as the metrics p_0, p_1, ….

    Raises:
        InputError: arms of another kind, a signal of another shape, a row_capacity that is no whole number, or
            parameters beyond memory.
    """
    row_capacity = None if row_capacity is None else arguments.whole("row_capacity", row_capacity, 0)
    signal_checks.check_function(signal, rollouts)
    prompts = 1 if isinstance(arms, TokenSequences) else getattr(arms, "prompts", 1)
    groups = prompts if isinstance(arms, Contexts) and arms.batch == "all" else 1
    lessons = _Lessons(
        signal_of=signals.make(signal, ddof=ddof, eps=eps, k=k),
        signal=signal,
        step_size=step_size,
        rollouts=rollouts,
        ddof=ddof,
        eps=eps,
        window=window,
        prompts=prompts,
        groups=groups,
        redraws=dynamic_sampling,
    )
    if isinstance(arms, TokenSequences):
        # Where only successes teach a failure moves nothing, and a needle's only success touches no token but its own.
        still = signal in signals.SUCCESSES_ONLY and isinstance(arms.verifier, Needle)
        touches = 0 if still else rounds * rollouts
        return _bind_one(arms, lessons, touches if row_capacity is None else row_capacity)
    if isinstance(arms, Contexts):
        still = signal in signals.SUCCESSES_ONLY and all(isinstance(verifier, Needle) for verifier in arms.verifiers)
        touches = 0 if still else rounds * rollouts * groups
        return _bind_many(arms, lessons, touches if row_capacity is None else row_capacity)
    raise InputError(
        f"Token policies learn on TokenSequences or Contexts, not on {type(arms).__name__}: choose another."
    )


def _bind_one(arms: TokenSequences, lessons: _Lessons, touches: int) -> Learner:
    policy = arms.policy.bind(arms.vocabulary_size, arms.length, arms.verifier, arms.p0, touches=touches)

    def init(key: jax.Array) -> Any:
        as_key(key)  # not used, and refused like any other
        return lessons.start(policy.init())

    def sampled(key: jax.Array, state: Any) -> jax.Array:
        return policy.sample(as_key(key), lessons.params(state), lessons.rollouts)

    def act(key: jax.Array, state: Any) -> tuple[jax.Array, Info]:
        value = None if policy.log_success is None else jnp.exp(policy.log_success(lessons.params(state))[0])
        return sampled(key, state), Info(value=value)

    def update(state: Any, tokens: jax.Array, rewards: jax.Array) -> Any:
        params = lessons.params(state)
        return lessons.taught(state, None, rewards, lambda coefficient: policy.step(params, tokens, coefficient))

    return Learner(
        init=init,
        act=act,
        update=update,
        rollouts=lessons.rollouts,
        overflowed=lambda state: policy.overflowed(lessons.params(state)),
        redraws=lessons.further(lambda key, state, tokens: sampled(key, state)),
    )


def _bind_many(arms: Contexts, lessons: _Lessons, touches: int) -> Learner:
    policies = arms.policies(touches=touches)
    known = policies.form is not None
    groups, rollouts = lessons.groups, lessons.rollouts

    def init(key: jax.Array) -> Any:
        as_key(key)  # not used, and refused like any other
        return lessons.start(policies.init())

    def act(key: jax.Array, state: Any) -> tuple[Responses, Info]:
        prompt_key, token_key = jax.random.split(as_key(key))
        if arms.batch == "all":
            group = jnp.arange(arms.prompts, dtype=jnp.int32)
        else:
            group = jax.random.randint(prompt_key, (1,), 0, arms.prompts, jnp.int32)
        prompt = jnp.repeat(group, rollouts, total_repeat_length=groups * rollouts)
        params: Params = lessons.params(state)
        value = jnp.mean(jnp.exp(policies.log_success(params)[0])) if known else None
        return Responses(prompt=prompt, tokens=policies.sample(token_key, params, prompt)), Info(value=value)

    def again(key: jax.Array, state: Any, responses: Responses) -> Responses:
        _, token_key = jax.random.split(as_key(key))
        return responses._replace(tokens=policies.sample(token_key, lessons.params(state), responses.prompt))

    def update(state: Any, responses: Responses, rewards: jax.Array) -> Any:
        params: Params = lessons.params(state)

        def step(coefficient: jax.Array) -> Params:
            return policies.step(params, responses.prompt, responses.tokens, coefficient)

        return lessons.taught(state, responses.prompt[::rollouts], rewards, step)

    def metrics(state: Any) -> dict[str, jax.Array]:
        if not known or arms.prompts > MOST_LOGGED_PROMPTS:
            return {}
        p = jnp.exp(policies.log_success(lessons.params(state))[0])
        return {f"p_{index}": p[index] for index in range(arms.prompts)}

    return Learner(
        init=init,
        act=act,
        update=update,
        rollouts=groups * rollouts,
        overflowed=lambda state: lessons.params(state).overflowed,
        metrics=metrics,
        redraws=lessons.further(again),
    )
