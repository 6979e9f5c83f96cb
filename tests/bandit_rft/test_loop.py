"""The loop: scan and host alike, keys used once and reproducibly, errors that stop instead of spoiling numbers."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import InputError, RowCapacityError, UnknownOptimumError, arms, learners, run
from bandit_rft.history import History
from bandit_rft.loop import executables, scan, store
from bandit_rft.regret import band, regret_band

LEARNERS = [
    learners.SoftmaxPolicyGradient(step_size=0.5),
    learners.SoftmaxPolicyGradient(step_size=1.0, signal="grpo", rollouts=4),
    learners.UCB1(),
    learners.ThompsonBeta(),
    learners.ExploreUntilSuccess(),
    learners.ExploreUntilSuccess(replacement=False),
]
NEEDLE = arms.Needle(log10_arms=2, optimal=3, p0=0.1)


def name_of(learner) -> str:
    return f"{type(learner).__name__}-{getattr(learner, 'signal', '')}{getattr(learner, 'replacement', '')}"


@pytest.mark.parametrize("learner", LEARNERS, ids=name_of)
def test_scan_and_host_loops_are_equal(learner) -> None:
    """One contract, two loops: a key folded differently, or a value taken after the update, would show at once."""
    scan = run(NEEDLE, learner, rounds=25, seeds=3, key=5)
    host = run(NEEDLE, learner, rounds=25, seeds=3, key=5, loop="host")
    np.testing.assert_array_equal(scan.rewards, host.rewards)
    np.testing.assert_allclose(scan.value, host.value, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(scan.regret("pulled"), host.regret("pulled"), rtol=0, atol=0)


@pytest.mark.parametrize("learner", LEARNERS, ids=name_of)
def test_every_learner_is_finite_on_a_huge_set(learner) -> None:
    """ln K = 230,258: anything that leaves log space, or an int32 arm id, overflows here."""
    huge = arms.Needle(log10_arms=100_000, optimal=10**50, p0=0.2)
    history = run(huge, learner, rounds=30, seeds=8, key=0)
    assert np.isfinite(history.value).all()
    regret = history.regret()
    assert regret.dtype == np.float64
    assert (np.diff(regret, axis=1, prepend=0.0) >= 0).all()


def test_the_issue_example() -> None:
    history = run(
        arms.Needle(log10_arms=100, optimal=1, p0=0.05),
        learners.SoftmaxPolicyGradient(step_size=0.5),
        rounds=40,
        seeds=16,
        key=0,
    )
    assert history.rewards.shape == (16, 40, 1)
    assert history.value.shape == (16, 40)
    np.testing.assert_allclose(history.value[:, 0], 0.05, rtol=1e-12)
    np.testing.assert_allclose(history.regret(), np.cumsum(1 - history.value, axis=1), rtol=1e-12)


def test_index_learners_ignore_the_base_policy() -> None:
    for learner in (learners.UCB1(), learners.ThompsonBeta()):
        low = run(arms.Needle(log10_arms=1, p0=0.01), learner, rounds=30, seeds=4, key=1)
        high = run(arms.Needle(log10_arms=1, p0=0.9), learner, rounds=30, seeds=4, key=1)
        np.testing.assert_array_equal(low.rewards, high.rewards)


def test_keys() -> None:
    """Reproducible, seeds distinct, and a seed's path does not depend on how many seeds or rounds are run beside it."""
    learner = learners.SoftmaxPolicyGradient(step_size=0.5)
    first = run(NEEDLE, learner, rounds=60, seeds=8, key=3)
    np.testing.assert_array_equal(first.value, run(NEEDLE, learner, rounds=60, seeds=8, key=3).value)
    np.testing.assert_array_equal(first.value, run(NEEDLE, learner, rounds=60, seeds=8, key=jax.random.key(3)).value)
    for same in (jax.random.PRNGKey(3), np.int64(3)):
        np.testing.assert_array_equal(first.value, run(NEEDLE, learner, rounds=60, seeds=8, key=same).value)
    np.testing.assert_array_equal(first.rewards[:3, :20], run(NEEDLE, learner, rounds=20, seeds=3, key=3).rewards)
    assert not np.array_equal(first.rewards, run(NEEDLE, learner, rounds=60, seeds=8, key=4).rewards)
    assert len({path.tobytes() for path in first.value}) == 8


