"""`sweep`: a point is itself whatever else is swept; nothing finished is lost; no folder mixes two sweeps."""

import importlib
import json
import math
import threading

import jax
import numpy as np
import pytest
from scipy import stats

from bandit_rft import arms, learners
from bandit_rft.errors import InputError, RowCapacityError, SweepWarning
from bandit_rft.regret import scaling_exponent
from bandit_rft.sweep import final_regret, sweep
from bandit_rft.sweep.result import SweepResult
from tests.bandit_rft.sweeps import GRID, SETTINGS, Coin, Jittable, Patient, make, same, total

MODULE = importlib.import_module("bandit_rft.sweep.execute")


@pytest.fixture
def runs(monkeypatch):
    """Counts the runs; `runs.fail_at` = (number, error) makes one fail."""
    real = MODULE.run

    def counted(*arguments, **options):
        counted.count += 1
        if counted.fail_at is not None and counted.count == counted.fail_at[0]:
            raise counted.fail_at[1]
        return real(*arguments, **options)

    counted.count, counted.fail_at = 0, None
    monkeypatch.setattr(MODULE, "run", counted)
    return counted


# ---------------------------------------------------------------------------------------------------------------- grid


def test_the_grids_order_and_the_default_measure():
    """Pseudo-regret of a known value: rounds × (1 − chance + hope); a transposed grid or a shifted point fails."""
    result = sweep(make, GRID, rounds=7, seeds=3)
    assert (result.shape, result.measures) == ((2, 3), ("regret",))
    for i, chance in enumerate(GRID["chance"]):
        for j, hope in enumerate(GRID["hope"]):
            np.testing.assert_allclose(result.samples["regret"][i, j], 7 * (1 - chance + hope), rtol=1e-12)
            assert result.points[3 * i + j] == {"chance": chance, "hope": hope}
            np.testing.assert_array_equal(result.sample(3 * i + j), result.samples["regret"][i, j])


def test_a_point_is_the_same_whatever_else_is_swept():
    """In the grid, alone, as one of a list, in another order of the names, from NumPy values: bit by bit."""
    grid = sweep(make, GRID, **SETTINGS)
    alone = sweep(make, {"chance": [0.5], "hope": np.array([0.1])}, **SETTINGS)
    listed = sweep(make, [{"hope": 0.3}, {"hope": 0.1, "chance": 0.5}], **SETTINGS)
    for other in (alone.sample(0, "total"), listed.sample(1, "total")):
        np.testing.assert_array_equal(other, grid.samples["total"][1, 1])


def test_points_and_keys_are_independent():
    """The same coin at every point: equal rewards would mean one key. 64 tosses agree by chance once in 2^64."""
    result = sweep(lambda label: (Coin(0.5), Patient()), {"label": [0, 1, "1", True]}, rounds=64, measure=total_path)
    words = set(result.samples["value"].ravel().tolist())
    again = sweep(lambda label: (Coin(0.5), Patient()), {"label": [0]}, rounds=64, key=1, measure=total_path)
    assert len(words | set(again.samples["value"].ravel().tolist())) == 5
    typed = sweep(
        lambda label: (Coin(0.5), Patient()), {"label": [0]}, rounds=64, key=jax.random.key(1), measure=total_path
    )
    same(again, typed)


def total_path(history):
    """A number that two different courses of 53 tosses or fewer cannot share."""
    return (history.rewards[:, :50, 0] * 2.0 ** np.arange(50)).sum(axis=1)


