"""Dynamic sampling of language models: prompts whose responses all earned the same are answered again in the round.

    on_the_host     only the rows of dead groups are generated and verified again
    traced          every row is generated again, in the one shape there is, and those of dead groups are taken; the
                    loop ends with the last dead group of all seeds

Row g of a further draw has that draw's own key with g folded in, on either way: both draw the same responses, but for
rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import signals
from bandit_rft.contract import Redraws

if TYPE_CHECKING:
    from llm_bridge.bandits.question_arms import QuestionArms
    from llm_bridge.sampling.rollouts import Responses, Rollouts
    from llm_bridge.training.learner import FineTune
    from llm_bridge.training.state import FineTuneState

Array = jax.Array


def on_the_host(settings: FineTune, arms: QuestionArms) -> Redraws | None:
    """How `FineTune` draws groups again in the host loop; None where it does not."""

    def again(key: Array, state: FineTuneState, rollouts: Rollouts, dead: np.ndarray) -> Rollouts:
        rows = np.flatnonzero(np.repeat(dead, settings.group))
        return settings.generated(arms, key, state, arms.questions_of(rollouts)[rows], rows)

    def merged(dead: np.ndarray, before: tuple[Rollouts, Any], fresh: tuple[Rollouts, Any]) -> tuple[Rollouts, Any]:
        rows = np.flatnonzero(np.repeat(dead, settings.group))
        (rollouts, rewards), (anew, earned) = before, fresh
        fields: dict[str, Any] = {"text": list(rollouts.text)}
        for row, text in zip(rows, anew.text, strict=True):
            fields["text"][row] = text
        if hasattr(rollouts, "rewards"):  # those of the first draw; what holds now is returned beside
            fields["rewards"] = None
        for name in (field.name for field in dataclasses.fields(rollouts) if field.name not in fields):
            fields[name] = np.array(getattr(rollouts, name))
            fields[name][rows] = getattr(anew, name)
        rewards = np.array(rewards)
        rewards[rows] = np.asarray(earned)
        return dataclasses.replace(rollouts, **fields), rewards

    def cost(rollouts: Rollouts, dead: Any) -> dict[str, Any]:
        return {"pulls": len(rollouts.lengths), "tokens": int(rollouts.lengths.sum())}

    return _redraws(settings, again, cost, merged)


def traced(settings: FineTune, act: Callable[[Array, FineTuneState], tuple[Responses, Any]]) -> Redraws | None:
    """How `FineTune` draws groups again inside a trace; None where it does not."""

    def again(key: Array, state: FineTuneState, responses: Responses, dead: Array) -> Responses:
        return act(key, state)[0]

    def cost(responses: Responses, dead: Any) -> dict[str, Array]:
        rows = jnp.repeat(jnp.ones(settings.prompts, bool) if dead is None else dead, settings.group)
        tokens = jnp.where(rows, responses.lengths, 0)
        return {"pulls": jnp.sum(rows, dtype=jnp.int32), "tokens": jnp.sum(tokens, dtype=jnp.int32)}

    return _redraws(settings, again, cost, None)


def _redraws(settings: FineTune, again: Any, cost: Any, merged: Any) -> Redraws | None:
    if not settings.dynamic_sampling:
        return None

    def dead(rewards: Any) -> Any:
        found = jax.vmap(signals.dead)(jnp.asarray(rewards).reshape(settings.prompts, settings.group))
        return found if merged is None else np.asarray(found)

    return Redraws(most=settings.dynamic_sampling, dead=dead, again=again, cost=cost, merged=merged)
