"""What a run of many seeds leaves in its folder, and what other commands make of it."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from bandit_rft.cli import main
from bandit_rft.runs import read_history, read_lines
from bandit_rft.runs.rollouts import rounds_of
from bandit_rft.settings.saved_finetune import config_of
from llm_bridge import LanguageModel, load_model
from llm_bridge.bandits.token_arms import TokenPromptArms
from llm_bridge.data import datasets
from llm_bridge.training import checkpoints
from llm_bridge.training.from_settings import learner as learner_of
from llm_bridge.training.state import weights_of_seed
from llm_bridge.verifiers import GSM8K
from tests.llm_bridge.checkpoints import torch_logits, torch_model
from tests.llm_bridge.survival import assert_same_outcome

pytestmark = pytest.mark.usefixtures("compiled_quickly")
SEEDS, ROUNDS = 2, 5
OPTIONS = {
    "model": "tiny-llama",
    "data": "tiny-addition",
    "index": 1,
    "rollouts": 2,
    "reward_wrong": -1.0,  # every round moves the weights, whatever the responses are
    "kl_coefficient": 0.0,
    "learning_rate": 0.001,
    "max_tokens": 12,
    "rounds": ROUNDS,
    "train_samples": 4,
    "test_questions": 2,
    "checkpoint_every": 3,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds") / "run"
    given = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]
    assert main(["finetune", *given, "--seeds", str(SEEDS), "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model("tiny-llama")


def arms_of(model: LanguageModel) -> TokenPromptArms:
    example = datasets.load("tiny-addition", "train").example(1)
    return TokenPromptArms(model, example.prompt, example.answer)


def test_export_writes_the_weights_of_the_seed_that_is_named(run: Path, model: LanguageModel, tmp_path: Path) -> None:
    """In transformers' torch, against the state that a resumed run would load. Catches another seed's weights, the mean
    of the seeds, another round's, and a leading axis that is left on a tensor."""
    learner = learner_of(config_of(str(run), {}), model)
    keys = jax.random.split(jax.random.key(0), SEEDS)
    found = checkpoints.load_latest(run / "checkpoints", jax.vmap(learner.bind(arms_of(model), rounds=5).init)(keys))
    assert found is not None
    tokens = np.random.default_rng(0).integers(0, model.config.vocabulary, (2, 30)).astype(np.int32)
    ours = [np.asarray(model.logits(tokens, params=weights_of_seed(found[1], seed))) for seed in range(SEEDS)]
    for seed in range(SEEDS):
        out = tmp_path / str(seed)
        assert main(["export", str(run), "--seed", str(seed), "--out", str(out)]) == 0
        theirs = torch_logits(torch_model(out), tokens)
        np.testing.assert_allclose(theirs, ours[seed], atol=2e-5 * np.abs(ours[seed]).max())
        assert np.abs(theirs - ours[1 - seed]).max() > 0.01
    assert main(["export", str(run), "--seed", "1", "--round", "3", "--out", str(tmp_path / "third")]) == 0
    assert np.abs(np.asarray(load_model(str(tmp_path / "third")).logits(tokens)) - ours[1]).max() > 0.01


def test_a_finished_run_has_its_report(run: Path) -> None:
    source = (run / "report.html").read_text()
    assert "tiny-llama on question 1 of tiny-addition, 2 seeds" in source
    assert "<p>5 of 5 rounds, 2 responses each" in source
    for title in ("Test Pass@1 by seed", "Response length", "Gradient norm", "Entropy"):
        assert f"<figcaption>{title}" in source


def test_responses_are_those_behind_the_history(run: Path, model: LanguageModel) -> None:
    """Each text's reward by the verifier of texts, each length by the tokenizer. Catches rounds, seeds or responses
    that are mixed up, ids decoded by another table, and padding that is read."""
    history = read_history(run)
    rounds = [*rounds_of(run)]
    assert [[(r.round, r.seed, r.place) for r in found] for found in rounds] == [
        [(t, seed, place) for seed in range(SEEDS) for place in range(2)] for t in range(ROUNDS)
    ]
    verifier = GSM8K(answer=arms_of(model).examples[0].answer, rule="strict")
    for t, found in enumerate(rounds):
        for rollout in found:
            assert rollout.text is not None
            assert rollout.reward == history.rewards[rollout.seed, t, rollout.place] == verifier(rollout.text)
            ids = model.tokenizer.encode(rollout.text, add_special_tokens=False)
            assert rollout.tokens == len(ids) + (not rollout.truncated)  # the end of the text is one more
            assert model.tokenizer.decode(ids, skip_special_tokens=True) == rollout.text
        lengths = [np.mean([r.tokens for r in found if r.seed == seed]) for seed in range(SEEDS)]
        np.testing.assert_allclose(lengths, history.metrics["response_length"][:, t])
    assert len({rollout.text for found in rounds for rollout in found}) > 3
    source = (run / "report.html").read_text()
    assert "round 4, seed 1" in source
    assert "Question 1, answer" in source


