"""The files of a checkpoint: a state's arrays through Orbax, their checksums, and folders that are whole or gone."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import logging
import os
import shutil
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from bandit_rft.errors import InputError
from llm_bridge.models import placement

PyTree = Any

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM)


def _hear_no_late_readers() -> None:
    """From here on, leave unsaid what Orbax's and TensorStore's threads say of a reader or writer that was given up:
    they may say it before its error is raised, and at any later time."""
    before = sys.unraisablehook
    if getattr(before, "hears_no_late_readers", False):
        return

    def hook(found: Any) -> None:
        code = getattr(found.object, "cr_code", None)  # a reader or writer given up half-way
        late = "Event loop is closed" in str(found.exc_value)  # one that has nobody left to tell
        if not late and "orbax" not in getattr(code, "co_filename", ""):
            before(found)

    hook.hears_no_late_readers = True  # type: ignore[attr-defined]
    sys.unraisablehook = hook


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the tracebacks that Orbax, asyncio and TensorStore's threads print of an error that is also raised."""
    logs = [logging.getLogger(name) for name in ("absl", "asyncio")]
    before = [log.disabled for log in logs]
    _hear_no_late_readers()
    for log in logs:
        log.disabled = True
    try:
        yield
    finally:
        for log, disabled in zip(logs, before, strict=True):
            log.disabled = disabled


def is_key(leaf: Any) -> TypeGuard[jax.Array]:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def flatten(state: PyTree, *, shapes: bool = False) -> tuple[list[str], list[Any], Any]:
    """(names, leaves, tree); typed PRNG keys as the integers beneath. `shapes`: leaves may be ShapeDtypeStructs."""
    kinds = (jax.Array, np.ndarray, np.generic, *((jax.ShapeDtypeStruct,) if shapes else ()))
    pairs, tree = jax.tree_util.tree_flatten_with_path(state)
    names, leaves = [], []
    for path, leaf in pairs:
        name = jax.tree_util.keystr(path)
        if not isinstance(leaf, kinds):
            raise InputError(f"A checkpoint's state holds {type(leaf).__name__} at {name}: hold arrays only.")
        names.append(name)
        if isinstance(leaf, np.generic):
            leaf = np.asarray(leaf)
        leaves.append(jax.random.key_data(leaf) if is_key(leaf) else leaf)
    return names, leaves, tree


def crc32(leaf: Any) -> int:
    if not leaf.size:
        return 0
    return zlib.crc32(np.ascontiguousarray(placement.on_host(leaf)).view(np.uint8).reshape(-1).data)


@quiet()
def write(path: Path, arrays: dict[str, Any]) -> None:
    """The arrays by Orbax, on disk when it returns. Raises OSError where the disk is why not."""
    try:
        with ocp.StandardCheckpointer() as writer:
            writer.save(path, arrays)
            writer.wait_until_finished()
        return
    except OSError:
        raise
    except Exception as error:  # TensorStore puts the disk's own words into a ValueError
        said = [number for number in _DISK_ERRORS if os.strerror(number) in str(error)]
        if not said:
            raise
    gc.collect()  # Orbax leaves its other failed writers uncollected, and each would print a traceback when it is
    raise OSError(said[0], os.strerror(said[0]))


@quiet()
def remove(folder: Path) -> None:
    """Remove a folder in which writers that are being given up may still be making files."""
    gone = 0
    for _ in range(40):
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)
        gone = 0 if folder.exists() else gone + 1
        if gone == 3:
            return


def header_crc32(header: dict[str, Any]) -> int:
    """Of meta.json itself: a name or shape changed by a fault would else look like a checkpoint of another model."""
    return zlib.crc32(json.dumps(header, sort_keys=True).encode())


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, so that a rename survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
