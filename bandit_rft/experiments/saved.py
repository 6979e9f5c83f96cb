"""The outcomes of a tier's runs in one small file, from which claims are judged again without making the runs.

It is a tar file under xz compression: DIGEST.npz for each run, as `Outcome.write` makes them, and the questions-*.json
that the runs' questions were chosen by. Files of others are not trusted: nothing is written but these names, nothing at
all before every one of them has been read, and arrays are read without pickle.
"""

from __future__ import annotations

import io
import json
import lzma
import re
import tarfile
from pathlib import Path

from bandit_rft.errors import InputError
from bandit_rft.experiments.execute import OUTCOME
from bandit_rft.experiments.outcomes import Outcome
from bandit_rft.runs import write_atomically

_RUN = re.compile(r"([0-9a-f]{16})\.npz")
_QUESTIONS = re.compile(r"questions-[\w.-]{1,200}\.json")
_LARGEST = 2**26  # bytes of one member: a run of eight seeds has some thousands
_MOST = 2**30  # bytes of all


def save(folder: Path, path: Path) -> int:
    """Write the file from a run folder of `reproduce`, whole or with the runs that are done.

    Args:
        folder: with runs/DIGEST/outcome.npz and questions-*.json.
        path: of the file; its folder is made where it is absent.

    Returns:
        The number of runs in it.

    Raises:
        InputError: an outcome that cannot be read.
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


def restore(path: Path, folder: Path) -> frozenset[str]:
    """Put what a file of `save` has, and the folder has not, into a run folder.

    Args:
        path: of the file.
        folder: of `reproduce`; made where it is absent.

    Returns:
        The digests of the runs in the file.

    Raises:
        InputError: no such file, or something else in it; nothing is written then.
    """
    found: dict[Path, bytes] = {}
    runs, size = set(), 0
    try:
        with tarfile.open(path, mode="r:xz") as file:
            for entry in file:
                run, size = _RUN.fullmatch(entry.name), size + entry.size
                known = entry.isfile() and entry.size <= _LARGEST and size <= _MOST
                data = file.extractfile(entry) if known and (run or _QUESTIONS.fullmatch(entry.name)) else None
                if data is None:
                    raise InputError(f"{path} holds more than outcomes of runs: give one that reproduce wrote.")
                whole = data.read()
                if run:
                    Outcome.read(io.BytesIO(whole), f"{entry.name} in {path}")
                    runs.add(run[1])
                    found[folder / "runs" / run[1] / OUTCOME] = whole
                else:
                    _check_questions(whole, f"{entry.name} in {path}")
                    found[folder / entry.name] = whole
    except FileNotFoundError:
        raise InputError(f"There is no file {path}: give the outcomes.tar.xz of a reproduced tier.") from None
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as outcomes of runs ({error}): give one that reproduce wrote."
        ) from None
    for target, data in found.items():
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, data)
    return frozenset(runs)


def _check_questions(data: bytes, name: str) -> None:
    """Raises InputError where it is not what a tier keeps of the choice of its questions."""
    try:
        kept = json.loads(data)
        sound = isinstance(kept["design"], dict) and isinstance(kept["kappa"], float)
        sound &= all(int(place) >= 0 and 0 <= p0 <= 1 for some in kept["bins"].values() for place, p0 in some.items())
        sound &= all(isinstance(width, int) for width in kept.get("widths", {}).values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise InputError(f"{name} is no choice of questions: give a file that reproduce wrote.")
