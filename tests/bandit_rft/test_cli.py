"""The command line: exit codes, one sentence an error, nothing half written, killed runs that continue bit by bit."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bandit_rft.cli import main
from bandit_rft.errors import ModelWarning
from tests.bandit_rft import tiny_folder
from tests.bandit_rft.command_line import RUN, refused

ROOT = Path(__file__).resolve().parents[2]
PLAN = ("plan", "--p0", "0.18", "--kappa", "40")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_folder.write(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Default run folders land in the test's own folder, and the cache is the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "required"),
        (("sumulate",), "sumulate"),
        (("simulate", "needle", "--sed", "1"), "unrecognized arguments: --sed 1 (did you mean --set?)"),
        (("simulate", "ucb1", "--rounds", "100"), "--rounds 100 (a setting is given by --set rounds=VALUE)"),
        (("simulate", "needle", "--set", "p_0=0.1"), "(did you mean p0?): choose one of rounds, seeds,"),
        ((*PLAN, "--stepsize", "0.005"), "unrecognized arguments: --stepsize (did you mean --step-size?)"),
        ((*PLAN, "--step-size", "0.005", "--against", "grpo:99999"), "The group of --against is 99,999"),
        ((*PLAN, "--step-size", "5%"), "argument --step-size: give a finite number, not '5%'"),
        (("verdict", "--log", "a", "--eps", "small"), "argument --eps: give a finite number, not 'small'"),
        (
            ("verdict", "--log", "a", "--reward-right", "1", "--reward-wrong", "1"),
            "--reward-right and --reward-wrong are both 1",
        ),
        (("simulate", "haystack"), "no simulation 'haystack'"),
        (("simulate", "needle", "--tier", "small"), "--tier is of prediction-audit"),
        (("simulate", "theory-audit", "--arms", "million"), "--arms is of learners"),
        (("simulate", "prediction-audit", "--set", "rounds=2"), "prediction-audit has no settings"),
        # Of a variable of the shell's that is not set: the run went into the folder that has no name given.
        (("simulate", "ucb1", "--out", ""), "argument --out: give the name of a file or folder, not ''"),
        (("reproduce", "--out", ""), "argument --out: give the name"),
        (("figures", "--run", ""), "argument --run: give the name"),
        (("show", ""), "argument RUN: give the name"),
        (("verdict", "--log", ""), "argument --log: give the name"),
        (("simulate", "absent.toml"), "absent.toml"),
        (("simulate", "needle", "--set", "arms.type=Lottery"), "unknown type 'Lottery'"),
        (("simulate", "needle", "--set", "learner.type=Oracle"), "unknown type 'Oracle'"),
        (("simulate", "needle", "--set", "log10_arms=1", "--set", "optimal=10"), "number of arms must exceed"),
        (("simulate", "needle", "--set", "log10_arms=1", "--set", "optimal=11"), "number of arms must exceed"),
        (("simulate", "needle", "--set", "p0=0"), "strictly between 0 and 1"),
        (("simulate", "needle", "--set", "p0=1"), "strictly between 0 and 1"),
        (("simulate", "ucb1", "--set", "rounds=30", "--set", "seeds=2", "--set", "row_capacity=4"), "Row capacity 4"),
        (("simulate", "ucb1", "--set", "row_capacity=0"), "row_capacity is 0"),
        (("theory", "pg_magic"), "no entry 'pg_magic'"),
        (
            ("theory", "pg_jump_single", "--set", "p0=2", "--set", "step_size=1", "--set", "rounds=3"),
            "strictly between",
        ),
        (("theory", "pg_jump_single", "--set", "p0=0.2"), "needs step_size"),
        (("figures", "mona_lisa"), "no figure 'mona_lisa'"),
        (("figures",), "runs/demo"),
        (("models", "fetch", "no-such-model"), "No model 'no-such-model'"),
        (("evaluate", "--model", "no-such-model"), "No model 'no-such-model'"),
        (("evaluate", "--k", "0"), "--k"),
        (("evaluate", "--k", "1,8", "--samples", "4"), "pass@8"),
        (("evaluate", "--json", "absent/numbers.json"), "absent is no folder"),  # known before a response is made
        (("evaluate", "--json", "."), "a folder: give the name of a file"),
        (("simulate", "needle", "--set", "rounds=9999999", "--out", "/proc/run"), "/proc/run cannot be made"),
        (("evaluate", "--model", "tiny-lama"), "No model 'tiny-lama' (did you mean tiny-llama?)"),
        (("evaluate", "--data", "astrology"), "No data 'astrology'"),
        (("evaluate", "--data", "tiny-adition"), "No data 'tiny-adition' (did you mean tiny-addition?)"),
        (("evaluate", "--data", "none"), "No data 'none'"),
        (("finetune", "--data", "arithmetic", "--model", "no-such-model"), "No model 'no-such-model'"),
        (("finetune", "--data", "arithmetic", "--index", "99999"), "99999"),
        (("finetune", "--data", "arithmetic", "--index", "-1"), "--index"),
        (("finetune", "--data", "arithmetic", "--rounds", "0"), "--rounds"),
        (("finetune", "--data", "arithmetic", "--rounds", "many"), "--rounds"),
        (("finetune", "--data", "arithmetic", "--learning-rate", "nan"), "--learning-rate"),
        (("finetune", "--data", "arithmetic", "--optimizer", "sgd"), "sgd has no step size"),
        (("finetune", "--data", "arithmetic", "--step-over-kappa", "1"), "--step-over-kappa"),
        (("finetune",), "--data"),
        (("finetune", "--prompt", " ", "--answer", "1"), "prompt is empty"),
        (("finetune", "--prompt", "hello"), "--answer"),
        (("finetune", "--prompt", "hello", "--answer", "blue"), "'blue' is not a number"),
        (("finetune", "--config", "absent"), "absent"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert message in refused(arguments, capsys)
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").rglob("*.*")), "something was written"


def test_a_prompt_longer_than_the_context_is_refused(
    tiny: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = refused(["finetune", "--model", tiny, "--prompt", "a" * 70, "--answer", "1", "--out", "run"], capsys)
    assert "64" in said
    assert "shorten the prompt" in said
    assert not (tmp_path / "run").exists()


def test_a_missing_column_and_a_broken_parquet_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": [[{"role": "user", "content": "1+1?"}]]}), tmp_path / "half.parquet")
    assert "no column 'reward_model'" in refused(["finetune", "--data", "half.parquet"], capsys)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing")
    assert "not a readable parquet" in refused(["finetune", "--data", "broken.parquet"], capsys)


def test_a_corrupted_gguf_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(range(200)))
    assert "model.gguf" in refused(["evaluate", "--model", "model.gguf"], capsys)
    (tmp_path / "other.gguf").write_bytes(b"not at all")
    assert "not a GGUF file" in refused(["evaluate", "--model", "other.gguf"], capsys)


def test_a_reward_that_is_nan_stops_the_run(
    tiny: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from llm_bridge import verifiers

    monkeypatch.setattr(verifiers, "make", lambda name, answer: lambda text: float("nan"))
    assert main([*RUN, "--model", tiny, "--train-samples", "0", "--out", "run"]) == 2
    (said,) = capsys.readouterr().err.splitlines()  # what is told before the rounds stands on standard output
    assert "nan" in said
    assert "finite" in said
    assert not (tmp_path / "run").exists(), "a run without a round that counts keeps its folder from the next attempt"


def test_a_hub_id_without_network_is_one_sentence_after_the_progress(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fetch", "some-org/some-model"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert "cannot be reached" in said[-1]
    assert [line.startswith("bandit-rft: ") for line in said] == [False] * (len(said) - 1) + [True]


@pytest.mark.slow
def test_no_network_is_said_in_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    code = main(["models", "fetch", "smollm2-135m"])
    assert code == 2
    assert "cannot be reached" in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate 6.94 EiB"), RuntimeError("RESOURCE_EXHAUSTED: 9 B")])
def test_memory_that_is_not_there_is_one_sentence(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy's error, and JAX's, which is no MemoryError."""
    from bandit_rft.presets import simulate

    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(simulate, "simulate", full)
    assert "The memory does not hold that" in refused(["simulate", "needle"], capsys)


