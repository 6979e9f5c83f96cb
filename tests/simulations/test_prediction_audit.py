"""The study that holds the laws of a run against runs: its estimators, its page, and all of it on a small tier."""

import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bandit_rft.runs import read_json
from bandit_rft.theory import compared
from simulations.prediction_audit import adam_paths, audit, design, half_times, page, paths

DOCS = Path(__file__).resolve().parents[2] / "docs"
# What a reader of prediction-audit.json may rely on.
FIELDS = {"tier", "model", "task", "question", "optimizer", "signal", "rollouts", "step", "p0", "measured_half_time"}
FIELDS |= {"interval", "predicted"}


def test_the_half_time_of_a_curve_without_noise_is_the_round_at_which_it_is_crossed() -> None:
    """Catches an index that is off by one, and a level that is never reached read as the last round."""
    curve = np.linspace(0, 0.9, 10)
    rewards = np.broadcast_to(curve[None, :, None], (3, 10, 2))
    assert half_times.half_time(rewards, 0.45) == 5  # .0, .1, .2, .3, .4, .5: the first at or above .45 is round 5
    assert half_times.half_time(rewards, 0.95) == math.inf
    assert half_times.interval(rewards, 0.45) == (5, 5)


def test_the_half_time_of_noisy_seeds_is_near_that_of_their_mean() -> None:
    """512 seeds of coin flips around a line that crosses .5 at round 100; false alarm below 1e-3 (spread about 2)."""
    draw = np.random.default_rng(1)
    rewards = (draw.random((512, 200, 1)) < np.linspace(0, 1, 200)[None, :, None]).astype(float)
    assert abs(half_times.half_time(rewards, 0.5) - 100) < 8


def a_row(**changed: Any) -> dict[str, Any]:
    return {
        "tier": "tiny",
        "optimizer": "sgd",
        "signal": "raw",
        "measured_half_time": 40.0,
        "rollouts": 1,
        "p0": 0.1,
        "level": 0.5,
        "successes_at_half_time": 9.0,
        "predicted": {"tree": 40.0},
        **changed,
    }


def test_a_regime_is_told_by_what_was_known_before_the_run() -> None:
    """Catches regimes by what a run showed, in which lucky runs stand together: of a law that is exactly right, every
    half-time in the regime of few successes would then come too soon."""
    lucky, slow, soon = a_row(successes_at_half_time=1.0), a_row(), a_row(predicted={"tree": 16.0})
    found = {name: rows for name, rows in page.regimes([lucky, slow, soon]) if rows}
    assert found == {"tiny: sgd, raw": [lucky, slow], "tiny: fewer than 5 successes expected": [soon]}


def test_no_two_rows_share_their_chances() -> None:
    """Catches a key that leaves out the model or the condition: rows of one question then had the same seeds, and their
    errors were alike."""
    keys = {
        design.run_key(model, task, question, condition)
        for model in design.TINY.models
        for task in design.TINY.tasks
        for question in range(64)
        for condition in design.TINY.conditions
    }
    assert len(keys) == 3 * 2 * 64 * len(design.TINY.conditions)


def test_waits_add_up_to_the_level_and_no_further() -> None:
    """p of .2, .4, .8 before three successes: 1/.2 below .4; half of 1/.4 more to .6. Catches a last wait that is
    counted whole, and a level that is not reached taken for the last value."""
    values = np.array([0.2, 0.4, 0.8])
    assert paths.waiting(values, 0.4) == pytest.approx(5.0)
    assert paths.waiting(values, 0.6) == pytest.approx(5.0 + 0.5 * 2.5)
    assert paths.waiting(values, 0.2) == 0.0
    assert paths.waiting(values, 0.9) == math.inf


def test_the_model_itself_follows_the_law_and_not_one_of_another_step(tmp_path: Path) -> None:
    """The law is within 2% of the model where the step is the run's, and 15% off or more for one of 5/4 of it. Catches
    an update, a leaf or a level that is another than the run's."""
    tier = dataclasses.replace(design.TINY, responses=64)
    from llm_bridge import load_model

    model = load_model("tiny-llama")
    measured = audit._measured(tmp_path, tier, model, "tiny-addition", 0)
    found = paths.path(tier, model, "tiny-addition", 0, design.Condition("sgd", 0.7), measured)
    assert measured.tree is not None
    assert abs(math.log2(found["law"] / found["itself"])) < math.log2(1.02)
    assert found["finer_law"] is found["anew"] is None
    sample = measured.tree.sample
    right = [one for one, reward in zip(sample.tokens, sample.rewards, strict=True) if reward > 0.5]
    own = paths.Model(model, measured_prompt(model), right)
    step = 0.7 / sample.tree().kappa
    law = paths.Law(sample, right, 1.25 * step)
    course = paths.follow(own, model.params, law, step, 0.4, np.random.default_rng(0))
    assert paths.waiting(course.itself, 0.4) > 1.15 * paths.waiting(course.law, 0.4)


