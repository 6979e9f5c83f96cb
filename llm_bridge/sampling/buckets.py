"""Lengths rounded up to a few sizes, so that jitted functions are traced for few shapes.

Sizes with two significant bits (…, 32, 48, 64, 96, 128, 192, …) waste at most a third of the work and give two traces
an octave.
"""

from __future__ import annotations

from collections.abc import Sequence


def bucket(length: int, *, smallest: int = 1) -> int:
    """The smallest bucket that holds `length`: 1, or 2^k, or 3·2^k, and at least `smallest` (itself a bucket).

    >>> [bucket(n) for n in (0, 1, 3, 5, 7, 9, 33, 100)]
    [1, 1, 3, 6, 8, 12, 48, 128]
    >>> bucket(5, smallest=32)
    32
    """
    length = max(length, smallest, 1)
    power = 1 << (length - 1).bit_length()
    three_quarters = 3 * power // 4
    return three_quarters if power >= 4 and length <= three_quarters else power


def widths_to(most: int, *, smallest: int = 32, factor: int = 2) -> tuple[int, ...]:
    """Widths of responses that are learned from or scored: `smallest`, `factor` times it, … below `most`, and `most`.

    >>> widths_to(118), widths_to(20), widths_to(600, factor=4)
    ((32, 64, 118), (20,), (32, 128, 512, 600))
    """
    found = []
    while smallest < most:
        found.append(smallest)
        smallest *= factor
    return *found, most


def prompt_widths(lengths: Sequence[int], *, smallest: int = 32) -> tuple[int, ...]:
    """At most two widths for the prompts of a data set, known before the first of them is read: that of the longest,
    and, where it is half of that or less, the one that holds nine in ten.

    A round of several prompts is then mostly as wide as any other, and what it needs is compiled in the first.

    >>> prompt_widths([5, 9, 40]), prompt_widths([40] * 19 + [300])
    ((48,), (48, 384))
    """
    ordered = sorted(lengths)
    most, usual = (bucket(ordered[place], smallest=smallest) for place in (-1, (9 * len(ordered) - 1) // 10))
    return (usual, most) if 2 * usual <= most else (most,)


def lone_width(length: int) -> int:
    """The width of the prompt of a run that has no other: the next multiple of eight, so that runs on questions of
    about one length are one compiled program.

    >>> lone_width(1), lone_width(16), lone_width(17)
    (8, 16, 24)
    """
    return -(-max(length, 1) // 8) * 8


def narrowest(widths: Sequence[int], length: int) -> int:
    """The first of these rising widths that holds `length`.

    >>> narrowest((32, 64, 118), 33)
    64
    """
    return next(width for width in widths if width >= length)
