"""The command line refusing something, as tests look at it."""

from collections.abc import Sequence

import pytest

from bandit_rft.cli import main


def refused(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence that the command ends in; anything else fails the test."""
    code = main(list(arguments))
    said = capsys.readouterr()
    assert code == 2, said
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, said.err
    assert lines[0].startswith("bandit-rft: ")
    assert "Traceback" not in said.err
    return lines[0]
