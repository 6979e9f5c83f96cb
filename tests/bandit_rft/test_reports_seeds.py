"""report.html of a run of many seeds: true to the run's numbers, also while the run goes on."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bandit_rft.cli import main
from bandit_rft.errors import InputError
from bandit_rft.plots import style
from bandit_rft.plots.averages import interval, mean_of, means, moving
from bandit_rft.reports import report
from bandit_rft.run_law import law_of
from bandit_rft.runs import EVALUATIONS, LINES, RESPONSES, read_lines, to_line
from bandit_rft.runs.rollouts import responses_record
from bandit_rft.verdict import compare
from tests.bandit_rft.run_folders import ROUNDS, SEEDS, evaluation, fine_tuned, fine_tuned_seeds
from tests.bandit_rft.test_reports import Tags, chart, drawn


def test_the_curves_are_means_over_seeds(tmp_path: Path) -> None:
    """Catches one seed's curve in place of the mean, a window that is off, a missing law."""
    run = fine_tuned_seeds(tmp_path / "run")
    source = report.write(run).read_text()
    history = report.read_history(run)
    window = 5
    want = np.asarray([np.convolve(row, np.full(window, 1 / window), "valid") for row in history.rewards[:, :, 0]])
    axes = chart(run, "Reward and training Pass@1")
    *single, (middles, mean) = drawn(axes, style.ORANGE)
    np.testing.assert_allclose(mean, want.mean(axis=0))
    np.testing.assert_allclose(middles, np.arange(2, ROUNDS - 2))
    np.testing.assert_allclose([line[1] for line in single], want)
    found = law_of(history)
    law = found.prediction
    assert law is not None
    [(_, value)] = drawn(axes, style.INK)
    np.testing.assert_allclose(value, law.value)
    assert compare(history, found.at(ROUNDS)).report() in html.unescape(source)
    assert "on question 3 of arithmetic, 5 seeds</h1>" in source
    assert "<p>40 of 40 rounds, 1 response each" in source
    assert "The same in every round: learning rate: 0.25." in source
    assert "Learning signal, mean" in source
    assert "KL" not in source.split("<h2>Theory")[0]
    assert "(seeds that have it)" in source


def test_every_seed_s_evaluation_stands_in_the_report(tmp_path: Path) -> None:
    run = fine_tuned_seeds(tmp_path / "run")
    source = report.write(run).read_text()
    found = means(report.read_history(run).evaluations, "train")
    assert [(one.round, one.seeds) for one in found] == [(0, 1), (20, 5), (40, 5)]
    shares = np.asarray([10 + 5 * seed for seed in range(SEEDS)]) / 64
    assert found[-1].value == pytest.approx(shares.mean())
    for one in found:
        seeds = one.seeds if one.round else "all alike"
        assert f"<td>{one.round}</td><td>training</td><td>{seeds}</td><td>{interval(one)}</td>" in source
    axes = chart(run, "Training Pass@1 by seed")
    [after] = [line for line in axes.get_lines() if line.get_marker() == "o"]
    np.testing.assert_allclose(after.get_ydata(), shares)
    for seed, share in enumerate(shares):
        assert f"<td>{seed}</td><td>training</td><td>{share:.3f} [" in source
    assert "training Pass@1 0.203 [0.103, 0.303] → mean 0.312" in source


def test_one_seed_is_reported_without_seeds_whoever_its_records_name(tmp_path: Path) -> None:
    """One record format serves one seed and many. Catches a column, a chart or a mean of seeds for a run that has one,
    and an interval that is not the evaluation's own."""
    run = fine_tuned(tmp_path / "run")
    records = read_lines(run / EVALUATIONS)
    assert [record.pop("seed") for record in records] == [None, None, 0, 0]  # an older run's have none
    plain = report.write(run).read_text()
    (run / EVALUATIONS).write_text("".join(map(to_line, records)))
    source = report.write(run).read_text()
    assert source == plain
    assert "<td>60</td><td>training</td><td>0.938 [0.838, 1.000]</td>" in source
    assert "seed" not in source.split("<h2>Where it comes from")[0].split("<h1>")[1].replace("(1 seed", "")


def test_the_interval_of_a_mean_is_the_wider_of_the_two() -> None:
    """Student's t by scipy where seeds differ; where all are alike, that of the responses. Catches an interval of no
    width after 64 of 64 everywhere."""
    shares = np.asarray([0.1, 0.5, 0.9])
    records = [{**evaluation(3, "train", 1, 2), "pass_at_1": p, "low": p - 0.01, "high": p + 0.01} for p in shares]
    low, high = stats.t.interval(0.95, 2, shares.mean(), stats.sem(shares))
    found = mean_of(records)
    assert (found.low, found.high) == (pytest.approx(max(low, 0)), pytest.approx(min(high, 1)))
    alike = mean_of([{"round": 3, "pass_at_1": 1.0, "low": 0.94, "high": 1.0}] * 4)
    assert (alike.low, alike.high) == (pytest.approx(0.97), 1.0)  # .06 / sqrt(4)