def test_an_interrupt_is_one_line_and_exit_code_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bandit_rft.presets import simulate

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulate, "simulate", interrupted)
    assert main(["simulate", "needle"]) == 130
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


# --------------------------------------------------------------------------------------------------------------- help


def test_help_answers_without_loading_a_model_library() -> None:
    """Catches a heavy import at the top of a command: `--help` must not wait for transformers or matplotlib."""
    code = (
        "import sys\nfrom bandit_rft.cli import main\n"
        "try:\n    main(['finetune', '--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'transformers', 'flax', 'optax', 'matplotlib', 'orbax', 'pyarrow'}\n"
        "heavy |= {'llm_bridge', 'figures', 'simulations'}\n"
        "found = heavy & set(sys.modules)\nassert not found, found"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    assert "--step-over-kappa" in result.stdout


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "simulate",
        "theory",
        "finetune",
        "evaluate",
        "measure",
        "predict",
        "show",
        "report",
        "export",
        "figures",
        "models",
    ],
)
def test_every_option_says_what_it_is_and_its_default(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    from bandit_rft.cli import parser

    [subparsers] = [action for action in parser()._actions if action.choices and command in action.choices]
    assert subparsers.choices is not None
    for action in subparsers.choices[command]._actions:  # type: ignore[call-overload]
        if action.dest == "help" or not action.option_strings:
            continue
        assert action.help, f"{command} {action.option_strings} says nothing"
        assert "default" in action.help, f"{command} {action.option_strings} hides its default"


@pytest.mark.parametrize("command", ["evaluate", "measure"])
def test_an_option_of_several_commands_is_one_option(command: str) -> None:
    """Catches an option that is written twice: another metavar, choice or group of the help under the same name."""
    from bandit_rft.cli import parser

    [subparsers] = [action for action in parser()._actions if action.choices]
    assert subparsers.choices is not None

    def options(name: str) -> dict[str, tuple]:
        groups = subparsers.choices[name]._action_groups  # type: ignore[call-overload, index]
        actions = [(group.title, action) for group in groups for action in group._group_actions]
        return {a.option_strings[0]: (title, a.metavar, a.choices) for title, a in actions if a.option_strings}

    own, finetune = options(command), options("finetune")
    assert {"data", "sampling", "loss", "optimiser", "evaluation", "checkpoints", "run and output"} <= {
        title for title, _, _ in finetune.values()
    }
    another_meaning = {"--index", "--indices", "--rollouts", "--out", "--json"}
    shared = own.keys() & finetune.keys() - another_meaning
    assert {"--model", "--verifier", "--prompt-date", "--max-tokens", "--dtype", "--key"} <= shared
    assert {name: own[name] for name in shared} == {name: finetune[name] for name in shared} | {"-h": own["-h"]}


# ------------------------------------------------------------------------------------------------------------ commands


def test_simulate_theory_and_figures_from_end_to_end(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    small = ["--set", "rounds=50", "--set", "seeds=16"]
    assert main(["simulate", "needle", *small, "--out", "runs/a"]) == 0
    assert "AGREES with pg_jump_single" in capsys.readouterr().out
    assert main(["simulate", "runs/a/config.json", "--out", "runs/b"]) == 0
    assert main(["figures", "needle_regret", "--run", "runs/a", "--run", "runs/b"]) == 0
    assert (tmp_path / "runs" / "figures" / "needle_regret.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert "holds a different run" in refused(["simulate", "needle", "--set", "rounds=51", "--out", "runs/a"], capsys)
    assert main(["theory"]) == 0
    assert "pg_jump_single" in capsys.readouterr().out
    assert main(["theory", "pg_ode", "--set", "p0=0.05", "--set", "step_size=0.5", "--set", "rounds=200"]) == 0
    assert "0.05" in capsys.readouterr().out
    assert main(["simulate"]) == 0
    assert "minimalist" in capsys.readouterr().out
    assert main(["models", "list"]) == 0
    assert "smollm2-135m" in capsys.readouterr().out


def test_evaluate_prints_pass_at_1_with_its_interval(
    tiny: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = {"prompt": [[{"role": "user", "content": "1+1=?"}]], "reward_model": [{"style": "rule", "ground_truth": "2"}]}
    pq.write_table(pa.table(row), tmp_path / "one.parquet")
    options = ["--data", "one.parquet", "--k", "1,8", "--samples", "32", "--max-tokens", "4", "--json", "numbers.json"]
    assert main(["evaluate", "--model", tiny, *options]) == 0
    said = capsys.readouterr().out
    assert "Pass@1" in said
    assert "95% interval" in said
    assert "pass@8" in said
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["responses"] == 32
    assert numbers["interval"][0] <= numbers["pass_at_1"] <= numbers["interval"][1]


def test_a_warning_of_ours_is_a_sentence(monkeypatch, capsys):
    """Catches Python's own form, with a file, a line number and a line of code."""
    from bandit_rft.cli import theory as command

    def warns(arguments) -> int:
        del arguments
        warnings.warn("The model \x1b[31mgoes on.", ModelWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(command, "run", warns)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["theory"]) == 0
    assert capsys.readouterr().err == "bandit-rft: The model \\x1b[31mgoes on.\n"


@pytest.mark.parametrize("command", ["report", "show", "predict"])
def test_a_path_with_a_line_s_end_in_it_is_refused_in_one_line(command: str, capsys) -> None:
    assert r"\n/config.json" in refused([command, "\n"], capsys)


def test_a_file_without_a_name_is_refused(tmp_path: Path) -> None:
    """`report RUN --out ""` was a ValueError of pathlib."""
    from bandit_rft import InputError
    from bandit_rft.runs.files import write_atomically

    for nameless in ("", "/"):
        with pytest.raises(InputError, match="names no file"):
            write_atomically(Path(nameless), "text")


def test_a_sweep_s_table_that_cannot_be_written_is_refused_before_the_runs(tmp_path: Path, capsys) -> None:
    """It was refused after hours of them; the experiment, which is not there either, is looked for later."""
    table = tmp_path / "none" / "table.json"
    sweep = ["sweep", "nothing.py:make", "--over", "p0=0.1", "--rounds", "5", "--json", str(table)]
    assert "--json is" in refused(sweep, capsys)


def test_a_sweep_s_own_function_that_raises_is_named_with_its_line(tmp_path: Path, capsys) -> None:
    """It was a traceback through the sweep's own files."""
    (tmp_path / "mine.py").write_text("def make(a):\n    return 1 / a\n")
    said = refused(["sweep", "mine.py:make", "--over", "a=0", "--rounds", "5"], capsys)
    assert "mine.py:make raised ZeroDivisionError (division by zero) in mine.py, line 2: mend it" in said
