"""Figures: drawn from saved runs alone, with their origin in the file, and nothing half written."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from PIL import Image

from bandit_rft import arms, learners, plots, run, theory
from bandit_rft.errors import InputError, UnknownOptimumError
from bandit_rft.plots import finetune, needle_regret, seed_bands, style
from bandit_rft.plots.averages import means
from bandit_rft.presets.config import from_values
from bandit_rft.presets.simulate import predict
from bandit_rft.regret import band
from bandit_rft.reports.theory import of_simulation
from bandit_rft.run_law import law_of
from bandit_rft.runs import config_hash, read_history
from tests.bandit_rft.run_folders import ROUNDS, fine_tuned, fine_tuned_seeds, simulated


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


@pytest.mark.parametrize(
    "more",
    [
        {"epochs": 8},
        {"replay": 2},
        {"entropy_coefficient": 0.1},
        {"kl_coefficient": 0.1},
        {"signal": "grpo", "rollouts": 2},
        {"rollouts": 1, "dynamic_sampling": 1},
        {"step_size": -1.0},
        {"no_such_argument": 1},
    ],
    ids=str,
)
def test_the_jump_chain_is_drawn_of_no_learner_that_it_does_not_describe(tmp_path: Path, more: dict) -> None:
    """Only signal, rollouts and optimal arms were looked at: a figure named another learner's curve exact, and the
    report told a falsified law. What simulate says of a run and what is drawn of it must be one answer.
    """
    config = json.loads((simulated(tmp_path / "run", 2, rounds=4) / "config.json").read_text())
    assert needle_regret.accepts(config)
    law = needle_regret.prediction_of(config)
    assert law.regret.tobytes() == predict(from_values(config, ""))[0].regret.tobytes()  # type: ignore[union-attr]
    other = {**config, "learner": {**config["learner"], **more}}
    assert not needle_regret.accepts(other)
    assert not seed_bands.accepts(other)
    assert of_simulation(dataclasses.replace(read_history(tmp_path / "run"), config=other)).prediction is None
    assert not needle_regret.accepts({**config, "arms": {**config["arms"], "optimal": 2}})


def test_runs_of_another_start_or_length_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The title had the first run's p0 and the axis its rounds: a longer run was cut, and one of another p0 unnamed."""
    runs = [simulated(tmp_path / "few", 2, rounds=20), simulated(tmp_path / "many", 3, rounds=40)]
    config = json.loads((runs[1] / "config.json").read_text())
    (runs[1] / "config.json").write_text(json.dumps({**config, "arms": {**config["arms"], "p0": 0.2}}))
    drawn: list[Figure] = []
    monkeypatch.setattr(style, "save", lambda figure, *_, **__: drawn.append(figure))
    needle_regret.draw(runs)
    top, low = drawn[0].axes
    assert top.get_title(loc="left") == "One correct arm among $K$"
    assert [text.get_text() for text in top.get_legend().get_texts()][:2] == [
        "$K = 10^{2}$, $p_0$ = 0.1, 8 seeds",
        "$K = 10^{3}$, $p_0$ = 0.2, 8 seeds",
    ]
    assert low.get_xlim() == (0, 40)


def test_a_library_that_draws_leaves_matplotlib_as_it_is() -> None:
    """Catches a backend that is chosen for the caller: a notebook would show no figure after the import."""
    code = "import sys, matplotlib, bandit_rft.plots.finetune as f\nassert 'matplotlib.pyplot' not in sys.modules"
    code += "\nassert matplotlib.get_backend(auto_select=False) == 'svg'"
    environment = {**os.environ, "MPLBACKEND": "svg"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("make", [fine_tuned, fine_tuned_seeds])
def test_the_legend_is_inside_the_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Path]
) -> None:
    """Catches labels that are wider than the column: the legend's marks were cut off."""

    def measure(figure: Figure, path: Path, **_: object) -> Path:
        figure.draw_without_rendering()
        [legend] = figure.legends
        inside, whole = legend.get_window_extent(), figure.bbox
        assert whole.x0 <= inside.x0
        assert inside.x1 <= whole.x1
        return path

    monkeypatch.setattr(style, "save", measure)
    finetune.draw(make(tmp_path / "run"))


