"""`sweep`: a point is itself whatever else is swept; nothing finished is lost; no folder mixes two sweeps."""

import functools
import importlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import stats

from bandit_rft import arms, learners
from bandit_rft.contract import Info, Learner
from bandit_rft.errors import InputError, RowCapacityError, SweepWarning
from bandit_rft.regret import scaling_exponent
from bandit_rft.sweep import final_regret, sweep
from bandit_rft.sweep.fingerprint import fingerprint
from bandit_rft.sweep.result import SweepResult

MODULE = importlib.import_module("bandit_rft.sweep.execute")


@dataclass(frozen=True)
class Coin:
    """One arm under the host loop: nothing to compile, so that a test of many points takes milliseconds."""

    chance: float
    jittable: bool = False
    best_mean: float = 1.0

    def pull(self, key, pulled):
        return (jax.random.uniform(key, pulled.shape) < self.chance).astype(np.float32)

    def mean(self, pulled):
        return np.full(pulled.shape, self.chance)


@dataclass(frozen=True)
class Patient:
    """Expects `hope` less of itself than the arm gives."""

    hope: float = 0.0
    rollouts: int = 1

    def bind(self, arms, *, rounds, row_capacity=None):
        def act(key, state):
            return np.zeros(self.rollouts, np.int32), Info(value=np.float64(arms.chance - self.hope))

        return Learner(init=lambda key: 0, act=act, update=lambda state, pulled, rewards: state, rollouts=self.rollouts)


def make(chance=0.5, hope=0.0):
    return Coin(chance), Patient(hope)


def total(history):
    return history.rewards.sum(axis=(1, 2))


GRID = {"chance": [0.2, 0.5], "hope": [0.0, 0.1, 0.2]}
SETTINGS = {"rounds": 7, "seeds": 3, "key": 11, "measure": {"total": total, "regret": final_regret}}


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


