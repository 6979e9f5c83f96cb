"""The responses of a fine-tuning run, read back from its folder: text, reward, length, question.

    responses.jsonl     one line per round: `responses_record`
    questions.jsonl     one line per training question: its prompt and the right answer

The texts are a model's, or a stranger's folder's: whoever shows them passes them through `pieces` or `printable` first.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError
from bandit_rft.runs import (
    CONFIG,
    HISTORY,
    QUESTIONS,
    RESPONSES,
    read_json,
    read_lines,
    rewrite_lines,
    seeds_of,
)
from bandit_rft.runs.lines import damaged, read_line, unreadable

_TAB = "    "
# What a field of another type or size than a run writes leads to.
_UNFIT = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One response of a run.

    Attributes:
        round: from 0. place: its place in the round, of its seed where there are many, from 0.
        question: which of the run's questions it answers, from 0.
        text: the response, untrusted; None where the folder was published without it.
        reward: the verifier's. tokens: its length. truncated: whether it was cut at the longest length allowed.
        seed: which of the run's seeds drew it, from 0; None in a run of one.
    """

    round: int
    place: int
    question: int
    text: str | None
    reward: float
    tokens: int
    truncated: bool
    seed: int | None = None

    @property
    def right(self) -> bool:
        """Whether it earned anything: a reward above 0."""
        return self.reward > 0.0


def rounds_of(folder: str | Path, seed: int | None = None) -> Iterator[list[Rollout]]:
    """The rollouts of each round in turn, one round in memory at a time; a last line that is half written is left out.

    Args:
        folder: the run folder.
        seed: of a run of many seeds this one only; None: all, one after the other.

    Raises:
        InputError: the folder is of a simulation (which keeps no texts), or of another command, or is damaged, or has
            no such seed.
    """
    folder = Path(folder)
    seeds = seeds_of(folder, seed)
    if seeds is None and read_json(folder / CONFIG).get("command") != "finetune":
        kept = "keeps rewards only, no texts" if (folder / HISTORY).exists() else "has no responses"
        raise InputError(f"{folder} is no fine-tuning run and {kept}: name a folder of bandit-rft finetune.")
    path = folder / RESPONSES
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise InputError(f"{folder} holds no responses yet: let the run do at least one round.") from None
    except OSError as error:
        raise unreadable(path, error) from None
    with file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            record = read_line(line, number, path)
            try:
                rollouts = _rollouts(record, seeds or 1, seed)
            except _UNFIT:
                raise damaged(number, path) from None
            yield rollouts


def selected(
    folder: str | Path,
    *,
    questions: Mapping[int, Mapping[str, Any]],
    round: int | None = None,
    last: int | None = None,
    seed: int | None = None,
    question: int | None = None,
    right: bool | None = None,
) -> list[Rollout]:
    """Responses of one round, or of the newest rounds that hold any such response.

    Args:
        folder: the run folder.
        questions: of the run, as `read_questions` returns them.
        round: from 0; None: the newest ones.
        last: how many of those; None: one.
        seed: of a run of many seeds this one only.
        question: an index of the data; only the responses to it.
        right: only responses with a reward above 0 (True), or only the others (False).

    Raises:
        InputError: as `rounds_of`; no such round or question, or no such response.
    """
    folder = Path(folder)
    places = {place for place, record in questions.items() if record.get("index") == question}
    if question is not None and not places:
        raise InputError(
            f"{folder} names no training question {question}: leave out the index of --question to see which."
        )
    kept: deque[list[Rollout]] = deque(maxlen=1 if round is not None else last or 1)
    done = 0
    for rollouts in rounds_of(folder, seed):
        done = rollouts[0].round + 1 if rollouts else done + 1
        chosen = [
            rollout
            for rollout in rollouts
            if right in (None, rollout.right) and (question is None or rollout.question in places)
        ]
        if chosen and round in (None, chosen[0].round):
            kept.append(chosen)
    if not done:
        raise InputError(f"{folder} holds no history yet: let the run do at least one round.")
    if round is not None and round >= done:
        raise InputError(f"{folder} has no round {round}: it has rounds 0 to {done - 1} so far.")
    if not kept:
        where = f"Round {round} of {folder}" if round is not None else str(folder)
        raise InputError(
            f"{where} has no such response in {done} rounds: leave out --right, --wrong or the --question's index."
        )
    return [rollout for rollouts in kept for rollout in rollouts]


