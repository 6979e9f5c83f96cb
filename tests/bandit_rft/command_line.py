"""The command line refusing something, as tests look at it."""

from collections.abc import Sequence

import pytest

from bandit_rft.cli import main

# A short fine-tuning run with checkpoints and evaluations on its way.
RUN = [
    *(
        "finetune",
        "--prompt",
        "2+2=?",
        "--answer",
        "7",
        "--max-tokens",
        "4",
        "--optimizer",
        "sgd",
        "--learning-rate",
        "0.05",
    ),
    *("--kl-coefficient", "0", "--gradient-clip", "none", "--train-samples", "16", "--evaluate-every", "6"),
    *("--checkpoint-every", "4", "--rounds", "14"),
]


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
