"""Data sets: real GSM8K and MATH against pyarrow's own reading, generated questions against a solver, and bad files."""

import json
import os
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bandit_rft.errors import InputError
from llm_bridge import arithmetic, datasets, layouts, verifiers
from tests.llm_bridge.parquet_files import PROBLEM, math_row, row, write


@pytest.mark.parametrize(
    ("name", "split", "length"), [("gsm8k", "train", 7473), ("gsm8k", "test", 1319), ("math", "test", 5000)]
)
def test_real_data_reads_as_pyarrow_reads_it(shared_data, monkeypatch, name, split, length):
    monkeypatch.setenv(datasets.DATA_VARIABLE, str(shared_data))
    dataset = datasets.load(name, split=split)
    assert (len(dataset), dataset.source, dataset.split) == (length, name, split)
    rows = pq.read_table(shared_data / name / f"{split}.parquet").to_pylist()
    for index in (0, 1, 999, 1000, 1001, length - 1, 5):  # across row groups, and back
        example = dataset.example(index)
        assert list(example.prompt) == rows[index]["prompt"]
        assert example.ground_truth == example.answer == rows[index]["reward_model"]["ground_truth"]
        assert (example.index, example.data_source) == (index, rows[index]["data_source"])


def test_named_data_is_found_beside_the_checkout_or_refused(tmp_path, monkeypatch):
    monkeypatch.delenv(datasets.DATA_VARIABLE, raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(InputError, match=rf"{datasets.DATA_VARIABLE}.*parquet file or a hub id"):
        datasets.load("gsm8k")
    write(tmp_path / "shared" / "data" / "gsm8k" / "train.parquet", [row()])
    assert len(datasets.load("gsm8k")) == 1


def test_files_folders_and_shards(tmp_path):
    rows = [row(f"question {number}", str(number)) for number in range(7)]
    single = datasets.load(write(tmp_path / "one" / "mine.parquet", rows, row_group_size=2))
    assert (single.split, [example.ground_truth for example in single]) == (
        "mine",
        [str(number) for number in range(7)],
    )
    for place in ("", "data", "main"):
        folder = tmp_path / f"shards{place}"
        write(folder / place / "test-00000-of-00002.parquet", rows[:3])
        second = write(folder / place / "test-00001-of-00002.parquet", rows[3:])
        write(folder / place / "train.parquet", rows[:1])
        assert [example.ground_truth for example in datasets.load(folder, split="test")] == [
            str(number) for number in range(7)
        ]
        assert datasets.load(folder).example(0).data_source == str(folder)
        with pytest.raises(InputError, match="no split 'validation'"):
            datasets.load(folder, split="validation")
        second.unlink()
        with pytest.raises(InputError, match="1 of the 2 parts"):
            datasets.load(folder, split="test")


def test_raw_gsm8k_columns_give_what_verl_makes_of_them(tmp_path, shared_data):
    made = pq.read_table(shared_data / "gsm8k" / "test.parquet").slice(0, 50).to_pylist()
    raw = [{"question": r["extra_info"]["question"], "answer": r["extra_info"]["answer"]} for r in made]
    dataset = datasets.load(write(tmp_path / "main" / "test-00000-of-00001.parquet", raw).parent.parent, split="test")
    for index, expected in enumerate(made):
        assert list(dataset.example(index).prompt) == expected["prompt"]
        assert dataset.example(index).ground_truth == expected["reward_model"]["ground_truth"]


@pytest.mark.parametrize("column", ["prompt", "reward_model"])
def test_a_missing_column_is_named(tmp_path, column):
    rows = [{key: value for key, value in row().items() if key != column}]
    path = write(tmp_path / "bad.parquet", rows)
    with pytest.raises(InputError, match=rf"bad\.parquet has no column '{column}'"):
        datasets.load(path)


@pytest.mark.parametrize("index", [-1, 2, 10**30])
def test_an_index_out_of_range_is_named(tmp_path, index):
    dataset = datasets.load(write(tmp_path / "two.parquet", [row(), row()]))
    with pytest.raises(InputError, match=rf"no example {index} in .*two\.parquet.*from 0 to 1"):
        dataset.example(index)
    with pytest.raises(InputError, match="whole number"):
        dataset.example(0.5)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (row("   "), "empty or malformed 'prompt'"),
        (row() | {"prompt": []}, "empty or malformed 'prompt'"),
        (row() | {"prompt": None}, "empty or malformed 'prompt'"),
        (row(None), "empty or malformed 'prompt'"),
        (row(truth=None), "no answer in 'reward_model'"),
        (row(truth=""), "no answer in 'reward_model'"),
        (row() | {"reward_model": None}, "no answer in 'reward_model'"),
    ],
)
def test_a_bad_row_is_named(tmp_path, bad, words):
    dataset = datasets.load(write(tmp_path / "rows.parquet", [row(), bad]))
    assert dataset.example(0).ground_truth == "2"
    with pytest.raises(InputError, match=rf"row 1 of .*rows\.parquet has (an )?{words}"):
        dataset.example(1)


