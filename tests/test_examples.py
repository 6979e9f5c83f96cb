"""The examples run as they stand, from any folder, and a second time find everything done."""

import os
import runpy
from pathlib import Path

import pytest
from matplotlib import pyplot

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_own_verifier_and_questions_many_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Also counts its lines: what is promised is fifteen, and nothing private."""
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "own_verifier.py"), run_name="__main__")
    first = capsys.readouterr().out
    assert "mean reward of each seed: [" in first
    assert first.strip().splitlines()[-1] == os.path.join("runs", "own", "report.html")
    history = (tmp_path / "runs" / "own" / "history.jsonl").read_bytes()
    assert history.count(b"\n") == 20
    runpy.run_path(str(EXAMPLES / "own_verifier.py"), run_name="__main__")
    assert (tmp_path / "runs" / "own" / "history.jsonl").read_bytes() == history
    source = (EXAMPLES / "own_verifier.py").read_text()
    code = [line for line in source.split('"""')[2].splitlines() if line.strip() and "import" not in line]
    statements = sum(not line.startswith((" ", "]", ")")) for line in code)
    assert statements <= 15
    assert "._" not in source


def lines_of_code(name: str) -> int:
    """Lines that are neither docstring, import, comment nor blank."""
    source = (EXAMPLES / name).read_text().split('"""', 2)[2]
    skip = ("import", "from", "#", '"""')
    return sum(bool(line.strip()) and not line.strip().startswith(skip) for line in source.splitlines())


def test_three_learners_on_ten_and_on_a_million_arms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plot of each with theory on top. Also counts the lines: what is promised is about ten, and nothing private."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    found = runpy.run_path(str(EXAMPLES / "three_learners.py"), run_name="__main__")
    for name in ("arms-1e1", "arms-1e6"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    labels = [text.get_text() for text in found["axes"].get_legend().get_texts()]
    assert labels[:3] == ["UCB1", "Thompson", "policy gradient"]
    assert {"fresh_arm_sweep", "pg_jump_single"} <= set(labels)
    assert lines_of_code("three_learners.py") <= 10
    pyplot.close("all")


def test_an_own_learner_beside_ucb1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    runpy.run_path(str(EXAMPLES / "own_learner.py"), run_name="__main__")
    assert "mine - UCB1" in capsys.readouterr().out
    assert (tmp_path / "mine.png").stat().st_size > 10_000
    assert lines_of_code("own_learner.py") <= 10
    pyplot.close("all")


@pytest.mark.slow
def test_the_same_on_smollm2_with_two_seeds(tmp_path: Path, capsys) -> None:
    """A real model: two seeds, an own verifier, evaluations, a report, and the same call again."""
    from llm_bridge import FineTune, PromptArms, finetune, load_model

    model = load_model("smollm2-135m")
    arms = PromptArms(model, "What is 2 plus 2? Answer with a number only.", lambda text: float("4" in text))
    learner = FineTune(model, optimizer="sgd", learning_rate=1e-6, kl_coefficient=0.0, max_tokens=8)
    runs = [
        finetune(arms, learner, rounds=2, seeds=2, out=tmp_path / "run", evaluate=[arms], measure=16, shown=False)
        for _ in range(2)
    ]
    assert runs[0].history.rewards.shape == (2, 2, 1)
    assert (runs[0].history.rewards == runs[1].history.rewards).all()
    assert [e["seed"] for e in runs[0].evaluations] == [None, 0, 1]
    assert runs[0].report().is_file()
    assert runs[0].predict().responses > 0
