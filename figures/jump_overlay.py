"""The jump chain beside a real fine-tuning run, from its measured p0 and kappa, or with kappa alone fitted.

Applies to plain SGD with the raw reward and one rollout a round; anything else has no such chain, and the reason is
said instead. Where kappa was not measured it is fitted on the first fifth of the rounds, and said to be (THEORY.md F3,
F5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import fminbound

from bandit_rft import theory
from bandit_rft.theory.jump_law import JumpLaw

FIT_SHARE = 0.2  # of the rounds, the first ones: the rest is left to be predicted
_LOG_GAIN = (-14.0, 5.0)  # logit gain a success, searched between e^-14 and e^5
# Settings of a fine-tuning run that change its mean update, at the values that leave it as the laws have it.
PLAIN: Mapping[str, Any] = {
    "baseline_rollouts": 0,
    "reward_right": 1.0,
    "reward_wrong": 0.0,
    "replay": 0,
    "schedule": "constant",
    "warmup_rounds": 0,
    "reward_kl_coefficient": 0.0,
    "entropy_coefficient": 0.0,
    "mini_batches": 1,
}


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """A prediction for a run, or why there is none.

    Attributes:
        prediction: of Pass@1 by round, or None.
        p0: the Pass@1 it starts from. p0_source: where that comes from.
        kappa: the constant used. fitted: whether it was fitted on the run's first rounds instead of measured.
        caveats: what the run does otherwise than the theory assumes; or why there is no prediction.
    """

    prediction: theory.Prediction | None
    p0: float
    p0_source: str
    kappa: float
    fitted: bool
    caveats: tuple[str, ...]


def overlay(
    config: Mapping[str, Any], rewards: np.ndarray, evaluations: Sequence[Mapping[str, Any]], rounds: int
) -> Overlay:
    """The overlay of a fine-tuning run.

    Args:
        config: config.json, with what the run resolved.
        rewards: float64 [T, G] so far.
        evaluations: the run's evaluation records.
        rounds: horizon of the prediction.
    """
    resolved = config.get("resolved", {})
    measurement = resolved.get("measurement") or {}
    start = next((e for e in evaluations if e["measured"] == "train" and e["round"] == 0), None)
    if measurement:
        successes, trials, source = measurement["successes"], measurement["rollouts"], "measured before the run"
        if start is not None:  # two independent samples of the same Pass@1 say more than one
            successes, trials = successes + start["successes"], trials + start["samples"]
    elif start is not None:
        successes, trials, source = start["successes"], start["samples"], "evaluated before the run"
    else:
        return _none("p0 was not measured: run with --measure, or with --train-samples above 0")
    p0 = successes / trials
    reasons = []
    if config["optimizer"] != "sgd":
        reasons.append(f"the optimiser is {config['optimizer']}, and the chain is that of plain gradient steps")
    if config["rollouts"] != 1 or config["signal"] != "raw" or config["epochs"] != 1:
        reasons.append("the chain is that of the raw reward, one rollout and one epoch a round")
    if config.get("indices") or isinstance(config["index"], list):
        reasons.append("the chain is that of one question")
    reasons += [f"the run has {name} = {value}, of which the chain knows nothing" for name, value in strays(config)]
    if config["aggregation"] != "seq-mean-token-sum":
        reasons.append("the chain is that of whole responses (aggregation seq-mean-token-sum)")
    if not 0.0 < p0 < 1.0:
        reasons.append(f"{successes} of {trials} first responses were right, and the chain starts strictly between")
    if "learning_rate" not in resolved:
        reasons.append("config.json does not say which step size the run came to")
    if reasons:
        return _none(*reasons)
    caveats = []
    if config["kl_coefficient"]:
        caveats.append(f"the run has a KL term of weight {config['kl_coefficient']:g}, which the chain leaves out")
    if config["gradient_clip"] is not None:
        caveats.append(f"the run clips gradients at {config['gradient_clip']:g}, which the chain leaves out")
    step_size = resolved["learning_rate"]
    kappa = float(measurement.get("kappa") or 0.0)
    fitted = kappa <= 0.0
    if fitted:
        first = rewards[: max(1, round(FIT_SHARE * rounds)), 0]
        if not first.any():
            return _none("kappa was not measured, and no early success shows it")
        kappa = fit_gain(p0, first) / step_size
        caveats.append(f"kappa was not measured but fitted on the first {first.size} rounds")
    prediction = theory.pg_jump_single(p0=p0, step_size=step_size, rounds=rounds, kappa=kappa)
    return Overlay(prediction=prediction, p0=p0, p0_source=source, kappa=kappa, fitted=fitted, caveats=tuple(caveats))


def strays(config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(name, value) of the settings that no law of a single prompt describes."""
    return [(name, config[name]) for name, plain in PLAIN.items() if config.get(name, plain) != plain]


def fit_gain(p0: float, rewards: np.ndarray) -> float:
    """The logit gain a success (step size × kappa) of greatest likelihood for 0/1 rewards [T] of a chain from p0."""
    right = rewards > 0.5
    before = np.cumsum(right) - right

    def surprise(log_gain: float) -> float:
        logits = JumpLaw(p0=p0, gain=float(np.exp(log_gain)), exact=False).logits(int(before[-1]) + 2)[before]
        return float(np.sum(np.logaddexp(0.0, np.where(right, -logits, logits))))

    # The likelihood is flat at both ends: a coarse search first, so that the fine one starts on the right slope.
    grid = np.linspace(*_LOG_GAIN, 96)
    best = int(np.argmin([surprise(value) for value in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
    return float(np.exp(fminbound(surprise, low, high)))


def band(
    prediction: theory.Prediction, shares: tuple[float, float] = (0.1, 0.9), runs: int = 2000
) -> tuple[np.ndarray, np.ndarray]:
    """Pass@1 [T] below which these shares of the predicted runs lie; NaN where the law of a run is unknown."""
    if prediction.law is None:
        return np.full(prediction.rounds, np.nan), np.full(prediction.rounds, np.nan)
    curves = prediction.law.sample(np.random.default_rng(0), runs, np.arange(prediction.rounds))
    low, high = np.quantile(curves.value, shares, axis=0)
    return low, high


def _none(*reasons: str) -> Overlay:
    return Overlay(prediction=None, p0=float("nan"), p0_source="", kappa=float("nan"), fitted=False, caveats=reasons)
