"""The checkout of the repository, for the commands whose code is read and changed there, and is not installed."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import bandit_rft
from bandit_rft.errors import InputError

_REPOSITORY = "bandit-rft"
_OWN = Path(bandit_rft.__file__).resolve().parents[1]


def load(module: str, what: str) -> ModuleType:
    """Import a module of the checkout's packages `figures` or `simulations`.

    Args:
        module: its full name.
        what: needs the checkout, as the error's subject.

    Raises:
        InputError: there is no checkout, or it is of a version that the installed library does not fit.
    """
    root = find()
    if root is None:
        raise InputError(
            f"{what} needs a checkout of the repository, which an installed package does not hold: clone the "
            f"{_REPOSITORY} repository (or unpack its source archive) and give the same command inside that folder."
        )
    # First, and for this import only: another package may be called `figures`, and the libraries that are not loaded
    # yet must stay the installed ones.
    sys.path.insert(0, str(root))
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if root == _OWN:
            raise
        raise InputError(
            f"The checkout {root} does not fit the installed {_REPOSITORY} {bandit_rft.__version__} ({error}): install "
            f"it with pip install -e {root}, or check out the installed version."
        ) from None
    finally:
        sys.path.remove(str(root))


def find() -> Path | None:
    """The checkout that this library is run from (an editable install), else that of the current folder, else None."""
    try:
        current = Path.cwd()
    except OSError:  # the current folder has been deleted
        return first_root([_OWN])
    return first_root([_OWN, current, *current.parents])


def first_root(folders: Iterable[Path]) -> Path | None:
    """The first of the folders that is the root of a checkout, or None."""
    return next((folder for folder in folders if _is_root(folder)), None)


def _is_root(folder: Path) -> bool:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_bytes().decode()).get("project")
    except (OSError, ValueError):  # none there, or one that is not TOML: of another project
        return False
    named = isinstance(project, dict) and project.get("name") == _REPOSITORY
    return named and all((folder / package / "__init__.py").is_file() for package in ("figures", "simulations"))
