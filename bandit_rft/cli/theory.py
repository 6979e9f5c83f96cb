"""`bandit-rft theory`: the catalogue of predictions, and one evaluated."""

from __future__ import annotations

import argparse
import ast
from typing import Any

from bandit_rft.errors import InputError

HELP = "the catalogue of predictions: formula, assumptions, source"
DESCRIPTION = "List the predictions, describe one, or evaluate it at given arguments."
# The letter of an entry's section -> what it is about.
SECTIONS = {
    "A": "Softmax policy gradient",
    "B": "Groups of rollouts",
    "C": "Exact simulation",
    "D": "Classic bounds",
    "E": "Many arms",
    "F": "Sequences and language models",
    "G": "Many prompts",
}


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="entry of the catalogue (without it: list them)")
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="an argument, in the unit that the description names; repeatable (default: describe only)",
    )


def run(arguments: argparse.Namespace) -> int:
    """List, describe or evaluate."""
    from bandit_rft import theory
    from bandit_rft.reports import theory_entry
    from bandit_rft.reports.formula import readable

    if arguments.name is None:
        if arguments.settings:
            raise InputError("--set needs the NAME of a prediction: give one of the catalogue.")
        width, section = max(map(len, theory.catalogue())), ""
        for name, entry in theory.catalogue().items():
            if entry.section[:1] != section:
                section = entry.section[:1]
                print(f"{'' if section == 'A' else chr(10)}{section}  {SECTIONS.get(section, '')}")
            print(f"  {name:<{width}}  {entry.summary}")
        return 0
    description = theory.describe(arguments.name)
    formula = theory.catalogue()[arguments.name].formula
    description = description.replace(formula, readable(formula), 1)
    if not arguments.settings:
        print(description)
        return 0
    print(theory_entry.evaluated(arguments.name, dict(_setting(text) for text in arguments.settings)))
    return 0


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"--set {text!r} is no setting: write it as key=value, such as p0=0.05.")
    try:
        return name.strip(), ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        return name.strip(), {"none": None, "true": True, "false": False}.get(value.strip().lower(), value.strip())
