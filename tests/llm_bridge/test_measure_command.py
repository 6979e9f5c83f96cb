"""`bandit-rft measure` from end to end on a tiny model: the same numbers after a cut, one sentence for the rest."""

import csv
import json
import math
from pathlib import Path

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bandit_rft.cli import main
from bandit_rft.errors import InputError
from bandit_rft.settings.options import places_of as places
from llm_bridge import load_model, measure, verifiers
from llm_bridge.data import datasets
from llm_bridge.measuring import scan
from llm_bridge.measuring.evaluate import wilson
from tests.bandit_rft import tiny_folder

QUESTIONS = [("1+1=?", "2"), ("what is 2+2?", "4"), ("5-2=?", "3"), ("9-8=?", "1"), ("0+7=?", "7"), ("3+3", "6")]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_folder.write(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows = [
        {"prompt": [{"role": "user", "content": question}], "reward_model": {"style": "rule", "ground_truth": answer}}
        for question, answer in QUESTIONS
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "questions.parquet")


def options(tiny: str, *more: str) -> list[str]:
    return ["measure", "--model", tiny, "--data", "questions.parquet", "--max-tokens", "3", *more]


SCAN = ("--scan", "--samples", "64", "--indices", "0:6")


def test_a_scan_that_was_cut_continues_to_the_same_numbers(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches keys that depend on the order or on where a scan was cut, a row made twice, and half a line kept."""
    assert main(options(tiny, *SCAN, "--out", "whole", "--wanted", "0.1")) == 0
    said = capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "whole" / "scan.jsonl").read_text().splitlines()]
    assert [row["index"] for row in rows] == [0, 1, 2, 3, 4, 5]
    for row in rows:
        assert (row["low"], row["high"]) == wilson(row["successes"], 64)
        assert row["p0"] == row["successes"] / 64
    assert len({row["successes"] for row in rows}) > 1
    best = min(
        rows, key=lambda row: abs(math.log((row["successes"] + 0.5) / (64.5 - row["successes"])) - math.log(1 / 9))
    )
    assert f"Nearest to p0 = 0.1: question {best['index']} " in said

    original, made = scan.evaluate, []

    def cut(*arguments, **named):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(1)
        return original(*arguments, **named)

    monkeypatch.setattr(scan, "evaluate", cut)
    assert main(options(tiny, *SCAN, "--out", "cut")) == 130
    with (tmp_path / "cut" / "scan.jsonl").open("a") as file:
        file.write('{"index":2,"p')
    monkeypatch.setattr(scan, "evaluate", original)
    assert main(options(tiny, *SCAN, "--out", "cut")) == 0
    for name in ("scan.jsonl", "table.csv", "table.md"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    # Another order and other neighbours, and the rows are the same.
    assert main(options(tiny, "--scan", "--samples", "64", "--indices", "4,1", "--out", "two")) == 0
    assert [json.loads(line) for line in (tmp_path / "two" / "scan.jsonl").read_text().splitlines()] == [
        rows[4],
        rows[1],
    ]
    table = list(csv.DictReader((tmp_path / "whole" / "table.csv").open()))
    assert [(int(row["index"]), float(row["p0"])) for row in table] == [(row["index"], row["p0"]) for row in rows]
    shown = (tmp_path / "whole" / "table.md").read_text().splitlines()[2:]
    shares = [float(line.split("|")[2]) for line in shown]
    assert shares == sorted(shares, reverse=True)
    manifest = json.loads((tmp_path / "whole" / "manifest.json").read_text())
    assert manifest["finished"]
    assert manifest["verifier_counts"]["timeouts"] == 0


@pytest.mark.slow
def test_a_scans_row_is_the_policys_share(tiny: str) -> None:
    """The share of 512 samples against the exact probability of the right answers: within 4.5 standard errors."""
    model = load_model(tiny)
    data = datasets.load("questions.parquet")
    (row,) = scan.scan(model, [(2, data.example(2))], key=jax.random.key(0), samples=512, max_tokens=1, batch=64)
    rollouts = model.generate(data.example(2).prompt, rollouts=4096, max_tokens=1, key=jax.random.key(1))
    check = verifiers.make("gsm8k-numeric", "3")
    p = np.mean([check(text) for text in rollouts.text])
    assert abs(row.p0 - p) < 4.5 * math.sqrt(p * (1 - p) * (1 / 512 + 1 / 4096))


def test_the_shortest_questions_and_the_nearest(tiny: str) -> None:
    data = datasets.load("questions.parquet")
    assert scan.shortest(data, range(6), 3) == [5, 0, 2]
    rows = [
        scan.Row(index=i, p0=c / 32, low=0, high=1, successes=c, samples=32, truncated=0, mean_length=1)
        for i, c in enumerate((0, 2, 8, 8, 30))
    ]
    assert scan.nearest(rows, 0.25)[0].index == 2
    assert scan.nearest(rows, 0.9)[0].index == 4
    assert scan.nearest(rows, 0.01)[0].index == 0


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [("0:3", 9, [0, 1, 2]), ("7:20", 9, [7, 8]), (":2", 9, [0, 1]), ("0:9:4", 9, [0, 4, 8]), ("5,1,5", 9, [5, 1])],
)
def test_places(text, length, expected):
    assert places(text, length) == expected


@pytest.mark.parametrize("text", ["", "a", "3:1", "9:", "-1:3", "1,,2", "1:2:0", "1.5"])
def test_places_that_name_nothing(text):
    with pytest.raises(InputError, match="names no question"):
        places(text, 9)


def test_one_question_is_measured_as_the_library_does(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """p0, κ and its error are `llm_bridge.measuring.measure`'s under the key of a fine-tuning run's own measurement."""
    from bandit_rft.keys import Purpose

    (tmp_path / "rule.py").write_text("def odd(text, answer):\n    return float(len(text) % 2)\n")  # p0 about a half
    command = options(
        tiny, "--index", "2", "--rollouts", "48", "--key", "3", "--out", "one", "--verifier", "rule.py:odd"
    )
    assert main(command) == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "one" / "measurement.json").read_text())
    example = datasets.load("questions.parquet").example(2)
    expected = measure(
        load_model(tiny),
        example.prompt,
        verifiers.make("rule.py:odd", "3"),
        key=jax.random.fold_in(jax.random.key(3), Purpose.MEASUREMENT),
        max_tokens=3,
        rollouts=48,
        batch=32,
    )
    assert found["successes"] == expected.successes
    assert found["kappa"] == pytest.approx(expected.kappa, rel=1e-6)
    assert f"p0 = {expected.p0:.4f}" in said
    assert f"kappa = {expected.kappa:.4g} ± " in said
    config = json.loads((tmp_path / "one" / "config.json").read_text())
    assert (config["command"], config["verifier"]) == ("measure", "rule.py:odd")
    assert main(command) == 0  # from the file, without a model
    assert f"p0 = {expected.p0:.4f}" in capsys.readouterr().out
    # Catches numbers of other questions, or of another verifier, that are shown as if they were of these.
    (tmp_path / "rule.py").write_text("def odd(text, answer):\n    return 1.0\n")
    assert main(command) == 2
    assert "rule.py of the verifier rule.py:odd is not what the measurement in one began" in capsys.readouterr().err
    (tmp_path / "rule.py").write_text("def odd(text, answer):\n    return float(len(text) % 2)\n")
    rows = pq.read_table(tmp_path / "questions.parquet").to_pylist()
    pq.write_table(
        pa.Table.from_pylist([row | {"reward_model": {"ground_truth": "99"}} for row in rows]),
        tmp_path / "questions.parquet",
    )
    assert main(command) == 2
    assert "of questions.parquet is not what the measurement in one began with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--index", "6"), "No example 6"),
        (("--scan", "--indices", "8:9"), "names no question of the 6"),
        (("--scan", "--indices", "7"), "No example 7"),
        (("--wanted", "0.5"), "add --scan"),
        (("--scan", "--wanted", "1"), "strictly between"),
        (("--confidence", "1"), "--confidence"),
        (("--verifier", "magic"), "No verifier 'magic'"),
        (("--template", "magic"), "no such"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(
    tiny: str, more: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(options(tiny, *more)) == 2
    said = capsys.readouterr().err
    assert message in said or (message == "no such" and "The template 'magic'" in said)
    assert said.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_several_questions_are_measured_with_their_trees(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches trees that are kept of one question alone, and a second measurement where the folder holds one."""
    asked = options(tiny, "--tree", "--index", "0,2", "--rollouts", "64", "--out", "both")
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "on questions 0, 2 of" in said
    record = json.loads((tmp_path / "both" / "measurement.json").read_text())
    assert len(record["questions"]) == 2
    assert record["successes"] == sum(one["successes"] for one in record["questions"])
    assert record["tree"]["edges"] > 2
    assert main(asked) == 0
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (("--index", "0,2"), "--tree"),
        (("--tree", "--index", "0,0"), "twice"),
        (("--tree", "--index", ",".join(map(str, range(17)))), "16 at most"),
    ],
)
def test_several_questions_that_have_no_law_are_refused(
    tiny: str, more: tuple[str, ...], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options(tiny, *more, "--out", "none")) == 2
    assert word in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
