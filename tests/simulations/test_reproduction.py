"""The papers' claims: every file can be judged somewhere, the plan counts what is run, and results know their claim."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bandit_rft.errors import InputError
from bandit_rft.experiments import Setting, plan
from bandit_rft.runs import read_json
from simulations.reproduction import reproduce, table, tiers
from simulations.reproduction.claims import claims, digests

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_claim_names_tiers_and_conditions_that_exist() -> None:
    for claim in claims().values():
        assert set(claim.tiers) <= set(tiers.TIERS)
        assert claim.statement.endswith(".")
        for experiment in claim.experiments:
            assert experiment.question.endswith("?")
    assert set(digests()) == set(claims())


@pytest.mark.parametrize("tier", tiers.TIERS)
def test_a_dry_run_says_how_many_runs_and_how_long(tier: str) -> None:
    text = reproduce.planned(tier).text()
    assert f"tier {tier}" in text
    assert "device-hours" in text


def test_what_is_counted_before_is_what_is_planned(tmp_path: Path) -> None:
    """Catches conditions that the count leaves out, and runs that two experiments share counted twice."""
    work = reproduce.planned("simulation")
    jobs = plan(work.tier, work.experiments, tmp_path)
    assert f"{len(jobs)} runs of" in work.text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tier": "huge"}, "--tier is 'huge': choose one of simulation"),
        ({"tier": "tiny", "only": ["A9"]}, "--only is 'A9': choose of"),
        ({"tier": "simulation", "only": ["A6"]}, "Claim A6 cannot be decided at tier simulation"),
        ({"tier": "paper", "quick": True}, "--quick is for --tier tiny"),
        ({"tier": "tiny", "seeds": 1}, "--seeds is 1: give at least 2"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_a_sentence(given: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        reproduce.planned(**given)


def test_only_takes_a_claim_with_all_its_halves() -> None:
    assert [claim.id for claim in reproduce.planned("tiny", only=["A3"]).claims] == ["A3 stability", "A3 test"]


def test_a_table_runs_as_its_setting_says(tmp_path: Path) -> None:
    """Catches a setting whose signal, rewards or step do not reach the learner."""
    tier = dataclasses.replace(tiers.SIMULATION, seeds=64, rounds=60)
    curves = {}
    for name, setting in {
        "raw": Setting(p0="0.25"),
        "larger step": Setting(p0="0.25", step=0.7),
        "GRPO": Setting(p0="0.25", signal="grpo", rollouts=8),
        "negative": Setting(p0="0.25", reward_wrong=-1.0),
    }.items():
        (unit,) = tier.units(setting, tmp_path)
        outcome = tier.run(setting, unit, tmp_path)
        assert outcome.train.shape == (64, 60)
        curves[name] = outcome.train.mean(axis=0)
        assert curves[name][0] == pytest.approx(0.25)
    assert curves["larger step"][20] > curves["raw"][20] + 0.1
    assert curves["GRPO"][20] > curves["raw"][20] + 0.1
    assert not np.allclose(curves["negative"], curves["raw"])


def test_a_result_is_void_once_its_claim_is_changed() -> None:
    record = {"claims": [{"id": name, "digest": value} for name, value in digests().items()]}
    assert reproduce.void(record) == []
    record["claims"][0]["digest"] = "0" * 64
    assert reproduce.void(record) == [record["claims"][0]["id"]]


def test_the_committed_table_is_that_of_its_data_and_of_todays_claims() -> None:
    """Catches a page changed by hand, and a claim changed after it was judged."""
    held = read_json(DOCS / "claims.json")["tiers"]
    assert table.markdown(held) == (DOCS / "claims.md").read_text()
    for record in held:
        assert reproduce.void(record) == []


@pytest.mark.slow
def test_an_embedded_model_from_its_scan_to_a_verdict(tmp_path: Path) -> None:
    """The whole way at the smallest size: questions chosen, kappa measured, runs, evaluations, verdicts; then from what
    is kept, to the same record."""
    tier = dataclasses.replace(
        tiers.QUICK,
        bins=("0.25",),
        optimisers=(("sgd", 0.2),),
        seeds=2,
        rounds=10,
        per_bin=2,
        scanned=16,
        scan_samples=32,
        fresh=64,
        test_questions=20,
        evaluate_every=5,
    )
    whole = reproduce.planned("tiny", only=["A1"], quick=True)
    work = dataclasses.replace(whole, tier=tier, whole=True)
    first = reproduce.reproduce(work, tmp_path / "out")
    again = reproduce.reproduce(work, tmp_path / "out")
    assert first == again
    assert [claim["id"] for claim in first["claims"]] == ["A1 test", "A1 training"]
    assert not list((tmp_path / "out").rglob("checkpoints"))
    assert (tmp_path / "out" / "claims.md").exists()
