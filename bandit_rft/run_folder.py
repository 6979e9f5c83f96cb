"""Run folders: what a run was asked, what it ran on, and what happened, so that it can be read, repeated and continued.

    config.json         complete and re-runnable; a folder belongs to one configuration
    manifest.json       versions, commit, device, key, command line, times
    history.npz         a simulation's history, or
    history.jsonl       a line a round, written as it happens (no clock in it, so that a resumed run's is the same)
    questions.jsonl     a line a training question of a fine-tuning run: what was asked
    evaluations.jsonl   a line an evaluation
    scan.jsonl          a line a question, of `bandit-rft measure --scan`
    timings.jsonl       a line a round: seconds, tokens generated, tokens a second (the clock's own file)
    report.html         what to read first
    checkpoints/, figures/

Whole files are written beside their place and renamed into it, so a reader never sees half a file; in a .jsonl file a
kill can leave only the last line half written, which reading drops.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.history import History

CONFIG, MANIFEST, HISTORY, LINES, EVALUATIONS, SCAN, TIMINGS, QUESTIONS = (
    "config.json",
    "manifest.json",
    "history.npz",
    "history.jsonl",
    "evaluations.jsonl",
    "scan.jsonl",
    "timings.jsonl",
    "questions.jsonl",
)
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
# Written by the run itself, hence no part of what was asked.
_RESULTS = ("resolved",)


def write_atomically(path: Path, data: str | bytes) -> None:
    """Write a whole file, or nothing: temporary file beside it, flush to disk, rename.

    Raises:
        InputError: no room or no access there.
    """
    content = data.encode() if isinstance(data, str) else data
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)  # mkstemp's 0600 would hide the file from the user's colleagues
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}): make room or choose another --out."
        ) from error


def to_json(value: Any) -> str:
    """JSON that every parser reads: NaN and infinities, which JSON lacks, become null."""
    return json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises InputError where it is missing or is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}): name a run folder or its {path.name}."
        ) from None
    except ValueError:
        raise InputError(f"{path} is not JSON: restore it, or choose another folder.") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object: restore it, or choose another folder.")
    return value


def config_hash(config: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of the SHA-256 of what was asked; what a run adds to its configuration is left out."""
    asked = {name: value for name, value in config.items() if name not in _RESULTS}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def command_line() -> str:
    """The command that is running, as one would type it."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    program = ["bandit-rft"] if spec is None or spec.name.startswith("bandit_rft.") else ["python", "-m", spec.name]
    return shlex.join([*program, *sys.argv[1:]])


def commit() -> str | None:
    """The git commit of this source tree, "-dirty" where tracked files differ; None for an installed package."""
    package = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            result = subprocess.run(
                ["git", "-C", str(package), *arguments], capture_output=True, text=True, timeout=10, check=False
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
    """The time, ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """A folder of one configuration, held by one process at a time.

    Attributes:
        path: the folder.
        config: what was asked, plain JSON values.
    """

    path: Path
    config: Mapping[str, Any]

    @classmethod
    @contextlib.contextmanager
    def claim(
        cls, path: str | Path, config: Mapping[str, Any], *, defaults: Mapping[str, Any] | None = None
    ) -> Iterator[RunFolder]:
        """Make the folder, or enter the one of the same configuration; it is locked until the context ends.

        Args:
            path: the folder.
            config: what is asked.
            defaults: of fields that a folder written by an older version may lack.

        Raises:
            InputError: the folder holds another configuration or foreign files, is in use, or cannot be written.
        """
        folder = Path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be made ({error.strerror or error}): choose another --out.") from None
        with _lock(folder):
            for litter in (*folder.glob(".*.partial"), *folder.glob("figures/.*.partial")):
                litter.unlink(missing_ok=True)  # of a process killed while it wrote; the folder is ours alone now
            config = json.loads(json.dumps(_finite(config)))
            saved = folder / CONFIG
            fresh = not saved.exists()
            if not fresh:
                _refuse_other(folder, {**(defaults or {}), **read_json(saved)}, config)
            else:
                foreign = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
                if foreign:
                    raise InputError(
                        f"{folder} holds {foreign[0]} but no {CONFIG}, so it is no run folder: choose another --out."
                    )
                write_atomically(saved, to_json(config))
            try:
                yield cls(path=folder, config=config)
            except BaseException:
                if fresh and not any((folder / name).exists() for name in (HISTORY, LINES, EVALUATIONS, SCAN)):
                    # A run that could not begin must not keep the folder from the next attempt.
                    for name in (CONFIG, MANIFEST, QUESTIONS):
                        (folder / name).unlink(missing_ok=True)
                raise

    @property
    def resolved(self) -> dict[str, Any]:
        """What the run worked out of its configuration (a step size from a measured kappa, say)."""
        return dict(read_json(self.path / CONFIG).get("resolved", {}))

    def resolve(self, **values: Any) -> None:
        """Add to config.json what the run worked out; it takes no part in the comparison of configurations."""
        write_atomically(self.path / CONFIG, to_json({**self.config, "resolved": {**self.resolved, **values}}))

    def write_manifest(self, **extra: Any) -> None:
        """manifest.json of this process; what an earlier process on this folder wrote is kept under "earlier"."""
        path = self.path / MANIFEST
        earlier: list[dict[str, Any]] = []
        if path.exists():
            before = read_json(path)
            earlier = [*before.pop("earlier", []), before]
        manifest = {"config_hash": config_hash(self.config), **provenance(), **extra, "earlier": earlier}
        write_atomically(path, to_json(manifest))

    def amend_manifest(self, **extra: Any) -> None:
        """Add to the manifest that this process wrote."""
        path = self.path / MANIFEST
        write_atomically(path, to_json({**read_json(path), **extra}))

    def figures(self) -> Path:
        """The folder for figures, made if absent."""
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        return folder


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows: no advisory lock; two processes on one folder are then the user's to avoid
        yield
        return
    try:
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror or error}): choose another --out.") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder} is in use by another process: wait for it, or choose another --out.") from None
        yield


