"""Many seeds in one scan against SIGKILL and SIGTERM: the run ends as one that was never disturbed."""

from pathlib import Path

import pytest

from tests.llm_bridge.survival import environment, survives

RUN = (
    *("finetune", "--model", "tiny-llama", "--data", "tiny-addition", "--test-questions", "0", "--reward-wrong", "-1"),
    *("--kl-coefficient", "0", "--max-tokens", "16", "--learning-rate", "0.001", "--train-samples", "4"),
    *("--checkpoint-every", "3", "--keep-checkpoints", "3"),
)


@pytest.mark.slow  # test_finetune_python kills runs of several seeds too, in a quarter of the time
def test_seeds_killed_and_stopped_end_as_if_they_never_had_been(tmp_path: Path) -> None:
    """Catches rounds whose keys depend on the chunk, a history that is older than its checkpoint, seeds whose optimiser
    state is mixed up or lost, a seed's evaluation made twice or never, and a stop that is not heard in a chunk."""
    options = (*RUN, "--seeds", "2", "--rounds", "24", "--evaluate-every", "8")
    hit = survives(["round", "checkpoint", "stop"], options, tmp_path, environment(tmp_path / "compiled"))
    assert {"round", "stop"} <= set(hit)


@pytest.mark.slow
def test_seeds_killed_at_twenty_random_moments_end_as_if_they_never_had_been(tmp_path: Path) -> None:
    """The same at 20 moments or more, with two groups of seeds beside each other where there are two cores."""
    options = (*RUN, "--seeds", "8", "--rounds", "60", "--evaluate-every", "20")
    compiled = environment(tmp_path / "compiled", optimised=True)
    hit = survives(["clock", "round", "checkpoint"] * 12, options, tmp_path, compiled, enough=20)
    assert set(hit) == {"clock", "round", "checkpoint"}
    assert len(hit) == 20
