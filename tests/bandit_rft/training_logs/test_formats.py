"""Every format gives the same log; what is no log ends in one sentence that names file, line and what to do."""

from __future__ import annotations

import gzip
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
    assert "1 record was left out" in log.notes[0]


def test_a_second_run_in_the_same_file_is_not_mixed_with_the_first(tmp_path) -> None:
    """Catches steps 3 and 4 of the first run behind those of the second."""
    path = tmp_path / "run.log"
    means = [(1, 0), (2, 0), (3, 0), (4, 0), (1, 1), (2, 1)]
    path.write_text("\n".join(f"step:{step} - critic/score/mean:{mean}" for step, mean in means))
    log = read_log(path, "verl", rollouts=4)
    assert (list(log.step), list(log.reward)) == ([1, 2], [1, 1])
    assert "4 records were left out" in log.notes[0]


def test_a_record_that_is_missing_among_means_over_ten_steps_counts_no_responses(tmp_path) -> None:
    """Catches the mean behind the gap counted as one over twenty steps."""
    history = [{"step": step, "reward": 0.25} for step in (10, 20, 40, 50)]
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps(history))
    log = read_log(path, "trl", rollouts=8)
    assert list(log.rounds) == [10, 10, 20, 10]
    assert list(log.seen) == [10, 10, 10, 10]
    assert list(log.responses) == [80] * 4


def test_means_over_several_rounds_are_seen_in_any_format(tmp_path) -> None:
    """Catches Weights & Biases' export of a TRL run with logging_steps 5 refused as no whole number of responses; and a
    log of every fifth round taken for one of means.
    """
    right = np.random.default_rng(1).binomial(32, 0.4, 100)
    path = tmp_path / "wandb.csv"
    path.write_text(
        "Step,train/global_step,train/reward\n"
        + "".join(f"{row},{5 * row + 5},{float(part.mean() / 32)!r}\n" for row, part in enumerate(right.reshape(-1, 5)))
    )
    log = read_log(path, "csv", rollouts=8, prompts=4)
    assert (set(log.rounds), set(log.seen), set(log.responses), log.looks_back) == ({5}, {5}, {160}, True)
    assert "the mean of 5 rounds" in log.notes[0]
    path.write_text("step,reward\n" + "".join(f"{5 * row},{k / 32}\n" for row, k in enumerate(right[::5])))
    log = read_log(path, "csv", rollouts=8, prompts=4)
    assert (set(log.rounds), set(log.seen), set(log.responses), log.notes) == ({5}, {1}, {32}, ())


def test_rewards_on_every_second_record_are_of_one_round_each(tmp_path) -> None:
    """TRL with num_iterations or steps_per_generation of 2: the way between rewards was taken for a mean over two."""
    history = []
    for row, mean in enumerate(MEANS.tolist()):
        history += [{"step": 2 * row + 1, "reward": mean, "loss": 0.0}, {"step": 2 * row + 2, "loss": 0.0}]
        history.append({"step": 2 * row + 2, "eval_reward": 0.5})
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": history}))
    log = read_log(path, "trl", rollouts=32)
    assert (set(log.rounds), set(log.seen), set(log.responses)) == ({1}, {1}, {32})
    assert "only 40 of 79 records have a reward" in log.notes[0]


def test_records_without_a_reward_are_said_to_be_followed_as_rounds(tmp_path) -> None:
    """Catches a table whose reward is blank on every second row taken for a log of every second round in silence."""
    path = tmp_path / "log.csv"
    means = MEANS.tolist()
    path.write_text(
        "step,reward,loss\n" + "".join(f"{2 * k},{mean},1\n{2 * k + 1},,1\n" for k, mean in enumerate(means))
    )
    log = read_log(path, "csv", rollouts=32)
    assert (set(log.rounds), set(log.seen)) == ({2}, {1})
    assert "39 records have no reward" in log.notes[0]
    path.write_text("step,reward,eval_reward\n" + "".join(f"{k},{mean},\n{k},,1\n" for k, mean in enumerate(means)))
    assert read_log(path, "csv", rollouts=32).notes == ()  # those of evaluations have none, and say so by their name


