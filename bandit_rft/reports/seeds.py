"""The report of a run of many seeds: curves over seeds, and evaluations as means over seeds and seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bandit_rft.history import History
from bandit_rft.plots.seed_means import interval, means
from bandit_rft.reports import page
from bandit_rft.reports.charts import Area, Estimates, Line, Series, chart, number
from bandit_rft.reports.curves import metrics_of, over_seeds, theory_series, window_of
from bandit_rft.reports.theory import Theory

MOST_SINGLE = 16  # seeds whose own curves are drawn
NAMES = {"train": "training", "test": "test"}
MEAN = (
    "Intervals of a mean over seeds: Student's t over the seeds, or what the responses behind each seed's own interval "
    "leave open (Zou and Donner 2008) where that is wider. Each seed's own: as evaluated."
)


def seeds_charts(history: History, theory: Theory) -> tuple[list[str], str]:
    """The charts, and a sentence on the quantities that never moved (empty where all did)."""
    rounds = int(history.config["rounds"])
    span = (-0.02 * rounds, 1.02 * rounds)  # room for the intervals of the first and the last round
    window = min(window_of(rounds), history.rounds)
    rewards = history.rewards.mean(axis=2)
    at, smooth = moving(rewards, window)
    main: list[Series] = [*theory_series(theory)]
    if 1 < history.seeds <= MOST_SINGLE:
        main += [Line(x=at, y=row, colour="faint", label="" if seed else "a seed") for seed, row in enumerate(smooth)]
    main += _curves(at, smooth, "orange", f"reward over {window} rounds")
    main.append(_estimates(history.evaluations, "train", "blue"))
    whole = (min(0.0, float(rewards.min())), max(1.0, float(rewards.max())))
    charts = [chart("Reward and training Pass@1", main, x_range=span, y_range=whole)]
    test = _estimates(history.evaluations, "test", "green")
    if test.x.size:
        top = min(1.0, 1.15 * float(test.high.max()) or 1.0)
        joined = Line(x=test.x, y=test.y, colour="green")
        charts.append(chart("Test Pass@1", [joined, test], x_range=span, y_range=(0.0, top)))
    charts += [_by_seed(history.evaluations, name, colour) for name, colour in (("train", "blue"), ("test", "green"))]
    still = []
    for title, limits, values in metrics_of(history):
        known = values[np.isfinite(values)]
        if np.ptp(known) == 0:
            still.append(f"{title}: {number(float(known[0]))}")
            continue
        drawn = _curves(*moving(values, window), "blue", f"over {window} rounds")
        charts.append(chart(title[0].upper() + title[1:], drawn, x_range=span, y_range=limits))
    return [one for one in charts if one], f"The same in every round: {'; '.join(still)}." if still else ""


def moving(values: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """(middles [N], means [S, N]) of each seed's known values in every full window of rounds; NaN where none is."""
    known = np.isfinite(values)
    total, count = (
        np.pad(np.cumsum(part, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
        for part in (np.where(known, values, 0), known)
    )
    total, count = total[:, window:] - total[:, :-window], count[:, window:] - count[:, :-window]
    with np.errstate(invalid="ignore"):
        return np.arange(total.shape[1]) + (window - 1) / 2, np.where(count > 0, total / count, np.nan)


def evaluations_section(evaluations: Sequence[Mapping[str, Any]], each: str) -> str:
    """Means over seeds by round, and `each`, the table of every seed, folded; both escaped."""
    head = ["round", "questions of", "seeds", "mean Pass@1 [95%]", "lowest seed", "highest seed"]
    found = sorted(
        ((one, name) for name in dict.fromkeys(e["measured"] for e in evaluations) for one in means(evaluations, name)),
        key=lambda pair: pair[0].round,
    )
    rows = [
        [
            one.round,
            NAMES.get(name, name),
            one.seeds if one.round else "all alike",
            interval(one),
            *((f"{one.least:.3f}", f"{one.most:.3f}") if one.seeds > 1 else ("–", "–")),
        ]
        for one, name in found
    ]
    folded = f"<details><summary>Every seed</summary>{each}</details>"
    return f'<h2>Evaluations</h2>{page.table(head, rows, "evaluations")}<p class="soft">{MEAN}</p>{folded}'


def _curves(at: np.ndarray, smooth: np.ndarray, colour: str, name: str) -> list[Series]:
    """Mean and band over the seeds, in each stretch of rounds where every seed is known; the first has the legend.

    Where that is less than half of the rounds: the mean alone, of those that are.
    """
    known = np.isfinite(smooth)
    whole = np.flatnonzero(known.all(axis=0))
    if 2 * whole.size < at.size:
        some = known.any(axis=0)
        mean = np.full(at.size, np.nan)
        mean[some] = np.nanmean(smooth[:, some], axis=0)
        return [Line(x=at, y=mean, colour=colour, label=f"{name}, mean of the seeds that have it")]
    stretches = np.split(whole, np.flatnonzero(np.diff(whole) > 1) + 1)
    drawn: list[Series] = []
    for places in stretches:
        if places.size:
            drawn += over_seeds(at[places], smooth[:, places], colour, "" if drawn else name)
    return drawn


def _estimates(evaluations: Sequence[Mapping[str, Any]], measured: str, colour: str) -> Estimates:
    found = means(evaluations, measured)
    x, y, low, high = (
        np.asarray([getattr(one, name) for one in found], np.float64) for name in ("round", "value", "low", "high")
    )
    label = f"{NAMES[measured]} Pass@1, mean over seeds, 95%" if found else ""
    return Estimates(x=x, y=y, low=low, high=high, colour=colour, label=label)


def _by_seed(evaluations: Sequence[Mapping[str, Any]], measured: str, colour: str) -> str:
    """The seeds' newest Pass@1 beside what all had before; empty where no seed has been evaluated."""
    of_seeds = [e for e in evaluations if e["measured"] == measured and e.get("seed") is not None]
    if not of_seeds:
        return ""
    newest = max(e["round"] for e in of_seeds)
    found = sorted((e for e in of_seeds if e["round"] == newest), key=lambda e: e["seed"])
    x, y, low, high = (np.asarray([e[key] for e in found], np.float64) for key in ("seed", "pass_at_1", "low", "high"))
    label = f"after round {newest}, 95%"
    after = Estimates(x=x, y=y, low=low, high=high, colour=colour, label=label, unit="seed")
    series: list[Series] = []
    edges = np.asarray([x.min() - 0.5, x.max() + 0.5])
    before = next((e for e in evaluations if e["measured"] == measured and e["round"] == 0), None)
    if before is not None:
        low, high, value = (np.full(2, float(before[name])) for name in ("low", "high", "pass_at_1"))
        series.append(Area(x=edges, low=low, high=high, colour="ink"))
        series.append(Line(x=edges, y=value, colour="ink", label="before, 95%", dashed=True))
    series.append(after)
    top = 1.0 if measured == "train" else min(1.0, 1.15 * max(float(e["high"]) for e in (*found, before or found[0])))
    title = f"{NAMES[measured][0].upper()}{NAMES[measured][1:]} Pass@1 by seed"
    return chart(title, series, x_range=(edges[0], edges[1]), y_range=(0.0, top or 1.0), x_label="seed")