def responses_record(
    round: int,
    *,
    rewards: Sequence[Sequence[float]],
    texts: Sequence[Sequence[str]],
    tokens: Sequence[Sequence[int]],
    truncated: Sequence[Sequence[bool]],
    questions: Sequence[Sequence[int]] | None = None,
) -> dict[str, Any]:
    """A line of responses.jsonl: of each, [S][R]; questions where there are several."""
    line = {"round": round, "rewards": rewards, "texts": texts, "tokens": tokens, "truncated": truncated}
    return line if questions is None else line | {"questions": questions}


def _rollouts(record: Mapping[str, Any], seeds: int, only: int | None) -> list[Rollout]:
    columns = [record[name] for name in ("rewards", "texts", "tokens", "truncated")]
    columns.append(record.get("questions", [[0] * len(of_seed) for of_seed in columns[0]]))
    if any(not isinstance(column, list) or len(column) != seeds for column in columns):
        raise ValueError("not a list for each seed")
    return [
        Rollout(
            round=int(record["round"]),
            place=place,
            question=int(question),
            text=None if text is None else str(text),
            reward=float("nan") if reward is None else float(reward),
            tokens=int(tokens),
            truncated=bool(truncated),
            seed=seed if seeds > 1 else None,
        )
        for seed in (range(seeds) if only is None else (only,))
        for place, (reward, text, tokens, truncated, question) in enumerate(
            zip(*(column[seed] for column in columns), strict=True)
        )
    ]


def write_questions(folder: Path, examples: Sequence[Any], verifier: str | None = None) -> None:
    """Write questions.jsonl of these examples (`.index`, `.prompt` of messages, `.answer`), whole or not at all.

    Args:
        verifier: that all of them are scored by; None: each by its own (`.verifier`).
    """
    records = [
        {
            "question": place,
            "index": example.index,
            "prompt": [dict(message) for message in example.prompt],
            "answer": example.answer,
            "verifier": verifier or getattr(example, "verifier", None),
        }
        for place, example in enumerate(examples)
    ]
    rewrite_lines(folder / QUESTIONS, records)


def read_questions(folder: str | Path) -> dict[int, dict[str, Any]]:
    """Records of questions.jsonl by "question"; empty for a folder without them (an older run's).

    Raises:
        InputError: a damaged file.
    """
    path = Path(folder) / QUESTIONS
    questions = {}
    for number, record in enumerate(read_lines(path), start=1):
        try:
            prompt_text(record)
            questions[int(record["question"])] = record
        except _UNFIT:
            raise InputError(
                f"Line {number} of {path} is damaged: delete the file, or run the command of this run again."
            ) from None
    return questions


def prompt_text(question: Mapping[str, Any]) -> str:
    """The question's chat messages as one text, each under its role where there are several; untrusted."""
    messages = question.get("prompt") or []
    if isinstance(messages, str):
        return messages
    if not isinstance(messages, list):
        raise TypeError("messages are a list, or a text")
    if len(messages) == 1:
        return str(messages[0].get("content", ""))
    return "\n".join(f"[{message.get('role', '?')}] {message.get('content', '')}" for message in messages)


# ------------------------------------------------------------------------------------------------- untrusted text


def pieces(text: str) -> list[tuple[str, bool]]:
    """A text cut into (part, escaped): nothing in any part acts on a terminal or reorders what stands beside it.

    Escaped are control characters (so an ANSI sequence shows as \\x1b[31m and does nothing), bidirectional and
    zero-width marks, line separators, unassigned and private characters and lone surrogates; newlines stay, tabs become
    four spaces.
    """
    parts: list[tuple[str, bool]] = []
    plain: list[str] = []
    for character in text:
        if character == "\n" or (character.isprintable() and unicodedata.category(character) != "Co"):
            plain.append(character)
        elif character == "\t":
            plain.append(_TAB)
        elif unicodedata.category(character) == "Zs":  # isprintable() has only the ASCII space
            plain.append(" ")
        else:
            if plain:
                parts.append(("".join(plain), False))
                plain = []
            parts.append((_escape(character), True))
    if plain:
        parts.append(("".join(plain), False))
    return parts


def printable(text: str) -> str:
    """`pieces` joined: a text that is safe to print."""
    return "".join(part for part, _ in pieces(text))


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
