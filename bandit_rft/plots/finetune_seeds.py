"""One embedded model fine-tuned with many seeds: rewards over seeds beside its law, and test Pass@1 before and
after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.plots import style
from bandit_rft.plots.finetune_run import draw_law, law_lines, running_mean
from bandit_rft.run_law import law_of
from bandit_rft.runs import read_history

NAME = "finetune_seeds"


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a run's config.json is one that this figure shows."""
    return config.get("command") == "finetune" and config.get("seeds", 1) > 1


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the figure of a run with many seeds; returns the PNG's path.

    Raises:
        InputError: the folder holds no such run.
    """
    run = Path(run)
    history = read_history(run)
    config = history.config
    if not accepts(config):
        raise InputError(f"{run} is not a run of many seeds: give {NAME} a folder of bandit-rft finetune --seeds.")
    rewards = history.rewards.mean(axis=2)
    seeds, rounds = rewards.shape
    test = [e for e in history.evaluations if e["measured"] == "test"]
    with style.panels(
        2 if test else 1,
        1,
        height=4.4 if test else 3.2,
        squeeze=False,
        gridspec_kw={"height_ratios": [2.3, 1.0][: 1 + bool(test)]},
    ) as (figure, axes):
        top = axes[0, 0]
        draw_law(top, law_of(history))
        window = max(5, rounds // 30)
        middle = np.arange(window, rounds + 1) - (window + 1) / 2
        smooth = np.asarray([running_mean(row, window)[window - 1 :] for row in rewards])
        for place, row in enumerate(smooth):
            label = f"reward of a seed, mean of {window} rounds" if place == 0 else None
            top.plot(middle, row, color=style.ORANGE, linewidth=0.5, alpha=0.5, label=label)
        top.plot(middle, smooth.mean(axis=0), color=style.VERMILION, linewidth=1.3, label=f"mean of {seeds} seeds")
        top.set_ylim(-0.03, 1.03)
        top.set_ylabel("training question:\nprobability correct")
        top.set_xlabel("round (policy updates so far)")
        style.title(top, _title(config))
        if test:
            _before_and_after(axes[1, 0], test[0], _after(test, history))
        figure.legend(loc="outside lower center", ncols=2, columnspacing=1.0, handlelength=1.5)
        base = Path(out) if out is not None else run / "figures"
        return style.save(figure, base / f"{NAME}.png", runs={"run": run})


def summary(run: str | Path) -> str:
    """The run in a few lines: rewards, Pass@1 before and after over seeds, the verdict on the prediction."""
    history = read_history(run)
    rewards = history.rewards
    edge = max(1, min(20, history.rounds // 5))
    lines = [
        f"{_title(history.config)}: {history.rounds} rounds, {history.seeds} seeds, mean reward "
        f"{rewards[:, :edge].mean():.3f} in the first {edge} rounds, {rewards[:, -edge:].mean():.3f} in the last {edge}"
    ]
    for name, title in (("train", "training question"), ("test", "test questions")):
        found = [e for e in history.evaluations if e["measured"] == name]
        if not found:
            continue
        start, after = found[0], np.asarray([e["pass_at_1"] for e in _after(found, history)])
        line = f"Pass@1 on the {title}: {start['pass_at_1']:.3f} [{start['low']:.3f}, {start['high']:.3f}] before"
        if after.size:
            line += f"; after, mean {after.mean():.3f}, seeds from {after.min():.3f} to {after.max():.3f}"
        lines.append(line)
    return "\n".join([*lines, *law_lines(history)])


def _after(evaluations: Sequence[Mapping[str, Any]], history: History) -> list[Mapping[str, Any]]:
    """Those after the newest evaluated round, of each seed; of a run that has none yet, []."""
    newest = max(e["round"] for e in evaluations)
    return [e for e in evaluations if e["round"] == newest and 0 < newest <= history.rounds]


def _before_and_after(axes: Any, start: Mapping[str, Any], after: Sequence[Mapping[str, Any]]) -> None:
    axes.axhspan(start["low"], start["high"], color=style.GREY, alpha=0.25, linewidth=0)
    axes.axhline(start["pass_at_1"], color=style.GREY, linewidth=1.0, label="test Pass@1 before, 95%")
    value, low, high = (np.asarray([e[name] for e in after]) for name in ("pass_at_1", "low", "high"))
    error = np.maximum([value - low, high - value], 0.0)
    axes.errorbar(
        np.arange(len(after)),
        value,
        yerr=error,
        fmt="o",
        color=style.GREEN,
        markersize=3.2,
        elinewidth=0.9,
        capsize=1.8,
        label=f"after round {after[0]['round']}, 95%" if after else None,
    )
    axes.set_xticks(np.arange(len(after)))
    axes.set_xlabel("seed")
    axes.set_ylabel(f"test Pass@1\n({start['questions']} questions)")
    axes.set_ylim(0.0, min(1.0, max(e["high"] for e in (start, *after)) * 1.2))


def _title(config: Mapping[str, Any]) -> str:
    return f"{Path(config['model']).name} on question {config['index']} of {Path(config['data']).stem}"
