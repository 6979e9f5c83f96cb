"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685): x W + (alpha / rank) (x A) B, where A and B alone are trained.

    A [L, in, rank]     uniform in ±1/√in, the initialisation of `peft`
    B [L, rank, out]    zero, so that the model with its adapters is the model as loaded, to the bit

One pair for each weight named, stacked over layers like the weights, in float32 whatever the weights are stored as. The
frozen weights are held once: they are the policy's and the reference's. Sampling and scoring both compute the sum above
from activations, and neither merges A B into W: in 16 bits a merged weight would round away whatever is below 2^-9 of
it (bfloat16), so that the sampler would stand still while the trainer moves.

The parameters of a decoder with adapters are those of the decoder and `adapters.<weight>_a`, `adapters.<weight>_b`;
a tree of the adapters alone stands for a policy wherever `LanguageModel` takes `params=`.

Left out: dropout, adapters of embedding and head, biases, and other forms (rank-stabilised scale, DoRA).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.settings.lora import WEIGHTS, weights_of
from bandit_rft.settings.ranges import ABOVE_0, COUNT

if TYPE_CHECKING:
    from llm_bridge.models.config import DecoderConfig

Array = jax.Array
PyTree = Any
ADAPTERS = "adapters"  # where they stand in the tree of parameters


@dataclass(frozen=True)
class Lora:
    """Which weights have adapters, of which rank; hashable, a part of `DecoderConfig`.

    Attributes:
        rank: r, columns of A.
        alpha: α; what the adapters add is multiplied by α / r.
        weights: names among q, k, v, o, gate, up, down, in this order.
    """

    rank: int
    alpha: float
    weights: tuple[str, ...]

    @property
    def scale(self) -> float:
        """α / r."""
        return self.alpha / self.rank


def make(rank: int, alpha: float | None = None, weights: str | Sequence[str] | None = None) -> Lora:
    """Adapters of this rank.

    Args:
        rank: at least 1.
        alpha: None: twice the rank.
        weights: names with commas between them, or a sequence of them; None: all seven.

    Raises:
        InputError: a rank that is no whole number of at least 1, an alpha that is no number above 0, weights that are
            no names, or an unknown name.
    """
    rank = COUNT.checked("rank", rank)
    alpha = float(2 * rank) if alpha is None else ABOVE_0.checked("alpha", alpha)
    text = weights
    if text is not None and not isinstance(text, str):
        listed: list[Any] = list(text) if isinstance(text, Iterable) and not isinstance(text, bytes) else [None]
        if not all(isinstance(name, str) for name in listed):
            raise InputError(f"weights is {arguments.shown(weights)}: give names such as 'q,v', or a list of them.")
        text = ",".join(listed)
    return Lora(rank=rank, alpha=alpha, weights=weights_of(text, rank=rank, alpha=alpha))


def adapter_shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of one layer's adapters; none without them."""
    from llm_bridge.models.layer import layer_shapes

    shapes, lora = layer_shapes(config), config.lora
    found: dict[str, tuple[int, ...]] = {}
    for name in lora.weights if lora is not None else ():
        (inputs, outputs), rank = shapes[name], lora.rank  # pyright: ignore[reportOptionalMemberAccess]
        found |= {f"{name}_a": (inputs, rank), f"{name}_b": (rank, outputs)}
    return found


def check_fits(config: DecoderConfig) -> None:
    """Raises InputError where adapters have more columns than any of their weights has rows or columns: two of them
    would be larger than the weight, and no update that they can make has such a rank."""
    if config.lora is None:
        return
    pairs = adapter_shapes(config).values()
    most = max(min(a[0], b[1]) for a, b in zip(*[iter(pairs)] * 2, strict=True))
    if config.lora.rank > most:
        raise InputError(
            f"Adapters of rank {config.lora.rank} are no smaller than the weights they stand beside: give a rank of at "
            f"most {most}."
        )


def start(config: DecoderConfig, key: Array) -> dict[str, Array]:
    """Adapters [L, ...] by name before any training: A random, B zero, so that their sum with the weights is these."""
    found: dict[str, Array] = {}
    for name, shape in adapter_shapes(config).items():
        stacked = (config.layers, *shape)
        if name.endswith("_b"):
            found[name] = jnp.zeros(stacked, jnp.float32)
            continue
        limit = float(shape[0]) ** -0.5
        own = jax.random.fold_in(key, WEIGHTS.index(name.removesuffix("_a")))  # whatever else has adapters
        found[name] = jax.random.uniform(own, stacked, jnp.float32, -limit, limit)
    return found


def trained(params: PyTree) -> PyTree:
    """What training moves of a model's parameters: the adapters where there are any, else all of it."""
    return _part(params, True) if ADAPTERS in params else params


def frozen(params: PyTree) -> PyTree | None:
    """The rest; None without adapters."""
    return _part(params, False) if ADAPTERS in params else None


def whole(params: PyTree, rest: PyTree | None) -> PyTree:
    """The parameters of which `trained` gave `params`, with `rest` from `frozen` where something is missing."""
    return params if rest is None or "embedding" in params else nnx.merge_state(rest, params)


def _part(params: PyTree, adapters: bool) -> PyTree:
    flat = nnx.to_flat_state(params)
    return nnx.from_flat_state([(path, leaf) for path, leaf in flat if (path[0] == ADAPTERS) == adapters])


def merged(config: DecoderConfig, name: str, weight: np.ndarray, adapters: dict[str, np.ndarray]) -> np.ndarray:
    """A weight [L, in, out] with its adapters' product added, float32; the weight itself where it has none.

    A layer at a time on the host, for export.
    """
    if config.lora is None or name not in config.lora.weights:
        return weight
    out = np.array(weight, np.float32)
    for layer, (a, b) in enumerate(zip(adapters[f"{name}_a"], adapters[f"{name}_b"], strict=True)):
        out[layer] += np.float32(config.lora.scale) * (a @ b)
    return out
