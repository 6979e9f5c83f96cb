"""The figures by design choice, from run folders as `bandit-rft reproduce` leaves them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from bandit_rft.errors import InputError
from bandit_rft.experiments import Outcome, Setting
from bandit_rft.runs import read_json, to_json
from figures import claims, conditions, registry

TINY = {"task": "tiny-addition", "optimizer": "sgd", "step": 0.7}


def a_study(folder: Path, settings: Mapping[str, Setting], questions: int = 3) -> Path:
    """Three questions of each setting, four seeds, rewards of 0 and 1, and a test at three rounds."""
    draw = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(to_json({"command": "reproduce", "tier": "tiny", "seeds": 4, "key": "by tier"}))
    (folder / "manifest.json").write_text(to_json({}))
    for name, setting in settings.items():
        for question in range(questions):
            run = folder / "runs" / f"{name}{question}"
            run.mkdir(parents=True)
            (run / "setting.json").write_text(json.dumps({"setting": setting.to_json()}))
            Outcome(
                train=draw.integers(0, 2, (4, 60)).astype(float),
                evaluated=np.array([0, 30, 60]),
                test=draw.uniform(0.2, 0.6, (4, 3)),
                p0=0.25,
                pulls=setting.pulls,
            ).write(run / "outcome.npz")
    return folder


def settings_of(model: str, **more: Any) -> dict[str, Setting]:
    given = {**TINY, "model": model, **more}
    return {
        f"{model}-raw": Setting(**given),
        f"{model}-raw8": Setting(**given, rollouts=8),
        f"{model}-grpo8": Setting(**given, rollouts=8, signal="grpo"),
    }


def test_each_model_task_and_optimiser_has_a_figure_and_models_are_compared(tmp_path: Path) -> None:
    """Catches settings of two models in one line, and a vector figure that is not written."""
    run = a_study(tmp_path / "study", {**settings_of("tiny-llama"), **settings_of("tiny-qwen2")})
    written = registry.draw(["conditions"], [run], tmp_path / "out")
    assert [path.name for path in written] == [
        "conditions-tiny-llama-tiny-addition-sgd-0.7.png",
        "conditions-tiny-qwen2-tiny-addition-sgd-0.7.png",
        "conditions-base-models-tiny-addition-sgd-0.7.png",
    ]
    assert all(path.with_suffix(".pdf").read_bytes().startswith(b"%PDF") for path in written)
    assert set(read_json(tmp_path / "out" / "manifest.json")) == {path.name for path in written}


def test_a_line_is_of_one_setting_and_a_comparison_has_two(tmp_path: Path) -> None:
    run = a_study(tmp_path, settings_of("tiny-llama"))
    found = conditions.read_runs(run)
    place = conditions.Place("tiny-llama", "tiny-addition", "sgd", 0.7)
    lines = {title: list(conditions._lines(found, place, wanted)) for title, wanted in conditions.PANELS.items()}
    assert lines["minimalist"] == ["raw, 1 rollout"]
    assert lines["advantage"] == ["raw, 8 rollouts", "GRPO, 8 rollouts"]
    assert lines["rollouts"] == ["1", "8"]
    assert lines["negative rewards"] == lines["batch"] == []
    assert {len(outcomes) for outcomes in found.values()} == {3}


def test_the_band_is_over_questions_not_over_all_their_seeds() -> None:
    """Three questions of 100 seeds that agree within each: the interval is that of three numbers."""
    units = [np.full((100, 1), value) for value in (0.3, 0.4, 0.5)]
    middle, low, high = conditions._interval(units)
    assert middle[0] == pytest.approx(0.4)
    assert high[0] - low[0] == pytest.approx(2 * 4.303 * 0.1 / np.sqrt(3), rel=1e-3)


def an_outcome(train: np.ndarray, tested: bool) -> Outcome:
    evaluated = np.arange(2 * tested)
    return Outcome(train=train, evaluated=evaluated, test=np.zeros((len(train), evaluated.size)), p0=0.25, pulls=1)


def test_the_exact_curve_of_a_table_is_drawn_as_it_is_also_once_it_is_saturated() -> None:
    """Catches a curve that is smoothed and cut since it reaches 1, and rewards of a pool that pass for exact."""
    curve = np.tile((1 / (1 + np.exp((20 - np.arange(400)) / 2))).astype(np.float32), (4, 1))
    assert (curve == 1).any()
    rounds, drawn = conditions._curve(an_outcome(curve, tested=False), "train", exact=True)
    assert rounds[0] == 0
    np.testing.assert_array_equal(drawn, curve)
    pool = np.random.default_rng(0).integers(1, 32, (4, 400)) / 32
    for tested in (True, False):
        assert conditions._curve(an_outcome(pool, tested), "train", exact=False)[1].shape == (4, 391)
    both = [conditions._curve(an_outcome(one, False), "train", True)[1] for one in (curve, np.minimum(curve, 0.99))]
    assert conditions._interval(both)[0].shape == (400,)


def test_rewards_of_a_model_without_test_questions_are_smoothed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches rewards of 0 and 1 that are drawn as an exact curve since nothing was tested, and an exact one that is
    smoothed."""
    asked: dict[str, bool] = {}
    real = conditions._curve

    def watched(outcome: Outcome, what: str, exact: bool) -> tuple[np.ndarray, np.ndarray]:
        asked[what] = exact
        return real(outcome, what, exact)

    monkeypatch.setattr(conditions, "_curve", watched)
    for task in ("tiny-addition", ""):
        run = a_study(tmp_path / (task or "table"), settings_of("tiny-llama", task=task), questions=1)
        for path in run.glob("runs/*/outcome.npz"):
            an_outcome(Outcome.read(path).train, tested=False).write(path)
        conditions.draw(run, tmp_path / "out")
        assert asked == {"train": not task}


def test_a_line_without_an_interval_says_so() -> None:
    """Catches a single seed of a single question that is drawn as known for certain."""
    _, low, high = conditions._interval([np.array([[0.4, 0.5]])])
    assert np.isnan(low).all()
    assert np.isnan(high).all()
    figure = Figure()
    axes = figure.subplots()
    lone, three = (an_outcome(np.full((seeds, 5), 0.5), tested=False) for seeds in (1, 3))
    conditions._panel(axes, {"lone": [lone], "three": [three]}, "train", exact=True)
    assert [line.get_label() for line in axes.lines] == ["lone (no interval)", "three"]


def test_an_interval_without_an_end_points_to_the_edge() -> None:
    """Catches an effect of which nothing is known that is drawn as a point."""
    strata = {
        "a": {"effect": 0.2, "interval": [None, None], "verdict": "underpowered"},
        "b": {"effect": 0.1, "interval": [0.0, 0.2], "verdict": "supported"},
    }
    told = {
        "id": "X",
        "verdict": "underpowered",
        "effect": "it",
        "direction": "above",
        "threshold": 0.0,
        "margin": 0.03,
    }
    axes = Figure().subplots()
    claims._claim(axes, {**told, "strata": strata})
    assert [(text.xy, text.xyann) for text in axes.texts] == [((0, 0), (0.2, 0)), ((1, 0), (0.2, 0))]


def test_a_folder_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no finished run"):
        conditions.draw(a_study(tmp_path, {}))
