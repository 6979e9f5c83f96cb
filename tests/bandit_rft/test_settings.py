"""Settings are held to one table of ranges, whether they are typed, stand in a file, or are given in Python."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit_rft.cli.options import add_options, given
from bandit_rft.errors import InputError
from bandit_rft.settings.finetune import FineTuneConfig
from bandit_rft.settings.options import path, picture, places_of
from bandit_rft.settings.questions import EvaluateConfig, MeasureConfig
from bandit_rft.settings.saved_finetune import config_of
from tests.bandit_rft.command_line import refused

GIVEN: dict[str, Any] = {"model": "tiny-llama", "data": "tiny-addition", "rounds": 3}
WRONG = ({}, [[]], object(), 3j, 1e300, "\0", b"x", -1, np.array([1, 2]))
SETTINGS = [entry.name for entry in dataclasses.fields(FineTuneConfig)]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_value_of_another_kind_is_one_sentence(name: str, tmp_path: Path) -> None:
    """In Python by the option, of a file by its name. Catches a TypeError, and a value that is taken and means
    something else, such as 1.5 rounds or a yes that is "no".
    """
    entry = {entry.name: entry for entry in dataclasses.fields(FineTuneConfig)}[name]
    taken = {"reward_right": (-1,), "reward_wrong": (-1,), "entropy_coefficient": (-1,)}.get(name, ())
    texts = str(entry.type).startswith("str") and entry.metadata["type"] is None and not entry.metadata["choices"]
    for value in WRONG:
        if any(value is one for one in taken) or (texts and isinstance(value, str)):
            continue
        with pytest.raises(InputError, match=f"^--{name.replace('_', '-')} is .*: "):
            FineTuneConfig(**{**GIVEN, name: value})
    file = tmp_path / "config.json"
    for value in ({}, float("nan"), [[]]):
        file.write_text(json.dumps({"command": "finetune", **GIVEN, name: value}))
        with pytest.raises(InputError, match=rf"config.json has {name} = .*: "):
            config_of(str(file), {})


def test_what_a_run_resolved_is_open_again_where_what_it_follows_from_is_given_anew(tmp_path: Path) -> None:
    """Catches adapters that get the learning rate of all weights, and a length or an attention that another model,
    other questions or a mesh inherit although nobody typed it; and one that is lost where it was typed."""
    opened = {"learning_rate": None, "max_tokens": None, "attention": "auto"}
    came_to = {"learning_rate": 6.5e-6, "max_tokens": 40, "attention": "dot-product"}
    file = tmp_path / "config.json"
    config = {"command": "finetune", **GIVEN, **came_to, "learning_rate": None}
    resolved = {"learning_rate": 6.5e-6, "requested": {"max_tokens": None, "attention": "auto"}}
    for options, again in (
        ({}, ()),
        ({"rounds": 5, "rollouts": 2}, ()),
        ({"lora_rank": 16}, ("learning_rate",)),
        ({"optimizer": "muon"}, ("learning_rate",)),
        ({"data": "gsm8k"}, ("max_tokens",)),
        ({"index": 7}, ("max_tokens",)),
        ({"test_split": "train"}, ("max_tokens",)),
        ({"mesh": "data=2"}, ("attention",)),
        ({"model": "tiny-olmo2"}, ("learning_rate", "max_tokens", "attention")),
    ):
        file.write_text(json.dumps({**config, "resolved": resolved}))
        found = config_of(str(file), options)
        assert {name: getattr(found, name) for name in came_to} == came_to | {name: opened[name] for name in again}
    file.write_text(json.dumps({**config, "lora_rank": 16, "resolved": resolved}))
    assert config_of(str(file), {"lora_rank": None}).learning_rate is None
    typed = {**config, "learning_rate": 0.5, "attention": "own", "resolved": {"learning_rate": 0.5}}
    file.write_text(json.dumps(typed))
    found = config_of(str(file), {"model": "tiny-olmo2", "mesh": "data=2"})
    assert (found.learning_rate, found.max_tokens, found.attention) == (0.5, 40, "own")


def test_numbers_of_other_libraries_become_plain_ones() -> None:
    """And plain ones stay as they are, for config.json and the name of a folder are made of them."""
    given: dict[str, Any] = {
        "rollouts": np.int64(4),
        "learning_rate": np.float32(0.5),
        "clip": 1,
        "measure": np.bool_(True),
    }
    config = FineTuneConfig(**GIVEN, **given)
    assert (config.rollouts, config.learning_rate, config.clip, config.measure) == (4, 0.5, 1, True)
    kinds = [type(one) for one in (config.rollouts, config.learning_rate, config.clip, config.measure)]
    assert kinds == [int, float, int, bool]
    again = FineTuneConfig(**json.loads(json.dumps({k: v for k, v in config.to_json().items() if k != "command"})))
    assert again == config


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"temperature": 1e-320}, "--temperature is .*: give a number of at least 1e-06"),
        ({"beta1": 1.0}, "--beta1 is 1.0: give a number of at least 0 and below 1"),
        ({"beta2": 1 - 1e-9}, "--beta2 is .*: give a number of at least 0 and below 1 - 6e-8"),
        ({"adam_eps": 0.0}, "--adam-eps is 0.0: give a number of at least 1.2e-38"),
        ({"gradient_clip": 0.0}, "--gradient-clip is 0.0: give a number above 0"),
        ({"rollouts": 2**40}, "--rollouts is .*: give a whole number of at most 16,777,216"),
        ({"warmup_rounds": 2**31}, "--warmup-rounds is .*: give a whole number of at most 2,147,483,647"),
        ({"mini_batches": 2}, "--mini-batches is 2, and a round learns from 1"),
        ({"schedule": "linear", "warmup_rounds": 3}, "--schedule linear has 3 rounds, 3 of them warmup"),
        (
            {"schedule": "linear", "warmup_rounds": 2, "delay": 1},
            "has 2 rounds, --rounds less --delay 1, 2 of them warmup: give more --rounds than .* and --delay together",
        ),
        ({"signal": "grpo", "ddof": 2}, "ddof is 2: give 0"),
        ({"k": "1,99999999999"}, "--k is '1,99999999999': give whole numbers from 1 to"),
        ({"window": 3}, "window of scores is for .*: choose one of these, or leave out --window"),
    ],
)
def test_out_of_range_is_said_before_a_model_is_loaded(given: dict[str, Any], words: str) -> None:
    """Catches what `FineTune` refused in Python's words once the model was there, and what overflowed int32."""
    with pytest.raises(InputError, match=words):
        FineTuneConfig(**{**GIVEN, **given})


