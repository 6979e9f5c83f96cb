"""A run folder: of one configuration, held by one process at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError
from bandit_rft.runs.files import PARTIAL, dumps, explain_disk_errors, read_json, to_json, write_atomically
from bandit_rft.runs.names import CONFIG, DIGESTS, MANIFEST, PASSING
from bandit_rft.runs.provenance import now, provenance

# Written by the run itself, hence no part of the request.
_RESULTS = ("resolved",)
_CHANGES = "changes"  # in manifest.json: name, from, to, when
Continues = Callable[[Path, Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]


def config_hash(config: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of the SHA-256 of the request; what a run adds to its configuration is left out."""
    requested = {name: value for name, value in config.items() if name not in _RESULTS}
    return hashlib.sha256(json.dumps(requested, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """A folder of one configuration, held by one process at a time.

    Attributes:
        path: the folder.
        config: the request, plain JSON values.
        changed: what it changes of the configuration that the folder has (name, from, to), until it `stands`.
    """

    path: Path
    config: Mapping[str, Any]
    changed: Sequence[Mapping[str, Any]] = ()

    @classmethod
    @contextlib.contextmanager
    def claim(
        cls,
        path: str | Path,
        config: Mapping[str, Any],
        *,
        defaults: Mapping[str, Any] | None = None,
        continues: Continues | None = None,
    ) -> Iterator[RunFolder]:
        """Make the folder, or enter the one of the same configuration; it is locked until the context ends.

        Args:
            path: the folder.
            config: the request.
            defaults: of fields that a folder written by an older version may lack.
            continues: (folder, its configuration, the requested one) -> the configuration from here on, where the run
                may go on with another one; raises InputError where not. None: nothing may differ. config.json has it
                once the caller says that it `stands`.

        Raises:
            InputError: the folder holds another configuration or foreign files, is in use, or cannot be written.
        """
        folder = Path(path)
        with _locked(folder) as made:
            _sweep(folder)
            config = json.loads(dumps(config))
            saved = folder / CONFIG
            fresh, changed = not saved.exists(), list[dict[str, Any]]()
            if not fresh:
                held = {**(defaults or {}), **read_json(saved)}
                if continues is None:
                    refuse_other(folder, held, config)
                else:
                    config = json.loads(dumps(continues(folder, held, config)))
                    pairs = ((name, held.get(name), value) for name, value in config.items())
                    changed = [{"name": name, "from": was, "to": value} for name, was, value in pairs if was != value]
            else:
                _refuse_foreign(folder)
                write_atomically(saved, to_json(config))
            try:
                yield cls(path=folder, config=config, changed=changed)
            except BaseException:
                if fresh:
                    with contextlib.suppress(OSError):
                        _give_back(folder, made)
                raise

    @property
    def resolved(self) -> dict[str, Any]:
        """What the run worked out of its configuration (a step size from a measured kappa, say)."""
        resolved = read_json(self.path / CONFIG).get("resolved", {})
        if not isinstance(resolved, dict):
            raise InputError(f"{self.path / CONFIG} is damaged (resolved): restore it, or choose another folder.")
        return resolved

    def resolve(self, **values: Any) -> None:
        """Add to config.json what the run worked out; it takes no part in the comparison of configurations."""
        path = self.path / CONFIG
        write_atomically(path, to_json({**read_json(path), "resolved": {**self.resolved, **values}}))

    def stands(self) -> None:
        """config.json says from here on what was requested, and manifest.json what it said before: the run goes on with
        it. Up to here whatever is refused leaves the folder's own configuration.
        """
        path = self.path / MANIFEST
        if self.changed:
            manifest = read_json(path) if path.exists() else {}
            earlier = manifest.get(_CHANGES, [])
            changes = [
                *(earlier if isinstance(earlier, list) else []),
                *({**one, "when": now()} for one in self.changed),
            ]
            manifest |= {"config_hash": config_hash(self.config), _CHANGES: changes}
            write_atomically(path, to_json(manifest))
        held = read_json(self.path / CONFIG)
        config = {**self.config, **{name: held[name] for name in _RESULTS if name in held}}
        if config != held:
            write_atomically(self.path / CONFIG, to_json(config))

    def write_manifest(self, **extra: Any) -> None:
        """manifest.json of this process; what an earlier process on this folder wrote is kept under "earlier", and
        what was changed of the configuration under "changes".
        """
        path = self.path / MANIFEST
        earlier: list[dict[str, Any]] = []
        kept: dict[str, Any] = {}
        if path.exists():
            before = read_json(path)
            listed = before.pop("earlier", [])
            kept = {name: before.pop(name) for name in (DIGESTS, _CHANGES) if name in before}
            earlier = [*(listed if isinstance(listed, list) else [listed]), before]
        own_hash = config_hash(read_json(self.path / CONFIG))
        manifest = {"config_hash": own_hash, **provenance(), **kept, **extra, "earlier": earlier}
        write_atomically(path, to_json(manifest))

    def amend_manifest(self, **extra: Any) -> None:
        """Add to the manifest that this process wrote."""
        path = self.path / MANIFEST
        write_atomically(path, to_json({**read_json(path), **extra}))

    def figures(self) -> Path:
        """The folder for figures, made if absent. Raises InputError where it cannot be."""
        folder = self.path / "figures"
        with explain_disk_errors(folder, any_error=True):
            folder.mkdir(exist_ok=True)
        return folder


def _sweep(folder: Path) -> None:
    """Remove what a process left that was killed while it wrote; the folder is ours alone now."""
    for place in (folder, *(entry for entry in _seen(folder) if entry.is_dir() and not entry.is_symlink())):
        for litter in place.glob(PARTIAL):
            with explain_disk_errors(litter, any_error=True):
                litter.unlink(missing_ok=True)


def _give_back(folder: Path, made: Sequence[Path]) -> None:
    """Remove what a run wrote that has no result: it must not keep the folder from the next attempt, whose options the
    user may have mended. Where there is a result all stays, config.json too, and the same command goes on.
    """
    with contextlib.suppress(InputError):
        resolved = read_json(folder / CONFIG).get("resolved")
        if isinstance(resolved, dict) and "measurement" in resolved:
            return
    entries = _seen(folder)
    if not all(_passes(entry) for entry in entries):
        return
    for entry in sorted(entries, key=lambda entry: entry.name == CONFIG):  # last: without it the rest is foreign
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if made and [entry.name for entry in folder.iterdir()] == [".lock"]:  # else something was put there: it stays
        (folder / ".lock").unlink()
        for place in made:
            place.rmdir()


def _passes(entry: Path) -> bool:
    """Whether this goes with a run that has no result: what it writes before it has one, and what is still empty."""
    if entry.name in PASSING:
        return True
    if entry.is_symlink():
        return False
    if entry.is_dir():
        return all(file.match(PARTIAL) for file in entry.iterdir())
    return entry.stat().st_size == 0


def _seen(folder: Path) -> list[Path]:
    """What a folder holds, but for hidden files: the lock, and what is half written."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _refuse_foreign(folder: Path) -> None:
    """Raises InputError where a folder without a configuration holds anything that is seen."""
    if foreign := _seen(folder):
        raise InputError(
            f"{folder} holds {foreign[0].name} but no {CONFIG}, so it is no run folder: choose another --out."
        )


def _made(folder: Path) -> list[Path]:
    """Make the folder; it and its parents that were not there."""
    try:
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        if not made and not (folder / CONFIG).exists():
            _refuse_foreign(folder)  # before the lock, which would be written into it
        folder.mkdir(parents=True, exist_ok=True)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # a name that is too long, or has a NUL
        said = getattr(error, "strerror", None) or error
        raise InputError(f"{folder} cannot be made ({said}): choose another --out.") from None
    return made


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[list[Path]]:
    """Make the folder and hold it; gives what was made for it."""
    made = _made(folder)
    try:
        import fcntl
    except ImportError:  # Windows: no advisory lock; two processes on one folder are then the user's to avoid
        yield made
        return
    while (file := _lock(folder, fcntl)) is None:
        made = _made(folder)
    try:
        yield made
    finally:
        os.close(file)


def _lock(folder: Path, fcntl: Any) -> int | None:
    """The folder's lock file, opened and locked; None where the folder, or that file, was removed meanwhile: by a run
    that could not begin and gave it back.
    """
    path = folder / ".lock"
    try:
        # Not through a link, and not truncated: in a folder that came from elsewhere it could lead to any file.
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not folder.exists():
            return None
        raise InputError(f"{folder} cannot be written ({error.strerror or error}): choose another --out.") from None
    held = False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError):
            held = os.path.samestat(os.fstat(file), os.stat(path, follow_symlinks=False))
    except BlockingIOError:
        raise InputError(f"{folder} is in use by another process: wait for it, or choose another --out.") from None
    except OSError as error:
        raise InputError(f"{folder} cannot be locked ({error.strerror or error}): choose another --out.") from None
    finally:
        if not held:
            os.close(file)
    return file if held else None


def refuse_other(folder: Path, saved: Mapping[str, Any], requested: Mapping[str, Any]) -> None:
    """Raises InputError where two configurations differ, naming the first difference."""
    for name in sorted({*saved, *requested} - set(_RESULTS)):
        if saved.get(name) != requested.get(name):
            raise InputError(
                f"{folder} holds a different run ({name} is {_short(saved.get(name))} there and "
                f"{_short(requested.get(name))} here): choose another --out, or give that run's options to continue it."
            )


def _short(value: Any) -> str:
    text = dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
