"""The papers' claims: every file can be judged somewhere, the plan counts what is run, and results know their claim."""

import contextlib
import dataclasses
import re
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bandit_rft.cli import main
from bandit_rft.errors import InputError
from bandit_rft.experiments import (
    Experiment,
    Outcome,
    Results,
    Setting,
    Unit,
    digest_of,
    execute,
    judge,
    mean_effect,
    plan,
    restore,
)
from bandit_rft.experiments.execute import OUTCOME, folder_of
from bandit_rft.experiments.tier import digest
from bandit_rft.runs import progress, read_json, to_json
from simulations.reproduction import claims as claims_module
from simulations.reproduction import findings, language, reproduce, table, tiers
from simulations.reproduction.claims import claims, digests
from simulations.reproduction.experiments import base_model
from simulations.reproduction.tables import effective_correct
from simulations.tiny_models import checkpoints

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_claim_names_tiers_and_conditions_that_exist() -> None:
    for claim in claims().values():
        assert set(claim.tiers) <= set(tiers.TIERS)
        assert claim.statement.endswith(".")
        for experiment in claim.experiments:
            assert experiment.question.endswith("?")
    assert set(digests()) == set(claims())


@pytest.mark.parametrize(
    ("words", "loss", "gain"),
    [
        (("do not improve", "does not improve", "no better", "buy nothing"), "supported", "refuted"),
        (("does as well as",), "refuted", "supported"),
    ],
)
def test_a_claim_of_no_gain_is_borne_out_by_a_loss(words: tuple[str, ...], loss: str, gain: str) -> None:
    """Catches "no better" that is tested as "no different": refuted by what is clearly worse."""
    found = [one for one in claims().values() if any(word in one.statement for word in words)]
    assert len(found) >= 2
    for claim in found:
        for value, verdict in ((-0.3, loss), (0.3, gain), (0.0, "equivalent")):
            effect = mean_effect([value - 0.002, value, value + 0.001, value + 0.002])
            made = dataclasses.replace(claim, measure=lambda _, effect=effect: {"all": effect}, shares=None)
            assert judge(made, Results({}, {})).verdict == verdict, (claim.id, value)


def test_the_worked_examples_are_claims_that_can_be_judged(tmp_path: Path) -> None:
    """Both files of CONTRIBUTING.md, as they stand there: planned at their tiers, and the second one run and judged.
    Catches an example that names what is gone, and settings of a learner that are left out of its run or its digest."""
    text = (DOCS.parent / "CONTRIBUTING.md").read_text()
    blocks = [textwrap.dedent(block) for block in re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.MULTILINE)]
    files = [block for block in blocks if "CLAIM = Claim(" in block]
    found = []
    for file in files:
        names: dict = {}
        exec(file, names)
        found.append(names["CLAIM"])
    assert [claim.id for claim in found] == ["C1", "C2"]
    for claim in found:
        for tier in claim.tiers:
            work = reproduce.Plan(tiers.TIERS[tier], [claim], claim.experiments, whole=False)
            assert " 0 runs" not in work.text()
    claim = found[1]
    tier = dataclasses.replace(tiers.SIMULATION, seeds=8, rounds=40)
    jobs = plan(tier, claim.experiments, tmp_path)
    assert len({job.digest for job in jobs}) == len(jobs) == 4
    results = execute(tier, jobs, tmp_path)
    effects = claim.measure(results)
    assert len(effects) == 2
    assert all(effect.value < 0 for effect in effects.values())
    assert judge(claim, results).strata


