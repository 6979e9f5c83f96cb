"""Checkpoints of a run's state: whole or absent, the last few kept, checked bit by bit when read.

    folder/round_00000012/state/      Orbax: the state's arrays, numbered in the order of its leaves
    folder/round_00000012/meta.json   the round, the caller's `meta`, and each leaf's name, shape, dtype and CRC-32

A checkpoint is written to a hidden temporary folder, flushed, and renamed into place, so a process killed at any moment
leaves either the whole checkpoint or none (the next `save` removes what it left). A folder belongs to one run. When the
newest cannot be read back to the bit (a damaged disk, a file removed by hand), the one before it is used and that is
told (by default as a warning in the log). No pickle: arrays and JSON only. Both calls are synchronous.

Left out: writing from several hosts at once (each process here writes what it can address), and keeping the best
checkpoint.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from bandit_rft.errors import InputError
from llm_bridge import checkpoint_files

PyTree = Any

_LOG = logging.getLogger(__name__)
_PREFIX = "round_"
_FORMAT = 2  # 1 had no checksum over meta.json itself; it is still read


def save(folder: str | Path, round: int, state: PyTree, meta: dict[str, Any] | None = None, *, keep: int = 2) -> Path:
    """Write the state after `round` rounds; on return it is on disk under its final name.

    Args:
        folder: made if absent. A checkpoint of the same round is replaced; those of later rounds, which a run that
            fell back to an earlier one has left behind, are removed.
        round: rounds done, ≥ 0.
        state: any pytree whose leaves are JAX arrays (typed PRNG keys included) or numpy arrays.
        meta: plain JSON values, handed back by `load_latest`.
        keep: newest checkpoints to keep, ≥ 1; two, so that a damaged newest one has a predecessor.

    Returns:
        The checkpoint's folder.

    Raises:
        InputError: `keep` or `round` out of range, `meta` is not plain JSON, or the folder cannot be written.
    """
    if keep < 1 or round < 0:
        raise InputError(f"A checkpoint got keep = {keep} and round = {round}: give keep ≥ 1 and round ≥ 0.")
    folder = Path(folder).absolute()
    names, leaves, _ = checkpoint_files.flatten(state)
    header = {
        "format": _FORMAT,
        "round": int(round),
        "meta": meta or {},
        "leaves": [
            {"name": name, "shape": list(leaf.shape), "dtype": str(leaf.dtype), "crc32": checkpoint_files.crc32(leaf)}
            for name, leaf in zip(names, leaves, strict=True)
        ],
    }
    try:
        header = json.loads(json.dumps(header, allow_nan=False))  # as it will be read: JSON's keys are strings
        text = json.dumps({**header, "crc32": checkpoint_files.header_crc32(header)}, indent=1)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"A checkpoint's meta must be plain JSON values without NaN ({error}): convert it first."
        ) from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(f".{_PREFIX}*"):  # of a process killed while it wrote; a folder has one writer
            shutil.rmtree(stale, ignore_errors=True)
        # Made with the user's own umask: a temporary folder's 0700 would hide the checkpoint from colleagues.
        temporary = folder / f".{_PREFIX}{round:08d}.{secrets.token_hex(4)}"
        temporary.mkdir()
        try:
            checkpoint_files.write(temporary / "state", {str(i): leaf for i, leaf in enumerate(leaves) if leaf.size})
            with (temporary / "meta.json").open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            target = folder / f"{_PREFIX}{round:08d}"
            if target.exists():  # a folder cannot be renamed onto a full one
                os.replace(target, temporary / "replaced")
                shutil.rmtree(temporary / "replaced")
            os.replace(temporary, target)
        except BaseException:
            checkpoint_files.remove(temporary)  # while it waits, what was still on its way comes to its end
            raise
        checkpoint_files.sync(folder)
    except OSError as error:
        raise InputError(
            f"The checkpoint of round {round} cannot be written to {folder} ({error.strerror or error}): make room or "
            "access there and repeat the command, or choose another folder."
        ) from error
    found = available(folder)
    place = found.index(target) + 1
    # Later ones are damaged, else the run would have gone on from them; counted as the newest they would displace good
    # ones.
    for old in (*found[:place][:-keep], *found[place:]):
        shutil.rmtree(old, ignore_errors=True)
    return target


def load_latest(
    folder: str | Path, like: PyTree, *, tell: Callable[[str], None] = _LOG.warning
) -> tuple[int, PyTree, dict[str, Any]] | None:
    """(round, state, meta) of the newest checkpoint that reads back to the bit, or None where the folder has none.

    Args:
        folder: as given to `save`; need not exist.
        like: a state of the same structure; gives the tree, shapes, dtypes, and where each array is placed (its
            sharding). Its values are not used.
        tell: given a sentence for each checkpoint that is damaged and passed over.

    Raises:
        InputError: the checkpoint belongs to another state (leaves, shapes or dtypes differ), or checkpoints exist but
            every one is damaged (then nothing was loaded, rather than silently starting over).
    """
    folder = Path(folder).absolute()
    found = available(folder)
    for path in reversed(found):
        with checkpoint_files.quiet():
            try:
                return _load(path, like)
            except InputError:
                raise
            except Exception as error:  # Orbax and TensorStore raise many types for damaged files
                reason = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"
            gc.collect()  # of what Orbax leaves behind, while nobody listens
        tell(f"Checkpoint {path} is damaged ({reason}): trying the one before it.")
    if found:
        raise InputError(
            f"Every checkpoint in {folder} is damaged: remove the folder to start over, or restore it from a copy."
        )
    return None


def load_part(folder: str | Path, part: str, like: PyTree, *, round: int | None = None) -> tuple[int, PyTree]:
    """(round, part) of a checkpoint: one field of its state, the rest of which is not read.

    Args:
        folder: as given to `save`.
        part: the field's name in the state.
        like: the field's structure: arrays, whose shapes, dtypes and placement are wanted.
        round: of the checkpoint; None: the newest that reads back to the bit.

    Raises:
        InputError: no checkpoint (of that round), a damaged one, or one of another structure.
    """
    folder = Path(folder).absolute()
    for path in reversed(require(folder, round)):
        try:
            return _load_part(path, part, like)
        except InputError:
            raise
        except Exception as error:  # as in `load_latest`
            reason = (str(error).strip().splitlines() or [""])[0][:200]
            _LOG.warning("Checkpoint %s is damaged (%s: %s).", path, type(error).__name__, reason)
    which = "Every checkpoint" if round is None else f"The checkpoint of round {round}"
    raise InputError(f"{which} in {folder} is damaged: restore it from a copy.")


def available(folder: str | Path) -> list[Path]:
    """Folders of the checkpoints in `folder`, oldest round first; temporary ones are not among them."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    named = [path for path in folder.glob(f"{_PREFIX}*") if re.fullmatch(_PREFIX + "[0-9]{8,18}", path.name)]
    return sorted((path for path in named if path.is_dir()), key=round_of)


