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
import importlib.util
import json
import logging
import os
import re
import select
import signal
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def _sibling(name: str) -> Any:
    """A module beside this file, without our package: importing that would import JAX."""
    specification = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


confinement = _sibling("confinement")
mathematics = _sibling("mathematics")
warm_up = mathematics.warm_up


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
        return mathematics.equal(request["gold"], request["answer"])
    return regex_equal(request["pattern"], request["answer"], request["text"], request["fold"])


def answer_all(requests: Iterable[bytes], answers: int, memory: int) -> None:
    """Confined, answer each line until there are no more."""
    confinement.limit_memory(memory)
    confinement.confine()
    for line in requests:
        request = json.loads(line)
        confinement.limit_processor(request["seconds"])
        try:
            reward = float(_answer(request))
        except Exception:  # too deep, too large, not LaTeX: no answer that could be right
            reward = 0.0
        os.write(answers, json.dumps({"reward": reward, "retire": confinement.too_large(memory)}).encode() + b"\n")


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
    # A SIGTERM to the whole group is the run's to answer: a worker that died of it would make a right answer wrong.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
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
        confinement.evaluate_no_text()
    except Exception as error:
        os.write(answers, json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}).encode() + b"\n")
        return
    gc.collect()
    gc.freeze()  # so that a child's collections do not copy what it shares with us
    os.write(answers, b'{"ready": true}\n')
    (supervise if hasattr(os, "fork") else answer_all)(requests, answers, hello["memory"])


if __name__ == "__main__":
    main()
