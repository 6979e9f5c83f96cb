"""Training and test Pass@1 along the rounds, by design choice: one figure for each model, task and optimiser.

The figures of arXiv 2601.14599 and 2601.22532 could not be read. These are their claims' figures: each panel changes
one design choice, as the experiments of `simulations.reproduction` do, and says which in the words of `Setting`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft import theory
from bandit_rft.errors import InputError
from bandit_rft.experiments import Outcome, Setting, mean_effect
from bandit_rft.plots import style
from bandit_rft.runs import read_json
from figures import sweeps

NAME = "conditions"
SMOOTHED = 10  # rounds of a training curve that is made of rewards
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (4, 1.2, 1, 1.2)), (0, (8, 2)), (0, (2, 2)))

Changes = Mapping[str, Any]
# By panel and line, what is changed of the minimalist configuration.
PANELS: Mapping[str, Mapping[str, Changes]] = {
    "minimalist": {"raw, 1 rollout": {}},
    "advantage": {
        "raw, 8 rollouts": {"rollouts": 8},
        "GRPO, 8 rollouts": {"rollouts": 8, "signal": "grpo"},
    },
    "rollouts": {f"{g}": {"rollouts": g} for g in (1, 4, 8, 16)},
    "rollouts of GRPO": {f"{g}": {"rollouts": g, "signal": "grpo"} for g in (4, 8, 16)},
    "negative rewards": {"wrong earns 0": {}, "wrong earns −1": {"reward_wrong": -1.0}},
    "negative rewards, hard": {
        "wrong earns 0": {"p0": "0.01"},
        "wrong earns −1": {"p0": "0.01", "reward_wrong": -1.0},
    },
    "difficulty": {f"$p_0$ about {p0}": {"p0": p0} for p0 in ("0.5", "0.25", "0.05", "0.01", "0.001")},
    "batch": {f"{b} questions": {"pool": 128, "questions": b} for b in (8, 32)},
    "budget of 32, GRPO": {
        f"{b} × {32 // b}": {"pool": 128, "questions": b, "rollouts": 32 // b, "signal": "grpo"} for b in (1, 4, 16, 32)
    },
    "extra samples": {
        "GRPO, 1 and 7 more": {"signal": "grpo", "extra_rollouts": 7},
        "GRPO, 8": {"signal": "grpo", "rollouts": 8},
    },
    "score window": {
        "GRPO, window of 8": {"signal": "grpo", "score_window": 8},
        "GRPO, 8": {"signal": "grpo", "rollouts": 8},
    },
}


@dataclass(frozen=True)
class Place:
    """What a figure is of: everything of a setting that no panel changes."""

    model: str
    task: str
    optimizer: str
    step: float

    @property
    def title(self) -> str:
        unit = "/κ" if self.optimizer == "sgd" else ""
        named = ", ".join(part for part in (self.model, self.task) if part)
        return f"{named}, {self.optimizer} at {self.step:g}{unit}"

    @property
    def exact(self) -> bool:
        """Whether training curves are exact, as those of a table and a token policy are, which have no task. Numbers do
        not tell: an exact curve that is saturated is 1, as a reward is, and a model may have no test questions.
        """
        return not self.task

    @property
    def file(self) -> str:
        return re.sub(r"[^A-Za-z0-9.]+", "-", f"{NAME}-{self.model}-{self.task}-{self.optimizer}-{self.step:g}")


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of `bandit-rft reproduce`."""
    return config.get("command") == "reproduce"


def draw(run: str | Path, out: str | Path | None = None) -> list[Path]:
    """Draw all figures of a run folder of `bandit-rft reproduce`; returns the PNGs' paths.

    Raises:
        InputError: it holds no finished run.
    """
    run = Path(run)
    found = read_runs(run)
    written = []
    for place in sorted({_place(setting) for setting in found}, key=lambda one: one.file):
        panels = {title: lines for title, wanted in PANELS.items() if (lines := _lines(found, place, wanted))}
        if panels:
            step = place.step if place.optimizer == "sgd" else None
            written.append(_draw(run, out, place, panels, step))
    for place in sorted({_place(setting) for setting in found}, key=lambda one: one.file):
        models = {
            other.model: found[setting]
            for setting in found
            if (other := _place(setting)) and setting == _setting(other, {}) and _but_model(other) == _but_model(place)
        }
        # A table and a token policy have no task, and are no base models.
        if place.task and len(models) > 1 and place.model == min(models):
            everyone = Place("base models", *_but_model(place))
            written.append(_draw(run, out, everyone, {"minimalist": models}))
    if not written:
        raise InputError(f"{run} holds no finished run of the conditions that are shown: run bandit-rft reproduce.")
    return written


def read_runs(run: Path) -> dict[Setting, list[Outcome]]:
    """setting -> outcomes of its units, of the runs that are done."""
    found: dict[Setting, list[Outcome]] = {}
    for path in sorted(run.glob("runs/*/outcome.npz")):
        setting = Setting(**read_json(path.with_name("setting.json"))["setting"])
        found.setdefault(setting, []).append(Outcome.read(path))
    return found


def _place(setting: Setting) -> Place:
    return Place(setting.model, setting.task, setting.optimizer, setting.step)


