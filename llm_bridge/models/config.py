"""What a decoder is, read from a Hugging Face checkpoint's `config.json`: data, so that a family is a row and not a
copy.

Families: Llama (Llama 2, 3.x, SmolLM2, TinyLlama, …), Qwen2 (Qwen2, Qwen2.5, Qwen2.5-Coder), OLMo2, dense Qwen3, and
the text part of Gemma 3 (alone or in a checkpoint that reads images as well). Left out, and refused in a sentence:
every other `model_type`, rotary scalings other than `linear` and `llama3`, sliding-window attention in use outside
Gemma 3, attention or MLP biases beyond Qwen2's, activations other than the family's own, soft-capped logits, attention
in both directions, quantised checkpoints.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from llm_bridge.models import config_values
from llm_bridge.models.families import FAMILIES, Family, LinearScaling, Llama3Scaling, RopeScaling
from llm_bridge.models.lora import Lora

__all__ = ["FAMILIES", "DecoderConfig", "Family", "LinearScaling", "Llama3Scaling"]


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """A decoder's shape and constants; hashable, so that it can be static in a jitted function.

    Attributes:
        model_type: the family, a key of `FAMILIES`.
        vocabulary: V, the number of token ids (rows of the embedding).
        width: D, the hidden size.
        mlp_width: I, the gated MLP's inner size.
        layers: L.
        heads: query heads H.
        kv_heads: key and value heads KV; H is a multiple of it (grouped-query attention).
        head_dim: size of one head.
        norm_epsilon: added to the mean square in RMSNorm.
        rope_theta: base of the rotary frequencies.
        rope_scaling: a linear one, Llama 3.x's, or None.
        max_positions: context length in tokens, prompt and response together.
        tied: whether the output head is the embedding.
        eos_ids: token ids that end a response (none: a response only ends at the token limit).
        bos_id: begin-of-text id, or None.
        pad_id: id that fills rows past their end; never looked at.
        query_scalar: attention's scores are divided by its square root; None: head_dim.
        window: how many tokens a local layer sees, the query's own included; None: every layer sees all before it.
        local_layers: for each of the L layers whether it is local; empty where `window` is None.
        local_rope_theta: base of the local layers' rotary frequencies, which are not scaled.
        mesh: the devices that the decoder stands on (`llm_bridge.models.placement`); None: one.
        lora: low-rank adapters beside the weights (`llm_bridge.models.lora`); None: none.
        cache_dtype: in which decoding keeps keys and values; None: as it computes.
        attention: "own" or "dot-product", of whole sequences (`llm_bridge.models.attention`); decoding is "own".
    """

    model_type: str
    vocabulary: int
    width: int
    mlp_width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    norm_epsilon: float
    rope_theta: float
    rope_scaling: RopeScaling | None
    max_positions: int
    tied: bool
    eos_ids: tuple[int, ...]
    bos_id: int | None = None
    pad_id: int = 0
    query_scalar: int | None = None
    window: int | None = None
    local_layers: tuple[bool, ...] = ()
    local_rope_theta: float = 10000.0
    mesh: Mesh | None = None
    lora: Lora | None = None
    cache_dtype: str | None = None
    attention: str = "own"

    @property
    def family(self) -> Family:
        return FAMILIES[self.model_type]

    @property
    def query_factor(self) -> float:
        """What queries are multiplied by, so that scores over the root of head_dim are over that of `query_scalar`."""
        return 1.0 if self.query_scalar is None else (self.head_dim / self.query_scalar) ** 0.5

    @classmethod
    def from_folder(cls, folder: str | Path) -> DecoderConfig:
        """Read `config.json` and, where there is one, `generation_config.json`: a response ends at the ids of both.

        Raises:
            InputError: a file is missing or unreadable, or the checkpoint needs something that the decoder does not do.
        """
        folder = Path(folder)
        values = config_values.read_json(folder / "config.json")
        generation = folder / "generation_config.json"
        overrides = config_values.read_json(generation) if generation.is_file() else {}
        return cls.from_values(values, source=str(folder), generation=overrides)

    @classmethod
    def from_values(
        cls, values: Mapping[str, Any], *, source: str, generation: Mapping[str, Any] | None = None
    ) -> DecoderConfig:
        """The same from parsed JSON; `source` names the checkpoint in error messages.

        Raises:
            InputError: a value is missing, or the checkpoint needs something that the decoder does not do.
        """
        return cls(**config_values.fields_of(values, source=source, generation=generation or {}))

    def ended_by(self, token: int) -> DecoderConfig:
        """The same, with a further token that ends a response."""
        ends = tuple(dict.fromkeys((*self.eos_ids, token)))
        pad = config_values.stand_in(ends, self.vocabulary) if self.pads_by_stand_in else self.pad_id
        return dataclasses.replace(self, eos_ids=ends, pad_id=pad)

    @property
    def pads_by_stand_in(self) -> bool:
        """Whether `pad_id` only stands in for one that the checkpoint does not name."""
        return self.pad_id == config_values.stand_in(self.eos_ids, self.vocabulary)

    def to_values(self, dtype: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """(config.json, generation_config.json) of this decoder with weights stored as `dtype`.

        Complete: `from_values` gives this configuration back, and transformers builds the same model from them. Rotary
        settings are in the spelling that transformers 4 and 5 both read.
        """
        return config_values.values_of(self, dtype)