def test_a_run_resumed_at_a_step_that_was_not_logged_drops_what_it_had_logged_since(tmp_path) -> None:
    """Catches rows 50, 55, ... of weights that are gone mixed with 48, 53, ... of those that stand."""
    path = tmp_path / "log.csv"
    steps = [*range(0, 100, 5), *range(48, 100, 5)]
    path.write_text("step,reward\n" + "".join(f"{step},0.5\n" for step in steps))
    log = read_log(path, "csv", rollouts=4)
    assert list(log.step) == [*range(0, 50, 5), *range(48, 100, 5)]
    assert "10 records were left out" in log.notes[0]


def test_a_tensorboard_folder_of_a_resumed_run_drops_them_too(tmp_path) -> None:
    tensorboard = pytest.importorskip("tensorboardX")
    for steps in (range(0, 100, 5), range(48, 100, 5)):
        with tensorboard.SummaryWriter(str(tmp_path), filename_suffix=f".{steps.start}") as writer:
            for step in steps:
                writer.add_scalar("reward", 0.5, step)
                writer.add_scalar("loss", 0.5, step)
    log = read_log(tmp_path, "csv", rollouts=4)
    assert list(log.step) == [*range(0, 50, 5), *range(48, 100, 5)]


def test_a_file_with_the_last_round_first_is_read_from_its_end(tmp_path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,reward\n" + "".join(f"{step},{MEANS[step]}\n" for step in range(39, -1, -1)))
    log = read_log(path, "csv", rollouts=32)
    np.testing.assert_allclose(log.reward, MEANS)
    assert log.notes == ()


def test_rows_of_single_responses_are_averaged_and_other_repeated_steps_refused(tmp_path) -> None:
    """Catches the last response of each round taken for all of it, under the name of a resumed run."""
    path = tmp_path / "log.csv"
    rewards = np.random.default_rng(2).integers(0, 2, (30, 8))
    lines = [f"{step},{reward}\n" for step, row in enumerate(rewards) for reward in row]
    path.write_text("step,reward\n" + "".join(lines))
    log = read_log(path, "csv", rollouts=4, prompts=2)
    np.testing.assert_array_equal(log.successes, rewards.sum(axis=1))
    assert "8 rows of each step" in log.notes[0]
    with pytest.raises(InputError, match=r"8 rows of step 0 \(line 2 and line 9\): keep one row a step"):
        read_log(path, "csv", rollouts=16)


def test_rows_of_an_evaluation_never_stand_for_those_of_training(tmp_path) -> None:
    path = tmp_path / "log.csv"
    lines = [f"{step},train,{mean}\n" for step, mean in enumerate(MEANS)]
    for split in ("eval", "Validation"):
        for place, both in enumerate(([f"4,{split},0.25\n"], [f"9,{split},0.25\n", f"39,{split},0.25\n"])):
            given = [*lines[:5], *both, *lines[5:]] if place == 0 else [*lines, *both]
            path.write_text("step,split,reward\n" + "".join(given))
            log = read_log(path, "csv", rollouts=32)
            np.testing.assert_allclose(log.reward, MEANS)
            assert "left out: the column split says that it is of evaluations" in log.notes[0]
    path.write_text("step,who,reward\n" + "".join(lines) + "39,held-out,0.25\n")
    with pytest.raises(InputError, match="2 rows of step 39"):
        read_log(path, "csv", rollouts=32)


def test_rewards_of_minus_one_and_one_are_told_and_read(tmp_path) -> None:
    """Where all of them are above 0 they passed for rewards of 0 and 1 of another p0."""
    path = tmp_path / "log.csv"
    share = np.random.default_rng(3).binomial(64, np.linspace(0.6, 0.9, 40)) / 64
    path.write_text("step,reward\n" + "".join(f"{step},{2 * mean - 1}\n" for step, mean in enumerate(share)))
    found = verdict_on_log(path, format="csv", rollouts=16, prompts=4)
    assert found.verdict == "NOT TESTED"
    assert "give --reward-right 1 --reward-wrong -1" in found.reason
    np.testing.assert_allclose(read_log(path, "csv", rollouts=16, prompts=4, reward_wrong=-1.0).reward, share)
    path.write_text("step,reward\n" + "".join(f"{step},{2 * mean - 1.37}\n" for step, mean in enumerate(share)))
    assert "--reward-wrong" not in verdict_on_log(path, format="csv", rollouts=16, prompts=4).reason
    path.write_text("step,reward\n" + "".join(f"{step},{2 * mean - 1}\n" for step, mean in enumerate(1 - share)))
    assert "--reward-wrong -1" in verdict_on_log(path, format="csv", rollouts=16, prompts=4).reason
    with pytest.raises(InputError, match="are both 1: give two rewards"):
        read_log(path, "csv", rollouts=16, reward_wrong=1.0)


@pytest.mark.parametrize("nothing", ["NaN", "null", '""', '"nan"'])
def test_a_few_rounds_without_a_reward_are_left_out_and_counted(nothing, tmp_path) -> None:
    lines = [f'{{"step": {step}, "reward": {nothing if step in (3, 7) else 0.5}}}' for step in range(1, 31)]
    path = tmp_path / "trainer_state.json"
    path.write_text(f"[{','.join(lines)}]")
    log = read_log(path, "trl", rollouts=2)
    assert log.rows == 28
    assert "2 records were left out, in which reward is no number (the first at step 3)" in log.notes[0]
    path.write_text(f"[{','.join(lines[:10])}]")
    with pytest.raises(InputError, match=r"Record 3 .* no finite number, as 2 of its 10 records"):
        read_log(path, "trl", rollouts=2)


def test_gzip_tabs_and_semicolons_are_read(tmp_path) -> None:
    plain = simulated.trl(MEANS, tmp_path / "trainer_state.json")
    packed = tmp_path / "trainer_state.json.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(read_log(packed, "trl", rollouts=32).successes, np.rint(MEANS * 32))
    packed.write_bytes(packed.read_bytes()[:100])
    with pytest.raises(InputError, match="damaged gzip"):
        read_log(packed, "trl", rollouts=32)
    for mark in "\t;":
        table = tmp_path / "table"
        table.write_text("\n".join([f"step{mark}reward", *(f"{step}{mark}{mean}" for step, mean in enumerate(MEANS))]))
        np.testing.assert_allclose(read_log(table, "csv", rollouts=32).reward, MEANS)


def test_the_other_rewards_of_a_log_are_named_where_the_sum_is_none_of_0_and_1(tmp_path) -> None:
    """TRL writes the weighted sum as `reward`, and each reward function under its own name."""
    history = [
        {"step": step, "reward": mean + 0.5, "rewards/right/mean": mean, "rewards/right/std": 0.1, "eval_reward": 1}
        for step, mean in enumerate(MEANS.tolist(), start=1)
    ]
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps(history))
    assert "--reward, such as rewards/right/mean." in verdict_on_log(path, rollouts=32).reason


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
    ("csv", '{"log_history": []}', "is JSON"),
    ("csv", "a,b\n1,1\n", r"\(it has 'a', 'b'\)"),
    ("trl", "step,reward\n1,1\n", "another --format"),
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


