"""One plot in one line: each function takes one history, a list or a dict of them by name, and returns matplotlib Axes.

    plots.regret({"UCB1": first, "Thompson": second}, theory=theory.ucb1_bound(means, rounds=2000), xscale="log")

Learners differ in colour, in line style and in markers, so that they are told apart by every reader and on grey paper.
Without `ax` a figure of matplotlib's pyplot is made, which a notebook shows; with it nothing but the axes is touched.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from bandit_rft import arguments
from bandit_rft.errors import InputError, UnknownOptimumError
from bandit_rft.history import History
from bandit_rft.plots import curves, style
from bandit_rft.regret import LearnerComparison, hitting_time, named
from bandit_rft.regret import compare_learners as differences_of
from bandit_rft.runs.rollouts import printable
from bandit_rft.theory import Bound, Prediction

Histories = History | Iterable[History] | Mapping[str, History]
Theory = Prediction | Bound | Iterable[Any] | Mapping[str, Any] | None

# No two lists have a common length: 7 x 5 x 9 looks before the first comes again.
COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY, style.INK)
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (2, 1)), (0, (7, 1.5, 1, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
THEORY_LINES: tuple[Any, ...] = (curves.DOTTED, curves.DASHED, (0, (4, 1.5, 1, 1.5)), (0, (1, 1)), (0, (8, 3)))
MARKS = 8  # markers on a line
MOST_INSIDE, IN_A_COLUMN = 10, 28  # labels of a legend that the axes hold; of one beside them, those of a column
_MOST_SOUGHT = 20_000  # points that a legend's place is looked for among
SCREEN_DPI = 160  # of a figure that a notebook shows, or that the caller saves: small type is readable from there on


def regret(
    histories: Histories,
    theory: Theory = None,
    ax: Axes | None = None,
    *,
    kind: str = "pseudo",
    xscale: str = "linear",
    yscale: str = "linear",
) -> Axes:
    """Cumulative regret after each round: mean and simultaneous 95% band over seeds of each learner, theory on top.

    Args:
        histories: one, a list, or a dict by name.
        theory: predictions and bounds of regret: one, a list, or a dict by name; `bandit_rft.theory_for` finds those
            that apply.
        ax: drawn on; by default the axes of a new figure.
        kind: of regret, as `History.regret` names them.
        xscale, yscale: "linear" or "log". Where a curve begins at round 0 a logarithmic axis of rounds is linear from
            0 to 1.

    Raises:
        UnknownOptimumError: the best arm's mean is unknown.
        InputError: something else than histories or theory, another kind or scale.
    """
    found, laws = named(histories), _theory(theory)
    for name, history in found.items():
        if history.best_mean is None or history.pulled_mean is None:
            raise UnknownOptimumError(
                f"The best arm's mean is unknown in {name}, so that it has no regret: draw plots.pass_at_1 or "
                "plots.bands(histories, 'reward')."
            )

    def draw(axes: Axes) -> None:
        for place, (name, history) in enumerate(found.items()):
            curves.regret(axes, history, kind=kind, **_look(place, name, history.rounds, xscale))
        _overlay(axes, laws, "regret")

    return _drawn(ax, draw, xscale, yscale, xlabel="round", ylabel="cumulative regret (rewards)")


def pass_at_1(
    histories: Histories,
    theory: Theory = None,
    ax: Axes | None = None,
    *,
    measured: str = "train",
    xscale: str = "linear",
    yscale: str = "linear",
) -> Axes:
    """Pass@1 (expected reward) before each round: exact, or as evaluated with 95% intervals.

    Args:
        histories, theory, ax, xscale, yscale: as `regret`; of theory, predictions are drawn.
        measured: which evaluations of a fine-tuning run: "train" or "test".

    Raises:
        InputError: a history that has neither; as `regret`.
    """
    found, laws = named(histories), _theory(theory)

    def draw(axes: Axes) -> None:
        for place, (name, history) in enumerate(found.items()):
            look = _look(place, name, history.rounds, xscale)
            curves.pass_at_1(axes, history, measured=measured, joined=len(found) > 1, **look)
        _overlay(axes, laws, "value")

    return _drawn(ax, draw, xscale, yscale, first=0, xlabel="round", ylabel="Pass@1")


def bands(
    histories: Histories,
    quantity: str = "reward",
    ax: Axes | None = None,
    *,
    xscale: str = "linear",
    yscale: str = "linear",
) -> Axes:
    """Any quantity by round: mean and simultaneous 95% band over seeds.

    Args:
        histories, ax, xscale, yscale: as `regret`.
        quantity: "reward" (mean over a round's rollouts), "value", "regret", or the name of one of the metrics.

    Raises:
        InputError: a history without that quantity, or that knows it in no round; as `regret`.
    """
    found = named(histories)
    values = {name: _quantity(name, history, quantity) for name, history in found.items()}
    for name, curve in values.items():
        if not np.isfinite(curve).any():
            raise InputError(f"{name} knows {quantity} in no round (it is NaN in all): draw another quantity.")

    first = 1 if quantity == "regret" else 0

    def draw(axes: Axes) -> None:
        for place, (name, curve) in enumerate(values.items()):
            rounds = np.arange(curve.shape[1]) + first
            curves.bands(axes, rounds, curve, **_look(place, name, rounds.size, xscale))

    return _drawn(ax, draw, xscale, yscale, first=first, xlabel="round", ylabel=quantity)


def compare_learners(
    histories: Histories | LearnerComparison,
    ax: Axes | None = None,
    *,
    baseline: str | None = None,
    xscale: str = "linear",
    yscale: str = "linear",
) -> Axes:
    """Each learner's regret less the baseline's on common random numbers, with bands simultaneous over all rounds.

    Args:
        histories: two or more, or what `bandit_rft.compare_learners` made of them.
        ax, xscale, yscale: as `regret`. baseline: as `bandit_rft.compare_learners`.

    Raises:
        InputError: histories that are not paired; as `regret`.
    """
    if isinstance(histories, LearnerComparison):
        found = histories
    else:
        found = differences_of(named(histories), baseline=baseline)

    def draw(axes: Axes) -> None:
        axes.axhline(0.0, color=style.INK, linewidth=0.8)
        rounds = 1 + np.arange(found.rounds)
        for place, one in enumerate(found.differences):
            look = _look(place, f"{one.name} − {one.baseline}", found.rounds, xscale)
            colour, width = look.pop("colour"), look.pop("width")
            axes.fill_between(rounds, one.low, one.high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(rounds, one.mean, color=colour, linewidth=width, **look)

    said = f"{100 * found.confidence:.3g}%"
    return _drawn(ax, draw, xscale, yscale, xlabel="round", ylabel=f"difference in regret (rewards), {said} band")


def hitting_times(
    histories: Histories,
    level: float = 0.5,
    theory: Theory = None,
    ax: Axes | None = None,
    *,
    xscale: str = "linear",
    yscale: str = "linear",
) -> Axes:
    """Share of the seeds whose Pass@1 has reached a level by each round, with its simultaneous 95% band.

    The band is that of Dvoretzky, Kiefer and Wolfowitz with Massart's constant: exact at any number of seeds. Of theory
    the distribution of each prediction whose law is known is drawn.

    Args:
        histories, theory, ax, xscale, yscale: as `regret`.
        level: the value to reach, a finite mean reward.

    Raises:
        InputError: a history whose value is unknown, a level that is not finite; as `regret`.
    """
    found, laws, level = named(histories), _theory(theory), arguments.finite("level", level)
    times = {name: hitting_time(history, level) for name, history in found.items()}

    def draw(axes: Axes) -> None:
        for place, (name, one) in enumerate(times.items()):
            rounds, share = np.arange(one.horizon), 1.0 - one.survival()
            wide = math.sqrt(math.log(2 / 0.05) / (2 * one.rounds.size))
            look = _look(place, name, one.horizon, xscale)
            colour, width = look.pop("colour"), look.pop("width")
            low, high = np.maximum(share - wide, 0.0), np.minimum(share + wide, 1.0)
            axes.fill_between(rounds, low, high, color=colour, alpha=0.15, linewidth=0, step="post")
            axes.plot(rounds, share, color=colour, linewidth=width, drawstyle="steps-post", **look)
        horizon = max(one.horizon for one in times.values())
        for place, (name, law) in enumerate(laws.items()):
            if isinstance(law, Prediction) and law.law is not None and 0 < level < 1:
                shares = np.linspace(0.005, 0.995, 199)
                rounds = np.asarray([law.hitting_time_quantile(level, share) for share in shares])
                seen = rounds < horizon
                axes.plot(rounds[seen], shares[seen], **_theory_look(place, name, law))

    return _drawn(ax, draw, xscale, yscale, first=0, xlabel="round", ylabel=f"share of seeds with Pass@1 ≥ {level:g}")


# ------------------------------------------------------------------------------------------------------ the machinery


def _drawn(
    ax: Axes | None, draw: Callable[[Axes], None], xscale: str, yscale: str, first: int = 1, **labels: str
) -> Axes:
    """The axes after `draw`; `first` is the round that its curves begin at."""
    for which, scale in (("xscale", xscale), ("yscale", yscale)):
        if scale not in ("linear", "log"):
            raise InputError(f"{which} is {arguments.shown(scale)}: choose linear or log.")
    with _axes(ax) as axes:
        draw(axes)
        axes.set(yscale=yscale, **labels)
        if xscale == "log" and first == 0:  # where a policy starts has no place on a logarithmic axis
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xlim(left=-0.1)
        else:
            axes.set_xscale(xscale)
        if axes.get_legend_handles_labels()[0]:
            # Of very many points matplotlib looks for the best place for seconds, and warns of it.
            points = sum(np.size(line.get_xdata()) for line in axes.lines)
            legend(axes, "best" if points <= _MOST_SOUGHT else "upper left", ours=ax is None)
        return axes


def legend(axes: Axes, place: Literal["best", "upper left", "lower right"], *, ours: bool) -> None:
    """The legend of what is drawn: at a place inside the axes, or beside them where they cannot hold so many labels.

    Args:
        axes: what it is of.
        place: as matplotlib names it.
        ours: whether the figure may be made larger for it.
    """
    labels = axes.get_legend_handles_labels()[1]
    if len(labels) <= MOST_INSIDE:
        axes.legend(loc=place)
        return
    columns = math.ceil(len(labels) / IN_A_COLUMN)
    # The size of the type is in points, and so is what a label takes of it.
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, ncols=columns, fontsize=5.5)
    if ours:
        figure = axes.get_figure(root=True)
        assert figure is not None
        width, height = figure.get_size_inches()
        width += columns * (0.45 + 0.045 * max(map(len, labels)))
        figure.set_size_inches(width, max(height, 0.6 + 0.11 * math.ceil(len(labels) / columns)))


@contextlib.contextmanager
def _axes(ax: Axes | None) -> Iterator[Axes]:
    """The axes given, as they are styled; or those of a new figure in the house style, gone again if drawing fails."""
    if ax is not None:
        if not isinstance(ax, Axes) or ax.name == "3d":
            raise InputError(f"ax is {type(ax).__name__}: give matplotlib Axes of two dimensions, or leave it out.")
        yield ax
        return
    from matplotlib import pyplot  # here alone: it chooses a backend

    with matplotlib.rc_context(style.STYLE):
        figure, axes = pyplot.subplots(figsize=(4.8, 3.2), dpi=SCREEN_DPI)
        try:
            yield axes
        except BaseException:
            pyplot.close(figure)
            raise


def _look(place: int, name: str, rounds: int, xscale: str) -> dict[str, Any]:
    """How the history in that place is drawn; the markers of different lines do not fall on one another."""
    return {
        "colour": COLOURS[place % len(COLOURS)],
        "linestyle": LINES[place % len(LINES)],
        "marker": MARKERS[place % len(MARKERS)],
        "markersize": 3.5,
        "markevery": _marks(rounds, place, xscale),
        "label": label_of(name),
        "width": 1.3,
    }


def _marks(rounds: int, place: int, xscale: str) -> list[int]:
    shift = (1 + place % len(COLOURS)) / (1 + len(COLOURS))
    share = (np.arange(MARKS) + shift) / MARKS
    at = rounds**share - 1 if xscale == "log" else rounds * share
    return np.unique(np.clip(np.rint(at), 0, rounds - 1).astype(int)).tolist()


def _theory_look(place: int, name: str, law: Prediction | Bound) -> dict[str, Any]:
    return {
        "color": style.INK if isinstance(law, Prediction) else style.DARK_GREY,
        "linestyle": THEORY_LINES[place % len(THEORY_LINES)],
        "linewidth": 1.1,
        "label": label_of(name),
        "zorder": 5,
    }


def _overlay(axes: Axes, laws: Mapping[str, Prediction | Bound], quantity: str) -> None:
    for place, (name, law) in enumerate(laws.items()):
        look = _theory_look(place, name, law)
        colour, label = look.pop("color"), look.pop("label")
        if isinstance(law, Prediction):
            curves.prediction(axes, law, quantity=quantity, colour=colour, label=label, **look)
        elif quantity == "regret":
            curves.bound(axes, law.of_one_run, colour=colour, label=label, **look)


def _theory(theory: Theory) -> dict[str, Prediction | Bound]:
    """Predictions and bounds by label; a bound that several learners share is drawn once."""
    if theory is None:
        return {}
    if isinstance(theory, Prediction | Bound):
        theory = [theory]
    if isinstance(theory, str) or not isinstance(theory, Iterable):
        raise InputError(f"theory is {type(theory).__name__}: give predictions or bounds of bandit_rft.theory.")
    entries = list(theory.items()) if isinstance(theory, Mapping) else [("", law) for law in theory]
    found: dict[str, Prediction | Bound] = {}
    for key, law in entries:
        name = str(key)
        if not isinstance(law, Prediction | Bound):
            raise InputError(f"theory holds {type(law).__name__}: give predictions or bounds of bandit_rft.theory.")
        if any(_alike(law, other) for other in found.values()):
            continue
        said = name or (law.name if isinstance(law, Prediction) else said_of(law))
        copies, label = 1, said
        while label in found:
            copies += 1
            label = f"{said} ({copies})"
        found[label] = law
    return found


def said_of(bound: Bound) -> str:
    """A bound's name with what it is worth."""
    said = f"{bound.name}, {bound.kind} bound"
    return f"{said}, vacuous" if bound.vacuous else f"{said}, asymptotic" if bound.asymptotic else said


def _alike(one: Prediction | Bound, other: Prediction | Bound) -> bool:
    first, second = (law.uncapped if isinstance(law, Bound) else law.regret for law in (one, other))
    return one.name == other.name and np.array_equal(first, second)


def _quantity(name: str, history: History, quantity: str) -> np.ndarray:
    if quantity == "reward":
        return history.rewards.mean(axis=2)
    if quantity == "value":
        return history.value
    if quantity == "regret":
        return history.regret()
    if not isinstance(quantity, str) or quantity not in history.metrics:
        known = ", ".join(["reward", "value", "regret", *history.metrics])
        raise InputError(f"{name} has no {arguments.shown(quantity)}: choose one of {known}.")
    return history.metrics[quantity]


def label_of(name: str) -> str:
    """A name as a legend shows it: no mathematics in it, no hidden label, no longer than a line."""
    shown = printable(name).replace("$", r"\$")
    shown = shown if len(shown) <= 60 else shown[:59] + "…"
    return f" {shown}" if shown.startswith("_") else shown
