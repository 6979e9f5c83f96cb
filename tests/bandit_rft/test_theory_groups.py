"""Drift multipliers against enumeration of all 2^G reward outcomes on a real softmax policy; the catalogue."""

import itertools
import math

import numpy as np
import pytest

from bandit_rft import theory
from bandit_rft.errors import InputError


def signal_of(name, rewards, ddof, eps):
    group = len(rewards)
    if name == "raw":
        return rewards
    if name == "signed":
        return 2 * rewards - 1
    if name == "mean_baseline":
        return rewards - rewards.mean()
    if name == "rloo":
        return rewards if group == 1 else (rewards - rewards.mean()) * group / (group - 1)
    if group == 1:
        return rewards / (1 + eps)
    return np.zeros(group) if np.ptp(rewards) == 0 else (rewards - rewards.mean()) / (rewards.std(ddof=ddof) + eps)


def enumerated_multiplier(name, p, group, ddof, eps):
    """E[mean_g A_g score_g] / grad p by brute force over every group of arms of a 3-armed softmax, arm 0 correct."""
    policy = np.array([p, 0.4 * (1 - p), 0.6 * (1 - p)])
    gradient = p * (np.eye(3)[0] - policy)
    update = np.zeros(3)
    for arms in itertools.product(range(3), repeat=group):
        rewards = np.array([float(arm == 0) for arm in arms])
        signals = signal_of(name, rewards, ddof, eps)
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
