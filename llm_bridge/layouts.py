"""Columns of question data: verl's, raw GSM8K's and raw MATH's; and the prompt templates.

| layout | columns | prompt | answer | verifier |
| --- | --- | --- | --- | --- |
| verl | `prompt`, `reward_model` | as it stands | its `ground_truth` | by `data_source` if there |
| GSM8K | `question`, `answer` | the question in `GSM8K_TEMPLATE` | the number after the last `####` | gsm8k-numeric |
| MATH | `problem`, `solution` (`answer`) | the problem in `MATH_TEMPLATE` | `answer`, else the last box | math-verify |

The templates are arXiv 2601.14599's and 2601.22532's (verl's own preprocessing). A template is a text with
`{question}` in it; where one is asked for, it replaces the instruction that the question came with.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bandit_rft.errors import InputError
from llm_bridge.verifiers.boxed import last_boxed

# What verl's examples/data_preprocess/gsm8k.py and math_dataset.py append to a question.
GSM8K_INSTRUCTION = 'Let\'s think step by step and output the final answer after "####".'
MATH_INSTRUCTION = "Let's think step by step and output the final answer within \\boxed{}."
GSM8K_TEMPLATE = f"{{question}} {GSM8K_INSTRUCTION}"
MATH_TEMPLATE = f"{{question}} {MATH_INSTRUCTION}"
TEMPLATES: Mapping[str, str] = MappingProxyType({"gsm8k": GSM8K_TEMPLATE, "math": MATH_TEMPLATE, "plain": "{question}"})

Messages = tuple[dict[str, str], ...]


def template_text(template: str) -> str:
    """The template of a name of `TEMPLATES`, or the text itself.

    Raises:
        InputError: neither a name nor a text with {question} in it.
    """
    if template in TEMPLATES:
        return TEMPLATES[template]
    if "{question}" not in template:
        raise InputError(
            f"the template {template[:60]!r} is neither one of {', '.join(TEMPLATES)} nor a text with {{question}} in "
            "it; give one of these"
        )
    return template


def fill(template: str, question: str) -> str:
    """The template with the question in it; its other braces stay as they are."""
    return template.replace("{question}", question)


def retemplate(prompt: Sequence[Mapping[str, str]], template: str) -> Messages:
    """The prompt with its last message put into another template: that message without GSM8K's or MATH's instruction
    is the question. Messages before it (a system message, worked examples) stay.
    """
    *before, last = ({"role": message["role"], "content": message["content"]} for message in prompt)
    question = last["content"]
    for instruction in (GSM8K_INSTRUCTION, MATH_INSTRUCTION):
        question = question.rstrip().removesuffix(instruction)
    return (*before, {**last, "content": fill(template, question.strip())})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """How rows become questions.

    Attributes:
        needs: columns that must be there. uses: columns that are read where they are there.
        prompt: row -> messages, or None where the row has none.
        answer: row -> the right answer, or None.
        prompt_column, answer_column, wanted: for messages: where they should be, and what should be there.
        verifier: row -> the name of the verifier for its answers.
    """

    needs: tuple[str, ...]
    uses: tuple[str, ...]
    prompt: Callable[[Mapping[str, Any]], Messages | None]
    answer: Callable[[Mapping[str, Any]], str | None]
    prompt_column: str
    answer_column: str
    wanted: str
    verifier: Callable[[Mapping[str, Any]], str]


def layout_of(columns: Sequence[str]) -> Layout:
    """The layout of a file with these columns: raw where it is one of the two known, else verl's."""
    names = set(columns)
    if not names & {"prompt", "reward_model"}:
        for layout in (_GSM8K, _MATH):
            if set(layout.needs) <= names:
                return layout
    return _VERL


def verifier_of(data_source: str) -> str:
    """The default verifier of verl-layout data: math-verify where its source names MATH or a contest, else
    gsm8k-numeric."""
    return "math-verify" if re.search(r"math|aime|amc|olympiad", data_source, re.IGNORECASE) else "gsm8k-numeric"


def _messages(value: Any) -> Messages | None:
    if not isinstance(value, list) or not value:
        return None
    messages = []
    for message in value:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if not isinstance(role, str) or not isinstance(content, str) or not role or not content.strip():
            return None
        messages.append({"role": role, "content": content})
    return tuple(messages)


def _ground_truth(value: Any) -> str | None:
    truth = value.get("ground_truth") if isinstance(value, dict) else None
    return str(truth) if isinstance(truth, str | int | float) and str(truth).strip() else None


def _asked(question: Any, template: str) -> Messages | None:
    if not isinstance(question, str) or not question.strip():
        return None
    return ({"role": "user", "content": fill(template, question)},)


def _gsm8k_answer(row: Mapping[str, Any]) -> str | None:
    given = row["answer"]
    answer = re.findall(r"#### (-?[0-9.,]+)", given) if isinstance(given, str) else []
    return answer[-1].replace(",", "") if answer else None


def _math_answer(row: Mapping[str, Any]) -> str | None:
    given = row.get("answer")
    if isinstance(given, str | int | float) and str(given).strip():
        return str(given)
    solution = row["solution"]
    found = last_boxed(solution) if isinstance(solution, str) else None
    return found if found is not None and found.strip() else None


_VERL = Layout(
    needs=("prompt", "reward_model"),
    uses=("data_source",),
    prompt=lambda row: _messages(row["prompt"]),
    answer=lambda row: _ground_truth(row["reward_model"]),
    prompt_column="prompt",
    answer_column="reward_model",
    wanted="a ground_truth",
    verifier=lambda row: verifier_of(str(row.get("data_source") or "")),
)
_GSM8K = Layout(
    needs=("question", "answer"),
    uses=(),
    prompt=lambda row: _asked(row["question"], GSM8K_TEMPLATE),
    answer=_gsm8k_answer,
    prompt_column="question",
    answer_column="answer",
    wanted="a number after '####'",
    verifier=lambda row: "gsm8k-numeric",
)
_MATH = Layout(
    needs=("problem", "solution"),
    uses=("answer",),
    prompt=lambda row: _asked(row["problem"], MATH_TEMPLATE),
    answer=_math_answer,
    prompt_column="problem",
    answer_column="solution",
    wanted="an answer in \\boxed{…}",
    verifier=lambda row: "math-verify",
)
