"""How rows of question data become prompts, right answers and verifiers; and the prompt templates.

| prompt column, the first that holds one | what it is | answer column, the first that holds one |
| --- | --- | --- |
| `prompt` | messages, or a text: as it stands | `reward_model`, `ground_truth`, `answer`, `solution` |
| `problem`, `question`, `query` | a text, put into a template | `answer`, `ground_truth`, `solution`, `reward_model` |
| `messages` | as `prompt` | as `prompt`, none at all needed |

Of a chat, what comes after the user's last turn is a response, never a part of the prompt; it is a worked solution as
`solution` is, read where no answer column holds an answer. Turns before it, such as worked examples, stay. A chat that
the user says nothing in leaves the row without a prompt.

A text in an answer column is the answer, but for two forms of worked solutions: what follows the last `####` to the
end of its line (GSM8K), and in a `solution` what stands in the last box, with the boxes that are one answer with it
(MATH; read as a response is, so that the solution earns its own answer). Numbers are written as decimals; NaN is
no answer. An answer of another type, or one that is no number after `####` or beside a `data_source` of GSM8K,
leaves the row without one. Chats and verl's `reward_model` may be texts, in JSON or as Python prints them.

The verifier is math-verify or gsm8k-numeric. A worked solution says which; else the words of the row's `data_source`,
or of the source's name, say which (`verifier_by_words`), and else a column `problem` says MATH. Where none does, or
that verifier cannot read the answer, the answer's form says which, and a sentence reports the assumption. A text is put
into its verifier's template.

The templates are arXiv 2601.14599's and 2601.22532's (verl's own preprocessing). A template is a text with
`{question}` in it; a given template replaces the instruction that the question came with.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bandit_rft.errors import InputError
from llm_bridge import verifiers
from llm_bridge.data.cells import Messages, RowError, answer_text, grouped, last_of_user, messages_of, read
from llm_bridge.verifiers.boxed import answer_in

# What verl's examples/data_preprocess/gsm8k.py and math_dataset.py append to a question.
GSM8K_INSTRUCTION = 'Let\'s think step by step and output the final answer after "####".'
MATH_INSTRUCTION = "Let's think step by step and output the final answer within \\boxed{}."
GSM8K_TEMPLATE = f"{{question}} {GSM8K_INSTRUCTION}"
MATH_TEMPLATE = f"{{question}} {MATH_INSTRUCTION}"
TEMPLATES: Mapping[str, str] = MappingProxyType({"gsm8k": GSM8K_TEMPLATE, "math": MATH_TEMPLATE, "plain": "{question}"})

NUMERIC, MATH = "gsm8k-numeric", "math-verify"
_OWN_TEMPLATE = {NUMERIC: GSM8K_TEMPLATE, MATH: MATH_TEMPLATE}
# Prompt columns in the order in which they are looked for; whether their text is put into a template; answer columns.
_COLUMNS: tuple[tuple[str, bool, tuple[str, ...]], ...] = (
    ("prompt", False, ("reward_model", "ground_truth", "answer", "solution")),
    ("problem", True, ("answer", "ground_truth", "solution", "reward_model")),
    ("question", True, ("answer", "ground_truth", "solution", "reward_model")),
    ("query", True, ("answer", "ground_truth", "solution", "reward_model")),
    ("messages", False, ("reward_model", "ground_truth", "answer", "solution")),
)
_GSM8K_WORDS = frozenset({"gsm", "gsm8k", "gsm1k", "svamp", "asdiv", "mawps", "multiarith", "addsub", "singleeq"})
_MATH_WORDS = frozenset(
    {
        "math",
        "aime",
        "amc",
        "hmmt",
        "olympiad",
        "olympiadbench",
        "minerva",
        "numina",
        "numinamath",
        "deepscaler",
        "dapo",
    }
)


def template_text(template: str) -> str:
    """The template of a name of `TEMPLATES`, or the text itself.

    Raises:
        InputError: neither a name nor a text with {question} in it.
    """
    if template in TEMPLATES:
        return TEMPLATES[template]
    if "{question}" not in template:
        raise InputError(
            f"The template {template[:60]!r} is neither one of {', '.join(TEMPLATES)} nor a text with {{question}} in "
            "it: give one of these."
        )
    return template


def fill(template: str, question: str) -> str:
    """The template with the question in it; its other braces stay as they are."""
    return template.replace("{question}", question)


def retemplate(prompt: Sequence[Mapping[str, str]], template: str) -> Messages:
    """The prompt with the user's last turn put into another template: that turn without GSM8K's or MATH's instruction
    is the question. Other messages (a system message, worked examples) stay.
    """
    messages = [{"role": message["role"], "content": message["content"]} for message in prompt]
    asked = messages[last_of_user(messages)]
    question = asked["content"]
    for instruction in (GSM8K_INSTRUCTION, MATH_INSTRUCTION):
        question = question.rstrip().removesuffix(instruction)
    asked["content"] = fill(template, question.strip())
    return tuple(messages)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """Where rows keep their prompts and answers.

    Attributes:
        prompt: column of the prompt. answers: columns of the answer, the first that holds one counts.
        templated: whether a prompt that is a text is put into its verifier's template.
        others: layouts of rows whose prompt this one does not find, as of a second source in the file; the first that
            finds one counts.
    """

    prompt: str
    answers: tuple[str, ...]
    templated: bool
    others: tuple[Layout, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, where they are there."""
        own = (column for one in (self, *self.others) for column in (one.prompt, *one.answers))
        return tuple(dict.fromkeys((*own, "data_source")))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """A row as a question.

    Attributes:
        prompt: chat messages. answer: as text. verifier: for its answers.
        assumed: whether the verifier was chosen by the answer's form alone.
    """

    prompt: Messages
    answer: str
    verifier: str
    assumed: bool


