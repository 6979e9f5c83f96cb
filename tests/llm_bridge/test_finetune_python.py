"""`llm_bridge.finetune` from Python: objects where the command line takes names; killed, continued, refused."""

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bandit_rft.cli import main
from bandit_rft.errors import InputError
from bandit_rft.keys import Purpose
from bandit_rft.run_law import RunLaw, law_of
from bandit_rft.runs import read_history
from bandit_rft.runs.rollouts import rounds_of
from llm_bridge import Evaluator, FineTune, LanguageModel, PromptArms, QuestionArms, evaluate, finetune, load_model
from llm_bridge.data import datasets
from llm_bridge.training import checkpoints, kept_checkpoints
from llm_bridge.training.description import digest_of
from llm_bridge.training.recorder import RunRecorder
from llm_bridge.training.run import Measuring, Run
from tests.bandit_rft import tiny_folder
from tests.llm_bridge.survival import assert_same_outcome

pytestmark = pytest.mark.usefixtures("compiled_quickly")
ROUNDS = 5


class Question:
    """A question of the user's own: all that is needed of one."""

    def __init__(self, prompt: str, answer: str) -> None:
        self.prompt, self.answer = prompt, answer


QUESTIONS = [Question("2+2=?", "7"), Question("3+3=?", "1"), Question("5+1=?", "0")]


def has(answer: str) -> Any:
    return lambda text: float(answer in text)


def scored(worth: float, text: str) -> float:
    return worth * float("7" in text)


def shifted(by: float) -> Any:
    return lambda rewards: rewards - by


def centred(rewards: jax.Array) -> jax.Array:
    return rewards - 0.25


def twice(rewards: jax.Array) -> jax.Array:
    return 2.0 * (rewards - 0.25)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load_model(str(tiny_folder.write(tmp_path_factory.mktemp("models") / "tiny")))


def go(model: LanguageModel, out: Path | None, *, rounds: int = ROUNDS, seeds: int = 2, **settings: Any) -> Run:
    arms = QuestionArms(model, QUESTIONS, has)
    learner = FineTune(
        model,
        **{
            "signal": centred,
            "prompts": 2,
            "rollouts": 2,
            "optimizer": optax.adam(0.01),
            "max_tokens": 4,
            "mini_batches": 2,
            "replay": 1,
            **settings,
        },
    )
    evaluated = [arms, Evaluator("held out", QUESTIONS[:1], every=2, samples=4, ks=(1, 4), verifier=has)]
    return finetune(arms, learner, rounds, seeds, 3, out, evaluate=evaluated, checkpoint_every=2, shown=False)


@pytest.mark.parametrize(
    "settings",
    [{}, {"signal": "grpo", "window": 5}, {"signal": "rloo", "dynamic_sampling": 2}],
    ids=["own-objects", "window", "dynamic-sampling"],
)
def test_own_objects_many_seeds_killed_and_continued_end_as_if_never_killed(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """An own verifier, signal and optimiser, replay and mini-batches, two seeds; a window of scores; groups drawn
    again. Catches a seed's state that is lost or shared, evaluations made twice, and what the same call finds done."""
    whole = go(model, tmp_path / "whole", **settings)
    assert whole.history.rewards.shape == (2, ROUNDS, 4)
    assert set(np.unique(whole.history.rewards)) <= {0.0, 1.0}
    assert not np.array_equal(whole.history.rewards[0], whole.history.rewards[1])
    record, chunk_end = RunRecorder.record, RunRecorder.chunk_end

    def killed(self: Any, history: Any, *rest: Any) -> None:
        record(self, history, *rest)
        if history.rounds >= 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "record", killed)
        # A round at a time, however fast they are: the third is written when it is killed, and has no checkpoint.
        patch.setattr(RunRecorder, "chunk_end", lambda self, done: chunk_end(self, done) and done + 1)
        with pytest.raises(KeyboardInterrupt):
            go(model, tmp_path / "cut", **settings)
    assert read_history(tmp_path / "cut").rounds == 3
    assert [checkpoints.round_of(path) for path in checkpoints.available(tmp_path / "cut" / "checkpoints")] == [2]
    cut = go(model, tmp_path / "cut", **settings)
    assert_same_outcome(tmp_path / "cut", tmp_path / "whole")
    for one, other in zip(*map(jax.tree.leaves, (cut.history.final_state, whole.history.final_state)), strict=True):
        np.testing.assert_array_equal(one, other)
    found = [(e["round"], e["measured"], e["seed"]) for e in cut.evaluations]
    held = [(done, "held out", seed) for done in (2, 4) for seed in (0, 1)]
    last = [(ROUNDS, name, seed) for name in ("train", "held out") for seed in (0, 1)]
    assert found == [(0, "train", None), (0, "held out", None), *held, *last]
    assert cut.evaluations[0]["samples"] == 66  # 22 of each question: at least 64 in all
    again = go(model, tmp_path / "cut", **settings)
    np.testing.assert_array_equal(again.history.rewards, whole.history.rewards)
    np.testing.assert_array_equal(read_history(tmp_path / "cut").rewards, whole.history.rewards)


