"""Drift multipliers against enumeration of all 2^G reward outcomes on a real softmax policy; the catalogue."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import expit

from bandit_rft import theory
from bandit_rft.errors import InputError
from bandit_rft.theory.policy_gradient import groups


def signal_of(name, rewards, ddof, eps, k=None):
    group = len(rewards)
    if name in ("raw", "psr"):
        return rewards
    if name == "nsr":
        return rewards - 1
    if name in ("maxrl", "maxrl_centred"):
        right = rewards.sum()
        return np.zeros(group) if right == 0 else rewards * group / right - (name == "maxrl_centred")
    if name == "pass_at_k":
        # A correct rollout adds to the sets of k - 1 others that are all wrong.
        wrong = group - int(rewards.sum())
        return rewards * k * math.comb(wrong, k - 1) / math.comb(group - 1, k - 1)
    if name == "signed":
        return 2 * rewards - 1
    if name == "mean_baseline":
        return rewards - rewards.mean()
    if name == "rloo":
        return rewards if group == 1 else (rewards - rewards.mean()) * group / (group - 1)
    if group == 1:
        return rewards / (1 + eps)
    return np.zeros(group) if np.ptp(rewards) == 0 else (rewards - rewards.mean()) / (rewards.std(ddof=ddof) + eps)


def enumerated_multiplier(name, p, group, ddof=1, eps=0.0, k=None):
    """E[mean_g A_g score_g] / grad p by brute force over every group of arms of a 3-armed softmax, arm 0 correct."""
    policy = np.array([p, 0.4 * (1 - p), 0.6 * (1 - p)])
    gradient = p * (np.eye(3)[0] - policy)
    update = np.zeros(3)
    for arms in itertools.product(range(3), repeat=group):
        rewards = np.array([float(arm == 0) for arm in arms])
        signals = signal_of(name, rewards, ddof, eps, k)
        update += np.prod(policy[list(arms)]) * np.mean(signals[:, None] * (np.eye(3)[list(arms)] - policy), axis=0)
    ratios = update / gradient
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-9, atol=1e-12)  # the update is parallel to grad p
    return ratios[0]


@pytest.mark.parametrize("name", ["raw", "signed", "mean_baseline", "rloo", "grpo"])
@pytest.mark.parametrize("group", [1, 2, 3, 5])
@pytest.mark.parametrize(("ddof", "eps"), [(1, 0.0), (0, 0.0), (1, 0.3)])
def test_drift_multiplier_equals_enumeration(name, group, ddof, eps):
    for p in (0.03, 0.5, 0.9):
        expected = enumerated_multiplier(name, p, group, ddof, eps)
        got = theory.drift_multiplier(name, p=p, rollouts=group, ddof=ddof, eps=eps)
        assert got == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["maxrl", "maxrl_centred", "psr", "nsr"])
@pytest.mark.parametrize("group", [1, 2, 3, 5])
def test_signals_of_successes_and_failures_equal_enumeration(name, group):
    """Catches pass@G for pass@(G-1), and a drift of NSR that differs from PSR's."""
    for p in (0.03, 0.5, 0.9):
        got = theory.drift_multiplier(name, p, group)
        assert got == pytest.approx(enumerated_multiplier(name, p, group), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("group", "k"), [(1, 1), (2, 1), (2, 2), (5, 1), (5, 2), (5, 4), (5, 5)])
def test_pass_at_k_equals_enumeration_whatever_the_group(group, k):
    """Catches an estimate that is unbiased at k = G alone, and the exponent k for k - 1."""
    for p in (0.03, 0.5, 0.9):
        got = theory.drift_multiplier("pass_at_k", p, group, k=k)
        assert got == pytest.approx(enumerated_multiplier("pass_at_k", p, group, k=k), rel=1e-9)
        assert got == pytest.approx(k * (1 - p) ** (k - 1), rel=1e-12)
    assert theory.drift_multiplier("pass_at_k", 0.3, group) == theory.drift_multiplier("pass_at_k", 0.3, group, k=group)


@pytest.mark.parametrize("signal", ["maxrl", "maxrl_centred", "pass_at_k"])
def test_multipliers_keep_their_digits_at_both_ends(signal):
    """In exact fractions. Catches 1 - (1-p)^G taken as a difference, and a logit beyond which p has no float."""
    group, k = 1000, 7
    for p in (1e-300, 1e-12, 0.4, 1 - 1e-12):
        q = 1 - Fraction(p)
        draws = {"maxrl": group, "maxrl_centred": group - 1}.get(signal)
        exact = k * q ** (k - 1) if draws is None else (1 - q**draws) / Fraction(p) if p > 1e-13 else Fraction(draws)
        got = theory.drift_multiplier(signal, p, group, k=k)
        assert got == pytest.approx(float(exact), rel=1e-4 if p > 0.9 and draws is None else 1e-9)
    flow = theory.pg_group(signal, 1e-299, 1e-3, 10, group, k=k, kappa=1.0)
    assert np.all(flow.value == pytest.approx(1e-299, rel=1e-6))


