"""Questions of several sources in one run: each is scored by its own verifier, in training and in evaluations."""

import json
import logging
from pathlib import Path

import pytest

from bandit_rft.cli import main
from bandit_rft.errors import InputError
from bandit_rft.runs import read_json, read_lines
from bandit_rft.settings.finetune import FineTuneConfig
from bandit_rft.settings.questions import EvaluateConfig
from bandit_rft.settings.saved_finetune import config_of
from llm_bridge import evaluate, load_model
from llm_bridge.bandits.question_arms import QuestionArms
from llm_bridge.data import datasets
from llm_bridge.data.named_questions import test_examples as examples_of_tests
from llm_bridge.data.named_questions import training_questions
from llm_bridge.training.evaluators import evaluators_of, trained_on
from llm_bridge.training.from_settings import evaluators
from llm_bridge.verifiers import GSM8K, MathVerify

ROWS = [
    {"prompt": "3+4=?", "ground_truth": "7", "data_source": "openai/gsm8k"},
    {"prompt": "1+1=?", "ground_truth": None, "data_source": "openai/gsm8k"},
    {"prompt": "5+6=?", "ground_truth": "11", "data_source": "lighteval/MATH"},
]
QUICK = ["--rounds", "1", "--max-tokens", "8", "--train-samples", "4", "--optimizer", "sgd", "--learning-rate", "0.001"]


@pytest.fixture
def mixed(tmp_path: Path) -> str:
    (tmp_path / "mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(tmp_path / "mixed.jsonl")


def test_each_question_has_its_own_verifier(mixed: str) -> None:
    """Catches the first question's rule taken for all: the other kind of row could then never earn."""
    examples = datasets.load(mixed).usable(range(3), tell=lambda sentence: None)
    checks = QuestionArms(load_model("tiny-llama"), examples).checks
    assert [type(check) for check in checks] == [GSM8K, MathVerify]
    assert (checks[0]("#### 7"), checks[1]("#### 11"), checks[1]("$\\boxed{11}$")) == (1, 0, 1)


def test_a_run_on_a_mixed_file_says_what_each_question_is_scored_by(mixed: str, tmp_path: Path) -> None:
    """config.json keeps the verifier that was asked for (none), questions.jsonl holds each question's own. The row
    without an answer is left out of a range, and refused where it is named."""
    run = tmp_path / "run"
    command = ["finetune", "--model", "tiny-llama", "--data", mixed, "--test-data", "tiny-addition", *QUICK]
    command += ["--test-questions", "2", "--out", str(run)]
    assert main([*command, "--indices", "0:2,2:3", "--prompts-per-round", "2"]) == 0
    assert read_json(run / "config.json")["verifier"] is None
    found = [(line["index"], line["verifier"]) for line in read_lines(run / "questions.jsonl")]
    assert found == [(0, "gsm8k-numeric"), (2, "math-verify")]
    assert {line["measured"] for line in read_lines(run / "evaluations.jsonl")} == {"train", "test"}
    assert main([*command, "--index", "1", "--out", str(tmp_path / "other")]) == 2


def test_test_questions_of_another_source_keep_their_own_verifier(mixed: str) -> None:
    config = FineTuneConfig(data="tiny-addition", test_data=mixed, test_split="train")
    assert [one.verifier for one in examples_of_tests(config, [], lambda sentence: None)] == [
        "gsm8k-numeric",
        "math-verify",
    ]
    config = FineTuneConfig(data=mixed, indices="0:3")
    assert [one.index for one in training_questions(datasets.load(mixed), config)] == [0, 2]
    with pytest.raises(InputError, match="no answer"):
        training_questions(datasets.load(mixed), FineTuneConfig(data=mixed, index=1))


def test_an_evaluation_of_a_whole_data_set_leaves_rows_out(mixed: str) -> None:
    import jax

    found = evaluate(load_model("tiny-llama"), datasets.load(mixed), key=jax.random.key(0), max_tokens=4)
    assert found.questions == 2


@pytest.mark.parametrize("copied", [False, True])
def test_what_is_trained_on_is_no_test_question(mixed: str, tmp_path: Path, caplog, copied: bool) -> None:
    """Catches a test Pass@1 that holds the training question, of the same file and of one that copies its rows in
    another layout, order and template, and the place of that question taken for its content.
    """
    config = FineTuneConfig(data=mixed, index=2, test_questions=1)
    if copied:
        rows = [
            {"messages": [{"role": "user", "content": row["prompt"]}], "answer": row["ground_truth"]} for row in ROWS
        ]
        templated = [{"problem": ROWS[0]["prompt"], "answer": "7.0"}]
        (tmp_path / "copied.json").write_text(
            json.dumps([*rows[::-1], {**rows[0], "messages": "new"}, *templated, *rows[:2]])
        )
        config = FineTuneConfig(data=mixed, indices="0:3", test_data=str(tmp_path / "copied.json"))
    trained = training_questions(datasets.load(mixed), config)
    caplog.clear()
    found = examples_of_tests(config, trained, lambda sentence: None)
    assert [one.prompt[0]["content"] for one in found] == (["new"] if copied else ["3+4=?"])
    assert [message for message in caplog.messages if "left out of the test questions" in message] == (
        [f"4 of 7 rows of {config.test_data} ask what is trained on and are left out of the test questions"]
        if copied
        else []  # the row is behind the one that was asked for
    )


def test_a_run_on_the_only_question_has_no_test_evaluation(tmp_path: Path, caplog) -> None:
    """Catches test records of the question that is trained on, a run that is refused for having no others, and a split
    of one file that was typed and is not there."""
    file = tmp_path / "one.jsonl"
    file.write_text(json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[1]) + "\n")
    config = FineTuneConfig(data=str(file))
    trained = training_questions(datasets.load(file), config)
    test = examples_of_tests(config, trained, lambda sentence: None)
    assert "1 of 2 rows" in caplog.text
    assert "none is left, and there is no test evaluation" in caplog.text
    assert [entry.name for entry in evaluators(config, trained, test)] == ["train"]
    for options in ({"data": str(file)}, {"data": "tiny-addition", "test_data": str(file)}):
        with pytest.raises(InputError, match="--test-split does nothing here, for the test questions are those of one"):
            config_of(None, {**options, "test_split": "held-out"})
        with pytest.raises(InputError, match="--test-split does nothing here"):  # the default's name, but typed
            config_of(None, {**options, "test_split": "test"})
    config_of(None, {"data": "tiny-addition", "test_split": "train"})
    config_of(None, {"data": "tiny-addition", "test_data": str(file), "test_split": "one"})