@pytest.mark.parametrize("make", [fine_tuned, fine_tuned_seeds])
def test_drawing_again_gives_the_same_picture(tmp_path: Path, make: Callable[..., Path]) -> None:
    """Catches a figure with a clock or an unseeded draw in it: a gallery must be reproducible."""
    folder = make(tmp_path / "run")
    first = finetune.draw(folder).read_bytes()
    assert finetune.draw(folder).read_bytes() == first


@pytest.mark.parametrize("rounds_done", [1, 7, 60])
def test_an_unfinished_run_can_be_drawn(tmp_path: Path, rounds_done: int) -> None:
    folder = fine_tuned(tmp_path / "run")
    lines = (folder / "history.jsonl").read_text().splitlines(keepends=True)
    (folder / "history.jsonl").write_text("".join(lines[:rounds_done]) + '{"round"')
    assert finetune.draw(folder).exists()
    assert f"{rounds_done} of 60 rounds" in finetune.summary(folder)


@pytest.mark.parametrize(("rounds_done", "evaluated"), [(1, ()), (30, (20,)), (40, (20, 40))])
def test_a_run_of_many_seeds_can_be_drawn_as_it_goes(
    tmp_path: Path, rounds_done: int, evaluated: tuple[int, ...]
) -> None:
    """Also before any seed was evaluated. Catches one seed's Pass@1 where that of all is told."""
    folder = fine_tuned_seeds(tmp_path / "run", done=rounds_done, evaluated=evaluated)
    assert finetune.draw(folder) == folder / "figures" / "finetune.png"
    said = finetune.summary(folder)
    assert f"toy on question 3 of arithmetic, 5 seeds: {rounds_done} of 40 rounds" in said
    assert "0.203 [0.103, 0.303] before the run" in said
    assert ("after 40 rounds (mean of 5 seeds, 0.156 to 0.469)" in said) == (40 in evaluated)


def test_one_panel_shows_one_seed_or_many(tmp_path: Path) -> None:
    """One seed: its curve and its evaluations; many: mean and band, evaluations as means. Which, the history says.
    Catches a figure that asks the configuration for the number of seeds, and a curve that is shifted by a round."""
    many = read_history(fine_tuned_seeds(tmp_path / "many"))
    records = [e for e in many.evaluations if e["seed"] in (None, 2)]
    one = dataclasses.replace(many, rewards=many.rewards[2:3], value=many.value[2:3], evaluations=tuple(records))
    window, middles = 5, np.arange(2, ROUNDS - 2)
    for history, label, bands in ((one, "reward over 5 rounds", 0), (many, "mean reward over 5 rounds, 95%", 1)):
        axes = finetune.training(Figure().subplots(), history, law_of(history))
        [line] = [line for line in axes.lines if line.get_label() == label]
        want = [np.convolve(row, np.full(window, 1 / window), "valid") for row in history.rewards[:, :, 0]]
        np.testing.assert_array_equal(line.get_xdata(), middles)
        np.testing.assert_allclose(np.asarray(line.get_ydata()), np.mean(want, axis=0), atol=1e-12)
        areas = [area for area in axes.collections if isinstance(area, PolyCollection)]
        of_rewards = [area for area in areas if to_hex(area.get_facecolor()[0]) == style.ORANGE.lower()]
        assert len(of_rewards) == bands
        [shown] = [entry for entry in axes.containers if isinstance(entry, ErrorbarContainer)]
        middle = [one.value for one in means(history.evaluations, "train")]
        np.testing.assert_allclose(np.asarray(shown.lines[0].get_ydata()), middle)
        np.testing.assert_array_equal(shown.lines[0].get_xdata(), [0, 20, 40])


