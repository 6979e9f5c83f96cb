"""`bandit-rft show RUN`: a fine-tuning run's rollouts to read, with their rewards."""

from __future__ import annotations

import argparse
import io
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandit_rft.cli.options import count, whole
from bandit_rft.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from bandit_rft.runs.rollouts import Rollout

PIPE_WIDTH = 100  # columns where no terminal says
SHORT = 4  # lines of a question that are shown without --question


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "show",
        help="read a fine-tuning run's responses and their rewards",
        description="Print a fine-tuning run's responses with rewards and lengths; the run may be going on. "
        "Colour on a terminal only, and not where NO_COLOR is set; control characters are shown escaped.",
    )
    parser.add_argument("run_folder", metavar="RUN", help="run folder of bandit-rft finetune, finished or not")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--round", type=whole, metavar="R", help="this round only, from 0 (default: the last ones)")
    which.add_argument(
        "--last", type=count, default=3, metavar="N", help="newest rounds that have anything to show (default: 3)"
    )
    parser.add_argument(
        "--question",
        type=whole,
        nargs="?",
        const=-1,
        metavar="INDEX",
        help="print the questions whole, with their answers; with an INDEX of the data, that question's responses only "
        "(default: off)",
    )
    parser.add_argument(
        "--seed", type=whole, metavar="N", help="of a run of many seeds this one only, from 0 (default: all)"
    )
    side = parser.add_mutually_exclusive_group()
    side.add_argument("--right", action="store_true", help="only responses with a reward above 0 (default: off)")
    side.add_argument("--wrong", action="store_true", help="only the others (default: off)")
    parser.add_argument("--width", type=count, metavar="N", help="columns (default: the terminal's, else 100)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what the options select."""
    from rich.console import Console

    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):  # a terminal of another encoding must not end the command over an é
        out.reconfigure(errors="backslashreplace")
    width = arguments.width or (None if out.isatty() else PIPE_WIDTH)
    console = Console(file=out, width=None if width is None else max(width, 20), highlight=False)
    for line in shown(arguments, console):
        console.print(line, soft_wrap=True)
    return 0


def shown(arguments: argparse.Namespace, console: Console) -> Iterator[Text]:
    """The lines to print, no wider than the console.

    Raises:
        InputError: no fine-tuning run, no such seed, round or question, or no response that the options select.
    """
    from bandit_rft.runs.rollouts import read_questions, rounds_of

    folder = Path(arguments.run_folder)
    questions = read_questions(folder)
    only = _place(arguments.question, questions, folder)

    def wanted(rollout: Rollout) -> bool:
        side = rollout.right if arguments.right else not rollout.right if arguments.wrong else True
        return side and (only is None or rollout.question == only)

    kept: deque[list[Rollout]] = deque(maxlen=1 if arguments.round is not None else arguments.last)
    done = 0
    for rollouts in rounds_of(folder, arguments.seed):
        done = rollouts[0].round + 1 if rollouts else done + 1
        found = [rollout for rollout in rollouts if wanted(rollout)]
        if found and arguments.round in (None, found[0].round):
            kept.append(found)
    if not done:
        raise InputError(f"{folder} holds no history yet: let the run do at least one round.")
    if arguments.round is not None and arguments.round >= done:
        raise InputError(f"{folder} has no round {arguments.round}: it has rounds 0 to {done - 1} so far.")
    if not kept:
        where = f"Round {arguments.round} of {folder}" if arguments.round is not None else str(folder)
        raise InputError(
            f"{where} has no such response in {done} rounds: leave out --right, --wrong or the --question's index."
        )
    last_question = None
    for rollouts in kept:
        for rollout in rollouts:
            if rollout.question != last_question and rollout.question in questions:
                yield from _question(questions[rollout.question], arguments.question is not None, console)
            last_question = rollout.question
            yield from _response(rollout, console)


def _place(index: int | None, questions: Mapping[int, Mapping[str, Any]], folder: Path) -> int | None:
    if index is None or index < 0:
        return None
    for place, question in questions.items():
        if question.get("index") == index:
            return place
    raise InputError(f"{folder} names no training question {index}: leave out the index of --question to see which.")


def _question(question: Mapping[str, Any], whole: bool, console: Console) -> Iterator[Text]:
    from rich.text import Text

    from bandit_rft.runs.rollouts import printable, prompt_text

    yield Text(f"question {printable(str(question.get('index')))}", "bold")
    lines = _indented(prompt_text(question), console)
    yield from lines if whole or len(lines) <= SHORT else lines[:SHORT]
    if whole:
        yield Text(f"  answer: {printable(str(question.get('answer')))}", "bold")
    elif len(lines) > SHORT:
        yield Text("  … (--question: whole)", "dim")
    yield Text()


def _response(rollout: Rollout, console: Console) -> Iterator[Text]:
    from rich.text import Text

    seed = "" if rollout.seed is None else f"seed {rollout.seed}, "
    yield Text.assemble(
        (f"round {rollout.round}, {seed}response {rollout.place}", "bold"),
        ": ",
        (f"reward {rollout.reward:g}", "green" if rollout.right else "red"),
        f", {rollout.tokens} tokens",
        *([", ", ("truncated", "yellow")] if rollout.truncated else []),
    )
    if rollout.text:
        yield from _indented(rollout.text, console)
    else:
        yield Text("  (the folder holds no text of it)" if rollout.text is None else "  (empty)", "dim")
    yield Text()


def _indented(text: str, console: Console) -> list[Text]:
    """An untrusted text's lines, safe to print, wrapped to the console's width with two columns of indentation."""
    from rich.text import Text

    from bandit_rft.runs.rollouts import printable

    lines = Text(printable(text)).wrap(console, console.width - 2, overflow="fold")
    return [Text("  ").append_text(line) for line in lines]