def test_a_split_of_one_file_is_refused_by_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches all rows of a file sampled, measured or trained on where a split of it was asked for."""
    file = tmp_path / "one.jsonl"
    file.write_text(json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[1]) + "\n")
    for command in ("evaluate", "measure", "finetune"):
        for split in ("test", "held-out"):
            assert main([command, "--model", "tiny-llama", "--data", str(file), "--split", split]) == 2
            assert "--split does nothing here, for --data is one file" in capsys.readouterr().err
    for split in ("train", "one"):  # as the datasets library calls a file's rows, and as the file is called
        config_of(None, {"data": str(file), "split": split})
    assert EvaluateConfig(data=str(file)).source == str(file)  # in what is printed, where "(test)" stood behind it
    assert EvaluateConfig(data="tiny-addition").source == "tiny-addition (test)"


def test_what_a_command_says_of_its_data_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches "WARNING:llm_bridge.data.datasets:" before it, and a logger that stays changed behind the command."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.jsonl").write_text(json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[1]) + "\n")
    logger = logging.getLogger("llm_bridge")
    before = (logger.propagate, list(logger.handlers))
    assert main(["finetune", "--model", "tiny-lama", "--data", "one.jsonl"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "1 of 2 rows of one.jsonl ask what is trained on" in " ".join(said)
    assert all(line.startswith("bandit-rft: ") for line in said), said
    assert (logger.propagate, logger.handlers) == before


def test_python_says_which_test_questions_are_trained_on() -> None:
    """Catches a test Pass@1 of `finetune(evaluate=[arms, examples])` that silently holds the trained question."""
    first, second = datasets.load("tiny-addition").usable(range(2))
    model = load_model("tiny-llama")
    arms = QuestionArms(model, [first])
    entries = evaluators_of([arms, [second, first]], arms)
    tested = [[model.encode(question.prompt) for question in entry.examples] for entry in entries]
    assert "1 of the 2 test questions" in (trained_on(entries, tested, arms.question_tokens) or "")
    assert trained_on(entries[:1], tested[:1], arms.question_tokens) is None
