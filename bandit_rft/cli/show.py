"""`bandit-rft show RUN`: a fine-tuning run's rollouts to read, with their rewards."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import unicodedata
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bandit_rft.cli.options import count, whole
from bandit_rft.errors import InputError

if TYPE_CHECKING:
    from bandit_rft.runs.rollouts import Rollout

RED, GREEN, YELLOW, BOLD, DIM = "31", "32", "33", "1", "2"
PIPE_WIDTH = 100  # columns where no terminal says
SHORT = 4  # lines of a question that is not asked for whole


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
    """Print what is asked for."""
    from rich.console import Console

    out = sys.stdout
    width = arguments.width or (None if out.isatty() else PIPE_WIDTH)
    console = Console(file=out, width=width and max(width, 20), highlight=False, markup=False, emoji=False)
    for paragraph in shown(arguments):
        for line in paragraph.wrap(console, console.width):
            # A terminal of another encoding must not end the command over an é.
            line.plain = line.plain.encode(console.encoding, "backslashreplace").decode(console.encoding)
            console.print(line, soft_wrap=True)
    return 0


def shown(arguments: argparse.Namespace, colour: bool, width: int) -> Iterator[str]:
    """The lines of the answer.

    Raises:
        InputError: no fine-tuning run, no such seed, round or question, or nothing that is asked for.
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
                yield from _question(questions[rollout.question], arguments.question is not None, colour, width)
            last_question = rollout.question
            yield from _response(rollout, colour, width)


def _place(asked: int | None, questions: Mapping[int, Mapping[str, Any]], folder: Path) -> int | None:
    if asked is None or asked < 0:
        return None
    for place, question in questions.items():
        if question.get("index") == asked:
            return place
    raise InputError(f"{folder} names no training question {asked}: leave out the index of --question to see which.")


def _question(question: Mapping[str, Any], whole: bool, colour: bool, width: int) -> Iterator[str]:
    from bandit_rft.runs.rollouts import printable, prompt_text

    yield paint(f"question {printable(str(question.get('index')))}", BOLD, colour)
    lines = list(indented(printable(prompt_text(question)), width))
    yield from (
        lines if whole or len(lines) <= SHORT else [*lines[:SHORT], paint("  … (--question: whole)", DIM, colour)]
    )
    if whole:
        yield paint(f"  answer: {printable(str(question.get('answer')))}", BOLD, colour)
    yield ""


def _response(rollout: Rollout, colour: bool, width: int) -> Iterator[str]:
    from bandit_rft.runs.rollouts import printable

    reward = paint(f"reward {rollout.reward:g}", GREEN if rollout.right else RED, colour)
    cut = ", " + paint("truncated", YELLOW, colour) if rollout.truncated else ""
    seed = "" if rollout.seed is None else f"seed {rollout.seed}, "
    head = paint(f"round {rollout.round}, {seed}response {rollout.place}", BOLD, colour)
    yield f"{head}: {reward}, {rollout.tokens} tokens{cut}"
    if rollout.text is None:
        yield paint("  (the folder holds no text of it)", DIM, colour)
    elif not rollout.text:
        yield paint("  (empty)", DIM, colour)
    else:
        yield from indented(printable(rollout.text), width)
    yield ""
