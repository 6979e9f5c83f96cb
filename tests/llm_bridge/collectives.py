"""What a compiled program moves between devices, read from its text."""

import math
import re
from dataclasses import dataclass

_KINDS = "all-gather|all-reduce|reduce-scatter|collective-permute|all-to-all|collective-broadcast|ragged-all-to-all"
_COLLECTIVE = re.compile(rf"= (.*?) ({_KINDS})(?:-start)?\(")
_ARRAY = re.compile(r"(pred|[a-z]+\d+)\[([\d,]*)\]")
_WHILE = re.compile(r" while\(.*body=%?([\w.-]+)")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
_BYTES = {"pred": 1, "s32": 4, "u32": 4, "f32": 4, "bf16": 2, "f16": 2, "f64": 8, "s64": 8, "u64": 8, "s8": 1, "u8": 1}


@dataclass(frozen=True)
class Moved:
    """One collective: its kind, the shapes of its results on a device, how often it runs, and their bytes in all."""

    kind: str
    shapes: tuple[tuple[int, ...], ...]
    times: int
    bytes: int


def of(text: str, *, loop: int = 1) -> list[Moved]:
    """Every collective of an optimised HLO module; a while loop whose length is not known runs `loop` times.

    Collectives of computations that are called in another way than by a loop (none here has them) count once.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    loops: dict[str, tuple[str, int]] = {}
    here = ""
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            here = header[2]
        if collective := _COLLECTIVE.search(line):
            found.setdefault(here, []).append((collective[2], collective[1]))
        if called := _WHILE.search(line):
            trips = _TRIPS.search(line)
            loops[called[1]] = (here, int(trips[1]) if trips else loop)

    def times(computation: str) -> int:
        caller, trips = loops.get(computation, ("", 1))
        return trips * times(caller) if caller else trips

    moved = []
    for computation, collectives in found.items():
        for kind, result in collectives:
            arrays = [(name, tuple(map(int, filter(None, sizes.split(","))))) for name, sizes in _ARRAY.findall(result)]
            size = sum(_BYTES[name] * math.prod(shape) for name, shape in arrays)
            runs = times(computation)
            moved.append(Moved(kind, tuple(shape for _, shape in arrays), runs, runs * size))
    return moved


def total(moved: list[Moved]) -> int:
    return sum(one.bytes for one in moved)
