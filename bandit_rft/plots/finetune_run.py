"""A real fine-tuning run: reward and Pass@1 by round beside the prediction of its law, and Pass@1 on a test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.plots import style
from bandit_rft.run_law import RunLaw, law_of
from bandit_rft.runs import read_history
from bandit_rft.verdict import compare

NAME = "finetune_run"


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a run's config.json is one that this figure shows."""
    return config.get("command") == "finetune" and config.get("seeds", 1) == 1


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the figure of a fine-tuning run folder; returns the PNG's path.

    Args:
        run: the run folder; the run may still be going on.
        out: folder of the PNG; the run's own figures/ by default.

    Raises:
        InputError: the folder holds no fine-tuning history.
    """
    run = Path(run)
    history = read_history(run)
    config = history.config
    if not accepts(config):
        raise InputError(f"{run} is not a fine-tuning run: give {NAME} a folder of bandit-rft finetune.")
    rewards = history.rewards[0]
    test = [e for e in history.evaluations if e["measured"] == "test"]
    heights = [2.3, 1.2] if test else [2.3]
    with style.panels(
        len(heights), 1, height=0.9 + sum(heights), sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    ) as (figure, axes):
        top = axes[0, 0]
        draw_law(top, law_of(history))
        window = max(5, config["rounds"] // 20)
        # A mean of fewer rounds than the window would swing wildly: the line starts where its window is full.
        smooth = running_mean(rewards.mean(axis=1), window)[window - 1 :]
        rounds = np.arange(window, window + len(smooth)) - (window - 1) / 2
        top.plot(rounds, smooth, color=style.ORANGE, label=f"reward, mean of {window} rounds")
        estimates(top, [e for e in history.evaluations if e["measured"] == "train"], style.BLUE, "Pass@1, 95%")
        top.set_ylim(-0.03, 1.03)
        top.set_ylabel("training question:\nprobability correct")
        style.title(top, run_title(config))
        if test:
            low = axes[1, 0]
            estimates(low, test, style.GREEN, "test Pass@1, 95%", line=True)
            low.set_ylabel(f"test Pass@1\n({test[0]['questions']} questions)")
            low.set_ylim(0.0, max(e["high"] for e in test) * 1.15)
        axes[-1, 0].set_xlabel("round (policy updates so far)")
        axes[-1, 0].set_xlim(-0.02 * config["rounds"], 1.02 * config["rounds"])
        figure.align_ylabels()
        # Below the panels: inside, it would hide a run that may go anywhere between 0 and 1.
        figure.legend(loc="outside lower center", ncols=2, columnspacing=1.0, handlelength=1.5)
        folder = Path(out) if out is not None else run / "figures"
        return style.save(figure, folder / f"{NAME}.png", runs={"run": run})


def summary(run: str | Path) -> str:
    """A run in a few lines: reward, Pass@1 before and after with intervals, the verdict on the prediction."""
    history = read_history(run)
    config, rewards = history.config, history.rewards[0]
    edge = max(1, min(50, len(rewards) // 5))
    lines = [
        f"{run_title(config)}: {len(rewards)} of {config['rounds']} rounds, "
        f"mean reward {rewards[:edge].mean():.3f} in the first {edge}, {rewards[-edge:].mean():.3f} in the last {edge}"
    ]
    for name, title in (("train", "Pass@1 on the training question"), ("test", "Pass@1 on test questions")):
        found = [e for e in history.evaluations if e["measured"] == name]
        if found:
            lines.append(
                f"{title}: " + ", ".join(_interval(e) for e in ([found[0], found[-1]] if len(found) > 1 else found))
            )
    return "\n".join([*lines, *law_lines(history)])


def law_lines(history: History) -> list[str]:
    """What the theory says of a run, and the verdict on the rounds that there are."""
    law = law_of(history)
    lines = [law.sentence()]
    if law.shown is not None:
        lines += [f"  caveat: {caveat}" for caveat in law.shown.caveats]
        lines.append(compare(history, law.shown.at(history.rounds)).report())
    return lines


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last `window` values up to each, of as many as there are at the start; float64 [T]."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return (total[ends] - total[starts]) / (ends - starts)


def draw_law(axes: Any, law: RunLaw) -> None:
    """The law's mean and band, where the run has a law."""
    shown = law.shown
    if shown is None or shown.prediction is None:
        return
    at, name = shown.rounds_shown, shown.prediction.name
    label = f"{name}: $p_0$ {shown.p0:.2f}, $\\kappa$ {'fitted' if shown.fitted_on else 'measured'}"
    axes.plot(at, shown.prediction.value, color=style.INK, linestyle=(0, (4, 2)), linewidth=1.0, label=label)
    if shown.band is not None:
        axes.fill_between(at, *shown.band, color=style.GREY, alpha=0.22, linewidth=0, label="80% of the law's runs")


def estimates(axes: Any, found: Sequence[Mapping[str, Any]], colour: str, label: str, *, line: bool = False) -> None:
    """Pass@1 estimates with their intervals, from evaluation records."""
    if not found:
        return
    rounds = np.asarray([e["round"] for e in found])
    value, low, high = (np.asarray([e[name] for e in found]) for name in ("pass_at_1", "low", "high"))
    axes.errorbar(
        rounds,
        value,
        yerr=np.maximum([value - low, high - value], 0.0),
        fmt="o-" if line else "o",
        color=colour,
        markersize=3.2,
        linewidth=0.9,
        elinewidth=0.9,
        capsize=1.8,
        zorder=4,
        label=label,
    )


def run_title(config: Mapping[str, Any]) -> str:
    """The model and the question."""
    several = config.get("indices") or (isinstance(config["index"], list) and ", ".join(map(str, config["index"])))
    named = f"questions {several}" if several else f"question {config['index']}"
    question = f"{named} of {Path(config['data']).stem}" if config["data"] else "one prompt"
    return f"{Path(config['model']).name} on {question}"


def _interval(record: Mapping[str, Any]) -> str:
    return f"{record['pass_at_1']:.3f} [{record['low']:.3f}, {record['high']:.3f}] after {record['round']} rounds"
