"""Which file of a checkpoint's folder holds each tensor, and under which name: shards, wrappers' prefixes, adapters.

A checkpoint saved from inside a wrapper (DistributedDataParallel, torch.compile, FSDP, peft) has the wrapper's words in
its tensors' names; they are taken off where one rule fits all names, so that the rest is read as it would have been
without the wrapper. What is not a whole model is refused with its cause named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from bandit_rft.errors import InputError

SINGLE, INDEX, ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_config.json"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
# Parts of a name that wrappers put between others; no decoder's own name has them.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
# Every family has this tensor, once: what stands before it stands before all.
_ANCHOR = "layers.0.mlp.down_proj.weight"
_PART = re.compile(r"(?P<stem>.{1,200})-(?P<number>\d{1,6})-of-(?P<total>\d{1,6})\.safetensors")


@dataclass(frozen=True)
class Stored:
    """Where a tensor is: a file, and its name in it."""

    path: Path
    name: str


def tensor_files(folder: Path) -> dict[str, Stored]:
    """Where each tensor is, by the name that transformers gives it.

    Raises:
        InputError: no safetensors file, an unreadable one, parts that are missing or that overlap, or an adapter.
    """
    refuse_adapter(folder)
    index, single = folder / INDEX, folder / SINGLE
    if index.is_file() and not single.is_file():
        files = _listed(index)
    elif single.is_file():
        files = dict.fromkeys(_names(single), single)
    else:
        files = _unlisted(folder)
    renamed = _without_wrappers(files, folder)
    stored = {name: Stored(files[theirs], theirs) for name, theirs in renamed.items()}
    _refuse_adapted(files, folder)
    return stored


def refuse_adapter(folder: Path) -> None:
    """Raises InputError where the folder holds a peft adapter: alone no model, and beside one a change left out."""
    if (folder / ADAPTER).is_file():
        raise InputError(
            f"{folder} holds a peft adapter ({ADAPTER}), and adapters are not read: merge it into its base model "
            "(merge_and_unload), save that, and name its folder."
        )


def open_tensors(path: Path) -> Any:
    """The file, opened by safetensors. Raises InputError where it cannot be."""
    try:
        return safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as safetensors ({error}): fetch the checkpoint again.") from None


def _names(path: Path) -> list[str]:
    try:
        with open_tensors(path) as file:
            return list(file.keys())
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as safetensors ({error}): fetch the checkpoint again.") from None


def _listed(index: Path) -> dict[str, Path]:
    """The tensors of an index, each with its file."""
    folder = index.parent
    try:
        listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = {str(name): folder / str(file) for name, file in listed.items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(f"{index} cannot be read ({error!r}): fetch the checkpoint again.") from None
    stray = sorted(str(file) for file in listed.values() if Path(str(file)).name != file)
    if stray:
        raise InputError(f"{index} lists {stray[0][:60]!r}, which is no file of its folder: fetch it again.")
    for path in sorted(set(files.values())):
        if not path.is_file():
            raise InputError(f"{folder} lacks {path.name}, which its index lists: fetch the checkpoint again.")
    return files


def _unlisted(folder: Path) -> dict[str, Path]:
    """The tensors of parts NAME-00001-of-00003.safetensors that no index lists; all parts have to be there."""
    paths = sorted(folder.glob("*.safetensors"))
    parts = {path: found for path in paths if (found := _PART.fullmatch(path.name))}
    if not parts:
        named = f"; rename {paths[0].name} if it is that" if len(paths) == 1 else ""
        raise InputError(
            f"{folder} has no {SINGLE}: name a folder that holds the weights as safetensors under that name{named}."
        )
    first = next(iter(parts.values()))
    stem, total = first["stem"], int(first["total"])
    by_number: dict[int, Path] = {}
    for path, found in parts.items():
        if (found["stem"], int(found["total"])) != (stem, total) or int(found["number"]) in by_number:
            raise InputError(
                f"{folder} has {path.name} beside {first.string} and no {INDEX} to say which to read: leave the parts "
                "of one checkpoint."
            )
        by_number[int(found["number"])] = path
    start = 0 if 0 in by_number else 1
    missing = sorted(set(range(start, start + total)) - set(by_number))
    if missing or len(by_number) != total:
        number = f"{missing[0]:0{len(first['number'])}d}" if missing else "more"
        raise InputError(
            f"{folder} has {len(by_number)} of the {total} parts of its weights, and part {number} is not among them: "
            "fetch the checkpoint again."
        )
    files: dict[str, Path] = {}
    for path in by_number.values():
        for name in _names(path):
            if name in files:
                raise InputError(
                    f"{folder} holds the tensor '{name}' twice, in {files[name].name} and {path.name}: fetch the "
                    "checkpoint again."
                )
            files[name] = path
    return files


def _without_wrappers(names: Iterable[str], folder: Path) -> dict[str, str]:
    """transformers' name -> the name in the file, for names that a wrapper may have changed."""
    bare = {name: ".".join(part for part in name.split(".") if part not in _WRAPPERS) for name in names}
    anchors = [name for name in bare.values() if name == _ANCHOR or name.endswith("." + _ANCHOR)]
    prefix = anchors[0].removesuffix(_ANCHOR) if len(anchors) == 1 else "model."
    # The head stands beside the decoder, which is called "model" there.
    outer = prefix.removesuffix("model.")
    found: dict[str, str] = {}
    for theirs, name in bare.items():
        if name in (prefix + HEAD, outer + HEAD):
            ours = HEAD
        else:
            ours = "model." + name.removeprefix(prefix) if name.startswith(prefix) else name
        if ours in found:
            raise InputError(
                f"{folder} holds the tensor '{ours}' twice, as '{found[ours]}' and as '{theirs}': save one model alone."
            )
        found[ours] = theirs
    return found


def _refuse_adapted(names: Iterable[str], folder: Path) -> None:
    """Raises InputError for the layers that peft puts in place of a model's own."""
    for name in names:
        if re.search(r"(^|\.)(lora_\w+|base_layer|modules_to_save|original_module|ia3_\w+)(\.|$)", name):
            raise InputError(
                f"{folder} holds '{name}', of a peft adapter that is not merged: merge it into its base model "
                "(merge_and_unload) and save that."
            )