def test_a_setting_that_a_learner_has_not_is_refused_before_any_run() -> None:
    """Catches names that are found wanting in the first run, hours later; one that another field decides; and a digest
    of the runs that are done which a new field changes."""
    for tier in (tiers.SIMULATION, tiers.TINY):
        with pytest.raises(InputError, match=r"gives the learner 'epoch' \(did you mean epochs\?\), which"):
            tier.planned(Setting(learner={"epoch": 2}))
        with pytest.raises(InputError, match="gives the learner 'rollouts', which other fields of the setting decide"):
            tier.planned(Setting(learner={"rollouts": 2}))
        assert tier.planned(Setting(learner={"epochs": 2}))
        here = [digest(tier, Setting(learner=learner), Unit("one")) for learner in ({}, {"epochs": 2}, {"epochs": 3})]
        assert len(set(here)) == 3
    assert "learner" not in Setting().to_json()
    assert Setting(**Setting(learner={"epochs": 2}).to_json()) == Setting(learner={"epochs": 2})
    with pytest.raises(InputError, match=r"gives the learner of 'own' .*: give numbers, texts or lists"):
        Experiment(name="own", question="?", conditions={"own": {"learner": {"signal": len}}})


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
        ({"tier": "tiny", "only": ["A9"]}, "--only is 'A9': choose one of"),
        ({"tier": "simulation", "only": ["A6"]}, "Claim A6 cannot be decided at tier simulation"),
        ({"tier": "paper", "quick": True}, "--quick is for --tier tiny"),
        ({"tier": "simulation", "one_sample": True}, "--one-sample is of test questions"),
        (
            {"tier": "tiny", "quick": True, "only": ["A7"]},
            "--only is 'A7', and --quick judges A1 test, .*: leave --quick",
        ),
        ({"tier": "tiny", "quick": True, "only": ["A3", "A7"]}, "--only is 'A7', and --quick judges A1 test"),
        ({"tier": "tiny", "seeds": 1}, "--seeds is 1: give at least 2"),
        ({"tier": "simulation", "first": 3}, "--first is of training questions, which --tier simulation has not"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_a_sentence(given: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        reproduce.planned(**given)


def test_the_quick_size_is_counted_to_fit_an_hour_on_two_cores() -> None:
    """Catches a condition added to a claim of the quick size that no longer fits."""
    work = reproduce.planned("tiny", quick=True)
    settings = {setting for one in work.experiments for setting in one.settings(work.tier.levels)}
    seconds = sum(work.tier.planned(setting) * work.tier.seconds(setting) for setting in settings)
    assert (seconds + work.tier.scan_seconds()) / 2 < 0.75 * 3600


def test_the_papers_metric_is_one_response_to_every_question_each_hundred_rounds() -> None:
    """Catches an option that leaves the tier's own sizes, and runs of two metrics that share a folder."""
    ours, theirs = reproduce.planned("paper").tier, reproduce.planned("paper", one_sample=True).tier
    assert theirs.name != ours.name
    assert (theirs.train_once, theirs.evaluate_every) == (True, 100)
    assert [theirs.test_size(task) for task in theirs.tasks] == [1319, 5000]
    setting = Setting(task="math")
    unit = Unit("a question", 3)
    assert theirs.seconds(setting) > ours.seconds(setting)
    assert digest(theirs, setting, unit) != digest(ours, setting, unit)


def test_hard_questions_have_more_seeds_and_only_their_runs_are_other_ones(tmp_path: Path) -> None:
    """Catches seeds that a run has and its digest does not."""
    few, many = (dataclasses.replace(tiers.TINY, seeds=8, hard_seeds=number) for number in (0, 32))
    unit = Unit("a question", 3)
    for p0, seeds in (("0.25", 8), ("0.01", 32)):
        setting = Setting(p0=p0)
        assert many.seeds_of(setting) == seeds
        assert (digest(few, setting, unit) == digest(many, setting, unit)) == (p0 == "0.25")


def test_held_out_runs_are_other_ones_in_a_folder_of_their_own(tmp_path: Path) -> None:
    """Catches a key that no random number depends on, and runs of two keys, or of two sets of questions, that share a
    folder."""
    setting, unit = Setting(model="table"), Unit("table")
    given: list[dict] = [{}, {"key": 5}, {"key": 6}, {"first": 512}, {"key": 5, "first": 512}]
    held = [reproduce.planned("tiny", **one).tier for one in given]
    assert len({tier.name for tier in held}) == len({digest(tier, setting, unit) for tier in held}) == len(given)
    assert [(tier.key, tier.first) for tier in held[3:]] == [(held[0].key, 512), (5, 512)]
    assert held[0] == tiers.TINY
    few = dataclasses.replace(tiers.SIMULATION, seeds=4, rounds=20)
    same = few.held_out(key=few.key)
    train = [tier.run(setting, unit, tmp_path).train for tier in (few, same, few.held_out(key=5))]
    np.testing.assert_array_equal(train[0], train[1])
    assert not np.array_equal(train[0], train[2])


def test_questions_beyond_the_last_one_are_refused(tmp_path: Path) -> None:
    tier = tiers.QUICK.held_out(first=708_222)
    with pytest.raises(
        InputError, match="--first is 708,222: tiny-addition has 708,222 training questions, counted from 0"
    ):
        tier.chosen("tiny-llama", "tiny-addition", tmp_path)


def test_the_choice_of_questions_shows_how_far_it_is(tmp_path: Path, monkeypatch, capsys) -> None:
    """Catches minutes of scanning, before the first run, in which nothing is said."""
    monkeypatch.setattr(progress, "_LOG_SECONDS", 0.0)
    tier = dataclasses.replace(tiers.QUICK, scanned=2, scan_samples=2, batch=2, bins=("0.25",))
    with contextlib.suppress(InputError):  # so few questions may have none of the bin
        tier.chosen("tiny-llama", "tiny-addition", tmp_path)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert told[-1].startswith("choosing questions of tiny-llama, tiny-addition: 4/4 responses, Pass@1 ")


def test_the_effective_number_of_correct_arms_is_that_of_every_arm_written_out() -> None:
    """Rows of 3, 1 and 10^300 arms against a sum over arms, and against equal shares. Catches wrong arms that are
    counted, a multiplicity left out, and counts beyond a float's range."""

    def found(logit: list[float], arms: list[float], kind: list[int]) -> float:
        rows = SimpleNamespace(log_multiplicity=np.log([arms]), class_index=np.array([kind]))
        return float(effective_correct(SimpleNamespace(statistic={"logit": np.array([logit])}, rows=rows))[0])

    shares = np.exp([0.5] * 3 + [2.0])
    assert found([0.5, 2.0, 9.0], [3, 1, 5], [0, 0, 1]) == pytest.approx(shares.sum() ** 2 / (shares**2).sum())
    assert found([-3.0, 0.0], [1e300, 7], [0, 1]) == pytest.approx(1e300)


def test_only_takes_a_claim_with_all_its_halves() -> None:
    assert [claim.id for claim in reproduce.planned("tiny", only=["A3"]).claims] == [
        "A3 below half",
        "A3 collapse",
        "A3 spread",
        "A3 stability",
        "A3 test",
    ]


def test_only_takes_a_claim_once_and_says_what_it_leaves_out() -> None:
    """Catches a claim that is asked for twice and enters Holm's correction twice, and halves that go without a line."""
    work = reproduce.planned("tiny", only=["A3 test", "A3", "A3 test"], quick=True)
    assert sorted(claim.id for claim in work.claims) == sorted(
        ["A3 test", "A3 below half", "A3 collapse", "A3 spread", "A3 stability"]
    )
    assert "not judged here: A3 training (of tier simulation)" in work.text()
    assert "not judged here: A1 halves" not in work.text()
    assert reproduce.planned("tiny", only=["D5"], quick=False).text().count("not judged here: D5") == 4
    assert "not judged here" not in reproduce.planned("tiny", quick=True).text()


def test_seeds_are_those_of_every_run_and_the_plan_says_how_many() -> None:
    """Catches runs on hard questions that --seeds does not reach, and a plan that counts the tier's seeds for all."""
    work = reproduce.planned("tiny", only=["A6"])
    assert "2 seeds (8 in 48 of 96 runs) x 200 rounds" in work.text()
    few = reproduce.planned("tiny", only=["A6"], seeds=4)
    assert {few.tier.seeds_of(Setting(p0=p0)) for p0 in ("0.25", "0.01")} == {4}
    assert "96 runs of 4 seeds x 200 rounds" in few.text()
    assert "400 rounds (1,600 in " in reproduce.planned("simulation").text()
    named = {"tier": "tiny", "seeds": 8, "rounds": 200, "sizes": "8 seeds (32 in 48 of 96 runs), 200 rounds"}
    assert "## Tier tiny: 8 seeds (32 in 48 of 96 runs), 200 rounds\n" in table.markdown([{**named, "claims": []}])


def test_a_scan_of_another_design_is_refused_and_a_bin_that_is_not_filled_is_said(tmp_path: Path) -> None:
    """Catches questions that another design chose, and runs that are missing without a line."""
    tier, path = tiers.QUICK, tmp_path / "questions-tiny-llama-tiny-addition.json"
    setting = Setting(model="tiny-llama", task="tiny-addition", p0="0.01", step=0.7)
    kept = {"bins": {"0.25": {"130": 0.2}, "0.01": {"131": 0.01, "140": 0.02}}, "kappa": 1.0}
    for design, message in (
        (None, "does not say by which design its questions were chosen: remove the file, and the scan is made again"),
        ({**tier.scan_design(), "first": 0}, "chosen with first 0, and tier tiny-quick has 128: remove the file"),
    ):
        path.write_text(to_json(kept if design is None else {**kept, "design": design}))
        with pytest.raises(InputError, match=message):
            tier.units(setting, tmp_path)
    path.write_text(to_json({**kept, "design": tier.scan_design()}))
    assert [unit.place for unit in tier.units(setting, tmp_path)] == [131, 140]
    work = reproduce.planned("tiny", quick=True, only=["A6"])
    jobs = plan(work.tier, work.experiments, tmp_path)
    line = "tiny-llama, tiny-addition: 2 of 16 questions with p0 about 0.01 were found"
    assert line in work.text(0, jobs)
    record = {"tier": "tiny-quick", "seeds": 2, "rounds": 200, "short": work.short(jobs), "claims": []}
    assert line in table.markdown([record])


def test_a_checkpoint_that_was_not_made_is_asked_for_before_any_scan_and_other_weights_are_other_runs(
    tmp_path: Path, monkeypatch
) -> None:
    """The real recipe at 2 steps, and a scan of 8 questions; its bins take all of them."""
    monkeypatch.setattr(language, "BINS", {"0.25": (0.0, 1.0)})
    name, out = "tiny-llama-4", tmp_path / "scans"
    sizes = {"scanned": 8, "scan_samples": 2, "fresh": 2, "batch": 16, "max_tokens": 4, "per_bin": 2}
    tier = dataclasses.replace(
        tiers.CHECKPOINTS,
        models=("tiny-llama", name),
        tasks=("tiny-addition",),
        made={name: tmp_path / name},
        **sizes,
    )
    setting = Setting(optimizer="adamw", step=3e-4, model=name, task="tiny-addition")
    with pytest.raises(InputError, match=f"needs a model in {tmp_path / name}.*simulations.tiny_models.checkpoints"):
        tier.units(dataclasses.replace(setting, model="tiny-llama"), out)
    assert not out.exists()
    assert checkpoints.make(name, tmp_path, steps=2, rows=2) == tmp_path / name
    monkeypatch.setattr(language.LanguageTier, "_kappa", lambda *arguments: 1.0)
    ours = tier.units(setting, out)
    assert [unit.name for unit in ours] == [
        f"{name}, tiny-addition (weights {checkpoints.digest(tmp_path / name)[:12]}), question {place}"
        for place in (0, 1)
    ]
    weights = (tmp_path / name / "model.safetensors").read_bytes()
    (tmp_path / name / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(InputError, match="chosen with weights"):
        tier.units(setting, out)
    (tmp_path / name / "README.md").unlink()  # not there any more: what was made is judged all the same
    assert tier.units(setting, out) == ours


def test_checkpoints_of_a_family_are_told_from_families() -> None:
    """By hand: three families of three base models, 0, .2 and .4 in the mean, whose own differ by .3, .2 and 0."""
    gains = {
        "tiny-llama": 0.0, "tiny-llama-4": 0.15, "tiny-llama-7": -0.15,
        "tiny-qwen2": 0.2, "tiny-qwen2-5": 0.3, "tiny-qwen2-8": 0.1,
        "tiny-olmo2": 0.4, "tiny-olmo2-6": 0.4, "tiny-olmo2-9": 0.4,
    }  # fmt: skip
    tier = dataclasses.replace(tiers.CHECKPOINTS, optimisers=(("adamw", 3e-4),))
    found = {}
    for setting in base_model.settings(tier.levels):
        for question, more in enumerate((-0.01, 0.0, 0.01)):
            end = 0.3 + gains[setting.model] + more
            found[setting, f"{setting.model}, {setting.task}, {question}"] = Outcome(
                train=np.ones((2, 3)),
                evaluated=np.array([0, 3]),
                test=np.array([[0.3, end], [0.3, end]]),
                p0=0.25,
                pulls=1,
            )
    results = Results(found, tier.levels)
    of_families = claims()["A7 family"].measure(results)
    assert {label: round(one.value, 9) for label, one in of_families.items()} == {
        "optimizer adamw, step 0.0003": pytest.approx(0.4)
    }
    assert next(iter(of_families.values())).units == 6  # the base models of the best family and of the worst
    within = {label[-5:]: one.value for label, one in claims()["A7 checkpoint"].measure(results).items()}
    assert within == {"llama": pytest.approx(0.3), "qwen2": pytest.approx(0.2), "olmo2": pytest.approx(0.0)}


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


def test_a_result_is_void_once_a_condition_of_its_experiments_is_changed() -> None:
    """Catches a digest of the claim's own text alone, and one that a claim's measures at second hand do not enter."""
    claim = claims()["A4"]
    (experiment,) = claim.experiments
    other = dataclasses.replace(experiment, conditions={**experiment.conditions, "raw, 16": {"rollouts": 17}})
    same = dataclasses.replace(experiment, question="Put otherwise?")
    here = [Path(claims_module.__file__).parent / "a4_test.py"]
    assert digest_of(here, [experiment]) == digests()["A4"] == digest_of(here, [same])
    assert digest_of(here, [other]) != digests()["A4"]
    third = {path.name for path in claims_module._taken(here[0].with_name("a8_rollouts.py"))}
    assert third == {"a8_bottlenecks.py", "a7_base_model.py"}


def test_the_findings_are_those_of_the_committed_claims() -> None:
    """Catches a number of the page that the table no longer has."""
    held = read_json(DOCS / "claims.json")["tiers"]
    assert findings.page(held, findings.TEXT.read_text()) == (DOCS / "findings.md").read_text()


def test_a_finding_takes_its_number_by_name_and_one_that_is_not_there_is_refused() -> None:
    record = {
        "tier": "simulation",
        "claims": [{"id": "X", "verdict": "mixed", "strata": {"all": {"effect": 0.5, "interval": [0.25, None]}}}],
    }
    made = findings.page([record], "It is [[simulation: X: all]], [[simulation: X]].\n")
    assert made.startswith("It is 0.500 [0.250, –], *mixed*.\n")
    assert "mixed at tier simulation: X." in made
    for name in ("simulation: Y", "tiny: X: all", "simulation: X: none", "X"):
        with pytest.raises(InputError, match=r"which claims\.json has not"):
            findings.page([record], f"[[{name}]]")


def test_an_effect_is_shown_with_the_digits_of_its_threshold_and_margin() -> None:
    """Variances near a threshold of 1e-4 and a margin of 9e-4, in all three places. Catches "0.000 [0.000, 0.000]"."""
    strata = {"all": {"effect": 1.6e-4, "interval": [4e-5, 2.9e-4], "units": 16, "verdict": "underpowered"}}
    told = {"statement": "It is.", "source": "us", "effect": "variance", "verdict": "underpowered", "strata": strata}
    above = {**told, "id": "A", "direction": "above", "threshold": 1e-2**2, "margin": None}
    margin = {**told, "id": "B", "direction": "above", "threshold": 0.0, "margin": 3e-2**2}
    record = {"tier": "made up", "seeds": 2, "rounds": 3, "claims": [above, margin]}
    for text in (table.markdown([record]), table.terminal(record)):
        assert text.count("0.00016 [0.00004, 0.00029]") == 2
    assert "0.00016 [0.00004, 0.00029]" in findings.page([record], "[[made up: A: all]]")
    assert [table.decimals(one) for one in (above, margin, {**above, "threshold": 0.03})] == [5, 5, 3]


def test_a_claim_of_one_stratum_keeps_the_words_of_its_effect() -> None:
    """Catches the number of the only stratum in the place of what it is a number of."""
    held = {claim["id"]: claim for record in read_json(DOCS / "claims.json")["tiers"] for claim in record["claims"]}
    assert held["D1 drift"]["effect"] == claims()["D1 drift"].effect


def test_the_committed_table_is_that_of_its_data_and_of_todays_claims() -> None:
    """Catches a page changed by hand, and a claim changed after it was judged."""
    held = read_json(DOCS / "claims.json")["tiers"]
    assert table.markdown(held) == (DOCS / "claims.md").read_text()
    for record in held:
        assert reproduce.void(record) == []


def test_a_tier_that_was_run_anew_leaves_the_others_in_the_table() -> None:
    # CONTRIBUTING's command names the folder of one tier: the table lost all others.
    kept = [{"tier": "simulation", "seeds": 1}, {"tier": "tiny-quick", "seeds": 2}]
    assert reproduce.with_new(kept, [{"tier": "simulation", "seeds": 3}]) == [
        {"tier": "simulation", "seeds": 3},
        kept[1],
    ]
    held_out = {"tier": "tiny-key-5"}
    order = [record["tier"] for record in reproduce.with_new(kept, [{"tier": "small"}, held_out, {"tier": "tiny"}])]
    assert order == ["simulation", "tiny-quick", "tiny", "small", "tiny-key-5"]


def test_the_committed_outcomes_are_of_runs_that_the_tier_plans(tmp_path: Path) -> None:
    """Catches a design that was changed after its runs: --outcomes would pass them over, and make them anew."""
    work = reproduce.planned("tiny")
    runs = restore(DOCS / "outcomes" / "tiny.tar.xz", tmp_path)
    jobs = plan(work.tier, work.experiments, tmp_path)
    done = [job for job in jobs if job.digest in runs]
    assert len(done) == len(runs) > 0
    for job in done[::20]:
        outcome = Outcome.read(folder_of(tmp_path, job) / OUTCOME)
        assert outcome.train.shape == (work.tier.seeds_of(job.setting), work.tier.rounds)


def test_outcomes_of_another_tier_are_refused_before_any_run(tmp_path: Path) -> None:
    """It was said that they were taken, and every run was made."""
    work = reproduce.planned("simulation", only=["D1"])
    with pytest.raises(InputError, match=r"has no outcome of the .* runs of this plan: give one of its tier"):
        reproduce.reproduce(work, tmp_path / "out", outcomes=DOCS / "outcomes" / "tiny.tar.xz")
    assert main(["reproduce", "--dry-run", "--outcomes", "any"]) == 2


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
        train_once=True,
    )
    whole = reproduce.planned("tiny", only=["A1"], quick=True)
    work = dataclasses.replace(whole, tier=tier, whole=True)
    first = reproduce.reproduce(work, tmp_path / "out")
    again = reproduce.reproduce(work, tmp_path / "out")
    assert first == again
    assert [claim["id"] for claim in first["claims"]] == ["A1 test", "A1 training"]
    assert not list((tmp_path / "out").rglob("checkpoints"))
    said: list[str] = []
    saved = tmp_path / "out" / reproduce.SAVED
    elsewhere = reproduce.reproduce(work, tmp_path / "elsewhere", outcomes=saved, say=said.append)
    assert elsewhere == first
    assert f"{saved} has the outcomes of 4 of these 4 runs" in said[0]
    assert not list((tmp_path / "elsewhere").rglob("history.npz"))
    outcome = Outcome.read(next((tmp_path / "out").rglob("outcome.npz")))
    assert outcome.right is not None
    np.testing.assert_allclose(outcome.right.mean(axis=1), outcome.final_test())
    assert outcome.train_once is not None
    assert set(np.unique(outcome.train_once)) <= {0.0, 1.0}  # of one question, a coin
    assert (tmp_path / "out" / "claims.md").exists()
