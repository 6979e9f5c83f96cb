"""Jump chains at horizons that nobody steps through, held against the recursion over every round."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from bandit_rft import InputError, theory
from bandit_rft.theory.laws.far_rounds import FarRounds
from bandit_rft.theory.laws.jump_law import JumpLaw
from bandit_rft.theory.policy_gradient import delayed
from bandit_rft.theory.policy_gradient.clipped import ClippedJumpLaw
from bandit_rft.theory.sequences.token_sequences import PrefixTreeLaw

HORIZON = 8000
AT = np.array([4000, 5500, 7999])
LAWS = [
    JumpLaw(p0=1e-3, gain=1.0),  # few waits, then a long learned stretch
    JumpLaw(p0=1e-4, gain=0.1),  # hardly begun
    JumpLaw(p0=1e-5, gain=10.0),  # two successes decide
    JumpLaw(p0=1e-4, gain=100.0),  # one does
    JumpLaw(p0=0.05, gain=3.0),  # all learned long ago
    JumpLaw(p0=0.3, gain=1e-3),  # many small steps: the expansion, in blocks
    JumpLaw(p0=0.02, gain=3e-3),
    JumpLaw(p0=2e-3, gain=0.05),  # in between: inversion at its narrowest
    PrefixTreeLaw(p0=1e-3, gain=0.5, length=5),
    ClippedJumpLaw(p0=1e-3, gain=0.3, clip=0.2, epochs=4),
]


def named(law: JumpLaw) -> str:
    return f"{type(law).__name__} p0={law.p0:g} gain={law.gain:g}"


@pytest.mark.parametrize("law", LAWS, ids=named)
def test_moments_are_those_of_the_recursion(law: JumpLaw) -> None:
    """Catches a state too many, a block summed at its wrong end, a tail cut off, a contour too short."""
    exact, found = law.moments(HORIZON), FarRounds(law, HORIZON).moments(AT)
    np.testing.assert_allclose(found.value, exact.value[AT], rtol=1e-4)
    np.testing.assert_allclose(found.gap, exact.gap[AT], rtol=1e-3)
    np.testing.assert_allclose(found.regret, np.cumsum(exact.gap)[AT], rtol=1e-4)
    # Where all has been learned long ago the spread is some 1e-7, and its own error a tenth of that.
    np.testing.assert_allclose(found.value_sd, exact.value_sd[AT], rtol=0.005, atol=5e-8)


@pytest.mark.parametrize("law", LAWS, ids=named)
@pytest.mark.parametrize("q", [0.05, 0.5, 0.99])
def test_quantiles_are_those_of_the_recursion(law: JumpLaw, q: float) -> None:
    """N_t's quantile, to one success or a thousandth of a block. Catches N_t taken for N_t + 1."""
    success = expit(law.logits(HORIZON + 1))
    state = np.zeros(HORIZON + 2)
    state[0] = 1.0
    for _ in range(HORIZON - 1):
        moving = state[:-1] * success
        state[:-1] -= moving
        state[1:] += moving
    place = int(np.searchsorted(np.cumsum(state), q))
    (found,) = FarRounds(law, HORIZON).value_quantile(q, np.array([HORIZON - 1]))
    low, high = success[max(place - 2, 0)], success[min(place + 2, HORIZON)]
    if place < 5:
        low = high = success[place]
    assert low * (1 - 1e-4) <= found <= high * (1 + 1e-4)
    (stepped,) = law.value_quantile(q, np.array([HORIZON - 1]))
    assert stepped == success[place]


@pytest.mark.parametrize(
    "make",
    [
        lambda rounds: theory.pg_jump_single(1e-7, 0.5, rounds),
        lambda rounds: theory.pg_jump_single(1e-3, 1e-6, rounds),
        lambda rounds: theory.pg_jump_single(0.5, 100.0, rounds, log_arms=1e6),
        lambda rounds: theory.rft_predict(0.01, 100.0, 1e-4, rounds),
        lambda rounds: theory.prefix_tree_jump(100, 3, 0.5, rounds),
        lambda rounds: theory.ppo_jump_single(1e-5, 0.1, rounds),
        lambda rounds: theory.pg_delayed(1e-6, 0.1, rounds, 100),
    ],
)
def test_a_billion_rounds(make) -> None:
    """Curves are finite, go one way, and end where the mean hitting times say. Catches a loop over 10^9 rounds, too."""
    with np.errstate(all="raise", under="ignore"):
        found = make(10**9)
    assert found.rounds == 10**9
    assert found.at.size < 10_000
    assert np.all(np.isfinite(found.value))
    assert np.all(np.diff(found.value) > -1e-9)
    assert np.all(np.diff(found.regret) >= 0.0)
    if found.law is not None:
        low, high = found.value_band()
        assert np.all(low <= high)
        assert low[-1] <= found.value[-1] * (1 + 1e-9)


def test_a_success_that_never_comes() -> None:
    """p0 = 1e-300: every round is lost. Catches probabilities of 1e-11 that are rounding, times waits of 1e300."""
    found = theory.pg_jump_single(1e-300, 1.0, 10**9)
    assert found.value[-1] == pytest.approx(1e-300)
    assert found.regret[-1] == pytest.approx(1e9, rel=1e-9)


def test_the_learned_tail() -> None:
    """1 - p -> 1/(g t) (the flow's tail), and the regret is that of the states passed."""
    found = theory.pg_jump_single(1e-3, 0.5, 10**9)
    assert 1.0 - found.value[-1] == pytest.approx(1.0 / (0.5e9), rel=1e-3)
    assert found.regret[-1] == pytest.approx(found.law.mean_regret_to(1.0 - 1e-6) + np.log(1e9 / 2e6) / 0.5, rel=1e-4)


def test_runs_too_long_to_draw() -> None:
    with pytest.raises(InputError, match="too long to draw"):
        theory.pg_jump_single(0.1, 0.5, 10**9).law.sample(np.random.default_rng(0), 2, np.array([10**9 - 1]))


@pytest.mark.parametrize(
    ("p0", "gain", "delay"), [(1e-3, 0.05, 10), (1e-2, 0.1, 500), (1e-4, 0.2, 0), (1e-3, 0.2, 3000), (0.3, 1e-3, 7)]
)
def test_delayed_flow_follows_the_recursion(p0: float, gain: float, delay: int) -> None:
    """Catches a delay off by one step, and steps that leap over what a delay has in store."""
    logit = delayed._stepped(p0, gain, delay, 60_000)
    at = np.unique(np.geomspace(1, 59_999, 60).astype(int))
    found, regret = delayed._far(p0, gain, delay, at)
    np.testing.assert_allclose(expit(found), expit(logit[at]), atol=2e-3)
    np.testing.assert_allclose(expit(-found), expit(-logit[at]), rtol=1e-2)
    np.testing.assert_allclose(regret, np.cumsum(expit(-logit))[at], rtol=1e-3, atol=1.0)
