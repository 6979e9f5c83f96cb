"""`bandit-rft sweep`: an experiment of the user's own over a grid of parameters."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import math
import time
from pathlib import Path
from typing import Any

from bandit_rft import by_name
from bandit_rft.errors import InputError
from bandit_rft.settings.options import count, path, seed

HELP = "your own experiment over a grid of parameters, point by point"
DESCRIPTION = (
    "Run your own experiment at every point of a grid, several points side by side, and print what was measured; "
    "killed, the same command goes on."
)
EPILOG = """mine.py has a function that makes the arms and the learner of a point:
  def make(p0, step_size):
      return arms.Needle(6, p0=p0), learners.SoftmaxPolicyGradient(step_size=step_size)

  bandit-rft sweep mine.py:make --over p0=0.05,0.1 --over step_size=0.5,1 --rounds 400 --seeds 64 --out runs/grid
  bandit-rft sweep mine.py:make --over p0=0.05,0.1 --over step_size=0.5,1 --rounds 400 --seeds 64 --out runs/grid \\
      --backend ray --jobs 8
"""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "make", metavar="MAKE", help="your function as module:name or file.py:name: the parameters -> (arms, learner)"
    )
    parser.add_argument(
        "--over",
        action="append",
        default=[],
        metavar="NAME=V,...",
        help="a parameter and its values; repeatable, the grid is their product; rounds and seeds may be swept too "
        "(default: none, one is needed)",
    )
    parser.add_argument("--rounds", type=count, metavar="N", help="of every point (default: none, unless swept)")
    parser.add_argument("--seeds", type=count, metavar="N", help="of every point (default: 1)")
    parser.add_argument("--key", type=seed, default=0, metavar="N", help="seed of all random draws (default: 0)")
    parser.add_argument(
        "--measure",
        action="append",
        default=[],
        metavar="NAME",
        help="your function as module:name or file.py:name: a history -> a number for each seed; repeatable (default: "
        "regret after the last round)",
    )
    parser.add_argument("--jobs", type=count, default=1, help="points side by side, each in its process (default: 1)")
    parser.add_argument(
        "--backend",
        choices=("processes", "ray"),
        default="processes",
        help="who runs the points: processes here, or Ray, whose cluster RAY_ADDRESS names (default: processes)",
    )
    parser.add_argument("--json", type=path, metavar="FILE", help="also write the table to this file (default: none)")
    parser.add_argument(
        "--out", type=path, metavar="RUN", help="run folder, which the same command continues (default: none)"
    )


@dataclasses.dataclass(frozen=True)
class Own:
    """A function of the user's own, by name: any process can import it, whatever file it is in.

    Attributes:
        text: module:name, or file.py:name with its whole path.
        kind: what messages call it.
        code: fingerprint of what it does.
    """

    text: str
    kind: str
    code: str

    @classmethod
    def of(cls, text: str, kind: str) -> Own:
        """Raises InputError where there is none of this name."""
        from bandit_rft.fingerprint import fingerprint

        if not by_name.is_own(text):
            raise InputError(f"The {kind} is {text!r}: write your own function as module:name or file.py:name.")
        found = by_name.imported(text, kind)
        place, _, name = text.rpartition(":")
        whole = str(Path(place).expanduser().absolute()) if place.endswith(".py") else place
        return cls(f"{whole}:{name}", kind, fingerprint(found))

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(by_name.imported(self.text, self.kind))

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        function = by_name.imported(self.text, self.kind)
        try:
            return function(*arguments, **named)
        except by_name.PASSING:
            raise
        except BaseException as error:
            raise InputError(
                f"The {self.kind} {self.text} raised {type(error).__name__}{by_name.said(error)}{by_name.line(error)}: "
                "mend it; points that are done are kept in --out."
            ) from error


def grid_of(texts: list[str]) -> dict[str, list[Any]]:
    """Name -> values: numbers, true, false and null as JSON writes them; whatever else is a text.

    Raises:
        InputError: no parameter, one without a name or values, or one given twice.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not (name.strip().isidentifier() and equals and values.strip()):
            raise InputError(f"--over is {text!r}: give a parameter and its values, such as --over p0=0.05,0.1.")
        if name.strip() in found:
            raise InputError(f"--over names {name.strip()} twice: give all of its values at once.")
        found[name.strip()] = [_value(part.strip()) for part in values.split(",")]
    if not found:
        raise InputError("There is nothing to sweep: give --over a parameter and its values, such as p0=0.05,0.1.")
    return found


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    plain = value is None or isinstance(value, str | int | float | bool)
    return value if plain and not (isinstance(value, float) and not math.isfinite(value)) else text


def run(arguments: argparse.Namespace) -> int:
    """Sweep and print the table."""
    from bandit_rft.runs import check_place, to_json, write_atomically
    from bandit_rft.runs.progress import ProgressLine
    from bandit_rft.sweep import final_regret, sweep

    over = grid_of(arguments.over)
    for name in ("rounds", "seeds"):
        if name in over and getattr(arguments, name) is not None:
            raise InputError(f"--over sweeps {name} and --{name} gives it: leave one out.")
    if arguments.rounds is None and "rounds" not in over:
        raise InputError("The number of rounds is missing: give --rounds, or sweep it by --over rounds=100,1000.")
    if arguments.json is not None:
        check_place(arguments.json, "--json")
    make = Own.of(arguments.make, "experiment")
    measures: Any = {text.rpartition(":")[2]: Own.of(text, "measure") for text in arguments.measure}
    if len(measures) < len(arguments.measure):
        raise InputError("--measure has two functions of one name: give each its own.")
    start = time.monotonic()
    with ProgressLine("sweeping", quantity="reward") as line:
        result = sweep(
            make,
            over,
            rounds=arguments.rounds,
            seeds=arguments.seeds,
            key=arguments.key,
            measure=measures or final_regret,
            out=arguments.out,
            progress=lambda done, total, mean, _: line(done, total, mean, time.monotonic() - start),
            processes=arguments.jobs,
            backend=arguments.backend,
        )
    print(result.report())
    if arguments.json is not None:
        write_atomically(Path(arguments.json), to_json({"table": result.to_table(), "notes": list(result.notes)}))
    if arguments.out is not None:
        print(f"Run folder: {arguments.out}")
    return 0
