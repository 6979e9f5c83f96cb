"""The worker process of `pool`: reads a request a line, answers a line. Run as a file, it imports nothing of ours.

What it reads is model output. It is parsed by math-verify's LaTeX grammar or searched by the user's expression; no part
of it is run: once the libraries are in, an audit hook (which nothing can take away again) refuses to compile text, to
start a process, to open a socket and to write a file. Memory and, for each request, processor time are limited by the
operating system where it can, so that a worker whose parent was killed ends as well. math-verify's own time limits
(SIGALRM) stay off: the parent's clock is the limit.

Lines are JSON: first {"path", "memory"}, answered by {"ready": true} or {"error"}; then {"kind": "math" | "regex",
"seconds", …}, answered by {"reward": 0 or 1, "retire": whether the process has grown too large}, {"late": true} or
{"died": true}.

Importing the libraries takes seconds, so the process that did answers nothing itself: it forks a child that does, kills
it when its time is over, and forks the next within milliseconds. Where there is no fork (Windows) it answers itself,
and the parent starts it anew.
"""

from __future__ import annotations

import functools
import gc
import json
import logging
import math
import os
import random
import re
import select
import sys
import time
import warnings
from collections.abc import Iterable
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


def warm_up() -> None:
    """Import all that a comparison may import late, while it still may: some of sympy's modules evaluate text of their
    own when they are imported. It also builds the grammar's tables.
    """
    import sympy.integrals
    import sympy.ntheory
    import sympy.physics.units
    import sympy.series
    import sympy.solvers.inequalities
    import sympy.stats  # noqa: F401

    for gold, answer in _WARMING:
        math_equal(gold, answer)
    if not math_equal("\\frac{1}{2}", "0.5") or math_equal("\\frac{1}{2}", "0.4"):
        # math-verify swallows what its libraries raise: without this, a broken one would score 0 for ever.
        raise ImportError("math-verify does not tell 1/2 from 0.4 here, so its libraries do not fit together")


_WARMING = (
    ("\\frac{1}{2}", "0.5"),
    ("x^2-1", "(x-1)(x+1)"),
    ("\\sin^2 x+\\cos^2 x", "1"),
    ("\\sqrt{2+\\sqrt{3}}", "\\frac{\\sqrt{6}+\\sqrt{2}}{2}"),
    ("x^2=4", "2x^2=8"),
    ("x>3", "3<x"),
    ("(-\\infty,2)\\cup(3,4]", "(3,4]\\cup(-\\infty,2)"),
    ("1,2,3", "3,2,1"),
    ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 2 \\\\ 1 \\end{pmatrix}"),
    ("\\log_2 8", "\\binom{3}{1}"),
    ("\\int_0^1 x dx", "\\sum_{k=1}^{3} k"),
    ("e^{i\\pi}", "-1"),
    ("\\text{Evelyn}", "5\\%"),
)


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


def answer_all(requests: Iterable[bytes], answers: int, memory: int) -> None:
    """Confined, answer each line until there are no more."""
    limit_memory(memory)
    confine()
    for line in requests:
        request = json.loads(line)
        limit_processor(request["seconds"])
        try:
            reward = float(_answer(request))
        except Exception:  # too deep, too large, not LaTeX: no answer that could be right
            reward = 0.0
        os.write(answers, json.dumps({"reward": reward, "retire": _too_large(memory)}).encode() + b"\n")


class Child:
    """A copy of this process, made when all libraries were in, that answers; it costs milliseconds to replace."""

    def __init__(self, memory: int) -> None:
        read_request, self.requests = os.pipe()
        self.answers, write_answer = os.pipe()
        self.process = os.fork()  # this process has one thread, and never had JAX's
        if self.process == 0:
            try:
                for descriptor in (0, self.requests, self.answers):
                    os.close(descriptor)
                with os.fdopen(read_request, "rb") as requests:
                    answer_all(requests, write_answer, memory)
            finally:
                os._exit(1)
        os.close(read_request)
        os.close(write_answer)

    def ask(self, line: bytes, seconds: float) -> dict[str, Any]:
        """The answer, {"late": true} or {"died": true}."""
        end = time.monotonic() + seconds
        found = b""
        try:
            while line:
                line = line[os.write(self.requests, line) :]
            while not found.endswith(b"\n"):
                left = end - time.monotonic()
                if left <= 0 or not select.select([self.answers], [], [], left)[0]:
                    return {"late": True}
                piece = os.read(self.answers, 1 << 16)
                if not piece:
                    return {"died": True}
                found += piece
        except OSError:
            return {"died": True}
        return json.loads(found)

    def end(self) -> None:
        os.kill(self.process, 9)
        os.waitpid(self.process, 0)
        os.close(self.requests)
        os.close(self.answers)


def supervise(requests: Iterable[bytes], answers: int, memory: int) -> None:
    """Hand each line to a child and replace the child where it is late, dead or has grown too large."""
    child: Child | None = None
    try:
        for line in requests:
            child = child or Child(memory)
            answer = child.ask(line, json.loads(line)["seconds"])
            if answer.get("retire", True):
                child.end()
                child = None
            os.write(answers, json.dumps(answer).encode() + b"\n")
    except BrokenPipeError:  # the parent is gone
        pass
    finally:
        if child is not None:
            child.end()


def main() -> None:
    """Serve until standard input ends."""
    requests = sys.stdin.buffer
    # The answers' own channel: whatever a library prints goes to standard error, which leads nowhere.
    answers = os.dup(1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    hello = json.loads(requests.readline())
    sys.path[:] = hello["path"]
    try:
        warm_up()
        evaluate_no_text()
    except Exception as error:
        os.write(answers, json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}).encode() + b"\n")
        return
    gc.collect()
    gc.freeze()  # so that a child's collections do not copy what it shares with us
    os.write(answers, b'{"ready": true}\n')
    (supervise if hasattr(os, "fork") else answer_all)(requests, answers, hello["memory"])


if __name__ == "__main__":
    main()
