"""`bandit-rft finetune --seeds` within one process: chunks, evaluations, damaged checkpoints, numbers not finite."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import bandit_rft
from bandit_rft.cli import main
from bandit_rft.runs import EVALUATIONS, RunFolder, read_history, read_lines
from bandit_rft.settings.saved_finetune import config_of
from llm_bridge import load_model
from llm_bridge.bandits.token_arms import TokenPromptArms, TokenQuestionArms
from llm_bridge.data import datasets
from llm_bridge.training import checkpoints
from llm_bridge.training.finite import NotFiniteError
from llm_bridge.training.from_settings import learner as learner_of
from llm_bridge.training.recorder import RunRecorder
from tests.llm_bridge.survival import assert_same_outcome, cut_short, fill_lines, flip_a_byte, litter, sentence

pytestmark = pytest.mark.usefixtures("compiled_quickly")
SEEDS, ROUNDS, RATE = 2, 9, 0.001
OPTIONS = {
    "model": "tiny-llama",
    "data": "tiny-addition",
    "reward_wrong": -1.0,  # every round moves the weights, whatever the responses are
    "kl_coefficient": 0.0,
    "learning_rate": RATE,
    "max_tokens": 12,
    "rounds": ROUNDS,
    "train_samples": 4,
    "test_questions": 2,
    "evaluate_every": 4,
    "test_every": 5,
    "checkpoint_every": 3,
    "keep_checkpoints": 3,
}
Counted = tuple[Path, str, int]


def run(out: Path, **options: object) -> int:
    given = [f"--{name.replace('_', '-')}={value}" for name, value in {**OPTIONS, **options}.items()]
    return main(["finetune", *given, "--seeds", str(SEEDS), "--out", str(out)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Counted:
    """An undisturbed run, what it printed, and how often a round of it was traced."""
    folder = tmp_path_factory.mktemp("seeds") / "whole"
    traced = 0
    pull = TokenQuestionArms.pull

    def counted(*given: object) -> jax.Array:
        nonlocal traced
        traced += 1
        return pull(*given)  # pyright: ignore[reportArgumentType]

    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr(TokenQuestionArms, "pull", counted)
        patch.setattr("builtins.print", lambda *words, **how: said.extend(map(str, words)))
        assert run(folder) == 0
    return folder, "\n".join(said), traced


def test_chunks_give_the_bits_of_one_scan(whole: Counted) -> None:
    """Against `run` without a recorder, one scan of all rounds. Catches keys, schedules or optimiser steps that depend
    on where a chunk begins, and a state that passes a chunk's end rounded."""
    folder, _, _ = whole
    config = config_of(None, OPTIONS)
    model = load_model("tiny-llama")
    example = datasets.load("tiny-addition", "train").example(0)
    learner = learner_of(config, model)
    arms = TokenPromptArms(model, example.prompt, example.answer)
    want, got = bandit_rft.run(arms, learner, ROUNDS, seeds=SEEDS, key=0), read_history(folder)
    np.testing.assert_array_equal(got.rewards, want.rewards)
    assert got.metrics.keys() == want.metrics.keys()
    for name, values in want.metrics.items():
        np.testing.assert_array_equal(got.metrics[name], values, err_msg=name)
    found = checkpoints.load_latest(folder / "checkpoints", like=want.final_state)
    assert found is not None
    assert found[0] == ROUNDS
    for name, x, y in zip(
        (path for path, _ in jax.tree_util.tree_leaves_with_path(want.final_state)),
        jax.tree.leaves(found[1]),
        jax.tree.leaves(want.final_state),
        strict=True,
    ):
        np.testing.assert_array_equal(x, y, err_msg=str(name))
    assert (want.metrics["gradient_norm"] > 0).all()


def test_a_round_is_traced_once_whatever_the_chunks(whole: Counted) -> None:
    """The chunks of this run have 1, 2 and 3 rounds. Catches a compilation for each length."""
    assert whole[2] == 1


def test_every_seed_is_evaluated_when_it_is_due(whole: Counted) -> None:
    """Train every 4 rounds, test every 5, both before and after; and the history holds them too."""
    folder, said, _ = whole
    records = read_lines(folder / EVALUATIONS)
    found = [(r["round"], r["measured"], r["seed"]) for r in records]
    both = [(name, seed) for name in ("train", "test") for seed in range(SEEDS)]
    assert found == [
        *((0, "train", None), (0, "test", None)),
        *((4, "train", seed) for seed in range(SEEDS)),
        *((5, "test", seed) for seed in range(SEEDS)),
        *((8, "train", seed) for seed in range(SEEDS)),
        *((9, name, seed) for name, seed in both),
    ]
    assert [(r["samples"], r["questions"]) for r in records[:2]] == [(4, 1), (2, 2)]
    assert list(read_history(folder).evaluations) == records
    assert re.findall(r"round (\d+): (\w+) Pass@1 [\d.]+, mean of 2 seeds", said) == [
        *(("4", "train"), ("5", "test"), ("8", "train"))
    ]


