"""The user's own code by name: `module:Name`, or `path/file.py:Name`, wherever a name of the package's own is taken.

    resolve("UCB1", known, "learner")           one of the package's own
    resolve("mine.py:Mine", known, "learner")   the user's, imported
    record("mine.py:Mine", "learner")           what a configuration keeps of it: module, name and SHA-256 by file

It is the user's trusted code and runs in this process: whoever runs a configuration runs the code that it names. A
module is looked for in the working folder too, and a file's path is taken from there.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError, Stopped

# What passes through a user's code without being its failure: whatever else it raises is told as one sentence.
PASSING = (InputError, KeyboardInterrupt, Stopped)


def is_own(text: Any) -> bool:
    """Whether a name is written as the user's own code is: with a colon."""
    return isinstance(text, str) and ":" in text


def resolve(text: Any, known: Mapping[str, Any], kind: str) -> Any:
    """What a name stands for.

    Args:
        text: a name in `known`, `module:Name` or `path/file.py:Name`.
        known: the package's own, by name.
        kind: what messages call it, such as "learner".

    Raises:
        InputError: no name, an unknown one, or own code that is not there or cannot be imported.
    """
    if is_own(text):
        return imported(text, kind)
    if not isinstance(text, str) or text not in known:
        given = "has no type" if text is None else f"has the unknown type {text!r}"
        raise InputError(
            f"The {kind} {given}: choose one of {', '.join(known)}, or write your own as module:Name or file.py:Name."
        )
    return known[text]


def imported(text: str, kind: str) -> Any:
    """The object of the user's own code; within one process its file is imported once.

    Raises:
        InputError: no such file, module or name, or an error on importing it.
    """
    place, _, name = text.rpartition(":")
    if not place or not name.isidentifier():
        raise InputError(f"The {kind} {text!r} has no module or no name: write it as module:name or file.py:name.")
    # By its whole path: another folder's file of the same name is another.
    return _imported(str(Path(place).expanduser().absolute()) if place.endswith(".py") else None, place, name, kind)


def record(text: str, kind: str) -> dict[str, Any]:
    """What a configuration keeps of own code: {"module", "name", "sha256"}.

    `name` is the object's qualified name, and `sha256` maps each file of `sources` to its digest in hexadecimal.

    Raises:
        InputError: as `imported`, or a file that cannot be read.
    """
    place, _, name = text.rpartition(":")
    found = imported(text, kind)
    digests = {}
    for file, path in sorted(sources(text).items()):
        try:
            digests[file] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror or error}): give access to it.") from None
    module = Path(place).name if place.endswith(".py") else place
    return {"module": module, "name": getattr(found, "__qualname__", name), "sha256": digests}


def sources(text: str) -> dict[str, Path]:
    """The files behind own code that `imported` finds, by their path from its own file's folder.

    They are its own file, and those that it imports when it is itself imported, directly or through each other, other
    than installed packages and this one. Left out: what is imported within a function, and files that are read.
    """
    place = text.rpartition(":")[0]
    module = _file_module(Path(place).expanduser()) if place.endswith(".py") else place
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        loaded = sys.modules.get(waiting.pop())
        path = Path(getattr(loaded, "__file__", None) or "")
        if loaded is None or path.suffix != ".py" or path in found.values() or (found and _installed(path)):
            continue
        first = next(iter(found.values()), path)
        found[Path(os.path.relpath(path, first.parent)).as_posix()] = path
        waiting += _imports(path, getattr(loaded, "__package__", None) or "")
    return found


def said(error: BaseException) -> str:
    """The text of an exception of the user's own code in parentheses, on one line, cut short; "" for none."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # the user's own exception, whose text is the user's own code
        text = ""
    return f" ({text[:120]})" if text else ""


def line(error: BaseException) -> str:
    """Where the user's own code raised an exception, for the middle of a sentence: " in mine.py, line 3"; "" where no
    file of the user's is in its trace.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_users(frame.filename)]
    return f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""


def is_users(filename: str) -> bool:
    """Whether a line's file is the user's own: not Python's, an installed package's, or this one's."""
    return not filename.startswith(("<frozen", "<__array_function__")) and not _installed(Path(filename))


@functools.lru_cache(maxsize=64)
def _imported(path: str | None, place: str, name: str, kind: str) -> Any:
    try:
        module = _from_name(place) if path is None else _from_file(Path(path), place, kind)
    except PASSING:
        raise
    except BaseException as error:
        raise InputError(
            f"The {kind}'s {place} cannot be imported ({type(error).__name__}{said(error)}): mend it, or name another."
        ) from error
    found = getattr(module, name, None)
    if not callable(found):
        raise InputError(f"{place} has no function or class {name!r}: name one that the {kind} can be.")
    return found


def _from_name(module: str) -> Any:
    # The console script, unlike python -m, does not look in the working folder.
    here = str(Path.cwd())
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    finally:
        if added:
            sys.path.remove(here)


def _from_file(path: Path, typed: str, kind: str) -> Any:
    if not path.is_file():
        raise InputError(f"There is no file {typed} for the {kind}: check its path.")
    name = _file_module(path)
    if name in sys.modules:  # imported for another name of the same file: its classes must not exist twice
        return sys.modules[name]
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _file_module(path: Path) -> str:
    """The name of a file's module: of its own, so that two files of one name do not meet."""
    return f"_own_code_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"


def _imports(path: Path, package: str) -> list[str]:
    """Names of the modules that a file imports when it is imported itself."""
    names: list[str] = []
    try:
        nodes: list[ast.AST] = [ast.parse(path.read_bytes())]
    except (OSError, SyntaxError):  # changed since it was imported
        return names
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            whole = importlib.util.resolve_name("." * node.level + (node.module or ""), package or None)
            names += [whole, *(f"{whole}.{alias.name}" for alias in node.names)]
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            nodes += ast.iter_child_nodes(node)
    return [".".join(name.split(".")[: end + 1]) for name in names for end in range(name.count(".") + 1)]


def _installed(path: Path) -> bool:
    """Whether a file is of Python, of an installed package, or of this one and its sibling."""
    # Another environment's packages may be on the path too: the system's, the user's, one that this is based on.
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    here = Path(__file__).parent
    roots = [*(sysconfig.get_paths()[kind] for kind in ("stdlib", "purelib", "platlib")), here]
    return any(path.is_relative_to(root) for root in [*roots, here.with_name("llm_bridge")])