def test_a_folder_of_a_version_without_a_setting_goes_on_as_by_its_default(
    model: LanguageModel, tmp_path: Path
) -> None:
    """Catches a setting added since then that is asked of an older folder, which says nothing of it."""
    before = go(model, tmp_path / "run", rounds=2, seeds=1)
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    for name in ("normalise", "dynamic_sampling", "window", "signal_k"):
        del config[name]
    path.write_text(json.dumps(config))
    again = go(model, tmp_path / "run", rounds=2, seeds=1)
    np.testing.assert_array_equal(again.history.rewards, before.history.rewards)


def test_a_seed_does_not_depend_on_how_many_run_beside_it(model: LanguageModel, tmp_path: Path) -> None:
    """The same draws, and weights that differ by rounding: products of several seeds have another shape. Catches keys
    by place among the seeds.
    """
    both, one = go(model, tmp_path / "both"), go(model, tmp_path / "one", seeds=1)
    np.testing.assert_array_equal(both.history.rewards[:1], one.history.rewards)
    for x, y in zip(*map(jax.tree.leaves, (both.weights(0), one.weights())), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=2e-6)
    ours, alone = ([(e["round"], e["measured"], e["per_question"]) for e in run.evaluations] for run in (both, one))
    assert [e for e, record in zip(ours, both.evaluations, strict=True) if record["seed"] in (None, 0)] == alone


