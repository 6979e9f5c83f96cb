"""Which law a run gets: its numbers, its refusals, and what is fitted where nothing was measured."""

import math

import numpy as np
import pytest

from bandit_rft import History, theory
from bandit_rft.errors import NoLawError
from bandit_rft.run_law import RunLaw, fit_gain, law_of
from tests.bandit_rft.test_half_time import drawn

CONFIG = {
    "index": 3,
    "optimizer": "sgd",
    "signal": "raw",
    "rollouts": 1,
    "epochs": 1,
    "aggregation": "seq-mean-token-sum",
    "kl_coefficient": 0.0,
    "gradient_clip": None,
    "rounds": 10,
    "resolved": {"learning_rate": 0.25, "measurement": {"kappa": 2.0, "successes": 13, "rollouts": 50}},
}


def law(rewards=None, **changes) -> RunLaw:
    rewards = np.ones((1, 10, 1)) if rewards is None else rewards
    before = {"round": 0, "measured": "train", "successes": 7, "samples": 50}
    return law_of(
        History(
            rewards=rewards,
            value=np.full(rewards.shape[:2], np.nan),
            pulled_mean=None,
            best_mean=None,
            config={**CONFIG, **changes},
            evaluations=(before,),
        )
    )


def test_it_starts_at_the_pooled_p0_and_uses_the_measured_kappa():
    found = law()
    assert found.prediction is not None
    assert found.prediction.value[0] == pytest.approx(20 / 100)
    assert found.prediction.rounds == 11  # the last is after all updates
    assert found.prediction.parameters["kappa"] == 2.0
    assert (found.fitted_on, found.fallback, found.reason) == (0, None, "")
    assert found.band is not None
    low, high = found.band
    assert np.all(low <= found.prediction.value + 1e-12)
    assert np.all(low <= high)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer": "adamw"}, "optimiser is adamw"),
        ({"epochs": 2}, "2 epochs"),
        ({"aggregation": "token-mean"}, "averaged as token-mean"),
        ({"index": [1, 2]}, "several questions"),
        ({"replay": 2}, "replay = 2"),
        ({"truncated_importance": 0.5}, "every token at 0.5"),
        ({"resolved": {"learning_rate": 0.25, "measurement": {"kappa": -1.0, "successes": 1, "rollouts": 64}}}, "-1"),
        ({"resolved": {"measurement": {"kappa": 1.0, "successes": 1, "rollouts": 64}}}, "step size"),
    ],
)
def test_a_run_without_a_law_says_why(changes, words):
    found = law(**changes)
    assert found.prediction is None
    assert words in found.reason
    assert found.sentence().startswith("No law applies: ")
    with pytest.raises(NoLawError):
        found.at(5)


@pytest.mark.parametrize(("clip", "tree"), [(None, True), (0.2, True), (None, False)])
def test_epochs_have_a_law_on_a_tree_without_a_clip(clip, tree):
    """Catches epochs that the law forgets: three of a third of the step learn about as fast as one of the whole."""
    sample = drawn(np.random.default_rng(0), 400)

    def told(epochs: int, rate: float) -> RunLaw:
        changes = {"epochs": epochs, "clip": clip, "resolved": {**CONFIG["resolved"], "learning_rate": rate}}
        return law_of(
            History(
                rewards=np.ones((1, 10, 1)),
                value=np.full((1, 10), np.nan),
                pulled_mean=None,
                best_mean=None,
                config={**CONFIG, **changes, "rounds": 40},
                evaluations=(),
                tree=sample.arrays() if tree else None,
            )
        )

    found = told(3, 0.1)
    if clip is not None or not tree:
        assert found.prediction is None
        assert "3 epochs" in found.reason
        return
    assert found.prediction is not None
    assert found.prediction.name == "tree_rounds"
    whole = told(1, 0.3).prediction
    assert whole is not None
    # First order, and the error of a mean over 1,024 runs: measured .006 at most.
    np.testing.assert_allclose(found.prediction.value, whole.value, atol=0.03)
    assert found.prediction.value[-1] > found.prediction.value[0] + 0.1


