"""What every figure shares: a colour-blind safe palette, type readable at column width, and a record of its origin."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from bandit_rft.errors import InputError
from bandit_rft.runs import (
    command_line,
    commit,
    config_hash,
    explain_disk_errors,
    read_json,
    to_json,
    write_atomically,
)
from bandit_rft.runs.rollouts import printable

# Okabe and Ito's palette (2008), told apart under every common colour-vision deficiency, and by lightness in print.
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
INK, DARK_GREY, GREY, GRID = "#222222", "#5A5A5A", "#8A8A8A", "#E6E6E6"

COLUMN = 3.5  # inches, one column of a two-column page
DPI = 300

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.3,
    "figure.constrained_layout.use": True,
    "savefig.dpi": DPI,
}


@contextlib.contextmanager
def panels(
    rows: int, columns: int, *, width: float = COLUMN, height: float, **options: Any
) -> Iterator[tuple[Figure, Any]]:
    """A figure and its axes in the house style.

    Made without pyplot: no display is needed, and a notebook that draws with this library keeps its own backend.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        yield figure, figure.subplots(rows, columns, **options)


def png(path: str | Path) -> Path:
    """The path of a picture. Raises InputError for another ending than .png."""
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"The figure is {str(path)!r}: give the name of a file that ends in .png.")
    return Path(path)


def save(figure: Figure, path: Path, *, runs: Mapping[str, Path], dpi: int = DPI, vector: bool = False) -> Path:
    """Write the PNG, whole or not at all, with its origin in its metadata and in manifest.json beside it.

    Args:
        figure: what to write.
        path: *.png.
        runs: the run folders it was drawn from, by their role in the figure.
        dpi: dots per inch.
        vector: whether to write a PDF of the same name beside it, for print.
    """
    origin = {
        "command": command_line(),
        "commit": commit(),
        "runs": {role: _origin(folder) for role, folder in runs.items()},
    }
    metadata = {"Software": "bandit-rft", "Title": path.stem, "Comment": json.dumps(origin, sort_keys=True)}
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata=metadata, dpi=dpi)
    with explain_disk_errors(path, any_error=True):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, picture.getvalue())
    if vector:
        drawing = io.BytesIO()
        # Without a date: the same figure is the same file.
        named = {"Title": path.stem, "Keywords": json.dumps(origin, sort_keys=True), "CreationDate": None}
        figure.savefig(drawing, format="pdf", metadata=named)
        write_atomically(path.with_suffix(".pdf"), drawing.getvalue())
    manifest = path.parent / "manifest.json"
    entries = read_json(manifest) if manifest.exists() else {}
    entries[path.name] = {**origin, "sha256": hashlib.sha256(picture.getvalue()).hexdigest()}
    write_atomically(manifest, to_json(entries))
    return path


def title(axes: Any, text: str, **how: Any) -> None:
    """A title that a run's configuration decides: as it stands, a `$` in it too, and no longer than a line."""
    shown = printable(text)
    axes.set_title(shown if len(shown) <= 80 else shown[:80] + "…", parse_math=False, **how)


def _origin(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    manifest = read_json(folder / "manifest.json")
    return {
        "run": folder.name,
        "config_hash": config_hash(config),
        "key": config.get("key"),
        "command": manifest.get("command"),
        "commit": manifest.get("commit"),
    }
