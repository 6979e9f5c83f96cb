"""GSM8K's rules: a corpus for the numeric one, verl's two written anew, every GSM8K answer, and near misses."""

import itertools
import random
import re
import time
from fractions import Fraction
from pathlib import Path

import pytest

from bandit_rft.errors import InputError
from llm_bridge import verifiers
from llm_bridge.verifiers import numerals

from .gsm8k_corpus import ANSWERS, CASES

KINDS = Path(__file__).with_name("gsm8k_kinds.tsv")


def test_the_corpus_is_judged_as_by_hand():
    """Catches a number that is cut ("1 000", "2.5e3", "1/2"), a remark, a unit or a next question taken for the answer,
    and a fallback to another number."""
    wrong = [
        (gold, text[-80:], right, why)
        for gold, text, right, why in CASES
        if verifiers.make("gsm8k-numeric", gold)(text) != right
    ]
    assert wrong == []
    assert len(CASES) >= 600


def test_the_kinds_of_faults_are_judged_as_by_hand():
    """Catches a rule that lets a neighbour of a mended string through: each kind has its strings, what must earn among
    them."""
    rows = [
        row.split("\t") for row in KINDS.read_text(encoding="utf-8").splitlines() if row and not row.startswith("#")
    ]
    wrong = [
        (right, gold, text)
        for right, gold, text in rows
        if verifiers.make("gsm8k-numeric", gold)(text.replace("⏎", "\n")) != float(right)
    ]
    assert wrong == []
    assert len(rows) > 300


def test_near_misses_never_earn_in_the_same_dress():
    """Catches a reward for another number: one more, the other sign, ten times; for every form that earns."""
    for gold, tail, _ in ANSWERS:
        value = numerals.as_number(gold)
        assert value is not None
        for near in (value + 1, value - 1, -value, value * 10, value / 10):
            verifier = verifiers.GSM8K(answer=f"{near.numerator}/{near.denominator}")
            assert verifier(f"#### {tail}" if tail[:1] not in "\r\n" else f"####{tail}") == 0.0, (near, tail)


def test_a_remark_after_the_answer_is_not_the_answer():
    """Catches the number of the remark being rewarded in the answer's place."""
    text = "#### 42 (that is 6*7)"
    assert verifiers.make("gsm8k-numeric", "42")(text) == 1.0
    assert verifiers.make("gsm8k-numeric", "7")(text) == 0.0


def verl_compute_score(solution: str, truth: str, method: str) -> float:
    """verl's published rule, written anew with a scanner in the place of its expressions."""
    clip = solution[-300:] if len(solution) > 300 else solution
    runs, place = [], 0
    while place < len(clip):
        mark = method == "strict" and clip.startswith("#### ", place)
        at = place + 5 if mark else place
        if method == "strict" and not mark:
            place += 1
            continue
        end = at + clip.startswith("-", at)
        body = end
        while end < len(clip) and clip[end] in "0123456789.,":
            end += 1
        if end == body:
            place += 1
            continue
        runs.append(clip[at:end])
        place = end
    if method == "strict":
        answer = runs[-1].replace(",", "").replace("$", "") if runs else None
    else:
        answer = None
        for answer in reversed(runs):
            if answer not in ("", "."):
                break
    return 0.0 if answer is None else float(answer == truth)


def test_strict_and_flexible_are_verls_to_the_letter():
    """20,000 random texts with golds cut from them, by both rules; verl rewards no refused gold but "" and "."."""
    generator = random.Random(0)
    earned = 0
    for _ in range(20_000):
        text = "".join(generator.choices(["#### ", *"#0123456789.,-$ a"], k=generator.randint(0, 24)))
        text += "a" * generator.choice([0, 0, 0, 280, 300])
        pieces = re.findall(r"-?[0-9.,]+", text) or ["7"]
        golds = [generator.choice(pieces), generator.choice(pieces).replace(",", ""), str(generator.randint(0, 9))]
        for gold, method in itertools.product(golds, ("strict", "flexible")):
            expected = verl_compute_score(text, gold, method)
            try:
                verifier = verifiers.make(f"gsm8k-{method}", gold)
            except InputError:
                assert expected == 0.0 or gold in ("", ".")
                continue
            assert verifier(text) == expected, (method, gold, text)
            earned += expected
    assert earned > 5_000


@pytest.mark.parametrize(
    ("rule", "gold", "words"),
    [
        ("strict", "1,234", "give it as '1234', or use the rule 'numeric'"),
        ("strict", " 1234", "give it as '1234'"),
        ("strict", "1234 ", "give it as '1234'"),
        ("strict", "1234\n", "give it as '1234'"),
        ("strict", "$5", "give it as '5'"),
        ("strict", "1/2", "give it as '0.5'"),
        ("strict", "1/3", ": use the rule 'numeric'"),
        ("strict", "+5", "give it as '5'"),
        ("strict", "−5", "give it as '-5'"),
        ("strict", "2.5e3", "give it as '2500'"),
        ("strict", "72 apples", ": use a GSM8K question"),
        ("strict", "7" * 296, ": use the rule 'numeric'"),
        ("flexible", " 1234", "give it as '1234'"),
        ("flexible", "1 234", "give it as '1234'"),
        ("flexible", "$5", "give it as '5'"),
        ("flexible", "-1/2", "give it as '-0.5'"),
        ("flexible", ".", ": use a GSM8K question"),
        ("flexible", "five", ": use a GSM8K question"),
        ("flexible", "7" * 301, ": use a GSM8K question"),
        ("numeric", "12-15", "is not a number"),
        ("numeric", "3 4", "is not a number"),
        ("numeric", "1,00", "is not a number"),
        ("numeric", "1e999999999", "is not a number"),
    ],
)
def test_an_answer_that_a_rule_can_never_read_is_refused_with_the_form_that_it_can(rule, gold, words):
    """Catches a question on which no response can ever earn, silently."""
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        verifiers.make(f"gsm8k-{rule}", gold)
    assert "\n" not in str(caught.value)