def test_seeds_with_states_of_their_own_are_exported_and_closed(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint holds the states one after another. Catches another seed's weights, and a finished run whose
    optimiser's states stay, or are missed when it is to go on."""
    monkeypatch.setattr(kept_checkpoints, "LARGE", 1)
    run = go(model, tmp_path / "run", rounds=1)
    for seed in (0, 1):
        assert main(["export", str(tmp_path / "run"), "--seed", str(seed), "--out", str(tmp_path / str(seed))]) == 0
        tuned = load_model(str(tmp_path / str(seed)))
        for x, y in zip(*map(jax.tree.leaves, (tuned.params, run.weights(seed))), strict=True):
            np.testing.assert_array_equal(x, y)
    meta = json.loads((next((tmp_path / "run" / "checkpoints").glob("round_*")) / "meta.json").read_text())
    assert meta["dropped"] == "opt_state"
    again = go(model, tmp_path / "run", rounds=1)
    np.testing.assert_array_equal(again.history.rewards, run.history.rewards)
    with pytest.raises(InputError, match="keeps the weights of its last round"):
        go(model, tmp_path / "run", rounds=2)


def test_every_seed_and_every_evaluation_has_draws_of_its_own(model: LanguageModel) -> None:
    """At a learning rate of 0 all seeds keep the model's weights, so that only the draws tell them apart: each is
    `evaluate` by itself under its own key. Catches a key that seeds, rounds or evaluations share."""
    arms = QuestionArms(model, QUESTIONS, has)
    learner = FineTune(model, optimizer="sgd", learning_rate=0.0, kl_coefficient=0.0, max_tokens=4)
    held = [Evaluator(name, QUESTIONS, samples=40, verifier=has) for name in ("train", "one", "other")]
    run = finetune(arms, learner, 1, seeds=2, key=3, evaluate=held, shown=False)
    found = {(e["measured"], e["round"], e["seed"]): e["per_question"] for e in run.evaluations}
    assert len(found) == 9
    assert len({tuple(counts) for counts in found.values()}) >= 8  # of 9 draws, 41^3 outcomes each, at a fixed key
    base = jax.random.key(3)
    for entry in held:
        for done, seed in ((0, None), (1, 0), (1, 1)):
            key = jax.random.fold_in(entry.key(base), done)
            key = key if seed is None else jax.random.fold_in(key, seed)
            alone = evaluate(model, QUESTIONS, key=key, max_tokens=4, verifier=has, samples=40)
            assert alone.per_question.tolist() == found[entry.name, done, seed]
    keys = [entry.key(base) for entry in held] + [Evaluator("test", QUESTIONS).key(base)]
    keys += [jax.random.fold_in(base, purpose) for purpose in (Purpose.MEASUREMENT, Purpose.OWN_EVALUATION)]
    assert len({tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys}) == 6


def test_each_seed_acts_by_its_own_key(model: LanguageModel, tmp_path: Path) -> None:
    """The first round of every seed against the model's own sampling under that seed's key, written out by hand."""
    arms = PromptArms(model, "2+2=?", has("7"))
    learner = FineTune(model, rollouts=3, max_tokens=4, micro_batch=1)
    finetune(arms, learner, 1, seeds=3, key=5, out=tmp_path / "run", shown=False)
    [found] = rounds_of(tmp_path / "run")
    for seed in range(3):
        act, _ = jax.random.split(jax.random.fold_in(jax.random.fold_in(jax.random.key(5), seed), 0))
        want = model.generate("2+2=?", rollouts=3, max_tokens=4, key=act).text
        assert [r.text for r in found if r.seed == seed] == want


def test_the_folder_names_objects_by_their_source(model: LanguageModel, tmp_path: Path, capsys: Any) -> None:
    """Another signal is refused by name, and so is its file alone by the command line."""
    run = go(model, tmp_path / "run", rounds=1, seeds=1)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["python"] is True
    assert config["signal"] == f"{__name__}:centred"
    objects = json.loads((tmp_path / "run" / "manifest.json").read_text())["digests"]["objects"]
    assert {f"signal {__name__}:centred", f"verifier {__name__}:has"} <= objects.keys()
    with pytest.raises(InputError, match=r"holds a different run \(signal is .*centred.* there and .*twice"):
        go(model, tmp_path / "run", rounds=1, seeds=1, signal=twice)
    assert main(["finetune", "--config", str(tmp_path / "run"), "--out", str(tmp_path / "other")]) == 2
    assert "made in Python" in capsys.readouterr().err
    questions = [json.loads(line) for line in (tmp_path / "run" / "questions.jsonl").read_text().splitlines()]
    assert [(q["prompt"], q["verifier"]) for q in questions[:1]] == [
        ([{"role": "user", "content": "2+2=?"}], f"{__name__}:has")
    ]
    assert [len(found) for found in rounds_of(tmp_path / "run")] == [4]
    assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "tuned")]) == 0
    tuned = load_model(str(tmp_path / "tuned"))
    for x, y in zip(*map(jax.tree.leaves, (tuned.params, run.weights())), strict=True):
        np.testing.assert_array_equal(x, y)
    assert run.report().read_text().count("2+2=?") > 0