def test_chunks_do_not_change_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = learners.SoftmaxPolicyGradient(step_size=0.7, signal="rloo", rollouts=2)
    whole = run(NEEDLE, learner, rounds=50, seeds=4, key=0)
    monkeypatch.setattr(scan, "CHUNK_NUMBERS", 4 * 5 * 7)
    seen: list[int] = []
    pieces = run(
        NEEDLE, learner, rounds=50, seeds=4, key=0, progress=lambda done, total, reward, seconds: seen.append(done)
    )
    np.testing.assert_array_equal(whole.rewards, pieces.rewards)
    np.testing.assert_allclose(whole.value, pieces.value, rtol=1e-12)
    assert seen == [7, 14, 21, 28, 35, 42, 49, 50]


def test_one_trace_serves_a_whole_run_and_its_repetition() -> None:
    """A retrace a chunk, or a round index baked in as a constant, would count up here."""
    traces = []

    @dataclasses.dataclass(frozen=True)
    class Counted(learners.UCB1):
        def bind(self, arms, *, rounds, row_capacity=None):
            bound = super().bind(arms, rounds=rounds, row_capacity=row_capacity)

            def act(key, state):
                traces.append(1)
                return bound.act(key, state)

            return bound._replace(act=act)

    progress = lambda *_: None  # noqa: E731  (watched runs take several chunks)
    run(NEEDLE, Counted(), rounds=400, seeds=2, key=0, progress=progress)
    first = len(traces)
    run(NEEDLE, Counted(), rounds=400, seeds=2, key=9, progress=progress)
    assert len(traces) == first <= 2


def test_a_compiled_scan_is_shared_by_its_text_and_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tables whose scans lower to one text but whose states differ in structure: the executable of the first would
    refuse the state of the second.
    """

    @dataclasses.dataclass(frozen=True, init=False)
    class Other(arms.Bernoulli):
        def start(self, key):
            return None  # no leaf, like the () of a fixed table, and yet another tree

    monkeypatch.setattr(scan, "number_of_groups", lambda seeds: 2)
    first, second = (run(kind([0.2, 0.7]), learners.UCB1(), 10, seeds=4, key=0) for kind in (arms.Bernoulli, Other))
    np.testing.assert_array_equal(first.rewards, second.rewards)


def test_sweeping_p0_compiles_one_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a p0 that stands in the program's text, not in its state: each point would compile anew."""
    monkeypatch.setattr(scan, "number_of_groups", lambda seeds: 2)
    programs, compiled = [], executables.executable
    keep = lambda lowered, tree: programs.append(compiled(lowered, tree)) or programs[-1]  # noqa: E731
    monkeypatch.setattr(executables, "executable", keep)
    for p0 in (0.1, 0.3):
        run(arms.Needle(log10_arms=2, p0=p0), LEARNERS[0], 10, seeds=4, key=0)
    assert programs[0] is programs[1]


@pytest.mark.parametrize(("backend", "compilations"), [("cpu", 1), ("gpu", 2)])
def test_equal_texts_are_compiled_once_and_only_on_a_cpu(monkeypatch, backend: str, compilations: int) -> None:
    """Catches a cache that shares nothing, and one that holds programs on an accelerator."""
    compiled = []

    class Lowered:
        def as_text(self):
            return "one text"

        def compile(self):
            compiled.append(1)
            return len(compiled)

    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    executables.forget()
    first, second = (executables.executable(Lowered(), "a tree") for _ in range(2))
    assert len(compiled) == compilations
    assert (first == second) == (compilations == 1)
    executables.forget()


@dataclasses.dataclass(frozen=True)
class Unsigned:
    """Uniform, with the metrics that a round without signal has."""

    def bind(self, arms, *, rounds, row_capacity=None):
        bound = learners.Uniform().bind(arms, rounds=rounds, row_capacity=row_capacity)
        return bound._replace(metrics=lambda state: {"loss": -jnp.zeros(()), "kl": jnp.full((), -2.5)})


@pytest.mark.parametrize("loop", ["scan", "host"])
def test_no_metric_is_minus_zero(loop: str) -> None:
    """A loss without signal is −0.0, which was stored, and printed, with its sign."""
    history = run(arms.Bernoulli([0.2, 0.4]), Unsigned(), rounds=3, loop=loop)
    assert not np.signbit(history.metrics["loss"]).any()
    np.testing.assert_array_equal(history.metrics["kl"], -2.5)


def test_global_precision_is_left_alone() -> None:
    run(NEEDLE, LEARNERS[0], rounds=5, key=0)
    assert jnp.zeros(()).dtype == jnp.float32


def test_no_nan_is_made_on_the_way() -> None:
    """jax_debug_nans over every learner: 0/0 or ∞ − ∞ hidden behind a `where` is found."""
    with jax.debug_nans(True):
        for learner in LEARNERS:
            run(NEEDLE, learner, rounds=10, seeds=2, key=0)


