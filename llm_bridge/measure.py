"""p0 and κ of a prompt: the two numbers through which the theory sees a policy, measured on a language model.

With s(y) = ∇ log π(y) the score of a whole response, ū_g and ū_b its means over correct and wrong responses under the
policy, and δ = ū_g − ū_b,

    p0 = π(correct)        κ = ‖δ‖²        ∇p = p(1 − p)δ

(THEORY F4; δ is the "Gradient Gap" of Suk and Duan, arXiv 2510.08539). ‖·‖² of a noisy mean is biased upwards by its
variance, which for an LLM is far larger than κ. With k correct and m wrong rollouts the estimate here uses different
rollouts in every product,

    κ̂ = Σ_{i≠j} ⟨g_i, g_j⟩ / k(k−1)  +  Σ_{i≠j} ⟨b_i, b_j⟩ / m(m−1)  −  2 Σ_{i,j} ⟨g_i, b_j⟩ / km

with g the scores of the correct and b those of the wrong ones: the two-fold estimate ⟨δ̂_A, δ̂_B⟩ averaged over all
ways of dealing successes and failures out to the folds: unbiased like it, with a smaller variance. The sums come from
‖Σ s‖² − Σ ‖s‖², so memory holds the weights and three vectors of their size (four while the standard error is made),
whatever the number of rollouts, and each distinct response costs one backward pass.

Estimating κ only when there are at least two successes and two failures is harmless: given those counts the correct
rollouts are independent draws from π(· | correct), the wrong ones from π(· | wrong), so κ̂ is unbiased conditionally on
the counts, and p̂0 is reported whatever they are. What *would* bias κ̂ is to repeat the measurement until its value
pleases.

The standard error is the two-sample delete-one jackknife, exact in closed form given ⟨s_i, v⟩ for two vectors v: one
forward-mode pass per response and no further gradients. It errs on the large side (Efron and Stein 1981).

Left out: the update directions of length-normalised losses (their δ differs), and κ under Adam.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.theory import Summary
from llm_bridge import scoring
from llm_bridge.buckets import bucket
from llm_bridge.evaluate import wilson
from llm_bridge.prompt_arms import PromptArms, Verifier, score

if TYPE_CHECKING:
    from llm_bridge.model import LanguageModel
    from llm_bridge.prompt_arms import Prompt

Array = jax.Array
PyTree = Any


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What the theory needs to know of a model and a prompt.

    Attributes:
        p0: share of correct rollouts, with Wilson's interval [p0_low, p0_high] at `confidence`.
        successes, rollouts: counts.
        kappa: unbiased estimate of κ, in nats² per unit² of weights; may be negative by chance; NaN where it cannot be
            estimated.
        kappa_standard_error: delete-one jackknife; NaN with fewer than three successes or failures, or where not asked
            for.
        kernel_correct, kernel_wrong, kernel_between: mean ⟨s, s'⟩ of two different correct rollouts, two wrong ones,
            one of each: κ = kernel_correct + kernel_wrong − 2 kernel_between.
        noise_correct, noise_wrong: traces of the score's covariance within the correct and within the wrong responses,
            the noise of an update.
        mean_length: response tokens. truncated: share stopped by the token limit.
        distinct: number of different responses among the rollouts.
        note: why κ or its error is NaN; empty otherwise.
    """

    p0: float
    p0_low: float
    p0_high: float
    confidence: float
    successes: int
    rollouts: int
    kappa: float
    kappa_standard_error: float
    kernel_correct: float
    kernel_wrong: float
    kernel_between: float
    noise_correct: float
    noise_wrong: float
    mean_length: float
    truncated: float
    distinct: int
    note: str

    def summary(self) -> Summary:
        """What `theory.predict` needs of it.

        Raises:
            InputError: no success, no failure, or an estimate of κ that is not positive: measure with more rollouts.
        """
        if not 0 < self.successes < self.rollouts:
            raise InputError(
                f"{self.successes} of {self.rollouts} rollouts were correct: measure with more, until both kinds occur."
            )
        error = self.kappa_standard_error
        return Summary(
            log_p0=math.log(self.p0),
            kappa=self.kappa,
            kappa_standard_error=error if math.isfinite(error) else math.inf,
        )


@dataclass(frozen=True, kw_only=True)
class _Response:
    """A distinct response among the rollouts, and how often it came."""

    tokens: np.ndarray  # [T] int32, T = length
    correct: bool
    count: int


# ----------------------------------------------------------------------------------------------- compiled functions


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
    """∇ log π of one response (tokens [1, T])."""
    return jax.grad(lambda p: _sequence_log_probs(p, prompt, tokens, lengths, graphdef, temperature, remat).sum())(
        params
    )


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
    return jax.tree.map(lambda t, v: t + factor * v, total, vector)


@jax.jit
def _combine(a: Array, x: PyTree, b: Array, y: PyTree) -> PyTree:
    return jax.tree.map(lambda u, v: a * u + b * v, x, y)


@jax.jit
def _leaf_dots(x: PyTree, y: PyTree) -> list[Array]:
    # The last axis first: a float32 sum of 10^8 terms in a row would lose digits that a sum of sums keeps.
    return [jnp.sum(jnp.sum(a * b, axis=-1)) for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True)]


