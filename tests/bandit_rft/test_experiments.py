"""Experiments and claims: their statistics against SciPy, verdicts on made-up outcomes, and runs that are kept."""

import dataclasses
import importlib
import io
import math
import os
import signal
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bandit_rft.errors import InputError
from bandit_rft.experiments import (
    Claim,
    Effect,
    Experiment,
    Job,
    Outcome,
    Results,
    Setting,
    Unit,
    difference,
    execute,
    holm,
    judge,
    judge_all,
    mean_effect,
    plan,
    restore,
    save,
    wilson,
)

execute_module = importlib.import_module("bandit_rft.experiments.execute")  # the package has a function of that name

advantage = Experiment(
    name="advantage",
    question="Does it help?",
    conditions={"raw": {}, "grpo": {"signal": "grpo", "rollouts": 8}},
    strata=("optimiser",),
)


def an_outcome(test: float = 0.5, train: float = 0.9, seeds: int = 4, seed: int = 0) -> Outcome:
    draw = np.random.default_rng(seed)
    curve = np.column_stack([np.full(seeds, 0.2), np.full(seeds, test)]) + draw.normal(0, 0.001, (seeds, 2))
    return Outcome(train=np.full((seeds, 30), train), evaluated=np.array([0, 30]), test=curve, p0=0.2, pulls=1)


@dataclasses.dataclass(frozen=True)
class MadeUp:
    """A tier whose outcomes are a formula; at module level, so that other processes find it."""

    seeds: int = 4
    rounds: int = 30
    name: str = "made up"
    version: int = 1

    @property
    def levels(self) -> Mapping[str, tuple[Mapping[str, Any], ...]]:
        return {
            "optimiser": ({"optimizer": "sgd"}, {"optimizer": "adamw"}),
            "base model": ({"model": "a"}, {"model": "b"}),
        }

    def seeds_of(self, setting: Setting) -> int:
        return self.seeds

    def rounds_of(self, setting: Setting) -> int:
        return self.rounds

    def planned(self, setting: Setting) -> int:
        return 3

    def units(self, setting: Setting, folder: Path) -> Sequence[Unit]:
        return [Unit(f"{setting.model} {place}", place) for place in range(3)]

    def run(self, setting: Setting, unit: Unit, folder: Path) -> Outcome:
        (folder / "ran").write_text((folder / "ran").read_text() + "again" if (folder / "ran").exists() else "once")
        gain = {"sgd": 0.1, "adamw": -0.1}[setting.optimizer] if setting.signal == "grpo" else 0.0
        # Noise of each condition's own: questions that differ by the same number to the digit are units all alike.
        return an_outcome(0.5 + gain + 0.01 * unit.place, seed=unit.place + 10 * setting.rollouts)

    def seconds(self, setting: Setting) -> float:
        return 1.0


def a_claim(**changed: Any) -> Claim:
    return Claim(
        **{
            "id": "X",
            "statement": "GRPO helps.",
            "source": "a test",
            "experiments": (advantage,),
            "effect": "final test Pass@1",
            "measure": lambda results: results.paired(advantage, "grpo", "raw", Outcome.final_test),
            "direction": "above",
            **changed,
        }
    )


def test_effects_are_students_and_welchs_as_scipy_has_them() -> None:
    draw = np.random.default_rng(0)
    one, other = draw.normal(0.3, 1, 12), draw.normal(0, 2, 7)
    found, known = mean_effect(one), stats.ttest_1samp(one, 0.1)
    assert found.interval() == pytest.approx(tuple(known.confidence_interval(0.95)))
    assert min(found.above(0.1), found.below(0.1)) * 2 == pytest.approx(known.pvalue)
    apart, welch = difference(one, other), stats.ttest_ind(one, other, equal_var=False)
    assert apart.interval() == pytest.approx(tuple(welch.confidence_interval(0.95)))
    assert min(apart.above(0), apart.below(0)) * 2 == pytest.approx(welch.pvalue)
    assert wilson(3, 10) == pytest.approx(tuple(stats.binomtest(3, 10).proportion_ci(method="wilson")))


def test_one_unit_says_nothing_of_others_and_nothing_measured_is_refused() -> None:
    """Catches a question alone that is read as certain."""
    lone = mean_effect([0.5])
    assert lone.interval() == (-math.inf, math.inf)
    assert lone.above(0) == 1
    assert mean_effect([0.5, math.nan, 0.7]).units == 2
    with pytest.raises(InputError, match="no unit with a finite number"):
        mean_effect([math.nan])