def same(one, other):
    assert one.axes == other.axes
    assert one.points == other.points
    assert one.notes == other.notes
    np.testing.assert_array_equal(one.seeds, other.seeds)
    assert list(one.samples) == list(other.samples)
    for name, values in one.samples.items():
        assert values.dtype == other.samples[name].dtype == np.float64
        assert values.tobytes() == other.samples[name].tobytes()


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
    # Two points ran: told after each, or as their 2 × 4 rounds of either seed go by.
    assert [call[0] for call in calls] == ([4, 8] if many else [k // 2 for k in range(1, 17)])
    calls.clear()
    runs.fail_at = None
    sweep(make, over, rounds=4, seeds=2, out=tmp_path / "s", progress=lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert done[0] == (12 if many else 8)  # the two points found count as done
    assert all(call[1] == 4 * len(over["hope"]) and 0 <= call[2] <= 1 for call in calls)
    assert done[-1] == calls[0][1]


# -------------------------------------------------------------------------------------------------------------- result


def result_of(samples, seeds=None, **axes):
    samples = np.asarray(samples, dtype=np.float64)
    names = list(axes)
    points = [dict(zip(names, np.array(index), strict=True)) for index in np.ndindex(*samples.shape[:-1])]
    points = tuple({name: axes[name][int(i)] for name, i in point.items()} for point in points)
    counts = np.full(samples.shape[:-1], samples.shape[-1]) if seeds is None else np.asarray(seeds)
    axes = {name: tuple(values) for name, values in axes.items()}
    return SweepResult(axes=axes, points=points, samples={"regret": samples}, seeds=counts)


def test_bands_are_students_t_and_sidaks():
    samples = np.random.default_rng(1).normal(size=(2, 3, 6))
    result = result_of(samples, K=[1, 2], eta=[0.1, 0.2, 0.3])
    pointwise, at_once = result.band(confidence=0.9), result.band(confidence=0.9, kind="simultaneous")
    for place in np.ndindex(2, 3):
        for found, confidence in ((pointwise, 0.9), (at_once, 0.9 ** (1 / 6))):
            expected = stats.ttest_1samp(samples[place], 0.0).confidence_interval(confidence)
            np.testing.assert_allclose((found.low[place], found.high[place]), expected, rtol=1e-9)


def test_a_measure_that_is_not_finite_has_a_mean_and_no_band(tmp_path):
    """Hitting times of censored seeds are infinite: no warning, no invented band, and they survive a file."""
    result = result_of([[1.0, np.inf], [1.0, 2.0], [np.nan, 1.0]], K=[1, 2, 3])
    found = result.band()
    np.testing.assert_array_equal(found.mean, [np.inf, 1.5, np.nan])
    assert np.isnan(found.low[[0, 2]]).all()
    assert np.isnan(found.high[[0, 2]]).all()
    result.save(tmp_path / "r.npz")
    same(SweepResult.load(tmp_path / "r.npz"), result)
    assert not [path for path in tmp_path.iterdir() if path.name != "r.npz"]


def test_along_an_axis_and_its_exponent():
    """Samples of mean exactly K²/η: exponents 2 and −1, along the axis that was asked for."""
    K, eta = [2.0, 4.0, 8.0], [0.5, 1.0]
    noise = np.array([0.9, 1.1])
    result = result_of(np.square(K)[:, None, None] / np.array(eta)[:, None] * noise, K=K, eta=eta)
    assert scaling_exponent(*result.along("K", eta=1.0)).slope == pytest.approx(2.0, abs=1e-12)
    assert scaling_exponent(*result.along("eta", K=4.0)).slope == pytest.approx(-1.0, abs=1e-12)
    np.testing.assert_array_equal(result.along("eta", K=4.0)[1][0], 16 / 0.5 * noise)
    for call, word in [
        (lambda: result.along("K"), "also varies eta"),
        (lambda: result.along("k", eta=1.0), "no axis 'k'"),
        (lambda: result.along("K", eta=0.7), "was not swept"),
        (lambda: result.band("regrets"), "no measure"),
        (lambda: result.band(confidence=1.0), "strictly between"),
        (lambda: result.band(kind="joint"), "choose pointwise"),
    ]:
        with pytest.raises(InputError, match=word):
            call()


def test_the_table():
    result = sweep(make, [{"hope": 0.1}, {"chance": 0.25}], **SETTINGS)
    with pytest.raises(InputError, match="several measures"):
        result.band()
    record = result.to_table()[1]
    assert record["chance"] == 0.25
    assert record["regret_mean"] == pytest.approx(7 * 0.75)
    lines = result.report().splitlines()
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split()[:3] == ["hope", "seeds", "total_mean"]


@pytest.mark.parametrize("content", [b"", b"PK", b"not a file"])
def test_no_saved_sweep(tmp_path, content):
    path = Path(tmp_path / "r.npz")
    with pytest.raises(InputError, match=r"name a sweep\.npz"):
        SweepResult.load(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"name a sweep\.npz"):
        SweepResult.load(path)
    np.savez(path, header=np.frombuffer(b"{}", dtype=np.uint8))
    with pytest.raises(InputError, match="no saved sweep"):
        SweepResult.load(path)


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


@dataclass(frozen=True)
class Jittable(Coin):
    jittable: bool = True


# -------------------------------------------------------------------------------------------------------- fingerprints


def test_fingerprints_see_what_matters_and_nothing_else():
    def scaled(by, offset=0.0):
        def measure(history):
            return history * by + offset

        return measure

    def commented(by, offset=0.0):
        def measure(history):
            # The same code with other words around it.
            return history * by + offset

        return measure

    assert fingerprint(scaled(2.0)) == fingerprint(scaled(2.0)) == fingerprint(commented(2.0))
    different = [
        scaled(2.0),
        scaled(3.0),
        scaled(2.0, 1.0),
        functools.partial(scaled, 2.0),
        functools.partial(scaled, 3.0),
        lambda history: history * 2.0,
        lambda history: history * 3.0,
        lambda history, by=2.0: history * by,
        lambda history, by=3.0: history * by,
        lambda history: history.value,
        lambda history: history.rewards,
        lambda history: [entry + 1 for entry in history],
        lambda history: [entry + 2 for entry in history],
        arms.Bernoulli([0.1] * 40 + [0.2]),
        arms.Bernoulli([0.1] * 40 + [0.3]),
        np.zeros(3),
        np.zeros((3, 1)),
        np.zeros(3, np.float32),
        jax.random.key(0),
        jax.random.key(1),
        Coin(0.5),
        Jittable(0.5),
        {1, 2},
        (1, 2),
        b"a",
        None,
    ]
    assert len({fingerprint(thing) for thing in different}) == len(different)

    def recursive(n):
        return recursive(n - 1) if n else 0

    assert fingerprint(recursive) == fingerprint(recursive)


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
