"""MATH's verifiers: a corpus and a table judged by hand, math-verify called directly, verl's rule worked out by hand,
and every ground truth of MATH against itself in many a dress and against near misses."""

import logging
import os
import random
import re
import signal
from pathlib import Path

import pytest

from bandit_rft.errors import InputError
from llm_bridge import verifiers
from llm_bridge.verifiers import boxed, dress, exact, naming, pool

# ground truth, answer, equal as mathematics, equal to verl's rule on strings (worked out from its published steps)
PAIRS = [
    # numbers
    ("5", "5", 1, 1),
    ("5", "6", 0, 0),
    ("5", "5.0", 1, 0),
    ("5", "05", 1, 0),
    ("-3", "3", 0, 0),
    ("-3", "- 3", 1, 1),
    ("0.5", ".5", 1, 1),
    ("0.25", ".25", 1, 1),
    ("1000", "1,000", 1, 0),
    ("10000", "10{,}000", 1, 0),
    ("2^{10}", "1024", 1, 0),
    ("1024", "2^{11}", 0, 0),
    ("3.14159", "\\pi", 0, 0),
    ("720", "6!", 1, 0),
    # fractions
    ("\\frac{1}{2}", "\\dfrac{1}{2}", 1, 1),
    ("\\frac{1}{2}", "\\tfrac{1}{2}", 1, 1),
    ("\\frac{1}{2}", "\\frac12", 1, 1),
    ("\\frac{1}{2}", "1/2", 1, 1),
    ("\\frac{1}{2}", "0.5", 1, 1),
    ("\\frac{1}{2}", "\\frac{2}{4}", 1, 0),
    ("\\frac{1}{2}", "\\frac{1}{3}", 0, 0),
    ("\\frac{1}{2}", "2", 0, 0),
    ("\\frac{3}{4}", "0.75", 1, 0),
    ("-\\frac{3}{4}", "\\frac{-3}{4}", 1, 0),
    ("-\\frac{3}{4}", "\\frac{3}{4}", 0, 0),
    ("\\frac{7}{3}", "2\\frac{1}{3}", 1, 0),
    ("\\frac{1}{72}", "\\frac1{72}", 1, 1),
    # roots and powers
    ("2\\sqrt{3}", "2\\sqrt3", 1, 1),
    ("2\\sqrt{3}", "\\sqrt{12}", 1, 0),
    ("2\\sqrt{3}", "3\\sqrt{2}", 0, 0),
    ("\\frac{1}{\\sqrt{2}}", "\\frac{\\sqrt{2}}{2}", 1, 0),
    ("\\sqrt[3]{8}", "2", 1, 0),
    ("\\sqrt{2}", "1.41", 0, 0),
    ("8^{1/3}", "2", 1, 0),
    # expressions
    ("x^2-1", "(x-1)(x+1)", 1, 0),
    ("x^2-1", "x^2+1", 0, 0),
    ("x+y", "y+x", 1, 0),
    ("x", "y", 0, 0),
    ("\\frac{x+1}{2}", "\\frac{1}{2}x+\\frac{1}{2}", 1, 0),
    ("2\\pi", "\\pi\\cdot 2", 1, 0),
    ("\\pi", "2\\pi", 0, 0),
    ("1+2i", "2i+1", 1, 0),
    ("1+2i", "1-2i", 0, 0),
    ("\\sin^2 x+\\cos^2 x", "1", 1, 0),
    ("\\log_2 8", "3", 1, 0),
    # equations: a short left side does not count
    ("5", "x=5", 1, 1),
    ("5", "x=6", 0, 0),
    ("y=2x+1", "y = 2x + 1", 1, 1),
    ("y=2x+1", "y=2x-1", 0, 0),
    # intervals, points, sets
    ("(1,2)", "(1, 2)", 1, 1),
    ("(1,2)", "(2,1)", 0, 0),
    ("[0,1]", "[0,1)", 0, 0),
    ("[0,1)", "\\left[0,1\\right)", 1, 1),
    ("(-\\infty,3)", "(-\\infty, 3)", 1, 1),
    ("(-\\infty,3]", "(-\\infty, 3)", 0, 0),
    ("(-\\infty,2)\\cup(3,\\infty)", "(3,\\infty)\\cup(-\\infty,2)", 1, 0),
    ("(0,\\frac{1}{2})", "(0, 0.5)", 1, 0),
    ("1,2,3", "3,2,1", 1, 0),
    ("1,2,3", "1,2", 0, 0),
    ("\\{1,2\\}", "\\{2,1\\}", 1, 0),
    ("\\{1,2\\}", "\\{1,3\\}", 0, 0),
    ("\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}", "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}", 1, 1),
    ("\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}", "\\begin{pmatrix} 1 & 2 \\\\ 4 & 3 \\end{pmatrix}", 0, 0),
    # units, degrees, money, per cent, text
    ("90", "90^\\circ", 1, 1),
    ("90^\\circ", "90", 1, 1),
    ("30^\\circ", "60^\\circ", 0, 0),
    ("12", "12\\text{ cm}", 1, 1),
    ("12", "13\\text{ cm}", 0, 0),
    ("18", "\\$18", 1, 1),
    ("18", "\\$81", 0, 0),
    ("25", "25\\%", 1, 1),
    ("25", "52\\%", 0, 0),
    ("\\text{Evelyn}", "\\text{Evelyn}", 1, 1),
    ("\\text{Evelyn}", "Evelyn", 1, 0),
    ("\\text{Evelyn}", "\\text{Angela}", 0, 0),
    ("\\text{(A)}", "\\text{(B)}", 0, 0),
    ("5", "\\text{no idea}", 0, 0),
    ("5", "", 0, 0),
]


