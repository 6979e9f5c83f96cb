"""PPO's clip on one correct arm: the exact law of several clipped epochs a round, and a floor under the wait."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.theory.catalogue import entry
from bandit_rft.theory.checks import check_rate, check_start
from bandit_rft.theory.laws.chain import chain_prediction
from bandit_rft.theory.laws.jump_law import JumpLaw
from bandit_rft.theory.policy_gradient.softmax import table_kappa
from bandit_rft.theory.prediction import Prediction

__all__ = ["ClippedJumpLaw", "ppo_clip_floor", "ppo_jump_single"]

_LARGEST_LOG, _LARGEST_GROWTH = 700.0, 1e300

_MOST_EPOCHS = 10_000  # that are followed one by one for every success
_UNITS = {
    "p0": "probability of a correct answer at the start (Pass@1), in (0, 1)",
    "step_size": "eta of one epoch, logit per unit gradient",
    "log_arms": "ln K, K the number of arms; None: infinitely many",
}


@dataclass(frozen=True, kw_only=True)
class ClippedJumpLaw(JumpLaw):
    """The jump chain whose every success is used for `epochs` steps with importance ratios clipped at 1 + clip."""

    clip: float
    epochs: int

    def rise(self, state: float) -> float:
        """What the epochs of one success add to z."""
        odds_beside = 1.0 + math.exp(min(state, _LARGEST_LOG))
        found = 0.0
        for _ in range(self.epochs):
            wrong = 1.0 / (1.0 + math.exp(min(state + found, _LARGEST_LOG)))
            # p/p_old = e^rise (1 - p)/(1 - p_old), by the odds.
            ratio = math.exp(min(found, _LARGEST_LOG)) * wrong * odds_beside
            if ratio > 1.0 + self.clip:
                break
            found += self.gain * ratio * wrong
        return found


@entry(
    formula=r"\text{per success, for each epoch: } z \mathrel{+}= \eta\,\rho\,(1-p)\tfrac{K}{K-1}\,"
    r"\mathbf 1[\rho \le 1+\epsilon],\ \rho = p/p_{\mathrm{old}};\quad \text{wait}_n \sim \mathrm{Geometric}(p_n)",
    assumptions=(
        "One rollout a round, used in that round's epochs only.",
        "The raw 0/1 reward is the signal (a failure's is 0 and moves nothing), deterministic given the arm.",
        "One correct arm; all wrong arms start with equal logits.",
        "Plain gradient ascent on PPO's clipped objective at a constant step size (no Adam or momentum).",
    ),
    source="derived here (docs/derivations.md) for PPO-clip, Schulman et al. 2017, arXiv 1707.06347, eq. 7",
    units={
        **_UNITS,
        "rounds": "horizon T, rounds",
        "clip": "epsilon: a success stops counting once its ratio exceeds 1 + epsilon; None: no clip",
        "epochs": "gradient steps on each round's rollout",
    },
    section="F11",
    kind="prediction",
    derivation="`ppo_jump_single` and `ppo_clip_floor`: what PPO's clip does",
)
def ppo_jump_single(
    p0: float,
    step_size: float,
    rounds: int,
    log_arms: float | None = None,
    *,
    clip: float | None = 0.2,
    epochs: int = 4,
) -> Prediction:
    """One correct arm under PPO-clip with several epochs a round: the exact law of a run.

    Returns:
        Mean curves with exact standard deviations and the law of a run, as `pg_jump_single`.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.ppo_jump_single(p0=0.05, step_size=0.5, rounds=100).value[-1]), 4)
        0.9269
    """
    rounds, epochs = arguments.whole("rounds", rounds), arguments.whole("epochs", epochs, most=_MOST_EPOCHS)
    limit = math.inf if clip is None else arguments.positive("clip", clip)
    gain = check_rate(step_size, table_kappa(1, log_arms))
    law = ClippedJumpLaw(p0=check_start(p0), gain=gain, clip=limit, epochs=epochs)
    parameters = {
        "p0": p0,
        "step_size": step_size,
        "rounds": rounds,
        "log_arms": log_arms,
        "clip": clip,
        "epochs": epochs,
    }
    return chain_prediction("ppo_jump_single", law, rounds, parameters)


@entry(
    formula=r"E[T] \ge \frac{1-B^{-N}}{p_0(1-1/B)},\quad B = (1+\epsilon)\,e^{\eta(1+\epsilon)K/(K-1)},\quad "
    r"N = \lceil \ln(\mathrm{level}/p_0)/\ln B\rceil;\quad \to \frac{1+\epsilon}{\epsilon p_0}\ (\eta \to 0)",
    assumptions=(
        "One rollout a round, used in that round's epochs only, however many.",
        "The raw 0/1 reward is the signal, deterministic given the arm; one correct arm, wrong arms with equal logits.",
        "Plain gradient ascent on PPO's clipped objective at a constant step size (no Adam or momentum).",
        "The clip zeroes a gradient once the ratio has left 1 + epsilon, so one step may overshoot it: "
        "the floor (1 + epsilon)/(epsilon p0) of small steps (step_size = 0) does not bind larger ones.",
    ),
    source="derived here (docs/derivations.md)",
    units={**_UNITS, "clip": "epsilon of PPO's clip", "level": "Pass@1 to reach, in (0, 1)"},
    section="F11",
    kind="quantity",
    derivation="`ppo_jump_single` and `ppo_clip_floor`: what PPO's clip does",
)
def ppo_clip_floor(
    p0: float, step_size: float, clip: float = 0.2, level: float = 0.5, log_arms: float | None = None
) -> float:
    """The least mean number of rounds that PPO-clip takes to a level, whatever the number of epochs.

    Returns:
        Rounds; 0 where the level is reached from the start.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> from bandit_rft import theory
        >>> round(float(theory.ppo_clip_floor(p0=0.02, step_size=2.0)), 4)
        53.7799
    """
    p0, level = check_start(p0), arguments.fraction("level", level)
    clip = arguments.positive("clip", clip)
    step_size = arguments.at_least("step_size", step_size, 0.0)
    log_growth = min(math.log1p(clip) + step_size * (1.0 + clip) * table_kappa(1, log_arms), _LARGEST_GROWTH)
    if level <= p0:
        return 0.0
    successes = math.ceil((math.log(level) - math.log(p0)) / log_growth)
    found = math.expm1(-successes * log_growth) / math.expm1(-log_growth) / p0
    if math.isinf(found):
        raise InputError(f"clip is {clip:g} and p0 is {p0:g}: the wait is more rounds than a float holds.")
    return found
