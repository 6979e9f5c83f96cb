"""Weights between Hugging Face safetensors and the decoder's parameters: one naming table, used both ways, no torch.

Reads single files and sharded ones (`tensor_files`), in float32, float16 or bfloat16. Left out: pickled `.bin`
checkpoints (they run code when read) and quantised tensors; GGUF files are turned into a safetensors folder by
`llm_bridge.models.hub`.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError

from bandit_rft.errors import InputError, ModelWarning
from llm_bridge.models import lora, placement
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.decoder import Decoder, layer_shapes
from llm_bridge.models.tensor_files import EMBEDDING, HEAD, Stored, open_tensors, tensor_files

# Ours -> (theirs, whether theirs is [out, in], the transpose of ours).
_LAYER_NAMES: Mapping[str, tuple[str, bool]] = {
    "q": ("self_attn.q_proj.weight", True),
    "k": ("self_attn.k_proj.weight", True),
    "v": ("self_attn.v_proj.weight", True),
    "o": ("self_attn.o_proj.weight", True),
    "q_bias": ("self_attn.q_proj.bias", False),
    "k_bias": ("self_attn.k_proj.bias", False),
    "v_bias": ("self_attn.v_proj.bias", False),
    "q_norm": ("self_attn.q_norm.weight", False),
    "k_norm": ("self_attn.k_norm.weight", False),
    "gate": ("mlp.gate_proj.weight", True),
    "up": ("mlp.up_proj.weight", True),
    "down": ("mlp.down_proj.weight", True),
}
# By (norm_first, norm_last): "post_attention_layernorm" is the norm before the MLP in Llama, and the norm after
# attention in OLMo2 and Gemma 3.
_NORM_NAMES: Mapping[tuple[bool, bool], Mapping[str, str]] = {
    (True, False): {"attention_norm": "input_layernorm.weight", "mlp_norm": "post_attention_layernorm.weight"},
    (False, True): {
        "attention_norm": "post_attention_layernorm.weight",
        "mlp_norm": "post_feedforward_layernorm.weight",
    },
    (True, True): {
        "attention_norm": "input_layernorm.weight",
        "attention_out_norm": "post_attention_layernorm.weight",
        "mlp_norm": "pre_feedforward_layernorm.weight",
        "mlp_out_norm": "post_feedforward_layernorm.weight",
    },
}
Array = jax.Array
_COMPARED = 2**24  # numbers compared at a time, to bound memory
_READABLE = ("F32", "F16", "BF16", "F64")


def tensor_names(config: DecoderConfig) -> dict[tuple[str, ...], tuple[list[str], bool]]:
    """The naming table of a decoder.

    Returns:
        Path in our parameter tree -> (Hugging Face names, transposed). A path under "blocks" has one name a layer, in
        order; the others have one name. `transposed`: their matrix is [out, in] where ours is [in, out].
    """
    norms = _NORM_NAMES[config.family.norm_first, config.family.norm_last]
    table: dict[tuple[str, ...], tuple[list[str], bool]] = {("embedding",): ([EMBEDDING], False)}
    for name in layer_shapes(config):
        theirs, transposed = (norms[name], False) if name in norms else _LAYER_NAMES[name]
        table["blocks", name] = ([f"model.layers.{layer}.{theirs}" for layer in range(config.layers)], transposed)
    table["final_norm",] = (["model.norm.weight"], False)
    if not config.tied:
        table["head",] = ([HEAD], True)
    return table


def abstract_decoder(config: DecoderConfig, *, dtype: Any, param_dtype: Any) -> tuple[Any, Any]:
    """Graph and shapes of a decoder's parameters, without allocating them: (graphdef, params of ShapeDtypeStruct)."""
    decoder = nnx.eval_shape(lambda: Decoder(config, rngs=nnx.Rngs(0), dtype=dtype, param_dtype=param_dtype))
    return nnx.split(decoder)