def test_holm_steps_down_and_never_falls() -> None:
    """Worked by hand: sorted .01, .02, .03, .5 times 4, 3, 2, 1, each at least the one before."""
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([]) == []


def test_the_units_that_are_needed_make_the_interval_that_short() -> None:
    effect = Effect(0.02, 0.03, 3, 4)
    needed = effect.units_needed(0.02)
    assert needed is not None
    spread = 0.03 * 2

    def reach(units: int) -> float:
        return spread / math.sqrt(units) * float(stats.t.ppf(0.975, units - 1))

    assert reach(needed) <= 0.02 < reach(needed - 1)
    assert effect.units_needed(10.0) == 5  # advice is to add units


@pytest.mark.parametrize(
    ("direction", "threshold", "margin", "value", "right"),
    [
        ("above", 0.0, 0.03, 0.1, "supported"),
        ("above", 0.0, 0.03, 0.002, "equivalent"),
        # Outside the margin, the margin's end decides nothing of a claim that is not "within".
        ("below", -0.25, 0.1, -0.2, "refuted"),
        ("within", 0.0, 0.03, 0.1, "refuted"),
        ("within", 0.0, 0.03, -0.005, "equivalent"),
    ],
)
def test_the_units_that_are_needed_decide_after_the_correction(
    direction: Any, threshold: float, margin: float, value: float, right: str
) -> None:
    """Among eight claims of which this alone says anything. Catches a half-width of 95% where Holm asks for more, and a
    distance to an end that decides nothing."""

    def judged(units: int) -> tuple[str, int | None]:
        effect = Effect(value, 0.2 / math.sqrt(units), units - 1, units)
        claim = a_claim(direction=direction, threshold=threshold, margin=margin, measure=lambda _: {"all": effect})
        nothing = {"all": Effect(0.0, 10.0, 3, 4)}
        others = [a_claim(id=str(number), measure=lambda _: nothing) for number in range(7)]
        found = judge_all([claim, *others], Results({}, {}))[claim.id]
        return found.verdict, found.needed

    found, needed = judged(4)
    assert found == "underpowered"
    assert needed is not None
    assert judged(needed)[0] == right
    assert judged(needed - 1)[0] == "underpowered"


def test_conditions_are_run_at_every_level_once_and_claims_share_them() -> None:
    tier, again = MadeUp(), Experiment(name="again", question="?", conditions={"raw": {}}, strata=("optimiser",))
    jobs = plan(tier, [advantage, again], Path("nowhere"))
    assert len(jobs) == 2 * 2 * 2 * 3  # conditions, optimisers, models, questions: the second experiment adds none
    assert len({job.digest for job in jobs}) == len(jobs)
    other = plan(dataclasses.replace(tier, seeds=5), [advantage], Path("nowhere"))
    assert not {job.digest for job in jobs} & {job.digest for job in other}


def test_a_field_that_no_setting_has_is_refused() -> None:
    with pytest.raises(InputError, match="changes 'rolouts', which no setting has"):
        Experiment(name="typo", question="?", conditions={"more": {"rolouts": 8}})


def test_what_is_done_is_not_run_again_and_processes_change_nothing(tmp_path: Path) -> None:
    tier = MadeUp()
    jobs = plan(tier, [advantage], tmp_path)
    alone = execute(tier, jobs, tmp_path / "one")
    told: list[int] = []
    execute(tier, jobs, tmp_path / "one", progress=lambda done, total, job, seconds: told.append(done))
    assert told == []
    assert {path.read_text() for path in (tmp_path / "one").rglob("ran")} == {"once"}
    several = execute(tier, jobs[:2], tmp_path / "two", processes=2)
    for job in jobs[:2]:
        key = job.setting, job.unit.name
        np.testing.assert_array_equal(several._found[key].test, alone._found[key].test)


@dataclasses.dataclass(frozen=True)
class Lost(MadeUp):
    """Each run's worker is killed the first time."""

    def run(self, setting: Setting, unit: Unit, folder: Path) -> Outcome:
        if not (folder / "lost").exists():
            (folder / "lost").write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(setting, unit, folder)


@dataclasses.dataclass(frozen=True)
class Refused(MadeUp):
    def run(self, setting: Setting, unit: Unit, folder: Path) -> Outcome:
        raise InputError(f"{unit.name} cannot be run: choose another question.")