def layout_of(columns: Sequence[str], where: str, prompt: str | None = None, answer: str | None = None) -> Layout:
    """The layout of data with these columns.

    Args:
        columns: that the data has.
        where: for messages.
        prompt, answer: columns that the user names; None: the first known ones that are there.

    Raises:
        InputError: a column is missing.
    """
    for option, column in (("prompt", prompt), ("answer", answer)):
        if column is not None and column not in columns:
            raise InputError(
                f"{where} has no column {column!r} for the {option} (it has {_shown(columns)}): name another."
            )
    known = [entry for entry in _COLUMNS if entry[0] in (columns if prompt is None else (prompt,))]
    known = known or ([_COLUMNS[0]] if prompt is None else [(prompt, True, _COLUMNS[0][2])])
    layouts = []
    for name, templated, answers in known:
        found = (answer,) if answer is not None else tuple(column for column in answers if column in columns)
        if name in columns and (found or name == "messages"):  # whose last turn may be a worked solution
            layouts.append(Layout(prompt=name, answers=found, templated=templated))
    if not layouts:
        name, _, answers = known[0]
        missing = name if name not in columns else answers[0]
        raise InputError(
            f"{where} has no column {missing!r} (it has {_shown(columns)}): give data in verl's layout, with question "
            "and answer or problem and solution, or name its columns with --prompt-column and --answer-column."
        )
    return dataclasses.replace(layouts[0], others=tuple(layouts[1:]))


def question_of(row: Mapping[str, Any], layout: Layout, source: str, index: int, where: str) -> Question:
    """A row as a question.

    Args:
        row: column -> value.
        layout: of the data.
        source: what the user calls the data: its words choose the verifier where the row's `data_source` does not.
        index, where: for messages.

    Raises:
        RowError: no prompt, or no answer, that can be used.
    """
    found = ((one, read(row.get(one.prompt))) for one in (layout, *layout.others))
    layout, value = next(((one, value) for one, value in found if messages_of(value)), (layout, None))
    chat = messages_of(value)
    if chat is None:
        raise RowError(
            index,
            f"row {index} of {where} has an empty or malformed {layout.prompt!r}; give a text, or chat messages with "
            "role and content",
        )
    user = last_of_user(chat)
    if user < 0:
        raise RowError(
            index, f"row {index} of {where} has a {layout.prompt!r} without a turn of role 'user': give one that asks"
        )
    places = range(user + 1, len(chat))
    end = next((place for place in places if chat[place]["role"] not in ("system", "developer")), len(chat))
    prompt, response = chat[:end], "\n".join(turn["content"] for turn in chat[end:] if turn["role"] != "tool")
    column, answer, known = _answer(row, layout, response, index, where)
    own = verifier_by_words(str(row.get("data_source") or ""))
    by_words = own or verifier_by_words(source)
    certain = known or (NUMERIC if own == NUMERIC else None)
    if certain is not None and not _accepts(certain, answer):
        raise RowError(
            index,
            f"row {index} of {where} has the answer {answer[:40]!r} in {column!r}, which is no number: mend the row",
        )
    if known is None and by_words is None and layout.prompt == "problem":
        by_words = MATH  # raw MATH's own column
    named = known or (by_words if by_words is not None and _accepts(by_words, answer) else None)
    verifier = named or (NUMERIC if _accepts(NUMERIC, answer) else MATH)
    if layout.templated and isinstance(value, str):
        prompt = ({"role": "user", "content": fill(_OWN_TEMPLATE[verifier], value)},)
    return Question(prompt=prompt, answer=answer, verifier=verifier, assumed=named is None)


def verifier_by_words(source: str) -> str | None:
    """The verifier that the words of a data source name; None where none is known.

    Words are what stands between other characters than letters and digits, digits at their end apart (MATH-500,
    aime24); of a path, those of its last two parts. GSM8K goes before MATH: meta-math/GSM8K_zh is GSM8K.
    """
    parts = [part for part in re.split(r"[/\\]", source.lower()) if part]
    words = {word for part in parts[-2:] for word in re.split(r"[^a-z0-9]+", part)}
    words |= {word.rstrip("0123456789") for word in words}
    return NUMERIC if words & _GSM8K_WORDS else MATH if words & _MATH_WORDS else None


def _answer(
    row: Mapping[str, Any], layout: Layout, response: str, index: int, where: str
) -> tuple[str, str, str | None]:
    """(column, answer, the verifier that its form of worked solution tells). Raises RowError."""
    found = [(column, read(row.get(column)), column == "solution") for column in layout.answers]
    for column, value, worked in (*found, (layout.prompt, response, True)):
        if isinstance(value, dict) and "ground_truth" in value:
            value = value["ground_truth"]
        text = answer_text(value, column, index, where)
        if text is None:
            continue
        if "####" in text:
            return column, grouped(text.rpartition("####")[2].split("\n")[0].strip()), NUMERIC
        if worked:
            boxed = answer_in(text)
            if boxed is not None and boxed.strip():
                return column, boxed, MATH
            if "\n" in text or len(text) > 200 or " " in text.strip():
                continue  # words without a box, which no verifier takes for an answer
        return column, text, None
    names = " or ".join(map(repr, layout.answers or (layout.prompt,)))
    wanted = "an answer in \\boxed{…}" if layout.answers == ("solution",) else "the answer, or a number after '####'"
    raise RowError(
        index,
        f"row {index} of {where} has no answer in {names}; it should hold {wanted}",
    )


def _accepts(verifier: str, answer: str) -> bool:
    try:
        verifiers.make(verifier, answer)
    except InputError:
        return False
    return True


def _shown(columns: Sequence[str]) -> str:
    return ", ".join(columns[:8]) or "none"
