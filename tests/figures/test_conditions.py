"""The figures by design choice, from run folders as `bandit-rft reproduce` leaves them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit_rft.errors import InputError
from bandit_rft.experiments import Outcome, Setting
from bandit_rft.runs import read_json, to_json
from figures import conditions, registry

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


def test_a_folder_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no finished run"):
        conditions.draw(a_study(tmp_path, {}))
