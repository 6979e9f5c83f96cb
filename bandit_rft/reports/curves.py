"""A report's charts: which quantities of a run are drawn, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bandit_rft.history import History
from bandit_rft.plots.averages import means, moving, over_seeds, window_of
from bandit_rft.plots.curves import MOST_SINGLE
from bandit_rft.reports.charts import Area, Estimates, Line, Series, chart, number
from bandit_rft.reports.theory import Theory

KINDS = {"train": "training", "test": "test"}  # what evaluations measure, as a reader calls it
# Names of the learner's metrics (now, and in older folders) -> what a reader calls them, and limits of the axis.
METRICS: tuple[tuple[tuple[str, ...], str, tuple[float, float] | None], ...] = (
    (("signal_mean",), "learning signal, mean", None),
    (("gradient_norm",), "gradient norm", None),
    (("kl",), "KL from the model as loaded, nats", None),
    (("entropy",), "entropy, nats a token", None),
    (("response_length",), "response length, tokens", None),
    (("truncated",), "responses truncated, share", (0.0, 1.0)),
    (("clipped",), "tokens whose ratio is clipped, share", None),
    (("ratio_outside",), "tokens whose ratio is outside the clip, share", None),
    (("dead_groups", "dead_group"), "groups without a signal, share", (0.0, 1.0)),
    (("learning_rate",), "learning rate", None),
    (("verifier_timeouts",), "answers that ran out of the verifier's time", None),
    (("verifier_crashes",), "answers that broke the verifier's worker", None),
    (("sampling_gap",), "sampler against scorer, largest gap in log-probability", None),
)


def finetune_charts(history: History, theory: Theory) -> tuple[list[str], str]:
    """The charts of a fine-tuning run, and a sentence on the quantities that never moved (empty where all did)."""
    rounds = int(history.config["rounds"])
    span = (-0.02 * rounds, 1.02 * rounds)  # room for the intervals of the first and the last round
    window, several = window_of(history), history.seeds > 1
    rewards = history.rewards.mean(axis=2)
    at, smooth = moving(rewards, window)
    main: list[Series] = [*theory_series(theory)]
    if 1 < history.seeds <= MOST_SINGLE:
        main += [Line(x=at, y=row, colour="faint", label="" if seed else "a seed") for seed, row in enumerate(smooth)]
    main += _moved(at, smooth, "orange", f"reward over {window} rounds")
    main.append(_estimates(history, "train", "blue"))
    whole = (min(0.0, float(rewards.min())), max(1.0, float(rewards.max())))
    charts = [chart("Reward and training Pass@1", main, x_range=span, y_range=whole)]
    test = _estimates(history, "test", "green")
    if test.x.size:
        top = min(1.0, 1.15 * float(test.high.max()) or 1.0)
        joined = Line(x=test.x, y=test.y, colour="green")
        charts.append(chart("Test Pass@1", [joined, test], x_range=span, y_range=(0.0, top)))
    if several:
        charts += [by_seed(history.evaluations, "train", "blue"), by_seed(history.evaluations, "test", "green")]
    still = []
    for title, limits, values in metrics_of(history):
        known = values[np.isfinite(values)]
        if np.ptp(known) == 0:
            still.append(f"{title}: {number(float(known[0]))}")
            continue
        drawn: list[Series] = []
        if not several:
            drawn.append(Line(x=np.arange(history.rounds), y=values[0], colour="faint", label="each round"))
        drawn += _moved(*moving(values, window), "blue", f"over {window} rounds")
        charts.append(chart(title[0].upper() + title[1:], drawn, x_range=span, y_range=limits))
    return [one for one in charts if one], f"The same in every round: {'; '.join(still)}." if still else ""


def metrics_of(history: History) -> Iterator[tuple[str, tuple[float, float] | None, np.ndarray]]:
    """(title, limits of the axis, values [S, T]) of the quantities that say more than the reward does."""
    for names, title, limits in METRICS:
        values = next((history.metrics[name] for name in names if name in history.metrics), None)
        if values is None or not np.isfinite(values).any():
            continue
        # These would only repeat the reward.
        if "dead_groups" in names and history.rollouts == 1:
            continue
        if "signal_mean" in names and np.allclose(values, history.rewards.mean(axis=2), equal_nan=True):
            continue
        yield title, limits, values


def simulation_charts(history: History, theory: Theory) -> list[str]:
    """Pass@1 (or reward) and, where it is known, regret: mean and 95% band over seeds."""
    rounds = np.arange(history.rounds)
    span = (0.0, float(history.rounds))
    known = bool(np.isfinite(history.value).all())
    curves, name = (history.value, "expected reward") if known else (history.rewards.mean(axis=2), "reward")
    law = "" if theory.value is None else "theory"
    first = _mean_and_band(rounds, curves, "blue", name)
    if theory.at is not None and theory.value is not None:
        first.append(Line(x=theory.at, y=theory.value, colour="ink", label=law, dashed=True))
    charts = [chart(name[0].upper() + name[1:], first, x_range=span)]
    if history.best_mean is not None and history.pulled_mean is not None:
        second = _mean_and_band(rounds + 1, history.regret(), "orange", "cumulative regret")
        if theory.regret is not None:
            second.append(Line(x=rounds + 1, y=theory.regret, colour="ink", label=law, dashed=True))
        charts.append(chart("Cumulative regret, rewards", second, x_range=span))
    return charts


def _mean_and_band(rounds: np.ndarray, curves: np.ndarray, colour: str, name: str) -> list[Series]:
    """The mean of curves [S, N] with its simultaneous 95% band; without a name, without a legend."""
    if len(curves) < 2:
        return [Line(x=rounds, y=curves[0], colour=colour, label=f"{name}, one seed" if name else "")]
    over = over_seeds(curves)
    label = "95% band of the mean" if name else ""
    return [
        Area(x=rounds, low=over.low, high=over.high, colour=colour, label=label),
        Line(x=rounds, y=over.mean, colour=colour, label=f"{name}, mean of {len(curves)} seeds" if name else ""),
    ]


def theory_series(theory: Theory) -> list[Series]:
    """The law's curve with its band, where there are any."""
    if theory.at is None or theory.value is None:
        return []
    curve = Line(x=theory.at, y=theory.value, colour="ink", label="theory", dashed=True)
    if theory.low is None or theory.high is None:
        return [curve]
    return [Area(x=theory.at, low=theory.low, high=theory.high, colour="ink", label="80% of the law's runs"), curve]


