"""`bandit-rft predict`: the law, the verdict and the figure of a run, or the sentence why there is none."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from bandit_rft import theory
from bandit_rft.cli import main
from bandit_rft.runs import RunFolder, to_line

CONFIG = {
    "command": "finetune",
    "model": "m",
    "data": "gsm8k",
    "index": 1,
    "optimizer": "sgd",
    "epochs": 1,
    "aggregation": "seq-mean-token-sum",
    "signal": "raw",
    "rollouts": 1,
    "kl_coefficient": 0,
    "gradient_clip": None,
    "rounds": 60,
}


def fine_tuned(path: Path, *, gain: float = 0.5, done: int = 60, measured: object = "yes", **changes: object) -> Path:
    """A run folder whose rewards come from the jump chain of p0 = .2 and this gain; what was measured says .5."""
    config = {**CONFIG, **changes}
    generator, law = np.random.default_rng(0), theory.pg_jump_single(0.2, gain, 61, kappa=1.0).law
    assert law is not None
    logits, successes, rewards = law.logits(62), 0, []
    for _ in range(done):
        p = 1 / (1 + math.exp(-logits[successes]))
        rewards.append([float(generator.random() < p) for _ in range(config["rollouts"])])  # type: ignore[call-overload]
        successes += int(rewards[-1][0])
    with RunFolder.claim(path, config) as folder:
        lines = (to_line({"round": i, "rewards": [r], "metrics": {"loss": [0.0]}}) for i, r in enumerate(rewards))
        (path / "history.jsonl").write_text("".join(lines))
        record = {"round": 0, "measured": "train", "pass_at_1": 7 / 36, "successes": 7, "samples": 36, "questions": 1}
        later = {**record, "round": 60, "pass_at_1": 0.5, "low": 0.4, "high": 0.6}
        (path / "evaluations.jsonl").write_text(to_line({**record, "low": 0.1, "high": 0.3}) + to_line(later))
        if measured == "yes":
            measured = {"kappa": 2.0, "kappa_standard_error": 0.5, "successes": 13, "rollouts": 64}
        folder.resolve(learning_rate=0.25, **({"measurement": measured} if measured else {}))
        folder.write_manifest(key=0)
    return path


def test_predict_writes_the_law_the_verdict_and_the_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fine_tuned(tmp_path / "run")
    assert main(["predict", str(run)]) == 0
    said = capsys.readouterr().out
    found = json.loads((run / "prediction.json").read_text())
    assert found["law"] == "rft_predict"
    expected = theory.rft_predict(20 / 100, 2.0, 0.25, 61)
    assert found["p0"] == pytest.approx(0.2)
    assert found["value"] == pytest.approx(expected.value.tolist())
    assert found["verdict"]["tested"]
    assert found["verdict"]["agrees"]
    assert "AGREES with rft_predict" in said
    (evaluation,) = found["evaluations"]
    assert evaluation["predicted"] == pytest.approx(expected.value[60])
    assert not evaluation["inside"]
    assert "outside the interval" in said
    low, high = found["last_at_kappa_one_error_off"]
    assert low == pytest.approx(theory.rft_predict(0.2, 1.5, 0.25, 61).value[-1])
    assert low < expected.value[-1] < high
    assert (run / "figures" / "finetune_prediction.png").read_bytes().startswith(b"\x89PNG")
    assert main(["figures", "--run", str(run)]) == 0
    assert "finetune_prediction.png" in capsys.readouterr().out


def test_predict_falsifies_a_run_that_does_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A gain of a thousandth of the measured one: nothing is learnt where the law says .97."""
    run = fine_tuned(tmp_path / "run", gain=0.0005)
    assert main(["predict", str(run)]) == 0
    assert "REFUSES rft_predict" in capsys.readouterr().out
    assert not json.loads((run / "prediction.json").read_text())["verdict"]["agrees"]


