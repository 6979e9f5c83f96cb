"""The examples run as they stand, from any folder, and a second time find everything done."""

import os
import runpy
from pathlib import Path

import pytest

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
