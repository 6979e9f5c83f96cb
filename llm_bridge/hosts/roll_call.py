"""Who takes part in a run of several processes: a line of TCP from each to process 0, open as long as the run.

    the call     each process says its number and how many it expects; process 0 waits until all are there, and tells
                 who is missing when the time is over; one that ends meanwhile may call again
    the watch    a process that is killed closes its line at once, and process 0 tells the others; a host that
                 vanishes is noticed by TCP's keepalive within a minute

JAX's own coordination service ends a process by an abort, with no word on which other process was the cause; this watch
comes before it. A process that another's end leaves in a collective gets a few seconds to come out by itself.

No secret is exchanged and nothing but numbers and sentences is read; like JAX's coordinator the port belongs behind the
firewall of a cluster. Left out: going on without the process that has gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from typing import Any

from bandit_rft.errors import InputError
from bandit_rft.runs.files import loads

GRACE_SECONDS = 5.0  # for a process to come out of a collective whose other side is gone
_LONGEST = 20_000  # bytes of a message
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 6}  # seconds, seconds, times


class ProcessGone(InputError):
    """Another process of the run has ended, and this one cannot go on without it."""


class Line:
    """Messages, one JSON object a line, over one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._rest = connection, b""
        self._sending = threading.Lock()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def send(self, **message: Any) -> None:
        """Raises OSError where the other side is gone."""
        with self._sending:
            self._connection.sendall(json.dumps(message).encode()[:_LONGEST] + b"\n")

    def receive(self, seconds: float | None = None) -> dict[str, Any] | None:
        """The next message; None at the end of the line. Raises TimeoutError after so many seconds."""
        end = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._rest:
            self._connection.settimeout(None if end is None else max(end - time.monotonic(), 0.001))
            try:
                more = self._connection.recv(4096)
            except TimeoutError:
                if seconds is None:  # the system's own: the host has vanished
                    return None
                raise
            except OSError:
                return None
            if not more or len(self._rest) > _LONGEST:
                return None
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            message = loads(line)
        except ValueError:
            return None
        return message if isinstance(message, dict) else None

    def ended(self) -> bool:
        """Whether the other side, which is not to say anything now, has closed the line."""
        try:
            return self.receive(0.0) is None
        except TimeoutError:
            return False

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.close()


class Watch:
    """What this process knows of the others, once all have joined.

    Attributes:
        index, count: of this process, and of all.
        gone: process -> why, as far as it said.
        section: number of the sections of work that were begun (`agreement.together`); 0 before the first.
        working: whether one is under way, in which nobody may be missing.
        exit_code: of this process, where a section has failed here.
    """

    def __init__(self, index: int, count: int, lines: dict[int, Line]) -> None:
        self.index, self.count, self.gone = index, count, dict[int, str]()
        self.section, self.working = 0, False
        self.exit_code: int | None = None
        self._lines, self._done, self._closed = lines, dict.fromkeys(range(count), 0), set[int]()
        self._changed = threading.Condition()
        for process, line in lines.items():
            threading.Thread(target=self._listen, args=(process, line), daemon=True, name="other processes").start()

    def tell(self, **message: Any) -> None:
        """To process 0, or from it to all others."""
        self._pass_on(message | {"process": self.index})

    def wait_for_news(self, seconds: float) -> dict[int, str]:
        """Who is gone; waits so long for the first."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self.gone), seconds)
            return dict(self.gone)

    def sentence(self) -> str:
        """What to say of those that are gone."""
        process, why = next(iter(self.gone.items()))
        if why:
            return (
                f"Process {process} of {self.count} has stopped ({why.rstrip('.')}), so process {self.index} has "
                "stopped too: see to that and start all processes again."
            )
        return (
            f"Process {process} of {self.count} has gone without a word (killed, or its host is down), so process "
            f"{self.index} has stopped too: start all processes again with the same command, which continues from the "
            "newest checkpoint."
        )

    def _listen(self, process: int, line: Line) -> None:
        while (message := line.receive()) is not None:
            about = message.get("process")
            if not isinstance(about, int) or not 0 <= about < self.count or about == self.index:
                continue
            if self.index == 0:
                self._pass_on(message, but=process)
            if "done" in message:
                with self._changed:
                    self._done[about] = int(message["done"])
            if "left" in message:
                self._has_gone(about, str(message["left"]), GRACE_SECONDS)
        # Process 0 leads JAX's coordination service: without it JAX aborts this process in a moment.
        self._has_gone(process, "", 0.0 if process == 0 else GRACE_SECONDS)
        with self._changed:
            self._closed.add(process)
            self._changed.notify_all()

    def _pass_on(self, message: dict[str, Any], but: int | None = None) -> None:
        for process, line in self._lines.items():
            if process != but:
                with contextlib.suppress(OSError):
                    line.send(**message)

    def wait_for_all(self, seconds: float) -> None:
        """Until all lines are closed from the other side."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._closed) == len(self._lines), seconds)

    def _has_gone(self, process: int, why: str, grace: float) -> None:
        with self._changed:
            if process in self.gone:
                return
            finished = self._done[process] >= self.section
            self.gone[process] = why
            self._changed.notify_all()
        if self.index == 0 and not why:
            self._pass_on({"process": process, "left": ""}, but=process)
        if finished:
            return
        if grace:
            threading.Thread(target=self._end, args=(grace,), daemon=True).start()
        else:
            self._end(grace)

    def _end(self, grace: float) -> None:
        end = time.monotonic() + grace
        while self.working and time.monotonic() < end:
            time.sleep(0.05)
        if self.working:
            with contextlib.suppress(OSError):
                os.write(2, f"bandit-rft: {self.sentence()}\n".encode())
            os._exit(2)


