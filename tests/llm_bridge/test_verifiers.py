"""Verifiers: verl's golden cases, worked out by hand from its published rules, and hostile text."""

import dataclasses
import pickle
import time

import pytest

from bandit_rft.errors import InputError
from llm_bridge import verifiers

# text, ground truth, reward by (strict, flexible, numeric): by hand from verl's gsm8k.py (numeric: our docstring).
GOLDEN = [
    ("#### 72", "72", (1, 1, 1)),
    ("so 48 + 24 = 72.\n#### 72", "72", (1, 1, 1)),
    ("#### 72.", "72", (0, 0, 1)),  # the trailing period is part of verl's number
    ("The answer is 72.", "72", (0, 0, 1)),
    ("The answer is 72", "72", (0, 1, 1)),
    ("#### 1,000", "1000", (1, 0, 1)),  # strict removes commas, flexible does not
    ("#### $1000", "1000", (0, 1, 1)),  # the dollar sign keeps strict's expression from matching
    ("#### 5 then #### 7", "7", (1, 1, 1)),  # the last one
    ("#### 5 then #### 7", "5", (0, 0, 0)),
    ("#### 5, since 2 + 3 = 5", "5", (1, 1, 1)),
    ("####5", "5", (0, 1, 1)),  # strict wants the space
    ("#### -3", "-3", (1, 1, 1)),
    ("10-3", "-3", (0, 1, 0)),  # the sign belongs to the number in verl; to ours it is a difference
    ("it is 7 . ", "7", (0, 1, 1)),  # a lone "." is passed over
    ("it is 7 , yes", "7", (0, 0, 1)),  # a lone "," is a number to verl, and not to us
    ("it is 7, which, I think, is right", "7", (0, 0, 1)),
    ("#### 7.0", "7", (0, 0, 1)),
    ("#### 007", "7", (0, 0, 1)),
    ("7...", "7", (0, 0, 1)),
    ("#### 4.2.0", "4.2", (0, 0, 0)),
    ("#### 7,2", "72", (1, 0, 0)),  # strict drops any comma; ours reads only thousands
    ("#### 12,34,567", "1234567", (1, 0, 0)),
    ("#### .5", "0.5", (0, 0, 1)),
    ("1e3", "1000", (0, 0, 1)),
    ("٧", "7", (0, 0, 0)),  # another script's digit
    ("７", "7", (0, 0, 1)),
    ("no number", "7", (0, 0, 0)),
    ("", "7", (0, 0, 0)),
    ("....", "7", (0, 0, 0)),
    ("#### 7" + "x" * 294, "7", (1, 1, 1)),  # 300 characters: inside the window
    ("#### 7" + "x" * 295, "7", (0, 1, 1)),  # 301: the first '#' is cut off
    ("#### 7" + "x" * 300, "7", (0, 0, 1)),  # ours finds the mark anywhere
    ("#### 7\x00\u202e", "7", (1, 1, 1)),
]


@pytest.mark.parametrize(("text", "truth", "expected"), GOLDEN)
def test_golden_cases(text, truth, expected):
    found = tuple(verifiers.make(f"gsm8k-{rule}", truth)(text) for rule in ("strict", "flexible", "numeric"))
    assert found == expected
    assert all(isinstance(reward, float) for reward in found)


@pytest.mark.parametrize(
    "text",
    [
        "9" * 10**6,
        "#" * 10**6,
        "#### " * 2 * 10**5,
        ",." * 5 * 10**5,
        "-" * 10**6,
        "\x00\u202e\u2066" * 3 * 10**5,
        "\ud800" * 10**6,
    ],
    ids=["digits", "hashes", "marks", "points", "minus", "bidi", "surrogates"],
)
@pytest.mark.parametrize("name", [name for name in verifiers.names() if name != "math-verify"])
def test_hostile_text_is_judged_at_once(name, text):
    verifier = verifiers.make(name, "7")
    start = time.perf_counter()
    assert verifier(text) == 0.0
    assert time.perf_counter() - start < 0.2


def test_numbers_longer_than_float_are_told_apart():
    # Floats hold 53 bits: a float comparison would call these equal.
    verifier = verifiers.GSM8K(answer="9007199254740993")
    assert verifier("#### 9007199254740992") == 0.0
    assert verifier("#### 9,007,199,254,740,993.00") == 1.0


def test_frozen_and_picklable():
    verifier = verifiers.GSM8K(answer="7", rule="strict")
    assert pickle.loads(pickle.dumps(verifier)) == verifier
    with pytest.raises(dataclasses.FrozenInstanceError):
        verifier.answer = "8"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("name", "truth", "words"),
    [
        ("gsm8k", "7", "gsm8k-strict, gsm8k-flexible, gsm8k-numeric"),
        ("gsm8k-numeric", "x + 1", "'x \\+ 1' is not a number"),
        ("gsm8k-numeric", "nan", "not a number"),
        ("gsm8k-strict", "  ", "empty"),
    ],
)
def test_unusable_input_is_refused_in_a_sentence(name, truth, words):
    with pytest.raises(InputError, match=words):
        verifiers.make(name, truth)
    with pytest.raises(InputError, match="No GSM8K rule"):
        verifiers.GSM8K(answer="7", rule="fuzzy")  # pyright: ignore[reportArgumentType]


def test_every_gsm8k_answer_verifies_itself(shared_data):
    from llm_bridge.data import datasets

    for example in datasets.load(shared_data / "gsm8k", split="test"):
        for name in ("gsm8k-strict", "gsm8k-flexible", "gsm8k-numeric"):
            verifier = verifiers.make(name, example.ground_truth)
            assert verifier(f"because.\n#### {example.ground_truth}") == 1.0
            assert verifier(f"#### {example.ground_truth}1") == 0.0


THOUGHT = [
    ("<think>Is it {wrong}?</think>\n{right}", 1),
    ("Is it {wrong}?</think>\n{right}", 1),  # the prompt opened the thinking
    ("<think>{wrong}</think><think>{wrong}</think>{right}", 1),
    ("<think>It is {right}.</think>\nI do not know.", 0),
    ("<think>It is {right}.</think>\n{wrong}", 0),
    ("<think>It is {right}", 0),  # cut off
    ("{right}<think>or {wrong}", 0),
    ("<think>It is {right}.</think>", 0),
]


@pytest.mark.parametrize(("text", "expected"), THOUGHT)
@pytest.mark.parametrize("name", ["gsm8k-numeric", "math-verify"])
def test_only_what_stands_behind_the_thinking_is_judged(name, text, expected):
    """Catches a reward for a number that a response only thought of, or was thinking of when it was cut off."""
    form = "\\boxed{{{}}}" if name.startswith("math") else "#### {}"
    filled = text.replace("{right}", form.format(7)).replace("{wrong}", form.format(8))
    assert verifiers.make(name, "7")(filled) == expected


@pytest.mark.parametrize("name", ["gsm8k-strict", "gsm8k-flexible", "math-boxed", "regex:(\\d+)"])
def test_verl_s_rules_and_the_user_s_expression_see_all_of_a_response(name):
    """verl's rules are verl's to the letter: a response that was cut off while it thought may earn."""
    form = "\\boxed{7}" if name.startswith("math") else "#### 7"
    assert verifiers.make(name, "7")(f"<think>It is {form}") == 1.0
