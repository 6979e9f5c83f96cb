"""Checkpoints of a run's state: whole or absent, the last few kept, checked bit by bit when read.

    folder/round_00000012/state/      Orbax: the state's arrays, numbered in the order of its leaves
    folder/round_00000012/meta.json   the round, the caller's `meta`, and each leaf's name, shape, dtype and CRC-32; of
                                      a checkpoint that several processes wrote, the CRC-32 of each file of `state`
    folder/round_00000012-reduced/    the same without a part of the state, on its way to replace it (`reduce`)

A checkpoint is written to a hidden temporary folder, flushed, and renamed into place, so a process killed at any moment
leaves either the whole checkpoint or none (the next `save` removes what it left). A folder belongs to one run. When the
newest cannot be read back to the bit (a damaged disk, a file removed by hand), the one before it is used and that is
reported (by default as a warning in the log). No pickle: arrays and JSON only. Both calls are synchronous.

Where there are several processes (`llm_bridge.hosts`), all call `save` and `load_latest`, and each writes and reads its
own parts of the arrays (`checkpoint_hosts`); the other functions are for one process. A checkpoint is read by any
number of processes, whoever wrote it.

Left out: keeping the best checkpoint.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import math
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from bandit_rft.errors import InputError, reason
from llm_bridge import hosts
from llm_bridge.training import checkpoint_files, checkpoint_hosts
from llm_bridge.training.seed_layout import other_layout

PyTree = Any

_LOG = logging.getLogger(__name__)
_PREFIX = "round_"
_SHORT = "-reduced"
_SEED = re.compile(r"^\[\d+\]")  # before the names of a seed's leaves, where each seed has a state of its own
_NAME = re.compile(f"{_PREFIX}([0-9]{{8,18}})({_SHORT})?")
# 1 had no checksum over meta.json itself; 3 lacks a part of the state; 4 was written by several processes.
_FORMATS = _UNCHECKED, _WHOLE, _REDUCED, _BY_ALL = 1, 2, 3, 4


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
    several = hosts.count() > 1
    header = {
        "format": _BY_ALL if several else _WHOLE,
        "round": int(round),
        "meta": meta or {},
        "leaves": [
            {"name": name, "shape": list(leaf.shape), "dtype": str(leaf.dtype)}
            | ({} if several else {"crc32": checkpoint_files.crc32(leaf)})
            for name, leaf in zip(names, leaves, strict=True)
        ],
    }
    try:
        header = json.loads(json.dumps(header, allow_nan=False))  # as it will be read: JSON's keys are strings
    except (TypeError, ValueError) as error:
        raise InputError(
            f"A checkpoint's meta must be plain JSON values without NaN ({error}): convert it first."
        ) from None
    target = folder / f"{_PREFIX}{round:08d}"
    arrays = {str(i): leaf for i, leaf in enumerate(leaves) if leaf.size}
    with _explained(folder, round):
        (checkpoint_hosts.write(target, header, arrays, _sweep) if several else _write(target, header, arrays))
    hosts.first(lambda: _prune_around(target, keep))
    return target


def _prune_around(target: Path, keep: int) -> None:
    present = available(target.parent)
    place = present.index(target) + 1
    # Later ones are damaged, else the run would have gone on from them; counted as the newest they would displace good
    # ones.
    for old in (*present[:place][:-keep], *present[place:]):
        shutil.rmtree(old, ignore_errors=True)


def given_up(folder: str | Path, state: PyTree) -> PyTree:
    """The state as `load_latest` takes it for `like`, its arrays deleted where a checkpoint will stand in their place:
    a run that goes on then holds its state once, as it does at its start.

    What a reduced checkpoint lacks stays, and so do typed PRNG keys. Where there is no checkpoint the state is as it
    was. The arrays must be the state's own: whoever else holds one finds it deleted.

    Args:
        folder: as given to `save`.
        state: arrays.

    Returns:
        The same structure, with `jax.ShapeDtypeStruct`s of the same placement for the arrays that are gone.
    """
    present = _seen_by_all(Path(folder))
    lacking = [str(header["dropped"]) for path in present if "dropped" in (header := _same_header(path) or {})]

    def gone(path: Any, leaf: Any) -> Any:
        name = jax.tree_util.keystr(path)
        if not isinstance(leaf, jax.Array) or checkpoint_files.is_key(leaf) or not leaf.size:
            return leaf
        if any(_within(name, part) for part in lacking):
            return leaf
        like = jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
        leaf.delete()
        return like

    return jax.tree_util.tree_map_with_path(gone, state) if present else state


def load_latest(
    folder: str | Path, like: PyTree, *, tell: Callable[[str], None] = _LOG.warning, finished: int | None = None
) -> tuple[int, PyTree, dict[str, Any]] | None:
    """(round, state, meta) of the newest checkpoint that reads back to the bit, or None where the folder has none.

    Args:
        folder: as given to `save`; need not exist.
        like: a state of the same structure, or what `given_up` made of it; gives the tree, shapes, dtypes, and where
            each array is placed (its sharding). Its values are not used. A state of several seeds may have either
            layout, whatever the checkpoint's (`seed_layout`).
        tell: given a sentence for each checkpoint that is damaged and passed over.
        finished: the round after which nothing is to follow. Of that round a reduced checkpoint will do, and what it
            lacks is as in `like`.

    Raises:
        InputError: the checkpoint belongs to another state (leaves, shapes or dtypes differ), or is reduced and of
            another round than `finished`, or checkpoints exist but every one is damaged (nothing is started over
            silently); of several processes one does not see a checkpoint that another sees.
    """
    folder = Path(folder).absolute()
    present = _seen_by_all(folder)
    for path in reversed(present):
        with checkpoint_files.quiet():
            try:
                return _load(path, like, finished)
            except InputError:
                raise
            except Exception as error:  # Orbax and TensorStore raise many types for damaged files
                if hosts.count() > 1 and isinstance(error, RuntimeError):
                    raise  # no damage, which all processes see alike: another process has gone
                said = f"{type(error).__name__}: {reason(error)}"
            gc.collect()  # of what Orbax leaves behind, while nobody listens
        tell(f"Checkpoint {path} is damaged ({said}): trying the one before it.")
    if present:
        raise InputError(
            f"Every checkpoint in {folder} is damaged: remove the folder to start over, or restore it from a copy."
        )
    return None


def load_part(
    folder: str | Path, part: str, like: PyTree, *, round: int | None = None, seed: int | None = None
) -> tuple[int, PyTree]:
    """(round, part) of a checkpoint: one field of its state, the rest of which is not read.

    Args:
        folder: as given to `save`.
        part: the field's name in the state.
        like: the field's structure: arrays, whose shapes, dtypes and placement are wanted.
        round: of the checkpoint; None: the newest that reads back to the bit.
        seed: of a run of many seeds whose; in its state they stand one after another, or along a leading axis.

    Raises:
        InputError: no checkpoint (of that round), a damaged one, or one of another structure.
    """
    folder = Path(folder).absolute()
    for path in reversed(require(folder, round)):
        try:
            return _load_part(path, part, like, seed)
        except InputError:
            raise
        except Exception as error:  # as in `load_latest`
            _LOG.warning("Checkpoint %s is damaged (%s: %s).", path, type(error).__name__, reason(error))
    which = "Every checkpoint" if round is None else f"The checkpoint of round {round}"
    raise InputError(f"{which} in {folder} is damaged: restore it from a copy.")


def reduce(folder: str | Path, part: str, *, least: int = 0) -> int:
    """Rewrite every checkpoint without a part of its state, such as the optimiser's, which export and evaluation do not
    need; a run can then go no further (`load_latest` with `finished`).

    At every moment each round has a whole checkpoint, with the part or without; damaged ones are left as they are.

    Args:
        folder: as given to `save`.
        part: the field's name in the state.
        least: bytes; a checkpoint whose part is smaller keeps it.

    Returns:
        Bytes of the arrays that are gone.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = Path(folder).absolute()
    freed = 0
    for path in reversed(available(folder)):
        header = _header(path)
        if header is None or "dropped" in header:
            continue
        leaves = header["leaves"]
        gone = {place for place, entry in enumerate(leaves) if _within(entry["name"], part)}
        size = sum(_bytes(leaves[place]) for place in gone)
        if not size or size < least:
            continue
        places = [place for place, entry in enumerate(leaves) if place not in gone and _bytes(entry)]
        with checkpoint_files.quiet():
            try:
                arrays = _read(path, {p: np.empty(leaves[p]["shape"], jnp.dtype(leaves[p]["dtype"])) for p in places})
            except Exception:  # as in `load_latest`
                arrays = None
            gc.collect()
        if arrays is None or not _sound(path, header, arrays):
            continue
        target = folder / f"{_PREFIX}{header['round']:08d}"
        with _explained(folder, header["round"]):
            sums = {place: checkpoint_files.crc32(array) for place, array in arrays.items()}
            entries = [entry | ({"crc32": sums[i]} if i in sums else {}) for i, entry in enumerate(leaves)]
            short = {**header, "format": _REDUCED, "dropped": part, "leaves": entries}
            short.pop(checkpoint_hosts.FILES, None)
            _write(target.with_name(target.name + _SHORT), short, {str(p): array for p, array in arrays.items()})
            os.replace(target, folder / f".{target.name}.{secrets.token_hex(4)}")
        freed += size
    for path in available(folder):
        if path.name.endswith(_SHORT):
            with _explained(folder, round_of(path)):
                os.replace(path, path.with_name(path.name.removesuffix(_SHORT)))
    _sweep(folder)
    return freed