def test_pass_at_k_stalls_and_its_flow_says_so():
    """Catches panels too wide for a multiplier that falls by e^(-k dp), a speed of 0 divided by, and a time to a level
    that no run reaches.
    """
    for k in (2, 20, 300):
        flow = theory.pg_group("pass_at_k", 1e-3, 0.05, 10**5, 1000, k=k, kappa=1.0)
        found = solve_ivp(
            lambda _, z, k=k: 0.05 * expit(z) * expit(-z) * k * expit(-z) ** (k - 1),
            (0.0, 99_999.0),
            [math.log(1e-3 / (1 - 1e-3))],
            "DOP853",
            [10.0, 1000.0, 99_999.0],
            rtol=1e-11,
            atol=1e-11,
        )
        assert flow.at is not None
        at = [int(np.searchsorted(flow.at, t)) for t in found.t]
        np.testing.assert_allclose(flow.value[at], expit(found.y[0]), rtol=1e-7)
    assert flow.mean_hitting_time(0.99) == math.inf
    assert math.isfinite(flow.mean_hitting_time(0.02))


def test_grpo_limits_and_stability():
    assert theory.drift_multiplier("grpo", 1e-300, 9, ddof=0) == pytest.approx(math.sqrt(8), rel=1e-12)
    assert theory.drift_multiplier("grpo", 1e-300, 9) == pytest.approx(math.sqrt(8) * math.sqrt(8 / 9), rel=1e-12)
    assert theory.drift_multiplier("grpo", 0.2, 10_000, ddof=0) == pytest.approx(1 / math.sqrt(0.16), rel=1e-3)
    assert theory.drift_multiplier("grpo", 0.37, 2, ddof=0) == pytest.approx(1.0, rel=1e-12)
    curve = theory.drift_multiplier("grpo", np.array([[0.1, 0.9], [0.5, 1 - 1e-9]]), 8)
    assert curve.shape == (2, 2)
    assert curve[0, 0] == pytest.approx(curve[0, 1], rel=1e-9)


def test_dead_groups_by_enumeration():
    p, group = 0.3, 6
    dead = sum(
        p ** sum(r) * (1 - p) ** (group - sum(r)) for r in itertools.product((0, 1), repeat=group) if len(set(r)) == 1
    )
    assert theory.dead_group_probability(p, group) == pytest.approx(dead, rel=1e-12)
    assert theory.dead_group_probability(1e-300, 8) == 1.0
    assert theory.dead_group_probability([0.5, 0.5], 2) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.drift_multiplier("grpo", rollouts=4),
        lambda: theory.drift_multiplier("dr_grpo", 0.5, 4),
        lambda: theory.drift_multiplier("grpo", 1.0, 4),
        lambda: theory.drift_multiplier("grpo", [0.5, math.nan], 4),
        lambda: theory.drift_multiplier("grpo", 0.5, 0),
        lambda: theory.drift_multiplier("grpo", 0.5, 4, ddof=2),
        lambda: theory.drift_multiplier("grpo", 0.5, 4, eps=-1.0),
        lambda: theory.drift_multiplier("maxrl", rollouts=4),
        lambda: theory.drift_multiplier("pass_at_k", 0.5, 4, k=5),
        lambda: theory.drift_multiplier("pass_at_k", 0.5, 4, k=0),
        lambda: theory.drift_multiplier("pass_at_k", rollouts=4, k=2),
        lambda: theory.pg_group("maxrl_centred", 0.1, 0.1, 10, 1),
        lambda: theory.dead_group_probability(0.0, 4),
        lambda: theory.describe("pg_jump"),
    ],
)
def test_bad_input(call):
    with pytest.raises(InputError):
        call()


def test_catalogue_names_every_argument_and_is_read_only():
    entries = theory.catalogue()
    assert {"pg_jump_single", "pg_ode", "explore_until_success", "drift_multiplier", "dead_group_probability"} <= set(
        entries
    )
    for name, entry in entries.items():
        assert getattr(theory, name) is entry.function
        text = theory.describe(name)
        assert all(
            part in text for part in (entry.formula.splitlines()[0], entry.source, entry.signature, *entry.assumptions)
        )
        arguments = entry.function.__code__.co_varnames[
            : entry.function.__code__.co_argcount + entry.function.__code__.co_kwonlyargcount
        ]
        assert set(entry.units) == set(arguments)
    with pytest.raises(TypeError):
        entries["x"] = 1


def test_the_sum_over_a_large_group_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than 4,096 rollouts only terms near the mean are summed: the same as all of them, at both ends too.
    Catches a window that is too narrow, or that lies beside the mean."""
    p = np.array([1e-12, 1e-4, 60 / 20_000, 0.01, 0.5, 0.9, 1 - 1e-5, 1 - 1e-12])
    near = [groups.multiplier("grpo", np.log(p), np.log1p(-p), size, 1, 1e-6) for size in (4097, 20_000)]
    monkeypatch.setattr(groups, "_ALL_TERMS", 10**9)
    whole = [groups.multiplier("grpo", np.log(p), np.log1p(-p), size, 1, 1e-6) for size in (4097, 20_000)]
    np.testing.assert_allclose(near, whole, rtol=1e-13)
