"""Linear bandits with features: LinUCB and LinTS, both on ridge regression of all rewards so far.

    V = λ 1 + Σ x xᵀ,   θ̂ = V⁻¹ Σ r x
    LinUCB   pull the arm of the largest ⟨θ̂, x⟩ + β sqrt(xᵀ V⁻¹ x),
             β = σ sqrt(2 ln(det(V)^(1/2) λ^(−d/2) / δ)) + sqrt(λ) ‖θ‖       (Abbasi-Yadkori, Pál, Szepesvári 2011,
             theorem 2 and OFUL), or a constant width (Li, Chu, Langford, Schapire 2010, algorithm 1: α)
    LinTS    θ̃ ~ N(θ̂, v² V⁻¹), pull the arm of the largest ⟨θ̃, x⟩          (Agrawal & Goyal 2013, algorithm 1)

Theorem 2 says that with probability 1 − δ, θ lies within ‖θ̂ − θ‖_V ≤ β in every round. The metric "covered" is 1 in a
round where it does; LinTS, which has no δ of its own, logs it at δ = .05.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.arms.linear import Featured, LinearContexts
from bandit_rft.contract import Info, Learner
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key

DELTA = 0.05
LEAST_RIDGE = 1e-10  # V⁻¹ begins at 1/λ, and by updates of rank one it loses a share of 2e-16/λ of its accuracy


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Regression:
    """Ridge regression of one seed.

    Attributes:
        inverse: float [d, d], V⁻¹. log_det: float scalar, ln det V − d ln λ. moment: float [d], Σ r x.
        world: float [d], the arm set's θ, which no choice reads.
    """

    inverse: jax.Array
    log_det: jax.Array
    moment: jax.Array
    world: jax.Array

    @property
    def estimate(self) -> jax.Array:
        """θ̂ [d]."""
        return self.inverse @ self.moment


@dataclass(frozen=True)
class _Linear(ABC):
    """Ridge regression on `LinearContexts`; a subclass gives the arms' indices. One pull a round."""

    @property
    @abstractmethod
    def _ridge(self) -> float: ...

    @abstractmethod
    def _index(self, key: jax.Array, state: Regression, features: jax.Array, arms: LinearContexts) -> jax.Array:
        """float [K]."""

    def _radius(self, state: Regression, arms: LinearContexts, delta: float) -> jax.Array:
        """β of theorem 2, float scalar."""
        spread = arms.sigma * jnp.sqrt(state.log_det - 2 * jnp.log(delta))
        return spread + jnp.sqrt(self._ridge) * arms.theta_norm

    def bind(self, arms: object, *, rounds: int, row_capacity: int | None = None) -> Learner:
        """The learner on arms with features. Raises InputError where `arms` is no `LinearContexts`."""
        del rounds, row_capacity
        if not isinstance(arms, LinearContexts):
            raise InputError(
                f"{type(self).__name__} learns from features (LinearContexts), not on {type(arms).__name__}: choose "
                "another learner."
            )
        delta = getattr(self, "delta", DELTA)

        def init(key: jax.Array) -> Regression:
            return Regression(
                inverse=jnp.eye(arms.dimension, dtype=float) / self._ridge,
                log_det=jnp.zeros((), float),
                moment=jnp.zeros(arms.dimension, float),
                world=arms.start(as_key(key)),
            )

        def act(key: jax.Array, state: Regression) -> tuple[Featured, Info]:
            features_key, index_key = jax.random.split(as_key(key))
            features = arms.features(features_key)
            chosen = jnp.argmax(self._index(index_key, state, features, arms))
            means = features @ state.world
            return Featured(features[chosen][None], means[chosen][None]), Info(value=None, best_mean=jnp.max(means))

        def update(state: Regression, pulled: Featured, rewards: jax.Array) -> Regression:
            x = pulled.features[0]
            along = state.inverse @ x
            grown = 1 + x @ along
            return Regression(
                inverse=state.inverse - jnp.outer(along, along) / grown,
                log_det=state.log_det + jnp.log(grown),
                moment=state.moment + rewards[0] * x,
                world=state.world,
            )

        def metrics(state: Regression) -> dict[str, jax.Array]:
            off = state.estimate - state.world
            distance = jnp.sqrt(off @ jnp.linalg.solve(state.inverse, off))
            return {"covered": (distance <= self._radius(state, arms, delta)).astype(off.dtype)}

        return Learner(init=init, act=act, update=update, metrics=metrics)


@dataclass(frozen=True)
class LinUCB(_Linear):
    """LinUCB (OFUL) on `LinearContexts`. One pull per round.

    Args:
        delta: δ in (0, 1), the probability that the ellipsoid misses θ in some round.
        ridge: λ ≥ 1e-10.
        width: a constant β from 0 to 1e100 in place of theorem 2's; None takes the theorem's.

    Raises:
        InputError: an argument outside its range; or, on binding, arms without features.

    The noise σ and a bound ‖θ‖ are those of the arm set: the theorem takes both as known.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.LinearContexts(arms=5, dimension=3, sigma=0.1)
        >>> run(table, learners.LinUCB(), rounds=50, seeds=4, key=0).rewards.shape
        (4, 50, 1)
    """

    delta: float = DELTA
    ridge: float = 1.0
    width: float | None = None

    def __post_init__(self) -> None:
        arguments.fraction("delta", self.delta)
        arguments.at_least("ridge", self.ridge, LEAST_RIDGE)
        if self.width is not None:
            arguments.between("width", self.width, 0.0, 1e100)

    @property
    def _ridge(self) -> float:
        return self.ridge

    def _index(self, key: jax.Array, state: Regression, features: jax.Array, arms: LinearContexts) -> jax.Array:
        width = self._radius(state, arms, self.delta) if self.width is None else self.width
        spread = jnp.sqrt(jnp.maximum(jnp.sum((features @ state.inverse) * features, axis=1), 0.0))
        return features @ state.estimate + width * spread


@dataclass(frozen=True)
class LinTS(_Linear):
    """Linear Thompson sampling on `LinearContexts`. One pull per round.

    Args:
        scale: v, above 0 to 1e100, in units of the arm set's noise σ. At 1 the draw is the posterior's where λ = σ²;
            the theorem takes sqrt(9 d ln(t/δ)), which explores far more.
        ridge: λ ≥ 1e-10.

    Raises:
        InputError: an argument outside its range; or, on binding, arms without features.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.LinearContexts(arms=5, dimension=3, sigma=0.1)
        >>> run(table, learners.LinTS(), rounds=50, seeds=4, key=0).rewards.shape
        (4, 50, 1)
    """

    scale: float = 1.0
    ridge: float = 1.0

    def __post_init__(self) -> None:
        arguments.between("scale", arguments.positive("scale", self.scale), 0.0, 1e100)
        arguments.at_least("ridge", self.ridge, LEAST_RIDGE)

    @property
    def _ridge(self) -> float:
        return self.ridge

    def _index(self, key: jax.Array, state: Regression, features: jax.Array, arms: LinearContexts) -> jax.Array:
        root = jnp.linalg.cholesky(state.inverse)
        noise = root @ jax.random.normal(as_key(key), (arms.dimension,), dtype=features.dtype)
        return features @ (state.estimate + self.scale * arms.sigma * noise)
