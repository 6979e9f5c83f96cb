"""Log-probabilities of responses to a prompt, and gradients of them or of parts of them, each by one program.

The score of a whole response (for κ), of a single token of one (a branch of the tree) and the slope along which Adam
goes are all Σ_t w_t ∇ log π(token t | those before), so that one compiled program makes them all, at any weights. For a
small model compilation takes longer than all passes: there rows are differentiated several at a time, and prompts and
responses are padded to few widths, so that other questions need no other program. For a large one the passes are what
takes time, and nothing is padded beyond the next bucket.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from llm_bridge.models import placement
from llm_bridge.sampling import scoring
from llm_bridge.sampling.buckets import bucket

if TYPE_CHECKING:
    from llm_bridge.language_model import LanguageModel

Array = jax.Array
PyTree = Any

_TOGETHER = 8  # rows that are differentiated together where the model is small
_SMALL = 1 << 21  # weights that such a model has at most: eight gradients are then 64 MB
_NARROWEST = 16  # tokens of a large model's narrowest row


class Part(NamedTuple):
    """Of a response, what is differentiated: Σ_t weights_t log π(token t | those before).

    Attributes:
        tokens: int32 [T], T ≥ 1.
        weights: float32 [T].
    """

    tokens: np.ndarray
    weights: np.ndarray


class Gradients(NamedTuple):
    """Of some rows that are differentiated together.

    Attributes:
        rows: [R] places among the parts that were asked for.
        slopes: of the weights' own shapes and types behind an axis of B ≥ R; what is behind R repeats the first.
        values: float64 [R], the sums that were differentiated.
    """

    rows: list[int]
    slopes: PyTree
    values: np.ndarray

    def of_rows(self, factors: np.ndarray | Sequence[float]) -> Array:
        """float32 [B]: a factor for each of the rows, and 0 for what repeats."""
        padded = np.zeros(jax.tree.leaves(self.slopes)[0].shape[0], np.float32)
        padded[: len(self.rows)] = factors
        return jnp.asarray(padded)


@dataclass(frozen=True, kw_only=True, eq=False)
class PromptScores:
    """What is measured of the responses to one prompt.

    Attributes:
        model: the language model. prompt: int32 [P].
        longest: tokens of the longest response that will be asked for.
        temperature, remat: as `measure.measure` takes them. batch: responses of a forward pass.
    """

    model: LanguageModel
    prompt: np.ndarray
    longest: int
    temperature: float = 1.0
    remat: bool = False
    batch: int = 32

    def gradients(self, params: PyTree, parts: Sequence[Part], known: Collection[int] = ()) -> Iterator[Gradients]:
        """Of each part, at these weights; short ones first, a few at a time, always the same ones together.

        known: parts that are not needed. Those beside them come as they come without it, to the bit.
        """
        together = _together(self._small)
        order = sorted(range(len(parts)), key=lambda k: len(parts[k].tokens))
        for start in range(0, len(order), together):
            rows = order[start : start + together]
            if not all(row in known for row in rows):
                # Kept in no name here, so that they are gone once the caller has let them go.
                yield self._gradients(params, rows, [parts[k] for k in rows + [rows[0]] * (together - len(rows))])

    def _gradients(self, params: PyTree, rows: list[int], filled: Sequence[Part]) -> Gradients:
        tokens, lengths = self._padded([part.tokens for part in filled])
        weights = np.zeros(tokens.shape, np.float32)
        for row, part in enumerate(filled):
            weights[row, : len(part.weights)] = part.weights
        values, slopes = _gradients(params, *self._prompt, tokens, lengths, weights, remat=self.remat, **self._how)
        return Gradients(rows, slopes, np.asarray(placement.on_host(values)[: len(rows)], np.float64))

    def log_probs(self, params: PyTree, responses: Sequence[np.ndarray]) -> list[np.ndarray]:
        """ln π of each token of each response, float64, by the code that fine-tuning differentiates."""
        found: list[np.ndarray] = []
        for start in range(0, len(responses), self.batch):
            some = list(responses[start : start + self.batch])
            rows = _power(len(some)) if self._small else bucket(len(some))
            tokens, lengths = self._padded(some + some[:1] * (rows - len(some)))
            scored = placement.on_host(_log_probs(params, *self._prompt, tokens, lengths, **self._how))
            found += [np.asarray(row[: len(one)], np.float64) for row, one in zip(scored, some, strict=False)]
        return found

    @cached_property
    def _small(self) -> bool:
        return _is_small(self.model.params)

    @property
    def _how(self) -> dict[str, Any]:
        return {"graphdef": self.model.graphdef, "temperature": self.temperature}

    @cached_property
    def _prompt(self) -> tuple[Array, Array]:
        """(tokens [P or more], their number)."""
        prompt = np.asarray(self.prompt, np.int32)
        width = _prompt_width(prompt.size, self._small)
        return jnp.asarray(np.pad(prompt, (0, width - prompt.size))), jnp.int32(prompt.size)

    def _padded(self, responses: Sequence[np.ndarray]) -> tuple[Array, Array]:
        """(tokens int32 [B, T], lengths [B]), T a bucket."""
        longest = max(len(one) for one in responses)
        width = _row_width(self.longest if self._small else longest, self._small)
        tokens = np.zeros((len(responses), width), np.int32)
        for row, one in enumerate(responses):
            tokens[row, : len(one)] = one
        return jnp.asarray(tokens), jnp.asarray([len(one) for one in responses], jnp.int32)


def _is_small(params: PyTree) -> bool:
    return sum(leaf.size for leaf in jax.tree.leaves(params)) <= _SMALL


def _together(small: bool) -> int:
    return _TOGETHER if small else 1


def _prompt_width(length: int, small: bool) -> int:
    return _power(length) if small else length


def _row_width(length: int, small: bool) -> int:
    return _power(length) if small else bucket(length, smallest=_NARROWEST)


def _power(length: int) -> int:
    """The power of two that holds it, 32 or more."""
    return max(32, 1 << (length - 1).bit_length())


class Program(NamedTuple):
    """What differentiates the widest rows, for an account of its memory before there is a model.

    Attributes:
        function: jitted; takes the weights, then `shapes`, then names.
        shapes: of its arguments behind the weights.
        rows: that are differentiated together.
    """

    function: Any
    shapes: tuple[jax.ShapeDtypeStruct, ...]
    rows: int


def program(params: PyTree, prompt_tokens: int, longest: int) -> Program:
    """Of weights, or of their shapes, for a prompt and responses of so many tokens."""
    small = _is_small(params)
    rows, prompt, width = _together(small), _prompt_width(prompt_tokens, small), _row_width(longest, small)
    sizes = ((prompt,), jnp.int32), ((), jnp.int32), ((rows, width), jnp.int32), ((rows,), jnp.int32)
    shapes = (*sizes, ((rows, width), jnp.float32))
    return Program(_gradients, tuple(jax.ShapeDtypeStruct(*one) for one in shapes), rows)


@partial(jax.jit, static_argnames=("graphdef", "temperature", "remat"))
def _gradients(
    params: PyTree,
    prompt: Array,
    prompt_length: Array,
    tokens: Array,
    lengths: Array,
    weights: Array,
    *,
    graphdef: Any,
    temperature: float,
    remat: bool,
) -> tuple[Array, PyTree]:
    """(Σ_t weights_t log π(token t) [B], its gradients): on a mesh these are divided as the weights are."""
    mesh = scoring.mesh_of(graphdef, params)

    def one(row: Array, length: Array, weight: Array) -> tuple[Array, PyTree]:
        def summed(at: PyTree) -> Array:
            how: dict[str, Any] = {"prompt_lengths": prompt_length, "temperature": temperature, "remat": remat}
            found = scoring.token_log_probs(graphdef, at, prompt, row[None], length[None], **how)
            return jnp.sum(weight * found[0])

        value, slope = jax.value_and_grad(summed)(params)
        return value, placement.weights(mesh, slope)

    return jax.vmap(one)(tokens, lengths, weights)


@partial(jax.jit, static_argnames=("graphdef", "temperature"))
def _log_probs(
    params: PyTree,
    prompt: Array,
    prompt_length: Array,
    tokens: Array,
    lengths: Array,
    *,
    graphdef: Any,
    temperature: float,
) -> Array:
    how: dict[str, Any] = {"prompt_lengths": prompt_length, "temperature": temperature}
    return scoring.token_log_probs(graphdef, params, prompt, tokens, lengths, **how)


def nothing(model: LanguageModel, params: PyTree) -> PyTree:
    """A sum of gradients before the first: float32 zeros where the weights stand."""
    return _zeros(params, mesh=model.config.mesh)


@partial(jax.jit, static_argnames=("mesh",))
def _zeros(params: PyTree, *, mesh: Any) -> PyTree:
    return placement.weights(mesh, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), params))


@partial(jax.jit, donate_argnums=(0,))
def add(total: PyTree, slopes: PyTree, factors: Array) -> PyTree:
    """total + Σ_b factors_b slopes_b, in float32."""

    def plus(so_far: Array, rows: Array) -> Array:
        for factor, row in zip(factors, rows, strict=True):
            so_far = so_far + factor * row.astype(jnp.float32)
        return so_far

    return jax.tree.map(plus, total, slopes)