def test_timings_have_a_line_a_chunk_and_are_cut_where_a_run_continues(run: Path, tmp_path: Path) -> None:
    """Catches a gap or an overlap between chunks, tokens that are not those of the history, and a line of rounds that
    are done again."""
    lines = read_lines(run / "timings.jsonl")
    assert [line["from"] for line in lines] == [0, *(line["to"] for line in lines[:-1])]
    assert lines[-1]["to"] == ROUNDS
    history = read_history(run)
    assert sum(line["tokens"] for line in lines) == round(history.metrics["response_length"].sum() * 2)
    for line in lines:
        assert line["rounds_per_second"] == pytest.approx((line["to"] - line["from"]) / line["seconds"])
        assert line["tokens_per_second"] == pytest.approx(line["tokens"] / line["seconds"])
    shutil.copytree(run, tmp_path / "cut")
    shutil.rmtree(checkpoints.available(tmp_path / "cut" / "checkpoints")[-1])
    for name in ("timings.jsonl", "responses.jsonl"):  # the latter's rounds 3 and 4 are done again
        with (tmp_path / "cut" / name).open("a") as file:
            file.write('{"round":5,"to"')
    assert main(["finetune", "--config", str(run), "--seeds", "2", "--out", str(tmp_path / "cut")]) == 0
    again = read_lines(tmp_path / "cut" / "timings.jsonl")
    kept = [line for line in lines if line["to"] <= 3]
    assert again[: len(kept)] == kept
    assert [line["from"] for line in again] == [0, *(line["to"] for line in again[:-1])]
    assert again[-1]["to"] == ROUNDS
    assert_same_outcome(tmp_path / "cut", run)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "holds 2 seeds: name the one to export with --seed, 0 to 1"),
        (("--seed", "2"), "has no seed 2: it is a run of seeds 0 to 1"),
        (("--seed", "1", "--round", "4"), "no checkpoint of round 4: choose among 3, 5"),
    ],
)
def test_export_refuses_in_a_sentence(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    assert main(["export", str(run), "--out", str(tmp_path / "out"), *options]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said


def test_a_run_of_one_seed_has_seed_0_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused before the model is loaded; seed 0 goes on to what is missing."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps({"command": "finetune", "prompt": "2?", "answer": "7"}))
    for seed, words in (("1", "no seed 1: it is a run of one seed, so leave out --seed"), ("0", "holds no checkpoint")):
        assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--seed", seed]) == 2
        assert words in capsys.readouterr().err


def test_a_configuration_of_many_seeds_serves_any_number(run: Path, tmp_path: Path) -> None:
    """Catches a setting that is lost, and seeds that are taken over unasked; and with --seeds, it is the run itself."""
    assert main(["finetune", "--config", str(run), "--rounds", "1", "--out", str(tmp_path / "one")]) == 0
    one, many = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path / "one", run))
    assert (one["command"], one["rounds"]) == ("finetune", 1)
    assert many["seeds"] == SEEDS
    left_out = {"command", "rounds", "seeds", "resolved"}
    assert {name: one[name] for name in one.keys() - left_out} == {name: many[name] for name in many.keys() - left_out}
    before = (run / "history.jsonl").read_bytes()
    assert main(["finetune", "--config", str(run / "config.json"), "--seeds", "2", "--out", str(run)]) == 0
    assert (run / "history.jsonl").read_bytes() == before


def test_responses_that_end_before_the_checkpoint_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that was cut by hand, or taken away."""
    shutil.copytree(run, tmp_path / "cut")
    lines = (run / "responses.jsonl").read_text().splitlines(keepends=True)
    for kept, words in ((3, "ends with round 2"), (0, "ends with no round")):
        (tmp_path / "cut" / "responses.jsonl").write_text("".join(lines[:kept]))
        assert main(["finetune", "--config", str(run), "--seeds", "2", "--out", str(tmp_path / "cut")]) == 2
        assert f"responses.jsonl {words}, but the newest checkpoint is of round 5" in capsys.readouterr().err
        assert (tmp_path / "cut" / "responses.jsonl").read_text() == "".join(lines[:kept])
