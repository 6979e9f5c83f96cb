"""`bandit-rft finetune` on several questions with every option, killed and continued; and what it refuses."""

import dataclasses
import html
import json

import numpy as np
import pytest

from bandit_rft.cli import main
from bandit_rft.errors import InputError
from bandit_rft.runs.rollouts import rounds_of
from bandit_rft.settings.finetune import FineTuneConfig
from llm_bridge.training.learner import FineTune
from llm_bridge.training.recorder import RunRecorder
from tests.bandit_rft import tiny_folder

pa = pytest.importorskip("pyarrow")

EVERYTHING = (
    *("finetune", "--data", "sums.parquet", "--test-data", "sums.parquet", "--indices", "1:6", "--max-tokens", "6"),
    *("--prompts-per-round", "2", "--rollouts", "2", "--baseline-rollouts", "1", "--signal", "grpo", "--ddof", "0"),
    *("--reward-wrong", "-1", "--optimizer", "muon", "--learning-rate", "0.01", "--schedule", "cosine"),
    *("--warmup-rounds", "1", "--learning-rate-floor", "0.1", "--beta1", "0.8", "--beta2", "0.99", "--eps", "1e-4"),
    *("--kl-coefficient", "0.01", "--reward-kl-coefficient", "0.01", "--reward-kl", "k2", "--log-kl"),
    *("--kl-weighted", "--old-log-probs", "trainer"),
    *("--entropy-coefficient", "0.001", "--clip", "0.2", "--clip-high", "0.3", "--dual-clip", "3", "--epochs", "2"),
    *("--mini-batches", "2", "--replay", "1", "--aggregation", "token-mean", "--micro-batch", "3", "--remat"),
    *("--generation-batch", "4", "--train-samples", "10", "--test-questions", "3", "--k", "1,2", "--rounds", "5"),
    *("--checkpoint-every", "2", "--dtype", "bfloat16"),
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(tiny_folder.write(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(autouse=True)
def questions(tmp_path, monkeypatch):
    """Eight sums in verl's layout, in the folder that the command runs in."""
    import pyarrow.parquet

    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "prompt": [{"role": "user", "content": f"{a}+{a}=?" * (1 + a % 3)}],
            "reward_model": {"style": "rule", "ground_truth": str(a)},
        }
        for a in range(8)
    ]
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), "sums.parquet")


def test_several_questions_run_and_are_told_apart(tiny, tmp_path, capsys):
    """Two of three named questions a round, in the folder's name and in every record."""
    options = ("--index", "1,4,6", "--prompts-per-round", "2", "--rounds", "2", "--max-tokens", "4")
    asked = ("finetune", "--model", tiny, "--data", "sums.parquet", *options, "--kl-coefficient", "0")
    evaluated = ("--train-samples", "6", "--test-questions", "0", "--log", "tensorboard")
    assert main([*asked, "--learning-rate", "1e-3", *evaluated]) == 0
    [folder] = (tmp_path / "runs").iterdir()
    assert "questions 1, 4, 6 of sums" in capsys.readouterr().out
    assert json.loads((folder / "config.json").read_text())["index"] == [1, 4, 6]
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [np.shape(line["rewards"]) for line in lines] == [(1, 2), (1, 2)]
    rounds = list(rounds_of(folder))
    assert all(len({response.question for response in found}) == 2 for found in rounds)
    asked = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    assert [(q["question"], q["index"], q["answer"]) for q in asked] == [(0, 1, "1"), (1, 4, "4"), (2, 6, "6")]
    report = (folder / "report.html").read_text()
    assert all((response.text or "") in html.unescape(report) for response in (rounds[0][0], rounds[-1][-1]))
    assert len(list((folder / "tensorboard").iterdir())) == 1
    assert main(["show", str(folder), "--question", "4", "--last", "9"]) == 0
    assert capsys.readouterr().out.count("response ") == sum(r.question == 1 for found in rounds for r in found)
    first, last = (json.loads(line) for line in (folder / "evaluations.jsonl").read_text().splitlines())
    assert (first["questions"], first["samples_per_question"], last["round"]) == (3, 2, 2)


