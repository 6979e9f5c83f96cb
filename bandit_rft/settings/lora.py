"""The settings of low-rank adapters as a user writes them: rank, alpha, and the weights that have one."""

from __future__ import annotations

import math

from bandit_rft.errors import InputError

WEIGHTS = ("q", "k", "v", "o", "gate", "up", "down")


def weights_of(
    text: str | None,
    *,
    rank: int | None,
    alpha: float | None,
    names: tuple[str, str, str] = ("rank", "alpha", "weights"),
) -> tuple[str, ...]:
    """Which weights have adapters, in the order of WEIGHTS.

    Args:
        text: names with commas between them; None: all.
        rank, alpha: checked too; an alpha of None is twice the rank.
        names: what the user calls rank, alpha and weights.

    Raises:
        InputError: an unknown name or one named twice, a rank below 1, an alpha that is no number above 0.
    """
    if rank is None or rank < 1:
        raise InputError(f"{names[0]} is {rank}: give adapters a rank of at least 1, such as 16.")
    if alpha is not None and not (math.isfinite(alpha) and alpha > 0):
        raise InputError(f"{names[1]} is {alpha}: give a number above 0, or leave it out for twice the rank.")
    if text is None:
        return WEIGHTS
    found = [part.strip() for part in text.split(",")]
    for name in found:
        if name not in WEIGHTS:
            raise InputError(f"{names[2]} has {name!r}: choose among {', '.join(WEIGHTS)}, such as q,v.")
        if found.count(name) > 1:
            raise InputError(f"{names[2]} has {name} twice: name each once.")
    return tuple(name for name in WEIGHTS if name in found)