def is_reduced(checkpoint: Path) -> bool:
    """Whether a checkpoint of `available` lacks a part of its state; False where it is damaged."""
    return "dropped" in (_header(checkpoint) or {})


def prune(folder: str | Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints."""
    for old in available(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)


def available(folder: str | Path) -> list[Path]:
    """Folders of the checkpoints in `folder`, oldest round first; temporary ones are not among them."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    by_round: dict[int, Path] = {}
    for path in sorted(folder.glob(f"{_PREFIX}*")):  # the reduced one comes second, and counts where it stands alone
        if _NAME.fullmatch(path.name) and path.is_dir():
            by_round.setdefault(round_of(path), path)
    return [by_round[round] for round in sorted(by_round)]


def _seen_by_all(folder: Path) -> list[Path]:
    """`available`, of the same rounds in all processes. Raises InputError where one lacks a round."""
    checkpoint_hosts.seen_by_all(folder, lambda: list(map(round_of, available(folder))))
    return available(folder)


def require(folder: str | Path, round: int | None = None) -> list[Path]:
    """`available(folder)`, or the checkpoint of one round alone.

    Raises:
        InputError: there is none.
    """
    present = available(folder)
    if not present:
        raise InputError(f"{folder} holds no checkpoint: let the run go on until it writes one.")
    if round is None:
        return present
    rounds = [round_of(path) for path in present]
    if round not in rounds:
        kept = ", ".join(map(str, rounds))
        raise InputError(f"{folder} holds no checkpoint of round {round}: choose among {kept}.")
    return [present[rounds.index(round)]]


def round_of(checkpoint: Path) -> int:
    """Rounds done in a checkpoint of `available`."""
    named = _NAME.fullmatch(checkpoint.name)
    assert named is not None
    return int(named[1])


def _write(target: Path, header: dict[str, Any], arrays: dict[str, Any]) -> None:
    """A checkpoint under its final name, or not at all. Raises OSError."""
    folder = target.parent
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    # Made with the user's own umask: a temporary folder's 0700 would hide the checkpoint from colleagues.
    temporary = folder / f".{target.name}.{secrets.token_hex(4)}"
    temporary.mkdir()
    try:
        checkpoint_files.write(temporary / "state", arrays)
        with (temporary / "meta.json").open("w", encoding="utf-8") as file:
            file.write(json.dumps({**header, "crc32": checkpoint_files.header_crc32(header)}, indent=1))
            file.flush()
            os.fsync(file.fileno())
        if target.exists():  # a folder cannot be renamed onto a full one
            os.replace(target, temporary / "replaced")
            shutil.rmtree(temporary / "replaced")
        os.replace(temporary, target)
    except BaseException:
        checkpoint_files.remove(temporary)  # while it waits, what was still on its way comes to its end
        raise
    checkpoint_files.sync(folder)


def _sweep(folder: Path) -> None:
    """Remove what a process left that was killed while it wrote; a folder has one writer."""
    for stale in folder.glob(f".{_PREFIX}*"):
        shutil.rmtree(stale, ignore_errors=True)
    for stale in folder.glob(f"{_PREFIX}*{_SHORT}"):
        if stale.with_name(stale.name.removesuffix(_SHORT)).exists():
            shutil.rmtree(stale, ignore_errors=True)


@contextlib.contextmanager
def _explained(folder: Path, round: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"The checkpoint of round {round} cannot be written to {folder} ({error.strerror or error}): make room or "
            "access there and repeat the command, or choose another folder."
        ) from error


def _checked(path: Path) -> dict[str, Any]:
    """meta.json without its checksum, which holds. Raises what damaged files lead to."""
    header = json.loads((path / "meta.json").read_text(encoding="utf-8"))
    written = header.pop("crc32", None)
    unchecked = header["format"] == _UNCHECKED and written is None
    if header["format"] not in _FORMATS or not (unchecked or written == checkpoint_files.header_crc32(header)):
        raise OSError("meta.json differs from what was written")
    return header


def _sound(path: Path, header: dict[str, Any], arrays: dict[int, Any]) -> bool:
    """Whether some of a checkpoint's arrays, by their place among its leaves, are as they were written."""
    if checkpoint_hosts.FILES not in header:
        return all(checkpoint_files.crc32(array) == header["leaves"][i]["crc32"] for i, array in arrays.items())
    try:
        checkpoint_hosts.check(path / "state", header[checkpoint_hosts.FILES])
    except OSError:
        return False
    return True


def _header(path: Path) -> dict[str, Any] | None:
    """As `_checked`; None where it is damaged."""
    try:
        return _checked(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _same_header(path: Path) -> dict[str, Any] | None:
    """As `_header`; of several processes as the first one reads it, so that all pass over the same checkpoints."""
    return hosts.first(lambda: _header(path))


def _within(name: str, part: str) -> bool:
    """Whether a leaf's name is of this field of the state, or of a seed's state."""
    name = _SEED.sub("", name)
    rest = name.removeprefix(f".{part}")
    return rest != name and not (rest[:1].isalnum() or rest[:1] == "_")


def _bytes(entry: dict[str, Any]) -> int:
    return math.prod(entry["shape"]) * jnp.dtype(entry["dtype"]).itemsize


def _read(path: Path, like: dict[int, Any]) -> dict[int, Any]:
    """Some of a checkpoint's arrays by their place among its leaves, each of the kind and placement of `like`."""
    target = {str(place): leaf for place, leaf in like.items()}
    with ocp.PyTreeCheckpointer() as reader:
        placement = ocp.checkpoint_utils.construct_restore_args(target)
        restoring = ocp.args.PyTreeRestore(item=target, restore_args=placement, partial_restore=True)
        values = reader.restore(path / "state", args=restoring)
    return {place: values[str(place)] for place in like}


def _load(path: Path, like: PyTree, finished: int | None) -> tuple[int, PyTree, dict[str, Any]]:
    if (header := _checked(path) if hosts.count() == 1 else _same_header(path)) is None:
        raise OSError("meta.json differs from what was written")
    saved = header["leaves"]
    names, leaves, tree = checkpoint_files.flatten(like, shapes=True)
    if (held := [entry["name"] for entry in saved]) != names:
        other = other_layout(like, held)
        if other is not None and checkpoint_files.flatten(other[0])[0] == held:
            done, state, meta = _load(path, other[0], finished)
            return done, other[1](state), meta
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
    dropped = header.get("dropped")
    gone = {i for i, name in enumerate(names) if dropped is not None and _within(name, dropped)}
    if gone and header["round"] != finished:
        raise InputError(
            f"Checkpoint {path} keeps the weights of a run that was at its end, without its {dropped}, so no run can "
            "go on from it: begin another one with these weights (bandit-rft export), or repeat the run with "
            "--keep-optimizer."
        )
    target = {
        str(i): ocp.utils.to_shape_dtype_struct(leaf) for i, leaf in enumerate(leaves) if leaf.size and i not in gone
    }
    by_file = header.get(checkpoint_hosts.FILES)
    if by_file is not None:
        checkpoint_hosts.check(path / "state", by_file)
    with ocp.StandardCheckpointer() as reader:
        values = reader.restore(path / "state", target)
    restored = []
    for index, (entry, original) in enumerate(zip(saved, jax.tree.leaves(like), strict=True)):
        if index in gone:
            restored.append(original)
            continue
        value = values.get(str(index), leaves[index])  # Orbax refuses empty arrays; one is as good as another
        if by_file is None and checkpoint_files.crc32(value) != entry["crc32"]:
            raise OSError(f"{entry['name']} differs from what was written")
        if isinstance(original, np.ndarray | np.generic):
            value = np.asarray(value)
        elif checkpoint_files.is_key(original):
            value = jax.random.wrap_key_data(value, impl=jax.random.key_impl(original))
        restored.append(value)
    return int(header["round"]), jax.tree.unflatten(tree, restored), header["meta"]


def _load_part(path: Path, part: str, like: PyTree, seed: int | None) -> tuple[int, PyTree]:
    header = _checked(path)
    places = {entry["name"]: place for place, entry in enumerate(header["leaves"])}
    names, leaves, tree = checkpoint_files.flatten(like)
    if seed is None and ".round" in places and header["leaves"][places[".round"]]["shape"] == [1]:
        seed = 0  # the scan loop's state has an axis of seeds also where there is one
    apart = f"[{seed}]" if any(name.startswith(f"[{seed}]") for name in places) else ""
    stacked = seed is not None and not apart
    target: dict[int, Any] = {}
    entries = []
    for name, leaf in zip(names, leaves, strict=True):
        place = places.get(f"{apart}.{part}{name}")
        entry = None if place is None else header["leaves"][place]
        held = entry["shape"][stacked:] if entry is not None else None
        if entry is None or held != list(leaf.shape) or entry["dtype"] != str(leaf.dtype):
            held = "lacks it" if entry is None else f"has it with shape {entry['shape']} and type {entry['dtype']}"
            raise InputError(
                f"The model has {part}{name} of shape {list(leaf.shape)} and type {leaf.dtype}, but checkpoint {path} "
                f"{held}: use the run's own model."
            )
        assert place is not None
        # Of stacked seeds a template only: broadcast on the host, it takes no memory for them.
        whole = np.broadcast_to(np.zeros((), leaf.dtype), entry["shape"]) if stacked else leaf
        target[place] = ocp.utils.to_shape_dtype_struct(whole)
        entries.append((place, entry))
    values = _read(path, target)
    if checkpoint_hosts.FILES in header:
        checkpoint_hosts.check(path / "state", header[checkpoint_hosts.FILES])
    for place, entry in entries:
        if checkpoint_hosts.FILES not in header and checkpoint_files.crc32(values[place]) != entry["crc32"]:
            raise OSError(f"{entry['name']} differs from what was written")
    leaves = [jnp.asarray(values[place][seed]) if stacked else values[place] for place, _ in entries]
    return int(header["round"]), jax.tree.unflatten(tree, leaves)