@pytest.mark.parametrize("model", ["$\\frac$", "\x1b[31m\u202e", "x" * 5000], ids=["mathtext", "marks", "long"])
def test_a_run_s_names_stand_in_its_figure_as_they_are(tmp_path: Path, model: str) -> None:
    """Catches a name that matplotlib takes for mathematics, and raises over, and one as wide as a street."""
    folder = fine_tuned(tmp_path / "run", model=model)
    assert finetune.draw(folder).stat().st_size < 400_000


def test_a_figure_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    folder = fine_tuned(tmp_path / "run")
    (folder / "figures").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        finetune.draw(folder)


def test_without_a_measurement_kappa_is_fitted_and_said_to_be(tmp_path: Path) -> None:
    summary = finetune.summary(fine_tuned(tmp_path / "run", kappa=None))
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
    assert reason in finetune.summary(folder)
    assert finetune.draw(folder).exists()


# ------------------------------------------------------------------------------------------- functions for any axes


def test_the_drawing_functions_show_the_numbers_on_the_axes_that_they_are_given() -> None:
    """Regret counts a round once it is over, Pass@1 is the policy's before it. Catches a shift by a round, a band of
    another statistic, and a bound above what holds without it."""
    means_of_arms = [0.2, 0.8]
    history = run(arms.Bernoulli(means_of_arms), learners.UCB1(), 30, seeds=6)
    axes = Figure().subplots()
    assert plots.regret({"UCB1": history}, ax=axes) is axes
    bound = theory.ucb1_bound(means_of_arms, rounds=30)
    assert plots.bound(axes, bound) is axes
    law = theory.pg_jump_single(0.1, 0.5, 30)
    assert plots.prediction(axes, law, quantity="regret") is axes
    regret, above, predicted = axes.lines
    over = band(history.regret(), kind="simultaneous")
    np.testing.assert_array_equal(regret.get_xdata(), np.arange(1, 31))
    np.testing.assert_allclose(np.asarray(regret.get_ydata()), over.mean)
    corners = axes.collections[0].get_paths()[0].vertices
    assert np.isclose(np.asarray(corners)[:, 1].max(), over.high.max())
    assert np.asarray(corners)[:, 1].min() >= 0
    np.testing.assert_array_equal(above.get_xdata(), bound.at)
    assert (np.asarray(above.get_ydata()) <= bound.trivial).all()
    np.testing.assert_array_equal(predicted.get_xdata(), np.arange(1, 31))
    np.testing.assert_array_equal(predicted.get_ydata(), law.regret)
    assert [line.get_label() for line in axes.lines] == ["UCB1", "ucb1_bound, upper bound", "pg_jump_single"]

    axes = Figure().subplots()
    assert plots.pass_at_1(history, ax=axes) is axes
    assert plots.prediction(axes, law, coverage=[0.5, 0.9]) is axes
    exact, predicted = axes.lines
    np.testing.assert_array_equal(exact.get_xdata(), np.arange(30))
    np.testing.assert_allclose(np.asarray(exact.get_ydata()), history.value.mean(axis=0))
    np.testing.assert_array_equal(predicted.get_ydata(), law.value)
    assert [area.get_label() for area in axes.collections[1:]] == ["50% of the law's runs", "90% of the law's runs"]


def test_what_cannot_be_drawn_is_a_sentence(tmp_path: Path) -> None:
    history = dataclasses.replace(read_history(fine_tuned(tmp_path / "run")), evaluations=())
    axes = Figure().subplots()
    with pytest.raises(UnknownOptimumError, match="best arm's mean is unknown"):
        plots.regret(history, ax=axes)
    with pytest.raises(InputError, match="no evaluation of test"):
        plots.pass_at_1(history, ax=axes, measured="test")
    with pytest.raises(InputError, match="choose value or regret"):
        plots.prediction(axes, theory.pg_jump_single(0.1, 0.5, 30), quantity="reward")
    plots.rewards(axes, history)  # those there are
    assert len(axes.lines) == 1
