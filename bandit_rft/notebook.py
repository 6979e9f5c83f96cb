"""How results show themselves in a notebook: a line, a small plot as inline SVG, a few numbers; all text is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

WIDTH, HEIGHT, MARGIN = 320, 110, 6
POINTS = 200  # of a curve that are drawn
LONGEST = 400  # characters of a text that are shown
_BLUE, _VERMILION, _GREY = "#0072B2", "#D55E00", "#8A8A8A"
LINES = ((_BLUE, ""), (_VERMILION, "5 3"), (_GREY, "2 2"))

Curve = tuple[str, np.ndarray]  # label, float [N]


def html(title: str, curves: Sequence[Curve] = (), rows: Mapping[Any, object] | None = None) -> str:
    """A block of HTML without scripts, styles of a page or outside references.

    Args:
        title: one line.
        curves: at most three, each over the places 0 .. N − 1, drawn on one pair of axes.
        rows: names and values, shown as a table.
    """
    cells = "".join(
        f"<tr><th style='text-align:left'>{_text(name)}</th><td style='text-align:left'>{_text(value)}</td></tr>"
        for name, value in (rows or {}).items()
    )
    table = f"<table>{cells}</table>" if cells else ""
    return f"<div><p><b>{_text(title)}</b></p>{_svg(curves)}{table}</div>"


def line(name: str, parts: Iterable[object]) -> str:
    """A `__repr__`: the name and its parts on one line."""
    return f"<{_printable(name)}: {_printable(', '.join(str(part) for part in parts))}>"


def _svg(curves: Sequence[Curve]) -> str:
    shown = [(label, _thinned(np.asarray(values, np.float64))) for label, values in curves[: len(LINES)]]
    finite = [values[np.isfinite(values)] for _, values in shown]
    every = np.concatenate(finite) if finite else np.empty(0)
    if not every.size:
        return ""
    low, high = float(every.min()), float(every.max())
    spread = high - low if math.isfinite(high - low) and high > low else 1.0
    drawn = []
    for place, (_, values) in enumerate(shown):
        colour, dash = LINES[place]
        x = MARGIN + (WIDTH - 2 * MARGIN) * np.linspace(0, 1, values.size) if values.size > 1 else np.full(1, WIDTH / 2)
        with np.errstate(invalid="ignore"):
            y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * np.clip((values - low) / spread, 0, 1)
        seen = np.isfinite(y)
        if seen.sum() == 1:
            [spot] = np.flatnonzero(seen)
            drawn.append(f"<circle cx='{x[spot]:.1f}' cy='{y[spot]:.1f}' r='3' fill='{colour}'/>")
            continue
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[seen], y[seen], strict=True))
        drawn.append(
            f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='1.5' stroke-dasharray='{dash}'/>"
        )
    labels = ", ".join(_text(label) for label, _ in shown)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' role='img' aria-label='{labels}'>"
        f"{''.join(drawn)}</svg><p><small>{labels}: from {low:.4g} to {high:.4g}</small></p>"
    )


def _thinned(values: np.ndarray) -> np.ndarray:
    if values.size <= POINTS:
        return values
    return values[np.linspace(0, values.size - 1, POINTS).round().astype(int)]


def _text(value: object) -> str:
    return escape(_printable(value), quote=True)


def _printable(value: object) -> str:
    """Without control characters, and no longer than a few lines."""
    said = "".join(c if c.isprintable() else "�" for c in str(value)[: LONGEST + 1])
    return said if len(said) <= LONGEST else said[:LONGEST] + "…"
