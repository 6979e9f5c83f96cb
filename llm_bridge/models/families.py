"""The model families that the decoder knows, their differences stated as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Family:
    """What distinguishes one model family from another in the decoder's block.

    Attributes:
        projection_bias: bias on the q, k and v projections (Qwen2).
        norm_first: RMSNorm before attention and MLP (Llama, Qwen2); False: on their outputs, before the residual sum
            (OLMo2).
        projection_norm: RMSNorm on the whole q and k projections, before the split into heads (OLMo2).
        wide: norm weights are applied, and heads rotated, in float32 before rounding to the compute dtype (OLMo2);
            False: after rounding. Nothing differs in float32.
        architecture: the class name that transformers expects in `architectures`.
    """

    projection_bias: bool
    norm_first: bool
    projection_norm: bool
    wide: bool
    architecture: str


FAMILIES: Mapping[str, Family] = {
    "llama": Family(
        projection_bias=False, norm_first=True, projection_norm=False, wide=False, architecture="LlamaForCausalLM"
    ),
    "qwen2": Family(
        projection_bias=True, norm_first=True, projection_norm=False, wide=False, architecture="Qwen2ForCausalLM"
    ),
    "olmo2": Family(
        projection_bias=False, norm_first=False, projection_norm=True, wide=True, architecture="Olmo2ForCausalLM"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Llama3Scaling:
    """Llama 3.x's rotary scaling (`rope_type: llama3`): low frequencies divided by `factor`, a smooth band between."""

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    original_positions: int
