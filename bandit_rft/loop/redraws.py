"""Dynamic sampling: groups of a round that teach nothing are drawn again, from the policy as it stands.

Up to `Redraws.most` times a round the groups that are still dead are drawn anew; what is learned from, recorded and
kept is each group's last draw. What all draws cost stands among the round's metrics.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.contract import ArmSet, Learner
from bandit_rft.keys import Purpose

Drawn = tuple[Any, Any, dict[str, Any]]  # arms, their rewards, the metrics


def settled(arms: ArmSet, bound: Learner, round_key: jax.Array, state: Any, pulled: Any, rewards: Any) -> Drawn:
    """(arms, rewards, metrics) of a round once no group is dead, or no further draw is allowed.

    Args:
        arms, bound, state: of the run.
        round_key: of the round; further draw n has fold_in(fold_in(round_key, FURTHER_DRAW), n), split like a round's.
        pulled, rewards: as first drawn.
    """
    redraws = bound.redraws
    if redraws is None:
        return pulled, rewards, {}
    key = jax.random.fold_in(round_key, Purpose.FURTHER_DRAW)
    cost = redraws.cost(pulled, None)

    def further(draw: Any, pulled: Any, rewards: Any, cost: dict[str, Any]) -> Drawn:
        act_key, pull_key = jax.random.split(jax.random.fold_in(key, draw))
        dead = redraws.dead(rewards)
        fresh = redraws.again(act_key, state, pulled, dead)
        more = redraws.cost(fresh, dead)
        pulled, rewards = (redraws.merged or _rows_of_dead)(
            dead, (pulled, rewards), (fresh, arms.pull(pull_key, fresh))
        )
        return pulled, rewards, {name: value + more[name] for name, value in cost.items()}

    if arms.jittable:

        def going(carry: Any) -> jax.Array:
            return (carry[0] <= redraws.most) & jnp.any(redraws.dead(carry[2]))

        def step(carry: Any) -> Any:
            return carry[0] + 1, *further(*carry)

        return jax.lax.while_loop(going, step, (jnp.int32(1), pulled, rewards, cost))[1:]
    for draw in range(1, redraws.most + 1):
        if not np.any(redraws.dead(rewards)):
            break
        pulled, rewards, cost = further(np.uint32(draw), pulled, rewards, cost)
    return pulled, rewards, cost


def _rows_of_dead(dead: jax.Array, before: Any, fresh: Any) -> Any:
    """Trees of arrays [R, ...]: the fresh rows of dead groups, the rows before of the others; traceable."""

    def merge(old: jax.Array, new: jax.Array) -> jax.Array:
        rows = jnp.repeat(dead, old.shape[0] // dead.shape[0], total_repeat_length=old.shape[0])
        return jnp.where(rows.reshape(-1, *(1,) * (old.ndim - 1)), new, old)

    return jax.tree.map(merge, before, fresh)
