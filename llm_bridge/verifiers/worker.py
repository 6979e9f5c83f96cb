"""The worker process of `pool`: reads a request a line, answers a line. Run as a file, it imports nothing of ours.

What it reads is model output. It is parsed by math-verify's LaTeX grammar or searched by the user's expression; no part
of it is run: once the libraries are in, an audit hook (which nothing can take away again) refuses to compile text, to
start a process, to open a socket and to write a file. Memory and, for each request, processor time are limited by the
operating system where it can, so that a worker whose parent was killed ends as well. math-verify's own time limits
(SIGALRM) stay off: the parent's clock is the limit.

Lines are JSON: first {"path", "memory"}, answered by {"ready": true} or {"error"}; then {"kind": "math" | "regex", …},
answered by {"reward": 0 or 1, "retire": whether this process has grown too large to be kept}.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import random
import re
import sys
import warnings
from typing import Any

_REFUSED = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.remove", "os.rename"),
    *("os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.putenv", "os.kill"),
    *("subprocess.", "socket.", "shutil.", "ctypes.", "pty.", "webbrowser.", "urllib.", "ftplib.", "tempfile."),
)
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
            if name is not None and str(name).startswith("<"):
                raise PermissionError("a verifier's worker runs no text")
        elif event.startswith(_REFUSED):
            raise PermissionError(f"a verifier's worker may not use {event}")

    sys.addaudithook(hook)


_WHOLE = re.compile(r"[0-9]+")
_DECIMAL = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")


def literal(text: str, *_: Any, **__: Any) -> Any:
    """The number that a literal stands for: all that is left of sympy's parse_expr, which is eval."""
    from sympy import Float, Integer

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


def _too_large(memory: int) -> bool:
    try:
        import resource
    except ImportError:
        return False
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak > memory / 2


@functools.lru_cache(maxsize=256)
def _parsed(answer: str) -> list[Any]:
    from math_verify import LatexExtractionConfig, parse

    # LaTeX alone: math-verify's plain expressions go through sympy's parse_expr, which is eval.
    return parse(
        "\\boxed{" + answer + "}",
        extraction_config=[LatexExtractionConfig(boxed_match_priority=0)],
        parsing_timeout=0,
    )


def math_equal(gold: str, answer: str) -> bool:
    """Whether two answers, as LaTeX without their box, are equal to math-verify, `gold` being the right one."""
    from math_verify import verify
    from sympy.core import random as sympy_random

    # simplify tries random numbers: the same question gets the same verdict.
    sympy_random.seed(0)
    random.seed(0)
    return bool(verify(_parsed(gold), _parsed(answer), timeout_seconds=0))


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def regex_equal(pattern: str, answer: str, text: str, fold: bool) -> bool:
    """Whether the last match's group `answer`, else its first group, else all of it, is the answer."""
    last = None
    for match in _compiled(pattern).finditer(text):
        last = match
    if last is None:
        return False
    groups = last.re.groupindex
    found = last["answer"] if "answer" in groups else last[1] if last.re.groups else last[0]
    if found is None:
        return False
    found, answer = found.strip(), answer.strip()
    return found.casefold() == answer.casefold() if fold else found == answer


def _answer(request: dict[str, Any]) -> bool:
    if request["kind"] == "math":
        return math_equal(request["gold"], request["answer"])
    return regex_equal(request["pattern"], request["answer"], request["text"], request["fold"])


def main() -> None:
    """Serve until standard input ends."""
    requests = sys.stdin.buffer
    # The answers' own channel: whatever a library prints goes to standard error, which leads nowhere.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)

    def tell(**values: Any) -> None:
        answers.write(json.dumps(values).encode() + b"\n")

    hello = json.loads(requests.readline())
    sys.path[:] = hello["path"]
    try:
        math_equal("\\frac{1}{2}", "0.5")  # imports everything, and builds the grammar's tables
    except ImportError as error:
        tell(error=f"{error.name or error} cannot be imported")
        return

    evaluate_no_text()
    limit_memory(hello["memory"])
    confine()
    tell(ready=True)
    for line in requests:
        request = json.loads(line)
        limit_processor(request["seconds"])
        try:
            reward = float(_answer(request))
        except Exception:  # too deep, too large, not LaTeX: no answer that could be right
            reward = 0.0
        tell(reward=reward, retire=_too_large(hello["memory"]))


if __name__ == "__main__":
    main()
