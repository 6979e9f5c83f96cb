"""What a sweep gives back: bands, curves along an axis, tables, files; and fingerprints of what was swept."""

import collections
import fractions
import functools
import re
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import stats

from bandit_rft import arms
from bandit_rft.errors import InputError
from bandit_rft.fingerprint import fingerprint
from bandit_rft.regret import scaling_exponent
from bandit_rft.sweep import sweep
from bandit_rft.sweep.result import SweepResult, pack, unpack
from tests.bandit_rft.sweeps import SETTINGS, Coin, Jittable, make, same

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


def test_every_damaged_byte_of_a_point_or_a_result_is_a_sentence(tmp_path):
    """Each byte flipped in turn, in three ways. Catches what zlib, zipfile and numpy raise beside a bad archive."""
    whole = pack({"point": {"p0": 0.5}, "notes": []}, {"regret": np.arange(3.0)})
    path, refused = tmp_path / "point.npz", 0
    for place in range(len(whole)):
        for flip in (0x01, 0x40, 0xFF):
            damaged = bytearray(whole)
            damaged[place] ^= flip
            path.write_bytes(damaged)
            try:
                unpack(path, "delete it")
            except InputError:
                refused += 1
            with pytest.raises(InputError, match=r"name a sweep\.npz"):
                SweepResult.load(path)
    assert refused > len(whole)
    path.write_bytes(pack([], {}))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="delete it"):
        unpack(path, "delete it")


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


class Plain:
    """What it holds is an attribute."""

    def __init__(self, held):
        self.held = held

    @functools.cached_property
    def later(self):
        return 1


class Slotted:
    """What it holds is in a slot."""

    __slots__ = ("held",)

    def __init__(self, held):
        self.held = held


def test_fingerprints_see_what_objects_of_any_class_hold():
    """Pairs that differ in a setting alone. Catches an object that counts by its type, a value that is in no attribute,
    and one that changes as a cached property is read; also a walk that takes 2^n steps through what is shared."""
    jitted, remembered = jax.jit, functools.lru_cache
    for of in (
        Plain,
        Slotted,
        lambda by: Plain([Plain({"by": by})]),
        lambda by: re.compile(str(by)),
        lambda by: fractions.Fraction(by, 7),
        lambda by: collections.deque([by]),
        np.random.default_rng,
        lambda by: jitted(lambda x: x * 1.0) if by == 1 else jitted(lambda x: x * 2.0),
        lambda by: remembered(lambda x: x * 1.0) if by == 1 else remembered(lambda x: x * 2.0),
        lambda by: Plain(by).__init__,
        lambda by: [by].append,
        lambda by: np.array([Plain(by)], dtype=object),
    ):
        unknown = []
        assert fingerprint(of(1), unknown) == fingerprint(of(1)) != fingerprint(of(2))
        assert unknown == []
    thing = Plain(1)
    before = fingerprint(thing)
    assert thing.later == 1
    assert fingerprint(thing) == before
    for _ in range(60):
        thing = Plain([thing, thing])
    assert fingerprint(thing) == fingerprint(thing)
    thing.held.append(thing)
    assert fingerprint(thing) == fingerprint(thing)
    unknown = []
    assert fingerprint(Plain([threading.Lock()]), unknown) == fingerprint(Plain([threading.Lock()]))
    assert unknown == ["_thread.lock"]
