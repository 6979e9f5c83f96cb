"""Compiled functions kept under the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import jax

from llm_bridge.models.cache import cache_folder


def use_compilation_cache() -> None:
    """Keep compiled functions under the user's cache folder, so that a second process compiles little.

    Does nothing where JAX is told of another folder (`JAX_COMPILATION_CACHE_DIR`) or the cache cannot be written. Each
    kind of processor has its own folder: compiled code uses whatever instructions its machine has, and home folders
    are shared between machines.
    """
    if jax.config.values.get("jax_compilation_cache_dir"):
        return
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        processor = "".join(sorted({line for line in described.splitlines() if line.startswith(("model", "flags"))}))
    except OSError:
        processor = platform.processor()
    kind = hashlib.sha256(f"{platform.machine()} {processor}".encode()).hexdigest()[:12]
    folder = cache_folder() / "compiled" / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