def test_rounds_and_seeds_may_be_swept():
    """Seeds differ by point: what a point has not is NaN and takes no part in its mean. `make` hears of rounds."""

    def told(rounds, chance):
        return Coin(chance, best_mean=1.0), Patient(hope=rounds / 100)

    result = sweep(
        told, {"rounds": [2, 5], "seeds": [1, 4], "chance": [0.5]}, measure={"total": total, "regret": final_regret}
    )
    np.testing.assert_array_equal(result.seeds[..., 0], [[1, 4], [1, 4]])
    assert result.samples["regret"].shape == (2, 2, 1, 4)
    for i, rounds in enumerate((2, 5)):
        assert np.isnan(result.samples["regret"][i, 0, 0, 1:]).all()
        for j in (0, 1):
            sample = result.sample((i, j, 0), "regret")
            np.testing.assert_allclose(sample, rounds * (0.5 + rounds / 100), rtol=1e-12)
            np.testing.assert_allclose(result.band("regret").mean[i, j, 0], sample.mean(), rtol=1e-15)
    assert np.isnan(result.band("total").low[0, 0, 0])
    assert np.isfinite(result.band("total").low[0, 1, 0])
    assert [record["seeds"] for record in result.to_table()] == [1, 4, 1, 4]


# -------------------------------------------------------------------------------------------------------------- folder


@pytest.mark.parametrize("error", [InputError("no."), RowCapacityError("no."), KeyboardInterrupt(), TypeError("no.")])
def test_what_was_finished_is_kept_and_not_run_again(tmp_path, runs, error):
    whole = sweep(make, GRID, **SETTINGS)
    runs.count, runs.fail_at = 0, (4, error)
    with pytest.raises(type(error)) as caught:
        sweep(make, GRID, **SETTINGS, out=tmp_path / "s")
    if isinstance(error, InputError):
        assert str(caught.value) == "At chance=0.5, hope=0.0: no."
    elif isinstance(error, TypeError):
        assert "at chance=0.5, hope=0.0" in caught.value.__notes__[0]
    files = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "s" / "points").iterdir()}
    assert len(files) == 3
    runs.count, runs.fail_at = 0, None
    resumed = sweep(make, GRID, **SETTINGS, out=tmp_path / "s")
    assert runs.count == 3
    same(resumed, whole)
    for path, before in files.items():
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    same(sweep(make, GRID, **SETTINGS, out=tmp_path / "s"), whole)
    assert runs.count == 3
    same(SweepResult.load(tmp_path / "s" / "sweep.npz"), whole)
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert manifest["versions"]["jax"] == jax.__version__


def test_a_killed_sweep_says_what_made_its_points_and_goes_on(tmp_path, runs):
    """Catches points that stand in a folder without the versions that made them, until the last one is there."""
    runs.fail_at = (4, SystemExit(137))  # as a kill, nothing is done after it
    with pytest.raises(SystemExit):
        sweep(make, GRID, **SETTINGS, out=tmp_path / "s")
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert manifest["versions"]["jax"] == jax.__version__
    assert manifest["started"]
    assert manifest["finished"] is None
    runs.fail_at = None
    sweep(make, GRID, **SETTINGS, out=tmp_path / "s")
    again = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert again["finished"]
    assert [before["started"] for before in again["earlier"]] == [manifest["started"]]


def test_a_sweep_that_could_not_begin_leaves_the_folder_free(tmp_path, runs):
    runs.fail_at = (1, InputError("no."))
    with pytest.raises(InputError):
        sweep(make, GRID, **SETTINGS, out=tmp_path / "s")
    runs.fail_at = None
    assert sweep(make, {"chance": [0.4]}, **SETTINGS, out=tmp_path / "s").shape == (1,)


def other_total(history):
    return history.rewards.sum(axis=(1, 2)) + 1.0


def other_make(chance=0.5, hope=0.0):
    return Coin(chance, best_mean=0.9), Patient(hope)


class Scored:
    """A measure of a plain class, whose setting is an attribute."""

    def __init__(self, by):
        self.by = by

    def __call__(self, history):
        return history.rewards.sum(axis=(1, 2)) * self.by


