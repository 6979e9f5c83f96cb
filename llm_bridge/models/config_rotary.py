"""Rotary settings and kinds of layers in config.json, in transformers 4's spelling and in 5's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bandit_rft.errors import InputError
from llm_bridge.models.config_checks import Given
from llm_bridge.models.families import LinearScaling, Llama3Scaling, RopeScaling

_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
_LOCAL, _GLOBAL = "sliding_attention", "full_attention"
_MOST_LAYERS = 4096


def kinds_of_layers(values: Mapping[str, Any], layers: int, source: str) -> tuple[int | None, tuple[bool, ...]]:
    """(window, which of the layers are local) of a family whose layers alternate; (None, ()) where none is local.

    Raises:
        InputError: kinds of layers that cannot be.
    """
    given = Given(values, source)
    if layers > _MOST_LAYERS:  # before a list of so many is made
        raise given.wrong("num_hidden_layers", f"beyond {_MOST_LAYERS}")
    kinds = values.get("layer_types")
    if kinds is None:
        every = given.whole("sliding_window_pattern", 6)
        kinds = [_LOCAL if place % every else _GLOBAL for place in range(1, layers + 1)]
    if not isinstance(kinds, list) or len(kinds) != layers or any(kind not in (_LOCAL, _GLOBAL) for kind in kinds):
        raise given.wrong("layer_types", f"no list of {layers}, each '{_LOCAL}' or '{_GLOBAL}'")
    local = tuple(kind == _LOCAL for kind in kinds)
    return (given.whole("sliding_window"), local) if any(local) else (None, ())


def values_of_kinds(local_layers: tuple[bool, ...], layers: int) -> list[str]:
    """`layer_types` of config.json."""
    return [_LOCAL if local else _GLOBAL for local in local_layers or (False,) * layers]


def ropes_of(values: Mapping[str, Any], source: str) -> tuple[tuple[float, RopeScaling | None], float]:
    """Of a family whose layers alternate: `rope_of` the layers that see all, and the base of the local ones.

    Raises:
        InputError: as `rope_of`, or a scaling of the local layers.
    """
    nested = values.get("rope_parameters") or {}
    parts = [nested.get(kind) or {} for kind in (_GLOBAL, _LOCAL)] if isinstance(nested, dict) else [nested]
    scaling = values.get("rope_scaling") or {}
    odd = [part for part in (*parts, scaling) if not isinstance(part, dict)]
    odd += [nested] if nested and not odd and not any(parts) else []
    if odd:
        raise InputError(
            f"config.json of {source} describes its rotary embedding by {str(odd[0])[:40]!r}: take a complete "
            "checkpoint folder."
        )
    _refuse_two(parts[0], scaling, source)
    everywhere = rope_of({"rope_theta": values.get("rope_theta"), "rope_parameters": parts[0] | scaling}, source)
    local, scaled = rope_of({"rope_theta": values.get("rope_local_base_freq"), "rope_parameters": parts[1]}, source)
    if scaled is not None:
        raise InputError(
            f"{source} scales the rotary embedding of its sliding-window layers, which the decoder leaves out: choose "
            "a checkpoint without."
        )
    return everywhere, local


def rope_of(values: Mapping[str, Any], source: str) -> tuple[float, RopeScaling | None]:
    """Rotary base and scaling, from transformers v5's `rope_parameters` or v4's `rope_theta` and `rope_scaling`."""
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    _refuse_two(values.get("rope_parameters"), values.get("rope_scaling"), source)
    if not isinstance(rope, dict):
        raise InputError(
            f"config.json of {source} describes its rotary embedding by {str(rope)[:40]!r}: take a complete checkpoint "
            "folder."
        )
    given = Given({"rope_theta": values.get("rope_theta")} | {k: v for k, v in rope.items() if v is not None}, source)
    theta = given.positive("rope_theta", 10000.0)
    kind = rope.get("rope_type", rope.get("type", "default"))
    without = [name for name in rope if name not in ("rope_type", "type", "rope_theta", "partial_rotary_factor")]
    if without and not {"rope_type", "type"} & rope.keys():
        # A factor, or settings of each kind of layers: readers differ in what they make of it, and some leave it out.
        raise InputError(
            f"config.json of {source} has the rotary setting {str(without[0])[:40]!r} without a rope_type: complete "
            "the file."
        )
    partials = (rope.get("partial_rotary_factor"), values.get("partial_rotary_factor"))
    partial = next((share for share in partials if share is not None), 1.0)
    if kind not in ("default", "linear", "llama3") or partial != 1.0:
        what = f"rotary scaling of type '{kind}'" if partial == 1.0 else f"a partial rotary factor of {partial}"
        raise InputError(
            f"{source} uses {what}, which the decoder leaves out: choose a checkpoint with rope_type default, linear "
            "or llama3."
        )
    if kind == "default":
        return theta, None
    if kind == "linear":
        return theta, LinearScaling(factor=given.positive("factor"))
    missing = [name for name in _LLAMA3 if name not in given.values]
    if missing:
        raise InputError(
            f"config.json of {source} has llama3 rotary scaling without '{missing[0]}': complete the file."
        )
    outer = values.get(_LLAMA3[3])
    if outer is not None and outer != given.values[_LLAMA3[3]]:  # transformers 5 takes it, and 4 the inner one
        raise InputError(f"config.json of {source} has two {_LLAMA3[3]}, which differ: leave one of them in it.")
    factor, low, high = (given.positive(name) for name in _LLAMA3[:3])
    if not low < high:
        raise given.wrong("high_freq_factor", f"not above its low_freq_factor, {low:g}")
    return theta, Llama3Scaling(
        factor=factor,
        low_frequency_factor=low,
        high_frequency_factor=high,
        original_positions=given.whole(_LLAMA3[3]),
    )


def _refuse_two(parameters: Any, scaling: Any, source: str) -> None:
    """Raises InputError where both spellings are there and say different things: readers differ in which one wins."""
    if not (isinstance(parameters, dict) and isinstance(scaling, dict) and parameters and scaling):
        return
    names = {"type": "rope_type"}
    one, other = ({names.get(name, name): value for name, value in given.items()} for given in (parameters, scaling))
    if any(one.get(name, "default" if name == "rope_type" else None) != value for name, value in other.items()):
        raise InputError(
            f"config.json of {source} has rope_parameters and rope_scaling, which differ: leave one of them in it."
        )


def values_of_scaling(scaling: RopeScaling | None) -> dict[str, Any] | None:
    """`rope_scaling` of config.json."""
    if scaling is None:
        return None
    if isinstance(scaling, LinearScaling):
        return {"rope_type": "linear", "factor": scaling.factor}
    return {
        "rope_type": "llama3",
        "factor": scaling.factor,
        "low_freq_factor": scaling.low_frequency_factor,
        "high_freq_factor": scaling.high_frequency_factor,
        "original_max_position_embeddings": scaling.original_positions,
    }