def test_row_capacity() -> None:
    learner = learners.UCB1()
    with pytest.raises(RowCapacityError, match="Row capacity 10 was exceeded in round 8") as caught:
        run(NEEDLE, learner, rounds=30, seeds=3, key=0, row_capacity=10)
    saved = caught.value.history  # nothing lost: the eight rounds before are there, and are those of a longer run
    np.testing.assert_array_equal(saved.rewards, run(NEEDLE, learner, rounds=30, seeds=3, key=0).rewards[:, :8])
    with pytest.raises(RowCapacityError, match="exceeded in round 8") as caught:
        run(NEEDLE, learner, rounds=30, seeds=3, key=0, row_capacity=10, loop="host")
    np.testing.assert_array_equal(caught.value.history.rewards, saved.rewards)
    with pytest.raises(InputError, match="Row capacity 1 is too small"):
        run(NEEDLE, learner, rounds=30, key=0, row_capacity=1)
    exact = run(NEEDLE, learner, rounds=30, key=0, row_capacity=33)
    np.testing.assert_array_equal(exact.rewards, run(NEEDLE, learner, rounds=30, key=0).rewards)


def test_nan_reward_stops_the_run_and_says_where() -> None:
    @dataclasses.dataclass(frozen=True, init=False)
    class Broken(arms.Bernoulli):
        def pull(self, key, arms):
            return super().pull(key, arms) * jnp.nan

    for kind in ("scan", "host"):
        with pytest.raises(InputError, match=r"reward nan in round 0 \(seed 0, rollout 0\)"):
            run(Broken([0.5, 0.5]), learners.UCB1(), rounds=3, key=0, loop=kind)


def test_a_nan_of_one_seed_among_many_is_named() -> None:
    """Catches a place that is counted from the wrong axis, or looked for in the first seed alone."""

    @dataclasses.dataclass(frozen=True, init=False)
    class Broken(arms.Bernoulli):
        jittable = False

        def pull_seeds(self, keys, arms):
            calls.append(1)
            rewards = np.zeros((len(arms), 2))
            rewards[1, 1] = np.nan if len(calls) == 4 else 0.0
            return rewards

    calls = []
    learner = learners.SoftmaxPolicyGradient(step_size=0.5, rollouts=2)
    with pytest.raises(InputError, match=r"reward nan in round 3 \(seed 1, rollout 1\)"):
        run(Broken([0.5, 0.5]), learner, rounds=9, seeds=3, key=0)
    assert len(calls) == 4


