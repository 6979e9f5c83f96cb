"""Compiled functions: kept under the user's cache folder, and dropped from a process that has too many."""

from __future__ import annotations

import gc
import hashlib
import os
import platform
from pathlib import Path

import jax

from bandit_rft.loop import scan
from llm_bridge.models.cache import cache_folder


def use_compilation_cache() -> None:
    """Keep compiled functions under the user's cache folder, so that a second process compiles little.

    Does nothing where JAX is told of another folder (`JAX_COMPILATION_CACHE_DIR`) or the cache cannot be written. Each
    kind of processor has its own folder: compiled code uses whatever instructions its machine has, and home folders
    are shared between machines.
    """
    if jax.config.values.get("jax_compilation_cache_dir"):
        return
    folder = cache_folder() / "compiled" / processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))


def processor() -> str:
    """This kind of processor in twelve hexadecimal digits."""
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        found = "".join(sorted({line for line in described.splitlines() if line.startswith(("model", "flags"))}))
    except OSError:
        found = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {found}".encode()).hexdigest()[:12]


def make_room(share: float = 0.4) -> bool:
    """Drop a process's compiled functions where their pieces of memory are so large a share of what Linux lets it map.

    A process may map some 65,000 pieces, and each compiled function for the CPU is several, the loop of a run of a tiny
    model over a thousand: LLVM ends a process that fine-tunes some fifty times with "Unable to allocate section
    memory", or a segmentation fault. What is needed again is read from the cache on the disk, or compiled. Where the
    numbers cannot be read (macOS, Windows) nothing is dropped.

    Returns:
        Whether they were.
    """
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            pieces = sum(1 for _ in file)
        most = int(Path("/proc/sys/vm/max_map_count").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if pieces < share * most:
        return False
    scan.forget()
    jax.clear_caches()
    gc.collect()
    return True