def test_a_changed_setting_of_a_plain_class_is_another_sweep_and_what_cannot_be_known_is_refused(tmp_path, runs):
    """Catches an object that counts by its type alone: the points of another setting would be given back as its own."""
    grid = {"chance": [0.2]}
    first = sweep(make, grid, **SETTINGS | {"measure": Scored(1.0)}, out=tmp_path / "s")
    same(sweep(make, grid, **SETTINGS | {"measure": Scored(1.0)}, out=tmp_path / "s"), first)
    with pytest.raises(InputError, match=r"holds a different run .*measures"):
        sweep(make, grid, **SETTINGS | {"measure": Scored(2.0)}, out=tmp_path / "s")
    asked = SETTINGS | {"measure": Scored(threading.Lock())}
    with pytest.raises(InputError, match=r"^A measure holds a _thread\.lock, and nothing tells .* leave out `out`"):
        sweep(make, grid, **asked, out=tmp_path / "t")
    with pytest.raises(InputError, match=r"^At chance=0\.2: what make returns holds a _thread\.lock"):
        sweep(lambda chance: (Coin(chance), Patient(threading.Lock())), grid, **SETTINGS, out=tmp_path / "t")
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"over": {"chance": [0.2, 0.6], "hope": [0.0, 0.1, 0.2]}}, "axes"),
        ({"rounds": 8}, "rounds is 7 there and 8 here"),
        ({"seeds": 4}, "seeds"),
        ({"key": 12}, "key"),
        ({"measure": {"total": other_total, "regret": final_regret}}, "measures"),
        ({"measure": {"total": total}}, "measures"),
        ({"make": other_make}, "made"),
    ],
)
def test_a_folder_of_another_sweep_is_refused(tmp_path, runs, change, word):
    sweep(make, GRID, **SETTINGS, out=tmp_path / "s")
    asked = {"make": make, "over": GRID, **SETTINGS, **change}
    runs.count = 0
    with pytest.raises(InputError, match=f"holds a different run .*{word}"):
        sweep(asked.pop("make"), asked.pop("over"), **asked, out=tmp_path / "s")
    assert runs.count == 0


def test_a_damaged_or_foreign_point_is_named_and_can_be_deleted(tmp_path, runs):
    whole = sweep(make, GRID, **SETTINGS, out=tmp_path / "s")
    first, second, *_ = sorted((tmp_path / "s" / "points").iterdir())
    good = first.read_bytes()
    for bad in (good[:100], b"", second.read_bytes()):
        first.write_bytes(bad)
        with pytest.raises(InputError, match=f"{first.name}.*delete it, and that point is run again"):
            sweep(make, GRID, **SETTINGS, out=tmp_path / "s")
    first.unlink()
    runs.count = 0
    same(sweep(make, GRID, **SETTINGS, out=tmp_path / "s"), whole)
    assert runs.count == 1


# ------------------------------------------------------------------------------------------------------------ progress