def test_a_crossing_is_between_two_rounds() -> None:
    """Catches a level that is reached at the start or never, and a round that is counted whole."""
    assert adam_paths.crossing([0.1, 0.2, 0.4], 0.3) == pytest.approx(1.5)
    assert adam_paths.crossing([0.3, 0.1], 0.3) == 0.0
    assert adam_paths.crossing([0.1, 0.2], 0.3) == math.inf


def test_what_a_right_law_shows_is_early_by_the_chance_of_few_seeds() -> None:
    """A law without chance shows what it says; one whose Pass@1 climbs slowly from .3 to .7 is shown early by 16 seeds,
    and ten times less by 1,600. Catches batches that share seeds, and a ratio upside down."""

    def law(curve: np.ndarray, chance: bool) -> SimpleNamespace:
        def sample(generator: np.random.Generator, seeds: int, at: np.ndarray) -> SimpleNamespace:
            value = np.broadcast_to(curve[at], (seeds, at.size))
            rewards = (generator.random(value.shape) < value).astype(float) if chance else value
            return SimpleNamespace(total_reward=np.cumsum(rewards, axis=1))

        return SimpleNamespace(sample=sample)

    curve = np.linspace(0.3, 0.7, 81)
    assert half_times.shown_by_itself(law(curve, False), 40.0, 0.5, 81, 2) == pytest.approx(0.0)
    few, many = (half_times.shown_by_itself(law(curve, True), 40.0, 0.5, 81, seeds) for seeds in (16, 400))
    assert few is not None
    assert many is not None
    assert few > 0.03
    assert abs(many) < few / 2


@pytest.mark.slow
def test_under_adamw_the_model_follows_the_law_whose_scores_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within 4% of the model itself, where the law in which scores stay is late by 8% or more. Catches a step, a round
    or a momentum that is another than the run's, and scores that turn the other way."""
    from llm_bridge import load_model

    monkeypatch.setattr(adam_paths, "SEQUENCES", 2)
    tier, model = dataclasses.replace(design.TINY, responses=64), load_model("tiny-llama")
    measured = audit._measured(tmp_path, tier, model, "tiny-addition", 0)
    found = adam_paths.adam_path(tier, model, "tiny-addition", 0, design.Condition("adamw", 1e-4), measured)
    assert abs(math.log2(found["law"] / found["itself"])) < math.log2(1.04)
    assert found["still"] > 1.08 * found["itself"]


def measured_prompt(model: Any) -> np.ndarray:
    from llm_bridge.data import datasets

    example = datasets.load("tiny-addition", "train").example(0)
    return np.asarray(model.encode(example.prompt), np.int32)


def test_chance_alone_makes_the_median_that_a_right_law_shows() -> None:
    """Half-times of a right law, log-normal with the stated spread: their median |log2| lies in the stated range; 1,000
    studies of 15 rows, 95% of them inside (false alarm below 1e-4). Catches a spread of the wrong quantile."""
    rows = [a_row(tree_interval_80=[40.0 / 2**width, 40.0 * 2**width]) for width in np.linspace(0.1, 0.8, 15)]
    _, low, high = page.by_chance(rows)
    spread = np.array([math.log2(row["tree_interval_80"][1] / 40.0) for row in rows]) / 1.2816
    drawn = np.median(np.abs(np.random.default_rng(1).normal(size=(1000, 15)) * spread), axis=1)
    assert 0.92 < np.mean((low <= drawn) & (drawn <= high)) < 0.98


def test_the_page_says_what_its_data_say() -> None:
    """The committed page is made of the committed data. Catches one that was changed by hand."""
    data = read_json(DOCS / "prediction-audit.json")
    for record in data["rows"]:  # those that were refused too
        assert record.keys() >= FIELDS
        assert record["predicted"].keys() >= set(compared.LAWS)
    said = (DOCS / "prediction-audit.md").read_text()
    assert page.table(data["rows"]) in said
    inside, tested = page.covered([record for record in data["rows"] if record["tier"] == "tiny"])
    assert f"Of {tested} half-times {inside} lie in the 80% interval" in said


