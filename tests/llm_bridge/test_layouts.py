"""Question data that is a chat, verl's columns as texts, and columns that appear late."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bandit_rft.errors import InputError
from llm_bridge import verifiers
from llm_bridge.data import datasets, layouts
from tests.llm_bridge.parquet_files import write

SYSTEM = {"role": "system", "content": "Be brief."}
ASKED, SAID = {"role": "user", "content": "17*3?"}, {"role": "assistant", "content": "17*3 = \\boxed{51}."}


@pytest.mark.parametrize("column", ["prompt", "messages", "chat"])
@pytest.mark.parametrize("template", [None, "Q: {question}"])
@pytest.mark.parametrize("kind", ["parquet", "json", "csv", "repr.csv"])
def test_a_response_in_a_chat_is_no_part_of_the_prompt(tmp_path, column, template, kind):
    """Catches the right answer in the prompt, and put into the template in the question's place. Turns before the
    user's last one stay."""
    few_shot = [SYSTEM, {**ASKED, "content": "1+1?"}, {**SAID, "content": "2"}, ASKED]
    chats = [[ASKED, SAID], [*few_shot, SAID, {**SAID, "role": "tool"}, SAID], [*few_shot, {**SAID, "role": "model"}]]
    rows = [{column: chat, "answer": "51"} for chat in chats]
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        write(path, rows)
    elif kind == "json":
        path.write_text(json.dumps(rows))
    else:
        import csv

        with path.open("w", newline="") as file:
            text = repr if kind == "repr.csv" else json.dumps
            csv.writer(file).writerows([[column, "answer"], *([text(row[column]), "51"] for row in rows)])
    data = datasets.load(path, template=template, prompt_column="chat" if column == "chat" else None)
    asked = ASKED if template is None else {**ASKED, "content": "Q: 17*3?"}
    assert [one.prompt for one in data] == [(asked,), (*few_shot[:3], asked), (*few_shot[:3], asked)]
    assert {one.answer for one in data} == {"51"}


def test_a_response_in_a_chat_is_a_worked_solution(tmp_path):
    """Where no column holds the answer. Catches a chat whose column goes before that of the bare question."""
    chat = {"messages": [ASKED, SAID]}
    rows = [
        chat,
        {"messages": [ASKED]},
        {"messages": [SYSTEM, SAID]},
        {"messages": [ASKED, {**SAID, "content": "#### 51"}]},
    ]
    data = datasets.load(write(tmp_path / "a.parquet", rows))
    found = [(data.example(place).answer, data.example(place).verifier) for place in (0, 3)]
    assert found == [("51", "math-verify"), ("51", "gsm8k-numeric")]
    for place, words in ((1, "row 1 of .* has no answer in 'messages'"), (2, "without a turn of role 'user'")):
        with pytest.raises(datasets.RowError, match=words):
            data.example(place)
    for name in ("problem", "question", "query"):
        row = {**chat, name: "What is 17*3?", "solution": "\\boxed{51}"}
        example = datasets.load(write(tmp_path / "b.parquet", [row])).example(0)
        assert example.prompt == ({"role": "user", "content": f"What is 17*3? {layouts.MATH_INSTRUCTION}"},)
    row = {"prompt": [ASKED, SYSTEM], "answer": "51"}
    assert datasets.load(write(tmp_path / "c.parquet", [row]), template="plain").example(0).prompt == (ASKED, SYSTEM)


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("The integers are \\boxed{-2} and \\boxed{1}.", "-2, 1"),
        ("First $\\boxed{1}$ is found. Then it follows that $\\boxed{2}$.", "2"),
        ("So \\boxed{5}, and I put it within \\boxed{}.", "5"),
        ("\\[\\boxed{5}\\] or, which is the same, \\[\\boxed{5}\\]", "5"),
    ],
)
def test_a_worked_solution_with_several_boxes_is_read_as_a_response_is(tmp_path, solution, answer):
    """Catches the right answer of two boxes cut to its last one, which the solution itself does not earn."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"problem": "Find all.", "solution": solution}) + "\n")
    example = datasets.load(path).example(0)
    assert example.answer == answer
    assert verifiers.make(example.verifier, example.answer)(solution) == 1.0


def test_verls_columns_as_texts_of_a_csv_file(tmp_path):
    """Catches the object's text taken for the answer, by which every response scored 0; one of GSM8K that is no number
    is refused, where math-verify took it."""
    texts = [
        '{""style"": ""rule"", ""ground_truth"": ""72""}',
        "{'ground_truth': '72'}",
        "seventy",
        "{'ground_truth': x}",
    ]
    rows = [f'openai/gsm8k,"[{{""role"": ""user"", ""content"": ""1+1?""}}]","{text}"\n' for text in texts]
    (tmp_path / "verl.csv").write_text("data_source,prompt,reward_model\n" + "".join(rows))
    data = datasets.load(tmp_path / "verl.csv")
    for place in (0, 1):
        example = data.example(place)
        assert verifiers.make(example.verifier, example.answer)("#### 72") == 1.0
    for place, words in ((2, "the answer 'seventy' in 'reward_model', which is no number"), (3, "no answer in")):
        with pytest.raises(datasets.RowError, match=words):
            data.example(place)


def test_a_column_that_appears_late_is_there(tmp_path):
    """Catches one of two sources in a file lost, whose answers, or prompts, have columns of their own."""
    late = [{"question": "late?", "ground_truth": "7"}, {"problem": "latest?", "solution": "\\boxed{8}"}]
    rows = [*({"question": f"{n}?", "answer": "1"} for n in range(150)), *late]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "a.json").write_text(json.dumps(rows))
    for name in ("a.jsonl", "a.json"):
        data = datasets.load(tmp_path / name)
        found = [
            (data.example(place).prompt[0]["content"].split()[0], data.example(place).answer) for place in (0, 150, 151)
        ]
        assert found == [("0?", "1"), ("late?", "7"), ("latest?", "8")]


def test_narrow_floats_are_the_decimals_that_they_were_written_from(tmp_path):
    """Catches an answer 0.1 that became 0.10000000149011612 in a column of 32 bits, which no response can equal."""
    values = [0.1, 2.5, 3.0, 1e-3, 16777216.0, None]
    answers = pa.array(values, pa.float32())
    truths = pa.StructArray.from_arrays([pa.array(values, pa.float32())], ["ground_truth"])
    table = pa.table({"question": ["q"] * 6, "answer": answers, "reward_model": truths})
    for name in ("answer", "reward_model"):
        pq.write_table(table.select(["question", name]), tmp_path / f"{name}.parquet")
        dataset = datasets.load(tmp_path / f"{name}.parquet", tell=lambda sentence: None)
        found = [dataset.example(place).ground_truth for place in range(5)]
        assert found == ["0.1", "2.5", "3", "0.001", "16777216"]


@pytest.mark.parametrize("content", ["", "  ", None])
def test_a_last_turn_of_the_assistant_that_says_nothing_is_left_out(tmp_path, content):
    chat = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": content}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": chat, "answer": "2"}) + "\n")
    example = datasets.load(tmp_path / "a.jsonl", tell=lambda sentence: None).example(0)
    assert list(example.prompt) == chat[:1]
    empty = [{"role": "user", "content": content}, {"role": "assistant", "content": "2"}]
    (tmp_path / "b.jsonl").write_text(json.dumps({"prompt": empty, "answer": "2"}) + "\n")
    with pytest.raises(InputError, match="empty or malformed 'prompt'"):
        datasets.load(tmp_path / "b.jsonl").example(0)
