"""Charts of a report as inline SVG, by hand: coloured by the page's style sheet, so that they follow light and dark.

Nothing here is copied from a run but numbers and the titles that the caller has escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 420, 230  # user units: about a phone's width in pixels, so that the letters stay readable there
LEFT, RIGHT, TOP, BOTTOM = 54, 18, 10, 36
MOST_POINTS = 400  # of a line: more cannot be told apart at this width


@dataclass(frozen=True, kw_only=True)
class Line:
    """A curve; values that are not finite cut it.

    Attributes:
        x, y: float64 [N].
        colour: a class of the style sheet: blue, orange, green, purple, ink, faint.
        label: for the legend; escaped HTML, empty for none.
        dashed: how it is drawn.
    """

    x: np.ndarray
    y: np.ndarray
    colour: str
    label: str = ""
    dashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Area:
    """A band between two curves: x, low, high float64 [N]; as `Line`."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    colour: str
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """Points with intervals: x, y, low, high float64 [N]; as `Line`. Each tells its numbers under the pointer, x as
    its `unit`.
    """

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    colour: str
    label: str = ""
    unit: str = "round"


Series = Line | Area | Estimates


def chart(
    title: str,
    series: Sequence[Series],
    *,
    x_range: tuple[float, float],
    y_range: tuple[float, float] | None = None,
    x_label: str = "round",
) -> str:
    """A figure element: title, SVG, legend.

    Args:
        title, x_label: escaped HTML.
        series: what is drawn, the first lowest.
        x_range, y_range: limits of the axes; y from the finite values where None.
    """
    low, high = y_range or _limits(series)
    left, right = x_range
    scale_x = (WIDTH - LEFT - RIGHT) / (right - left or 1.0)
    scale_y = (HEIGHT - TOP - BOTTOM) / (high - low)

    def at_x(value: float) -> float:
        return LEFT + (value - left) * scale_x

    def at_y(value: float) -> float:
        return HEIGHT - BOTTOM - (min(max(value, low), high) - low) * scale_y

    parts = []
    for tick in ticks(low, high):
        y = at_y(tick)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>')
    for tick in ticks(left, right, whole=True):
        x = at_x(tick)
        parts.append(f'<path class="axis" d="M{x:.1f} {HEIGHT - BOTTOM}v4"/>')
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{number(tick)}</text>'
        )
    parts.append(f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{x_label}</text>')
    for entry in series:
        if isinstance(entry, Area):
            upper = [(at_x(x), at_y(y)) for x, y in zip(entry.x, entry.high, strict=True)]
            lower = [(at_x(x), at_y(y)) for x, y in zip(entry.x, entry.low, strict=True)]
            outline = [*_thin(upper), *reversed(_thin(lower))]
            parts.append(f'<polygon class="area {entry.colour}" points="{_points(outline)}"/>')
        elif isinstance(entry, Line):
            dashed = " dashed" if entry.dashed else ""
            for run in _finite_runs(entry.x, entry.y):
                points = _points(_thin([(at_x(x), at_y(y)) for x, y in run]))
                parts.append(f'<polyline class="line {entry.colour}{dashed}" points="{points}"/>')
        else:
            for x, y, bottom, top in zip(entry.x, entry.y, entry.low, entry.high, strict=True):
                told = f"{entry.unit} {number(x)}: {y:.3f} [{bottom:.3f}, {top:.3f}]"
                parts.append(
                    f'<g class="estimate {entry.colour}"><title>{told}</title>'
                    f'<path d="M{at_x(x):.1f} {at_y(bottom):.1f}V{at_y(top):.1f}"/>'
                    f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3.5"/></g>'
                )
    legend = "".join(f"<li>{_key(entry)}{entry.label}</li>" for entry in series if entry.label)
    return (
        f'<figure class="chart"><figcaption>{title}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{"".join(parts)}</svg>'
        f"{f'<ul class=legend>{legend}</ul>' if legend else ''}</figure>"
    )


def ticks(low: float, high: float, *, whole: bool = False, most: int = 5) -> list[float]:
    """About `most` round numbers (1, 2 or 5 times a power of ten apart) within the limits; whole ones where asked."""
    span = high - low
    step = 10.0 ** math.floor(math.log10(span / most)) if span > 0 else 1.0
    step = next((step * by for by in (1, 2, 5, 10) if span / (step * by) <= most), step * 10)
    step = max(step, 1.0) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [place * step for place in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A number as a tick says it."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.6g}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−").replace("e+0", "e").replace("e−0", "e−").replace("e+", "e")


def _limits(series: Sequence[Series]) -> tuple[float, float]:
    values = np.concatenate([np.ravel(part) for entry in series for part in _heights(entry)])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    pad = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    # A quantity that is never negative is read against zero, unless it hardly moves.
    return (0.0 if low >= 0 and low < 0.5 * high else low - pad), high + pad


def _heights(entry: Series) -> tuple[np.ndarray, ...]:
    return (entry.y,) if isinstance(entry, Line) else (entry.low, entry.high)


def _finite_runs(x: np.ndarray, y: np.ndarray) -> list[list[tuple[float, float]]]:
    """The stretches of a curve between values that are not finite; a single point is drawn as a short dash."""
    runs: list[list[tuple[float, float]]] = [[]]
    for place, value in zip(x, y, strict=True):
        if math.isfinite(value):
            runs[-1].append((float(place), float(value)))
        elif runs[-1]:
            runs.append([])
    return [
        run if len(run) > 1 else [(run[0][0] - 0.3, run[0][1]), (run[0][0] + 0.3, run[0][1])] for run in runs if run
    ]


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MOST_POINTS` of them: of each stretch the lowest and the highest, so that no spike is lost."""
    if len(points) <= MOST_POINTS:
        return points
    stretch = math.ceil(2 * len(points) / MOST_POINTS)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        kept += sorted({min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])})
    return kept


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _key(entry: Series) -> str:
    if isinstance(entry, Area):
        drawn = '<rect class="area {}" x="1" y="2" width="20" height="8"/>'
    elif isinstance(entry, Line):
        drawn = '<path class="line {}' + (" dashed" if entry.dashed else "") + '" d="M1 6H21"/>'
    else:
        drawn = '<g class="estimate {}"><path d="M11 0V12"/><circle cx="11" cy="6" r="3"/></g>'
    return f'<svg class="key" viewBox="0 0 22 12" aria-hidden="true">{drawn.format(entry.colour)}</svg>'
