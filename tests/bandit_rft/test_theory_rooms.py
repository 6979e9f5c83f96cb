"""The theory's entries stand in four rooms and keep their flat names; the rooms import each other in one direction."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from bandit_rft import theory

ROOT = Path(theory.__file__).parent
ROOMS = ("policy_gradient", "bounds", "many_arms", "sequences")
# Left to right; names in one layer stand beside each other and import nothing of each other.
LAYERS = [
    {"bound", "catalogue", "prediction", "response_tree", "update_settings"}, {"sampled_tree"},
    {"checks", "forests", "null"}, {"summary"}, {"laws", "applicable"},
    {"bounds", "many_arms", "remeasured"}, {"policy_gradient"}, {"sequences"}, {"compared", "predict"}, {"half_time"},
]  # fmt: skip


def imports_from_the_theory(path: Path) -> set[str]:
    """What a file imports from the theory, those for types included, without `bandit_rft.theory.` in front."""
    return {
        f"{node.module}.{alias.name}".removeprefix("bandit_rft.theory.")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("bandit_rft.theory.")
        for alias in node.names
    }


@pytest.mark.parametrize("name", list(theory.catalogue()))
def test_an_entry_is_the_same_function_in_its_room_and_at_the_top(name: str) -> None:
    """Catches an entry that a room's `__init__` forgets, and one that stands in two rooms or in none."""
    function = theory.catalogue()[name].function
    assert getattr(theory, name) is function
    homes = [room for room in ROOMS if name in importlib.import_module(f"bandit_rft.theory.{room}").__all__]
    assert homes == [function.__module__.split(".")[2]]
    assert getattr(importlib.import_module(f"bandit_rft.theory.{homes[0]}"), name) is function


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_which_of_its_files_holds_what(room: str) -> None:
    """Catches a file that is added to a room without a word in the room's docstring."""
    said = importlib.import_module(f"bandit_rft.theory.{room}").__doc__ or ""
    files = {path.name for path in (ROOT / room).glob("*.py")} - {"__init__.py"}
    assert [name for name in sorted(files) if name not in said] == []


def test_the_theory_imports_only_to_the_left() -> None:
    rank = {room: place for place, layer in enumerate(LAYERS) for room in layer}
    for path in ROOT.rglob("*.py"):
        if path == ROOT / "__init__.py":
            continue
        here = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for module in imports_from_the_theory(path):
            there = module.split(".")[0]
            assert there == here or rank[there] < rank[here], f"{path} imports from {module}, which is not to its left"


@pytest.mark.parametrize("room", [*ROOMS, "laws"])
def test_no_two_files_of_a_room_import_each_other(room: str) -> None:
    """Imports for types count too: a circle of them is a knot for a reader all the same."""
    left = {
        path.stem: {module.split(".")[1] for module in imports_from_the_theory(path) if module.split(".")[0] == room}
        for path in (ROOT / room).glob("*.py")
        if path.name != "__init__.py"
    }
    while left:
        free = {file for file, needs in left.items() if not needs & left.keys()}
        assert free, f"these files of {room} import each other: {sorted(left)}"
        left = {file: needs for file, needs in left.items() if file not in free}
