"""A fine-tuning run whose numbers stop being finite: a sentence, and no such weights on the disk."""

import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm_bridge.training import checkpoints
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
    folder = tiny_folder.write(tmp_path / "poisoned")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] = np.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    options = ("--signal", "raw", "--kl-coefficient", "0", "--train-samples", "0")
    assert run(str(folder), "run", *options) == 2
    said = sentence(capsys)
    assert "Round 0 gave responses whose log-probabilities are not finite on --prompt ('2+2=?')" in said
    assert "no checkpoint before it is kept" in said
