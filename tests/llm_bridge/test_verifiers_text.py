"""Exact match, the user's expression, the user's function; and how a round of responses is handed to a verifier."""

import pickle
from pathlib import Path

import pytest

from bandit_rft.errors import InputError
from llm_bridge import verifiers
from llm_bridge.bandits.text_rewards import score, score_each

FUNCTIONS = Path(__file__).with_name("hostile_function.py")


@pytest.mark.parametrize(
    ("text", "exact", "casefold"),
    [
        ("Paris", 1, 1),
        (" Paris\n", 1, 1),
        ("paris", 0, 1),
        ("PARIS", 0, 1),
        ("Paris.", 0, 0),
        ("in Paris", 0, 0),
        ("", 0, 0),
        ("Paris\x00", 0, 0),
    ],
)
def test_exact_match(text, exact, casefold):
    assert verifiers.make("exact", "Paris")(text) == exact
    assert verifiers.make("exact-casefold", "Paris")(text) == casefold


def test_exact_match_with_spaces_and_long_folds():
    assert verifiers.Exact(answer="a ", strip=False)("a") == 0.0
    assert verifiers.Exact(answer="a ", strip=False)("a ") == 1.0
    assert verifiers.make("exact-casefold", "Straße")("STRASSE") == 1.0  # one letter folds to two
    assert verifiers.make("exact-casefold", "ﬃ")("FFI") == 1.0  # and one to three


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"answer is (\d+)", "the answer is 7.", 1),
        (r"answer is (\d+)", "the answer is 8, no, the answer is 7", 1),  # the last match
        (r"answer is (\d+)", "the answer is 7, no, the answer is 8", 0),
        (r"(\w+) is (?P<answer>\d+)", "x is 7", 1),  # the named group before the first
        (r"\d+", "3 then 7", 1),  # no group: all of it
        (r"<a>(.*?)</a>", "<a> 7 </a>", 1),
        (r"<a>(.*?)</a>", "<a>77</a>", 0),
        (r"(x)?7", "7", 0),  # a group that took no part
        (r"never", "7", 0),
        (r"^7$", "7", 1),
        (r"(\d+)", "7" + "x" * 30_000, 0),  # outside the window
    ],
)
def test_the_users_expression(pattern, text, expected):
    assert verifiers.make(f"regex:{pattern}", "7")(text) == expected


def test_an_expression_folds_capitals_where_asked():
    assert verifiers.Regex(pattern=r"(\w+)$", answer="Paris", casefold=True)("PARIS") == 1.0
    assert verifiers.Regex(pattern=r"(\w+)$", answer="Paris")("PARIS") == 0.0


def test_the_users_function(monkeypatch, tmp_path):
    verifier = verifiers.make(f"{FUNCTIONS}:equal", "7")
    assert (verifier(" 7 "), verifier("8")) == (1.0, 0.0)
    assert pickle.loads(pickle.dumps(verifier)) == verifier
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_rule_for_a_test.py").write_text("def right(text, answer):\n    return 2.0 * (text == answer)\n")
    assert verifiers.make("my_rule_for_a_test:right", "7")("7") == 2.0  # found in the working folder
    assert verifiers.make("operator:eq", "7")("7") is True


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.py:f", "no file absent.py"),
        ("no_such_module_here:f", "no_such_module_here cannot be imported .ModuleNotFoundError"),
        (f"{FUNCTIONS}:absent", "has no function or class 'absent'"),
        (f"{FUNCTIONS}:number", "has no function or class 'number'"),
        ("operator:", "has no module or no name"),
        (":f", "has no module or no name"),
        ("regex:(", "is not one .*missing \\)"),
        ("magic", "No verifier 'magic': choose one of gsm8k-strict"),
    ],
)
def test_unusable_names_are_refused_in_a_sentence(name, words):
    with pytest.raises(InputError, match=words) as caught:
        verifiers.make(name, "7")
    assert "\n" not in str(caught.value)


def test_what_the_users_function_raises_is_one_sentence():
    with pytest.raises(
        InputError, match=r"raised ZeroDivisionError \(no way\) on a response of 3 characters"
    ) as caught:
        verifiers.make(f"{FUNCTIONS}:broken", "7")("abc")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="gave None for rollout 0"):
        score(verifiers.make(f"{FUNCTIONS}:nothing", "7"), ["abc"])


@pytest.mark.parametrize("name", ["math-verify", "math-boxed", "exact", "regex:(.*)", f"{FUNCTIONS}:equal"])
def test_verifiers_are_picklable_and_hashable(name):
    verifier = verifiers.make(name, "7")
    assert pickle.loads(pickle.dumps(verifier)) == verifier
    assert len({verifier, verifiers.make(name, "7"), verifiers.make(name, "8")}) == 2


def test_a_batch_of_mixed_verifiers_keeps_its_order():
    """Catches rewards that go to another response's place."""
    checks = [verifiers.make(name, "7") for name in ("exact", "math-verify", "regex:(\\d+)", "math-verify", "exact")]
    texts = ["7", "\\boxed{7.0}", "no 8", "\\boxed{8}", "7.0"]
    assert score_each(checks, texts).tolist() == [1, 1, 0, 0, 0]
    assert score(checks[1], ["\\boxed{8}", "\\boxed{14/2}", ""]).tolist() == [0, 1, 0]


def test_a_verifier_of_the_users_own_may_take_all_responses_at_once():
    class Many:
        calls = 0

        def __call__(self, text: str) -> float:
            raise AssertionError("called one by one")

        def many(self, texts: list[str]) -> list[float]:
            self.calls += 1
            return [float(len(text)) for text in texts][: self.keep]

        keep = 9

    verifier = Many()
    assert score(verifier, ["a", "bb", ""]).tolist() == [1, 2, 0]
    assert verifier.calls == 1
    verifier.keep = 2
    with pytest.raises(InputError, match="gave 2 rewards for 3 responses"):
        score(verifier, ["a", "bb", ""])
