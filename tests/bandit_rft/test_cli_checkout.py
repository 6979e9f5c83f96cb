"""What an installed package lacks: the commands that need a checkout find one, or say in a sentence where to get it."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bandit_rft
from bandit_rft.cli import checkout
from tests.bandit_rft.command_line import refused

ROOT = Path(bandit_rft.__file__).resolve().parents[1]


def repository(folder: Path, text: str = '[project]\nname = "bandit-rft"\n') -> Path:
    """An empty checkout."""
    for package in ("figures", "simulations"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_the_first_folder_with_the_repository_s_own_project_is_the_root(tmp_path: Path) -> None:
    """Catches another project's folder that is taken for the checkout: another name, no name, no TOML, no packages."""
    others = ['[project]\nname = "other"\n', "project = 3\n", "[tool.x]\n", "not = toml = at all", "\x00"]
    folders = [repository(tmp_path / str(place), text) for place, text in enumerate(others)]
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "pyproject.toml").write_text('[project]\nname = "bandit-rft"\n')
    folders += [tmp_path / "bare", tmp_path / "absent"]
    assert checkout.first_root(folders) is None
    first, second = repository(tmp_path / "first"), repository(tmp_path / "second")
    assert checkout.first_root([*folders, first, second]) == first


@pytest.mark.parametrize("command", [["figures"], ["simulate", "theory-audit"]])
def test_without_a_checkout_a_sentence_says_where_to_get_one(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkout, "find", lambda: None)
    said = refused(command, capsys)
    assert f"bandit-rft {' '.join(command)} needs a checkout of the repository" in said
    assert "clone" in said


def test_a_checkout_of_another_version_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches the traceback of an import, and a path that is left for the imports after it."""
    root = repository(tmp_path / "newer")
    (root / "simulations" / "theory_audit").mkdir()
    (root / "simulations" / "theory_audit" / "audit.py").write_text("from bandit_rft import what_a_later_version_has")
    monkeypatch.setattr(checkout, "find", lambda: root)
    for name in [name for name in sys.modules if name.split(".")[0] == "simulations"]:
        monkeypatch.delitem(sys.modules, name)
    before = list(sys.path)
    said = refused(["simulate", "theory-audit"], capsys)
    assert "does not fit the installed bandit-rft" in said
    assert "what_a_later_version_has" in said
    assert sys.path == before
    for name in [name for name in sys.modules if name.split(".")[0] == "simulations"]:
        del sys.modules[name]  # those of the other checkout


def test_a_current_folder_that_is_gone_is_no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(checkout, "_OWN", tmp_path)
    assert checkout.find() is None
    monkeypatch.chdir(tmp_path)


def test_the_wheel_s_packages_are_the_two_typed_ones() -> None:
    """Catches a third name in everybody's site-packages, and a marker of types that is missing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == ["bandit_rft", "llm_bridge"]
    assert all((ROOT / package / "py.typed").is_file() for package in packages)


def test_no_room_of_the_wheel_is_ignored() -> None:
    """The build leaves out what .gitignore names. Catches a pattern for run folders at the root that also matches
    bandit_rft/runs, so that the wheel lacks a room and its import fails."""
    lines = (ROOT / ".gitignore").read_text().splitlines()
    anywhere = {line.rstrip("/") for line in lines if line.endswith("/") and not line.startswith("/")}
    for package in ("bandit_rft", "llm_bridge"):
        for path in (ROOT / package).rglob("*.py"):
            ignored = anywhere.intersection(path.relative_to(ROOT).parts)
            assert not ignored, f"{path} is left out by {ignored}"


def test_an_installed_library_simulates_and_draws_with_a_checkout_only(tmp_path: Path) -> None:
    """The library alone, as a wheel installs it. Catches a command that imports what only the repository has, and one
    that does not find the checkout from a folder inside it."""
    shutil.copytree(ROOT / "bandit_rft", tmp_path / "site" / "bandit_rft", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PYTHONDONTWRITEBYTECODE": "1"}

    def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        # As the installed script: without the current folder among the places of imports.
        start = "import sys; from bandit_rft.cli import main; sys.exit(main())"
        return subprocess.run(
            [sys.executable, "-P", "-c", start, *arguments],
            capture_output=True,
            text=True,
            cwd=folder,
            env=environment,
            check=False,
        )

    small = ("--set", "rounds=20", "--set", "seeds=4", "--out", str(tmp_path / "needle"))
    simulated = command(tmp_path, "simulate", "needle", *small)
    assert simulated.returncode == 0, simulated.stderr
    reported = command(tmp_path, "report", str(tmp_path / "needle"))
    assert reported.returncode == 0, reported.stderr
    figure = ("figures", "needle_regret", "--run", str(tmp_path / "needle"))
    outside = command(tmp_path, *figure)
    assert outside.returncode == 2
    assert len(outside.stderr.splitlines()) == 1
    assert "needs a checkout" in outside.stderr
    inside = command(ROOT / "docs", *figure)
    assert inside.returncode == 0, inside.stderr
    assert (tmp_path / "needle" / "figures" / "needle_regret.png").exists()
