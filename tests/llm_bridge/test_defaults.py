"""Defaults that follow the model, the same for the learner and for every command."""

import itertools
import json

import numpy as np
import pytest

from bandit_rft.cli import main
from bandit_rft.errors import InputError
from llm_bridge.language_model import load_model
from llm_bridge.training import defaults
from llm_bridge.training.learner import FineTune
from tests.llm_bridge import toy
from tests.llm_bridge.written_out import question_arms


def test_the_rate_falls_with_the_number_of_weights_between_two_ends():
    sizes = np.geomspace(1e4, 1e11, 60)
    rates = [defaults.learning_rate("adamw", int(size)) for size in sizes]
    assert rates[0] == 3e-4
    assert rates[-1] == 1e-6
    assert all(a >= b for a, b in itertools.pairwise(rates))
    assert defaults.learning_rate("muon", 135_000_000) == pytest.approx(6.5e-6, rel=0.05)
    with pytest.raises(InputError, match="sgd has no step size"):
        defaults.learning_rate("sgd", 1)


def test_a_learner_without_numbers_takes_what_suits_and_fits_its_model():
    """Catches 256 tokens asked of a context of 64, and a rate at which a small model learns nothing."""
    model = toy.model(layers=1)
    settings = FineTune(model)
    assert settings.learning_rate == 3e-4
    arms = question_arms(model)
    longest = max(map(len, arms.question_tokens))
    assert defaults.max_tokens(model, arms.question_tokens) == model.config.max_positions - longest
    assert settings.bind(arms).rollouts == 1
    with pytest.raises(InputError, match="give learning_rate"):
        FineTune(model, optimizer="sgd")


def test_a_rate_that_hardly_moves_the_model_is_said_before_the_run():
    model = load_model("tiny-llama")
    usual, tiny = (defaults.reach(model, "adamw", rate, 200, 1) for rate in (3e-4, 1e-6))
    assert usual is not None
    assert tiny is not None
    assert "hardly" not in usual
    assert "Pass@1 will hardly change" in tiny
    assert defaults.reach(model, "sgd", 1.0, 200, 1) is None


def test_the_plainest_command_runs_and_records_what_it_resolved(tmp_path, capsys):
    """It exited with code 2: 256 tokens exceeded the context of 128."""
    options = ("--rounds", "1", "--train-samples", "1", "--test-questions", "0", "--out", str(tmp_path / "run"))
    command = ["finetune", "--model", "tiny-llama", "--data", "tiny-addition", "--index", "16", *options]
    assert main(command) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert 90 < config["max_tokens"] < 128
    assert config["resolved"]["learning_rate"] == 3e-4
    assert "AdamW at 0.0003" in capsys.readouterr().out
    assert main(command) == 0  # the same command finds the same run