def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_it_leads_to_the_same_end(
    whole: Counted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One cut short, and two with a changed name: rounds are done again, and evaluated again, to the same bits."""
    for name, damage, newest, done in (("a", cut_short, 1, 8), ("b", flip_a_byte, 2, 6)):
        shutil.copytree(whole[0], tmp_path / name)
        found = checkpoints.available(tmp_path / name / "checkpoints")
        assert [checkpoints.round_of(path) for path in found] == [6, 8, 9]
        for path in found[-newest:]:
            damage(path)
        assert run(tmp_path / name) == 0
        # A slow machine shows progress, too.
        said = [line for line in capsys.readouterr().err.splitlines() if re.search("is damaged|done again", line)]
        assert [line.split(" is damaged")[0][-14:] for line in said[:-1]] == [p.name for p in found[: -newest - 1 : -1]]
        assert said[-1] == f"bandit-rft: The run continues after round {done}; rounds {done + 1} to 9 are done again."
        assert_same_outcome(tmp_path / name, whole[0])
        assert not litter(tmp_path / name)


def test_a_disk_that_fills_up_ends_in_a_sentence_and_the_run_goes_on_when_there_is_room(
    whole: Counted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the third round of the history is written. Catches a traceback, half a history, and rounds done twice."""
    with pytest.MonkeyPatch.context() as patch:
        fill_lines("history.jsonl", patch)
        assert run(tmp_path / "cut") == 2
    said = sentence(capsys)
    assert re.fullmatch(
        r"bandit-rft: .*cut(/history.jsonl)? cannot be written \(No space left on device\): make.*", said
    ), said
    assert not litter(tmp_path / "cut")
    assert run(tmp_path / "cut") == 0
    assert_same_outcome(tmp_path / "cut", whole[0])


def test_numbers_that_are_not_finite_stop_with_round_seed_and_last_good_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first step of size 0, a second of 1e30: its weights are finite and ruin the round after."""
    ruin = {"learning_rate": 1e30, "warmup_rounds": 2, "checkpoint_every": 1, "train_samples": 0, "test_questions": 0}
    assert run(tmp_path / "run", **ruin) == 2
    said = sentence(capsys)
    found = re.fullmatch(
        r"bandit-rft: Round (\d+) gave .* in seed [01] on prompt 0 of tiny-addition \(.*\) and the run stopped; the "
        r"last good checkpoint is (\S+): lower the learning rate, .*",
        said,
    )
    assert found, said
    assert checkpoints.round_of(Path(found[2])) < int(found[1])
    assert (Path(found[2]) / "meta.json").exists()


def recorder(folder: RunFolder, **options: object) -> RunRecorder:
    class Arms:
        examples = (SimpleNamespace(prompt="2+2=?"),)

    given = {"rounds": 100, "seeds": 3, "checkpoint_every": 50, "evaluators": {}, "arms": Arms()}
    return RunRecorder(folder=folder, **(given | options))  # pyright: ignore[reportArgumentType]


def test_the_first_round_that_is_not_finite_is_named_and_in_it_the_first_seed(tmp_path: Path) -> None:
    with RunFolder.claim(tmp_path / "run", {}) as folder:
        told = recorder(folder)
        names = ("signal_mean", "loss", "gradient_norm", "kl")
        records = {"rewards": np.zeros((3, 5, 1)), "metrics": {name: np.zeros((3, 5)) for name in names}}
        records["metrics"]["kl"][:] = np.nan  # as where nothing asks for it
        told.check(20, records, {})
        records["metrics"]["loss"][0, 4] = np.inf
        records["rewards"][1, 3] = records["rewards"][2, 3] = np.nan
        with pytest.raises(NotFiniteError, match=r"Round 23 gave responses whose .* in seed 1 ") as found:
            told.check(20, records, {})
        assert found.value.sound == 22
        told.arms.examples = [SimpleNamespace(prompt="2+2=?"), SimpleNamespace(prompt="1+3=?")]
        questions = np.zeros((3, 5, 1), np.int32)
        questions[1, 3] = 1
        with pytest.raises(NotFiniteError, match=r"on prompt 1 \('1\+3=\?'\)"):
            told.check(20, records, {"questions": questions})


def test_chunks_end_where_something_is_due_and_last_about_two_seconds(tmp_path: Path) -> None:
    """At 10 rounds a second after a slow first one. Catches a chunk that passes a checkpoint or an evaluation, and a
    stop that has to wait for minutes."""
    now = 0.0
    with RunFolder.claim(tmp_path / "run", {}) as folder:
        evaluators = {"train": (35, lambda *given: {}), "test": (None, lambda *given: {})}
        told = recorder(folder, evaluators=evaluators, clock=lambda: now)
        done, ends = 0, []
        while done < 100:
            end = told.chunk_end(done)
            now += 0.1 * (end - done) + 30 * (done == 0)
            done = end
            ends.append(done)
    assert ends == [1, 2, 4, 8, 16, 32, 35, 41, 50, 68, 70, 74, 82, 98, 100]


def test_a_run_keeps_its_groups_of_seeds(tmp_path: Path) -> None:
    """Catches a run continued on other cores with other last bits."""
    with RunFolder.claim(tmp_path / "run", {}) as folder:
        assert recorder(folder).groups(2) == 2
        assert recorder(folder).groups(4) == 2
