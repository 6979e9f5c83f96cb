"""Commands on a model whose chat template reads the clock: the prompts of a run are those that it began with."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from bandit_rft.cli import main
from llm_bridge import load_model
from llm_bridge.measuring import scan
from llm_bridge.models import chat_template
from llm_bridge.training.pinned_model import load_pinned
from llm_bridge.training.recorder import RunRecorder
from tests.bandit_rft import tiny_folder

pa = pytest.importorskip("pyarrow")
pytestmark = pytest.mark.usefixtures("compiled_quickly")

DAY, NEXT = datetime.datetime(2026, 11, 28, 23, 59), datetime.datetime(2026, 11, 29, 0, 1)
TEMPLATE = "{{ strftime_now('%d%m%y') }}{% for m in messages %}{{ m.content }}{% endfor %}"
FINETUNE = (
    *("finetune", "--data", "sums.parquet", "--index", "1", "--max-tokens", "4", "--rounds", "3"),
    *("--learning-rate", "0.01", "--reward-wrong", "-1", "--kl-coefficient", "0", "--train-samples", "8"),
    *("--test-questions", "2", "--checkpoint-every", "1", "--evaluate-every", "1"),
)
SCAN = ("measure", "--data", "sums.parquet", "--scan", "--indices", "0:4", "--samples", "16", "--max-tokens", "3")


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder, and four questions, in the folder that the command runs in."""
    import pyarrow.parquet

    monkeypatch.chdir(tmp_path)
    rows = [
        {"prompt": [{"role": "user", "content": f"{a}+{a}=?"}], "reward_model": {"style": "rule", "ground_truth": "1"}}
        for a in range(4)
    ]
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), "sums.parquet")
    folder = tiny_folder.write(tmp_path / "model", seed=3)
    put(folder, TEMPLATE)
    return folder


def put(folder: Path, template: str) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))


def it_is(monkeypatch: pytest.MonkeyPatch, moment: datetime.datetime) -> None:
    given = chat_template.moment.__wrapped__ if hasattr(chat_template.moment, "__wrapped__") else chat_template.moment

    def stopped(asked: Any = None) -> datetime.datetime:
        return moment if asked is None else given(asked)

    stopped.__wrapped__ = given  # type: ignore[attr-defined]
    monkeypatch.setattr(chat_template, "moment", stopped)