def test_a_range_beyond_memory_is_refused_before_it_is_counted() -> None:
    with pytest.raises(InputError, match="of 1,000,000,000,000 places: give 16,777,216 at most"):
        places_of("0:1000000000000")
    assert places_of("0:1000000000000", 3) == [0, 1, 2]


def test_measurements_sample_and_evaluations_need_not() -> None:
    assert EvaluateConfig(temperature=0).temperature == 0
    assert MeasureConfig(temperature=0, scan=True).temperature == 0
    with pytest.raises(InputError, match="kappa is of a policy that samples"):
        MeasureConfig(temperature=0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("finetune --data arithmetic --optimizer sgd --learning-rate 1 --beta1 0.5", "--beta1 does nothing here"),
        ("finetune --data arithmetic --eps 0.1", "--eps does nothing here, for --signal is not grpo"),
        ("finetune --data arithmetic --measure-rollouts 8", "add --measure"),
        ("finetune --data arithmetic --test-data gsm8k --test-questions 0", "--test-data does nothing here"),
        ("finetune --prompt x --answer 1 --test-questions 5", "--test-questions does nothing here"),
        ("finetune --prompt x --answer 1 --template plain", "--template does nothing here"),
        ("finetune --data arithmetic --index 0 --indices 0:3", "named twice"),
        ("finetune --data arithmetic --temperature -1", "--temperature: give a number of at least 1e-06"),
        ("finetune --data arithmetic --out=", "--out: give the name of a file or folder"),
        ("measure --samples 3", "--samples does nothing here"),
        ("measure --scan --rollouts 3", "--rollouts does nothing here"),
        ("evaluate --index 3 --questions 5", "--questions does nothing here"),
        ("evaluate --json /proc/numbers.json", "which cannot be written"),
        ("evaluate --verifier exactly --model absent", "No verifier 'exactly'"),
        ("demo --model absent", "No model 'absent'"),
        ("demo --key 9223372036854775807", "--key is 9223372036854775807"),
    ],
)
def test_what_is_typed_and_would_do_nothing_or_fail_late_is_refused(
    arguments: str, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches an option that is taken in silence, and a refusal that comes after minutes."""
    monkeypatch.chdir(tmp_path)
    assert words in refused(arguments.split(), capsys)
    assert list(tmp_path.rglob("*.*")) == []


def test_none_is_an_answer() -> None:
    """Catches an option for any text that reads one of them as no text."""
    parser = argparse.ArgumentParser()
    add_options(parser, FineTuneConfig)
    typed = parser.parse_args(["--prompt", "none", "--answer", "None", "--verifier", "none"])
    assert given(typed, FineTuneConfig) == {"prompt": "none", "answer": "None", "verifier": None}


def test_a_leading_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell leaves it in --out=~/runs, and a folder of the name ~ was made in the working folder."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert path("~/runs") == "/home/somebody/runs"
    assert picture("~/curve.png") == "/home/somebody/curve.png"
    assert path("runs/~") == "runs/~"
