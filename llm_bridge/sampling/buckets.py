"""Lengths rounded up to a few sizes, so that jitted functions are traced for few shapes.

Sizes with two significant bits (…, 32, 48, 64, 96, 128, 192, …) waste at most a third of the work and give two traces
an octave.
"""

from __future__ import annotations


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
