"""How much faster does a signal drive the policy than the raw reward, by the size of the group?

    python -m simulations.drift_multipliers --out runs/drift-multipliers

Five small steps of each signal from Pass@1 = p on a needle among 100 arms, many times: the mean move of logit p in the
last one over that of exact gradients on the raw reward, η κ p(1 − p). The steps are so small that p stays as it is, and
there are five so that a window of four rounds' scores is full.
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
ROLLOUTS = [2, 4, 8, 16, 32, 64, 128, 256]
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
    """float64 [S], the move of logit p in units of η κ p(1 − p)."""
    p0 = history.value[:, -2]
    before, after = (np.log(value) - np.log1p(-value) for value in (p0, history.value[:, -1]))
    kappa = summarize(arms.Needle(log10_arms=2, p0=float(history.value[0, 0]))).kappa
    return (after - before) / (STEP * kappa * p0 * (1 - p0))


# %% The sweep
def study(out: Path | None, seeds: int, progress=None) -> SweepResult:
    """The multiplier of each signal at each group size and p."""
    over = {"signal": SIGNALS, "rollouts": ROLLOUTS, "p0": P0}
    measure = {"multiplier": multiplier}
    return sweep(make, over, rounds=5, seeds=seeds, out=out, measure=measure, progress=progress)


if __name__ == "__main__":
    main_of(study, __doc__, seeds=4000)