def _moved(at: np.ndarray, smooth: np.ndarray, colour: str, name: str) -> list[Series]:
    """Mean and band over the seeds, in each stretch of rounds where every seed is known; the first has the legend.

    Of one seed: its curve. Where that is less than half of the rounds: the mean alone, of those that are.
    """
    if len(smooth) == 1:
        return [Line(x=at, y=smooth[0], colour=colour, label=name)]
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
            drawn += _mean_and_band(at[places], smooth[:, places], colour, "" if drawn else name)
    return drawn


def _estimates(history: History, measured: str, colour: str) -> Estimates:
    found = means(history.evaluations, measured)
    x, y, low, high = (
        np.asarray([getattr(one, name) for one in found], np.float64) for name in ("round", "value", "low", "high")
    )
    over = ", mean over seeds" if history.seeds > 1 else ""
    label = f"{KINDS[measured]} Pass@1{over}, 95%" if found else ""
    return Estimates(x=x, y=y, low=low, high=high, colour=colour, label=label)


def by_seed(evaluations: Sequence[Mapping[str, Any]], measured: str, colour: str) -> str:
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
    title = f"{KINDS[measured][0].upper()}{KINDS[measured][1:]} Pass@1 by seed"
    return chart(title, series, x_range=(edges[0], edges[1]), y_range=(0.0, top or 1.0), x_label="seed")