@pytest.mark.parametrize(
    ("changes", "pull", "words"),
    [
        ({"kl": "k1"}, False, "k1, whose gradient is zero"),
        ({"kl": "k1", "kl_weighted": True}, True, "token by token"),
        ({"kl": "k2"}, True, "token by token"),
        ({"kl": "k3"}, True, "k3 descends KL(start | policy)"),
        ({}, True, "k3 descends KL(start | policy)"),
        ({"kl": "k3", "kl_weighted": True}, True, "token by token"),
    ],
)
def test_the_estimator_of_the_kl_decides_what_its_gradient_pulls(changes: dict, pull: bool, words: str):
    """Catches a law that pulls to the start where the run does not: the gradient of an unweighted k1 is zero in the
    mean, whatever its coefficient; and a KL of another kind than the law's that nobody is told of.
    """
    sample = drawn(np.random.default_rng(0), 400)

    def end(**given) -> float:
        config = {**CONFIG, "signal": "signed", **given}
        history = History(
            rewards=np.ones((1, 10, 1)),
            value=np.full((1, 10), np.nan),
            pulled_mean=None,
            best_mean=None,
            config=config,
            evaluations=({"round": 0, "measured": "train", "successes": 7, "samples": 50},),
            tree=sample.arrays(),
        )
        found = law_of(history)
        assert found.prediction is not None
        assert (words in " ".join(found.caveats)) == bool(given)
        return float(found.prediction.value[-1])

    assert (end(kl_coefficient=5.0, **changes) != end()) == pull


def test_groups_have_their_own_law():
    found = law(signal="rloo", rollouts=4, rewards=np.ones((1, 10, 4)))
    assert found.prediction is not None
    assert found.prediction.name == "pg_group"


def test_without_a_measurement_the_fit_stands_beside_the_refusal():
    """Catches a fitted curve that is sold as a prediction."""
    rewards = np.ones((3, 10, 1))
    found = law(rewards, resolved={"learning_rate": 0.25})
    assert found.prediction is None
    assert "run with --measure" in found.reason
    assert found.shown is found.fallback is not None
    assert found.fallback.fitted_on == 2
    assert "fitted on the first 2 rounds" in found.sentence()
    assert law(np.zeros((3, 10, 1)), resolved={"learning_rate": 0.25}).fallback is None


def test_the_fit_finds_the_gain_that_made_the_rewards():
    """40 chains of 200 rounds at gain .5: the median of single estimates within 15% (its error at this seed is about
    5%), and the estimate from all together within 10%."""
    generator = np.random.default_rng(1)
    chain = theory.pg_jump_single(0.2, 0.5, 200, kappa=1.0).law
    assert chain is not None
    logits, runs = chain.logits(201), np.zeros((40, 200))
    for run in runs:
        for t in range(200):
            run[t] = generator.random() < 1 / (1 + math.exp(-logits[int(run.sum())]))
    assert np.median([fit_gain(0.2, run) for run in runs]) == pytest.approx(0.5, rel=0.15)
    assert fit_gain(0.2, runs) == pytest.approx(0.5, rel=0.1)


def several(**changes) -> RunLaw:
    """The law of a run that draws two of three questions a round, GRPO on groups of four."""
    samples = tuple(drawn(np.random.default_rng(place), 200) for place in range(3))
    between = {(i, j): 0.2 * samples[i].kernel[:, : len(samples[j].branches)] for i in range(3) for j in range(i)}
    forest = theory.ForestSample(samples, between)
    config = {"index": [1, 2, 5], "prompts_per_round": 2, "signal": "grpo", "rollouts": 4, "rounds": 20, **changes}
    return law_of(
        History(
            rewards=np.ones((1, 10, 8)),
            value=np.full((1, 10), np.nan),
            pulled_mean=None,
            best_mean=None,
            config={**CONFIG, **config},
            evaluations=(),
            tree=forest.arrays(),
        )
    )


