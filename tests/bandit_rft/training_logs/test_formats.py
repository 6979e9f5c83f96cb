"""Every format gives the same log; what is no log ends in one sentence that names file, line and what to do."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from bandit_rft.errors import InputError
from bandit_rft.training_logs import read_log, verdict_on_log
from tests.bandit_rft.training_logs import simulated

MEANS = np.random.default_rng(0).binomial(32, np.linspace(0.1, 0.9, 40)) / 32


@pytest.mark.parametrize(
    ("form", "write", "name"),
    [
        ("trl", simulated.trl, "trainer_state.json"),
        ("verl", simulated.verl_console, "run.log"),
        ("verl", simulated.verl_lines, "metrics.jsonl"),
        ("tunix", simulated.tunix_lines, "metrics.jsonl"),
        ("csv", simulated.wandb_csv, "wandb.csv"),
        ("tunix", simulated.tensorboard, "events"),
    ],
)
def test_each_format_gives_back_the_rewards_that_were_written(form, write, name, tmp_path) -> None:
    log = read_log(write(MEANS, tmp_path / name), form, rollouts=32)
    np.testing.assert_allclose(log.reward, MEANS, atol=1e-7)
    np.testing.assert_array_equal(log.successes, np.rint(MEANS * 32))
    assert set(np.diff(log.step)) == {1}
    assert set(log.responses) == {32}
    assert set(log.rounds) == {1}


def test_a_log_of_means_over_ten_steps_counts_the_responses_of_all_ten(tmp_path) -> None:
    """TRL's logging_steps averages; taking a row for one round would call its scatter ten times too small."""
    history = [{"step": 10 * row, "reward": 0.25} for row in range(1, 6)]
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": history}))
    log = read_log(path, "trl", rollouts=8, prompts=2)
    assert list(log.responses) == [160] * 5
    assert list(log.rounds) == [10] * 5


def test_a_csv_can_say_how_many_responses_each_round_has(tmp_path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("round,score,rollouts\n0,0.25,8\n1,0.5,16\n2,0.5,16\n")
    log = read_log(path, "csv", reward="score", step="round", prompts=2)
    assert list(log.responses) == [8, 16, 16]
    assert list(log.group) == [4, 8, 8]


def test_a_resumed_run_counts_each_step_once_and_the_later_record_stands(tmp_path) -> None:
    path = tmp_path / "run.log"
    path.write_text(
        "\n".join(f"step:{step} - critic/score/mean:{mean}" for step, mean in [(1, 0), (2, 0), (2, 1), (3, 1)])
    )
    log = read_log(path, "verl", rollouts=4)
    assert list(log.step) == [1, 2, 3]
    assert list(log.reward) == [0, 1, 1]
    assert "logged again" in log.notes[0]


MALFORMED = [
    ("trl", "", "is empty"),
    ("trl", "{\n not json", "Line 2 of .* is no JSON"),
    ("trl", '{"log_history": 3}', "log_history is missing"),
    ("trl", "[" * 100_000, "is no JSON"),
    ("trl", '{"log_history": [{"step": 1, "loss": 2}]}', "no column reward"),
    ("trl", '{"log_history": [3]}', "Record 1 of log_history"),
    ("trl", '{"log_history": [{"step": 1, "reward": NaN}]}', "Record 1 .* no finite number"),
    ("trl", '{"log_history": [{"step": 1, "reward": "__import__(1)"}]}', "Record 1 .* no finite number"),
    ("trl", '{"log_history": [{"step": -1, "reward": 0.5}]}', "no whole step"),
    ("trl", '{"log_history": [{"step": 1e400, "reward": 0.5}]}', "no whole step"),
    ("trl", '{"log_history": [{"reward": 0.5}]}', "no column of steps"),
    ("verl", "nothing of the kind\n", "no record of the verl format"),
    ("verl", '{"step": 1, "data": {"critic/score/mean": 0.5}}\n{"step"\n{}', "Line 2 of"),
    ("verl", '{"data": {"critic/score/mean": 0.5}}', "Line 1 of .* has no step"),
    ("verl", "step:1 - critic/score/mean:zero", "Line 1 of .* no finite number"),
    ("tunix", '{"step": 1, "train/loss": 0.5}\n', "no column rewards/overall or rewards/sum"),
    ("csv", "step,reward\n1,0.5\n2\n", "Line 3 of .* has 1 values and line 1 has 2 names"),
    ("csv", 'step,reward\n1,"0.5\n', "Line .* is no comma-separated line"),
    ("csv", "step,reward,reward\n1,0.5,0.5\n", "names the column 'reward' twice"),
    ("csv", "step,a - reward,b - reward\n1,0.5,0.5\n", "name one with --reward"),
    ("csv", "step,reward\n1.5,0.5\n", "Line 2 of .* no whole step"),
    ("csv", "step,reward\n1,1_0\n", "Line 2 of .* no finite number"),
    ("csv", "step,reward\0\n1,1\n", "holds bytes"),
]


@pytest.mark.parametrize(("form", "text", "sentence"), MALFORMED)
def test_a_malformed_log_is_one_sentence(form, text, sentence, tmp_path) -> None:
    path = tmp_path / "log"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence) as caught:
        read_log(path, form, rollouts=4)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_binary_file_and_one_that_is_missing_are_sentences(tmp_path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"ok\n\xff\xfe\x00")
    with pytest.raises(InputError, match=r"Line 2 of .* no UTF-8"):
        read_log(path, "verl", rollouts=4)
    with pytest.raises(InputError, match="cannot be read"):
        read_log(tmp_path / "none", "csv", rollouts=4)


def test_a_log_that_does_not_say_its_rollouts_asks_for_them(tmp_path) -> None:
    path = simulated.trl(MEANS, tmp_path / "trainer_state.json")
    with pytest.raises(InputError, match="give --rollouts"):
        read_log(path, "trl")


def test_event_files_without_their_library_and_damaged_ones_are_sentences(tmp_path, monkeypatch) -> None:
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes((8).to_bytes(8, "little") + b"\0" * 4 + b"\xff" * 8 + b"\0" * 4)
    with pytest.raises(InputError, match=r"Record 1 of .* is damaged"):
        read_log(path, "trl", rollouts=4)
    monkeypatch.setitem(sys.modules, "tensorboardX.proto.event_pb2", None)
    with pytest.raises(InputError, match="pip install tensorboardX"):
        read_log(path, "trl", rollouts=4)


@pytest.mark.parametrize(
    ("means", "reason"),
    [
        (np.full(10, 0.5), "has 10 rows"),
        (np.zeros(40), "0 right responses"),
        (np.full(40, 1.0), "nothing is left to learn"),
        (np.linspace(0.1, 1.5, 40), "the law is of rewards 0 or 1"),
        (np.linspace(0.11, 0.93, 40), "no whole number of 32 responses"),
    ],
)
def test_what_cannot_be_tested_says_why(means, reason, tmp_path) -> None:
    found = verdict_on_log(simulated.verl_lines(means, tmp_path / "log"), format="verl", rollouts=32)
    assert found.verdict == "NOT TESTED"
    assert reason in found.reason


def test_what_is_no_path_is_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="The log is 3: give the path of a file"):
        verdict_on_log(3, format="csv", rollouts=2)  # type: ignore[arg-type]
