"""Plots of histories in one line, and the figures of runs.

    from bandit_rft import plots

    plots.regret({"UCB1": first, "Thompson": second}, theory=theory.ucb1_bound(means, rounds=2000))

`regret`, `pass_at_1`, `bands`, `compare_learners` and `hitting_times` take one history, a list or a dict by name, and
return matplotlib Axes; with `ax` they draw on yours. `prediction`, `bound`, `rewards` and `pass_at_1_by_seed` add one
curve to axes. `finetune` draws a fine-tuning run's folder, `needle_regret`, `seed_bands` and `learner_regret`
simulations'.
"""

from bandit_rft.plots.curves import bound, pass_at_1_by_seed, prediction, rewards
from bandit_rft.plots.several import bands, compare_learners, hitting_times, pass_at_1, regret

__all__ = [
    "bands",
    "bound",
    "compare_learners",
    "hitting_times",
    "pass_at_1",
    "pass_at_1_by_seed",
    "prediction",
    "regret",
    "rewards",
]