def require(folder: str | Path, round: int | None = None) -> list[Path]:
    """`available(folder)`, or the checkpoint of one round alone.

    Raises:
        InputError: there is none.
    """
    found = available(folder)
    if not found:
        raise InputError(f"{folder} holds no checkpoint: let the run go on until it writes one.")
    if round is None:
        return found
    rounds = [round_of(path) for path in found]
    if round not in rounds:
        kept = ", ".join(map(str, rounds))
        raise InputError(f"{folder} holds no checkpoint of round {round}: choose among {kept}.")
    return [found[rounds.index(round)]]


def round_of(checkpoint: Path) -> int:
    """Rounds done in a checkpoint of `available`."""
    return int(checkpoint.name[len(_PREFIX) :])


def _load(path: Path, like: PyTree) -> tuple[int, PyTree, dict[str, Any]]:
    header = json.loads((path / "meta.json").read_text(encoding="utf-8"))
    written = header.pop("crc32", None)
    if header["format"] not in (1, _FORMAT) or (
        header["format"] == _FORMAT and written != checkpoint_files.header_crc32(header)
    ):
        raise OSError("meta.json differs from what was written")
    saved = header["leaves"]
    names, leaves, tree = checkpoint_files.flatten(like)
    if [entry["name"] for entry in saved] != names:
        raise InputError(
            f"Checkpoint {path} holds {len(saved)} arrays, other ones than the {len(names)} of this state: "
            "continue with the same model, optimiser and signal, or choose another folder."
        )
    for entry, leaf in zip(saved, leaves, strict=True):
        if entry["shape"] != list(leaf.shape) or entry["dtype"] != str(leaf.dtype):
            raise InputError(
                f"Checkpoint {path} has {entry['name']} of shape {entry['shape']} and type {entry['dtype']}, but this "
                f"state needs {list(leaf.shape)} and {leaf.dtype}: use the same model, or choose another folder."
            )
    target = {str(i): ocp.utils.to_shape_dtype_struct(leaf) for i, leaf in enumerate(leaves) if leaf.size}
    with ocp.StandardCheckpointer() as reader:
        values = reader.restore(path / "state", target)
    restored = []
    for index, (entry, original) in enumerate(zip(saved, jax.tree.leaves(like), strict=True)):
        value = values.get(str(index), leaves[index])  # Orbax refuses empty arrays; one is as good as another
        if checkpoint_files.crc32(value) != entry["crc32"]:
            raise OSError(f"{entry['name']} differs from what was written")
        if isinstance(original, np.ndarray | np.generic):
            value = np.asarray(value)
        elif checkpoint_files.is_key(original):
            value = jax.random.wrap_key_data(value, impl=jax.random.key_impl(original))
        restored.append(value)
    return int(header["round"]), jax.tree.unflatten(tree, restored), header["meta"]


def _load_part(path: Path, part: str, like: PyTree) -> tuple[int, PyTree]:
    header = json.loads((path / "meta.json").read_text(encoding="utf-8"))
    places = {entry["name"]: place for place, entry in enumerate(header["leaves"])}
    names, leaves, tree = checkpoint_files.flatten(like)
    target: dict[str, Any] = {}
    entries = []
    for name, leaf in zip(names, leaves, strict=True):
        place = places.get(f".{part}{name}")
        entry = None if place is None else header["leaves"][place]
        if entry is None or entry["shape"] != list(leaf.shape) or entry["dtype"] != str(leaf.dtype):
            held = "lacks it" if entry is None else f"has it with shape {entry['shape']} and type {entry['dtype']}"
            raise InputError(
                f"The model has {part}{name} of shape {list(leaf.shape)} and type {leaf.dtype}, but checkpoint {path} "
                f"{held}: use the run's own model."
            )
        target[str(place)] = ocp.utils.to_shape_dtype_struct(leaf)
        entries.append((str(place), entry))
    with ocp.PyTreeCheckpointer() as reader:
        placement = ocp.checkpoint_utils.construct_restore_args(target)
        asked = ocp.args.PyTreeRestore(item=target, restore_args=placement, partial_restore=True)
        values = reader.restore(path / "state", args=asked)
    for place, entry in entries:
        if checkpoint_files.crc32(values[place]) != entry["crc32"]:
            raise OSError(f"{entry['name']} differs from what was written")
    return int(header["round"]), jax.tree.unflatten(tree, [values[place] for place, _ in entries])
