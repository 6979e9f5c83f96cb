"""The user's cache folder, and entries in it that are either whole or absent.

    folder = cache.build("smollm2-135m-1", write)     # `write(temporary)` runs once, whoever asks and however often

An entry is written to a temporary folder beside it and renamed into place at the end, with a list of its files and
their sizes; a process killed at any moment leaves a temporary folder, which the next one to build that entry removes.
A lock (released by the operating system when its holder dies) makes two processes that want the same entry take
turns.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import filelock

from bandit_rft.errors import InputError

Progress = Callable[[str], None]

ENVIRONMENT_VARIABLE = "BANDIT_RFT_CACHE"
_WHOLE = "bandit_rft_files.json"


def cache_folder() -> Path:
    """The cache folder: `$BANDIT_RFT_CACHE`, or `bandit_rft` where the platform keeps caches. It need not exist yet."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "bandit_rft"


def entry(name: str) -> Path | None:
    """The folder of a whole entry, or None where it is absent or not whole (a file missing or of another size)."""
    folder = cache_folder() / "models" / name
    try:
        sizes = json.loads((folder / _WHOLE).read_text(encoding="utf-8"))
        whole = all((folder / file).stat().st_size == size for file, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return None
    return folder if whole else None


def build(name: str, write: Callable[[Path], None], *, progress: Progress) -> Path:
    """The folder of the entry, written first if it is not there.

    Args:
        name: the entry's name, a plain file name.
        write: fills an empty temporary folder; called at most once, and only by the holder of the lock.
        progress: called with a sentence while another process holds the lock.

    Returns:
        The entry's folder.

    Raises:
        InputError: the cache folder cannot be written, or whatever `write` raises; nothing is kept then.
    """
    found = entry(name)
    if found:
        return found
    root = cache_folder()
    try:
        for part in ("models", "locks", "temporary"):
            (root / part).mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(root / "locks" / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            progress(f"waiting for another process that is preparing {name}")
            lock.acquire()
        try:
            return entry(name) or _build_locked(root, name, write)
        finally:
            lock.release()
    except OSError as error:
        raise InputError(
            f"The cache folder {root} cannot be used ({error.strerror or type(error).__name__}): make room or "
            f"access there, or "
            f"set {ENVIRONMENT_VARIABLE} to another folder."
        ) from error


def _build_locked(root: Path, name: str, write: Callable[[Path], None]) -> Path:
    # Whoever holds the lock knows that these belong to the dead: an earlier process, killed while it wrote.
    for stale in (root / "temporary").glob(f"{name}.*"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=root / "temporary"))
    try:
        contents = temporary / "contents"
        contents.mkdir()
        write(contents)
        sizes = {file.name: file.stat().st_size for file in sorted(contents.iterdir())}
        (contents / _WHOLE).write_text(json.dumps(sizes, indent=2), encoding="utf-8")
        target = root / "models" / name
        if target.exists():  # not whole, or `entry` would have found it: a folder cannot be renamed onto a full one
            os.replace(target, temporary / "broken")
        os.replace(contents, target)
        return target
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
