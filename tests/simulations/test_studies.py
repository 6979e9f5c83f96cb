"""Each study runs from end to end on a small grid, and its figure is drawn from what it saved. Catches a figure that
asks for a point or a measure that its study does not save, and a study that no figure accepts.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit_rft import run
from figures import registry
from simulations import (
    correct_arms,
    drift_multipliers,
    hitting_times,
    infinite_arms,
    regime_map,
    regret_against_arms,
    signals_compared,
    takeover,
)

SMALL: dict[Any, dict[str, Any]] = {
    regret_against_arms: {"ROUNDS": 40, "LOG10_ARMS": [1.0, 100.0], "LEARNERS": ("UCB1", "softmax PG (raw, .5)")},
    correct_arms: {"ROUNDS": 40, "LENGTHS": [1, 3], "POLICIES": ("table", "prefix tree", "softmax at each position")},
    infinite_arms: {"PULLS": [20, 50], "LEARNERS": ("best run", "Thompson on sqrt(n) arms")},
    signals_compared: {"PULLS": 32, "SIGNALS": ["raw", "grpo"], "ROLLOUTS": [1, 4]},
    regime_map: {
        "ROUNDS": 100,
        "LOG10_ARMS": [1.0, 100.0],
        "P0": [0.01, 0.3],
        "LEARNERS": ("softmax PG (raw, .5)", "explore until success", "UCB1"),
    },
    drift_multipliers: {"SIGNALS": ["raw", "pass_at_k", drift_multipliers.REDRAWN], "ROLLOUTS": [2, 4], "P0": [0.1]},
    hitting_times: {"STEPS": [1.0, 4.0], "ROUNDS": 100},
    takeover: {"CORRECT": [1, 3], "STEPS": [1.0]},
}


HEAVY = (correct_arms, drift_multipliers, regime_map, signals_compared)  # a dozen compilations each


@pytest.mark.parametrize(
    "study",
    [pytest.param(study, marks=pytest.mark.slow) if study in HEAVY else study for study in SMALL],
    ids=lambda module: module.__name__,
)
def test_a_study_and_its_figure(study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL[study].items():
        whole = getattr(study, name)
        monkeypatch.setattr(study, name, {key: whole[key] for key in value} if isinstance(whole, dict) else value)
    result = study.study(tmp_path / "run", 3)
    for samples in result.samples.values():
        assert np.isfinite(samples).all()
    assert [path.name for path in registry.draw([], [tmp_path / "run"])] == [f"{study.__name__.split('.')[-1]}.png"]
    again = study.study(tmp_path / "run", 3)  # every point is found again
    for name, samples in result.samples.items():
        np.testing.assert_array_equal(samples, again.samples[name])


def test_a_fresh_sweep_costs_what_the_note_says() -> None:
    """UCB1 beyond K = T in the study's own instance: regret T·.4·(1 − 1/K), here to the last digit at K = 10^6."""
    arms, learner = regret_against_arms.make("UCB1", 6.0)
    history = run(arms, learner, 50, seeds=4, key=0)
    np.testing.assert_allclose(history.regret()[:, -1], 50 * 0.4, rtol=1e-4)
    assert "exactly" in history.notes[0]
