"""What a process ran on: versions, commit, device, command line, time."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

_PACKAGES = (
    "bandit-rft",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "transformers",
    "numpy",
    "scipy",
    "matplotlib",
)


def command_line() -> str:
    """The command that is running, as one would type it."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    program = ["bandit-rft"] if spec is None or spec.name.startswith("bandit_rft.") else ["python", "-m", spec.name]
    return shlex.join([*program, *sys.argv[1:]])


def commit() -> str | None:
    """The git commit of this source tree, "-dirty" where tracked files differ; None for an installed package."""
    package = Path(__file__).resolve().parent
    # A hook of another repository sets GIT_DIR, and git would answer of that one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str | None:
        try:
            result = subprocess.run(
                ["git", "-C", str(package), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
                env=environment,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return result.stdout.strip() if result.returncode == 0 else None

    # A package installed into an environment inside somebody's repository must not take that repository's commit.
    if not git("ls-files", "--error-unmatch", "__init__.py"):
        return None
    head = git("rev-parse", "HEAD")
    return head and head + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")


def provenance() -> dict[str, Any]:
    """Versions, commit, device and command line of this process."""
    import jax

    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    devices = jax.devices()
    return {
        "command": command_line(),
        "commit": commit(),
        "versions": versions,
        "device": {"platform": devices[0].platform, "kind": devices[0].device_kind, "count": len(devices)},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
    }


def now() -> str:
    """The time, ISO 8601 in UTC, to the millisecond: several runs begin in one second, and are shown in their order."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
