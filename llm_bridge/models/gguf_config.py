"""What a GGUF file's metadata and tensors say of the model, as config.json's values and a table of tensors.

Whatever is not understood is refused in a sentence: see `gguf_folder`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from llm_bridge.models.families import FAMILIES

# GGUF's name of an architecture -> the family.
_FAMILIES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3": "gemma3_text"}

_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
}
# With norms before and after, those before the MLP and after attention have each other's names of above.
_FOUR_NORMS = {
    "ffn_norm": "pre_feedforward_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_TOP_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_ROPE_FREQUENCIES = "rope_freqs.weight"

# Llama 3's own rotary scaling; a GGUF carries only the factors that come of it (llama.cpp, convert_hf_to_gguf.py).
_LLAMA3_LOW, _LLAMA3_HIGH = 1.0, 4.0
_LLAMA3_ORIGINAL_CONTEXTS = (8192, 4096, 16384, 32768)

# What llama.cpp takes for Gemma 3 where the file is silent (src/llama-model.cpp): every sixth layer sees all, the local
# ones have this rotary base; and the largest model, known by its layers, divides scores by another root.
_GEMMA3_PATTERN, _GEMMA3_LOCAL_BASE, _GEMMA3_LARGEST_LAYERS = 6, 10000.0, 62


def config_of(
    metadata: dict[str, Any], shapes: dict[str, tuple[int, ...]], read: Callable[[str], np.ndarray], where: str
) -> dict[str, Any]:
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or architecture not in _FAMILIES:
        raise InputError(
            f"{where} is of architecture {str(architecture)[:40]!r}, but only GGUF files of {', '.join(_FAMILIES)} are "
            "read: give the model's Hugging Face folder instead."
        )
    family = FAMILIES[_FAMILIES[architecture]]
    window = f"{architecture}.attention.sliding_window"
    parts = metadata.get("split.count", 1)
    if parts not in (0, 1):
        raise InputError(f"{where} is one part of {str(parts)[:40]}: join the parts with llama-gguf-split --merge.")
    for key, value in metadata.items():
        if re.fullmatch(
            rf"{architecture}\.(expert_count|attention\.sliding_window|logit_scale|residual_scale|embedding_scale"
            r"|attention\.(scale|clamp_kqv|max_alibi_bias)|final_logit_softcapping|attn_logit_softcapping)",
            key,
        ) and value not in (0, 0.0, *([value] if family.alternating and key == window else [])):
            raise InputError(
                f"{where} sets {key} = {value}, which the decoder does not implement: choose a plain Llama or Qwen."
            )

    def number(key: str, default: float | None = None) -> float:
        value = metadata.get(f"{architecture}.{key}", default)
        if not arguments.is_number(value) or not math.isfinite(value) or value <= 0:
            said = "no" if value is None else "an unusable"
            raise InputError(
                f"{where} has {said} value for {architecture}.{key}: the file is damaged or of another kind."
            )
        return value

    def whole(key: str, default: int | None = None) -> int:
        value = number(key, default)
        if value != int(value) or value >= 2**31:
            raise InputError(f"{where} has {architecture}.{key} = {value}: the file is damaged or of another kind.")
        return int(value)

    hidden, heads = whole("embedding_length"), whole("attention.head_count")
    kv_heads = whole("attention.head_count_kv", heads)
    head_dim = whole("attention.key_length", hidden // heads)
    if "token_embd.weight" not in shapes:
        raise InputError(f"{where} has no token embedding (token_embd.weight): use a GGUF file of the whole model.")
    rows = shapes["token_embd.weight"][0]
    same = (
        whole("attention.value_length", head_dim) == head_dim == whole("rope.dimension_count", head_dim)
        and heads % kv_heads == 0
        and head_dim % 2 == 0
        and (architecture != "qwen2" or head_dim * heads == hidden)
    )
    if not same:
        raise InputError(
            f"{where} has {heads} heads of {head_dim} and {kv_heads} key-value heads with a rotary part or value "
            f"width that "
            "does not match, which the decoder does not implement: choose a plain Llama or Qwen."
        )
    config: dict[str, Any] = {
        "architectures": [family.architecture],
        "model_type": _FAMILIES[architecture],
        "vocab_size": rows,
        "hidden_size": hidden,
        "intermediate_size": whole("feed_forward_length"),
        "num_hidden_layers": whole("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "hidden_activation" if family.alternating else "hidden_act": family.activation,
        "max_position_embeddings": whole("context_length"),
        "rms_norm_eps": _shortest(number("attention.layer_norm_rms_epsilon")),
        "rope_theta": _shortest(number("rope.freq_base", 10000.0)),
        "rope_scaling": None,
        "attention_dropout": 0.0,
        "tie_word_embeddings": "output.weight" not in shapes,
        "dtype": "float32",
    }
    if architecture == "qwen2":
        config |= {"use_sliding_window": False}
    else:
        config |= {"head_dim": head_dim, "attention_bias": False}
    if architecture == "llama":
        config["mlp_bias"] = False
    if architecture == "qwen3":
        config["use_sliding_window"] = False
    if family.alternating:
        largest = config["num_hidden_layers"] == _GEMMA3_LARGEST_LAYERS
        config |= {
            "sliding_window": whole("attention.sliding_window"),
            "sliding_window_pattern": whole("attention.sliding_window_pattern", _GEMMA3_PATTERN),
            "rope_local_base_freq": _shortest(number("rope.freq_base_swa", _GEMMA3_LOCAL_BASE)),
            "query_pre_attn_scalar": hidden // heads if largest else head_dim,
        }
    config["rope_scaling"] = _rope_scaling(metadata, config, head_dim, shapes, read, where)
    return config


def _rope_scaling(
    metadata: dict[str, Any],
    config: dict[str, Any],
    head_dim: int,
    shapes: dict[str, tuple[int, ...]],
    read: Callable[[str], np.ndarray],
    where: str,
) -> dict[str, Any] | None:
    """Hugging Face's `rope_scaling`, from metadata (linear) or from the factors per frequency (Llama 3)."""
    prefix = f"{metadata['general.architecture']}.rope.scaling."
    factor = metadata.get(prefix + "factor") or metadata.get(prefix.removesuffix("scaling.") + "scale_linear")
    # As llama.cpp reads them: a factor without a type is linear scaling, and files of 2023 have it by another name.
    kind = metadata.get(prefix + "type", "linear")
    if _ROPE_FREQUENCIES in shapes and shapes[_ROPE_FREQUENCIES] == (head_dim // 2,):
        factors = read(_ROPE_FREQUENCIES).reshape(-1)
        largest = float(factors.max(initial=1.0))
        for original in _LLAMA3_ORIGINAL_CONTEXTS:
            expected = llama3_factors(config["rope_theta"], head_dim, largest, original)
            if np.allclose(factors, expected, rtol=1e-4, atol=0):
                return {
                    "rope_type": "llama3",
                    "factor": _shortest(largest),
                    "low_freq_factor": _LLAMA3_LOW,
                    "high_freq_factor": _LLAMA3_HIGH,
                    "original_max_position_embeddings": original,
                }
    if _ROPE_FREQUENCIES in shapes:
        raise InputError(
            f"{where} scales its rotary frequencies (rope_freqs.weight) in a way that is not Llama 3's, which "
            f"config.json "
            "cannot express: give the model's Hugging Face folder instead."
        )
    if kind == "none" or (kind == "linear" and factor in (None, 0.0, 1.0)):
        return None
    if kind == "linear" and isinstance(factor, int | float) and math.isfinite(factor) and factor > 0:
        return {"rope_type": "linear", "factor": _shortest(factor)}
    raise InputError(
        f"{where} uses rotary scaling {str(kind)[:40]!r}, which is not read from GGUF: give the model's Hugging "
        f"Face folder instead."
    )


def llama3_factors(theta: float, head_dim: int, factor: float, original_context: int) -> np.ndarray:
    """By how much Llama 3.x divides each rotary frequency: float32 [head_dim / 2] (llama.cpp, convert_hf_to_gguf.py).

    One for wavelengths under original/4, `factor` for those over original/1, and a smooth passage between.
    """
    wavelengths = 2 * math.pi * theta ** (np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    smooth = (original_context / wavelengths - _LLAMA3_LOW) / (_LLAMA3_HIGH - _LLAMA3_LOW)
    blended = 1.0 / ((1 - np.clip(smooth, 0, 1)) / factor + np.clip(smooth, 0, 1))
    return blended.astype(np.float32)


def sources_of(config: dict[str, Any], shapes: dict[str, tuple[int, ...]], where: str) -> dict[str, str]:
    """Hugging Face tensor name -> GGUF tensor name, having checked that all are there, of the right shape, no more."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    head_dim = config.get("head_dim", hidden // config["num_attention_heads"])
    query, key = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
    layer_shapes: dict[str, tuple[int, ...]] = {
        "attn_norm.weight": (hidden,),
        "ffn_norm.weight": (hidden,),
        "attn_q.weight": (query, hidden),
        "attn_k.weight": (key, hidden),
        "attn_v.weight": (key, hidden),
        "attn_output.weight": (hidden, query),
        "ffn_gate.weight": (inner, hidden),
        "ffn_up.weight": (inner, hidden),
        "ffn_down.weight": (hidden, inner),
    }
    family, layer_names = FAMILIES[config["model_type"]], _LAYER_NAMES
    if family.projection_bias:
        layer_shapes |= {"attn_q.bias": (query,), "attn_k.bias": (key,), "attn_v.bias": (key,)}
    if family.projection_norm == "head":
        layer_shapes |= {"attn_q_norm.weight": (head_dim,), "attn_k_norm.weight": (head_dim,)}
    if family.norm_last:
        layer_names = _LAYER_NAMES | _FOUR_NORMS
        layer_shapes |= {"post_attention_norm.weight": (hidden,), "post_ffw_norm.weight": (hidden,)}
    expected = {"token_embd.weight": (config["vocab_size"], hidden), "output_norm.weight": (hidden,)}
    if not config["tie_word_embeddings"]:
        expected["output.weight"] = (config["vocab_size"], hidden)
    names = {source: _TOP_NAMES[source] for source in expected}
    # Bounded by what the file holds, so that a damaged layer count cannot run away.
    layers = config["num_hidden_layers"]
    if layers > len(shapes):
        raise InputError(f"{where} says {layers} layers but holds {len(shapes)} tensors: fetch it again.")
    for layer in range(layers):
        for part, shape in layer_shapes.items():
            source = f"blk.{layer}.{part}"
            module, _, kind = part.rpartition(".")
            expected[source] = shape
            names[source] = f"model.layers.{layer}.{layer_names[module]}.{kind}"
    for source, shape in expected.items():
        if shapes.get(source) != shape:
            found = "is missing" if source not in shapes else f"has shape {list(shapes[source])}"
            raise InputError(
                f"{where} should hold {source} of shape {list(shape)}, but it {found}: the file is damaged or of "
                f"another kind."
            )
    unknown = sorted(set(shapes) - set(expected) - {_ROPE_FREQUENCIES})
    if unknown:
        raise InputError(
            f"{where} holds {len(unknown)} tensors that a plain {config['model_type']} model has no place for "
            f"({unknown[0]}, …): "
            "give the model's Hugging Face folder instead."
        )
    return {target: source for source, target in names.items()}


def _shortest(value: float) -> float:
    """The shortest decimal that is the same float32: GGUF's 1e-5 would read back as 9.999999747378752e-06."""
    return float(str(np.float32(value)))
