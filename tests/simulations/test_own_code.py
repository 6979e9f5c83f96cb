"""A learner, an arm set and a verifier of one's own, by name: docs/own-code.md as it stands, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bandit_rft import History
from bandit_rft.cli import main
from bandit_rft.errors import InputError
from bandit_rft.presets.config import from_values, read

PAGE = (Path(__file__).parents[2] / "docs" / "own-code.md").read_text()
BLOCKS = dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"^    (bandit-rft .*?)(\s+# refused.*)?$", PAGE, re.MULTILINE)
NEEDLE = {"type": "Needle", "log10_arms": 3, "p0": 0.1}
STRANGE = """
import os
class Empty:
    pass
class Raises:
    def __init__(self):
        raise KeyError("no")
    def bind(self, arms, *, rounds, row_capacity=None): ...
class NoArms:
    jittable = False
    def pull(self, key, arms): ...
    def mean(self, arms): ...
def function(arms):
    os.mkdir("called")
class Open:
    def __init__(self, *args, **kwargs):
        self.kwargs = kwargs
    def bind(self, arms, *, rounds, row_capacity=None): ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with every file of the page in it."""
    monkeypatch.chdir(tmp_path)
    for name, text in BLOCKS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "strange.py").write_text(STRANGE)
    return tmp_path


def test_the_page_shows_all_three() -> None:
    assert set(BLOCKS) == {
        *("constant_bonus.py", "constant_bonus.toml", "ladder.py", "ladder.toml", "last_word.py"),
    }
    assert len(COMMANDS) == 6


@pytest.mark.parametrize(("command", "refused"), COMMANDS, ids=lambda text: text.strip()[:60])
def test_the_pages_commands_do_what_they_say(
    folder: Path, command: str, refused: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command.split()[1:]) == (2 if refused else 0)
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    if not refused and "simulate" in command:
        assert "no prediction: the catalogue knows no law of" in shown.out


def test_a_run_records_the_code_and_refuses_another(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches a folder that says nothing of the code it ran, and one that is repeated with changed code in silence."""
    assert main(["simulate", "constant_bonus.toml", "--out", "first"]) == 0
    saved = json.loads((folder / "first" / "config.json").read_text())
    (source,) = saved["sources"].values()
    assert (source["module"], source["name"]) == ("constant_bonus.py", "ConstantBonus")
    assert list(source["sha256"]) == ["constant_bonus.py"]
    assert main(["simulate", "first", "--out", "again"]) == 0
    first, again = (History.load(folder / name / "history.npz") for name in ("first", "again"))
    np.testing.assert_array_equal(first.rewards, again.rewards)
    (folder / "constant_bonus.py").write_text(BLOCKS["constant_bonus.py"] + "\n# changed\n")
    capsys.readouterr()
    for arguments in (["simulate", "first", "--out", "third"], ["simulate", "constant_bonus.toml", "--out", "first"]):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert "constant_bonus.py" in said or "sources" in said
        assert len(said.strip().splitlines()) == 1
    assert not (folder / "third").exists()
    del saved["sources"]
    (folder / "anew.json").write_text(json.dumps(saved))
    assert main(["simulate", "anew.json", "--out", "third"]) == 0


def test_own_code_may_stand_within_the_packages_own(folder: Path) -> None:
    learner = {"type": "Subsampled", "size": 2, "learner": {"type": "constant_bonus.py:ConstantBonus", "bonus": 0.5}}
    arms = {"type": "Noisy", "arms": {"type": "ladder.py:Ladder"}, "true_positive": 0.9, "false_positive": 0.1}
    config = from_values({"name": "nested", "learner": learner, "arms": arms, "rounds": 5, "seeds": 2}, "here")
    config.make_learner().bind(config.make_arms(), rounds=5)
    assert set(config.to_json()["sources"]) == {"constant_bonus.py:ConstantBonus", "ladder.py:Ladder"}
    assert from_values(json.loads(json.dumps(config.to_json())), "here") == config


