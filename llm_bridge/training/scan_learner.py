"""Fine-tuning inside one compiled scan: `FineTune` on arms whose rewards are computed on the device.

The same update as `llm_bridge.training.learner` makes round by round: it samples with `llm_bridge.sampling.generate`,
takes the gradient with `policy_gradient.loss_and_gradient` and steps with the same optimiser; only Python between
rounds is gone, so that `bandit_rft.run` can `lax.scan` over rounds and `vmap` over seeds, which on a CPU are then
computed one after another (`seed_axis`). A test holds the weights of the two equal to float32 rounding. Every seed
carries its own weights and optimiser state.

Left out: batches of generation. Weights are updated in place by the scan itself. Numbers that are not finite are seen
on the host, in the records of a chunk of rounds (`finite.check_records`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.contract import Info, Learner
from bandit_rft.errors import InputError
from bandit_rft.keys import Purpose, as_key
from llm_bridge.bandits.question_arms import drawn
from llm_bridge.bandits.token_arms import TokenQuestionArms
from llm_bridge.sampling.generate import sample_traced
from llm_bridge.sampling.rollouts import Responses
from llm_bridge.training import dynamic_sampling, seed_axis
from llm_bridge.training.finite import check_records
from llm_bridge.training.state import FineTuneState
from llm_bridge.training.update import Update

if TYPE_CHECKING:
    from llm_bridge.bandits.question_arms import QuestionArms
    from llm_bridge.training.learner import FineTune

    AnyArms = QuestionArms | TokenQuestionArms

Array = jax.Array


def bind(settings: FineTune, arms: AnyArms, rounds: int | None = None) -> Learner:
    """The learner of these settings on these arms, all of it traceable.

    Raises:
        InputError: another model than the arms', a generation_batch smaller than a round, or a response that does not
            fit the context.
    """
    if settings.generates_in_parts:
        raise InputError(
            f"generation_batch is {settings.generation_batch}, and a compiled run samples a round at once: leave "
            "generation_batch out."
        )
    group = settings.group
    if settings.model is not arms.model:
        raise InputError("FineTune and its arms have different models: give both the same one.")
    max_tokens = settings.max_tokens
    assert max_tokens is not None  # `FineTune.bind` has resolved it
    model, questions = settings.model, len(arms.question_tokens)
    owners = np.repeat(np.arange(settings.prompts, dtype=np.int32), group)
    # What is known of the questions is an argument of what follows, and not closed over: it may be traced.
    tables = arms.tables if isinstance(arms, TokenQuestionArms) else None

    def asked(tables: Any) -> AnyArms:
        return arms if tables is None else arms.holding(tables)  # type: ignore[union-attr]

    def act(key: Array, state: FineTuneState, tables: Any) -> tuple[Responses, Info]:
        prompts, prompt_lengths = asked(tables).prompt_table
        chosen = jnp.zeros(1, jnp.int32)
        if questions > 1:
            chosen = drawn(state.key(Purpose.QUESTION_ORDER), state.round, questions, settings.prompts)
        sampled = sample_traced(
            model.graphdef,
            model.whole(state.params),
            model.config,
            jnp.asarray(prompts)[chosen],
            jnp.asarray(prompt_lengths)[chosen],
            jnp.asarray(owners),
            max_tokens=max_tokens,
            key=as_key(key),
            temperature=settings.temperature,
        )
        return Responses(*sampled, questions=chosen[owners] if questions > 1 else None), Info(value=None)

    def update(state: FineTuneState, responses: Responses, rewards: Array, tables: Any) -> FineTuneState:
        return Update(settings, asked(tables), rounds)(state, responses, rewards)

    act_of_seeds, update_of_seeds = (seed_axis.each_seed(_single_precision(one)) for one in (act, update))

    def act_on_them(key: Array, state: FineTuneState) -> tuple[Responses, Info]:
        return act_of_seeds(key, state, tables)

    return Learner(
        init=_single_precision(lambda key: settings._init(key, rounds, questions)),
        act=act_on_them,
        update=lambda state, responses, rewards: update_of_seeds(state, responses, rewards, tables),
        rollouts=settings.prompts * group,
        metrics=lambda state: state.metrics,
        redraws=dynamic_sampling.traced(settings, act_on_them),
        check=partial(check_records, arms),
    )


def _single_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function traced with 32-bit defaults, as on the host: `run` traces simulations in 64 bits."""

    def traced(*arguments: Any) -> Any:
        with jax.enable_x64(False):
            return function(*arguments)

    return traced
