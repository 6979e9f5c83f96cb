"""A decoder's configuration from the values of a config.json that anybody may have written, and back to them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandit_rft import arguments
from bandit_rft.errors import InputError
from llm_bridge.models.families import FAMILIES, Llama3Scaling

if TYPE_CHECKING:
    from llm_bridge.models.config import DecoderConfig

_LARGEST = 2**31 - 1  # token ids and positions are int32


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


class _Values:
    """Values of a config.json, each checked as it is taken."""

    def __init__(self, values: Mapping[str, Any], source: str, file: str = "config.json") -> None:
        self.values, self.source, self.file = values, source, file

    def wrong(self, name: str, wanted: str) -> InputError:
        return InputError(
            f"{self.file} of {self.source} has {name} = {str(self.values.get(name))[:40]!r}, which is {wanted}: take "
            "a complete checkpoint folder."
        )

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number from 1 to 2^31 − 1; raises InputError for anything else, and where there is no default."""
        value = self._number(name, default)
        if not 1 <= value <= _LARGEST or value != int(value):
            raise self.wrong(name, "no whole number of at least 1")
        return int(value)

    def positive(self, name: str, default: float | None = None) -> float:
        """A finite number above 0; raises as `whole`."""
        value = self._number(name, default)
        if not 0 < value < math.inf:
            raise self.wrong(name, "no finite number above 0")
        return float(value)

    def _number(self, name: str, default: float | None) -> float:
        value = self.values.get(name)
        value = default if value is None else value
        if value is None:
            raise InputError(f"config.json of {self.source} has no '{name}': take a complete checkpoint folder.")
        if not arguments.is_number(value):
            raise self.wrong(name, "no number")
        return value

    def ids(self, name: str) -> tuple[int, ...]:
        """Token ids: none, one or a list of them."""
        value = self.values.get(name)
        found = [] if value is None else value if isinstance(value, list) else [value]
        if any(not arguments.is_whole(v) or not -1 <= v <= _LARGEST for v in found):
            raise self.wrong(name, "no token id, nor a list of them")
        return tuple(found)

    def ends(self, vocabulary: int) -> tuple[int, ...]:
        """The ids that end a response; −1 stands for none. Raises InputError for one beyond the vocabulary."""
        found = [token for token in self.ids("eos_token_id") if token >= 0]
        if any(token >= vocabulary for token in found):
            raise self.wrong("eos_token_id", f"beyond the vocabulary of {vocabulary}")
        return tuple(found)

    def flag(self, name: str) -> bool:
        """true or false; false where there is none."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "neither true nor false")
        return bool(value)


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
    _refuse_unsupported(values, source)
    named = ("bos_token_id", "pad_token_id")
    given = _Values(
        {**values, **{name: generation[name] for name in named if generation.get(name) is not None}}, source
    )
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
    rope_theta, scaling = _rope(values, source)
    vocabulary = given.whole("vocab_size")
    generated = _Values(generation, source, "generation_config.json").ends(vocabulary)
    eos_ids = tuple(dict.fromkeys((*generated, *given.ends(vocabulary))))
    bos, pad = given.ids("bos_token_id"), given.ids("pad_token_id")
    return {
        "model_type": values["model_type"],
        "vocabulary": vocabulary,
        "width": width,
        "mlp_width": given.whole("intermediate_size"),
        "layers": given.whole("num_hidden_layers"),
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
    }


def values_of(config: DecoderConfig, dtype: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(config.json, generation_config.json); see `DecoderConfig.to_values`."""
    eos: Any = list(config.eos_ids) or None
    tokens: dict[str, Any] = {
        "bos_token_id": config.bos_id,
        "eos_token_id": eos[0] if eos is not None and len(eos) == 1 else eos,
        # Not one that stands in for a missing one: transformers gives a padding row no gradient.
        "pad_token_id": None if config.pads_by_stand_in else config.pad_id,
    }
    scaling = config.rope_scaling
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
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_theta,
        "rope_scaling": None
        if scaling is None
        else {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_frequency_factor,
            "high_freq_factor": scaling.high_frequency_factor,
            "original_max_position_embeddings": scaling.original_positions,
        },
        "max_position_embeddings": config.max_positions,
        "tie_word_embeddings": config.tied,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "torch_dtype": dtype,
        "use_cache": True,
        **tokens,
    }
    # A default that differs between versions is written out; Qwen2 and OLMo2 have no such setting.
    values |= {"use_sliding_window": False} if config.model_type == "qwen2" else {"attention_bias": False}
    if config.model_type == "llama":
        values["mlp_bias"] = False
    return values, tokens


def stand_in(eos_ids: tuple[int, ...], vocabulary: int) -> int:
    """The id that pads where a checkpoint names none: any will do, for it is never looked at."""
    return next((token for token in eos_ids if 0 <= token < vocabulary), 0)


def _refuse_unsupported(values: Mapping[str, Any], source: str) -> None:
    model_type = values.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise InputError(
            f"{source} is of model_type '{model_type}', which the decoder does not know: use one of "
            f"{', '.join(FAMILIES)}."
        )
    kinds = values.get("layer_types") or []
    windowed = not isinstance(kinds, list) or any(kind != "full_attention" for kind in kinds)
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
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise InputError(
            f"config.json of {source} describes its rotary embedding by {str(rope)[:40]!r}: take a complete checkpoint "
            "folder."
        )
    given = _Values({"rope_theta": values.get("rope_theta")} | {k: v for k, v in rope.items() if v is not None}, source)
    theta = given.positive("rope_theta", 10000.0)
    kind = rope.get("rope_type", rope.get("type", "default"))
    partials = (rope.get("partial_rotary_factor"), values.get("partial_rotary_factor"))
    partial = next((share for share in partials if share is not None), 1.0)
    if kind not in ("default", "llama3") or partial != 1.0:
        what = f"rotary scaling of type '{kind}'" if partial == 1.0 else f"a partial rotary factor of {partial}"
        raise InputError(
            f"{source} uses {what}, which the decoder leaves out: choose a checkpoint with rope_type default or llama3."
        )
    if kind == "default":
        return theta, None
    missing = [name for name in _LLAMA3 if name not in given.values]
    if missing:
        raise InputError(
            f"config.json of {source} has llama3 rotary scaling without '{missing[0]}': complete the file."
        )
    factor, low, high = (given.positive(name) for name in _LLAMA3[:3])
    if not low < high:
        raise given.wrong("high_freq_factor", f"not above its low_freq_factor, {low:g}")
    return theta, Llama3Scaling(
        factor=factor,
        low_frequency_factor=low,
        high_frequency_factor=high,
        original_positions=given.whole(_LLAMA3[3]),
    )


_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
