"""A fine-tuning run of one seed or of many: reward and Pass@1 by round beside its law, and Pass@1 on a test set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.plots import curves, style
from bandit_rft.plots.averages import Mean, interval, means, window_of
from bandit_rft.run_law import BAND, RunLaw, law_of
from bandit_rft.runs import read_history
from bandit_rft.verdict import compare

NAME = "finetune"


def accepts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a fine-tuning run."""
    return config.get("command") == "finetune"


def draw(run: str | Path, out: str | Path | None = None) -> Path:
    """Draw the figure of a fine-tuning run's folder; returns the PNG's path.

    Args:
        run: the run folder; the run may still be going on.
        out: folder of the PNG; the run's own figures/ by default.

    Raises:
        InputError: the folder holds no fine-tuning history.
    """
    run = Path(run)
    history = history_of(run, NAME)
    tested = means(history.evaluations, "test")
    heights = [2.3, 1.2] if tested else [2.3]
    with style.panels(
        len(heights), 1, height=0.9 + sum(heights), sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    ) as (figure, axes):
        training(axes[0, 0], history, law_of(history))
        style.title(axes[0, 0], run_title(history), fontsize="small")
        if tested:
            testing(axes[1, 0], history)
            axes[0, 0].set_xlabel("")
        figure.align_ylabels()
        return save(figure, run, out, NAME)


def training(axes: Axes, history: History, law: RunLaw) -> Axes:
    """The training panel: the law where there is one, the rewards' moving mean, Pass@1 on what is trained on."""
    rounds = history.config["rounds"]
    shown = law.shown
    if shown is not None and shown.prediction is not None:
        kappa = "fitted" if shown.fitted_on else "measured"
        label = f"{shown.prediction.name}: $p_0$ {shown.p0:.2f}, $\\kappa$ {kappa}"
        curves.prediction(axes, shown.prediction, coverage=[BAND], label=label)
        if shown.prediction.reward is not None:  # groups drawn until they live earn otherwise than the policy would
            said = "reward of the last groups, predicted"
            axes.plot(shown.rounds_shown, shown.prediction.reward, ":", color=style.ORANGE, linewidth=1.0, label=said)
    several = ", 95%" if history.seeds > 1 else ""
    label = f"{_mean(history)}reward over {window_of(history)} rounds{several}"
    curves.rewards(axes, history, label=label)
    if means(history.evaluations, "train"):
        curves.pass_at_1(axes, history, label=f"{_mean(history)}Pass@1, 95%")
    low, high = min(0.0, float(history.rewards.min())), max(1.0, float(history.rewards.max()))
    axes.set_ylim(low - 0.03 * (high - low), high + 0.03 * (high - low))
    axes.set_xlim(-0.02 * rounds, 1.02 * rounds)
    axes.set_xlabel("round (policy updates so far)")
    axes.set_ylabel("training question:\nprobability correct")
    return axes


def testing(axes: Axes, history: History) -> Axes:
    """The test panel: Pass@1 on the test questions, of a run that has evaluated them."""
    label = f"{_mean(history)}test Pass@1, 95%"
    curves.pass_at_1(axes, history, measured="test", colour=style.GREEN, joined=True, label=label)
    axes.set_xlabel("round (policy updates so far)")
    axes.set_ylabel(f"test Pass@1\n({_questions(history)} questions)")
    axes.set_ylim(0.0, 1.15 * max(one.high for one in means(history.evaluations, "test")) or 1.0)
    return axes


def history_of(run: Path, figure: str) -> History:
    """The history of a fine-tuning run's folder. Raises InputError where it is of another command."""
    history = read_history(run)
    if not accepts(history.config):
        raise InputError(f"{run} is not a fine-tuning run: give {figure} a folder of bandit-rft finetune.")
    return history


def save(figure: Any, run: Path, out: str | Path | None, name: str) -> Path:
    """Write the figure, its legend below the panels: inside, it would hide a run that may go anywhere."""
    figure.legend(loc="outside lower center", ncols=2, columnspacing=1.0, handlelength=1.5)
    folder = Path(out) if out is not None else run / "figures"
    return style.save(figure, folder / f"{name}.png", runs={"run": run})


def summary(run: str | Path) -> str:
    """A run in a few lines: reward, Pass@1 before and after with intervals, the verdict on the prediction."""
    history = read_history(run)
    lines = [f"{run_title(history)}: {course(history)}"]
    several = "s" if _indices(history.config) else ""
    for name, title in (("train", f"the training question{several}"), ("test", "test questions")):
        found = means(history.evaluations, name)
        ends = [found[0], found[-1]] if len(found) > 1 else found
        if ends:
            lines.append(f"Pass@1 on {title}: {', '.join(map(_measured, ends))}")
    return "\n".join([*lines, *_law_lines(history)])


def course(history: History) -> str:
    """How far the run has come, and its mean reward at both ends."""
    rewards, rounds, responses = history.rewards, history.rounds, history.rollouts
    edge = max(1, min(50, rounds // 5))
    ends = "round" if edge == 1 else edge
    return (
        f"{rounds} of {history.config['rounds']} rounds, {responses} response{'s'[: responses > 1]} each; mean "
        f"reward {rewards[:, :edge].mean():.3f} in the first {ends}, {rewards[:, -edge:].mean():.3f} in the last {ends}"
    )


def run_title(history: History) -> str:
    """The model and the question, and the number of seeds where there are several."""
    config = history.config
    seeds = f", {history.seeds} seeds" if history.seeds > 1 else ""
    several = _indices(config)
    named = f"questions {several}" if several else f"question {config['index']}"
    own = f"{len(config['index'])} questions" if isinstance(config["index"], list) else "one prompt"
    question = f"{named} of {Path(config['data']).stem}" if config["data"] else own
    return f"{Path(config['model']).name} on {question}{seeds}"


def _indices(config: Mapping[str, Any]) -> str:
    """The questions of a run of several; empty of one."""
    indices = config.get("indices")
    if not indices and isinstance(config["index"], list):
        indices = ", ".join(map(str, config["index"]))
    return str(indices or "")


def _law_lines(history: History) -> list[str]:
    """What the theory says of a run, and the verdict on the rounds that there are."""
    law = law_of(history)
    lines = [law.sentence()]
    if law.shown is not None:
        lines += [f"  caveat: {caveat}" for caveat in law.shown.caveats]
        lines.append(compare(history, law.shown.at(history.rounds)).report())
    return lines


def _measured(one: Mean) -> str:
    when = f"after {one.round} rounds" if one.round else "before the run"
    over = f" (mean of {one.seeds} seeds, {one.least:.3f} to {one.most:.3f})" if one.seeds > 1 else ""
    return f"{interval(one)} {when}{over}"


def _mean(history: History) -> str:
    """What a label says of curves and points over several seeds; the legend has no room for more."""
    return "mean " if history.seeds > 1 else ""


def _questions(history: History) -> Any:
    return next((e["questions"] for e in history.evaluations if e["measured"] == "test" and "questions" in e), "?")