def test_columns_of_other_types_are_refused(tmp_path):
    path = write(tmp_path / "text.parquet", [{"prompt": "What is 1 + 1?", "reward_model": {"ground_truth": 2}}])
    with pytest.raises(InputError, match="chat messages with role and content"):
        datasets.load(path).example(0)
    path = write(tmp_path / "number.parquet", [row() | {"reward_model": {"ground_truth": 2}}])
    assert datasets.load(path).example(0).ground_truth == "2"


def test_text_that_is_not_utf8_and_answers_that_are_no_text_are_refused(tmp_path):
    """Catches a decoder's traceback from a damaged file, and one from raw GSM8K with a column of numbers."""
    bad = pa.array([b"\xff\xfe"]).view(pa.string())
    pq.write_table(pa.table({"question": bad, "answer": ["#### 1"]}), tmp_path / "bad.parquet")
    with pytest.raises(InputError, match=r"bad\.parquet is damaged near row 0"):
        datasets.load(tmp_path / "bad.parquet").example(0)
    path = write(tmp_path / "numbers.parquet", [{"question": "1 + 1?", "answer": 2}])
    with pytest.raises(InputError, match="no answer in 'answer'"):
        datasets.load(path).example(0)


@pytest.mark.parametrize("split", ["", "a" * 300])
def test_a_split_that_is_no_name_is_refused(tmp_path, split):
    write(tmp_path / "train.parquet", [row()])
    with pytest.raises(InputError, match="no name"):
        datasets.load(tmp_path, split=split)


