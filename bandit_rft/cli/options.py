"""Settings as options of a command: `add_options` makes them, `given` reads those that were typed."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

from bandit_rft.settings.options import moment, number, ranges
from bandit_rft.settings.ranges import Numbers, Wholes

_METAVARS = {str: "NAME", number: "X", moment: "DATE", ranges: "A:B,..."}


def add_options(parser: argparse.ArgumentParser, config: type) -> None:
    """One option for each field of the configuration that `option` made, in the groups of the help."""
    groups: dict[str | None, Any] = {None: parser}
    for entry in dataclasses.fields(config):
        if not entry.metadata:
            continue
        title = entry.metadata["group"]
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        shown = "none" if entry.default is None else entry.default
        about: dict[str, Any] = {
            "help": f"{entry.metadata['help']} (default: {shown})",
            "default": argparse.SUPPRESS,
            "dest": entry.name,
        }
        flag = "--" + entry.name.replace("_", "-")
        if isinstance(entry.default, bool):
            groups[title].add_argument(flag, action=argparse.BooleanOptionalAction, **about)
            continue
        type = entry.metadata["type"] or (number if str(entry.type).startswith("float") else str)
        choices = entry.metadata["choices"]
        about["metavar"] = entry.metadata["metavar"] or (None if choices else _metavar(type))
        groups[title].add_argument(
            flag, type=or_none(type) if entry.metadata["none"] else type, choices=choices, **about
        )


def _metavar(type: Callable[[str], Any]) -> str:
    """What stands for a value of this type in the help."""
    if isinstance(type, Wholes):
        return "N"
    return "X" if isinstance(type, Numbers) else _METAVARS.get(type, "VALUE")


def given(arguments: argparse.Namespace, config: type) -> dict[str, Any]:
    """The options that were given, by field name."""
    return {
        entry.name: getattr(arguments, entry.name)
        for entry in dataclasses.fields(config)
        if hasattr(arguments, entry.name)
    }


def or_none(type: Callable[[str], Any]) -> Callable[[str], Any]:
    """The type, or None for the text "none"."""

    def parse(text: str) -> Any:
        return None if text.lower() == "none" else type(text)

    return parse
