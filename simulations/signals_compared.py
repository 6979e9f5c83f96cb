"""Which learning signal wins at an equal number of pulls: raw, signed, leave-one-out or GRPO, in groups of 1 to 64?

    python -m simulations.signals_compared --out runs/signals-compared

One correct arm among 10^100, p0 = .05, 2048 pulls in all, so that G rollouts per round leave 2048/G rounds. Two ways of
setting the step: η = .5 a round whatever G is, and η = .5 G, which keeps the sum of a round's signals at one rollout's
weight. A group of one is the raw reward for leave-one-out and GRPO alike.
"""

# %% The grid
from __future__ import annotations

from pathlib import Path

from bandit_rft import arms, learners, sweep
from bandit_rft.sweep import SweepResult
from simulations.study import final_value, main_of, regret_a_pull

PULLS = 2048
SIGNALS = ["raw", "signed", "rloo", "grpo"]
ROLLOUTS = [1, 2, 4, 8, 16, 32, 64]
NEEDLE = arms.Needle(log10_arms=100, p0=0.05)


def make(signal: str, rollouts: int, scaled: bool) -> tuple[arms.Needle, learners.SoftmaxPolicyGradient]:
    """The needle, and a step of .5 or .5 G."""
    step = 0.5 * (rollouts if scaled else 1)
    return NEEDLE, learners.SoftmaxPolicyGradient(step_size=step, signal=signal, rollouts=rollouts)


# %% The sweep
def study(out: Path | None, seeds: int, progress=None) -> SweepResult:
    """Regret a pull and final Pass@1 of each signal at each group size."""
    over = [
        {"signal": signal, "rollouts": rollouts, "scaled": scaled, "rounds": PULLS // rollouts}
        for scaled in (False, True)
        for signal in SIGNALS
        for rollouts in ROLLOUTS
    ]
    measure = {"regret_a_pull": regret_a_pull, "value": final_value}
    return sweep(make, over, seeds=seeds, out=out, measure=measure, progress=progress)


if __name__ == "__main__":
    main_of(study, __doc__, seeds=64)