def test_answers_of_strings_that_can_be_read_are_taken():
    assert verifiers.make("gsm8k-flexible", "1,234")("it is 1,234") == 1.0
    assert verifiers.make("gsm8k-strict", "7" * 295)("#### " + "7" * 295) == 1.0
    assert verifiers.make("gsm8k-strict", "72.")("#### 72.") == 1.0


def test_values_are_compared_exactly():
    assert numerals.as_number("1e-400") == Fraction(1, 10**400)
    assert verifiers.make("gsm8k-numeric", "1/3")("#### 0.3333333333333333") == 0.0
    assert verifiers.make("gsm8k-numeric", "0.1")("#### 0.1000000000000000055511151231257827") == 0.0


HOSTILE = [
    "a",
    "ab ",
    "9 h ",
    "9",
    ",",
    "#",
    " ",
    "1 000 ",
    "1,",
    "1/",
    "1e9",
    "#### ",
    "\n1. A",
    "-",
    "(1",
    "1*",
    "= 1 ",
    "and 1 ",
    "½",
    "x1",
    "{",
    "1 h ",
    "1 and a half ",
    "=1, ",
    "since 1,",
    " (1",
    "In 5, ",
    "1 or ",
    "to a 1 ",
    "as many ",
    "the 1 and ",
    "\\[\n",
    "\n2. A",
    "minus ",
    "1. Or ",
    "答1",
    "1万",
    "是1个或",
    "1 or ",
    "not a ",
    "1 is very ",
    ", no",
    "it is not 1 ",
    "\nWait, ",
    " (1)",
    "(1) ",
    "1. ",
    "- wait ",
]


@pytest.mark.parametrize("head", ["", "#### ", "#### 1"])
@pytest.mark.parametrize("part", HOSTILE)
def test_a_million_hostile_characters_are_judged_at_once(part, head):
    """Catches an expression that backtracks, and a huge integer that is built."""
    verifier = verifiers.make("gsm8k-numeric", "7")
    text = head + part * (10**6 // len(part))
    start = time.process_time()
    assert verifier(text) == 0.0
    assert verifier(text + " a") == 0.0
    assert time.process_time() - start < 0.2


def test_a_factorial_is_not_cut_off_before_its_value():
    """Catches "5! = 120" read as 5: an exclamation mark ends a clause only where no equation follows."""
    assert verifiers.make("gsm8k-numeric", "5")("#### 5! = 120") == 0.0
    assert verifiers.make("gsm8k-numeric", "72")("#### 72!") == 1.0


def test_random_text_never_raises():
    """30,000 texts of the grammar's own pieces: each has a value or none."""
    generator = random.Random(1)
    pieces = [
        "#### ",
        "\n",
        " ",
        "7",
        "10",
        "000",
        ",",
        ".",
        "-",
        "/",
        "e",
        "x",
        "^",
        "*",
        "$",
        "{",
        "}",
        "(",
        ")",
        "=",
    ]
    pieces += [
        "\\frac",
        "\\,",
        "{,}",
        "½",
        "and ",
        "\\boxed",
        "million",
        " hour ",
        "%",
        ":",
        "_",
        "−",
        "٧",
        "²",
        "\ud800",
    ]
    for _ in range(30_000):
        text = "".join(generator.choices(pieces, k=generator.randint(0, 14)))
        value = verifiers.extract_number(text)
        assert value is None or isinstance(value, Fraction)
        numerals.as_number(text)


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_gsm8k_answer_verifies_itself_and_no_near_miss(shared_data, split):
    """All 8,792 answers by the three rules, in the plain forms, and with one more, the other sign and ten times."""
    from llm_bridge.data import datasets

    for example in datasets.load(shared_data / "gsm8k", split=split):
        gold = example.ground_truth
        for rule in ("strict", "flexible", "numeric"):
            verifier = verifiers.make(f"gsm8k-{rule}", gold)
            assert verifier(f"because.\n#### {gold}") == 1.0
            assert verifier(f"#### {gold}1") == 0.0
        numeric = verifiers.make("gsm8k-numeric", gold)
        for form in (
            "The answer is {}.",
            "#### {}.",
            "#### **{}**",
            "#### ${}$",
            "#### \\boxed{{{}}}",
            "so it is {} km",
        ):
            assert numeric(form.format(gold)) == 1.0
            for near in {int(gold) + 1, -int(gold), int(gold) * 10} - {int(gold)}:
                assert numeric(form.format(near)) == 0.0
        assert numeric(f"#### {int(gold):,}") == numeric(f"#### {int(gold):_}".replace("_", " ")) == 1.0
