"""The user's own verifier: a Python function of response and answer, named `module:function` or `file.py:function`.

It is the user's trusted code and runs in this process, without a time limit: what it does with the response's text is
its own affair. Whatever it raises is one sentence, SystemExit included; what ends the process itself (os._exit, a crash
of compiled code) cannot be caught, and KeyboardInterrupt is left to mean Ctrl-C.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


@functools.lru_cache(maxsize=64)
def load(name: str) -> Callable[[str, str], Any]:
    """The function.

    Raises:
        InputError: no such file, module or function, or an error on importing it.
    """
    place, _, function = name.rpartition(":")
    if not place or not function.isidentifier():
        raise InputError(f"the verifier {name!r} is no function's name; write module:function or file.py:function")
    try:
        module = _from_file(Path(place).expanduser()) if place.endswith(".py") else _from_name(place)
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


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"there is no file {path} to take a verifier from; check its path")
    # A name of its own, so that two files called verifier.py do not meet.
    name = f"_user_verifier_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
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


def _said(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:  # the user's own exception, whose text is the user's own code
        text = ""
    return f" ({text[:120]})" if text else ""