class Counted:
    """A verifier that is an object."""

    def __init__(self, answer: str, weights: np.ndarray) -> None:
        self.answer, self.weights = answer, weights

    def __call__(self, text: str) -> float:
        return float(self.answer in text) * float(self.weights.sum())


ONE, TWO = np.ones(1), np.full(1, 2.0)


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        ({"verifier": has("7")}, {"verifier": has("5")}, "verifier"),
        ({"verifier": Counted("7", ONE)}, {"verifier": Counted("5", ONE)}, "verifier"),
        ({"verifier": Counted("7", ONE)}, {"verifier": Counted("7", TWO)}, "verifier"),
        ({"verifier": functools.partial(scored, 1.0)}, {"verifier": functools.partial(scored, 2.0)}, "verifier"),
        ({"optimizer": optax.adam(0.01)}, {"optimizer": optax.adam(0.02)}, "optimizer"),
        ({"signal": shifted(0.25)}, {"signal": shifted(0.5)}, "signal"),
        ({"evaluate": has("7")}, {"evaluate": has("5")}, "verifier of evaluation"),
    ],
)
def test_an_object_that_holds_something_else_is_refused(
    model: LanguageModel, tmp_path: Path, before: dict[str, Any], after: dict[str, Any], name: str
) -> None:
    """Their source is the same, and the values closed over, or their fields, are not: rounds by one verifier must not
    go on by another. The same values, made anew, go on."""

    def once(rounds: int, *, verifier: Any = None, evaluate: Any = None, **settings: Any) -> Run:
        arms = PromptArms(model, "2+2=?", verifier or has("7"))
        rule = evaluate or has("7")
        held = Evaluator("held out", QUESTIONS[:1], samples=2, verifier=lambda answer: rule)
        learner = FineTune(model, max_tokens=2, **settings)
        return finetune(arms, learner, rounds, out=tmp_path / "run", evaluate=[held], shown=False)

    once(1, **before)
    once(1, **before)
    with pytest.raises(InputError, match=rf"The {name}.* is not what the run in .* began with"):
        once(2, **after)


@dataclass(frozen=True)
class Pattern:
    compiled: re.Pattern[str]


class Slotted:
    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def test_the_same_made_anew_has_the_same_digest() -> None:
    assert digest_of(has("7")) == digest_of(has("7")) != digest_of(has("5"))
    assert digest_of(optax.adam(0.01)) == digest_of(optax.adam(0.01)) != digest_of(optax.sgd(0.01))
    assert digest_of(Counted("7", np.ones(1))) == digest_of(Counted("7", ONE)) != digest_of(Counted("7", TWO))
    assert digest_of({"a": {1, 2}}) == digest_of({"a": {2, 1}}) != digest_of({"a": {1, 3}})
    for kind in (lambda text: Pattern(re.compile(text)), Slotted):  # what they hold is in no attribute
        assert digest_of(kind("7")) == digest_of(kind("7")) != digest_of(kind("5"))
    circle: list[Any] = []
    circle.append(circle)
    assert digest_of(circle)
    typed = [eval(f"lambda text: {n}.0") for n in (1, 1, 2)]
    assert digest_of(typed[0]) == digest_of(typed[1]) != digest_of(typed[2])


