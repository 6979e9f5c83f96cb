"""How much faster does a signal drive the policy than the raw reward, by the size of the group?

    python -m simulations.drift_multipliers --out runs/drift-multipliers

Thirty-five small steps of each signal from Pass@1 = p on a needle among 100 arms, in 250 runs: the mean move of logit p
over that of exact gradients on the raw reward, η κ p(1 − p). The steps are so small that p stays as it is. The first
three only fill a window of four rounds' scores; each of the others is a move of its own, so that few runs do.
"""

# %% The signals and the grid
from __future__ import annotations

from pathlib import Path

import numpy as np

from bandit_rft import History, arms, learners, summarize, sweep
from bandit_rft.contract import ArmSet, LearnerFactory
from bandit_rft.sweep import SweepResult
from simulations.study import main_of

STEP = 1e-4  # small enough that logit p moves in proportion to the update
WINDOWED, REDRAWN = "grpo, W = 4 G", "grpo, dead groups again"
SIGNALS = ["raw", "signed", "mean_baseline", "grpo", "maxrl", "pass_at_k", "maxrl_centred", "nsr", WINDOWED, REDRAWN]
MOST = 16  # draws of a dead group
FILLING, COUNTED = 3, 32  # steps until every window is full, and steps that are measured
ROLLOUTS = [2, 8, 32, 128]
P0 = [0.01, 0.1, 0.5]


def make(signal: str, rollouts: int, p0: float) -> tuple[ArmSet, LearnerFactory]:
    """A needle among 100 arms, and small steps of a signal; the k of pass_at_k is the size of the smallest group."""
    needle = arms.Needle(log10_arms=2, p0=p0)
    learner = learners.SoftmaxPolicyGradient(
        step_size=STEP,
        signal=signal.split(",")[0],
        rollouts=rollouts,
        eps=0.0,
        k=min(ROLLOUTS) if signal == "pass_at_k" else None,
        window=4 * rollouts if signal == WINDOWED else None,
        dynamic_sampling=MOST if signal == REDRAWN else 0,
    )
    return needle, learner


def multiplier(history: History) -> np.ndarray:
    """float64 [S], the mean move of logit p in units of η κ p(1 − p), over the steps with a full window."""
    p = history.value[:, FILLING:]
    moves = np.diff(np.log(p) - np.log1p(-p), axis=1)
    kappa = summarize(arms.Needle(log10_arms=2, p0=float(history.value[0, 0]))).kappa
    return np.mean(moves / (STEP * kappa * p[:, :-1] * (1 - p[:, :-1])), axis=1)


# %% The sweep
def study(out: Path | None, seeds: int, progress=None) -> SweepResult:
    """The multiplier of each signal at each group size and p."""
    over = {"signal": SIGNALS, "rollouts": ROLLOUTS, "p0": P0}
    measure = {"multiplier": multiplier}
    rounds = FILLING + COUNTED + 1
    return sweep(make, over, rounds=rounds, seeds=seeds, out=out, measure=measure, progress=progress)


if __name__ == "__main__":
    main_of(study, __doc__, seeds=250)
