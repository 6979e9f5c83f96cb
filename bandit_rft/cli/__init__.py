"""`bandit-rft`: the composition root. It parses, dispatches, and turns errors into one sentence and an exit code.

Each command is a module of this package with HELP, DESCRIPTION, perhaps EPILOG, `options(parser)` and `run(arguments)`.

Exit codes: 0 done, 2 bad input (one sentence on standard error), 130 interrupted (SIGINT), 143 stopped (SIGTERM); a
fine-tuning run has then saved what was done.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, NoReturn

from bandit_rft import __version__
from bandit_rft.arguments import nearest
from bandit_rft.errors import InputError, ModelWarning, Stopped, SweepWarning, reason
from bandit_rft.runs import stopping

COMMANDS = (
    *("demo", "simulate", "theory", "finetune", "evaluate", "measure", "predict", "show", "report", "export"),
    *("figures", "models", "sweep", "reproduce", "plan", "verdict", "completion"),
)
# What a message says of a mistyped name and of the names that there are; argparse's messages and ours.
_MISTYPED = re.compile(r"'([^'\n]{1,80})'([^:'\n]{0,200})(: choose (?:one of|among) | \(choose from )([^\n]{1,4000})")
# What may be the name of an argument in Python.
_PYTHON_NAME = re.compile(r"""(?<![\w'"./=-])[a-z0-9]+(?:_[a-z0-9]+)+(?![\w'"/(=-]|\.\w)""")
# A word that no line of a terminal holds, and what of it is shown.
_NO_MEMORY = "The memory does not hold that ({}): give smaller numbers, or see what bandit-rft finetune --plan says."
_LONG, _SHORTENED = re.compile(r"(\S{200})\S{150,}"), r"\1..."


class _Parser(argparse.ArgumentParser):
    """argparse with its errors as ours: one sentence, and no abbreviations that a new option could make ambiguous."""

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise _Unparsed(self, message)


class _Unparsed(InputError):
    """What argparse has against a command line, and the parser that has it."""

    def __init__(self, own: argparse.ArgumentParser, message: str) -> None:
        super().__init__(f"{suggested(message).rstrip('.')}: see {own.prog} --help.")
        self.own = own


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    root = _Parser(
        prog="bandit-rft",
        description="Reinforcement fine-tuning as bandit learning: theory, simulation, real models.",
        epilog="Of an option that is given twice the last counts, unless its help says that it is repeatable.",
    )
    root.add_argument("--version", action="version", version=f"bandit-rft {__version__}")
    _add_commands(root)
    return root


def commands_of() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command, by name."""
    return _add_commands(_Parser(prog="bandit-rft"))


def _add_commands(root: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    subparsers, added = root.add_subparsers(metavar="COMMAND", required=True), {}
    for name in COMMANDS:
        command = import_module(f"bandit_rft.cli.{name}")
        epilog = getattr(command, "EPILOG", None)
        form = argparse.HelpFormatter if epilog is None else argparse.RawDescriptionHelpFormatter
        own = subparsers.add_parser(
            name, help=command.HELP, description=command.DESCRIPTION, epilog=epilog, formatter_class=form
        )
        command.options(own)
        own.set_defaults(command=command, own=own)
        added[name] = own
    return added


def options_of(parser: argparse.ArgumentParser) -> list[str]:
    """The long options of a command, as its help shows them."""
    return sorted(set(re.findall(r"(?<![\w-])--[a-z0-9][a-z0-9-]*", parser.format_help())))


def suggested(message: str) -> str:
    """The message with "(did you mean X?)" behind a name that is near to one of those to choose from."""
    found = _MISTYPED.search(message)
    if found is None or "did you mean" in message:
        return message
    known = [name.strip(" '.)") for name in re.split(r", | or ", found[4])]
    place = found.end(1) + 1
    return message[:place] + nearest(found[1], known) + message[place:]


def as_typed(message: str, own: argparse.ArgumentParser) -> str:
    """The message with arguments' names in Python, where it begins with one, as the options that were typed: that one,
    and others with an underscore, which are no words of a sentence, where they are neither quoted nor a part of more.
    """
    name, _, rest = message.partition(" ")
    flags = {action.dest: action.option_strings[-1] for action in own._actions if action.option_strings}
    if name not in flags or not ("_" in name or rest.startswith("is ")):
        return message
    return f"{flags[name]} {_PYTHON_NAME.sub(lambda found: flags.get(found[0], found[0]), rest)}"


def _parsed(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    """(the arguments, the command's parser). Raises InputError for an argument that the command has not, with the
    option that was meant.
    """
    try:
        parsed, rest = parser().parse_known_args(arguments)
    except _Unparsed as error:
        # argparse looks for what is required first, which is of no use to somebody who has mistyped it.
        typed = sys.argv[1:] if arguments is None else arguments
        known = {text for action in error.own._actions for text in action.option_strings}
        unknown = [text for text in typed if text.startswith("--") and text.partition("=")[0] not in {"--", *known}]
        if "are required: " in str(error) and unknown:
            _refuse_unknown(unknown, error.own)
        raise
    own = vars(parsed).pop("own")  # the command's parser; its options alone are the command's to see
    if rest:
        _refuse_unknown(rest, own)
    return parsed, own


def _refuse_unknown(rest: Sequence[str], own: argparse.ArgumentParser) -> NoReturn:
    """Raises InputError for arguments that a command has not, with the option that the first may have meant."""
    mistyped = next((text.partition("=")[0] for text in rest if text.startswith("--")), "")
    known = options_of(own)
    # Without the dashes, by which all of them are alike.
    hint = nearest(mistyped[2:], [name[2:] for name in known]).replace("(did you mean ", "(did you mean --")
    if not hint and mistyped and "--set" in known:
        hint = f" (a setting is given by --set {mistyped[2:].replace('-', '_')}=VALUE)"
    raise InputError(f"unrecognized arguments: {' '.join(rest)}{hint}: see {own.prog} --help.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # one of another encoding must not end a command over an η
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(arguments)
        finally:
            if sys.stdout is not None:  # here, and not when Python ends, where what cannot be written is a traceback
                sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone: nobody is left to tell
        _drop_output()
        return 141
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _drop_output()
        print(f"bandit-rft: the output cannot be written ({error.strerror}): make room there.", file=sys.stderr)
        return 2


def _one_line(message: str) -> str:
    """A message as one line of a terminal. It may quote a stranger's file, or a path with a line's end in it: nothing
    of that is to act on the terminal.
    """
    from bandit_rft.runs.rollouts import printable

    return printable(_LONG.sub(_SHORTENED, message)).replace("\n", r"\n")


def _drop_output() -> None:
    """What is left of the output goes nowhere, also what Python still holds of it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _run(arguments: Sequence[str] | None) -> int:
    own = None
    try:
        parsed, own = _parsed(arguments)
        with _warnings_as_sentences(), _log_as_sentences():
            return parsed.command.run(parsed)
    except InputError as error:
        message = str(error) if own is None else as_typed(str(error), own)
        print(f"bandit-rft: {_one_line(suggested(message))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except (
        OSError
    ) as error:  # of a path that nobody foresaw: too long for a name, or of a folder that may not be entered
        if error.filename is None:
            raise
        message = f"{error.filename} cannot be used ({error.strerror or error}): give another path, or make access."
        print(f"bandit-rft: {_one_line(message)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bandit-rft: interrupted; a run that has a folder is continued by the same command.", file=sys.stderr)
        return stopping.INTERRUPTED
    except Stopped as stopped:
        print(f"bandit-rft: {stopped}", file=sys.stderr)
        return stopped.exit_code
    except Exception as error:  # JAX's own error is no MemoryError, and JAX is not to be imported for it
        if not (isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)[:200]):
            raise
        print(f"bandit-rft: {_one_line(_NO_MEMORY.format(reason(error)))}", file=sys.stderr)
        return 2


@contextlib.contextmanager
def _warnings_as_sentences() -> Iterator[None]:
    """Warnings of this library are for users: a sentence, and no line of Python with it."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **how: Any) -> None:
            if issubclass(category, ModelWarning | SweepWarning):
                _say(str(message))
            else:
                others(message, category, *where, **how)

        warnings.showwarning = show
        yield


@contextlib.contextmanager
def _log_as_sentences() -> Iterator[None]:
    """So are the records of this library's loggers, whatever handler another library gives the root: a sentence, and
    no name of a module with it.
    """
    handler = _Sentences()
    loggers = [logging.getLogger(name) for name in ("bandit_rft", "llm_bridge")]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate


class _Sentences(logging.Handler):
    """Log records as lines of the command."""

    def emit(self, record: logging.LogRecord) -> None:
        _say(record.getMessage())


def _say(message: str) -> None:
    """One line on standard error. It may quote a stranger's file, and nothing of that is to act on the terminal."""
    from bandit_rft.runs.rollouts import printable

    print(f"bandit-rft: {printable(message)}", file=sys.stderr, flush=True)
