"""A mesh of devices as a text: `data=2,fsdp=2,tensor=2`, how many devices along each axis; an axis left out has 1."""

from __future__ import annotations

from bandit_rft.errors import InputError

AXES = ("data", "fsdp", "tensor")


def sizes_of(text: str, option: str = "mesh") -> dict[str, int]:
    """How many devices along each of AXES, in this order.

    Args:
        text: the mesh.
        option: what the user calls it.

    Raises:
        InputError: an unknown axis, one named twice, or a size that is no whole number of at least 1.
    """
    found: dict[str, int] = {}
    for part in text.split(","):
        axis, _, size = (piece.strip() for piece in part.partition("="))
        if axis not in AXES:
            raise InputError(
                f"{option} names the axis {axis!r}: give sizes of {', '.join(AXES)}, such as data=2,fsdp=2."
            )
        if axis in found:
            raise InputError(f"{option} names the axis {axis} twice: name each once.")
        if not (size.isascii() and size.isdecimal() and len(size) < 10 and int(size) >= 1):
            raise InputError(f"{option} has {axis} = {size!r}: give a whole number of devices, at least 1.")
        found[axis] = int(size)
    return {axis: found.get(axis, 1) for axis in AXES}


def spelt(sizes: dict[str, int]) -> str | None:
    """The one spelling of a mesh, axes of one device left out; None for a single device."""
    return ",".join(f"{axis}={sizes[axis]}" for axis in AXES if sizes[axis] > 1) or None
