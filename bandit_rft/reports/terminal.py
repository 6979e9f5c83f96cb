"""A fine-tuning run's responses on a terminal, as `bandit-rft show` prints them; nothing in them acts on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from bandit_rft.runs.rollouts import Rollout, printable, prompt_text, read_questions, selected

PIPE_WIDTH = 100  # columns where no terminal says
SHORT = 4  # lines of a question that are shown unless it is shown whole


def show(
    run: str | Path,
    *,
    whole: bool = False,
    width: int | None = None,
    **selection: Any,
) -> None:
    """Print responses with rewards and lengths, each under its question.

    Args:
        run: a folder of `bandit-rft finetune`, finished or not.
        whole: the questions in full, with their answers.
        width: columns; None: the terminal's, or 100.
        selection: which responses, as `runs.rollouts.selected` takes it.

    Raises:
        InputError: no fine-tuning run, no such seed, round or question, or no response that is selected.
    """
    out = sys.stdout
    width = width or (None if out.isatty() else PIPE_WIDTH)
    console = Console(file=out, width=None if width is None else max(width, 20), highlight=False)
    questions, last_question = read_questions(run), None
    for rollout in selected(run, questions=questions, **selection):
        if rollout.question != last_question and rollout.question in questions:
            _print(console, _question(questions[rollout.question], whole, console))
        last_question = rollout.question
        _print(console, _response(rollout, console))


def _print(console: Console, lines: Iterator[Text]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True)


def _question(question: Mapping[str, Any], whole: bool, console: Console) -> Iterator[Text]:
    yield Text(f"question {printable(str(question.get('index')))}", "bold")
    lines = _indented(prompt_text(question), console)
    yield from lines if whole or len(lines) <= SHORT else lines[:SHORT]
    if whole:
        yield Text(f"  answer: {printable(str(question.get('answer')))}", "bold")
    elif len(lines) > SHORT:
        yield Text("  … (--question: whole)", "dim")
    yield Text()


def _response(rollout: Rollout, console: Console) -> Iterator[Text]:
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
    lines = Text(printable(text)).wrap(console, console.width - 2, overflow="fold")
    return [Text("  ").append_text(line) for line in lines]
