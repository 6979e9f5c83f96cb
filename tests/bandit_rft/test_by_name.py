"""The user's own code by name: found, recorded with its sources, or refused in one sentence."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from bandit_rft import by_name, learners
from bandit_rft.errors import InputError

KNOWN = {"UCB1": learners.UCB1}
HELPER = "class Base:\n    pass\n"
MINE = """from helper_of_mine import Base
import installed_for_a_test
class Mine(Base):
    class Inner:
        pass
alias = Mine.Inner
number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a file of the user's and one that it imports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "helper_of_mine.py").write_text(HELPER)
    installed = tmp_path / "elsewhere" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "installed_for_a_test.py").write_text("")
    monkeypatch.syspath_prepend(str(installed))
    for module in ("helper_of_mine", "installed_for_a_test"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def test_the_packages_own_and_the_users_own_are_found(folder: Path) -> None:
    assert by_name.resolve("UCB1", KNOWN, "learner") is learners.UCB1
    found = by_name.resolve("mine.py:Mine", KNOWN, "learner")
    assert found.__name__ == "Mine"
    assert by_name.resolve(f"{folder}/mine.py:Mine", KNOWN, "learner") is found, (
        "one class, however its path is spelled"
    )
    assert by_name.resolve("bandit_rft.learners:UCB1", KNOWN, "learner") is learners.UCB1


def test_two_names_of_one_file_share_its_classes(folder: Path) -> None:
    """Catches a file that is run anew for every name, so that its classes exist twice and isinstance fails."""
    assert by_name.imported("mine.py:alias", "learner") is by_name.imported("mine.py:Mine", "arm set").Inner


def test_the_record_has_module_qualified_name_and_every_source(folder: Path) -> None:
    """An alias is recorded by its true name, and a file that the user's file imports counts too; an installed package
    of another environment does not, which brought hundreds of files of JAX into the record.
    """

    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    assert by_name.record("mine.py:alias", "learner") == {
        "module": "mine.py",
        "name": "Mine.Inner",
        "sha256": {"helper_of_mine.py": digest(HELPER), "mine.py": digest(MINE)},
    }
    installed = by_name.record("bandit_rft.learners.ucb1:UCB1", "learner")
    assert (installed["module"], installed["name"]) == ("bandit_rft.learners.ucb1", "UCB1")
    assert list(installed["sha256"]) == ["ucb1.py"]
    assert by_name.record("operator:eq", "verifier")["name"] == "eq"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "The learner has no type: choose one of UCB1, or write your own"),
        ("", "unknown type ''"),
        ("ucb1", "unknown type 'ucb1': choose one of UCB1"),
        ("mine.py", "unknown type 'mine.py'.*file.py:Name"),
        (3, "unknown type 3"),
        (["UCB1"], "unknown type .'UCB1'."),
        ({"type": "UCB1"}, "unknown type"),
        (":Mine", "no module or no name"),
        ("mine.py:", "no module or no name"),
        ("mine.py:Mine()", "no module or no name"),
        ("mine.py:Mine.Inner", "no module or no name"),
        ("absent.py:Mine", "There is no file absent.py for the learner"),
        (".:Mine", "cannot be imported"),
        ("..mine:Mine", "cannot be imported"),
        ("no_such_module:Mine", "no_such_module cannot be imported .ModuleNotFoundError"),
        ("mine.py:Absent", "mine.py has no function or class 'Absent'"),
        ("mine.py:number", "no function or class 'number'"),
        ("broken.py:Mine", "broken.py cannot be imported .SyntaxError"),
        ("raises.py:Mine", "raises.py cannot be imported .ZeroDivisionError"),
        ("exits.py:Mine", "exits.py cannot be imported .SystemExit"),
        ("folder.py:Mine", "There is no file folder.py"),
    ],
)
def test_what_cannot_be_had_is_one_sentence(folder: Path, text: object, words: str) -> None:
    """Catches a KeyError, a TypeError of an unhashable type, and tracebacks out of the user's file."""
    (folder / "broken.py").write_text("class Mine(:\n")
    (folder / "raises.py").write_text("1 / 0\n")
    (folder / "exits.py").write_text("raise SystemExit(0)\n")
    (folder / "folder.py").mkdir()
    with pytest.raises(InputError, match=words) as caught:
        by_name.resolve(text, KNOWN, "learner")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