def of_seeds(path: Path, *, gain: float, seeds: int = 40, done: int = 60) -> Path:
    """A folder as `finetune --seeds` leaves it, each seed from the jump chain of p0 = .2 and this gain."""
    law = theory.pg_jump_single(0.2, gain, 61, kappa=1.0).law
    assert law is not None
    generator, logits, rewards = np.random.default_rng(1), law.logits(62), np.zeros((seeds, done, 1))
    for seed in range(seeds):
        for place in range(done):
            right = 1 / (1 + math.exp(-logits[int(rewards[seed].sum())]))
            rewards[seed, place] = float(generator.random() < right)
    record = {"measured": "train", "samples": 36, "questions": 1}
    first = {**record, "round": 0, "seed": None, "pass_at_1": 7 / 36, "low": 0.1, "high": 0.3, "successes": 7}
    after = [
        {**record, "round": 60, "seed": s, "pass_at_1": v, "low": v - 0.1, "high": v + 0.1, "successes": round(36 * v)}
        for s, v in ((0, 0.8), (1, 0.9), (2, 0.85))
    ]
    with RunFolder.claim(path, {**CONFIG, "seeds": seeds}) as folder:
        lines = ({"round": t, "rewards": rewards[:, t].tolist(), "metrics": {}} for t in range(done))
        (path / "history.jsonl").write_text("".join(map(to_line, lines)))
        (path / "evaluations.jsonl").write_text("".join(map(to_line, [first, *after])))
        folder.resolve(
            learning_rate=0.25,
            measurement={"kappa": 2.0, "kappa_standard_error": 0.5, "successes": 13, "rollouts": 64},
        )
        folder.write_manifest(key=0)
    return path


def test_predict_holds_all_seeds_of_a_run_against_the_law(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A gain of half the predicted one is refused by 40 seeds. Two do not tell: catches a verdict on the first alone.
    Evaluations are means over seeds. False alarms of the kept one: 1% by the verdict's rate, at a fixed seed."""
    run = of_seeds(tmp_path / "kept", gain=0.5)
    assert main(["predict", str(run)]) == 0
    assert "AGREES with rft_predict" in capsys.readouterr().out
    (evaluation,) = json.loads((run / "prediction.json").read_text())["evaluations"]
    assert evaluation["pass_at_1"] == pytest.approx(0.85)
    assert evaluation["low"] < 0.8 < 0.9 < evaluation["high"]  # Student's t with two degrees of freedom
    assert (run / "figures" / "finetune_prediction.png").read_bytes().startswith(b"\x89PNG")
    for seeds, word in ((40, "REFUSES"), (2, "AGREES")):
        assert main(["predict", str(of_seeds(tmp_path / str(seeds), gain=0.25, seeds=seeds))]) == 0
        assert f"{word} " in capsys.readouterr().out


def test_predict_of_an_unfinished_run_and_of_a_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fine_tuned(tmp_path / "cut", done=9)
    assert main(["predict", str(run)]) == 0
    found = json.loads((run / "prediction.json").read_text())
    assert (found["rounds_done"], found["rounds"], len(found["value"])) == (9, 61, 61)
    run = fine_tuned(tmp_path / "group", signal="grpo", rollouts=4, kl_coefficient=0.001, gradient_clip=1.0)
    assert main(["predict", str(run)]) == 0
    said = capsys.readouterr().out
    found = json.loads((run / "prediction.json").read_text())
    assert found["law"] == "pg_group"
    assert found["value"][-1] == pytest.approx(
        theory.pg_group("grpo", 0.2, 0.25, 61, 4, kappa=2.0, ddof=1, eps=1e-6).value[-1]
    )
    assert "KL term of weight 0.001" in said
    assert "clips gradients at 1" in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer": "adamw"}, "optimiser is adamw"),
        ({"epochs": 2}, "2 epochs"),
        ({"aggregation": "token-mean"}, "averaged as token-mean"),
        ({"measured": None}, "run with --measure"),
        ({"measured": {"kappa": None, "successes": 1, "rollouts": 64}}, "kappa could not be measured"),
        ({"measured": {"kappa": -1.0, "successes": 1, "rollouts": 64}}, "estimate -1"),
    ],
)
def test_where_no_law_applies_the_sentence_says_why(
    tmp_path: Path, changes: dict[str, object], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fine_tuned(tmp_path / "run", **changes)  # type: ignore[arg-type]
    assert main(["predict", str(run)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("No law applies: ")
    assert words in said
    found = json.loads((run / "prediction.json").read_text())
    assert found["law"] is None
    assert words in found["reason"]
    assert main(["figures", "--run", str(run)]) == 0  # the other figure is still drawn
    assert main(["figures", "finetune_prediction", "--run", str(run)]) == 2


def test_predict_wants_a_fine_tuning_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err
    with RunFolder.claim(tmp_path / "other", {"command": "measure"}) as folder:
        (folder.path / "history.jsonl").write_text(to_line({"round": 0, "rewards": [[1.0]], "metrics": {}}))
    assert main(["predict", str(tmp_path / "other")]) == 2
    assert "not a fine-tuning run" in capsys.readouterr().err
