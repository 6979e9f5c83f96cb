"""κ̂ of a prompt from its distinct responses: sums of their scores, of squared norms, and a jackknife error.

With s(y) = ∇ log π(y) the score of a whole response, ū_g and ū_b its means over correct and wrong responses under the
policy, and δ = ū_g − ū_b,

    p0 = π(correct)        κ = ‖δ‖²        ∇p = p(1 − p)δ

(derived in docs/derivations.md; δ is the "Gradient Gap" of Suk and Duan, arXiv 2510.08539). ‖·‖² of a noisy mean is
biased upwards by its variance, which for an LLM is far larger than κ. With k correct and m wrong rollouts the estimate
here uses different rollouts in every product,

    κ̂ = Σ_{i≠j} ⟨g_i, g_j⟩ / k(k−1)  +  Σ_{i≠j} ⟨b_i, b_j⟩ / m(m−1)  −  2 Σ_{i,j} ⟨g_i, b_j⟩ / km

with g the scores of the correct and b those of the wrong ones: the two-fold estimate ⟨δ̂_A, δ̂_B⟩ averaged over all
ways of dealing successes and failures out to the folds: unbiased like it, with a smaller variance. The sums come from
‖Σ s‖² − Σ ‖s‖², so memory holds the weights and three vectors of their size (four while the standard error is made),
whatever the number of rollouts, and each distinct response costs one backward pass.

The standard error is the two-sample delete-one jackknife, exact in closed form given ⟨s_i, v⟩ for two vectors v: one
forward-mode pass per response and no further gradients. It errs on the large side (Efron and Stein 1981).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from llm_bridge.measuring.sampled import Response
from llm_bridge.models import placement
from llm_bridge.sampling import scoring
from llm_bridge.sampling.buckets import bucket

if TYPE_CHECKING:
    from llm_bridge.language_model import LanguageModel

Array = jax.Array
PyTree = Any


def _sequence_log_probs(
    params: PyTree, prompt: Array, tokens: Array, lengths: Array, graphdef: Any, temperature: float, remat: bool
) -> Array:
    """log π(response) [B], the sum over its tokens."""
    per_token = scoring.token_log_probs(graphdef, params, prompt, tokens, lengths, temperature=temperature, remat=remat)
    counted = jnp.arange(tokens.shape[1], dtype=jnp.int32) < lengths[:, None]
    return jnp.sum(jnp.where(counted, per_token, 0.0), axis=1)


@partial(jax.jit, static_argnames=("graphdef", "temperature", "remat"))
def _score(
    params: PyTree, prompt: Array, tokens: Array, lengths: Array, *, graphdef: Any, temperature: float, remat: bool
) -> PyTree:
    """∇ log π of one response (tokens [1, T]); on a mesh it is divided as the weights are."""
    gradient = jax.grad(lambda p: _sequence_log_probs(p, prompt, tokens, lengths, graphdef, temperature, remat).sum())
    return placement.weights(scoring.mesh_of(graphdef, params), gradient(params))


@partial(jax.jit, static_argnames=("graphdef", "temperature"))
def _directional(
    params: PyTree,
    direction: PyTree,
    prompt: Array,
    tokens: Array,
    lengths: Array,
    *,
    graphdef: Any,
    temperature: float,
) -> Array:
    """⟨∇ log π(response), direction⟩ [B], in forward mode: no gradient is stored."""
    function = partial(
        _sequence_log_probs,
        prompt=prompt,
        tokens=tokens,
        lengths=lengths,
        graphdef=graphdef,
        temperature=temperature,
        remat=False,
    )
    return jax.jvp(function, (params,), (direction,))[1]


@partial(jax.jit, donate_argnums=(0,))
def _accumulate(total: PyTree, vector: PyTree, factor: Array) -> PyTree:
    return jax.tree.map(lambda t, v: t + factor * v.astype(jnp.float32), total, vector)


@partial(jax.jit, static_argnames=("mesh",))
def _zeros(params: PyTree, *, mesh: Mesh | None) -> PyTree:
    return placement.weights(mesh, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), params))


@jax.jit
def _combine(a: Array, x: PyTree, b: Array, y: PyTree, like: PyTree) -> PyTree:
    # Of the weights' own type: a forward-mode pass takes no other.
    return jax.tree.map(lambda u, v, w: (a * u + b * v).astype(w.dtype), x, y, like)


@jax.jit
def _leaf_dots(x: PyTree, y: PyTree) -> list[Array]:
    # The last axis first: a float32 sum of 10^8 terms in a row would lose digits that a sum of sums keeps. bfloat16
    # scores are multiplied in float32: κ̂ is a small difference of large sums.
    pairs = zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True)
    return [jnp.sum(jnp.sum(a.astype(jnp.float32) * b.astype(jnp.float32), axis=-1)) for a, b in pairs]


def _dot(x: PyTree, y: PyTree) -> float:
    """⟨x, y⟩ over all weights; leaves are added in float64."""
    return math.fsum(float(part) for part in _leaf_dots(x, y))


@dataclass(frozen=True, kw_only=True)
class GapEstimate:
    """κ̂, its parts and its standard error, from the distinct responses.

    Attributes:
        model, params: whose scores. prompt: int32 [P].
        responses: the distinct ones.
        temperature, remat: as `measure.measure` takes them.
        batch: responses of a forward-mode pass. max_tokens: longest response.
    """

    model: LanguageModel
    params: PyTree
    prompt: Array
    responses: list[Response]
    temperature: float
    remat: bool
    batch: int
    max_tokens: int

    def estimate(self, standard_error: bool, tell: Callable[[int], None]) -> dict[str, Any]:
        """Fields of `measure.Measurement` that hold κ, and "note"; `tell` is given how many responses are done."""
        k = sum(r.count for r in self.responses if r.correct)
        m = sum(r.count for r in self.responses if not r.correct)
        if min(k, m) < 2:
            names = ("kappa", "kappa_standard_error", "kernel_correct", "kernel_wrong", "kernel_between")
            note = f"κ needs two successes and two failures, and there were {k} and {m}: measure with more rollouts."
            return dict.fromkeys((*names, "noise_correct", "noise_wrong"), math.nan) | {"note": note}
        # Sums of scores, and of their squared norms, over the correct (True) and the wrong (False) rollouts.
        total: dict[bool, PyTree] = {}
        squares = {True: 0.0, False: 0.0}
        norms: list[float] = []
        seen = 0
        for response in self.responses:
            vector = _score(
                self.params,
                self.prompt,
                *self._padded([response]),
                graphdef=self.model.graphdef,
                temperature=self.temperature,
                remat=self.remat,
            )
            norms.append(_dot(vector, vector))
            squares[response.correct] += response.count * norms[-1]
            if response.correct not in total:
                total[response.correct] = _zeros(self.params, mesh=self.model.config.mesh)
            total[response.correct] = _accumulate(total[response.correct], vector, jnp.float32(response.count))
            del vector  # before there is another one
            seen += response.count
            tell(seen)
        square_g, square_b, cross = (
            _dot(total[True], total[True]),
            _dot(total[False], total[False]),
            _dot(total[True], total[False]),
        )
        kernel_g = (square_g - squares[True]) / (k * (k - 1))
        kernel_b = (square_b - squares[False]) / (m * (m - 1))
        kernel_gb = cross / (k * m)
        error, note = math.nan, ""
        if standard_error and min(k, m) >= 3:
            # κ̂ without rollout i, for i correct; the wrong ones are the same with the roles exchanged.
            variance = 0.0
            for correct, own, other, square, kernel in (
                (True, k, m, square_g, kernel_b),
                (False, m, k, square_b, kernel_g),
            ):
                factors = jnp.float32(1 / (own - 2)), jnp.float32(-1 / other)
                direction = _combine(factors[0], total[correct], factors[1], total[not correct], self.params)
                along = self._along(direction, correct)
                del direction
                chosen = [i for i, r in enumerate(self.responses) if r.correct == correct]
                count = np.array([self.responses[i].count for i in chosen], np.float64)
                own_norms = np.array([norms[i] for i in chosen])
                without = (square - squares[correct] + 2 * own_norms) / ((own - 1) * (own - 2)) + kernel
                without += -2 * cross / ((own - 1) * other) - 2 * along / (own - 1)
                mean = float(np.average(without, weights=count))
                variance += (own - 1) / own * float(np.sum(count * (without - mean) ** 2))
            error = math.sqrt(variance)
        elif standard_error:
            note = (
                f"κ's standard error needs three successes and three failures, and there were {k} and {m}: "
                "measure with more rollouts."
            )
        return {
            "kappa": kernel_g + kernel_b - 2 * kernel_gb,
            "kappa_standard_error": error,
            "kernel_correct": kernel_g,
            "kernel_wrong": kernel_b,
            "kernel_between": kernel_gb,
            "noise_correct": squares[True] / k - kernel_g,
            "noise_wrong": squares[False] / m - kernel_b,
            "note": note,
        }

    def _padded(self, responses: list[Response]) -> tuple[Array, Array]:
        """(tokens [B, T], lengths [B]), T a bucket."""
        width = min(bucket(max(len(r.tokens) for r in responses), smallest=16), self.max_tokens)
        tokens = np.zeros((len(responses), width), np.int32)
        for row, response in enumerate(responses):
            tokens[row, : len(response.tokens)] = response.tokens
        return jnp.asarray(tokens), jnp.asarray([len(r.tokens) for r in responses], jnp.int32)

    def _along(self, direction: PyTree, correct: bool) -> np.ndarray:
        """⟨s, direction⟩ float64 of the correct (or the wrong) responses, in their order."""
        chosen = [r for r in self.responses if r.correct == correct]
        order = np.argsort([len(r.tokens) for r in chosen], kind="stable")
        along = np.empty(len(chosen), np.float64)
        for start in range(0, len(chosen), self.batch):
            rows = order[start : start + self.batch]
            # Filled up to whole batches by repeating a row, so that there is one shape to compile for.
            filled = [chosen[row] for row in rows] + [chosen[rows[0]]] * (self.batch - len(rows))
            found = _directional(
                self.params,
                direction,
                self.prompt,
                *self._padded(filled),
                graphdef=self.model.graphdef,
                temperature=self.temperature,
            )
            along[rows] = placement.on_host(found)[: len(rows)]
        return along
