"""A simulation's configuration: presets, TOML, settings, and one sentence for each thing that is wrong."""

import dataclasses
import json
from pathlib import Path

import pytest

from bandit_rft.errors import InputError
from bandit_rft.presets.config import from_values, read
from bandit_rft.presets.named import PRESETS, preset
from bandit_rft.runs import read_json

TOML = """
rounds = 20
seeds = 3
key = 5
row_capacity = 30
[arms]
type = "Needle"
log10_arms = 100
p0 = 0.1
[learner]
type = "SoftmaxPolicyGradient"
step_size = 0.25
"""


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_made_and_survives_json(name: str) -> None:
    config = preset(name)
    config.make_learner().bind(config.make_arms(), rounds=config.rounds, row_capacity=config.row_capacity)
    assert from_values(json.loads(json.dumps(config.to_json())), "here") == config


def test_toml_and_saved_json_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    config = read(path)
    assert (config.name, config.rounds, config.seeds, config.key, config.row_capacity) == ("mine", 20, 3, 5, 30)
    assert config.make_arms().p0 == pytest.approx(0.1, rel=1e-12)
    (tmp_path / "config.json").write_text(json.dumps(config.to_json()))
    assert read(tmp_path) == config


def test_a_file_may_begin_with_the_byte_order_mark_of_windows_editors(tmp_path: Path) -> None:
    """Catches "is not TOML" and "is not JSON" about files that every editor shows to be."""
    path = tmp_path / "mine.toml"
    path.write_text(TOML, encoding="utf-8-sig")
    assert read(path).rounds == 20
    saved = tmp_path / "config.json"
    saved.write_text(json.dumps(read(path).to_json()), encoding="utf-8-sig")
    assert read(tmp_path) == read(path)
    assert read_json(saved)["rounds"] == 20


def test_settings_reach_the_field_they_name() -> None:
    config = preset("needle").with_settings(
        ["rounds=7", "arms.p0=none", "step_size=1.5", "learner.signal=signed", "log10_arms=3"]
    )
    assert config.rounds == 7
    assert config.arms == {"type": "Needle", "log10_arms": 3, "optimal": 1, "p0": None}
    assert config.learner["step_size"] == 1.5
    assert config.learner["signal"] == "signed"
    assert dataclasses.replace(preset("needle")) == preset("needle"), "a preset was changed in place"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["arms.type=Haystack"], "unknown type 'Haystack'.*Needle"),
        (["learner.type=Adam"], "unknown type 'Adam'.*UCB1"),
        (["arms.colour=1"], "no argument 'colour'"),
        (["colour=1"], "neither a field nor an argument"),
        (["rounds"], "key=value"),
        (["rounds=many"], "whole number"),
        (["rounds=1.5"], "whole number"),
        (["arms.p0=1.5"], "strictly between 0 and 1"),
        (["arms.p0=0"], "strictly between 0 and 1"),
        (["log10_arms=1", "optimal=10"], "must exceed"),
        (["arms.log10_arms=red"], "log10_arms is .red"),
        (["step_size=-1"], "step_size is -1"),
        (["key=-1"], "key -1"),
        (["policy.p0=1"], "no table"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(settings: list[str], message: str) -> None:
    def make() -> None:
        config = preset("needle").with_settings(settings)
        config.make_arms()
        config.make_learner()

    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rounds = [", "not TOML"),
        ("turns = 3", "unknown field 'turns'"),
        ("rounds = 3", r"lacks \[arms\]"),
        ("arms = 3", "make it a table"),
        ('[arms]\ntype = "Needle"\n[learner]\ntype = "UCB1"', "Needle needs log10_arms"),
        ('[arms]\np0 = 0.5\n[learner]\ntype = "UCB1"', "has no type"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "x.toml").make_arms()
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "absent.toml")