def test_several_questions_with_trees_have_a_law_with_its_band_and_half_time(monkeypatch):
    """Catches a forest that its file does not give back, and the law of one question in its place."""
    monkeypatch.setattr("bandit_rft.theory.remeasured.RESAMPLES", 4)
    found = several()
    assert found.prediction is not None, found.reason
    assert found.prediction.name == "tree_rounds"
    assert found.prediction.parameters["questions"] == 2
    assert "2 of 3 questions a round" in found.sentence()
    assert found.band is not None
    assert np.all(found.band[0] <= found.band[1])
    times = found.half_times()
    assert list(times) == ["tree"]
    assert found.half_time is not None
    assert found.half_time.time == times["tree"]
    assert 0 < found.half_time.low <= found.half_time.high


def test_several_questions_whose_update_has_no_law_say_why():
    found = several(mini_batches=3)
    assert found.prediction is None
    assert "mini_batches = 3" in found.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"window": 12}, "against a window of 12 scores"),
        ({"dynamic_sampling": 3}, "with dead groups drawn again up to 3 times"),
        ({"baseline_rollouts": 4}, "with 4 more for its baseline"),
        ({"normalise": "batch"}, "by the spread of the batch"),
    ],
)
def test_what_a_round_draws_and_compares_reaches_the_law(changes: dict, said: str):
    """Of several questions by their trees, and of one without a tree by p0 and kappa. Catches a setting of the run that
    is silently left out: the curves of 20 rounds then are those of the plain run.
    """
    found, plain = several(**changes), several()
    assert found.prediction is not None, found.reason
    assert plain.prediction is not None
    assert said in found.sentence()
    assert found.prediction.rollouts == 2 * (4 + changes.get("baseline_rollouts", 0))
    assert np.abs(found.prediction.value - plain.prediction.value).max() > 0.003
    if "normalise" in changes:
        return
    rollouts = 4 + changes.get("baseline_rollouts", 0)
    settings = {"signal": "grpo", "rollouts": 4, "rewards": np.ones((1, 10, rollouts))}
    alone, without = law(**settings, **changes), law(**settings)
    assert alone.prediction is not None, alone.reason
    assert without.prediction is not None
    assert alone.prediction.name == ("pg_window" if "window" in changes else "pg_group")
    assert said in alone.sentence()
    assert alone.prediction.rollouts == rollouts
    assert alone.prediction.value[-1] > without.prediction.value[-1] + 0.001
    assert set(alone.half_times()) == {"constant_kappa_chain", "flow", "one_over_p0"}


def test_a_window_beside_what_only_a_tree_has_is_refused_without_one():
    found = law(signal="grpo", rollouts=4, window=12, epochs=3, clip=None)
    assert found.prediction is None
    assert "3 epochs" in found.reason


def test_the_half_time_of_a_run_with_a_kl_term_is_that_of_its_own_law():
    """Read off the run's own curve. The laws of p0 and kappa, which know of no KL term, are left out, or say so.
    Catches a time of the law without the term beside a curve with it.
    """
    sample = drawn(np.random.default_rng(0), 400)
    measurement = {"kappa": 1.0, "successes": 80, "rollouts": 400}
    config = {**CONFIG, "rounds": 40, "resolved": {"learning_rate": 1.0, "measurement": measurement}}

    def asked(beta: float, tree: bool = True) -> RunLaw:
        given = {**config, "kl_coefficient": beta, "kl": "k2"}
        value, arrays = np.full((1, 10), np.nan), sample.arrays() if tree else None
        none = {"pulled_mean": None, "best_mean": None, "evaluations": ()}
        return law_of(History(rewards=np.ones((1, 10, 1)), value=value, config=given, tree=arrays, **none))

    free, held = asked(0.0).half_times(0.3), asked(0.3)
    assert held.prediction is not None
    curve = np.asarray(held.prediction.value)
    assert curve[-1] > 0.3
    assert held.half_times(0.3) == {"tree": np.argmax(curve >= 0.3)}
    assert free["tree"] < np.argmax(curve >= 0.3)
    alone = asked(0.3, tree=False)
    assert alone.prediction is not None
    assert alone.prediction.name == "rft_predict"
    assert "left out" in " ".join(alone.caveats)
    assert "the law's KL term" not in " ".join(alone.caveats)
    assert "the law's KL term" in " ".join(held.caveats)
