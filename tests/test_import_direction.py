"""Data flows one way: a file imports only what stands to its left. Catches the import that would make a knot of two
rooms.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Left to right. `history` stands left of `loop`: the record type must exist before the loop can fill it.
LAYERS = {
    "bandit_rft": [
        {"errors"}, {"arguments", "by_name", "fingerprint", "notebook"}, {"own_code"}, {"random_bits"}, {"keys"},
        {"contract"},
        {"choice", "sampling", "sampling_normal"}, {"pools"}, {"rows"}, {"fresh_rows"},
        {"signals", "objectives", "verifiers"}, {"ratios", "signal_checks"}, {"policies"}, {"arms"},
        {"learners", "best_arm"},
        {"history"}, {"loop"},
        {"regret"}, {"theory"}, {"planned"}, {"summarize", "verdict", "planning", "known_theory"}, {"runs"},
        {"run_law"}, {"training_logs"},
        {"sweep", "experiments"}, {"presets", "settings"}, {"plots"}, {"reports"},
        {"cli"},  # the composition root: it alone may import anything
    ],
    "llm_bridge": [
        {"hosts"}, {"models"}, {"sampling"}, {"verifiers"}, {"tiny"}, {"data"}, {"language_model"}, {"bandits"},
        {"measuring"}, {"training"}, {"demo"},
    ],
}  # fmt: skip
MAY_IMPORT = {
    "bandit_rft": {"bandit_rft"},
    "llm_bridge": {"llm_bridge", "bandit_rft"},
    "simulations": {"simulations", "bandit_rft", "llm_bridge"},
    "figures": {"figures", "bandit_rft"},
}


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(path: Path, package: str) -> str:
    return path.relative_to(ROOT / package).parts[0].removesuffix(".py")


@pytest.mark.parametrize("package", LAYERS)
def test_rooms_import_only_to_the_left(package) -> None:
    """Imports inside functions and those for types count too."""
    rank = {module: place for place, layer in enumerate(LAYERS[package]) for module in layer}
    for path in (ROOT / package).rglob("*.py"):
        here = room(path, package)
        if here == "__init__" or (package, here) == ("bandit_rft", "cli"):  # the command line is what users see of it
            continue
        assert here in rank, f"{path}: give its room a place in LAYERS"
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] == package and len(parts) > 1:
                # A name of the package itself comes from one of its rooms: import it from there.
                assert parts[1] in rank, f"{path} imports {name} by the package's short name"
                assert rank[parts[1]] <= rank[here], f"{path} imports {name}, which stands to its right"


def test_packages_import_only_their_own_side() -> None:
    packages = set(MAY_IMPORT)
    for package, allowed in MAY_IMPORT.items():
        for path in (ROOT / package).rglob("*.py"):
            in_cli = package == "bandit_rft" and room(path, package) == "cli"  # the composition root
            for name in imports_of(path):
                top = name.split(".")[0]
                # Not even the commands import what the wheel lacks: they look for a checkout of it.
                assert top not in packages - allowed - ({"llm_bridge"} if in_cli else set()), f"{path} imports {name}"


def test_nothing_at_run_time_imports_torch() -> None:
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            assert not any(name.split(".")[0] == "torch" for name in imports_of(path)), path