def test_without_a_folder_nothing_is_left_and_everything_can_be_asked(model: LanguageModel, tmp_path: Path) -> None:
    arms = PromptArms(model, "2+2=?", has("7"))
    learner = FineTune(model, optimizer="sgd", learning_rate=0.1, kl_coefficient=0.0, gradient_clip=None, max_tokens=4)
    run = finetune(arms, learner, rounds=3, seeds=2, evaluate=[arms], measure=8, shown=False)
    assert run.folder.is_dir()
    assert not (run.folder / "checkpoints").exists()
    assert isinstance(run.predict(), RunLaw)
    assert run.report().is_file()
    assert (run.export(tmp_path / "tuned", seed=1) / "model.safetensors").is_file()
    with pytest.raises(InputError, match="seed is 2"):
        run.weights(2)
    folder = run.folder
    del run
    import gc

    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rounds": 0}, "rounds"),
        ({"seeds": 0}, "seeds"),
        ({"key": -1}, "key is -1"),
        ({"log": ["nobody"]}, "no logger 'nobody'"),
        ({"evaluate": [3]}, "entry of type int"),
        ({"evaluate": [[QUESTIONS[0]], [QUESTIONS[1]]]}, "two entries called 'test'"),
        ({"evaluate": [Evaluator]}, "entry of type"),
        ({"measure": Measuring(tree=False)}, "trees alone"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"arms": "arms"}, "arms is str"),
        ({"learner": "sgd"}, "learner is str"),
        ({"evaluate": QUESTIONS[0]}, "evaluate is no list"),
        ({"evaluate": ["2+2=?"]}, "entry of type str"),
        ({"evaluate": [["2+2=?"]]}, "an example of type str"),
        ({"log": "nobody"}, "no logger 'nobody'"),
        ({"measure": 0}, "measure is 0"),
        ({"config": 5}, "config is int"),
        ({"config": {"rounds": 5}}, "config has rounds = 5 and the run has 1"),
        ({"config": {"note": object()}}, "config is no JSON"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    model: LanguageModel, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    arms = QuestionArms(model, QUESTIONS, has)
    given = {"arms": arms, "learner": FineTune(model, max_tokens=4), "rounds": 1, "out": tmp_path / "run", **change}
    with pytest.raises(InputError, match=words):
        finetune(**given)
    assert not (tmp_path / "run").exists()


def test_config_may_say_more_and_several_questions_are_called_so(model: LanguageModel, tmp_path: Path) -> None:
    arms = QuestionArms(model, QUESTIONS, has)
    run = finetune(
        arms, FineTune(model, max_tokens=2), 1, out=tmp_path / "run", config={"note": "a pilot"}, shown=False
    )
    assert run.history.config["note"] == "a pilot"
    assert "on 3 questions" in run.report().read_text()


def test_an_own_learning_rate_schedule_is_taken(model: LanguageModel) -> None:
    arms = PromptArms(model, "2+2=?", has("7"))
    learner = FineTune(model, learning_rate=lambda step: 0.1 / (1.0 + jnp.float32(step)), max_tokens=4)
    run = finetune(arms, learner, rounds=2, shown=False)
    np.testing.assert_allclose(run.history.metrics["learning_rate"], [[0.1, 0.05]])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "adamw"}, 'step size of optimizer="sgd"'),
        ({"learning_rate": 0.1}, "leave out learning_rate"),
        ({"step_over_kappa": 0.0}, "step_over_kappa = 0.0"),
        ({"schedule": "cosine"}, "fixed step size"),
        ({"mini_batches": 2}, "mini_batches = 2"),
    ],
)
def test_a_step_over_kappa_that_cannot_be_is_refused_at_once(
    model: LanguageModel, settings: dict[str, Any], words: str
) -> None:
    """Also what has nothing to do with kappa: not after minutes of measuring it."""
    with pytest.raises(InputError, match=words):
        FineTune(model, **{"optimizer": "sgd", "step_over_kappa": 0.5, **settings})


def test_a_step_over_kappa_is_for_finetune_alone(model: LanguageModel) -> None:
    import bandit_rft

    learner = FineTune(model, optimizer="sgd", step_over_kappa=0.5, max_tokens=4)
    with pytest.raises(InputError, match=r"needs a measured kappa: run it by llm_bridge\.finetune"):
        bandit_rft.run(PromptArms(model, "2+2=?", has("7")), learner, 1)