@pytest.mark.parametrize("kind", ["scan", "host"])
def test_a_learner_may_refuse_what_the_records_of_its_rounds_show(kind: str) -> None:
    """Catches a loop that never asks the learner's own check, as where NaN weights were given back as a finished run;
    one that leaves out the last round; and records of another shape."""

    @dataclasses.dataclass(frozen=True)
    class Checked(learners.UCB1):
        def bind(self, arms, *, rounds, row_capacity=None):
            return super().bind(arms, rounds=rounds, row_capacity=row_capacity)._replace(check=check)

    def check(start, records, kept):
        assert not kept()
        seen.extend(range(start, start + records["rewards"].shape[1]))
        assert records["rewards"].shape[::2] == (2, 1)
        if 2 in seen:
            raise InputError("Round 2 is lost.")

    seen: list[int] = []
    with pytest.raises(InputError, match="Round 2 is lost"):
        run(arms.Bernoulli([0.5, 0.5]), Checked(), rounds=3, seeds=2, key=0, loop=kind)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_host_loop_takes_all_seeds_through_each_round_in_turn(seeds: int) -> None:
    """Its rewards are asked for once a round, of all seeds; the final state is the one seed's own, or all of theirs.
    Catches seeds that are run one after the other, and progress that tells the mean reward of one seed."""

    @dataclasses.dataclass(frozen=True, init=False)
    class Asked(arms.Bernoulli):
        jittable = False

        def pull_seeds(self, keys, arms):
            asked.append(len(arms))
            return [np.asarray(self.pull(key, own)) for key, own in zip(keys, arms, strict=True)]

    asked, told = [], []
    with jax.enable_x64(True):  # the precision of the scan loop, which such arms leave to their caller
        learner = learners.SoftmaxPolicyGradient(step_size=0.5)
        host = run(Asked([0.3, 0.7]), learner, 8, seeds=seeds, key=1, progress=lambda *said: told.append(said))
        scan = run(arms.Bernoulli([0.3, 0.7]), learner, 8, seeds=seeds, key=1)
    assert asked == [seeds] * 8
    assert [(done, rounds) for done, rounds, _, _ in told] == [(t, 8) for t in range(1, 9)]
    np.testing.assert_array_equal(host.rewards, scan.rewards)
    np.testing.assert_allclose([mean for _, _, mean, _ in told], np.cumsum(host.rewards.mean((0, 2))) / np.arange(1, 9))
    states = host.final_state if seeds > 1 else (host.final_state,)
    assert len(states) == seeds
    for seed, state in enumerate(states):
        for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(scan.final_state), strict=True):
            np.testing.assert_allclose(ours, theirs[seed], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: run(NEEDLE, learners.UCB1(), rounds=0), "rounds is 0"),
        (lambda: run(NEEDLE, learners.UCB1(), rounds=3, seeds=0), "seeds is 0"),
        (lambda: run(NEEDLE, learners.UCB1(), rounds=3, loop="gpu"), "loop is 'gpu'"),
        (
            lambda: run(NEEDLE, learners.UCB1(), rounds=3, loop="together"),
            "loop is 'together': choose auto, scan or host",
        ),
        (lambda: arms.Needle(log10_arms=1, optimal=10), "10.1 arms with 10 optimal"),
        (lambda: arms.Needle(log10_arms=20, optimal=10**20), "must exceed"),
        (lambda: arms.Needle(log10_arms=2, p0=1.0), "p0 is 1.0"),
        (lambda: arms.Needle(log10_arms=2, p0=0.0), "p0 is 0.0"),
        (lambda: arms.Bernoulli([0.5, 1.2]), "means holds 1.2"),
        (lambda: arms.Bernoulli([]), "means is empty"),
        (lambda: arms.Classes(log_counts=[0.0], means=[0.1, 0.2]), "two lists of one length"),
        (lambda: arms.Classes(log_counts=[-1.0], means=[0.1]), "every class needs one arm or more"),
        (lambda: arms.Classes(log_counts=[0.0], means=[0.1], base_log_mass=[np.nan]), "base_log_mass"),
        (lambda: learners.SoftmaxPolicyGradient(step_size=0.0), "step_size is 0.0"),
        (lambda: learners.SoftmaxPolicyGradient(step_size=1.0, rollouts=0), "rollouts is 0"),
        (lambda: learners.ExploreUntilSuccess(replacement=False, rollouts=2), "set rollouts=1"),
        (lambda: learners.UCB1().bind(object(), rounds=1), "not on object"),
    ],
)
def test_refusals_are_one_sentence(call, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_arm_sets_know_themselves() -> None:
    needle = arms.Needle(log10_arms=100, optimal=10**98)
    assert needle.p0 == pytest.approx(0.01, rel=1e-12)
    assert needle.log_arms == pytest.approx(100 * np.log(10), rel=1e-15)
    assert arms.Needle(log10_arms=np.log10(200), optimal=5).p0 == pytest.approx(5 / 200, rel=1e-12)
    assert arms.Needle(log10_arms=2.30103).p0 == pytest.approx(1 / 200, rel=1e-12)
    # e^5 = 148.4 arms do not exist: 148 do, and the attribute says so.
    assert arms.Classes(log_counts=[5.0], means=[0.1]).log_counts == (np.log(148),)
    assert arms.Bernoulli([0.9, 0.8]).best_mean == 0.9
    assert arms.Bernoulli([0.9, 0.8], base_mass=[1.0, 3.0]).p0 == pytest.approx(0.25)


def test_regret_kinds_and_unknown_optimum() -> None:
    history = run(
        arms.Bernoulli([0.9, 0.8]), learners.SoftmaxPolicyGradient(step_size=0.2), rounds=300, seeds=400, key=0
    )
    ends = {kind: history.regret(kind)[:, -1] for kind in ("pseudo", "pulled", "realised")}
    assert (history.regret("realised") < 0).any()  # noise: the reason why pseudo-regret is the default
    for kind in ("pulled", "realised"):  # same expectation: |z| < 4 on paired differences, false alarm 6e-5 each
        difference = ends[kind] - ends["pseudo"]
        assert abs(difference.mean()) < 4 * difference.std(ddof=1) / 20
    with pytest.raises(UnknownOptimumError):
        dataclasses.replace(history, best_mean=None).regret()
    with pytest.raises(InputError, match="Regret kind"):
        history.regret("total")


def test_history_round_trip(tmp_path) -> None:
    history = run(NEEDLE, LEARNERS[1], rounds=12, seeds=3, key=0)
    history.save(tmp_path / "history.npz")
    loaded = History.load(tmp_path / "history.npz")
    np.testing.assert_array_equal(loaded.value, history.value)
    np.testing.assert_array_equal(loaded.regret("pulled"), history.regret("pulled"))
    learner = loaded.config["learner"]
    assert (learner["type"], learner["signal"], learner["rollouts"]) == ("SoftmaxPolicyGradient", "grpo", 4)
    assert [path.name for path in tmp_path.iterdir()] == ["history.npz"]
    (tmp_path / "broken.npz").write_bytes(b"not a zip")
    with pytest.raises(InputError, match="not a saved history"):
        History.load(tmp_path / "broken.npz")


def test_bands_cover() -> None:
    """300 repetitions of 40 correlated Gaussian paths: simultaneous 90% bands hold the whole mean in 85–95%, pointwise
    ones do not.
    """
    rng = np.random.default_rng(0)
    held = {"simultaneous": 0, "pointwise": 0}
    for _ in range(300):
        paths = rng.standard_normal((40, 60)).cumsum(axis=1)
        for kind in held:
            result = band(paths, confidence=0.9, kind=kind, draws=500)
            held[kind] += bool(np.all((result.low <= 0) & (result.high >= 0)))
    assert 0.85 < held["simultaneous"] / 300 < 0.96
    assert held["pointwise"] / 300 < 0.8
    history = run(NEEDLE, LEARNERS[0], rounds=10, seeds=5, key=0)
    np.testing.assert_allclose(regret_band(history).mean, history.regret().mean(axis=0))
    with pytest.raises(InputError, match="at least two seeds"):
        band(np.zeros((1, 5)))


SHARDED = """
import sys
import jax, numpy as np
from bandit_rft import arms, learners, run

jax.config.update("jax_numpy_dtype_promotion", "strict")
devices = jax.device_count()
needle = arms.Needle(log10_arms=100, p0=0.1)
table = arms.Bernoulli([0.2, 0.5, 0.3, 0.7])
found = {}
for name, over, learner, seeds in (
    ("softmax", needle, learners.SoftmaxPolicyGradient(step_size=0.5, rollouts=3, signal="grpo"), 11),
    ("ucb", table, learners.UCB1(), 16),
    ("thompson", table, learners.ThompsonBeta(), 3),
):
    history = run(over, learner, rounds=40, seeds=seeds, key=0)
    leaves = jax.tree.leaves(history.final_state)
    if devices > 1 and seeds == 16:
        assert all(len(leaf.sharding.device_set) == devices for leaf in leaves), "a state does not live on all devices"
    leaves = [jax.random.key_data(x) if jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in leaves]
    assert all(len(leaf) == seeds for leaf in leaves)
    for place, leaf in enumerate([history.rewards, history.value, history.pulled_mean, *leaves]):
        found[f"{name} {place}"] = np.asarray(leaf)
np.savez(sys.argv[1], **found)
"""


def test_seeds_on_many_devices_are_those_of_one_to_the_bit(tmp_path) -> None:
    """Eight simulated devices give the bits of one, also of 11 and of 3 seeds, which they do not divide; and a state of
    16 seeds lives on all eight. Catches seeds that stay on one device, and copies that fill up and are not left out.
    """
    import os

    for devices in (1, 8):
        flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-c", SHARDED, str(tmp_path / f"{devices}.npz")]
        subprocess.run(command, check=True, env=os.environ | flags, timeout=600)
    one, eight = (np.load(tmp_path / f"{devices}.npz") for devices in (1, 8))
    assert one.files == eight.files
    for name in one.files:
        np.testing.assert_array_equal(one[name], eight[name], err_msg=name)


def test_a_history_too_large_for_memory_lives_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers, mapped from a file without a name; a wrong offset between chunks would show."""
    learner = learners.SoftmaxPolicyGradient(step_size=0.7)
    whole = run(NEEDLE, learner, rounds=40, seeds=4, key=0)
    monkeypatch.setattr(store, "MOST_IN_MEMORY", 0)
    monkeypatch.setattr(scan, "CHUNK_NUMBERS", 4 * 3 * 7)
    spilt = run(NEEDLE, learner, rounds=40, seeds=4, key=0)
    assert isinstance(spilt.rewards, np.memmap)
    np.testing.assert_array_equal(spilt.rewards, whole.rewards)
    np.testing.assert_allclose(spilt.regret(), whole.regret(), rtol=1e-12)