def test_on_ray_a_lost_worker_s_run_is_made_by_another_and_outcomes_are_the_same(tmp_path: Path) -> None:
    """Catches runs that are lost with their worker, outcomes that depend on the backend, and a refusal that arrives as
    Ray's own traceback."""
    pytest.importorskip("ray", reason="needs Ray (the extra `ray`)")
    jobs = plan(MadeUp(), [advantage], tmp_path)[:3]
    alone = execute(MadeUp(), jobs, tmp_path / "one")
    told: list[int] = []
    found = execute(
        Lost(),
        jobs,
        tmp_path / "ray",
        processes=2,
        backend="ray",
        progress=lambda done, total, job, seconds: told.append(done),
    )
    assert told == [1, 2, 3]
    for job in jobs:
        key = job.setting, job.unit.name
        np.testing.assert_array_equal(found._found[key].test, alone._found[key].test)
    with pytest.raises(InputError, match="cannot be run: choose another question"):
        execute(Refused(), jobs[:1], tmp_path / "refused", backend="ray")
    with pytest.raises(InputError, match="choose one of processes, ray"):
        execute(MadeUp(), jobs, tmp_path / "three", backend="slurm")


def the_results(tmp_path: Path) -> Results:
    tier = MadeUp()
    return execute(tier, plan(tier, [advantage], tmp_path), tmp_path)


def test_strata_that_differ_make_a_mixed_verdict_with_both_effects(tmp_path: Path) -> None:
    """GRPO adds .1 under sgd and takes .1 under adamw, on six questions of two models. Catches strata that are pooled,
    questions of one model that stand for both, and a pairing of different questions."""
    judged = judge(a_claim(), the_results(tmp_path))
    assert judged.verdict == "mixed"
    assert judged.strata is not None
    verdicts = {label: one.verdict for label, one in judged.strata.items()}
    assert verdicts == {"optimizer sgd": "supported", "optimizer adamw": "refuted"}
    sgd = judged.strata["optimizer sgd"].effect
    assert sgd is not None
    assert sgd.units == 6
    assert sgd.value == pytest.approx(0.1, abs=0.002)


@pytest.mark.parametrize(
    ("direction", "threshold", "margin", "values", "verdict"),
    [
        ("above", 0.0, None, [0.1, 0.11, 0.12, 0.1], "supported"),
        ("above", 0.0, None, [-0.1, -0.11, -0.12, -0.1], "refuted"),
        ("above", 0.0, None, [0.3, -0.2, 0.1, -0.1], "underpowered"),
        ("below", 0.0, None, [-0.1, -0.11, -0.12, -0.1], "supported"),
        ("above", 0.0, 0.03, [0.01, 0.011, 0.012, 0.01], "equivalent"),
        ("within", 0.0, 0.03, [0.01, -0.01, 0.005, 0.0], "equivalent"),
        ("within", 0.0, 0.03, [0.2, 0.21, 0.19, 0.2], "refuted"),
        ("within", 0.0, 0.03, [0.2, -0.21, 0.1, -0.2], "underpowered"),
    ],
)
def test_a_verdict_by_direction(
    direction: Any, threshold: float, margin: float | None, values: list[float], verdict: str
) -> None:
    claim = a_claim(
        direction=direction, threshold=threshold, margin=margin, measure=lambda _: {"all": mean_effect(values)}
    )
    judged = judge(claim, Results({}, {}))
    assert judged.verdict == verdict
    assert (judged.needed is not None) == (verdict == "underpowered")


def test_the_error_of_five_percent_is_kept_over_all_claims() -> None:
    """200 families of 8 true nulls: the share with any decision is .05, below .11 but for one in 1e4 runs."""
    draw, wrong = np.random.default_rng(5), 0
    for _ in range(200):
        noise = draw.normal(size=(8, 6))
        claims = [
            a_claim(id=str(i), measure=lambda _, row=row: {"all": mean_effect(row)}) for i, row in enumerate(noise)
        ]
        wrong += any(one.verdict != "underpowered" for one in judge_all(claims, Results({}, {})).values())
    # Each claim is tested to both sides: 16 tests, of which at most 8 can be small.
    assert 0 < wrong / 200 < 0.11


def test_a_claim_that_nothing_could_be_measured_for_is_untested() -> None:
    """Catches a quick tier of one model that ends in an error once its hours are over."""
    assert judge(a_claim(measure=lambda _: {}), Results({}, {})).verdict == "untested"


