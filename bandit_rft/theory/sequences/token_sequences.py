"""One correct sequence among V^H: the flow of exact gradients, and the jump chain of one rollout."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import log_expit

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_rate, check_start
from bandit_rft.theory.laws.chain import chain_prediction
from bandit_rft.theory.laws.curve_law import CurveLaw, curve_prediction, growth, solve_rise
from bandit_rft.theory.laws.jump_law import JumpLaw
from bandit_rft.theory.policy_gradient.softmax import table_kappa
from bandit_rft.theory.prediction import Prediction

__all__ = ["PrefixTreeFlow", "PrefixTreeLaw", "prefix_tree_flow", "prefix_tree_jump"]

_BLOCK = 2_000_000  # numbers in memory at a time
_LONGEST = 1_000_000
_UNITS = {
    "vocabulary_size": "V, tokens to choose from at each position, at least 2",
    "length": "H, tokens in a sequence",
    "step_size": "eta, logit per unit gradient, above 0",
    "rounds": "horizon T, rounds",
    "p0": "probability of the correct sequence at the start, its H tokens alike at p0^(1/H); None: uniform, V^-H",
    "position_shared": "whether one softmax over tokens serves every position (the correct tokens all alike)",
}
_ASSUMPTIONS = (
    "One correct sequence, raw 0/1 reward.",
    "A softmax of its own for every prefix (or every position: the same law), or with position_shared one softmax for "
    "all positions and a correct sequence that repeats one token.",
    "The H correct tokens start with equal probability, and at each position the wrong tokens too.",
    "Plain gradient ascent at a constant step size.",
)


@dataclass(frozen=True, kw_only=True)
class PrefixTreeFlow(CurveLaw):
    """dz/dt = rate q^H (1-q) for the logit z of each correct token's probability q; p = q^H.

    Attributes:
        p0: at the start.
        length: H.
        rate: step size x V/(V-1), times H where positions share their parameters.
    """

    p0: float
    length: int
    rate: float

    @property
    def log_token(self) -> float:
        """ln q at the start."""
        return math.log(self.p0) / self.length

    @property
    def start(self) -> float:
        """z at the start."""
        return self.log_token - math.log(-math.expm1(self.log_token))

    def _wasted(self, rise: np.ndarray) -> np.ndarray:
        """rate x regret, [H z - S]: sum_j (H+1-j)/j (q0^-j - q^-j) + H (z - z0), in positive terms."""
        places = np.arange(self.length, dtype=np.float64) + 1.0
        # ln(q0/q) = ln[(1 + e^-z)/(1 + e^-z0)].
        fall = growth(-self.start, -rise)
        weight = (self.length + 1 - places) / places * np.exp(-places * self.log_token)
        return self.length * rise - np.expm1(fall[..., None] * places) @ weight

    def _earned(self, rise: np.ndarray) -> np.ndarray:
        """rate x integral of p, [z + e^z]."""
        return rise - np.exp(self.start + rise) * np.expm1(-rise)

    def rise(self, time: np.ndarray) -> np.ndarray:
        """z(t) - z0 at each time, to full relative precision."""
        elapsed = self.rate * np.asarray(time, dtype=np.float64)
        found = np.zeros(elapsed.shape)
        places = np.flatnonzero(elapsed > 0.0)
        for block in self._blocks(places):
            found[block] = self._solved(elapsed[block])
        return found

    def _blocks(self, places: np.ndarray) -> list[np.ndarray]:
        """The places in blocks whose sums of H terms fit into memory."""
        return np.array_split(places, -(-places.size * self.length // _BLOCK)) if places.size else []

    def _solved(self, elapsed: np.ndarray) -> np.ndarray:
        """The root of wasted + earned = elapsed."""
        log_elapsed = np.log(elapsed)
        # Below: while z rises by at most 1, dz/dt >= rate p0 (1-q0)/e. Above: earned alone, and its two terms alone.
        low = np.minimum(log_elapsed + math.log(self.p0 / math.e) + log_expit(-self.start), 0.0)
        high = np.log(np.minimum(elapsed, np.logaddexp(0.0, log_elapsed - self.start)))
        return solve_rise(lambda rise: self._wasted(rise) + self._earned(rise), elapsed, low, high)

    def value(self, time: np.ndarray) -> np.ndarray:
        """p(t)."""
        return np.exp(self.length * log_expit(self.start + self.rise(time)))

    def regret(self, time: np.ndarray) -> np.ndarray:
        """Integral of 1 - p from 0 to t."""
        rise, found = self.rise(time), np.empty(np.shape(time))
        for block in self._blocks(np.arange(rise.size)):
            found[block] = self._wasted(rise[block]) / self.rate
        return found

    def time_to(self, level: float) -> float:
        """The time at which p reaches the level."""
        log_token = math.log(level) / self.length
        rise = np.array([log_token - math.log(-math.expm1(log_token)) - self.start])
        return float((self._wasted(rise) + self._earned(rise))[0] / self.rate) if rise[0] > 0.0 else 0.0


@dataclass(frozen=True, kw_only=True)
class PrefixTreeLaw(JumpLaw):
    """The jump chain of one correct sequence: p_n = q_n^H, and each success raises logit q by gain (1 - q_n).

    Attributes:
        length: H.
    """

    length: int

    @property
    def start(self) -> float:
        """logit q_0; the chain remembers logit q."""
        log_token = math.log(self.p0) / self.length
        return log_token - math.log(-math.expm1(log_token))

    def logit(self, state: float) -> float:
        """logit p = logit q^H."""
        if state > 40.0:
            return state - math.log(self.length)  # 1 - p = H e^-state to the last digit
        log_token = -math.log1p(math.exp(-state)) if state > 0.0 else state - math.log1p(math.exp(state))
        log_p = self.length * log_token
        return log_p - math.log(-math.expm1(log_p))


def _checked(
    vocabulary_size: int, length: int, step_size: float, p0: float | None, position_shared: bool
) -> tuple[int, float, float]:
    """(H, p0, gain = step size x V/(V-1), times H where shared)."""
    vocabulary = arguments.whole("vocabulary_size", vocabulary_size, 2)
    length = arguments.whole("length", length)
    if length > _LONGEST:
        raise InputError(f"length is {length}: sequences of up to {_LONGEST} tokens are summed term by term.")
    gain = check_rate(step_size, table_kappa(1, math.log(vocabulary)))
    if position_shared:
        gain *= length
    if p0 is not None:
        return length, check_start(p0), gain
    start = math.exp(-length * math.log(vocabulary))
    if start < 1e-300:
        raise InputError(
            f"V^-H = exp({-length * math.log(vocabulary):.6g}) is too small for a float: no success will ever be seen; "
            "give a shorter length, or p0."
        )
    return length, start, gain


@entry(
    formula=r"\frac{d\ln p}{dt} = \eta p \frac{V}{V-1}\sum_h (1-q_h)^2\ (\times H \text{ if positions share}),\quad "
    r"q_h = p^{1/H}:\ \eta\tfrac{V}{V-1}t = \Big[(H+1)z + e^z - \sum_{j=1}^{H}\tfrac{H+1-j}{j\,q^j}\Big]_{0}^{t},\ "
    r"\mathrm{regret} = \Big[Hz - \sum_{j=1}^{H}\tfrac{H+1-j}{j\,q^j}\Big]_0^t\Big/\Big(\eta\tfrac{V}{V-1}\Big)",
    assumptions=(
        "Exact gradients of the expected reward, in the limit of small steps: no sampling noise. With sampled rollouts "
        "the mean over seeds does not follow this curve; use prefix_tree_jump.",
        *_ASSUMPTIONS,
    ),
    source="derived here (docs/derivations.md)",
    units=_UNITS,
    section="F2",
    kind="prediction",
    derivation="`prefix_tree_flow` and `prefix_tree_jump`: one correct sequence",
)
def prefix_tree_flow(
    vocabulary_size: int,
    length: int,
    step_size: float,
    rounds: int,
    p0: float | None = None,
    *,
    position_shared: bool = False,
) -> Prediction:
    """Gradient flow towards one correct sequence of H tokens, in closed form.

    The plateau lasts about 1/(eta H p0 (1-q0)^2) rounds, q0 = p0^(1/H): H times shorter than on flat arms while q0 is
    small, longer once it is not. Work: rounds x H.

    Returns:
        Curves of value and regret, and the deterministic law (times to a level).

    Raises:
        InputError: an argument out of range, or V^-H below 1e-300.

    Example:
        >>> from bandit_rft import theory
        >>> curve = theory.prefix_tree_flow(vocabulary_size=10, length=2, step_size=0.5, rounds=100)
        >>> round(float(curve.value[-1]), 4)
        0.0529
    """
    rounds = arguments.whole("rounds", rounds)
    length, start, rate = _checked(vocabulary_size, length, step_size, p0, position_shared)
    law = PrefixTreeFlow(p0=start, length=length, rate=rate)
    parameters = {
        "vocabulary_size": vocabulary_size,
        "length": length,
        "step_size": step_size,
        "rounds": rounds,
        "p0": start,
        "position_shared": position_shared,
    }
    return curve_prediction("prefix_tree_flow", law, rounds, parameters)


@entry(
    formula=r"z_{h,n+1} = z_{h,n} + \eta\,(1-q_{h,n})\frac{V}{V-1}\ (\times H \text{ if positions share}),\quad "
    r"p_n = \prod_h q_{h,n},\quad \text{wait}_n \sim \mathrm{Geometric}(p_n)",
    assumptions=("One rollout a round: a failure's signal is 0 and moves nothing.", *_ASSUMPTIONS),
    source="derived here (docs/derivations.md)",
    units=_UNITS,
    section="F2.1",
    kind="prediction",
    derivation="`prefix_tree_flow` and `prefix_tree_jump`: one correct sequence",
)
def prefix_tree_jump(
    vocabulary_size: int,
    length: int,
    step_size: float,
    rounds: int,
    p0: float | None = None,
    *,
    position_shared: bool = False,
) -> Prediction:
    """One correct sequence of H tokens, one rollout a round: the exact law of policy gradient.

    Returns:
        Mean curves with exact standard deviations and the law of a run; E[T] = sum of 1/p_n is
        `prediction.mean_hitting_time(level)`. Work and memory: rounds x live states.

    Raises:
        InputError: an argument out of range, or V^-H below 1e-300.

    Example:
        >>> from bandit_rft import theory
        >>> curve = theory.prefix_tree_jump(vocabulary_size=10, length=2, step_size=0.5, rounds=100)
        >>> round(float(curve.value[-1]), 4)
        0.1883
    """
    rounds = arguments.whole("rounds", rounds)
    length, start, gain = _checked(vocabulary_size, length, step_size, p0, position_shared)
    law = PrefixTreeLaw(p0=start, gain=gain, length=length)
    parameters = {
        "vocabulary_size": vocabulary_size,
        "length": length,
        "step_size": step_size,
        "rounds": rounds,
        "p0": start,
        "position_shared": position_shared,
    }
    return chain_prediction("prefix_tree_jump", law, rounds, parameters)