_watch: Watch | None = None


def watch() -> Watch | None:
    """This process's; None where it is the only one."""
    return _watch


def begin(index: int, count: int, lines: dict[int, Line]) -> Watch:
    """Watch the processes at the other ends of these lines from here on."""
    global _watch
    _watch = Watch(index, count, lines)
    return _watch


def count() -> int:
    """How many processes there are; 1 where none was joined."""
    return 1 if _watch is None else _watch.count


def index() -> int:
    """This process's number, from 0."""
    return 0 if _watch is None else _watch.index


def call(host: str, port: int, coordinator: int, index: int, count: int, seconds: float, words: Any) -> dict[int, Line]:
    """The lines of a process to the others, once all are there.

    Args:
        host, port: where process 0 is called.
        coordinator: the port of JAX's coordinator, which must be open as well.
        index, count: of this process, and of all.
        seconds: how long to wait.
        words: name of an argument -> how the user writes it.

    Raises:
        InputError: somebody is missing when the time is over, or two processes contradict each other.
    """
    end = time.monotonic() + seconds
    if index == 0:
        return _called(port, coordinator, count, end, seconds, words)
    return _calling(host, port, index, count, end, words)


def _called(port: int, coordinator: int, count: int, end: float, seconds: float, words: Any) -> dict[int, Line]:
    try:
        # Both families where the system has IPv6, as JAX's own coordinator listens.
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        server = socket.create_server(("", port), family=family, dualstack_ipv6=dual, backlog=max(128, count))
    except OSError as error:
        raise InputError(
            f"Process 0 cannot listen on port {port} ({error.strerror or error}): choose another "
            f"{words('coordinator')}, whose port and the next are free."
        ) from None
    lines: dict[int, Line] = {}
    with server:
        while not _all_there(lines, count - 1):
            server.settimeout(max(end - time.monotonic(), 0.001))
            try:
                line = Line(server.accept()[0])
                said = line.receive(min(5.0, max(end - time.monotonic(), 0.001))) or {}
            except TimeoutError:
                if time.monotonic() < end:  # somebody who calls and says nothing is none of ours
                    continue
                missing = sorted(set(range(1, count)) - set(lines))
                named = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
                sentence = (
                    f"Process{'es' * (len(missing) > 1)} {named} of {count} did not join within {seconds:g} seconds: "
                    f"start {'it' if len(missing) == 1 else 'them'} with the same {words('coordinator')}, see that "
                    f"ports {coordinator} and {port} of process 0's host are open, or give a longer {words('wait')}."
                )
                _refuse(lines, sentence)
                raise InputError(sentence) from None
            process, expected = said.get("join"), said.get("of")
            if expected != count:
                refusal = (
                    f"Process 0 was started with {words('processes')} {count} and this one with {expected}: "
                    "give all the same."
                )
            else:
                if isinstance(process, int) and process in lines and lines[process].ended():
                    lines.pop(process).close()  # it died while others were waited for, and was started again
                if isinstance(process, int) and 0 < process < count and process not in lines:
                    lines[process] = line
                    continue
                refusal = f"Process {process} has joined already: give each process its own {words('process')}."
            with contextlib.suppress(OSError):  # it is gone already
                line.send(error=refusal)
            line.close()
    for line in lines.values():
        with contextlib.suppress(OSError):
            line.send(go=True)
    return lines


def _all_there(lines: dict[int, Line], wanted: int) -> bool:
    """Whether so many processes have called and are still there; lines of those that are not are dropped."""
    if len(lines) == wanted:
        for process in [process for process, line in lines.items() if line.ended()]:
            lines.pop(process).close()
    return len(lines) == wanted


def _refuse(lines: dict[int, Line], sentence: str) -> None:
    for line in lines.values():
        with contextlib.suppress(OSError):
            line.send(error=sentence)


def _calling(host: str, port: int, index: int, count: int, end: float, words: Any) -> dict[int, Line]:
    began = time.monotonic()
    while True:
        try:
            line = Line(socket.create_connection((host, port), timeout=max(min(end - time.monotonic(), 10.0), 0.001)))
            break
        except OSError as error:
            if time.monotonic() + 0.2 > end:
                raise InputError(
                    f"Process 0 of {count} did not answer at {host}, port {port}, within {end - began:.0f} seconds "
                    f"({error.strerror or error}): start it, check {words('coordinator')}, or give a longer "
                    f"{words('wait')}."
                ) from None
            time.sleep(0.2)
    try:
        line.send(join=index, of=count)
        answer = line.receive(max(end - time.monotonic(), 0.001) + 10.0)
    except (OSError, TimeoutError):
        answer = None
    if answer is None or "error" in answer:
        line.close()
        told = (answer or {}).get("error")
        raise InputError(str(told or f"Process 0 of {count} ended while process {index} joined: see what it said."))
    return {0: line}
