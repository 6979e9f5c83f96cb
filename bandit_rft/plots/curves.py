"""What is drawn of a history, a prediction or a bound: each function draws on matplotlib Axes and returns them.

They set neither limits nor a legend, so that several may share one panel. Colours are those of `style`, or any that
matplotlib knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.plots import style
from bandit_rft.plots.averages import means, moving, over_seeds, window_of
from bandit_rft.theory import Bound, Prediction

MOST_SINGLE = 16  # seeds whose own curves are drawn beside their mean
DASHED, DOTTED = (0, (4, 2)), (0, (1.2, 2.2))


def bands(
    axes: Axes,
    rounds: np.ndarray,
    curves: np.ndarray,
    *,
    colour: str = style.BLUE,
    label: str | None = None,
    width: float = 1.3,
    **line: Any,
) -> Axes:
    """The mean of the seeds' curves with the simultaneous 95% band of that mean; of one seed, its curve.

    Values that are not finite leave a gap. Where that leaves less than half of the places with every seed known, the
    mean of the seeds that are known is drawn, without a band.

    Args:
        axes: drawn on.
        rounds: [N], where the curves are known.
        curves: float [S, N], one curve per seed.
        colour: of line and band.
        label: for the legend.
        width: of the line, in points.
        line: what else of it is said, as matplotlib takes it: linestyle, marker.
    """
    line = {"color": colour, "linewidth": width, "alpha": 0.9, "solid_capstyle": "butt"} | line
    known = np.isfinite(curves)
    every, some = known.all(axis=0), known.any(axis=0)
    mean = np.full(len(rounds), np.nan)
    if len(curves) > 1 and 2 * every.sum() >= len(rounds):
        low, high = mean.copy(), mean.copy()
        over = over_seeds(curves[:, every])
        mean[every], low[every], high[every] = over.mean, over.low, over.high
        axes.fill_between(rounds, low, high, color=colour, alpha=0.2, linewidth=0)
    else:
        mean[some] = np.nanmean(np.where(known, curves, np.nan)[:, some], axis=0)
        label = label if len(curves) == 1 or label is None else f"{label} (seeds that have it)"
    axes.plot(rounds, mean, label=label, **line)
    return axes


def regret(axes: Axes, history: History, *, kind: str = "pseudo", **shown: Any) -> Axes:
    """Cumulative regret after each round, mean and band over seeds.

    Args:
        axes: drawn on.
        history: of an arm set whose best mean is known.
        kind: of regret, as `History.regret` names them.
        shown: colour, label, width and more of the line, as `bands`.

    Raises:
        UnknownOptimumError: the best arm's mean is unknown.
    """
    axes.set_xlabel("round")
    axes.set_ylabel("cumulative regret (rewards)")
    return bands(axes, 1 + np.arange(history.rounds), history.regret(kind), **shown)


def pass_at_1(
    axes: Axes,
    history: History,
    *,
    measured: str = "train",
    colour: str = style.BLUE,
    label: str | None = None,
    joined: bool = False,
    width: float = 1.3,
    **line: Any,
) -> Axes:
    """Pass@1 before each round: exact where the history has it, else as evaluated, with 95% intervals.

    Of many seeds: mean and band; evaluations as means over seeds, each seed's own as a small point.

    Args:
        axes: drawn on.
        history: a simulation's, or a fine-tuning run's with its evaluations.
        measured: which evaluations: "train" or "test".
        colour: of all of it.
        label: for the legend.
        joined: a line joins the evaluations.
        width: of an exact curve's line, in points.
        line: what else of it is said, as matplotlib takes it: linestyle, marker.

    Raises:
        InputError: the history has neither.
    """
    axes.set_xlabel("round")
    axes.set_ylabel("Pass@1")
    if np.isfinite(history.value).all():
        return bands(axes, np.arange(history.rounds), history.value, colour=colour, label=label, width=width, **line)
    evaluations = means(history.evaluations, measured)
    if not evaluations:
        raise InputError(f"The history holds no evaluation of {measured} and no exact Pass@1: draw its rewards.")
    if history.seeds > 1:
        own = [e for e in history.evaluations if e["measured"] == measured and e.get("seed") is not None]
        points = [e["round"] for e in own], [e["pass_at_1"] for e in own]
        axes.plot(*points, ".", color=colour, markersize=2.5, alpha=0.5)
    rounds, value, low, high = (
        np.asarray([getattr(one, name) for one in evaluations]) for name in ("round", "value", "low", "high")
    )
    axes.errorbar(
        rounds,
        value,
        yerr=np.maximum([value - low, high - value], 0.0),
        marker=line.get("marker", "o"),
        linestyle=line.get("linestyle", "-") if joined else "none",
        color=colour,
        markersize=3.2,
        linewidth=0.9,
        elinewidth=0.9,
        capsize=1.8,
        zorder=4,
        label=label,
    )
    return axes


def rewards(
    axes: Axes, history: History, *, window: int | None = None, colour: str = style.ORANGE, label: str | None = None
) -> Axes:
    """The moving mean of the rewards, over the middle of each full window of rounds; mean and band over seeds.

    Args:
        axes: drawn on.
        history: of a fine-tuning run, or any.
        window: rounds per mean; by default a twentieth of the run's, at least five.
        colour: of all of it.
        label: for the legend.
    """
    arguments.require("axes", axes, Axes, "matplotlib Axes")
    arguments.require("history", history, History, "what bandit_rft.run returns")
    window = window_of(history) if window is None else arguments.whole("window", window, most=history.rounds)
    middles, smooth = moving(history.rewards.mean(axis=2), window)
    if 1 < history.seeds <= MOST_SINGLE:
        axes.plot(middles, smooth.T, color=colour, linewidth=0.4, alpha=0.4)
    return bands(axes, middles, smooth, colour=colour, label=label)


def pass_at_1_by_seed(
    axes: Axes, history: History, *, measured: str = "train", colour: str = style.BLUE, newest: int
) -> Axes:
    """Each seed's Pass@1 after one round, beside what all seeds had before the run, with 95% intervals.

    Args:
        axes: drawn on.
        history: of a fine-tuning run of many seeds.
        measured: which evaluations: "train" or "test".
        colour: of the seeds' points.
        newest: the round of the seeds' evaluations.
    """
    arguments.require("axes", axes, Axes, "matplotlib Axes")
    arguments.require("history", history, History, "that of a fine-tuning run")
    records = [e for e in history.evaluations if e["measured"] == measured]
    shared = [e for e in records if e["round"] == 0 and e.get("seed") is None]
    own = sorted((e for e in records if e["round"] == newest and e.get("seed") is not None), key=lambda e: e["seed"])
    for before in shared[:1]:
        axes.axhspan(before["low"], before["high"], color=style.INK, alpha=0.15, linewidth=0)
        axes.axhline(before["pass_at_1"], color=style.INK, linestyle=DASHED, linewidth=1.0, label="before, 95%")
    seeds, value, low, high = (np.asarray([e[name] for e in own]) for name in ("seed", "pass_at_1", "low", "high"))
    limits = np.maximum([value - low, high - value], 0.0)
    label = f"after round {newest}, 95%"
    axes.errorbar(seeds, value, yerr=limits, fmt="o", color=colour, markersize=3.2, elinewidth=0.9, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("seed")
    axes.set_ylabel("Pass@1")
    return axes


def prediction(
    axes: Axes,
    law: Prediction,
    *,
    quantity: str = "value",
    coverage: Sequence[float] = (),
    colour: str = style.INK,
    label: str | None = None,
    **line: Any,
) -> Axes:
    """A prediction laid over: its mean curve, and between which values given shares of its runs lie.

    Args:
        axes: drawn on.
        law: the prediction.
        quantity: "value" (Pass@1 before each round) or "regret" (after each).
        coverage: shares of runs, each drawn as a band of the value where the law of a run is known.
        colour: of all of it.
        label: for the legend; by default the prediction's name.
        line: how the mean curve is drawn, as matplotlib takes it.

    Raises:
        InputError: another quantity, or a share outside (0, 1).
    """
    if quantity not in ("value", "regret"):
        raise InputError(f"quantity is {quantity!r}: choose value or regret.")
    arguments.require("axes", axes, Axes, "matplotlib Axes")
    arguments.require("law", law, Prediction, "a prediction of bandit_rft.theory")
    at = np.arange(law.rounds) if law.at is None else law.at
    if quantity == "value" and law.law is not None:
        for share in coverage:
            low, high = law.value_band(share)
            said = f"{100 * share:.4g}% of the law's runs"
            axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0, label=said)
    how: dict[str, Any] = {"color": colour, "linestyle": DASHED, "linewidth": 1.0} | line
    after = 1 if quantity == "regret" else 0
    axes.plot(at + after, getattr(law, quantity), label=law.name if label is None else label, **how)
    return axes


def bound(axes: Axes, curve: Bound, *, colour: str = style.GREY, label: str | None = None, **line: Any) -> Axes:
    """A bound laid over, after each round that it is known at: capped at what holds without the theorem.

    Args:
        axes: drawn on.
        curve: the bound.
        colour: of the line.
        label: for the legend; by default the bound's name and kind.
        line: how it is drawn, as matplotlib takes it.
    """
    arguments.require("axes", axes, Axes, "matplotlib Axes")
    arguments.require("curve", curve, Bound, "a bound of bandit_rft.theory")
    how: dict[str, Any] = {"color": colour, "linestyle": DOTTED, "linewidth": 1.0} | line
    if curve.at.size == 1:  # a point is not seen as a line
        how["marker"] = "x"
    # 0 has no place on a logarithmic axis: the line begins where the bound does.
    value = np.where(curve.value > 0, curve.value, np.nan)
    axes.plot(curve.at, value, label=f"{curve.name}, {curve.kind} bound" if label is None else label, **how)
    return axes
