"""`bandit-rft simulate` with several learners: folders, figure, report, and what is refused before a folder is made."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bandit_rft import reports
from bandit_rft.cli import main
from bandit_rft.errors import InputError
from bandit_rft.presets.several import configurations
from figures import registry

SMALL = ["--set", "rounds=400", "--set", "seeds=4"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_several_learners_are_run_drawn_and_reported_in_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    """And again from what is saved: by `figures` and by `report`. Catches a bound that is vacuous and "agrees"."""
    command = ["simulate", "ucb1", "thompson", "kl-ucb", "--arms", "bernoulli2", *SMALL]
    assert main([*command, "--out", "runs/all"]) == 0
    said = capsys.readouterr().out
    for expected in ("NOT TESTED: ucb1_bound", "NOT TESTED: lai_robbins", "thompson - ucb1", "kl_ucb_bound", "Report:"):
        assert expected in said, said
    assert "AGREES with ucb1_bound" not in said
    folder = Path("runs/all")
    assert {path.name for path in folder.iterdir()} == {"ucb1", "thompson", "kl-ucb", "figures", "report.html"}
    page = (folder / "report.html").read_text()
    assert "NOT TESTED: ucb1_bound" in page
    assert "thompson - ucb1" in page  # the first that was named is the baseline here too
    with Image.open(folder / "figures" / "learner_regret.png") as picture:
        drawn = np.asarray(picture)
    assert registry.draw([], ["runs/all"]) == [folder / "figures" / "learner_regret.png"]
    with Image.open(folder / "figures" / "learner_regret.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), drawn)
    assert reports.write(folder).read_text() == page


def test_a_single_learner_that_is_no_preset_runs_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "kl-ucb", "--arms", "bernoulli2", "--set", "rounds=50", "--set", "seeds=1"]) == 0
    said = capsys.readouterr().out
    assert "kl_ucb_bound" in said
    [folder] = Path("runs").iterdir()
    assert folder.name.startswith("bernoulli2-kl-ucb-")


def test_settings_go_to_the_learners_that_have_them() -> None:
    """Catches a setting of one learner that another one gets, and one that nobody gets."""
    found = configurations(
        ["ucb", "kl-ucb", "softmax", "exp3"],
        "bernoulli5",
        ["rounds=7", "kl-ucb.c=3", "step_size=0.5", "arms.means=[0.1, 0.9]", "ucb.alpha=3"],
    )
    assert {config.rounds for config in found.values()} == {7}
    assert found["kl-ucb"].learner == {"type": "KLUCB", "c": 3}
    assert found["ucb"].learner == {"type": "UCB", "alpha": 3}
    assert found["softmax"].learner["step_size"] == 0.5
    assert all(config.arms["means"] == [0.1, 0.9] for config in found.values())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["ucb1", "thomson"], "no learner 'thomson' (did you mean thompson?)"),
        (["ucb1", "needle"], "no learner 'needle'"),
        (["ucb1", "ucb1"], "given twice"),
        (["ucb1", "thompson", "--arms", "bernuolli10"], "did you mean bernoulli10?"),
        (["--arms", "bernoulli10"], "--arms needs learners"),
        (["ucb1", "theory-audit"], "run it alone"),
        (["ucb1", "thompson", "--set", "c=3"], "neither a field nor an argument"),
        (["ucb1", "thompson", "--set", "greedy.c=3"], "names none of the learners"),
        (["ucb1", "thompson", "--set", "rounds=0"], "rounds is 0"),
        (["ucb1", "thompson", "--set", "arms.means=[0.1, 1.5]"], "must lie in [0, 1]"),
        (["thompson", "tsallisinf", "--arms", "million", "--set", "arms.sigma=1"], "for rewards in [0, 1]"),
        (["ucb1", "subsampled"], "needs learner"),
    ],
)
def test_what_cannot_be_run_is_one_sentence_and_no_folder(
    command: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *command]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("runs").exists()


def test_a_folder_of_one_run_does_not_take_several(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "ucb1", "--set", "rounds=20", "--set", "seeds=2", "--out", "runs/one"]) == 0
    assert main(["simulate", "ucb1", "thompson", *SMALL, "--out", "runs/one"]) == 2
    assert "holds one run" in capsys.readouterr().err


def test_own_learners_stand_beside_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    """No law is known of them, and the figure and the pairs are made all the same."""
    Path("mine.py").write_text("from bandit_rft.learners import Greedy\n\n\nclass Mine(Greedy):\n    pass\n")
    assert main(["simulate", "ucb1", "mine.py:Mine", "--arms", "bernoulli2", *SMALL]) == 0
    said = capsys.readouterr().out
    assert "no law of mine.py:Mine" in said
    assert "Mine - ucb1" in said


def test_a_report_of_a_folder_without_runs_is_refused() -> None:
    Path("empty").mkdir()
    with pytest.raises(InputError):
        reports.write("empty")
