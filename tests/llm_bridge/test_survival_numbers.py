"""A fine-tuning run whose numbers stop being finite: a sentence, and no such weights on the disk."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import bandit_rft
from bandit_rft.errors import InputError
from llm_bridge import FineTune, PromptArms, QuestionArms, load_model
from llm_bridge.bandits.token_arms import TokenPromptArms
from llm_bridge.measuring import evaluate as evaluation
from llm_bridge.training import checkpoints
from llm_bridge.training.state import METRICS
from tests.bandit_rft import tiny_folder
from tests.llm_bridge.survival import run, sentence


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_folder.write(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_loss_that_is_not_finite_stops_with_round_prompt_and_last_good_checkpoint(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first step of size 0, a second of 1e30: its weights are finite and ruin the round after.

    Catches a run that goes on with NaN, and the ruined weights' own checkpoint named as the last good one.
    """
    ruin = ("--learning-rate", "1e30", "--warmup-rounds", "2", "--checkpoint-every", "1", "--train-samples", "0")
    for _ in range(2):  # the same again when asked again, and the good checkpoint still there
        assert run(model, "run", *ruin) == 2
        said = sentence(capsys)
        found = re.search(r"Round (\d+) gave .* on --prompt \('2\+2=\?'\) and the run stopped; the last good", said)
        assert found, said
        good = re.search(r"checkpoint is (\S+): lower the learning rate", said)
        assert good, said
        assert checkpoints.round_of(Path(good[1])) < int(found[1])
        assert (tmp_path / good[1] / "meta.json").exists()


def test_weights_without_a_policy_stop_the_run_that_made_them(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finite weights whose products overflow, found as they are evaluated after the last round. Catches an error that
    names neither the round nor the last good checkpoint."""
    right = evaluation.evaluate

    def evaluate(*given: Any, params: Any, **named: Any) -> Any:
        if evaluated:
            params = jax.tree.map(lambda leaf: leaf * np.nan, params)
        evaluated.append(True)
        return right(*given, params=params, **named)

    evaluated: list[bool] = []
    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    options = ("--checkpoint-every", "1", "--rounds", "2", "--train-samples", "1", "--evaluate-every", "2")
    assert run(model, "run", *options) == 2
    said = capsys.readouterr().err
    assert "Round 1 gave weights whose log-probabilities are not finite on --prompt ('2+2=?')" in said
    assert "the last good checkpoint is run/checkpoints/round_00000001" in said


def test_weights_that_are_not_finite_are_never_saved(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weight decay times a huge step overflows in round 0; without the check that would be the only checkpoint."""
    options = ("--learning-rate", "3e38", "--weight-decay", "10", "--train-samples", "0", "--rounds", "1")
    assert run(model, "run", *options) == 2
    assert "Round 0 gave weights that are not finite on --prompt ('2+2=?')" in sentence(capsys)
    assert not checkpoints.available(tmp_path / "run" / "checkpoints")


def test_a_poisoned_model_is_refused_in_its_first_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """NaN weights and a reward that is 0 for every response: no response is learned from, so no loss shows it."""
    folder = poisoned(tmp_path / "poisoned")
    options = ("--signal", "raw", "--kl-coefficient", "0", "--train-samples", "0")
    assert run(folder, "run", *options) == 2
    said = sentence(capsys)
    assert "Round 0 gave responses whose log-probabilities are not finite on --prompt ('2+2=?')" in said
    assert "no checkpoint before it is kept" in said


RUIN = {"max_tokens": 2, "optimizer": "sgd", "gradient_clip": None, "kl_coefficient": 0.0, "clip": None, "rollouts": 2}


def poisoned(folder: Path) -> str:
    """A model whose weights are NaN in one place."""
    weights = load_file(tiny_folder.write(folder) / "model.safetensors")
    weights["model.norm.weight"][0] = np.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


@pytest.mark.usefixtures("compiled_quickly")
def test_numbers_that_are_not_finite_stop_many_seeds_as_they_stop_one(model: str, tmp_path: Path) -> None:
    """A verifier of texts. Catches NaN weights that are given back as those of a finished run: a loss of the last
    round, which no later reward shows, and responses that all earn 0, which no loss shows."""
    loaded = load_model(model)
    arms = PromptArms(loaded, "2+2=?", lambda text: 1.0)
    with pytest.raises(InputError, match=r"Round 1 gave .* in seed \d on prompt 0 .* so the run stopped there"):
        bandit_rft.run(arms, FineTune(loaded, learning_rate=1e30, **RUIN), 2, seeds=2)
    lost = load_model(poisoned(tmp_path / "poisoned"))
    questions = [SimpleNamespace(prompt=prompt, answer="") for prompt in ("2+2=?", "1+1=?")]
    nothing = QuestionArms(lost, questions, lambda answer: lambda text: 0.0)
    with pytest.raises(InputError, match=r"Round 0 gave responses whose log-probabilities .* in seed 0 on prompt \d"):
        bandit_rft.run(nothing, FineTune(lost, learning_rate=0.1, **RUIN), 1, seeds=2)


def test_a_learner_of_the_compiled_scan_has_the_check() -> None:
    """Its rewards are computed on the device, so that a loss of the last round shows in the records alone."""
    embedded = load_model("tiny-llama")
    learner = FineTune(embedded, **RUIN, learning_rate=0.1)
    check = learner.bind(TokenPromptArms(embedded, "2+2=?\n", "4"), rounds=2).check
    records = {"rewards": np.zeros((1, 2, 2)), "metrics": {name: np.zeros((1, 2)) for name in METRICS}}
    assert check is not None
    check(0, records, dict)
    records["metrics"]["loss"][0, 1] = np.nan
    with pytest.raises(InputError, match=r"Round 1 gave a loss that is not finite on prompt 0 .'2.2=..n'"):
        check(0, records, dict)