def _but_model(place: Place) -> tuple[str, str, float]:
    return place.task, place.optimizer, place.step


def _setting(place: Place, changes: Changes) -> Setting:
    return Setting(**{**vars(place), **changes})


def _lines(
    found: Mapping[Setting, list[Outcome]], place: Place, wanted: Mapping[str, Changes]
) -> dict[str, list[Outcome]]:
    """label -> outcomes, of the lines that were run; nothing where a comparison has one line alone."""
    lines = {
        label: found[setting] for label, changes in wanted.items() if (setting := _setting(place, changes)) in found
    }
    return lines if len(lines) == len(wanted) or len(lines) > 1 else {}


def _draw(
    run: Path,
    out: str | Path | None,
    place: Place,
    panels: Mapping[str, Mapping[str, list[Outcome]]],
    step: float | None = None,
) -> Path:
    """One figure; with a step in units of 1/kappa, the law of the minimalist configuration is in its panel."""
    tested = any(one.evaluated.size for lines in panels.values() for some in lines.values() for one in some)
    across = min(4, len(panels))
    down = -(-len(panels) // across)
    each = 2 if tested else 1
    with style.panels(
        each * down, across, width=1.75 * across + 0.4, height=1.55 * each * down + 0.3, squeeze=False, sharey=True
    ) as (figure, axes):
        for number, (head, lines) in enumerate(panels.items()):
            row, column = each * (number // across), number % across
            _panel(axes[row, column], lines, "train", place.exact)
            axes[row, column].set_title(head)
            axes[row, column].legend(loc="best", fontsize=5)
            if step is not None and head == "minimalist":
                _prediction(axes[row, column], lines, step)
            if tested:
                _panel(axes[row + 1, column], lines, "test", place.exact)
            axes[row + each - 1, column].set_xlabel("round")
        for number in range(len(panels), across * down):
            for extra in range(each):
                axes[each * (number // across) + extra, number % across].set_visible(False)
        for row in range(each * down):
            axes[row, 0].set_ylabel("test Pass@1" if row % each else "training Pass@1")
        axes[0, 0].set_ylim(-0.03, 1.03)
        figure.suptitle(place.title, fontsize=8, parse_math=False)
        return style.save(figure, sweeps.target(run, out, place.file), runs={"reproduce": run}, vector=True)


def _panel(axes: Any, lines: Mapping[str, Sequence[Outcome]], what: str, exact: bool) -> None:
    for place, (label, outcomes) in enumerate(lines.items()):
        curves = [_curve(one, what, exact) for one in outcomes]
        curves = [(rounds, values) for rounds, values in curves if rounds.size]
        if not curves:
            continue
        rounds = curves[0][0]
        middle, low, high = _interval([values for _, values in curves])
        colour, dashes = sweeps.COLOURS[place % 6], DASHES[place % 6]
        axes.fill_between(rounds, low, high, color=colour, alpha=0.18, linewidth=0)
        # A lone seed or question has no band, which must not be taken for one that is too narrow to be seen.
        said = label if np.isfinite(low).any() else f"{label} (no interval)"
        axes.plot(rounds, middle, color=colour, linestyle=dashes, label=said)


def _curve(outcome: Outcome, what: str, exact: bool) -> tuple[np.ndarray, np.ndarray]:
    """(rounds [N], Pass@1 [S, N]); a training curve of rewards is a mean over some rounds, an exact one is as it is."""
    if what == "test":
        return outcome.evaluated, outcome.test
    rounds = outcome.train.shape[1]
    if exact or rounds < 2 * SMOOTHED:
        return np.arange(rounds), outcome.train
    weights = np.ones(SMOOTHED) / SMOOTHED
    smooth = np.stack([np.convolve(of_seed, weights, mode="valid") for of_seed in outcome.train])
    return np.arange(smooth.shape[1]) + (SMOOTHED - 1) / 2, smooth


def _interval(units: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [N] with its 95% interval: over questions, or where there is one, over its seeds; NaN without an end."""
    values = units[0] if len(units) == 1 else np.stack([one.mean(axis=0) for one in units])
    effects = [mean_effect(values[:, place]) for place in range(values.shape[1])]
    ends = np.array([effect.interval() for effect in effects])
    middle = np.array([effect.value for effect in effects])
    bounded = np.where(np.isfinite(ends), ends, np.nan)
    return middle, np.clip(bounded[:, 0], 0, 1), np.clip(bounded[:, 1], 0, 1)


def _prediction(axes: Any, lines: Mapping[str, Sequence[Outcome]], step: float) -> None:
    """The exact law of one rollout at each question's p0, and the step in units of 1/kappa."""
    (outcomes,) = lines.values()
    rounds = outcomes[0].train.shape[1]
    laws = [theory.pg_jump_single(one.p0, step, rounds, kappa=1.0) for one in outcomes if 0 < one.p0 < 1]
    if laws:
        mean = np.mean([np.asarray(law.value) for law in laws], axis=0)
        dotted: dict[str, Any] = {"color": style.INK, "linestyle": (0, (1, 1)), "linewidth": 0.9}
        axes.plot(np.arange(rounds), mean, label="theory.pg_jump_single", **dotted)
        axes.legend(loc="best", fontsize=5)
