"""The same study function in a table, a token policy and a language model."""

import pytest

from simulations.one_interface import WORLDS, study


@pytest.mark.parametrize(
    ("name", "law"), [("table", "pg_jump_single"), ("sequences", "rft_predict"), ("embedded", "tree_jump")]
)
def test_a_study_runs_unchanged_in_every_world(name: str, law: str) -> None:
    """Catches a world whose arms, learner or summary the study would have to tell apart; the verdict itself is free."""
    verdict = study(WORLDS[name](), rounds=12 if name == "embedded" else 30, seeds=8)
    assert verdict.prediction == law
    assert verdict.tested


@pytest.mark.slow
def test_a_downloaded_model_is_a_world_too() -> None:
    """Two seeds and a few rounds of SmolLM2-135M."""
    verdict = study(WORLDS["smollm2"](), rounds=3, seeds=2)
    assert verdict.prediction in ("tree_jump", "rft_predict")