def load_params(folder: str | Path, config: DecoderConfig, dtype: Any = jnp.float32) -> Any:
    """Parameters of the checkpoint in `folder`, stored as `dtype`, as the state that `nnx.split(Decoder(...))` gives;
    each goes from the host to its places on the config's mesh, where there is one.

    Raises:
        InputError: no safetensors file, an unreadable one, or a tensor that is missing, unexpected, of another shape
            than `config` says, or of a dtype that is not floating point.
    """
    folder, dtype = Path(folder), jnp.dtype(dtype)
    files = tensor_files(folder)
    if config.tied and EMBEDDING not in files and HEAD in files:  # one matrix, saved under its other name
        files[EMBEDDING] = files.pop(HEAD)
    if config.layers > len(files):  # before names of so many layers are made
        raise InputError(
            f"config.json of {folder} calls for {config.layers} layers, and its weights are {len(files)} tensors: use "
            "the config.json that belongs to these weights."
        )
    _, params = abstract_decoder(config, dtype=dtype, param_dtype=dtype)
    shapes = {path: leaf.shape for path, leaf in nnx.to_flat_state(params)}
    table = tensor_names(config)
    _refuse_unexpected(files, {name for names, _ in table.values() for name in names}, config, folder)
    opened = {path: open_tensors(path) for path in {stored.path for stored in files.values()}}
    try:
        for path, (names, transposed) in table.items():  # all of them, before memory of the size they claim is taken
            for name in names:
                _check(opened, files, name, shapes[path][path[0] == "blocks" :], transposed, folder)
        arrays: dict[tuple[str, ...], Array] = {}
        for path, (names, transposed) in table.items():
            shape = shapes[path]
            stacked = path[0] == "blocks"
            out = np.empty(shape, dtype)
            for layer, name in enumerate(names):
                target = out[layer] if stacked else out
                target[...] = _read(opened, files, name, transposed, folder)
            arrays[path] = jnp.asarray(out) if config.mesh is None else placement.weight(config.mesh, path[-1], out)
    finally:
        opened.clear()
    for path, leaf in nnx.to_flat_state(params):
        leaf.set_value(arrays[tuple(map(str, path))])
    return params


