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

The standard error is the two-sample delete-one jackknife, exact in closed form given ⟨s_i, v⟩ for two vectors v, which
need each response's score once more. It errs on the large side (Efron and Stein 1981).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from llm_bridge.measuring.prompt_scores import Gradients, Part, PromptScores, add, nothing
from llm_bridge.measuring.sampled import Response
from llm_bridge.models import placement

Array = jax.Array
PyTree = Any


@jax.jit
def _combine(a: Array, x: PyTree, b: Array, y: PyTree) -> PyTree:
    return jax.tree.map(lambda u, v: a * u + b * v, x, y)


@jax.jit
def _leaf_dots(x: PyTree, y: PyTree) -> list[Array]:
    # The last axis first: a float32 sum of 10^8 terms in a row would lose digits that a sum of sums keeps. bfloat16
    # scores are multiplied in float32: κ̂ is a small difference of large sums.
    pairs = zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True)
    return [jnp.sum(jnp.sum(a.astype(jnp.float32) * b.astype(jnp.float32), axis=-1)) for a, b in pairs]


@jax.jit
def _square_norms(slopes: PyTree) -> list[Array]:
    return jax.vmap(lambda row: _leaf_dots(row, row))(slopes)


@jax.jit
def _dots_with(slopes: PyTree, direction: PyTree) -> list[Array]:
    return jax.vmap(lambda row: _leaf_dots(row, direction))(slopes)


def _dot(x: PyTree, y: PyTree) -> float:
    """⟨x, y⟩ over all weights; leaves are added in float64."""
    return math.fsum(float(part) for part in _leaf_dots(x, y))


def _row_sums(leaves: list[Array], rows: int) -> np.ndarray:
    """float64 [rows] of a number for each leaf and row."""
    return np.array([math.fsum(row) for row in np.array([placement.on_host(leaf) for leaf in leaves]).T[:rows]])


@dataclass(frozen=True, kw_only=True)
class GapEstimate:
    """κ̂, its parts and its standard error, from the distinct responses.

    Attributes:
        scores: of the prompt. params: the weights whose scores.
        responses: the distinct ones.
    """

    scores: PromptScores
    params: PyTree
    responses: list[Response]

    def estimate(self, standard_error: bool, tell: Callable[[int], None]) -> dict[str, Any]:
        """Fields of `measure.Measurement` that hold κ, and "note"; `tell` is given how many responses are done."""
        k = sum(r.count for r in self.responses if r.correct)
        m = sum(r.count for r in self.responses if not r.correct)
        if min(k, m) < 2:
            names = ("kappa", "kappa_standard_error", "kernel_correct", "kernel_wrong", "kernel_between")
            note = f"κ needs two successes and two failures, and there were {k} and {m}: measure with more rollouts."
            return dict.fromkeys((*names, "noise_correct", "noise_wrong"), math.nan) | {"note": note}
        # Sums of scores, and of their squared norms, over the correct (True) and the wrong (False) rollouts.
        total = {kind: nothing(self.scores.model, self.params) for kind in (True, False)}
        squares = {True: 0.0, False: 0.0}
        norms = np.empty(len(self.responses))
        seen = 0
        for some in self._whole(range(len(self.responses))):
            norms[some.rows] = _row_sums(_square_norms(some.slopes), len(some.rows))
            for kind in (True, False):
                counts = [r.count * (r.correct == kind) for r in map(self.responses.__getitem__, some.rows)]
                if any(counts):
                    squares[kind] += float(np.dot(counts, norms[some.rows]))
                    total[kind] = add(total[kind], some.slopes, some.of_rows(counts))
            seen += sum(self.responses[row].count for row in some.rows)
            del some  # before there are other scores
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
                direction = _combine(factors[0], total[correct], factors[1], total[not correct])
                chosen = [i for i, r in enumerate(self.responses) if r.correct == correct]
                along = np.empty(len(chosen))
                for some in self._whole(chosen):
                    along[some.rows] = _row_sums(_dots_with(some.slopes, direction), len(some.rows))
                    del some
                del direction
                count = np.array([self.responses[i].count for i in chosen], np.float64)
                own_norms = norms[chosen]
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

    def _whole(self, chosen: Sequence[int]) -> Iterator[Gradients]:
        """Scores of these responses, by their place among them; one of no token has no score."""
        tokens = [self.responses[i].tokens for i in chosen]
        return self.scores.gradients(self.params, [Part(one, np.ones(one.size, np.float32)) for one in tokens])