@pytest.mark.slow
def test_several_questions_learn_as_their_trees_say(tmp_path: Path) -> None:
    """Two of three questions a round, groups of four. Catches a law of one question that is taken for theirs, a kernel
    between questions that is missing, a step that is counted per question, and trees that the folder does not give
    back.

    The mean of 16 seeds' last ten rounds is within .1 of the law: the measurement's own error is some .04, that of the
    mean .015, a false alarm in a hundred of other keys; this one is fixed.
    """
    embedded = load_model("tiny-llama")
    arms = QuestionArms(embedded, [datasets.load("tiny-addition", "train").example(place) for place in (0, 7, 8)])
    learner = FineTune(
        embedded,
        signal="rloo",
        rollouts=4,
        prompts=2,
        optimizer="sgd",
        learning_rate=0.003,
        kl_coefficient=0.0,
        gradient_clip=None,
        max_tokens=32,
    )
    run = finetune(arms, learner, rounds=50, seeds=16, measure=128, shown=False, out=tmp_path / "run")
    law = run.predict()
    assert law.prediction is not None, law.reason
    assert law.prediction.name == "tree_rounds"
    assert "2 of 3 questions a round" in law.sentence()
    assert law.band is not None
    late, first = run.history.rewards[:, 40:].mean(), run.history.rewards[:, :5].mean()
    assert late > first + 0.1
    assert abs(late - law.prediction.value[40:50].mean()) < 0.1
    again = law_of(read_history(tmp_path / "run"))
    assert again.prediction is not None
    np.testing.assert_array_equal(again.prediction.value, law.prediction.value)
    assert main(["predict", str(tmp_path / "run")]) == 0
    assert run.report().is_file()


def always(worth: float) -> Any:
    return lambda text: worth


def asked(prompt: str, answer: str, verifier: Any) -> Any:
    return SimpleNamespace(prompt=prompt, answer=answer, verifier=verifier)


NAMED = [Question("2+2=?", "4")]
OTHER = [Question("1+1=?", "2")]
# What a call is given, what the next one on the same folder is, and what the refusal calls it.
CHANGED = {
    "a test arm set's verifier": (
        lambda model, arms, worth: (arms, [PromptArms(model, "1+1=?", always(worth))]),
        "Question 0 of the evaluation 'test', or its verifier, is",
    ),
    "a question's own": (
        lambda model, arms, worth: (
            QuestionArms(model, [asked("2+2=?", "4", has), asked("1+1=?", "2", lambda answer: always(worth))]),
            [],
        ),
        "The verifier of question 1 of the arms is",
    ),
    "an evaluator's, by name": (
        lambda model, arms, worth: (arms, [Evaluator("test", NAMED, verifier="exact" if worth else "gsm8k-flexible")]),
        "holds a different run .evaluate is",
    ),
    "questions called train": (
        lambda model, arms, worth: (arms, [Evaluator("train", NAMED if worth else OTHER)]),
        "Question 0 of the evaluation 'train', or its verifier, is",
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_no_verifier_and_no_question_of_a_run_may_change_on_the_way(
    model: LanguageModel, tmp_path: Path, name: str
) -> None:
    """Beside the first question's verifier and the evaluators' own objects. Catches evaluations, or rewards, of two
    rules in one folder; and a folder of a version that did not keep these digests, which has to go on."""
    arms = PromptArms(model, "2+2=?", has("7"))
    make, said = CHANGED[name]

    def once(rounds: int, worth: float) -> Run:
        own, evaluate = make(model, arms, worth)
        learner = FineTune(model, max_tokens=2, optimizer="sgd", learning_rate=0.001, kl_coefficient=0.0)
        return finetune(own, learner, rounds, out=tmp_path / "run", evaluate=evaluate, shown=False)

    once(1, 0.0)
    once(1, 0.0)
    with pytest.raises(InputError, match=said):
        once(2, 1.0)
    manifest, config = (json.loads((tmp_path / "run" / f"{of}.json").read_text()) for of in ("manifest", "config"))
    assert all(entry.pop("verifier", None) in (None, "gsm8k-flexible") for entry in config["evaluate"])
    for kind in ("rules", "measured"):
        manifest["digests"].pop(kind, None)
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    assert once(2, 0.0).history.rounds == 2