def in_box(answer: str) -> str:
    return f"First 3, then 4. So the answer is $\\boxed{{{answer}}}$."


def test_the_table_is_judged_as_by_hand():
    """Catches a verifier that lets wrong answers through, or loses right ones to notation."""
    wrong = [
        (truth, answer, found)
        for truth, answer, expected, _ in PAIRS
        if (found := verifiers.make("math-verify", truth)(in_box(answer))) != expected
    ]
    assert wrong == []
    assert len(PAIRS) >= 60


@pytest.mark.parametrize(("truth", "answer", "_", "expected"), PAIRS)
def test_the_table_by_verls_rule(truth, answer, _, expected):
    assert verifiers.make("math-boxed", truth)(in_box(answer)) == expected


def test_the_workers_say_what_math_verify_says_in_process():
    """Catches a worker whose confinement (no eval, no lambdify) changes verdicts: each pair directly, and wrongly
    paired, in both ways."""
    from math_verify import LatexExtractionConfig, parse, verify

    generator = random.Random(0)
    pairs = [(truth, answer) for truth, answer, _, _ in PAIRS if answer]
    answers = [answer for _, answer in pairs]
    pairs += [(truth, generator.choice(answers)) for truth, _ in pairs]
    settings = [LatexExtractionConfig(boxed_match_priority=0)]
    logging.disable(logging.CRITICAL)
    try:
        direct = [
            answer.strip() == truth.strip()
            or verify(
                parse(f"\\boxed{{{truth}}}", settings, parsing_timeout=0),
                parse(f"\\boxed{{{answer}}}", settings, parsing_timeout=0),
                timeout_seconds=0,
            )
            for truth, answer in pairs
        ]
    finally:
        logging.disable(logging.NOTSET)
    ours = verifiers.rewards([verifiers.MathVerify(answer=t) for t, _ in pairs], [in_box(a) for _, a in pairs])
    assert [pair for pair, a, b in zip(pairs, direct, ours, strict=True) if a != b] == []


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("\\boxed{5}", "5"),
        ("\\boxed{1} and \\boxed{2}", "2"),
        ("\\boxed{\\frac{1}{2}} done }", "\\frac{1}{2}"),
        ("\\boxed{\\boxed{7}}", "7"),
        ("\\boxed 5$ so", "5"),
        ("\\boxed{3} \\boxed 4$", "4"),
        ("\\fbox{6}", "6"),
        ("\\boxed{}", None),
        ("\\boxed{5} in \\boxed{}", "5"),
        ("\\boxed{{}}", None),
        ("\\boxed\n{5}", "5"),
        ("\\boxed{\\{1,2}", "\\{1,2"),
        ("\\boxed{5} or \\boxed", None),
        ("\\boxed{" + "1" * boxed.LONGEST + "}", "1" * boxed.LONGEST),
        ("\\boxed{" + "1" * (boxed.LONGEST + 1) + "}", None),
        ("\\boxed{1} then \\boxed{2", None),  # the last one was cut off: verl gives 0 too
        ("\\boxed", None),
        ("\\boxed5", "5"),
        ("5", None),
        ("", None),
    ],
)
def test_the_last_box(text, answer):
    assert verifiers.last_boxed(text) == answer


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("\\dfrac{3}{4}", "\\frac{3}{4}"),
        ("\\frac34", "\\frac{3}{4}"),
        ("\\frac3{4}", "\\frac{3}{4}"),
        ("3/4", "\\frac{3}{4}"),
        ("x/4", "x/4"),
        ("1/2/3", "1/2/3"),
        ("1 / 2", "\\frac{1}{2}"),
        ("\\sqrt5+\\sqrt{6}", "\\sqrt{5}+\\sqrt{6}"),
        ("x = 3", "3"),
        ("xyz = 3", "xyz=3"),
        ("10\\text{ dollars}", "10"),
        ("50\\%", "50"),
        ("\\$5", "5"),
        ("\\left( 1, 2 \\right)", "(1,2)"),
        (".5", "\\frac{1}{2}"),
        ("{.5}", "{0.5}"),
        ("1\\!000", "1000"),
        ("90^{\\circ}", "90"),
        ("\\frac", "\\frac"),
        ("", ""),
    ],
)
def test_normal_forms(answer, normal):
    """By hand from Hendrycks et al.'s published steps."""
    assert boxed.normalise(answer) == normal


