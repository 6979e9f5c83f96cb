"""Data flows one way: a file imports only what stands to its left. Catches the import that would make a knot of two
rooms.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Left to right. `history` stands left of `loop`: the record type must exist before the loop can fill it.
LAYERS = [
    {"errors"}, {"arguments"}, {"random_bits"}, {"keys"}, {"contract"},
    {"choice", "sampling", "sampling_normal"}, {"pools"}, {"rows"},
    {"signals", "objectives", "verifiers"}, {"policies"}, {"arms"}, {"learners"},
    {"history"}, {"loop"},
    {"regret"}, {"theory"}, {"summarize", "verdict"}, {"run_folder", "progress"}, {"rollouts", "loggers", "run_law"},
    {"sweep"},
    {"cli", "cli_commands", "__main__"},
]  # fmt: skip
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}
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


def room(path: Path) -> str:
    return path.relative_to(ROOT / "bandit_rft").parts[0].removesuffix(".py")


def test_bandit_rft_imports_only_to_the_left() -> None:
    for path in (ROOT / "bandit_rft").rglob("*.py"):
        here = room(path)
        if here == "__init__":
            continue
        assert here in RANK, f"{path}: give its room a place in LAYERS"
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] == "bandit_rft" and len(parts) > 1 and parts[1] in RANK:
                assert RANK[parts[1]] <= RANK[here], f"{path} imports {name}, which stands to its right"


def test_packages_import_only_their_own_side() -> None:
    packages = set(MAY_IMPORT)
    for package, allowed in MAY_IMPORT.items():
        for path in (ROOT / package).rglob("*.py"):
            if package == "bandit_rft" and room(path) in ("cli", "cli_commands"):
                continue  # the composition root
            for name in imports_of(path):
                top = name.split(".")[0]
                assert top not in packages - allowed, f"{path} imports {name}"


def test_nothing_at_run_time_imports_torch() -> None:
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            assert not any(name.split(".")[0] == "torch" for name in imports_of(path)), path
