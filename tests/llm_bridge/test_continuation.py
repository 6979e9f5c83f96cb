"""A run that goes on in its folder: with more rounds, under other spellings, and only on what it began with."""

import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit_rft.cli import main
from bandit_rft.runs import read_history, read_lines
from bandit_rft.settings.saved_finetune import config_of, requested_of
from llm_bridge.training import checkpoints, kept_checkpoints
from tests.bandit_rft import tiny_folder
from tests.llm_bridge.survival import outcome

pa = pytest.importorskip("pyarrow")
pytestmark = pytest.mark.usefixtures("compiled_quickly")

OPTIONS = {
    "indices": "2:6",
    "rollouts": 2,
    "reward_wrong": -1.0,  # every round moves the weights, whatever the responses are
    "kl_coefficient": 0.0,
    "learning_rate": 0.001,
    "max_tokens": 4,
    "train_samples": 4,
    "test_questions": 2,
    "replay": 1,
    "rounds": 3,
}
SEEDS = {"model": "tiny-llama", "data": "tiny-addition", "index": 1, "max_tokens": 12, "seeds": 2}
VERIFIER = "from helper import right\n\n\ndef equal(text, answer):\n    return right(text, answer)\n"
HELPER = "def right(text, answer):\n    return float(text.strip() == answer)\n"


def write_questions(path: Path, *changed: int) -> None:
    import pyarrow.parquet

    rows = [
        {
            "prompt": [{"role": "user", "content": f"{a}+{a}=?"}],
            "reward_model": {"style": "rule", "ground_truth": str(9 if a in changed else a)},
        }
        for a in range(8)
    ]
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a model, questions and a verifier of the user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    tiny_folder.write(tmp_path / "tiny")
    write_questions(tmp_path / "sums.parquet")
    (tmp_path / "mine.py").write_text(VERIFIER)
    (tmp_path / "helper.py").write_text(HELPER)
    return tmp_path


def finetune(out: str, options: dict[str, object]) -> int:
    given = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in options.items()]
    return main(["finetune", *given, "--out", out])


def run(out: str, **options: object) -> int:
    return finetune(out, {"model": "tiny", "data": "sums.parquet", **OPTIONS, **options})


def run_seeds(out: str, **options: object) -> int:
    given = {**OPTIONS, **SEEDS, **options}
    return finetune(out, {name: value for name, value in given.items() if name not in ("indices", "replay")})


def read(path: str) -> dict[str, Any]:
    return json.loads(Path(path).read_text())


