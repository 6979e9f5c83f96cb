"""The model families that the decoder knows, their differences stated as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Family:
    """What distinguishes one model family from another in the decoder's block.

    Attributes:
        architecture: the class name that transformers expects in `architectures`.
        projection_bias: bias on the q, k and v projections (Qwen2).
        norm_first: RMSNorm before attention and before the MLP (all but OLMo2).
        norm_last: RMSNorm on the outputs of attention and of the MLP, before the residual sum (OLMo2, Gemma 3).
        projection_norm: RMSNorm on q and k: "whole", before the split into heads (OLMo2), or "head", on each head
            (Qwen3, Gemma 3).
        wide_norm: norm weights are applied in float32 before rounding to the compute dtype (OLMo2, Gemma 3); False:
            after rounding. Nothing differs in float32.
        wide_rotation: heads are rotated in float32 before rounding (OLMo2); the same holds.
        norm_offset: a norm multiplies by 1 + its weight (Gemma 3).
        activation: of the MLP's gate: SiLU, or GELU in its tanh form (Gemma 3).
        scaled_embedding: embeddings are multiplied by the square root of the width (Gemma 3).
        alternating: some layers see a window of the last tokens alone, and have a rotary base of their own (Gemma 3).
        passed_over: starts of the names of tensors that checkpoints hold beside the decoder's (Gemma 3's vision tower).
    """

    architecture: str
    projection_bias: bool = False
    norm_first: bool = True
    norm_last: bool = False
    projection_norm: Literal["whole", "head"] | None = None
    wide_norm: bool = False
    wide_rotation: bool = False
    norm_offset: bool = False
    activation: Literal["silu", "gelu_pytorch_tanh"] = "silu"
    scaled_embedding: bool = False
    alternating: bool = False
    passed_over: tuple[str, ...] = ()


FAMILIES: Mapping[str, Family] = {
    "llama": Family(architecture="LlamaForCausalLM"),
    "qwen2": Family(architecture="Qwen2ForCausalLM", projection_bias=True),
    "olmo2": Family(
        architecture="Olmo2ForCausalLM",
        norm_first=False,
        norm_last=True,
        projection_norm="whole",
        wide_norm=True,
        wide_rotation=True,
    ),
    "qwen3": Family(architecture="Qwen3ForCausalLM", projection_norm="head"),
    "gemma3_text": Family(
        architecture="Gemma3ForCausalLM",
        norm_last=True,
        projection_norm="head",
        wide_norm=True,
        norm_offset=True,
        activation="gelu_pytorch_tanh",
        scaled_embedding=True,
        alternating=True,
        passed_over=("vision_tower.", "multi_modal_projector."),
    ),
}

# model_type of a checkpoint that reads images as well -> the family of its text part, which `text_config` describes.
TEXT_PARTS: Mapping[str, str] = {"gemma3": "gemma3_text"}


@dataclass(frozen=True, kw_only=True)
class Llama3Scaling:
    """Llama 3.x's rotary scaling (`rope_type: llama3`): low frequencies divided by `factor`, a smooth band between."""

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    original_positions: int


@dataclass(frozen=True, kw_only=True)
class LinearScaling:
    """Linear rotary scaling (`rope_type: linear`): every frequency divided by `factor` (Gemma 3 from 4B on)."""

    factor: float


RopeScaling = Llama3Scaling | LinearScaling
