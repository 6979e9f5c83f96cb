"""A fine-tuning run of an embedded model against SIGKILL, SIGTERM and SIGINT: it ends as one never disturbed."""

from pathlib import Path

import pytest

from tests.llm_bridge.survival import environment, survives

# Signed rewards: every round moves the weights, whatever the responses are.
RUN = (
    *("finetune", "--model", "tiny-llama", "--data", "tiny-addition", "--test-questions", "0", "--rollouts", "4"),
    *("--reward-wrong", "-1", "--kl-coefficient", "0", "--max-tokens", "16", "--learning-rate", "0.001"),
    *("--train-samples", "4", "--evaluation-batch", "4", "--checkpoint-every", "3", "--keep-checkpoints", "3"),
)


def test_a_run_killed_and_stopped_ends_as_if_it_never_had_been(tmp_path: Path) -> None:
    """Catches keys that depend on where a run was cut, a checkpoint that a kill leaves half, a lock that outlives its
    process or does not hold, optimiser state that is not restored, evaluations made twice, and a handler that is not
    installed or saves in the middle of a round."""
    options = (*RUN, "--rounds", "24", "--evaluate-every", "8")
    hit = survives(["round", "interrupt", "checkpoint", "stop"], options, tmp_path, environment(tmp_path / "compiled"))
    assert {"round", "interrupt", "stop"} <= set(hit)


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_moments_ends_as_if_it_never_had_been(tmp_path: Path) -> None:
    """The same at 20 moments or more, with a replay window: within imports, compilation, rounds, evaluations and
    checkpoint writing."""
    options = (*RUN, "--rounds", "60", "--evaluate-every", "10", "--replay", "1")
    compiled = environment(tmp_path / "compiled", optimised=True)
    hit = survives(["clock", "round", "checkpoint"] * 12, options, tmp_path, compiled, enough=20)
    assert set(hit) == {"clock", "round", "checkpoint"}
    assert len(hit) == 20