def refused(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The one sentence of a command that was refused, behind what it says of its data."""
    said = capsys.readouterr().err.splitlines()
    assert code == 2, said
    refusals = [line for line in said if not re.search("is unknown: its answers|rows of .* are left out", line)]
    assert len(refusals) == 1, said
    return refusals[0]


def test_more_rounds_give_the_bits_of_a_run_that_was_asked_for_them_at_first(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice more, with other checkpoints kept, and other spellings of every path. Catches draws or replays that depend
    on the number of rounds, a configuration that still says the old number, and the same folder taken for another."""
    assert run("whole", rounds=7) == 0
    assert run("cut") == 0
    (folder / "link").symlink_to(folder / "cut")
    assert run("./cut/", rounds=5, model="./tiny/", data=folder / "sums.parquet", keep_checkpoints=1) == 0
    assert (
        run(str(folder / "link"), rounds=7, model=folder / "tiny", test_data="./sums.parquet", keep_checkpoints=3) == 2
    )
    assert "test_data" in capsys.readouterr().err  # another question set, for all that the command can know
    assert run(str(folder / "link"), rounds=7, model=folder / "tiny", evaluation_batch=2) == 0
    (files, leaves), (want_files, want) = outcome(folder / "cut"), outcome(folder / "whole")
    assert leaves == want
    assert files["history.jsonl"] == want_files["history.jsonl"]
    found, wanted = (read_lines(folder / name / "evaluations.jsonl") for name in ("cut", "whole"))
    assert [record for record in found if record["round"] in (0, 7)] == wanted
    assert {record["round"] for record in found} == {0, 3, 5, 7}
    asked = read("cut/config.json")
    assert (asked["rounds"], asked["keep_checkpoints"], asked["model"]) == (7, 2, "tiny")
    changes = [(change["name"], change["from"], change["to"]) for change in read("cut/manifest.json")["changes"]]
    assert sorted(changes) == [
        *(("evaluation_batch", 32, 2), ("keep_checkpoints", 1, 2), ("keep_checkpoints", 2, 1)),
        *(("rounds", 3, 5), ("rounds", 5, 7)),
    ]


def test_a_folder_goes_on_by_its_own_config_and_its_questions_may_be_replaced(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Catches a rate that was left open and is read back as a number, so that a folder's own config.json names a
    "different run", and a configuration's prompt or places that stand beside the data or prompt given instead."""
    options = {name: value for name, value in OPTIONS.items() if name != "learning_rate"} | {"attention": "auto"}
    assert finetune("own", {"model": "tiny", "data": "sums.parquet", **options, "rounds": 1}) == 0
    capsys.readouterr()
    assert main(["finetune", "--config", "own", "--out", "own", "--rounds", "2"]) == 0
    assert len(read_lines(Path("own/history.jsonl"))) == 2
    assert read("own/config.json")["learning_rate"] is None
    assert read("own/config.json")["attention"] == "own"
    assert read("own/config.json")["resolved"]["requested"] == {"attention": "auto"}
    capsys.readouterr()
    assert main(["finetune", "--config", "own", "--out", "own", "--rounds", "2", "--learning-rate", "0.5"]) == 2
    assert "learning_rate is null there and 0.5 here" in capsys.readouterr().err
    asked = config_of("own", {"prompt": "1+1=", "answer": "2"})
    assert (asked.data, asked.places, asked.prompt) == (None, (0,), "1+1=")
    Path("prompt.json").write_text(json.dumps(asked.to_json()))
    assert config_of("prompt.json", {"data": "sums.parquet", "index": 3}).places == (3,)


def test_what_a_run_left_open_is_open_again_however_many_runs_hand_it_on() -> None:
    """Runs that each begin from the config.json of the one before. Catches a rate, a length and an attention that the
    second run writes as if they had been typed, so that the third keeps them for adapters or for another model."""
    left_out = ("learning_rate", "max_tokens")
    options = {name: value for name, value in OPTIONS.items() if name not in left_out} | {"attention": "auto"}
    given = {"model": "tiny", "data": "sums.parquet", **options, "rounds": 1, "train_samples": 0, "test_questions": 0}
    assert finetune("first", given) == 0
    assert main(["finetune", "--config", "first", "--out", "second", "--key", "1"]) == 0
    first, second = read("first/config.json"), read("second/config.json")
    assert second["learning_rate"] == first["resolved"]["learning_rate"]  # what was resolved stays
    assert second["resolved"]["requested"] == {"learning_rate": None, "max_tokens": None, "attention": "auto"}
    assert config_of("second", {"lora_rank": 2}).learning_rate is None
    assert config_of("second", {"optimizer": "sgd", "step_over_kappa": 0.5, "index": 3}).learning_rate is None
    other = config_of("second", {"model": "tiny-llama"})
    assert (other.learning_rate, other.max_tokens, other.attention) == (None, None, "auto")
    # What is typed, or follows from what is typed, is no longer handed on: the new run says itself what it made of it.
    assert requested_of("second", {"max_tokens": 9, "lora_rank": 2}) == {"attention": "auto"}


@pytest.mark.slow
def test_more_rounds_of_many_seeds_give_the_bits_of_a_run_that_was_asked_for_them_at_first(folder: Path) -> None:
    """Catches a chunk whose program depends on the number of rounds."""
    assert run_seeds("whole", rounds=5) == 0
    assert run_seeds("cut") == 0
    assert run_seeds("cut", rounds=5) == 0
    got, want = read_history("cut"), read_history("whole")
    np.testing.assert_array_equal(got.rewards, want.rewards)
    for name, values in want.metrics.items():
        np.testing.assert_array_equal(got.metrics[name], values, err_msg=name)
    (files, leaves), (want_files, want_leaves) = outcome(folder / "cut"), outcome(folder / "whole")
    assert leaves == want_leaves
    assert files["responses.jsonl"] == want_files["responses.jsonl"]
    assert [r for r in got.evaluations if r["round"] != 3] == list(want.evaluations)
    assert read("cut/config.json")["rounds"] == 5


def test_rounds_that_a_run_cannot_come_to_are_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """Catches a configuration that is changed before the refusal."""
    assert run("constant") == 0
    assert run("cosine", schedule="cosine") == 0
    capsys.readouterr()
    before = Path("constant/config.json").read_bytes(), Path("constant/manifest.json").read_bytes()
    assert "constant has done 3 rounds, more than --rounds 2" in refused(capsys, run("constant", rounds=2))
    assert "learning_rate is 0.001 there" in refused(capsys, run("constant", rounds=5, learning_rate=0.1))
    assert (Path("constant/config.json").read_bytes(), Path("constant/manifest.json").read_bytes()) == before
    said = refused(capsys, run("cosine", schedule="cosine", rounds=5))
    assert "a run of 3 rounds, over which --schedule cosine spreads the learning rate" in said


@pytest.mark.slow
def test_a_run_that_kept_only_weights_is_closed_and_all_that_reads_it_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches the moments of an untrained optimiser that a continued run would step with, and a finished run that its
    own command does not open any more."""
    monkeypatch.setattr(kept_checkpoints, "LARGE", 1)
    assert run("kept", keep_optimizer=True) == 0
    capsys.readouterr()
    for command in (run, run_seeds):
        out = command.__name__
        assert command(out) == 0
        said = capsys.readouterr().out
        assert "of which the finished run keeps the weights" in said
        assert "the optimiser's state is dropped" in said
        assert all(checkpoints.is_reduced(path) for path in checkpoints.available(f"{out}/checkpoints"))
        assert "repeat it with --keep-optimizer" in refused(capsys, command(out, rounds=5))
        assert read(f"{out}/config.json")["rounds"] == 3
        shutil.rmtree(f"{out}/figures")
        assert command(out) == 0  # the same command: drawn and reported again
        seed = ["--seed", "1"] if command is run_seeds else []
        assert main(["export", out, "--out", f"{out}-exported", *seed]) == 0
        assert main(["report", out]) == 0
    assert run("kept", rounds=5, keep_optimizer=True) == 0


def change_weights(folder: Path) -> None:
    shutil.rmtree(folder / "tiny")
    tiny_folder.write(folder / "tiny", seed=1)


def change_tokenizer(folder: Path) -> None:
    path = folder / "tiny" / "tokenizer.json"
    path.write_text(path.read_text() + " ")


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a question": (lambda folder: write_questions(folder / "sums.parquet", 3), "Question 3 of sums.parquet is not"),
    "a test question": (
        lambda folder: write_questions(folder / "sums.parquet", 1),
        "Test question 1 of sums.parquet is not",
    ),
    "the verifier": (
        lambda folder: (folder / "mine.py").write_text(VERIFIER + "# another\n"),
        "mine.py of the verifier mine.py:equal is not",
    ),
    "what the verifier imports": (
        lambda folder: (folder / "helper.py").write_text(HELPER.replace("==", "!=")),
        "helper.py of the verifier mine.py:equal is not",
    ),
    "the weights": (change_weights, "model.safetensors of the model tiny is not"),
    "the tokenizer": (change_tokenizer, "tokenizer.json of the model tiny is not"),
}


def test_a_run_goes_on_only_on_what_it_began_with(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each thing that may change in turn, and put back. Catches rounds on one question that are told as those of
    another, and a refusal that does not say what differs."""
    assert run("run", verifier="mine.py:equal") == 0
    shutil.copytree(folder / "tiny", "tiny-before")
    history = Path("run/history.jsonl").read_bytes(), Path("run/questions.jsonl").read_bytes()
    capsys.readouterr()
    for name, (change, words) in CHANGES.items():
        change(folder)
        for rounds in (3, 5):
            said = refused(capsys, run("run", verifier="mine.py:equal", rounds=rounds))
            assert f"{words} what the run in run began with: restore it" in said, name
        shutil.rmtree("tiny")
        shutil.copytree("tiny-before", "tiny")
        write_questions(folder / "sums.parquet")
        (folder / "mine.py").write_text(VERIFIER)
        (folder / "helper.py").write_text(HELPER)
    assert (Path("run/history.jsonl").read_bytes(), Path("run/questions.jsonl").read_bytes()) == history
    # Elsewhere in the file, where the run never looks, anything may change.
    write_questions(folder / "sums.parquet", 6, 7)
    assert run("run", verifier=folder / "mine.py:equal", rounds=4) == 0
    assert "digests" not in json.dumps(read("run/manifest.json")["earlier"])


def test_a_folder_of_an_older_version_goes_on_with_a_note_and_is_checked_from_then_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("run") == 0
    manifest = read("run/manifest.json")
    del manifest["digests"]
    Path("run/manifest.json").write_text(json.dumps(manifest))
    config = read("run/config.json")
    del config["keep_optimizer"]
    Path("run/config.json").write_text(json.dumps(config))
    capsys.readouterr()
    assert run("run", rounds=4) == 0
    assert "run was begun by an older version, which kept no digests" in capsys.readouterr().err
    assert "keep_optimizer" not in {change["name"] for change in read("run/manifest.json")["changes"]}
    write_questions(folder / "sums.parquet", 2)
    assert "Question 2 of sums.parquet" in refused(capsys, run("run", rounds=5))


def test_a_verifier_that_failed_before_anything_was_done_may_be_mended(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a folder that its first, failed attempt keeps from the second."""
    (folder / "mine.py").write_text("def equal(text, answer):\n    raise SystemExit\n")
    said = refused(capsys, run("run", verifier="mine.py:equal"))
    assert "The verifier mine.py:equal raised SystemExit" in said
    assert not Path("run").exists()
    (folder / "again.py").write_text(VERIFIER)  # by another name: within one process a file is imported once
    assert run("run", verifier="again.py:equal") == 0


def test_answers_that_the_verifier_could_not_check_are_counted_by_round_and_reported(folder: Path) -> None:
    """A verifier that counts one timeout for each response, and a crash for every second. Catches counts of evaluations
    that are taken for a round's, rounds before a continuation that are counted again, and a history without them that
    is not read any more."""
    (folder / "late.py").write_text(
        "from llm_bridge.verifiers import pool\n\n\ndef late(text, answer):\n"
        "    pool.shared()._add(calls=1, timeouts=1, crashes=pool.counts().calls % 2)\n    return 0.0\n"
    )
    assert run("run", verifier="late.py:late", rounds=2) == 0
    assert run("run", verifier="late.py:late") == 0
    history = read_history("run")
    np.testing.assert_array_equal(history.metrics["verifier_timeouts"], [[2, 2, 2]])
    np.testing.assert_array_equal(history.metrics["verifier_crashes"], [[1, 1, 1]])
    evaluated = {(r["round"], r["measured"]): r["verifier_timeouts"] for r in history.evaluations}
    assert evaluated == {(done, name): count for done in (0, 2, 3) for name, count in (("train", 4), ("test", 2))}
    report = html.unescape(Path("run/report.html").read_text())
    assert "Of the answers, 24 ran out of the verifier's time and 12 broke its worker process: each earned" in report
