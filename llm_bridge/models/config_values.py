"""A decoder's configuration from the values of a config.json that anybody may have written, and back to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandit_rft.errors import InputError
from llm_bridge.models.config_checks import Given
from llm_bridge.models.config_rotary import kinds_of_layers, rope_of, ropes_of, values_of_kinds, values_of_scaling
from llm_bridge.models.families import FAMILIES, TEXT_PARTS

if TYPE_CHECKING:
    from llm_bridge.models.config import DecoderConfig

# What transformers takes where a config.json is silent, of families whose published files are: those of Gemma 3 that
# read images state what differs from this, and no more.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "qwen3": {"head_dim": 128},
    "gemma3_text": {
        "vocab_size": 262208,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "rms_norm_eps": 1e-6,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "rope_theta": 1e6,
        "rope_local_base_freq": 1e4,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
    },
}


def read_json(path: Path) -> dict[str, Any]:
    """The object that a file of a checkpoint holds. Raises InputError where there is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path.parent} has no {path.name}: name a folder in Hugging Face layout (config.json, tokenizer.json, "
            "model.safetensors)."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}): fetch the checkpoint again.") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} does not hold a JSON object: fetch the checkpoint again.")
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a file of a checkpoint, in a folder that is renamed into place once it is whole."""
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def fields_of(values: Mapping[str, Any], *, source: str, generation: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `DecoderConfig`.

    Args:
        values: config.json. generation: generation_config.json, whose token ids come first; a response ends at the
            end-of-text ids of either.
        source: names the checkpoint in messages.

    Raises:
        InputError: a value is missing or none that can be, or the checkpoint needs something that the decoder does not
            do.
    """
    values = _described(values, source)
    _refuse_unsupported(values, source)
    family = FAMILIES[values["model_type"]]
    named = ("bos_token_id", "pad_token_id")
    given = Given({**values, **{name: generation[name] for name in named if generation.get(name) is not None}}, source)
    width, heads = given.whole("hidden_size"), given.whole("num_attention_heads")
    kv_heads = given.whole("num_key_value_heads", heads)
    if heads % kv_heads:
        raise InputError(
            f"config.json of {source} has {heads} attention heads, not a multiple of its {kv_heads} key-value heads: "
            "correct the file."
        )
    head_dim = given.whole("head_dim", width // heads)
    if head_dim % 2:
        raise InputError(
            f"config.json of {source} gives an odd head size {head_dim}, which rotary embedding cannot pair: correct "
            "it."
        )
    layers = given.whole("num_hidden_layers")
    alternating: dict[str, Any] = {}
    if family.alternating:
        (rope_theta, scaling), local_theta = ropes_of(values, source)
        window, local = kinds_of_layers(values, layers, source)
        scalar = given.whole("query_pre_attn_scalar")
        alternating = {"window": window, "local_layers": local, "local_rope_theta": local_theta}
        alternating |= {"query_scalar": None if scalar == head_dim else scalar}
    else:
        rope_theta, scaling = rope_of(values, source)
    vocabulary = given.whole("vocab_size")
    generated = Given(generation, source, "generation_config.json").ends(vocabulary)
    eos_ids = tuple(dict.fromkeys((*generated, *given.ends(vocabulary))))
    bos, pad = given.ids("bos_token_id"), given.ids("pad_token_id")
    return {
        "model_type": values["model_type"],
        "vocabulary": vocabulary,
        "width": width,
        "mlp_width": given.whole("intermediate_size"),
        "layers": layers,
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "norm_epsilon": given.positive("rms_norm_eps"),
        "rope_theta": rope_theta,
        "rope_scaling": scaling,
        "max_positions": given.whole("max_position_embeddings"),
        "tied": given.flag("tie_word_embeddings"),
        "eos_ids": eos_ids,
        "bos_id": bos[0] if bos else None,
        "pad_id": pad[0] if pad and 0 <= pad[0] < vocabulary else stand_in(eos_ids, vocabulary),
    } | alternating


def values_of(config: DecoderConfig, dtype: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(config.json, generation_config.json); see `DecoderConfig.to_values`."""
    eos: Any = list(config.eos_ids) or None
    tokens: dict[str, Any] = {
        "bos_token_id": config.bos_id,
        "eos_token_id": eos[0] if eos is not None and len(eos) == 1 else eos,
        # Not one that stands in for a missing one: transformers gives a padding row no gradient.
        "pad_token_id": None if config.pads_by_stand_in else config.pad_id,
    }
    values: dict[str, Any] = {
        "architectures": [config.family.architecture],
        "model_type": config.model_type,
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "intermediate_size": config.mlp_width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        _activation_name(config.model_type): config.family.activation,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_theta,
        "rope_scaling": values_of_scaling(config.rope_scaling),
        "max_position_embeddings": config.max_positions,
        "tie_word_embeddings": config.tied,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "torch_dtype": dtype,
        "use_cache": True,
        **tokens,
    }
    # A default that differs between versions is written out, where the family has such a setting.
    if config.model_type in ("qwen2", "qwen3"):
        values["use_sliding_window"] = False
    if config.model_type != "qwen2":
        values["attention_bias"] = False
    if config.model_type == "llama":
        values["mlp_bias"] = False
    if config.family.alternating:
        values |= {
            "query_pre_attn_scalar": config.head_dim if config.query_scalar is None else config.query_scalar,
            "sliding_window": config.window,
            "layer_types": values_of_kinds(config.local_layers, config.layers),
            "rope_local_base_freq": config.local_rope_theta,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
        }
    return values, tokens


def stand_in(eos_ids: tuple[int, ...], vocabulary: int) -> int:
    """The id that pads where a checkpoint names none: any will do, for it is never looked at."""
    return next((token for token in eos_ids if 0 <= token < vocabulary), 0)


def _activation_name(model_type: str) -> str:
    """Where config.json names the activation."""
    return "hidden_activation" if model_type == "gemma3_text" else "hidden_act"


def _described(values: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    """The values of the text part, with those that transformers fills in."""
    model_type = values.get("model_type")
    if isinstance(model_type, str) and model_type in TEXT_PARTS:
        text = values.get("text_config") or {}
        if not isinstance(text, dict):
            raise InputError(
                f"config.json of {source} describes its text part by {str(text)[:40]!r}: take a complete checkpoint "
                "folder."
            )
        outer = ("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings", "quantization_config")
        outside = {name: values[name] for name in outer if values.get(name) is not None}
        values = {"model_type": TEXT_PARTS[model_type], **text, **outside}
        model_type = values["model_type"]
    return {**(_DEFAULTS.get(model_type, {}) if isinstance(model_type, str) else {}), **values}


def _refuse_unsupported(values: Mapping[str, Any], source: str) -> None:
    model_type = values.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise InputError(
            f"{source} is of model_type '{model_type}', which the decoder does not know: use one of "
            f"{', '.join((*FAMILIES, *TEXT_PARTS))}."
        )
    family, activation = FAMILIES[model_type], _activation_name(model_type)
    kinds = values.get("layer_types") or []
    windowed = not isinstance(kinds, list) or any(kind != "full_attention" for kind in kinds)
    windowed = windowed or (values.get("use_sliding_window") and values.get("sliding_window"))
    problem = None
    if windowed and not family.alternating:
        problem = "sliding-window attention"
    elif values.get(activation, family.activation) != family.activation:
        problem = f"the activation '{values[activation]}'"
    elif family.alternating and (values.get("attn_logit_softcapping") or values.get("final_logit_softcapping")):
        problem = "soft-capped logits"
    elif family.alternating and values.get("use_bidirectional_attention"):
        problem = "attention in both directions"
    elif values.get("attention_bias") and model_type != "qwen2":
        problem = "biases on its attention projections"
    elif values.get("mlp_bias"):
        problem = "biases in its MLP"
    elif values.get("quantization_config"):
        problem = "quantised weights"
    if problem:
        raise InputError(f"{source} uses {problem}, which the decoder leaves out: choose a checkpoint without.")
