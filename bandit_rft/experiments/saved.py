"""The outcomes of a tier's runs in one small file, from which claims are judged again without the hours that the runs
took.

It is a tar file under xz compression: DIGEST.npz for each run, as `Outcome.write` makes them, and the questions-*.json
that the runs' questions were chosen by. Files of others are not trusted: nothing is written but these names, and arrays
are read without pickle.
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
from pathlib import Path

from bandit_rft.errors import InputError
from bandit_rft.experiments.execute import OUTCOME
from bandit_rft.experiments.outcomes import Outcome
from bandit_rft.runs import write_atomically

_RUN = re.compile(r"[0-9a-f]{16}\.npz")
_QUESTIONS = re.compile(r"questions-[\w.-]{1,200}\.json")
_LARGEST = 2**26  # bytes of one member: a run of eight seeds has some thousands


def save(folder: Path, path: Path) -> int:
    """Write the file from a run folder of `reproduce`, whole or with the runs that are done.

    Returns:
        The number of runs in it.
    """
    outcomes = sorted((folder / "runs").glob(f"*/{OUTCOME}"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=9) as file:
        for one in sorted(folder.glob("questions-*.json")):
            _add(file, one.name, one.read_bytes())
        for one in outcomes:
            # Arrays that are not compressed one by one are a fifth of the size together.
            _add(file, f"{one.parent.name}.npz", Outcome.read(one).to_bytes(compressed=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
    return len(outcomes)


def _add(file: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    file.addfile(entry, io.BytesIO(data))


def restore(path: Path, folder: Path) -> int:
    """Put what a file of `save` has, and the folder has not, into a run folder.

    Returns:
        The number of runs in the file.

    Raises:
        InputError: no such file, or something else in it.
    """
    runs = 0
    try:
        with tarfile.open(path, mode="r:xz") as file:
            for entry in file:
                known = _RUN.fullmatch(entry.name) or _QUESTIONS.fullmatch(entry.name)
                data = file.extractfile(entry) if known and entry.isfile() and entry.size <= _LARGEST else None
                if data is None:
                    raise InputError(f"{path} holds more than outcomes of runs: give one that reproduce wrote.")
                if entry.name.endswith(".npz"):
                    runs += 1
                    target = folder / "runs" / entry.name.removesuffix(".npz") / OUTCOME
                else:
                    target = folder / entry.name
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(target, data.read())
    except FileNotFoundError:
        raise InputError(f"There is no file {path}: give the outcomes.tar.xz of a reproduced tier.") from None
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as outcomes of runs ({error}): give one that reproduce wrote."
        ) from None
    return runs