def _refuse_other(folder: Path, saved: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    for name in sorted({*saved, *asked} - set(_RESULTS)):
        if saved.get(name) != asked.get(name):
            raise InputError(
                f"{folder} holds a different run ({name} is {_short(saved.get(name))} there and "
                f"{_short(asked.get(name))} here): choose another --out, or repeat that run's options to continue it."
            )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value


# ---------------------------------------------------------------------------------------------------------- lines


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a .jsonl file, [] where it is missing; a last line that a kill cut short is dropped.

    Raises:
        InputError: a line before the last is damaged.
    """
    if not path.exists():
        return []
    records: list[dict[str, Any]] = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if number == len(lines):  # what follows the last newline is empty, or half a line
            break
        try:
            records.append(json.loads(line))
        except ValueError:
            raise InputError(
                f"Line {number} of {path} is damaged: restore the file, or start over in another folder."
            ) from None
    return records


def rewrite_lines(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Replace a .jsonl file by these records, atomically."""
    write_atomically(path, "".join(to_line(record) for record in records))


def to_line(record: Mapping[str, Any]) -> str:
    """A record as one line of JSON, without NaN."""
    return json.dumps(_finite(record), ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


class LineWriter:
    """Appends records to a .jsonl file; each is on its way to the disk when `write` returns.

    Raises:
        InputError: at construction and in `write` and `sync`, no room or no access; the file then ends in whole lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._explained():
            self.file = path.open("ab", buffering=0)

    def write(self, record: Mapping[str, Any]) -> None:
        line = to_line(record).encode()
        with self._explained():
            start = self.file.seek(0, os.SEEK_END)
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[self.file.write(rest) :]
            except OSError:
                with contextlib.suppress(OSError):
                    self.file.truncate(start)
                raise

    def sync(self) -> None:
        """Wait until everything written is on the disk: a checkpoint must never be newer than its history."""
        with self._explained():
            os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return explain_disk_errors(self.path, any_error=True)


# What a full, read-only or failing disk says.
_DISK_ERRORS = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO") if hasattr(errno, name)}


@contextlib.contextmanager
def explain_disk_errors(path: Path, *, any_error: bool = False) -> Iterator[None]:
    """Turns an OSError of a full, read-only or failing disk (or `any_error`) into a sentence about this path.

    Raises:
        InputError: in its place.
    """
    try:
        yield
    except OSError as error:
        if not any_error and error.errno not in _DISK_ERRORS:
            raise
        raise InputError(
            f"{error.filename or path} cannot be written ({error.strerror or error}): make room or access there; the "
            "same command then continues."
        ) from error


# -------------------------------------------------------------------------------------------------------- reading


def read_history(folder: str | Path) -> History:
    """The history of a run folder, simulated (history.npz) or real (history.jsonl, as far as it has come).

    Raises:
        InputError: the folder holds neither, or a damaged one.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG)
    if (folder / HISTORY).exists():
        return dataclasses.replace(History.load(folder / HISTORY), config=config)
    records = read_lines(folder / LINES)
    if not records:
        raise InputError(f"{folder} holds no history yet: let the run do at least one round.")
    metrics = {
        name: np.asarray(
            [[math.nan if r["metrics"][name] is None else r["metrics"][name] for r in records]], np.float64
        )
        for name in records[0]["metrics"]
    }
    rewards = np.asarray([[record["rewards"] for record in records]], np.float64)
    return History(
        rewards=rewards,
        value=np.full(rewards.shape[:2], np.nan),
        pulled_mean=None,
        best_mean=None,
        metrics=metrics,
        evaluations=tuple(read_lines(folder / EVALUATIONS)),
        config=config,
    )
