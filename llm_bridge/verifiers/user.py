"""The user's own verifier: a Python function of response and answer, named `module:function` or `file.py:function`.

It is the user's trusted code and runs in this process, without a time limit: what it does with the response's text is
its own affair. Whatever it raises is one sentence, SystemExit included; what ends the process itself (os._exit, a crash
of compiled code) cannot be caught, and KeyboardInterrupt is left to mean Ctrl-C.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bandit_rft
from bandit_rft.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class UserFunction:
    """text -> function(text, answer). Picklable: it holds the function's name.

    Attributes:
        name: "module:function" or "path/file.py:function".
        answer: the ground truth, as the data set gives it.

    Raises:
        InputError: on building, nothing of that name; on calling, an exception of the function's.
    """

    name: str
    answer: str

    def __post_init__(self) -> None:
        load(self.name)

    def __call__(self, text: str) -> Any:
        """What the function makes of a response; whether it is a finite number is `prompt_arms.score`'s to check."""
        try:
            return load(self.name)(text, self.answer)
        except (Exception, SystemExit) as error:
            raise InputError(
                f"The verifier {self.name} raised {type(error).__name__}{_said(error)} on a response of {len(text)} "
                "characters: make it return a float for every text."
            ) from error


def load(name: str) -> Callable[[str, str], Any]:
    """The function; within one process its file is imported once.

    Raises:
        InputError: no such file, module or function, or an error on importing it.
    """
    place, _, function = name.rpartition(":")
    if not place or not function.isidentifier():
        raise InputError(f"the verifier {name!r} is no function's name; write module:function or file.py:function")
    # By its whole path: another folder's file of the same name is another.
    return _load(str(Path(place).expanduser().absolute()) if place.endswith(".py") else None, place, function)


@functools.lru_cache(maxsize=64)
def _load(path: str | None, place: str, function: str) -> Callable[[str, str], Any]:
    try:
        module = _from_name(place) if path is None else _from_file(Path(path), place)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            f"the verifier's {place} cannot be imported ({type(error).__name__}{_said(error)}); mend it, or "
            "name another"
        ) from error
    found = getattr(module, function, None)
    if not callable(found):
        raise InputError(f"{place} has no function {function!r}; name one that takes a response's text and the answer")
    return found


def sources(name: str) -> dict[str, Path]:
    """The files behind a function that `load` finds, by their path from its own file's folder.

    They are its own file, and those that it imports when it is itself imported, directly or through each other, other
    than installed packages and this one. Left out: what is imported within a function, and files that are read.
    """
    place = name.rpartition(":")[0]
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
    """Whether a file is of Python, of an installed package, or of this one."""
    roots = [*(sysconfig.get_paths()[kind] for kind in ("stdlib", "purelib", "platlib")), Path(__file__).parents[1]]
    return any(path.is_relative_to(root) for root in roots) or path.is_relative_to(Path(bandit_rft.__file__).parent)


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


def _from_file(path: Path, typed: str) -> Any:
    if not path.is_file():
        raise InputError(f"there is no file {typed} to take a verifier from; check its path")
    name = _file_module(path)
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
    """The name of a file's module: of its own, so that two files called verifier.py do not meet."""
    return f"_user_verifier_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"


def _said(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:  # the user's own exception, whose text is the user's own code
        text = ""
    return f" ({text[:120]})" if text else ""