@pytest.mark.slow
def test_several_questions_with_every_option_continue_bit_by_bit(tiny, tmp_path, monkeypatch, capsys):
    """Catches an option that reaches nothing, a clock in the history, and draws that depend on where a run was cut."""
    command = [*EVERYTHING, "--model", tiny]
    assert main([*command, "--out", "whole"]) == 0
    said = capsys.readouterr().out
    assert "pass@2" in said
    assert "questions 1:6 of sums" in said
    original, chunk_end = RunRecorder.record, RunRecorder.chunk_end

    def record(self, history, *rest):
        if history.rounds == 4:
            raise KeyboardInterrupt
        original(self, history, *rest)

    monkeypatch.setattr(RunRecorder, "chunk_end", lambda self, done: chunk_end(self, done) and done + 1)
    monkeypatch.setattr(RunRecorder, "record", record)
    assert main([*command, "--out", "cut"]) == 130
    monkeypatch.setattr(RunRecorder, "record", original)
    assert main([*command, "--out", "cut"]) == 0
    for name in ("history.jsonl", "evaluations.jsonl", "responses.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    weights = [
        json.loads((tmp_path / run / "checkpoints" / "round_00000005" / "meta.json").read_text())["leaves"]
        for run in ("whole", "cut")
    ]
    assert weights[0] == weights[1]
    assert {leaf["dtype"] for leaf in weights[0] if ".params" in leaf["name"]} == {"float32"}

    lines = [json.loads(line) for line in (tmp_path / "whole" / "history.jsonl").read_text().splitlines()]
    rounds = list(rounds_of(tmp_path / "whole"))
    for line, found in zip(lines, rounds, strict=True):
        assert np.shape(line["rewards"]) == (1, 2 * (2 + 1))
        drawn = [response.question for response in found]
        assert drawn[:3] == [drawn[0]] * 3
        assert drawn[3:] == [drawn[3]] * 3
        assert drawn[0] != drawn[3]
        missing = {name for name, value in line["metrics"].items() if value == [None]}
        assert missing == set()
    # Two rounds an epoch of five questions, one question left out: four different ones in rounds 0 and 1.
    assert len({r.question for found in rounds[:2] for r in found}) == 4
    timings = [json.loads(line) for line in (tmp_path / "cut" / "timings.jsonl").read_text().splitlines()]
    assert [line["from"] for line in timings] == [0, *(line["to"] for line in timings[:-1])]
    for timing in timings:
        done = rounds[timing["from"] : timing["to"]]
        assert timing["tokens"] == sum(response.tokens for found in done for response in found)
        assert timing["tokens_per_second"] == pytest.approx(timing["tokens"] / timing["seconds"])
    evaluations = [json.loads(line) for line in (tmp_path / "whole" / "evaluations.jsonl").read_text().splitlines()]
    assert [(e["round"], e["measured"]) for e in evaluations] == [(r, m) for r in (0, 5) for m in ("train", "test")]
    for found in evaluations:
        assert found["samples_per_question"] == 2
        assert found["questions"] == (5 if found["measured"] == "train" else 3)
        assert found["low"] <= found["pass_at_1"] <= found["high"]
        assert set(found["pass_at_k"]) == {"1", "2"}
        right = sum(count > 0 for count in found["per_question"])
        assert found["pass_at_k"]["2"] == pytest.approx(right / found["questions"])


def test_every_option_of_the_learner_is_one_of_the_command():
    """A hyper-parameter that the command cannot set would be a result that it cannot reproduce."""
    names = {field.name for field in dataclasses.fields(FineTuneConfig)}
    # prompts_per_round, beta1 and beta2, signal_k (k is the evaluations'); donate and keep_model are memory
    elsewhere = {"model", "_", "prompts", "betas", "donate", "keep_model", "k"}
    assert {field.name for field in dataclasses.fields(FineTune)} - elsewhere <= names


def test_questions_are_named_one_by_one_or_as_a_range():
    assert FineTuneConfig(data="arithmetic", index=3).places == (3,)
    assert FineTuneConfig(data="arithmetic", index=(3, 7)).places == (3, 7)
    assert FineTuneConfig(data="arithmetic", indices="2:5").places == (2, 3, 4)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"indices": "0:4", "index": 2}, "not both"),
        ({"index": (3, 3)}, "twice"),
        ({"prompts_per_round": 2}, "--prompts-per-round"),
        ({"indices": "0:4", "optimizer": "sgd", "step_over_kappa": 0.5}, "one question"),
        ({"indices": "0:4", "measure": True, "measure_tree": False}, "trees alone"),
        ({"clip": None, "clip_high": 0.3}, "--clip-high"),
        ({"k": "0"}, "--k"),
        ({"optimizer": "sgd", "step_over_kappa": 0.5, "schedule": "cosine"}, "--schedule"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, word):
    with pytest.raises(InputError, match=word):
        FineTuneConfig(data="arithmetic", **settings)


@pytest.mark.parametrize("options", [("--index", "1,x"), ("--indices", "5:2"), ("--indices", "5:"), ("--index", "-1")])
def test_places_that_are_none_are_refused(options, capsys):
    assert main(["finetune", "--data", "sums.parquet", *options]) == 2
    assert options[0] in capsys.readouterr().err


def test_a_range_of_one_place_is_one_question():
    """Else the run would be told as one of several questions, of which there is no law."""
    one = FineTuneConfig(data="arithmetic", index=5)
    assert FineTuneConfig(data="arithmetic", indices="5") == FineTuneConfig(data="arithmetic", indices="5:6") == one
