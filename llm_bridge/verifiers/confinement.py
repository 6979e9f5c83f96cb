"""What a worker process gives up before it reads model output: files to write, processes, sockets, code, memory, time.

Loaded by `worker` from its file; it imports nothing of ours.
"""

from __future__ import annotations

import math
import os
import re
import sys
from typing import Any

_REFUSED = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.remove", "os.rename"),
    *("os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.putenv", "os.kill"),
    *("subprocess.", "socket.", "shutil.", "ctypes.", "pty.", "webbrowser.", "urllib.", "ftplib.", "tempfile."),
)
# Sympy writes itself functions that add and compare the exponents of n variables; n is all that an answer decides. Not
# here, for good: lambdify, which writes out an expression with its symbols' names.
_CODERS = ("sympy.polys.monomials",)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def confine() -> None:
    """Refuse, from now on and for good, what reading an answer never needs."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            mode, flags = arguments[1], arguments[2]
            if (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & _WRITING):
                raise PermissionError("a verifier's worker writes no file")
        elif event == "compile":
            # A module's source has a file's name; text to be run is called <string>, <lambdifygenerated-1>, ...
            name = arguments[1]
            if name is not None and str(name).startswith("<") and sys._getframe(1).f_globals["__name__"] not in _CODERS:
                raise PermissionError("a verifier's worker runs no text")
        elif event.startswith(_REFUSED):
            raise PermissionError(f"a verifier's worker may not use {event}")

    sys.addaudithook(hook)


_WHOLE = re.compile(r"[0-9]+")
_DECIMAL = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")


def literal(text: str, *_: Any, **__: Any) -> Any:
    """The number that a literal stands for: all that is left of sympy's parse_expr, which is eval."""
    from sympy import Float, Integer

    text = text.strip()
    if _WHOLE.fullmatch(text):
        return Integer(int(text))
    if _DECIMAL.fullmatch(text):
        return Float(text)
    raise ValueError("no number")


def evaluate_no_text() -> None:
    """Take eval away from the libraries: even a number in LaTeX, `sympy.Number("4")`, goes through it."""
    import latex2sympy2_extended.latex2sympy2 as grammar
    import math_verify.parser as parser
    import sympy.parsing as parsing
    from sympy.parsing import sympy_parser

    for module in (parsing, sympy_parser, grammar, parser):
        vars(module)["parse_expr"] = literal


def limit_memory(memory: int) -> None:
    """Bytes of address space; no core file, no written file."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for name, value in (("RLIMIT_AS", memory), ("RLIMIT_CORE", 0), ("RLIMIT_FSIZE", 0)):
        kind = getattr(resource, name, None)
        if kind is not None:
            try:
                hard = resource.getrlimit(kind)[1]
                resource.setrlimit(kind, (value if hard < 0 else min(value, hard), hard))
            except (ValueError, OSError):  # macOS has no limit on address space
                continue


def limit_processor(seconds: float) -> None:
    """The process dies when it has used so many more seconds of processor time: whatever becomes of the parent."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard < 0 else min(soft, hard), hard))


def too_large(memory: int) -> bool:
    """Whether this process has ever held more than half of its memory."""
    try:
        import resource
    except ImportError:
        return False
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak > memory / 2
