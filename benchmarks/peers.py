"""The peers' environments, and a peer that runs in its own process and takes turns with ours.

    --environments DIR           a folder of virtual environments, each made where it is missing
    --peer-python NAME=PYTHON    or the interpreter of one that exists; one or several

A peer that cannot be had is left out with a sentence, and the benchmark goes on with the others.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import venv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


class Missing(Exception):
    """A peer that cannot be had; the message is a sentence that says why."""


def add_arguments(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """--environments and --peer-python for these peers."""
    parser.add_argument("--environments", type=Path, help="folder of the peers' environments, made where missing")
    parser.add_argument(
        "--peer-python", action="append", default=[], metavar="NAME=PYTHON", help=f"NAME one of {', '.join(names)}"
    )


def named_pythons(entries: Sequence[str], names: Sequence[str]) -> dict[str, Path]:
    """What --peer-python says.

    Raises:
        SystemExit: an entry of another form, or an unknown peer.
    """
    pythons = {}
    for entry in entries:
        name, separator, python = entry.partition("=")
        if not separator or name not in names:
            raise SystemExit(f"--peer-python {entry}: write NAME=PYTHON, NAME one of {', '.join(names)}.")
        pythons[name] = Path(python)
    return pythons


def environment(name: str, requirements: Sequence[str], folder: Path) -> Path:
    """The interpreter of a virtual environment with these packages, made where it is missing.

    Raises:
        Missing: pip could not install them; the half-made environment is not taken for a whole one the next time.
    """
    home = folder / name.lower()
    python, whole = home / "bin" / "python", home / "installed"
    if not whole.exists():
        print(f"making the environment of {name} in {home}", flush=True)
        venv.create(home, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", *requirements]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise Missing(
                f"{name} is left out: pip could not install {' '.join(requirements)} ({last_line(done.stderr)})."
            )
        whole.write_text("\n".join(requirements) + "\n")
    return python


def python_of(
    name: str, requirements: Sequence[str], told: argparse.Namespace, names: Sequence[str], *, own: str | None = None
) -> Path:
    """The interpreter to run a peer with.

    Args:
        own: a module that the peer needs: where this interpreter has it and none is named, this one is taken.

    Raises:
        Missing: there is none.
    """
    named = named_pythons(told.peer_python, names)
    if name in named:
        if not named[name].exists():
            raise Missing(f"{name} is left out: --peer-python {name}={named[name]} is not there.")
        return named[name]
    if own is not None:
        from importlib.util import find_spec

        if find_spec(own) is not None:
            return Path(sys.executable)
    if told.environments is None:
        raise Missing(f"{name} is left out: give --environments DIR or --peer-python {name}=PYTHON.")
    return environment(name, requirements, told.environments)


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


class Peer:
    """`language_peer.py` in a peer's interpreter: loads its model once, then runs whenever `run` is called.

    Attributes:
        name: as shown. versions: of its libraries. load_seconds: until it was ready.
    """

    def __init__(self, name: str, python: Path, job: Mapping[str, Any], limit: float | None = None) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+", prefix="peer-")  # noqa: SIM115 - closed by close()
        script = Path(__file__).with_name("language_peer.py")
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [str(python), str(script), json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=clean | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"},
        )
        ready = self._answer(limit)
        self.versions: dict[str, str] = ready["versions"]
        self.load_seconds: float = ready["seconds"]

    def run(self, limit: float | None = None, **task: Any) -> dict[str, Any]:
        """One timed run: what `language_peer.py` prints for it.

        Args:
            limit: seconds after which the peer is ended, or None.
            task: as `language_peer.py` takes it.

        Raises:
            Missing: the peer has stopped.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its last words are read below
        return self._answer(limit)

    def close(self) -> None:
        """End the process: it stops where its input ends."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _answer(self, limit: float | None = None) -> dict[str, Any]:
        assert self._process.stdout is not None
        timer = threading.Timer(limit, self._process.kill) if limit is not None else None
        if timer is not None:
            timer.start()
        line = self._process.stdout.readline()
        if timer is not None:
            timer.cancel()
        if line:
            return json.loads(line)
        code = self._process.wait()
        if limit is not None and code == -9:
            raise Missing(f"{self.name} is left out: it was ended after {limit:.0f} s, for the time is limited.")
        self._errors.seek(0)
        raise Missing(f"{self.name} is left out: it stopped with exit code {code} ({last_line(self._errors.read())}).")


@contextlib.contextmanager
def started(
    jobs: Mapping[str, tuple[Path, Mapping[str, Any]]], limit: float | None = None
) -> Iterator[tuple[dict[str, Peer], list[str]]]:
    """The peers that start (within `limit` seconds each), by name, and a sentence for each that does not; all are ended
    afterwards.
    """
    running: dict[str, Peer] = {}
    left_out: list[str] = []
    try:
        for name, (python, job) in jobs.items():
            try:
                running[name] = Peer(name, python, job, limit)
            except Missing as reason:
                left_out.append(str(reason))
                print(reason, flush=True)
        yield running, left_out
    finally:
        for peer in running.values():
            peer.close()