def test_answers_that_cannot_be_normalised_are_compared_as_they_stand():
    for bad in ("\\sqrt", "1\\text{ a}\\text{ b}"):
        assert verifiers.make("math-boxed", bad)(f"\\boxed{{{bad}}}") == 1.0
        assert verifiers.make("math-boxed", bad)("\\boxed{2}") == 0.0


def truths(folder: Path) -> list[str]:
    """The different ground truths of MATH; two rows of its training split have none, and are refused."""
    from llm_bridge.data import datasets

    found, refused = set(), 0
    for split in ("train", "test"):
        data = datasets.load(folder / "math", split)
        for place in range(len(data)):
            try:
                found.add(data.example(place).ground_truth)
            except InputError:
                refused += 1
    assert refused == 2
    return sorted(found)


def test_every_math_answer_is_itself_as_a_string(shared_data):
    """All 4,340 different ground truths of MATH; and none of them is refused or too long."""
    for truth in truths(shared_data):
        text = in_box(truth)
        assert verifiers.last_boxed(text) == truth
        assert verifiers.make("math-boxed", truth)(text) == 1.0
        assert verifiers.make("math-verify", truth)(text) == 1.0


@pytest.mark.slow
def test_every_math_answer_is_itself_as_mathematics(shared_data):
    """By math-verify, without our shortcut for equal strings: all do (its own last resort compares strings too)."""
    every = truths(shared_data)
    found = pool.run([{"kind": "math", "gold": truth, "answer": truth} for truth in every], seconds=30.0)
    assert len(every) == 4340
    assert [truth for truth, reward in zip(every, found, strict=True) if reward != 1.0] == []


def test_a_ground_truth_that_no_answer_can_equal_is_refused():
    for name in ("math-verify", "math-boxed", "exact", "regex:(.*)"):
        with pytest.raises(InputError, match="empty"):
            verifiers.make(name, "  ")
    with pytest.raises(InputError, match="1001 characters"):
        verifiers.make("math-verify", "1" * 1001)
    with pytest.raises(InputError, match="time limit"):
        verifiers.MathVerify(answer="1", seconds=0)


def test_a_sigterm_to_the_whole_group_does_not_make_a_right_answer_wrong():
    """Catches a worker that dies of the signal that stops the run: its round would be resumed with other rewards."""
    worker = pool._Worker()
    try:
        os.kill(worker.process.pid, signal.SIGTERM)
        request = {"kind": "math", "gold": "\\frac12", "answer": "0.5", "seconds": 20.0}
        assert worker.ask(request, 25.0)["reward"] == 1
    finally:
        worker.close()


def corpus(name: str = "math_corpus.tsv") -> list[tuple[float, str, str, str]]:
    """Reward, ground truth, completion and reason of each case of a file; math_corpus.tsv's head says how to read."""
    found, reason = [], ""
    for line in Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            reason = line.removeprefix("## ")
        elif line and not line.startswith("#"):
            reward, truth, text, *own = line.split("\t")
            text = text.replace("⏎", "\n")
            if text.startswith("text:"):
                text = text.removeprefix("text:")
            elif "\\boxed" not in text and "\\fbox" not in text:
                text = f"$\\boxed{{{text}}}$"
            found.append((float(reward), truth, text, own[0] if own else reason))
    return found


@pytest.fixture(scope="module")
def corpus_rewards() -> list[float]:
    checks = [verifiers.MathVerify(answer=truth, seconds=30.0) for _, truth, _, _ in corpus()]
    return verifiers.rewards(checks, [text for _, _, text, _ in corpus()])


def test_the_corpus_is_judged_as_by_hand(corpus_rewards):
    """Catches each kind of wrong reward that users and public suites report: the box, dress, thousands, bases, …"""
    wrong = [case for case, found in zip(corpus(), corpus_rewards, strict=True) if case[0] != found]
    assert wrong == []
    assert len(corpus()) > 500