def test_moving_means_leave_out_what_is_unknown() -> None:
    values = np.asarray([[1.0, np.nan, 3.0, 5.0, np.nan, np.nan]])
    at, found = moving(values, 2)
    np.testing.assert_array_equal(at, [0.5, 1.5, 2.5, 3.5, 4.5])
    np.testing.assert_array_equal(found, [[1.0, 3.0, 4.0, 5.0, np.nan]])


def test_a_run_that_is_going_on_is_reported(tmp_path: Path) -> None:
    """After one round, before any seed was evaluated; and the evaluations are those of their own file."""
    for done, evaluated in ((1, ()), (30, (20,))):
        run = fine_tuned_seeds(tmp_path / str(done), done=done, evaluated=evaluated)
        assert main(["report", str(run)]) == 0
        source = (run / "report.html").read_text()
        assert f"{done} of 40 rounds" in source
        assert f"5 seeds, {done} rounds" in source  # the verdict's
        assert ("Training Pass@1 by seed" in source) == bool(evaluated)


def test_responses_of_all_seeds_are_there_to_read(tmp_path: Path) -> None:
    """First, best, worst and last name their seed, those on the way take seeds in turn, and no text is markup. Catches
    seeds that are taken for one, so that the best of a round hides under another's name."""
    run = fine_tuned_seeds(tmp_path / "run")
    rewards = np.random.default_rng(0).random((ROUNDS, SEEDS, 1))
    lines = [
        responses_record(
            t,
            rewards=rewards[t].tolist(),
            texts=[[f"<i>{t} {seed}</i>"] for seed in range(SEEDS)],
            tokens=[[4]] * SEEDS,
            truncated=[[True]] * SEEDS,
        )
        for t in range(ROUNDS)
    ]
    (run / RESPONSES).write_text("".join(map(to_line, lines)))
    found = Tags(report.write(run).read_text())
    assert "i" not in found.tags
    shown = [tuple(map(int, re.findall(r"\d+", text))) for text in found.pres if text.startswith("<i>")]
    best, worst = (np.unravel_index(f(rewards[:, :, 0]), (ROUNDS, SEEDS)) for f in (np.argmax, np.argmin))
    way = [(round(k * (ROUNDS - 1) / 9), (k - 1) % SEEDS) for k in range(1, 9)]
    assert shown == [(0, 0), tuple(map(int, best)), tuple(map(int, worst)), (ROUNDS - 1, SEEDS - 1), *way]
    source = (run / "report.html").read_text()
    assert f"round {ROUNDS - 1}, seed {SEEDS - 1}, 4 tokens, truncated" in source
    (run / RESPONSES).unlink()
    assert "<h2>Rollouts" not in report.write(run).read_text()


def test_nothing_of_a_stranger_s_folder_is_markup_or_a_command(tmp_path: Path) -> None:
    run = fine_tuned_seeds(tmp_path / "run", model="<script>x</script>", data="<b>")
    source = report.write(run).read_text()
    assert not {"script", "b"} & Tags(source).tags
    assert "bandit-rft finetune --config run/config.json --seeds 5 --out AGAIN" in html.unescape(source)
    config = json.loads((run / "config.json").read_text())
    for seeds in ("8; touch x", 0, True, None):
        (run / "config.json").write_text(json.dumps({**config, "seeds": seeds}))
        with pytest.raises(InputError, match=r"config.json is damaged \(seeds\)"):
            report.write(run)
    (run / "config.json").write_text(json.dumps({**config, "rounds": "x"}))
    with pytest.raises(InputError, match=r"damaged \(rounds\)"):
        report.write(run)
    (run / "config.json").write_text(json.dumps(config))
    lines = (run / LINES).read_text().splitlines(keepends=True)
    for changed in ("[null]", '["x"]', "[1.0,1.0]"):
        record = json.loads(lines[2])
        record["rewards"][1] = json.loads(changed)
        (run / LINES).write_text("".join([*lines[:2], to_line(record), *lines[3:]]))
        with pytest.raises(InputError, match=re.escape(f"Line 3 of {run / LINES} is damaged")):
            report.write(run)
    (run / LINES).write_text("".join(lines))
    for seed in ("<b>", -1, True):
        (run / EVALUATIONS).write_text(to_line({**evaluation(20, "train", 1, 2), "seed": seed}))
        with pytest.raises(InputError, match=re.escape(f"Line 1 of {run / EVALUATIONS} is damaged")):
            report.write(run)