@pytest.mark.parametrize("early", [0, 1])
@pytest.mark.parametrize(("until", "level", "time"), [(20.0, 0.75, 40), (30.0, 0.5, 30)], ids=["few", "enough"])
def test_a_half_time_of_few_expected_successes_gives_way_to_the_time_to_three_quarters(
    monkeypatch: pytest.MonkeyPatch, until: float, level: float, time: int, early: int
) -> None:
    """By the law a fifth of all responses are right until one half: 4 or 6. Of four seeds `early` are right before
    round 30, two from then on, and all from round 40. Catches rows that test no law, a level that the run's luck
    decides, and predictions of the other level.
    """
    asked: list[float] = []

    def run(arms: object, learner: object, rounds: int, *, seeds: int, key: int, progress: object) -> SimpleNamespace:
        rewards = np.zeros((seeds, rounds, 1))
        rewards[:early] = rewards[:2, 30:] = rewards[:, 40:] = 1.0
        return SimpleNamespace(rewards=rewards)

    def predicted(summary: object, condition: object, step: float, at: float) -> dict[str, float]:
        asked.append(at)
        return {"tree": until}

    def law(summary: object, condition: object, step: float, rounds: int) -> SimpleNamespace:
        return SimpleNamespace(value=np.full(rounds, 0.2))

    monkeypatch.setattr(half_times.bandit_rft, "run", run)
    monkeypatch.setattr(half_times, "predicted", predicted)
    monkeypatch.setattr(half_times, "_prediction", law)
    monkeypatch.setattr(half_times, "foretold", lambda measured, condition, step, at, rounds, seeds: {"foretold": at})
    monkeypatch.setattr(half_times, "arms_of", lambda model, example: None)
    monkeypatch.setattr(half_times, "learner_of", lambda tier, model, condition, step: None)
    tree = SimpleNamespace(refuse=lambda: None, kappa=1.0, p0=0.2, counted=0.2, decisions=1.0)
    measured: Any = SimpleNamespace(summary=lambda: SimpleNamespace(tree=tree))
    model: Any = SimpleNamespace(name="tiny-llama")
    tier = dataclasses.replace(design.TINY, seeds=4)
    row = half_times.row(tier, model, "tiny-addition", 0, design.Condition("sgd", 0.7), measured, 1.0)
    assert row["level"] == row["foretold"] == level
    assert row["measured_half_time"] == time
    assert asked == [0.5, level]
    assert np.shape(row["right"]) == (4, row["rounds"])


@pytest.mark.slow
def test_a_whole_study_on_one_question_and_what_is_done_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = dataclasses.replace(
        design.TINY,
        models=("tiny-llama",),
        tasks=("tiny-addition",),
        conditions=(design.Condition("sgd", 0.7, bins=("0.25",)), design.Condition("adamw", 3e-4, bins=("0.25",))),
        scanned=8,
        scan_samples=32,
        responses=64,
        seeds=4,
        tests=design.Tests(questions=3, responses=32, seeds=2, samples=8),
    )
    monkeypatch.setattr(audit, "TIERS", {"tiny": small})
    monkeypatch.setattr(half_times, "BOOTSTRAPS", 3)
    told: list[int] = []
    rows = audit.audit(tmp_path / "run", progress=lambda done, total, row: told.append(done))
    assert [row["optimizer"] for row in rows] == ["sgd", "adamw"]
    result = read_json(tmp_path / "run" / audit.RESULT)
    (curve,) = result["transfer"]
    assert len(curve["predicted"]) == len(curve["measured"]) == 3
    assert all(0 <= value <= 1 for value in [*curve["predicted"], *curve["measured"]])
    curves = [json.loads(line) for line in (tmp_path / "run" / audit.CURVES).read_text().splitlines()]
    assert [np.shape(curve["right"]) for curve in curves] == [(4, row["rounds"]) for row in rows]
    assert not any("right" in row for row in rows)
    before, heard = (tmp_path / "run" / audit.ROWS).read_bytes(), len(told)
    audit.audit(tmp_path / "run", progress=lambda done, total, row: told.append(done))
    assert (tmp_path / "run" / audit.ROWS).read_bytes() == before
    assert len(told) == heard


@pytest.mark.slow
def test_an_error_of_the_law_has_its_causes_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a row whose error counts as large whatever it is."""
    from llm_bridge import load_model

    monkeypatch.setattr(paths, "LARGE", 0.0)
    tier, model = dataclasses.replace(design.TINY, responses=64), load_model("tiny-llama")
    measured = audit._measured(tmp_path, tier, model, "tiny-addition", 0)
    found = paths.path(tier, model, "tiny-addition", 0, design.Condition("sgd", 0.7), measured)
    for said, seen in (("law", "itself"), ("finer_law", "finer_itself"), ("anew", "itself")):
        assert abs(math.log2(found[said] / found[seen])) < math.log2(1.05)
    assert 3 * found["itself"] < found["finer_itself"] < 5 * found["itself"]
