"""A report's charts: which quantities of a run are drawn, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bandit_rft.history import History
from bandit_rft.plots.finetune_run import running_mean
from bandit_rft.regret import band
from bandit_rft.reports.charts import Area, Estimates, Line, Series, chart, number
from bandit_rft.reports.theory import Theory

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


def window_of(rounds: int) -> int:
    """Rounds behind each moving mean, as in the figure `finetune_run`."""
    return max(5, rounds // 20)


def finetune_charts(history: History, theory: Theory) -> tuple[list[str], str]:
    """The charts of a fine-tuning run, and a sentence on the quantities that never moved (empty where all did)."""
    rounds = int(history.config["rounds"])
    span = (-0.02 * rounds, 1.02 * rounds)  # room for the intervals of the first and the last round
    window = window_of(rounds)
    rewards = history.rewards[0].mean(axis=1)
    main = [*theory_series(theory), *_moving(rewards, window, "orange", "reward")]
    main.append(_estimates(history.evaluations, "train", "blue", "training Pass@1, 95%"))
    whole = (min(0.0, float(rewards.min())), max(1.0, float(rewards.max())))
    charts = [chart("Reward and training Pass@1", main, x_range=span, y_range=whole)]
    test = _estimates(history.evaluations, "test", "green", "test Pass@1, 95%")
    if test.x.size:
        top = min(1.0, 1.15 * float(test.high.max()) or 1.0)
        joined = Line(x=test.x, y=test.y, colour="green")
        charts.append(chart("Test Pass@1", [joined, test], x_range=span, y_range=(0.0, top)))
    still = []
    for title, limits, (values, *_) in metrics_of(history):
        known = values[np.isfinite(values)]
        if np.ptp(known) == 0:
            still.append(f"{title}: {number(float(known[0]))}")
            continue
        drawn: list[Series] = [Line(x=np.arange(len(values)), y=values, colour="faint", label="each round")]
        drawn += _moving(values, window, "blue", "")
        charts.append(chart(title[0].upper() + title[1:], drawn, x_range=span, y_range=limits))
    return charts, f"The same in every round: {'; '.join(still)}." if still else ""


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
    first = over_seeds(rounds, curves, "blue", name)
    if theory.at is not None and theory.value is not None:
        first.append(Line(x=theory.at, y=theory.value, colour="ink", label=law, dashed=True))
    charts = [chart(name[0].upper() + name[1:], first, x_range=span)]
    if history.best_mean is not None and history.pulled_mean is not None:
        second = over_seeds(rounds + 1, history.regret(), "orange", "cumulative regret")
        if theory.regret is not None:
            second.append(Line(x=rounds + 1, y=theory.regret, colour="ink", label=law, dashed=True))
        charts.append(chart("Cumulative regret, rewards", second, x_range=span))
    return charts


def over_seeds(rounds: np.ndarray, curves: np.ndarray, colour: str, name: str) -> list[Series]:
    """The mean of curves [S, N] with its simultaneous 95% band; without a name, without a legend."""
    if len(curves) < 2:
        return [Line(x=rounds, y=curves[0], colour=colour, label=f"{name}, one seed" if name else "")]
    over = band(curves, kind="simultaneous")
    label = "95% band of the mean" if name else ""
    low = np.maximum(over.low, 0.0) if curves.min() >= 0 else over.low  # a mean of what is never negative is not either
    return [
        Area(x=rounds, low=low, high=over.high, colour=colour, label=label),
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


def _moving(values: np.ndarray, window: int, colour: str, name: str) -> list[Series]:
    """The mean of the last `window` known values, at the middle of its window; nothing before a window is full."""
    places = np.flatnonzero(np.isfinite(values))
    window = min(window, len(places))
    if window == 0:
        return []
    smooth = running_mean(values[places], window)[window - 1 :]
    middles = running_mean(places.astype(np.float64), window)[window - 1 :]
    said = f"{name}, mean of {window} rounds" if name else f"mean of {window} rounds"
    return [Line(x=middles, y=smooth, colour=colour, label=said)]


def _estimates(evaluations: Sequence[Mapping[str, Any]], measured: str, colour: str, label: str) -> Estimates:
    found = [e for e in evaluations if e["measured"] == measured]
    x, y, low, high = (np.asarray([e[key] for e in found], np.float64) for key in ("round", "pass_at_1", "low", "high"))
    return Estimates(x=x, y=y, low=low, high=high, colour=colour, label=label if found else "")
