"""A report's charts: which quantities of a run are drawn, each by a function of `bandit_rft.plots`, as inline SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from bandit_rft.history import History
from bandit_rft.plots import curves, finetune, style
from bandit_rft.plots.averages import means, moving, window_of
from bandit_rft.run_law import RunLaw
from bandit_rft.theory import Prediction

KINDS = {"train": "training", "test": "test"}  # what evaluations measure, as a reader calls it
# Names of the learner's metrics (now, and in older folders) -> what a reader calls them, and limits of the axis.
METRICS: tuple[tuple[tuple[str, ...], str, tuple[float, float] | None], ...] = (
    (("signal_mean",), "learning signal, mean", None),
    (("gradient_norm",), "gradient norm", None),
    (("kl",), "KL from the model as loaded, nats", None),
    (("entropy",), "entropy, nats per token", None),
    (("response_length",), "response length, tokens", None),
    (("truncated",), "responses truncated, share", (0.0, 1.0)),
    (("pg_clipfrac", "clipped"), "tokens whose ratio is clipped, share", None),
    (("ratio_outside",), "tokens whose ratio is outside the clip, share", None),
    (("dead_groups", "dead_group"), "groups without a signal, share", (0.0, 1.0)),
    (("learning_rate",), "learning rate", None),
    (("verifier_timeouts",), "answers that ran out of the verifier's time", None),
    (("verifier_crashes",), "answers that broke the verifier's worker", None),
    (("sampler_trainer_gap", "sampling_gap"), "sampler against scorer, largest gap in log-probability", None),
    (("sampler_trainer_gap_mean",), "sampler against scorer, mean gap in log-probability", None),
    (("effective_sample_size",), "effective sample size of the tokens' importance, share", (0.0, 1.0)),
)
# Colours of a figure -> those of the page's style sheet, which differ by day and by night.
_COLOURS = {
    style.BLUE: "blue",
    style.ORANGE: "orange",
    style.GREEN: "green",
    style.INK: "ink",
    style.GRID: "line",
}
_SVG: dict[Any, Any] = {
    "svg.fonttype": "none",
    "path.simplify_threshold": 0.5,
}  # text stays text; half a point is not seen

Chart = tuple[str, Callable[[Axes], Any]]  # title, and what draws it


def finetune_charts(history: History, law: RunLaw) -> list[Chart]:
    """The charts of a fine-tuning run: rewards and Pass@1, then every quantity of `metrics_of` that moved."""
    charts: list[Chart] = [("Reward and training Pass@1", partial(finetune.training, history=history, law=law))]
    if means(history.evaluations, "test"):
        charts.append(("Test Pass@1", partial(finetune.testing, history=history)))
    for measured, colour in (("train", style.BLUE), ("test", style.GREEN)):
        own = [e["round"] for e in history.evaluations if e["measured"] == measured and e.get("seed") is not None]
        if own and history.seeds > 1:
            draw = partial(curves.pass_at_1_by_seed, history=history, measured=measured, colour=colour, newest=max(own))
            charts.append((f"{KINDS[measured].capitalize()} Pass@1 by seed", draw))
    for title, limits, values in metrics_of(history):
        if _moves(values):
            draw = partial(_metric, window=window_of(history), limits=limits, values=values)
            charts.append((title[0].upper() + title[1:], draw))
    return charts


def constants(history: History) -> str:
    """A sentence on the quantities of `metrics_of` that never moved; empty where all did."""
    still = [f"{title}: {np.nanmax(values):.6g}" for title, _, values in metrics_of(history) if not _moves(values)]
    return f"The same in every round: {'; '.join(still)}." if still else ""


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


def simulation_charts(history: History, law: Prediction | None) -> list[Chart]:
    """Pass@1 (or reward) and, where it is known, regret: mean and 95% band over seeds, and the law if any."""
    known = bool(np.isfinite(history.value).all())
    name = "expected reward" if known else "reward"
    seeds = "one seed" if history.seeds == 1 else f"mean of {history.seeds} seeds, 95%"

    def value(axes: Axes) -> None:
        values = history.value if known else history.rewards.mean(axis=2)
        curves.bands(axes, np.arange(history.rounds), values, label=f"{name}, {seeds}")
        if law is not None:
            curves.prediction(axes, law, label="theory")
        axes.set_xlabel("round")

    def regret(axes: Axes) -> None:
        curves.regret(axes, history, colour=style.ORANGE, label=seeds)
        if law is not None:
            curves.prediction(axes, law, quantity="regret", label="theory")

    regretted = history.best_mean is not None and history.pulled_mean is not None
    return [(name.capitalize(), value), *([("Cumulative regret, rewards", regret)] if regretted else [])]


def svg(chart: Chart) -> Markup:
    """The chart as an element of an HTML page: without ids that another chart has, style attributes (the page's policy
    forbids them), fonts and outside references; its colours are the page's.
    """
    title, draw = chart
    options: Any = {**_SVG, "svg.hashsalt": title}
    buffer = io.StringIO()
    with (
        style.panels(1, 1, width=3.8, height=2.3) as (figure, axes),
        matplotlib.rc_context(options),
    ):
        draw(axes)
        if (inside := axes.get_legend()) is not None:
            inside.remove()  # the page's is below the curves
        rows = -(-len(axes.get_legend_handles_labels()[1]) // 2)
        figure.set_size_inches(3.8, 2.3 + 0.13 * max(rows - 4, 0))
        figure.legend(loc="outside lower center", ncols=2, columnspacing=1.0, handlelength=1.5)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    source = buffer.getvalue()
    root = ElementTree.fromstring(source)
    root.set("role", "img")
    root.set("aria-label", title)
    referred = set(re.findall(r"#([mp]\w+)", source))
    for parent in root.iter():
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
        parent.tag = _local(parent.tag)
        declared = dict(part.split(": ", 1) for part in parent.attrib.pop("style", "").split("; ") if part)
        kept = {_local(name): value for name, value in (*parent.items(), *declared.items())}
        for name in ("width", "height") if parent is root else ("font-family", "font"):
            kept.pop(name, None)
        parent.attrib = {n: _number_pattern.sub(_shorter, v) for n, v in kept.items() if n != "id" or v in referred}
    text = ElementTree.tostring(root, encoding="unicode")
    for colour, name in _COLOURS.items():
        text = text.replace(f'"{colour.lower()}"', f'"var(--{name})"')
    return Markup(text)


_number_pattern = re.compile(r"\d+\.\d{3,}")


def _shorter(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}"


def _local(name: str) -> str:
    """An XML name without its namespace: HTML knows SVG's by itself."""
    return name.rpartition("}")[2]


def _moves(values: np.ndarray) -> bool:
    return bool(np.ptp(values[np.isfinite(values)]) > 0)


def _metric(axes: Axes, window: int, limits: tuple[float, float] | None, values: np.ndarray) -> None:
    """A quantity [S, T]: mean and band over seeds of its moving mean; of one seed, each round behind it."""
    if len(values) == 1:
        axes.plot(values[0], color=style.BLUE, linewidth=0.5, alpha=0.3, label="each round")
    curves.bands(axes, *moving(values, window), label=f"over {window} rounds")
    axes.set_xlabel("round")
    if limits is not None:
        axes.set_ylim(limits[0] - 0.03, limits[1] + 0.03)
