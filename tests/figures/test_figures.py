"""The registry of figures: which run folders each figure can show."""

from pathlib import Path

import pytest

from bandit_rft.errors import InputError
from figures import registry
from tests.bandit_rft.run_folders import fine_tuned, simulated


def test_the_registry_gives_each_figure_the_runs_that_it_can_show(tmp_path: Path) -> None:
    simulated(tmp_path / "a", 2)
    fine_tuned(tmp_path / "b")
    written = registry.draw([], [tmp_path])
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "a/figures/needle_regret.png",
        "a/figures/seed_bands.png",
        "b/figures/finetune.png",
    ]
    with pytest.raises(InputError, match="no figure 'x'"):
        registry.draw(["x"], [tmp_path])
    with pytest.raises(InputError, match="None of the 1 runs"):
        registry.draw(["needle_regret"], [tmp_path / "b"])
    with pytest.raises(InputError, match="no run folder"):
        registry.draw([], [tmp_path / "nowhere"])