def untied_where_heads_differ(folder: str | Path, config: DecoderConfig, dtype: Any = jnp.float32) -> DecoderConfig:
    """The configuration as the weights have it: untied where it is tied and the file holds another head, as
    transformers 5 loads it.

    Args:
        folder: of the checkpoint.
        config: as its config.json says.
        dtype: that the weights will be stored as; what differs only beyond it is equal.

    Warns:
        ModelWarning: the head differs.

    Raises:
        InputError: as `load_params`.
    """
    folder = Path(folder)
    files = tensor_files(folder) if config.tied else {}
    if not {EMBEDDING, HEAD} <= files.keys():
        return config
    shape = (config.vocabulary, config.width)
    opened = {files[name].path: open_tensors(files[name].path) for name in (EMBEDDING, HEAD)}
    for name in (EMBEDDING, HEAD):
        _check(opened, files, name, shape, False, folder)
    views = [opened[files[name].path].get_slice(files[name].name) for name in (EMBEDDING, HEAD)]
    rows = max(1, _COMPARED // config.width)
    for start in range(0, config.vocabulary, rows):
        stop = min(start + rows, config.vocabulary)
        one, other = (np.asarray(view[start:stop]).astype(jnp.dtype(dtype)) for view in views)
        if not np.array_equal(one, other):
            break
    else:
        return config
    warnings.warn(
        f"{folder} holds an output head that is not its embedding, though its config.json says so: the head is used, "
        "as in transformers; set tie_word_embeddings to false there.",
        ModelWarning,
        stacklevel=3,
    )
    return dataclasses.replace(config, tied=False)


def tensors(config: DecoderConfig, params: Any, dtype: Any = None) -> Iterator[tuple[str, np.ndarray]]:
    """(Hugging Face name, contiguous array on the host) of every parameter, one at a time; adapters merged into theirs.

    Args:
        config: the decoder's.
        params: its parameters.
        dtype: to store; None keeps each parameter's own.
    """
    leaves = {path: leaf[...] for path, leaf in nnx.to_flat_state(params)}
    adapters = {str(path[-1]): np.asarray(leaf) for path, leaf in leaves.items() if path[0] == lora.ADAPTERS}
    for path, (names, transposed) in tensor_names(config).items():
        array = lora.merged(config, str(path[-1]), np.asarray(leaves[path]), adapters)
        for name, part in zip(names, array if path[0] == "blocks" else [array], strict=True):
            if dtype is not None or part.dtype != leaves[path].dtype:
                with np.errstate(over="ignore"):  # an infinity is the caller's to refuse
                    part = part.astype(jnp.dtype(dtype or leaves[path].dtype))
            yield name, np.ascontiguousarray(part.T if transposed else part)


def adapter_tensors(
    config: DecoderConfig, params: Any, dtype: Any = None, *, decoder: str = "model"
) -> dict[str, np.ndarray]:
    """The adapters under the names of `peft`, A [rank, in] and B [out, rank] a layer, contiguous on the host.

    Args:
        config: of a decoder with adapters.
        params: its parameters.
        dtype: to store; None: float32.
        decoder: where the decoder stands in the model that `peft` will hold.
    """
    found: dict[str, np.ndarray] = {}
    for path, leaf in nnx.to_flat_state(lora.trained(params)):
        weight, _, half = str(path[-1]).rpartition("_")
        module = _LAYER_NAMES[weight][0].removesuffix(".weight")
        for layer, part in enumerate(np.asarray(leaf[...])):
            name = f"base_model.model.{decoder}.layers.{layer}.{module}.lora_{half.upper()}.weight"
            with np.errstate(over="ignore"):  # an infinity is the caller's to refuse
                found[name] = np.ascontiguousarray(part.T.astype(jnp.dtype(dtype or part.dtype)))
    return found


def export_tensors(config: DecoderConfig, params: Any, dtype: Any = None) -> dict[str, np.ndarray]:
    """`tensors` as a dictionary: the whole model on the host at once."""
    return dict(tensors(config, params, dtype))


def _refuse_unexpected(files: Mapping[str, Stored], expected: set[str], config: DecoderConfig, folder: Path) -> None:
    for name in files:
        # Old exports carry the rotary frequencies, which follow from the config, and a copy of a tied head.
        derived = name.endswith("rotary_emb.inv_freq") or (config.tied and name == HEAD)
        beside = name.removeprefix("model.").startswith(config.family.passed_over)
        if name not in expected and not derived and not beside:
            raise InputError(
                f"{folder} holds the tensor '{files[name].name}', which a {config.layers}-layer {config.model_type} "
                "decoder does not have: use the config.json that belongs to these weights."
            )


def _check(
    opened: Mapping[Path, Any],
    files: Mapping[str, Stored],
    name: str,
    shape: tuple[int, ...],
    transposed: bool,
    folder: Path,
) -> None:
    """Raises InputError unless the named tensor is there, of this shape (theirs, if transposed), in floating point."""
    if name == HEAD and name not in files:
        raise InputError(
            f"{folder} lacks the output head ('{HEAD}'), and its config.json does not say that the embedding is the "
            "head: fetch the checkpoint again, or set tie_word_embeddings to true there if that is how it was trained."
        )
    if name not in files:
        raise InputError(
            f"{folder} lacks the tensor '{name}' that its config.json calls for: fetch the checkpoint again."
        )
    try:
        view = opened[files[name].path].get_slice(files[name].name)
        kind, found = view.get_dtype(), tuple(view.get_shape())
    except SafetensorError as error:
        raise InputError(f"Tensor '{name}' in {folder} cannot be read ({error}): fetch the checkpoint again.") from None
    want = shape[::-1] if transposed else shape
    if kind not in _READABLE:
        raise InputError(f"Tensor '{name}' in {folder} is stored as {kind}: take a checkpoint in float32 or bfloat16.")
    if found != want:
        raise InputError(
            f"Tensor '{name}' in {folder} has shape {list(found)} where config.json calls for {list(want)}: "
            "use the config.json that belongs to these weights."
        )


def _read(
    opened: Mapping[Path, Any], files: Mapping[str, Stored], name: str, transposed: bool, folder: Path
) -> np.ndarray:
    """The named tensor, transposed where `transposed` says so."""
    try:
        array = opened[files[name].path].get_tensor(files[name].name)
    except SafetensorError as error:
        raise InputError(f"Tensor '{name}' in {folder} cannot be read ({error}): fetch the checkpoint again.") from None
    return array.T if transposed else array
