"""What the command line says of itself: version, completion, the names that were meant, the theory's list."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bandit_rft import __version__, theory
from bandit_rft.cli import COMMANDS, main, suggested
from tests.bandit_rft.command_line import refused


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"bandit-rft {__version__}\n"


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        (["simulte"], "simulate"),
        (["simulate", "needel"], "needle"),
        (["simulate", "needle", "--outt", "x"], "--out"),
        (["simulate", "needle", "--set", "round=5"], "rounds"),
        (["simulate", "needle", "--set", "learner.stepsize=5"], "step_size"),
        (["simulate", "needle", "--set", "learner.type=UBC1"], "UCB1"),
        (["simulate", "needle", "--set", "signal=rloop"], "rloo"),
        (["theory", "ucb_bound"], "ucb1_bound"),
        (["theory", "ucb1_bound", "--set", "mean=[0.1, 0.2]"], "means"),
        (["plan", "--p0", "0.1", "--kappa", "1", "--step-size", "1", "--singal", "raw"], "--signal"),
        (
            ["finetune", "--model", "tiny-llama", "--data", "tiny-addition", "--index", "0", "--optimiser", "sgd"],
            "--optimizer",
        ),
        (["completion", "bsh"], "bash"),
    ],
)
def test_a_mistyped_name_is_answered_by_the_one_that_was_meant(
    command: list[str], meant: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    error = capsys.readouterr().err
    assert f"(did you mean {meant}?)" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["plan", "--p0", "0.1", "--kappa", "1", "--step-size", "0"], "--step-size is 0.0: give"),
        (["plan", "--p0", "2", "--kappa", "1", "--step-size", "1"], "--p0 is 2.0: give"),
        (["plan", "--p0", "0.1", "--kappa", "1", "--step-size", "1", "--seeds", "3"], "--seeds is of two designs"),
        (["plan", "--p0", "0.1", "--kappa", "1", "--step-size", "1", "--figure", "a.pdf"], "argument --figure"),
        (["verdict", "--log", "absent", "--rollouts", "1e9", "--format", "run"], "--rollouts is "),
        (["verdict", "--log", "absent", "--seed", "1"], "--seed is 1, and only a run folder"),
    ],
)
def test_what_is_refused_is_named_as_it_was_typed(
    command: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches the name of a Python argument in a message to somebody who typed an option."""
    monkeypatch.chdir(tmp_path)
    assert said in refused(command, capsys)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["report", "a" * 300], "cannot be used (File name too long)"),
        (["simulate", "needle", "--set", "rounds=5", "--set", "seeds=2", "--out", "a" * 300], "File name too long"),
        (["show", "x", "--last", "1" + "0" * 30], "below 2^63"),
        (["show", "x", "--round", "9" * 5000], "give a whole number"),
        (["show", "a" * 5000], "..."),
        (["theory", "a" * 5000], "bandit-rft theory lists"),
        (["theory", "pg_ode", "--set", "a" * 5000], "write it as key=value"),
    ],
)
def test_what_is_too_long_or_too_large_is_one_short_sentence(
    command: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a traceback of a path that the system refuses to look at, and a screen full of what was typed."""
    monkeypatch.chdir(tmp_path)
    message = refused(command, capsys)
    assert said in message
    assert len(message) < 520
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_leaves_early_is_no_error_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches Python's own complaint about what it could not write, and a full disk that is a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    for target, code, said in ((writing, 141, ""), ("/dev/full", 2, "the output cannot be written (No space left")):
        with open(target, "w") as output, monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", output)
            assert main(["theory"]) == code
        message = capsys.readouterr().err
        assert said in message
        assert message.count("\n") == bool(said)


def test_what_is_near_to_nothing_is_left_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "zzzzzzzz"]) == 2
    assert "did you mean" not in capsys.readouterr().err
    for message in ("a sentence", "'x' is bad: choose", "'" * 5000, "'a'" + ": choose one of " * 300):
        assert suggested(message) == message


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        (["bandit-rft", "sim"], ["simulate"]),
        (["bandit-rft", "simulate", "thomp"], ["thompson", "thompsonbeta", "thompsongaussian"]),
        (["bandit-rft", "simulate", "--se"], ["--set"]),
        (["bandit-rft", "theory", "lai_r"], ["lai_robbins_constant", "lai_robbins"]),
        (["bandit-rft", "plan", "--rol"], ["--rollouts"]),
        (["bandit-rft", "--v"], ["--version"]),
    ],
)
def test_bash_completes_commands_options_and_names(
    line: list[str], completed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The printed script, run by bash itself."""
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    words = " ".join(line)
    asked = f'{script}\nCOMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; _bandit_rft; echo "${{COMPREPLY[*]}}"'
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == sorted(completed)
    assert done.stderr == ""


def test_zsh_gets_the_same_script_behind_its_own_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    zsh = capsys.readouterr().out
    main(["completion", "bash"])
    assert zsh == "autoload -U +X bashcompinit && bashcompinit\n" + capsys.readouterr().out
    assert all(f"        {name}) " in zsh for name in COMMANDS)


def test_the_theory_is_listed_by_section_and_read_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["theory"]) == 0
    listed = capsys.readouterr().out
    for section in ("A  Softmax policy gradient", "D  Classic bounds", "G  Many prompts"):
        assert f"\n{section}\n" in f"\n{listed}"
    assert all(f"  {name} " in listed for name in theory.catalogue())
    assert main(["theory", "ucb1_bound"]) == 0
    assert "E[R_T] ≤ 8 Σ_(a: Δ_a > 0) (ln T)/Δ_a" in capsys.readouterr().out
