"""Figures: drawn from saved runs alone, with their origin in the file, and nothing half written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bandit_rft.errors import InputError
from bandit_rft.plots import finetune_run, needle_regret
from bandit_rft.runs import config_hash
from tests.bandit_rft.run_folders import fine_tuned, simulated


def test_a_png_records_command_configuration_key_and_commit(tmp_path: Path) -> None:
    runs = [simulated(tmp_path / "few", 2), simulated(tmp_path / "many", 100)]
    png = needle_regret.draw(runs)
    assert png == tmp_path / "figures" / "needle_regret.png"
    with Image.open(png) as image:
        origin = json.loads(image.text["Comment"])  # type: ignore[attr-defined]
        assert image.width >= 1000  # a column at 300 dots an inch
    config = json.loads((tmp_path / "few" / "config.json").read_text())
    assert origin["runs"]["few"]["config_hash"] == config_hash(config)
    assert origin["runs"]["few"]["key"] == 0
    assert set(origin) >= {"command", "commit", "runs"}
    manifest = json.loads((png.parent / "manifest.json").read_text())
    assert set(manifest) == {"needle_regret.png"}
    assert [path.name for path in png.parent.iterdir() if "partial" in path.name] == []


def test_drawing_again_gives_the_same_picture(tmp_path: Path) -> None:
    """Catches a figure with a clock or an unseeded draw in it: a gallery must be reproducible."""
    folder = fine_tuned(tmp_path / "run")
    first = finetune_run.draw(folder).read_bytes()
    assert finetune_run.draw(folder).read_bytes() == first


@pytest.mark.parametrize("rounds_done", [1, 7, 60])
def test_an_unfinished_run_can_be_drawn(tmp_path: Path, rounds_done: int) -> None:
    folder = fine_tuned(tmp_path / "run")
    lines = (folder / "history.jsonl").read_text().splitlines(keepends=True)
    (folder / "history.jsonl").write_text("".join(lines[:rounds_done]) + '{"round"')
    assert finetune_run.draw(folder).exists()
    assert f"{rounds_done} of 60 rounds" in finetune_run.summary(folder)


@pytest.mark.parametrize("model", ["$\\frac$", "\x1b[31m\u202e", "x" * 5000], ids=["mathtext", "marks", "long"])
def test_a_run_s_names_stand_in_its_figure_as_they_are(tmp_path: Path, model: str) -> None:
    """Catches a name that matplotlib takes for mathematics, and raises over, and one as wide as a street."""
    run = fine_tuned(tmp_path / "run", model=model)
    assert finetune_run.draw(run).stat().st_size < 400_000


def test_a_figure_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    run = fine_tuned(tmp_path / "run")
    (run / "figures").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        finetune_run.draw(run)


def test_without_a_measurement_kappa_is_fitted_and_said_to_be(tmp_path: Path) -> None:
    summary = finetune_run.summary(fine_tuned(tmp_path / "run", kappa=None))
    assert "fitted on the first" in summary
    assert "kappa was not measured before the run" in summary


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"optimizer": "adamw"}, "optimiser is adamw"),
        ({"epochs": 2}, "2 epochs"),
        ({"schedule": "cosine"}, "schedule = cosine"),
    ],
)
def test_no_prediction_is_drawn_where_the_theory_does_not_apply(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    folder = fine_tuned(tmp_path / "run", **changes)
    assert reason in finetune_run.summary(folder)
    assert finetune_run.draw(folder).exists()


def test_running_mean_is_that_of_the_last_values() -> None:
    values = np.array([1.0, 0.0, 0.0, 1.0, 1.0])
    np.testing.assert_allclose(finetune_run.running_mean(values, 2), [1.0, 0.5, 0.0, 0.5, 1.0])
    np.testing.assert_allclose(finetune_run.running_mean(values, 9), [1.0, 0.5, 1 / 3, 0.5, 0.6])