def _dot(x: PyTree, y: PyTree) -> float:
    """⟨x, y⟩ over all weights; leaves are added in float64."""
    return math.fsum(float(part) for part in _leaf_dots(x, y))


# ------------------------------------------------------------------------------------------------------ measurement


def measure(
    model: LanguageModel,
    prompt: Prompt,
    verifier: Verifier,
    *,
    key: Array,
    max_tokens: int,
    rollouts: int = 64,
    batch: int = 8,
    temperature: float = 1.0,
    params: PyTree = None,
    standard_error: bool = True,
    confidence: float = 0.95,
    remat: bool = False,
    progress: Callable[[int, int, float, float], None] | None = None,
) -> Measurement:
    """Measure p0 and κ from fresh rollouts.

    Args:
        model: the language model.
        prompt: a string or chat messages.
        verifier: response text -> reward; correct where it exceeds ½.
        key: JAX key; the result depends on it and on `batch`.
        max_tokens: longest response; the same as in the fine-tuning run that is to be predicted, as are the two below.
        rollouts: n; κ̂'s relative standard deviation is about .3 at p = .2 with 32 rollouts, and above 1 at p = .02.
        batch: rollouts generated together.
        temperature: of the policy.
        params: weights to use in place of the model's own.
        standard_error: whether to spend one more forward-mode pass per distinct response on κ's standard error.
        confidence: of the interval for p0.
        remat: recompute activations in the backward passes, to bound memory.
        progress: told (done, all, p̂0 so far, seconds) while sampling and while differentiating (each counts as one per
            rollout).

    Raises:
        InputError: rollouts or batch below 1, or a prompt that does not fit the model's context.
    """
    if rollouts < 1 or batch < 1:
        raise InputError(f"Measurement got rollouts = {rollouts} and batch = {batch}: give at least 1 of each.")
    arms = PromptArms(model, prompt, verifier)
    arms.check_fits(max_tokens)
    params = model.params if params is None else params
    start_time = time.monotonic()

    def tell(done: int, total: int, value: float) -> None:
        if progress is not None:
            progress(done, total, value, time.monotonic() - start_time)

    counts: dict[bytes, int] = {}
    verdicts: dict[bytes, bool] = {}
    successes, done, total_length, truncated = 0, 0, 0, 0
    while done < rollouts:
        some = model.generate(
            prompt,
            rollouts=min(batch, rollouts - done),
            max_tokens=max_tokens,
            key=jax.random.fold_in(key, done),
            temperature=temperature,
            params=params,
        )
        correct = score(verifier, some.text) > 0.5
        lengths = np.asarray(some.lengths)
        for row, length in enumerate(lengths):
            tokens = np.asarray(some.tokens[row, :length], np.int32).tobytes()
            counts[tokens] = counts.get(tokens, 0) + 1
            verdicts[tokens] = bool(correct[row])
        successes += int(correct.sum())
        total_length += int(lengths.sum())
        truncated += int(np.sum(np.asarray(some.truncated)))
        done += len(lengths)
        tell(done, 2 * rollouts, successes / done)
    responses = [
        _Response(tokens=np.frombuffer(tokens, np.int32), correct=verdicts[tokens], count=count)
        for tokens, count in counts.items()
    ]
    # The vectors to come are each as large as the model: its decoding copy makes room for one of them.
    model.release_decoding_weights()
    gap = _GapEstimate(
        model=model,
        params=params,
        prompt=jnp.asarray(arms.prompt_tokens),
        responses=responses,
        temperature=temperature,
        remat=remat,
        batch=batch,
        max_tokens=max_tokens,
    ).estimate(standard_error, lambda seen: tell(rollouts + seen, 2 * rollouts, successes / rollouts))
    low, high = wilson(successes, rollouts, confidence)
    return Measurement(
        p0=successes / rollouts,
        p0_low=low,
        p0_high=high,
        confidence=confidence,
        successes=successes,
        rollouts=rollouts,
        mean_length=total_length / rollouts,
        truncated=truncated / rollouts,
        distinct=len(responses),
        **gap,
    )


@dataclass(frozen=True, kw_only=True)
class _GapEstimate:
    """κ̂, its parts and its standard error, from the distinct responses."""

    model: LanguageModel
    params: PyTree
    prompt: Array
    responses: list[_Response]
    temperature: float
    remat: bool
    batch: int
    max_tokens: int

    def estimate(self, standard_error: bool, tell: Callable[[int], None]) -> dict[str, Any]:
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
                total[response.correct] = jax.tree.map(jnp.zeros_like, vector)
            total[response.correct] = _accumulate(total[response.correct], vector, jnp.float32(response.count))
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
                direction = _combine(factors[0], total[correct], factors[1], total[not correct])
                along = self._along(direction, correct)
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

    def _padded(self, responses: list[_Response]) -> tuple[Array, Array]:
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
            along[rows] = _directional(
                self.params,
                direction,
                self.prompt,
                *self._padded(filled),
                graphdef=self.model.graphdef,
                temperature=self.temperature,
            )[: len(rows)]
        return along