@pytest.mark.parametrize("step_size", [-5.0, float("nan"), 0.0])
def test_a_step_size_is_refused_also_where_nothing_is_tested(step_size, tmp_path) -> None:
    """Catches an option that is looked at only once the law is fitted."""
    path = tmp_path / "short.csv"
    path.write_text("step,reward\n" + "\n".join(f"{step},0.5" for step in range(5)))
    with pytest.raises(InputError, match=r"step_size is .*: give a positive finite number"):
        verdict_on_log(path, format="csv", rollouts=8, step_size=step_size)


def test_rows_of_groups_of_two_sizes_are_not_added_up_and_both_are_said(tmp_path) -> None:
    """610 rounds, of 4 rollouts up to the 303rd and of 16 after it. Catches a law of the first row's group for rows of
    two, and a report that names the first alone."""
    path, sizes = tmp_path / "log.csv", [4] * 303 + [16] * 307
    rows = [f"{step},0.5,{size}" for step, size in enumerate(sizes)]
    path.write_text("step,reward,rollouts\n" + "\n".join(rows))
    merged = read_log(path, "csv").merged()
    assert int(merged.rounds.sum()) == 610
    assert set((merged.responses / merged.rounds).tolist()) == {4.0, 16.0}
    np.testing.assert_array_equal(merged.group * merged.rounds, merged.responses)
    path.write_text("step,reward,rollouts\n" + "\n".join(rows[300:306]))
    assert "1 prompt of 4 to 16 rollouts" in verdict_on_log(path, format="csv").report()
    path.write_text("step,reward,rollouts\n" + "\n".join(rows[:6]))
    assert "1 prompt of 4 rollouts" in verdict_on_log(path, format="csv").report()


def test_what_is_no_path_is_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="The log is 3: give the path of a file"):
        verdict_on_log(3, format="csv", rollouts=2)  # type: ignore[arg-type]
