"""Questions from Python as rows of named columns, and own verifiers that raise."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from bandit_rft.errors import InputError
from llm_bridge.bandits.text_rewards import made, score_each
from llm_bridge.data import datasets
from llm_bridge.data.given import given


class Question:
    prompt, answer = "1+1=?", ["two", 2]


def test_rows_are_read_as_those_of_a_data_file_are(tmp_path) -> None:
    """Catches an AttributeError where a dict is given, and another template or verifier than the file's."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "1+1=?", "answer": 2, "data_source": "openai/gsm8k"}\n')
    [found] = given([{"question": "1+1=?", "answer": 2, "data_source": "openai/gsm8k"}], "examples")
    wanted = datasets.load(path).example(0)
    assert (found.prompt, found.answer, found.verifier) == (wanted.prompt, wanted.answer, wanted.verifier)
    [found] = given([{"prompt": [{"role": "user", "content": "x?"}], "reward_model": {"ground_truth": "3"}}], "rows")
    assert (found.prompt, found.answer) == (({"role": "user", "content": "x?"},), "3")
    frame = {"prompt": np.array([{"role": "user", "content": "x?"}], object), "answer": np.float32(0.1)}
    [found] = given([frame], "rows of a data frame")
    assert (found.prompt, found.answer) == (({"role": "user", "content": "x?"},), "0.1")
    chat = [{"role": "user", "content": "x?"}, {"role": "assistant", "content": "The answer is 3."}]
    [found] = given([{"messages": chat, "answer": float("nan"), "ground_truth": "3"}], "rows")
    assert (found.prompt, found.answer) == (({"role": "user", "content": "x?"},), "3")


def test_objects_are_taken_as_they_are() -> None:
    """Catches an answer that is turned into text, which an own verifier may want as it is."""
    question = Question()
    assert given((question for _ in range(2)), "examples") == (question, question)


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        ([{"messages": [{"role": "assistant", "content": "3"}], "answer": "3"}], "without a turn of role 'user'"),
        ([{"q": "x?", "a": "3"}], r"examples\[0\] has no column 'prompt' \(it has q, a\)"),
        ([Question(), {"question": "x?", "answer": None}], "row 1 of examples has no answer"),
        ([{"question": " ", "answer": "3"}], "row 0 of examples has an empty or malformed 'question'"),
        ([{"question": "x?", "answer": True}], "a bool: give a text or a number"),
        (["x?"], "an example of type str: give questions that have a prompt and an answer"),
        ([("x?", "3")], "an example of type tuple"),
        ({"question": "x?", "answer": "3"}, "examples is of type dict: give a list"),
        ("x?", "examples is of type str: give a list"),
        (None, "examples is of type NoneType: give a list"),
    ],
)
def test_what_is_no_question_is_one_sentence(examples: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        given(examples, "examples")


def test_an_assumed_verifier_is_said_unless_one_is_given(caplog) -> None:
    rows = [{"question": "x?", "answer": "3"}]
    with caplog.at_level(logging.WARNING):
        given(rows, "examples", verifier="exact")
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        given(rows, "examples")
    assert "checked by gsm8k-numeric" in caplog.text


def raises(text: str) -> float:
    return 1 / len(text.split("7")[1:])


class Many:
    def __call__(self, text: str) -> float:
        raise AssertionError(text)

    def many(self, texts: list[str]) -> list[float]:
        return [raises(text) for text in texts]


@pytest.mark.parametrize("verifier", [raises, Many(), lambda text: raises(text)])
def test_a_verifier_that_raises_is_named_with_its_error_as_cause(verifier: Any) -> None:
    """Catches a traceback of ours where the user's function is at fault, and a cause that is lost."""
    with pytest.raises(InputError, match=r"Verifier .* raised ZeroDivisionError \(division by zero\) on") as found:
        score_each([verifier] * 2, ["7", "no"])
    assert isinstance(found.value.__cause__, ZeroDivisionError)


def test_a_verifier_that_exits_does_not_end_the_process() -> None:
    def leaves(text: str) -> float:
        raise SystemExit(0)

    with pytest.raises(InputError, match="Verifier leaves raised SystemExit"):
        score_each([leaves], ["7"])


def test_ctrl_c_within_a_verifier_stays_ctrl_c() -> None:
    def waits(text: str) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_each([waits], ["7"])


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (lambda answer: 1 / 0, r"raised ZeroDivisionError .* on the answer '2'"),
        (lambda answer: 1.0, "made 1.0 of the answer '2'"),
        (lambda answer: None, "made None of the answer"),
        (5, "The verifier is 5: give a name"),
    ],
)
def test_a_function_of_answers_that_makes_no_verifier_is_named(factory: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        made(factory, "2")