@pytest.mark.parametrize("many", [False, True])
def test_progress_counts_rounds_over_all_points(tmp_path, runs, many):
    over = {"hope": [i / 100 for i in range(25 if many else 3)]}
    calls = []
    runs.fail_at = (3, InputError("no."))
    with pytest.raises(InputError):
        sweep(make, over, rounds=4, seeds=2, out=tmp_path / "s", progress=lambda *call: calls.append(call))
    # Two points ran: told after each, or as the 4 rounds of each go by.
    assert [call[0] for call in calls] == ([4, 8] if many else [1, 2, 3, 4, 5, 6, 7, 8])
    calls.clear()
    runs.fail_at = None
    sweep(make, over, rounds=4, seeds=2, out=tmp_path / "s", progress=lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert done[0] == (12 if many else 9)  # the two points found count as done
    assert all(call[1] == 4 * len(over["hope"]) and 0 <= call[2] <= 1 for call in calls)
    assert done[-1] == calls[0][1]


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"over": {}}, "over names no parameter"),
        ({"over": []}, "over is swept over nothing"),
        ({"over": {"hope": []}}, "hope is swept over nothing"),
        ({"over": {"hope": "ab"}}, "give a list"),
        ({"over": {"hope": 0.1}}, "give a list"),
        ({"over": 3}, "give a list"),
        ({"over": [0.1]}, "neither name"),
        ({"over": {"hope": [math.nan]}}, "finite"),
        ({"over": {"hope": [[0.1]]}}, "type list"),
        ({"over": {"hope": [10**5000]}}, "hope takes a number of more than 4,000 digits"),
        ({"over": {"hope": [0.1, 0.1]}}, "given twice"),
        ({"over": {"hops": [0.1]}}, r"At hops=0.1: make does not take these parameters"),
        ({"rounds": None}, "At hope=0.1: the number of rounds is missing"),
        ({"rounds": 0}, "rounds is 0"),
        ({"seeds": 1.5}, "seeds is 1.5"),
        ({"over": {"rounds": [3]}}, "both swept and given"),
        ({"over": {"seeds": ["many"]}, "seeds": None}, "At seeds='many': seeds is 'many'"),
        ({"make": lambda hope: Coin(0.5)}, "must return"),
        ({"measure": 3}, "neither a function"),
        ({"measure": {}}, "neither a function"),
        ({"measure": lambda history: history.rewards}, r"At hope=0.1: the measure 'value' gave shape \(2, 3, 1\)"),
        ({"measure": {"x": lambda history: 1.0}}, "the measure 'x' gave shape"),
    ],
)
def test_bad_input(tmp_path, change, word):
    asked = {"make": make, "over": {"hope": [0.1]}, "rounds": 3, "seeds": 2, **change}
    with pytest.raises(InputError, match=word):
        sweep(asked.pop("make"), asked.pop("over"), **asked, out=tmp_path / "s")
    assert not (tmp_path / "s" / "config.json").exists()


def test_a_bad_point_is_refused_before_any_is_run(runs):
    """The last point of the grid: an hour of the points before it would be lost on whoever gave no folder."""
    with pytest.raises(InputError, match=r"At step=-1.0: step_size is -1.0"):
        sweep(
            lambda step: (arms.Needle(3), learners.SoftmaxPolicyGradient(step_size=step)),
            {"step": [1.0, -1.0]},
            rounds=3,
        )
    with pytest.raises(InputError, match=r"At one='b': UCB1 learns on tables"):
        sweep(
            lambda one: (arms.Needle(3) if one == "a" else Jittable(0.5), learners.UCB1()),
            {"one": ["a", "b"]},
            rounds=3,
        )
    assert runs.count == 0


# ---------------------------------------------------------------------------------------------------------- simulation


def test_a_scaling_law_of_exact_simulations(tmp_path):
    """Explore until success loses (1 − p0)(1 − (1 − p0)^T)/p0: its exponent in p0, from 400 seeds a point.

    The interval of 99.9% must hold the exponent of the exact means. UCB1 among more arms than rounds leaves its note.
    """
    p0 = [0.02, 0.05, 0.15]
    result = sweep(
        lambda p0: (arms.Needle(100, p0=p0), learners.ExploreUntilSuccess(replacement=True)),
        {"p0": p0},
        rounds=300,
        seeds=400,
        key=5,
    )
    exact = [(1 - p) * (1 - (1 - p) ** 300) / p for p in p0]
    found = scaling_exponent(*result.along("p0"), confidence=0.999)
    slope = stats.linregress(np.log(p0), np.log(exact)).slope
    assert found.low < slope < found.high
    assert found.high - found.low < 0.5
    asked = (lambda log10: (arms.Needle(log10), learners.UCB1()), {"log10": [2]})
    with pytest.warns(SweepWarning):
        noted = sweep(*asked, rounds=9, out=tmp_path / "s")
    again = sweep(*asked, rounds=9, out=tmp_path / "s")
    assert noted.notes[0].startswith("log10=2: UCB1")
    assert noted.notes[0] in again.report()
    same(noted, again)
