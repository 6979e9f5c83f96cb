"""What a decoder is, read from a Hugging Face checkpoint's `config.json`: data, so that a family is a row and not a
copy.

Families: Llama (Llama 2, 3.x, SmolLM2, TinyLlama, …), Qwen2 (Qwen2, Qwen2.5, Qwen2.5-Coder) and OLMo2. Left out, and
refused in a sentence: every other `model_type`, rotary scalings other than `llama3`, sliding-window attention in use,
attention or MLP biases beyond Qwen2's, activations other than SiLU, quantised checkpoints.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError


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
        rope_scaling: Llama 3.x's scaling, or None.
        max_positions: context length in tokens, prompt and response together.
        tied: whether the output head is the embedding.
        eos_ids: token ids that end a response (none: a response only ends at the token limit).
        bos_id: begin-of-text id, or None.
        pad_id: id that fills rows past their end; never looked at.
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
    rope_scaling: Llama3Scaling | None
    max_positions: int
    tied: bool
    eos_ids: tuple[int, ...]
    bos_id: int | None = None
    pad_id: int = 0

    @property
    def family(self) -> Family:
        return FAMILIES[self.model_type]

    @classmethod
    def from_folder(cls, folder: str | Path) -> DecoderConfig:
        """Read `config.json`, and the end-of-text ids from `generation_config.json` where there is one.

        Raises:
            InputError: a file is missing or unreadable, or the checkpoint needs something that the decoder does not do.
        """
        folder = Path(folder)
        values = _read_json(folder / "config.json")
        generation = folder / "generation_config.json"
        overrides = _read_json(generation) if generation.is_file() else {}
        return cls.from_values(values, source=str(folder), generation=overrides)

    @classmethod
    def from_values(
        cls, values: Mapping[str, Any], *, source: str, generation: Mapping[str, Any] | None = None
    ) -> DecoderConfig:
        """The same from parsed JSON; `source` names the checkpoint in error messages.

        Raises:
            InputError: a value is missing, or the checkpoint needs something that the decoder does not do.
        """
        generation = generation or {}
        _refuse_unsupported(values, source)

        def need(name: str) -> Any:
            if values.get(name) is None:
                raise InputError(f"config.json of {source} has no '{name}': take a complete checkpoint folder.")
            return values[name]

        width, heads = int(need("hidden_size")), int(need("num_attention_heads"))
        kv_heads = int(_or(values.get("num_key_value_heads"), heads))
        if heads % kv_heads:
            raise InputError(
                f"config.json of {source} has {heads} attention heads, not a multiple of its {kv_heads} key-value "
                "heads: correct the file."
            )
        head_dim = int(_or(values.get("head_dim"), width // heads))
        if head_dim % 2:
            raise InputError(
                f"config.json of {source} gives an odd head size {head_dim}, which rotary embedding cannot pair: "
                "correct it."
            )
        rope_theta, scaling = _rope(values, source)
        vocabulary = int(need("vocab_size"))
        eos_ids = _ids(_or(generation.get("eos_token_id"), values.get("eos_token_id")))
        bos = _ids(_or(generation.get("bos_token_id"), values.get("bos_token_id")))
        pad = _ids(_or(generation.get("pad_token_id"), values.get("pad_token_id")))
        pad_id = pad[0] if pad and 0 <= pad[0] < vocabulary else _stand_in(eos_ids, vocabulary)
        return cls(
            model_type=values["model_type"],
            vocabulary=vocabulary,
            width=width,
            mlp_width=int(need("intermediate_size")),
            layers=int(need("num_hidden_layers")),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            norm_epsilon=float(need("rms_norm_eps")),
            rope_theta=rope_theta,
            rope_scaling=scaling,
            max_positions=int(need("max_position_embeddings")),
            tied=bool(values.get("tie_word_embeddings", False)),
            eos_ids=eos_ids,
            bos_id=bos[0] if bos else None,
            pad_id=pad_id,
        )

    def to_values(self, dtype: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """(config.json, generation_config.json) of this decoder with weights stored as `dtype`.

        Complete: `from_values` gives this configuration back, and transformers builds the same model from them. Rotary
        settings are in the spelling that transformers 4 and 5 both read.
        """
        eos: Any = list(self.eos_ids) or None
        tokens: dict[str, Any] = {
            "bos_token_id": self.bos_id,
            "eos_token_id": eos[0] if eos is not None and len(eos) == 1 else eos,
            # Not one that stands in for a missing one: transformers gives a padding row no gradient.
            "pad_token_id": None if self.pad_id == _stand_in(self.eos_ids, self.vocabulary) else self.pad_id,
        }
        scaling = self.rope_scaling
        values: dict[str, Any] = {
            "architectures": [self.family.architecture],
            "model_type": self.model_type,
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.mlp_width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "rms_norm_eps": self.norm_epsilon,
            "rope_theta": self.rope_theta,
            "rope_scaling": None
            if scaling is None
            else {
                "rope_type": "llama3",
                "factor": scaling.factor,
                "low_freq_factor": scaling.low_frequency_factor,
                "high_freq_factor": scaling.high_frequency_factor,
                "original_max_position_embeddings": scaling.original_positions,
            },
            "max_position_embeddings": self.max_positions,
            "tie_word_embeddings": self.tied,
            "attention_dropout": 0.0,
            "initializer_range": 0.02,
            "torch_dtype": dtype,
            "use_cache": True,
            **tokens,
        }
        # A default that differs between versions is written out; Qwen2 and OLMo2 have no such setting.
        values |= {"use_sliding_window": False} if self.model_type == "qwen2" else {"attention_bias": False}
        if self.model_type == "llama":
            values["mlp_bias"] = False
        return values, tokens


def _or(first: Any, second: Any) -> Any:
    return second if first is None else first


def _stand_in(eos_ids: tuple[int, ...], vocabulary: int) -> int:
    """The id that pads where a checkpoint names none: any will do, for it is never looked at."""
    return next((token for token in eos_ids if 0 <= token < vocabulary), 0)


def _ids(value: int | list[int] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return tuple(int(token) for token in value) if isinstance(value, list) else (int(value),)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path.parent} has no {path.name}: name a folder in Hugging Face layout (config.json, tokenizer.json, "
            "model.safetensors)."
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}): fetch the checkpoint again.") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} does not hold a JSON object: fetch the checkpoint again.")
    return values


def _refuse_unsupported(values: Mapping[str, Any], source: str) -> None:
    model_type = values.get("model_type")
    if model_type not in FAMILIES:
        raise InputError(
            f"{source} is of model_type '{model_type}', which the decoder does not know: use one of "
            f"{', '.join(FAMILIES)}."
        )
    windowed = any(kind != "full_attention" for kind in values.get("layer_types") or [])
    problem = None
    if windowed or (values.get("use_sliding_window") and values.get("sliding_window")):
        problem = "sliding-window attention"
    elif values.get("hidden_act", "silu") != "silu":
        problem = f"the activation '{values['hidden_act']}'"
    elif values.get("attention_bias") and model_type != "qwen2":
        problem = "biases on its attention projections"
    elif values.get("mlp_bias"):
        problem = "biases in its MLP"
    elif values.get("quantization_config"):
        problem = "quantised weights"
    if problem:
        raise InputError(f"{source} uses {problem}, which the decoder leaves out: choose a checkpoint without.")


def _rope(values: Mapping[str, Any], source: str) -> tuple[float, Llama3Scaling | None]:
    """Rotary base and scaling, from transformers v5's `rope_parameters` or v4's `rope_theta` and `rope_scaling`."""
    rope = dict(values.get("rope_parameters") or values.get("rope_scaling") or {})
    theta = float(_or(rope.get("rope_theta"), _or(values.get("rope_theta"), 10000.0)))
    kind = rope.get("rope_type", rope.get("type", "default"))
    partial = _or(rope.get("partial_rotary_factor"), _or(values.get("partial_rotary_factor"), 1.0))
    if kind not in ("default", "llama3") or partial != 1.0:
        what = f"rotary scaling of type '{kind}'" if partial == 1.0 else f"a partial rotary factor of {partial}"
        raise InputError(
            f"{source} uses {what}, which the decoder leaves out: choose a checkpoint with rope_type default or llama3."
        )
    if kind == "default":
        return theta, None
    try:
        scaling = Llama3Scaling(
            factor=float(rope["factor"]),
            low_frequency_factor=float(rope["low_freq_factor"]),
            high_frequency_factor=float(rope["high_freq_factor"]),
            original_positions=int(rope["original_max_position_embeddings"]),
        )
    except KeyError as missing:
        raise InputError(
            f"config.json of {source} has llama3 rotary scaling without {missing}: complete the file."
        ) from None
    return theta, scaling