def test_the_kinds_of_faults_are_judged_as_by_hand():
    """Catches a rule that lets a neighbour of a mended string through: each kind has its strings, what must earn among
    them."""
    cases = corpus("math_kinds.tsv")
    checks = [verifiers.MathVerify(answer=truth, seconds=30.0) for _, truth, _, _ in cases]
    rewards = verifiers.rewards(checks, [text for _, _, text, _ in cases])
    assert [case for case, found in zip(cases, rewards, strict=True) if case[0] != found] == []
    assert len(cases) > 600


def test_no_case_of_the_corpus_is_judged_worse_than_by_bare_math_verify(corpus_rewards):
    """Called as its users do, on ground truth and completion as they stand: where it is right, so is ours."""
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    try:
        bare = [float(verify(parse(f"${truth}$"), parse(text))) for _, truth, text, _ in corpus()]
    finally:
        logging.disable(logging.NOTSET)
    cases = zip(corpus(), bare, corpus_rewards, strict=True)
    assert [case for case, theirs, ours in cases if theirs == case[0] != ours] == []


DRESSES = {
    "a space after the command": lambda truth: f"$\\boxed {{{truth}}}$",
    "a period": lambda truth: f"$\\boxed{{{truth}.}}$",
    "dollars": lambda truth: f"\\boxed{{${truth}$}}",
    "large fractions": lambda truth: "\\boxed{" + re.sub(r"\\d?frac", r"\\dfrac", truth) + "}",
    "bold": lambda truth: f"\\[\\boxed{{\\mathbf{{{truth}}}}}\\]",
    "an equals sign": lambda truth: f"$\\boxed{{= {truth}}}$",
    "a word before it": lambda truth: f"$\\boxed{{\\text{{Answer: }}{truth}}}$",
    "an empty box behind it": lambda truth: f"$\\boxed{{{truth}}}$, within \\boxed{{}}.",
}


@pytest.mark.parametrize("name", DRESSES)
def test_every_math_answer_is_itself_in_every_dress(shared_data, name):
    """All 4,340 different ground truths of MATH; fifteen of them were read as plain text by the grammar."""
    every = truths(shared_data)
    checks = [verifiers.MathVerify(answer=truth, seconds=30.0) for truth in every]
    found = verifiers.rewards(checks, [DRESSES[name](truth) for truth in every])
    assert [truth for truth, reward in zip(every, found, strict=True) if reward != 1.0] == []


APART = [r" \\quad ", "  ", r"\\text{, }", r"\\text{ }", r"\\$", r"\\text{ dollars }", r"^\\circ ", "$"]
BEFORE = [
    "x \\not= ",
    "-x = ",
    "2x+1 = ",
    "\\frac{1}{x} = ",
    "\\text{is not} = ",
    "\\text{negative: }",
    "\\text{half: }",
]
BEHIND = [
    "\\text{ + x}",
    "\\text{xy}",
    "\\text{ six}",
    "\\text{ less one}",
    "\\text{ halved}",
    "\\text{ dozen}",
    " of",
    "\\text{ or}",
]


def test_no_number_of_math_earns_for_another(shared_data):
    """Near misses of the numbers among MATH's answers: the sign, a digit, a further digit, dress between two digits,
    and what stands before or behind and says another thing. Decided exactly, so a wrong one that earns is a fault.
    """
    numbers = [truth for truth in truths(shared_data) if re.fullmatch(r"-?\d+|-?\\d?frac\{\d+\}\{\d+\}", truth)]
    assert len(numbers) > 1000
    for truth in numbers:
        last = str((int(re.findall(r"\d", truth)[-1]) + 1) % 10)
        misses = [re.sub(r"\d(?=\D*$)", last, truth), re.sub(r"(\d+)", r"\g<1>7", truth, count=1), truth + "+1"]
        misses += [truth + "t", truth + "_7", f"{truth}\\pi"]
        misses += [re.sub(r"(\d)(\d)", rf"\1{apart}\2", truth, count=1) for apart in APART if re.search(r"\d\d", truth)]
        misses += [before + truth for before in BEFORE] + [truth + behind for behind in BEHIND]
        misses += [truth.removeprefix("-") if truth.startswith("-") else "-" + truth] if truth != "0" else []
        gold = dress.plain(truth)
        found = [(miss, naming.unnamed(gold, dress.plain(miss))) for miss in misses]
        assert [miss for miss, answer in found if answer and exact.verdict(gold, answer)] == []