def test_a_margin_is_needed_to_say_within() -> None:
    with pytest.raises(InputError, match="says within, and no margin"):
        a_claim(direction="within")


def test_collapse_and_drops_are_those_of_the_curve() -> None:
    curve = np.array([[0.2, 0.6, 0.3, 0.4], [0.3, 0.1, 0.05, 0.02]])
    outcome = Outcome(
        train=np.zeros((2, 5)), evaluated=np.array([0, 1, 2, 3]), test=curve, p0=0.2, pulls=1, noise=0.001
    )
    np.testing.assert_allclose(outcome.largest_drop(), [0.3, 0.28])
    np.testing.assert_array_equal(outcome.collapsed(), [False, True])
    assert outcome.seed_variance() == pytest.approx(np.var([0.4, 0.02], ddof=1) - 0.001)


def test_the_seeds_spread_is_found_below_that_of_the_evaluation() -> None:
    """400 studies of 6 seeds and 300 questions of very different difficulty: the mean of the estimates is the known
    variance over seeds within 4 standard errors (one in 16,000 studies fails). The binomial noise takes too much away:
    it counts the questions' own differences, which all seeds share."""
    draw, known = np.random.default_rng(3), 0.03
    found, binomial = [], []
    for _ in range(400):
        level = draw.normal(0.0, known, 6)
        chance = draw.choice([0.1, 0.9], 300)
        right = draw.binomial(1, np.clip(chance + level[:, None], 0, 1)).astype(float)
        test = right.mean(axis=1)
        outcome = Outcome(
            train=np.zeros((6, 1)), evaluated=np.array([1]), test=test[:, None], p0=0.1, pulls=1, right=right
        )
        found.append(test.var(ddof=1) - outcome.evaluation_variance())
        binomial.append(test.var(ddof=1) - test.mean() * (1 - test.mean()) / 300)
    error = np.std(found) / math.sqrt(400)
    assert abs(np.mean(found) - known**2) < 4 * error
    assert np.mean(binomial) < known**2 - 4 * error


def test_stability_is_counted_in_rounds_and_pulls() -> None:
    """Evaluations after 0, 10 and 40 rounds. Catches evaluations that are counted alike whatever rounds they stand for,
    and rounds that are taken for pulls."""
    test = np.array([[0.1, 0.8, 0.3], [0.1, 0.02, 0.4]])
    outcome = Outcome(
        train=np.array([[0.2, 0.6], [0.1, 0.2]]), evaluated=np.array([0, 10, 40]), test=test, p0=0.1, pulls=4
    )
    np.testing.assert_allclose(outcome.below_half(), [30 / 40, 10 / 40])
    np.testing.assert_allclose(outcome.test_after(100), [0.55, 0.21])
    assert np.isnan(outcome.test_after(161)).all()
    np.testing.assert_allclose(outcome.rounds_to_half(), [0.0, 1.0])
    falling = dataclasses.replace(outcome, train=np.array([[0.1, 0.7, 0.4], [0.1, 0.2, 0.3]]))
    np.testing.assert_allclose(falling.largest_training_drop(), [0.3, 0.0])


def test_shares_are_counted_for_each_question(tmp_path: Path) -> None:
    """Catches seeds of several questions that are pooled as if they were independent."""
    found = the_results(tmp_path).shares(advantage, lambda outcome: outcome.final_test() > 0.505)
    assert set(found) == {"optimizer sgd", "optimizer adamw"}
    assert found["optimizer sgd"]["grpo"]["a 0"] == (4, 4)
    assert found["optimizer adamw"]["grpo"]["b 2"] == (0, 4)
    assert found["optimizer sgd"]["raw"]["a 2"] == (4, 4)


def test_an_outcome_is_read_as_it_was_written_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    outcome = dataclasses.replace(an_outcome(), right=np.eye(4))
    outcome.write(tmp_path / "outcome.npz")
    found = Outcome.read(tmp_path / "outcome.npz")
    np.testing.assert_array_equal(found.test, outcome.test)
    assert (found.p0, found.pulls, found.correct_arms) == (0.2, 1, None)
    np.testing.assert_array_equal(found.right, np.eye(4))
    (tmp_path / "outcome.npz").write_bytes(b"PK half of it")
    with pytest.raises(InputError, match="is no outcome of a run"):
        Outcome.read(tmp_path / "outcome.npz")


