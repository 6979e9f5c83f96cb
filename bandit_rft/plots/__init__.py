"""Figures of runs, and the functions that they are drawn with.

    from matplotlib import pyplot
    from bandit_rft import plots

    figure, axes = pyplot.subplots()
    plots.regret(axes, history, label="UCB1")
    plots.bound(axes, theory.ucb1_bound(means, rounds=2000))

Each function draws on matplotlib Axes and returns them; without a legend and limits, so that several share a panel.
`finetune` draws a fine-tuning run's folder, `needle_regret` and `seed_bands` simulations'.
"""

from bandit_rft.plots.curves import bands, bound, pass_at_1, pass_at_1_by_seed, prediction, regret, rewards

__all__ = ["bands", "bound", "pass_at_1", "pass_at_1_by_seed", "prediction", "regret", "rewards"]