def test_files_that_are_no_parquet(tmp_path):
    whole = write(tmp_path / "whole.parquet", [row(f"question {number}") for number in range(500)]).read_bytes()
    for name, content in (("empty", b""), ("text", b"hello"), ("cut", whole[:-20]), ("half", whole[: len(whole) // 2])):
        path = tmp_path / f"{name}.parquet"
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}\.parquet is not a readable parquet file"):
            datasets.load(path)
    with pytest.raises(InputError, match="holds no rows"):
        datasets.load(write_empty(tmp_path / "none.parquet"))
    broken = bytearray(whole)
    broken[4:200] = bytes(196)  # the first pages, not the footer
    (tmp_path / "pages.parquet").write_bytes(broken)
    with pytest.raises(InputError, match="damaged near row 0"):
        datasets.load(tmp_path / "pages.parquet").example(0)


def write_empty(path):
    pq.write_table(pa.Table.from_pylist([row()]).slice(0, 0), path)
    return path


@pytest.mark.parametrize(
    "source", ["", "nothing", "a/b/c/d", "missing.parquet", "dir/missing.parquet", "nul\0", "x" * 5000], ids=range(7)
)
def test_an_unknown_source_lists_what_can_be_given(source):
    with pytest.raises(InputError, match="arithmetic, gsm8k, math, a parquet file") as caught:
        datasets.load(source)
    assert len(str(caught.value)) < 300


def test_a_hub_id_without_a_network_is_one_sentence():
    if os.environ.get("HF_HUB_OFFLINE") != "1":
        pytest.skip("would ask the hub: tests run with HF_HUB_OFFLINE=1")
    with pytest.raises(InputError, match="cannot be reached") as caught:
        datasets.load("some-org/some-data")
    assert "\n" not in str(caught.value)


def solve(question):
    """The answer by reading the question: an independent solver for each wording."""
    n = [int(number) for number in re.findall(r"\d+", question)]
    kinds = {
        r"and buys \d+ more": lambda: n[0] + n[1],
        r"gives away": lambda: n[0] - n[1],
        r"A box holds": lambda: n[0] * n[1],
        r"equal rows": lambda: n[0] // n[1],
        r"lost \d+ and found": lambda: n[0] - n[1] + n[2],
        r"packs of": lambda: n[0] * n[1] + n[2],
        r"Each of": lambda: n[0] * n[1] + n[2],
        r"fewer": lambda: n[0] + n[0] - n[1],
    }
    (answer,) = [find() for pattern, find in kinds.items() if re.search(pattern, question)]
    return answer


def test_arithmetic_is_right_disjoint_and_the_same_everywhere():
    train, test = datasets.load("arithmetic"), datasets.load("arithmetic", split="test")
    assert (len(train), len(test)) == (500, 300)
    questions = {
        split: [example.prompt[-1]["content"] for example in data] for split, data in (("train", train), ("test", test))
    }
    assert not set(questions["train"]) & set(questions["test"])
    assert len(set(questions["train"] + questions["test"])) == 800
    for example in (*train, *test):
        assert int(example.ground_truth) == solve(example.prompt[-1]["content"]) > 0
        assert verifiers.make("gsm8k-strict", example.ground_truth)(f"#### {example.ground_truth}") == 1.0
    for shown, answered in zip(train.example(0).prompt[:-1:2], train.example(0).prompt[1::2], strict=True):
        truth = answered["content"].removeprefix("#### ")
        assert (shown["role"], answered["role"]) == ("user", "assistant")
        assert verifiers.make("gsm8k-strict", truth)(answered["content"]) == 1.0
    with pytest.raises(InputError, match="no split 'validation'"):
        datasets.load("arithmetic", split="validation")
    # A change of the questions would silently change every recorded run.
    import hashlib

    digest = hashlib.sha256(
        json.dumps([arithmetic.questions(split) for split in arithmetic.SPLITS]).encode()
    ).hexdigest()
    assert digest.startswith("b4bbbff19327ce83")


# ------------------------------------------------------------------------------------------ MATH, templates, the hub


def test_raw_math_columns_give_what_verl_makes_of_them(tmp_path, shared_data):
    """As in EleutherAI/hendrycks_math and DigitalLearningGmbH/MATH-lighteval (no `answer`); MATH-500 has it."""
    plain = datasets.load(write(tmp_path / "plain.parquet", [math_row(type="Algebra")]))
    (message,) = plain.example(0).prompt
    assert message == {"role": "user", "content": f"{PROBLEM} {layouts.MATH_INSTRUCTION}"}
    assert plain.example(0).ground_truth == "\\frac{4}{2}"
    assert plain.example(0).verifier == "math-verify"
    given = datasets.load(write(tmp_path / "given.parquet", [math_row(subject="Algebra", answer="2")]))
    assert given.example(0).ground_truth == "2"
    # The instruction is that of the data set as verl's own preprocessing writes it.
    made = datasets.load(shared_data / "math", "test").example(0)
    assert made.prompt[0]["content"].endswith(" " + layouts.MATH_INSTRUCTION)
    assert made.verifier == "math-verify"
    assert datasets.load(shared_data / "gsm8k", "test").example(0).verifier == "gsm8k-numeric"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (math_row(solution="no box"), r"no answer in 'solution'; it should hold an answer in \\boxed"),
        (math_row(solution=None), "no answer in 'solution'"),
        (math_row(solution="\\boxed{ }"), "no answer in 'solution'"),
        (math_row(problem="  "), "empty or malformed 'problem'"),
    ],
)
def test_a_bad_row_of_raw_math_is_named(tmp_path, bad, words):
    with pytest.raises(InputError, match=words):
        datasets.load(write(tmp_path / "rows.parquet", [math_row(), bad])).example(1)


def test_a_template_replaces_the_instruction(tmp_path):
    """Catches a doubled instruction, a lost system message, and braces of LaTeX read as fields."""
    raw = write(tmp_path / "raw.parquet", [math_row()])
    asked = lambda path, template: datasets.load(path, template=template).example(0).prompt[-1]["content"]  # noqa: E731
    assert asked(raw, "plain") == PROBLEM
    assert asked(raw, "gsm8k") == f"{PROBLEM} {layouts.GSM8K_INSTRUCTION}"
    assert asked(raw, "math") == asked(raw, None)
    assert asked(raw, "Q: {question} \\boxed{} {0}") == f"Q: {PROBLEM} \\boxed{{}} {{0}}"
    question = f"What is 1 + 1? {layouts.GSM8K_INSTRUCTION}"
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}]
    verl = write(tmp_path / "verl.parquet", [row() | {"prompt": prompt}])
    changed = datasets.load(verl, template="math").example(0)
    assert changed.prompt[0] == prompt[0]
    assert changed.prompt[1]["content"] == f"What is 1 + 1? {layouts.MATH_INSTRUCTION}"
    assert len(datasets.load("arithmetic", template="plain").example(0).prompt) > 1
    with pytest.raises(InputError, match=r"gsm8k, math, plain nor a text with \{question\}"):
        datasets.load(raw, template="fancy")
