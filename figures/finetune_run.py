"""A real fine-tuning run: reward and Pass@1 by round beside the jump chain's prediction, and Pass@1 on a test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.run_folder import read_history
from bandit_rft.verdict import compare
from figures import style
from figures.jump_overlay import Overlay, band, overlay

NAME = "finetune_run"


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a run's config.json is one that this figure shows."""
    return config.get("command") == "finetune"


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
    predicted = overlay(config, rewards, history.evaluations, config["rounds"])
    test = [e for e in history.evaluations if e["measured"] == "test"]
    heights = [2.3, 1.2] if test else [2.3]
    with style.panels(
        len(heights), 1, height=0.9 + sum(heights), sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    ) as (figure, axes):
        top = axes[0, 0]
        _prediction(top, predicted)
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
    predicted = overlay(config, rewards, history.evaluations, config["rounds"])
    if predicted.prediction is None:
        lines.append(f"No jump-chain prediction: {'; '.join(predicted.caveats)}.")
        return "\n".join(lines)
    lines.append(f"Jump chain from p0 = {predicted.p0:.3f} ({predicted.p0_source}), {_kappa(predicted)}")
    lines += [f"  caveat: {caveat}" for caveat in predicted.caveats]
    if len(rewards) == config["rounds"]:
        lines.append(compare(history, predicted.prediction).report())
    return "\n".join(lines)


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last `window` values up to each, of as many as there are at the start; float64 [T]."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return (total[ends] - total[starts]) / (ends - starts)


def _prediction(axes: Any, predicted: Overlay) -> None:
    if predicted.prediction is None:
        return
    at = np.arange(predicted.prediction.rounds)
    low, high = band(predicted.prediction)
    label = f"jump chain: $p_0$ {predicted.p0:.2f}, $\\kappa$ {'fitted' if predicted.fitted else 'measured'}"
    axes.plot(at, predicted.prediction.value, color=style.INK, linestyle=(0, (4, 2)), linewidth=1.0, label=label)
    axes.fill_between(at, low, high, color=style.GREY, alpha=0.22, linewidth=0, label="80% of the chain's runs")


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


def _kappa(predicted: Overlay) -> str:
    return f"kappa = {predicted.kappa:.4g} ({'fitted on the first rounds' if predicted.fitted else 'measured'})"
