"""What a sweep leaves behind: each measure of each seed at each point, and what is read off them."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bandit_rft import arguments
from bandit_rft.errors import DAMAGED_ARRAYS, InputError
from bandit_rft.regret import Band
from bandit_rft.runs import write_atomically


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """Measures over a grid of points. P = points in all, S = the most seeds of any point.

    Attributes:
        axes: name -> the values of each swept parameter, in the order of the arrays' leading axes; of a list of points
            the one axis "point", numbered from 0.
        points: the P points as name -> value, in the arrays' own (row-major) order.
        samples: name of a measure -> float64 [*shape, S], NaN beyond a point's own number of seeds.
        seeds: int64 [*shape], seeds of each point.
        notes: sentences that whoever reads the numbers must know, each with its point.
        config: the call that made this, in plain JSON values.
    """

    axes: Mapping[str, tuple[Any, ...]]
    points: tuple[Mapping[str, Any], ...]
    samples: Mapping[str, np.ndarray]
    seeds: np.ndarray
    notes: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each axis."""
        return tuple(len(values) for values in self.axes.values())

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the measures."""
        return tuple(self.samples)

    def sample(self, index: tuple[int, ...] | int, measure: str | None = None) -> np.ndarray:
        """float64 [S_p], the measure of each seed of one point (an index into the leading axes, or into `points`)."""
        where = np.unravel_index(index, self.shape) if isinstance(index, int) else index
        return self._of(measure)[where][: int(self.seeds[where])]

    def band(self, measure: str | None = None, *, confidence: float = 0.95, kind: str = "pointwise") -> Band:
        """Mean over seeds at each point with its confidence band, [*shape].

        Args:
            measure: its name; may be left out where there is one.
            confidence: in (0, 1).
            kind: "pointwise": Student's t at each point; "simultaneous": all points at once, by Šidák's correction,
                which is exact for the independent points of a sweep.

        Returns:
            The band; its low and high are NaN at points of one seed, or with a measure that is not finite.

        Raises:
            InputError: an unknown measure or kind, a confidence outside (0, 1).
        """
        confidence = arguments.fraction("confidence", confidence)
        if kind not in ("pointwise", "simultaneous"):
            raise InputError(f"Band kind {kind!r} is unknown: choose pointwise or simultaneous.")
        each = confidence if kind == "pointwise" else confidence ** (1 / len(self.points))
        mean, width = np.full(self.shape, np.nan), np.full(self.shape, np.nan)
        for number in range(len(self.points)):
            where, sample = np.unravel_index(number, self.shape), self.sample(number, measure)
            with np.errstate(invalid="ignore"):
                mean[where] = sample.mean()
            if sample.size > 1 and np.all(np.isfinite(sample)):
                error = sample.std(ddof=1) / math.sqrt(sample.size)
                width[where] = stats.t.ppf(0.5 + each / 2, sample.size - 1) * error
        with np.errstate(invalid="ignore"):
            low, high = mean - width, mean + width
        return Band(mean=mean, low=low, high=high, confidence=confidence, kind=kind)

    def along(
        self, axis: str, measure: str | None = None, **fixed: Any
    ) -> tuple[tuple[Any, ...], tuple[np.ndarray, ...]]:
        """(values of one axis, the sample [S_p] at each) with the other axes held: what `scaling_exponent` takes.

        Args:
            axis: its name.
            measure: its name; may be left out where there is one.
            fixed: a value for each other axis of more than one value.

        Raises:
            InputError: an unknown axis or value, or an axis that is left open.
        """
        for name in (axis, *fixed):
            if name not in self.axes:
                raise InputError(f"The sweep has no axis {name!r}: choose among {', '.join(self.axes)}.")
        index: dict[str, int] = {}
        for name, values in self.axes.items():
            if name == axis:
                continue
            if name not in fixed and len(values) > 1:
                raise InputError(f"The sweep also varies {name}: hold it, as in {name}={values[0]!r}.")
            if name in fixed and fixed[name] not in values:
                raise InputError(f"{name}={fixed[name]!r} was not swept: choose among {', '.join(map(repr, values))}.")
            index[name] = values.index(fixed[name]) if name in fixed else 0
        places = (
            tuple(number if name == axis else index[name] for name in self.axes)
            for number in range(len(self.axes[axis]))
        )
        return self.axes[axis], tuple(self.sample(place, measure) for place in places)

    def to_table(self, *, confidence: float = 0.95) -> list[dict[str, Any]]:
        """One record a point: its parameters, its seeds, and the mean, low and high of each measure (pointwise)."""
        bands = {name: self.band(name, confidence=confidence) for name in self.measures}
        table = []
        for number, point in enumerate(self.points):
            where = np.unravel_index(number, self.shape)
            record: dict[str, Any] = {**point, "seeds": int(self.seeds[where])}
            for name, band in bands.items():
                record |= {
                    f"{name}_mean": float(band.mean[where]),
                    f"{name}_low": float(band.low[where]),
                    f"{name}_high": float(band.high[where]),
                }
            table.append(record)
        return table

    def report(self, *, confidence: float = 0.95) -> str:
        """`to_table` as aligned text, and the notes."""
        table = self.to_table(confidence=confidence)
        show = lambda value: f"{value:.6g}" if isinstance(value, float) else str(value)  # noqa: E731
        # A list of points may leave names out: the columns are all that occur.
        columns = list(dict.fromkeys(name for record in table for name in record))
        lines = [columns, *([show(record.get(name, "")) for name in columns] for record in table)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
        rows = ("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
        return "\n".join([*rows, *(f"note: {note}" for note in self.notes)])

    def save(self, path: str | Path) -> None:
        """Write it as one .npz (no pickle), atomically. Raises InputError where it cannot be written."""
        header = {
            "axes": [[name, list(values)] for name, values in self.axes.items()],
            "points": [dict(point) for point in self.points],
            "measures": list(self.samples),
            "notes": list(self.notes),
            "config": dict(self.config),
        }
        arrays = {f"measure/{name}": values for name, values in self.samples.items()}
        write_atomically(Path(path), pack(header, {**arrays, "seeds": self.seeds}))

    @classmethod
    def load(cls, path: str | Path) -> SweepResult:
        """Read what `save` wrote. Raises InputError where the file is missing or is no saved sweep."""
        header, arrays = unpack(Path(path), "name a sweep.npz")
        try:
            return cls(
                axes={name: tuple(values) for name, values in header["axes"]},
                points=tuple(header["points"]),
                samples={name: arrays[f"measure/{name}"] for name in header["measures"]},
                seeds=arrays["seeds"],
                notes=tuple(header["notes"]),
                config=header["config"],
            )
        except DAMAGED_ARRAYS:
            raise InputError(f"{path} is no saved sweep: name a sweep.npz.") from None

    def _of(self, measure: str | None) -> np.ndarray:
        if measure is None:
            if len(self.samples) > 1:
                raise InputError(f"The sweep has several measures: choose among {', '.join(self.samples)}.")
            return next(iter(self.samples.values()))
        if measure not in self.samples:
            raise InputError(f"The sweep has no measure {measure!r}: choose among {', '.join(self.samples)}.")
        return self.samples[measure]


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """An .npz of arrays and a JSON header, as bytes."""
    buffer = io.BytesIO()
    whole: dict[str, Any] = {**arrays, "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)}
    np.savez_compressed(buffer, **whole)
    return buffer.getvalue()


def unpack(path: Path, advice: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(header, arrays) of what `pack` made. Raises InputError where the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop("header").tobytes())
        if not isinstance(header, dict):
            raise ValueError("no header")
        return header, arrays
    except DAMAGED_ARRAYS as error:
        raise InputError(f"{path} cannot be read ({type(error).__name__}): {advice}.") from None