# ------------------------------------------------------------------------------------- outcomes in one file


def test_outcomes_in_one_file_are_judged_without_a_run(tmp_path: Path) -> None:
    """Catches a run that is made again though its outcome was given, and arrays that the file changes."""
    tier = MadeUp()
    jobs = plan(tier, [advantage], tmp_path)
    made = execute(tier, jobs, tmp_path / "one")
    questions = '{"design": {}, "bins": {"0.5": {"3": 0.4}}, "kappa": 2.0}'
    (tmp_path / "one" / "questions-a-b.json").write_text(questions)
    assert save(tmp_path / "one", tmp_path / "kept" / "outcomes.tar.xz") == len(jobs)
    assert restore(tmp_path / "kept" / "outcomes.tar.xz", tmp_path / "two") == {job.digest for job in jobs}
    found = execute(tier, jobs, tmp_path / "two")
    assert not list((tmp_path / "two").rglob("ran"))
    assert (tmp_path / "two" / "questions-a-b.json").read_text() == questions
    for job in jobs:
        key = job.setting, job.unit.name
        np.testing.assert_array_equal(found._found[key].test, made._found[key].test)
        np.testing.assert_array_equal(found._found[key].train, made._found[key].train)


@pytest.mark.parametrize("name", ["../escaped.npz", "/escaped.npz", "questions-../../escaped.json", "0" * 16])
def test_a_file_of_outcomes_writes_nothing_but_outcomes(tmp_path: Path, name: str) -> None:
    """It may be somebody else's: a name that leads out of the folder writes nothing."""
    with tarfile.open(tmp_path / "file", "w:xz") as file:
        entry = tarfile.TarInfo(name)
        entry.size = 3
        file.addfile(entry, io.BytesIO(b"abc"))
    with pytest.raises(InputError, match="holds more than outcomes of runs"):
        restore(tmp_path / "file", tmp_path / "folder" / "inner")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["file"]


@pytest.mark.parametrize("name", ["ffffffffffffffff.npz", "questions-a-b.json"])
@pytest.mark.parametrize("data", [b"", b"no array", b"[]", b'{"design": {}, "bins": 3, "kappa": 1.0}'])
def test_a_file_with_a_damaged_member_writes_nothing(tmp_path: Path, name: str, data: bytes) -> None:
    """The sound run before it in the file was written, and the damaged one was met after hours of other runs."""
    outcome = an_outcome().to_bytes()
    with tarfile.open(tmp_path / "file", "w:xz") as file:
        for part, held in (("0" * 16 + ".npz", outcome), (name, data)):
            entry = tarfile.TarInfo(part)
            entry.size = len(held)
            file.addfile(entry, io.BytesIO(held))
    with pytest.raises(InputError, match=f"{name} in .*file is no "):
        restore(tmp_path / "file", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_a_file_of_outcomes_follows_no_link_and_what_is_none_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "file", "w:xz") as file:
        entry = tarfile.TarInfo("0123456789abcdef.npz")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(entry)
    with pytest.raises(InputError, match="holds more than outcomes of runs"):
        restore(tmp_path / "file", tmp_path / "folder")
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(InputError, match="cannot be read as outcomes of runs"):
        restore(tmp_path / "text", tmp_path / "folder")
    with pytest.raises(InputError, match="There is no file"):
        restore(tmp_path / "nowhere", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_runs_of_one_program_follow_one_another_and_two_processes_are_at_different_ones() -> None:
    """Of two programs with three runs each, planned in turn: one process makes them one after the other, two side by
    side. Every run is made once."""
    jobs = [
        Job(Setting(signal=signal, p0=p0), Unit(f"{signal} {width}", width=width), f"{place}")
        for place, (p0, signal, width) in enumerate(
            (p0, signal, width) for p0 in ("a", "b", "c") for signal in ("raw", "grpo") for width in (8, 16)
        )
    ]

    def order(processes: int) -> list[str]:
        found = execute_module._compiled_together(MadeUp(), jobs, processes)
        assert sorted(job.digest for job in found) == sorted(job.digest for job in jobs)
        return [job.unit.name for job in found]

    assert order(1) == [name for name in ("raw 8", "raw 16", "grpo 8", "grpo 16") for _ in range(3)]
    assert order(2) == [*["raw 8", "raw 16"] * 3, *["grpo 8", "grpo 16"] * 3]