@pytest.mark.parametrize(
    ("table", "values", "words"),
    [
        ("learner", {"type": "strange.py:Empty"}, "strange.py:Empty has no bind"),
        ("learner", {"type": "strange.py:function"}, "has no bind: name a class"),
        ("learner", {"type": "os:system", "command": "mkdir called"}, "os:system has no bind"),
        ("learner", {"type": "subprocess:Popen", "args": ["mkdir", "called"]}, "has no bind"),
        ("learner", {"type": "strange.py:Raises"}, r"cannot be made \('no'\)"),
        ("learner", {"type": "constant_bonus.py:ConstantBonus", "colour": 1}, "has no argument 'colour'"),
        ("learner", {"type": "ladder.py:Ladder"}, "has no bind"),
        ("learner", {"type": "absent.py:Mine"}, "There is no file absent.py for the learner"),
        ("arms", {"type": "strange.py:Empty"}, "has no pull and mean"),
        ("arms", {"type": "strange.py:NoArms"}, "is no arm set: give it jittable, best_mean"),
        ("arms", {"type": "constant_bonus.py:ConstantBonus"}, "has no pull and mean"),
        ("arms", {"type": "ladder"}, "unknown type 'ladder'.*file.py:Name"),
        (
            "arms",
            {"type": "Noisy", "arms": {"type": "os:system", "command": "mkdir called"}},
            "has no pull and mean or bind",
        ),
    ],
)
def test_what_is_no_learner_or_arm_set_is_refused_before_it_is_called(
    folder: Path, table: str, values: dict, words: str
) -> None:
    """A configuration may come from anywhere: catches one that makes `simulate` call any function of Python."""
    learner = {"type": "UCB1"}
    given = {"name": "x", "arms": NEEDLE, "learner": learner, "rounds": 3, "seeds": 1, table: values}

    def make() -> None:
        config = from_values(given, "here")
        config.to_json()
        config.make_arms()
        config.make_learner()

    with pytest.raises(InputError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert not (folder / "called").exists()


@pytest.mark.parametrize("sources", [3, [1], "x", {"constant_bonus.py:ConstantBonus": 1}])
def test_damaged_sources_are_one_sentence(folder: Path, sources: object) -> None:
    values = {**read("constant_bonus.toml").to_json(), "sources": sources}
    with pytest.raises(InputError, match="sources"):
        from_values(values, "here")


def test_a_class_that_takes_any_argument_gets_them(folder: Path) -> None:
    values = {"name": "x", "arms": NEEDLE, "learner": {"type": "strange.py:Open", "depth": 3}, "rounds": 3, "seeds": 1}
    made = from_values(values, "here").make_learner()
    assert made.kwargs == {"depth": 3}  # pyright: ignore[reportAttributeAccessIssue]


def test_arms_that_do_not_know_their_means_are_run_and_summed_up(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Arms on the host without a best mean: catches a summary that asks for their regret after the run."""
    (folder / "coin.py").write_text(
        "import jax, jax.numpy as jnp\n"
        "from bandit_rft.contract import Info, Learner\n"
        "class Coin:\n"
        "    jittable, best_mean = False, None\n"
        "    def pull(self, key, arms):\n"
        "        return jnp.asarray(jax.random.bernoulli(key, 0.5, (1,)), float)\n"
        "    def mean(self, arms):\n"
        "        return None\n"
        "class Always:\n"
        "    def bind(self, arms, *, rounds, row_capacity=None):\n"
        "        return Learner(init=lambda key: jnp.zeros(()), act=lambda key, state: (jnp.zeros(1), Info(None)),\n"
        "                       update=lambda state, arms, rewards: state)\n"
    )
    (folder / "coin.toml").write_text(
        'rounds = 20\nseeds = 4\n[arms]\ntype = "coin.py:Coin"\n[learner]\ntype = "coin.py:Always"\n'
    )
    assert main(["simulate", "coin.toml"]) == 0
    shown = capsys.readouterr().out
    assert "final regret unknown, since the arm set does not know its means" in shown
    assert "nan" not in shown