def cut_finetune(monkeypatch: pytest.MonkeyPatch, *command: str) -> None:
    """Runs the command until its third round is to be recorded."""
    original = RunRecorder.record

    def record(self: Any, history: Any, *rest: Any) -> None:
        if history.rounds > 2:
            raise KeyboardInterrupt
        original(self, history, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(RunRecorder, "record", record)
        assert main(list(command)) == 130


def outcome(run: str, *names: str) -> list[bytes]:
    return [Path(run, name).read_bytes() for name in names]


@pytest.mark.slow
def test_a_run_that_resumes_after_midnight_keeps_its_prompts(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a date read anew on resumption; an option of the next day shows that the date matters, and is another
    run's."""
    command = [*FINETUNE, "--model", "model"]
    names = ("history.jsonl", "evaluations.jsonl")
    it_is(monkeypatch, DAY)
    assert main([*command, "--out", "whole"]) == 0
    cut_finetune(monkeypatch, *command, "--out", "cut")
    it_is(monkeypatch, NEXT)
    assert main([*command, "--out", "cut"]) == 0
    assert outcome("cut", *names) == outcome("whole", *names)
    assert json.loads(Path("cut/config.json").read_text())["resolved"]["prompt_date"] == "2026-11-28T23:59:00"
    assert json.loads(Path("cut/manifest.json").read_text())["prompt_date"] == "2026-11-28T23:59:00"
    capsys.readouterr()
    assert main([*command, "--out", "cut", "--prompt-date", "2026-11-29"]) == 2
    assert "prompt_date" in capsys.readouterr().err
    assert main(["finetune", "--config", "cut", "--out", "again", "--prompt-date", "2026-11-28"]) == 0
    assert outcome("again", *names) == outcome("whole", *names)
    assert main([*command, "--out", "next"]) == 0
    assert outcome("next", *names) != outcome("whole", *names)


def test_a_run_whose_template_changed_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches rounds on one prompt continued on another."""
    command = [*FINETUNE, "--model", "model", "--out", "cut"]
    cut_finetune(monkeypatch, *command)
    put(model, "=" + TEMPLATE)
    before = outcome("cut", "history.jsonl", "config.json")
    capsys.readouterr()
    assert main(command) == 2
    sentence = capsys.readouterr().err.splitlines()[-1]  # behind what is said of the data
    assert "cut began with" in sentence
    assert outcome("cut", "history.jsonl", "config.json") == before


def test_a_scan_that_continues_after_midnight_keeps_its_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [*SCAN, "--model", "model"]
    it_is(monkeypatch, DAY)
    assert main([*command, "--out", "whole"]) == 0
    original, made = scan.evaluate, []

    def evaluate(*given: Any, **named: Any) -> Any:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(1)
        return original(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(scan, "evaluate", evaluate)
        assert main([*command, "--out", "cut"]) == 130
    it_is(monkeypatch, NEXT)
    assert main([*command, "--out", "cut"]) == 0
    assert outcome("cut", "scan.jsonl") == outcome("whole", "scan.jsonl")


def test_evaluations_and_measurements_take_the_date_and_say_it(model: Path) -> None:
    shared = ("--model", "model", "--data", "sums.parquet", "--prompt-date", "2025-07-04", "--max-tokens", "3")
    few = ("--split", "train", "--questions", "2", "--json", "found.json")
    assert main(["evaluate", *shared, *few]) == 0
    assert json.loads(Path("found.json").read_text())["prompt_date"] == "2025-07-04T00:00:00"
    assert main(["measure", *shared, "--rollouts", "4", "--no-error", "--out", "measured"]) == 0
    assert json.loads(Path("measured/manifest.json").read_text())["prompt_date"] == "2025-07-04T00:00:00"
    assert load_model("model", prompt_date="2025-07-04").prompt_date == datetime.datetime(2025, 7, 4)


def test_thinking_is_an_option_that_a_run_keeps(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches an option that a command passes over, and a run that is exported or continued with other prompts."""
    put(model, "{{ messages[0]['content'] }}{% if enable_thinking is defined and not enable_thinking %} no{% endif %}")
    assert main([*FINETUNE, "--model", "model", "--thinking", "no", "--out", "run"]) == 0
    assert json.loads(Path("run/config.json").read_text())["thinking"] is False
    assert load_pinned("run", json.loads(Path("run/config.json").read_text())).thinking is False
    first = json.loads(Path("run/config.json").read_text())["resolved"]["prompts"]
    assert main([*FINETUNE, "--model", "model", "--out", "other"]) == 0
    assert json.loads(Path("other/config.json").read_text())["resolved"]["prompts"] != first
    shared = ("--model", "model", "--data", "sums.parquet", "--thinking", "no", "--max-tokens", "3")
    assert main(["evaluate", *shared, "--split", "train", "--questions", "2", "--json", "found.json"]) == 0
    assert json.loads(Path("found.json").read_text())["asked"]["thinking"] is False
    assert main(["measure", *shared, "--rollouts", "4", "--no-error", "--out", "measured"]) == 0
    put(model, "{{ messages[0]['content'] }}")
    capsys.readouterr()
    assert main(["evaluate", *shared, "--split", "train", "--questions", "2"]) == 2
    assert "--thinking is given, and model has no chat template that reads enable_thinking" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "measure", "finetune"])
def test_a_template_that_refuses_ends_a_command_with_code_2(
    command: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(model, "{{ raise_exception('no such turn') }}")
    assert main([command, "--model", "model", "--data", "sums.parquet", "--max-tokens", "3"]) == 2
    assert "The chat template of model refuses the prompt (no such turn)" in capsys.readouterr().err
    assert not list((tmp_path / "runs").glob("*"))


@pytest.mark.parametrize("command", ["evaluate", "measure", "finetune"])
def test_a_date_that_is_none_is_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--prompt-date", "tomorrow"]) == 2
    assert "give a date such as 2026-11-28" in capsys.readouterr().err
