"""Intervals against scipy, pass@k against all subsets, and counting against a scripted model."""

import itertools
import math
from dataclasses import dataclass, field
from fractions import Fraction
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from bandit_rft.errors import InputError
from bandit_rft.theory import pass_at_k, pass_at_k_estimate
from llm_bridge.measuring.evaluate import Evaluation, evaluate, interval, wilson
from llm_bridge.measuring.sampled import sampled
from llm_bridge.sampling.generate import Rollouts
from llm_bridge.training.evaluators import Evaluator
from tests.llm_bridge import toy


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 2000), share=st.floats(0, 1), confidence=st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_wilson_is_scipys(n, share, confidence):
    successes = round(share * n)
    want = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson(successes, n, confidence) == pytest.approx((want.low, want.high), abs=1e-12)


def test_wilson_at_the_ends():
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 7)[0] == 0.0
    assert wilson(7, 7)[1] == 1.0
    for successes, n, confidence in ((8, 7, 0.95), (-1, 7, 0.95), (1, 7, 1.0)):
        with pytest.raises(InputError):
            wilson(successes, n, confidence)


def evaluation(per_question, samples: int) -> Evaluation:
    numbers = dict.fromkeys(("pass_at_1", "low", "high", "confidence", "truncated", "mean_length"), 0.5)
    counts = {"successes": sum(per_question), "samples": samples * len(per_question), "questions": len(per_question)}
    return Evaluation(per_question=np.asarray(per_question), samples_per_question=samples, **counts, **numbers)


def test_pass_at_k_is_the_share_of_subsets_with_a_success():
    for n in range(1, 8):
        for c, k in itertools.product(range(n + 1), range(1, n + 1)):
            subsets = list(itertools.combinations([True] * c + [False] * (n - c), k))
            expected = sum(map(any, subsets)) / len(subsets)
            assert evaluation([c], n).pass_at(k) == pytest.approx(expected, abs=1e-14)
            assert pass_at_k_estimate(n, c, k) == evaluation([c], n).pass_at(k)


def test_pass_at_k_stays_exact_where_binomials_are_huge():
    for n, c, k in ((10_000, 1, 1), (10_000, 3, 5000), (100_000, 50, 64)):
        want = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
        assert evaluation([c], n).pass_at(k) == pytest.approx(float(want), rel=1e-11)


def test_pass_at_k_of_no_success_is_zero_without_a_sign():
    """Without a success it was -0.0, and was printed so."""
    for n, k in itertools.product((1, 2, 9, 100), (1, 2, 7)):
        if k <= n:
            assert str(evaluation([0, 0], n).pass_at(k)) == "0.0"


@pytest.mark.parametrize("k", [1.5, 2.0, True, np.True_, np.float32(2), "2", None, 0, -1, np.nan])
def test_pass_at_k_is_of_a_whole_k(k):
    """k = 1.5 gave a number between those of 1 and 2, and True counted as 1."""
    with pytest.raises(InputError, match="k is"):
        evaluation([1, 3], 4).pass_at(k)
    with pytest.raises(InputError, match="k is"):
        pass_at_k(0.5, k)


def test_pass_at_k_takes_numpys_integers_and_no_more_than_the_samples():
    for k in (np.int64(2), np.uint8(2), np.asarray(2)):
        assert evaluation([1, 3], 4).pass_at(k) == evaluation([1, 3], 4).pass_at(2)
    with pytest.raises(InputError, match=r"pass@5 needs at least 5 samples and there are 4"):
        evaluation([1, 3], 4).pass_at(5)


def test_interval_takes_the_question_as_the_unit():
    """Beta-binomial questions: the interval covers the population's mean in 95% of 1,500 evaluations (± 3 binomial
    standard errors below; fixed seed), where Wilson on the pooled samples covers far less."""
    rng = np.random.default_rng(0)
    covered = naive = 0
    for _ in range(1500):
        p = rng.beta(0.6, 0.9, 40)
        counts = rng.binomial(16, p)
        low, high = interval(counts, 16)
        covered += low <= 0.4 <= high
        low, high = wilson(int(counts.sum()), 40 * 16)
        naive += low <= 0.4 <= high
    assert covered / 1500 > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 1500)
    assert naive / 1500 < 0.7


def test_interval_edges():
    assert interval(np.array([3]), 10) == wilson(3, 10)
    assert interval(np.array([1, 0, 1, 1]), 1) == wilson(3, 4)
    # All correct says nothing of the spread between questions: as good as one sample a question.
    assert interval(np.array([8, 8, 8]), 8) == wilson(3, 3)
    # No spread at all between questions: never narrower than independent samples.
    assert interval(np.array([4, 4, 4]), 8) == wilson(12, 24)


@dataclass(frozen=True)
class Question:
    prompt: str
    answer: str


@dataclass
class Scripted:
    """Says its prompt's first letter, then how many times it was asked that prompt; logs the calls."""

    name: str = "scripted"
    config: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(max_positions=64))
    asked: dict = field(default_factory=dict)
    calls: list = field(default_factory=list)

    def encode(self, prompt):
        return np.asarray([ord(letter) for letter in prompt], np.int32)

    def sample_waiting(self, tokens, row_keys, *, width, **settings):
        for at in range(0, len(row_keys), width):
            rows = np.arange(at, min(at + width, len(row_keys)))
            yield rows, self.sample_rows(tokens[at : at + width], row_keys[rows], **settings)

    def sample_rows(self, tokens, row_keys, *, max_tokens, temperature, params):
        self.calls.append((len(tokens), row_keys.tolist(), temperature, params, max_tokens))
        text, prompts = [], ["".join(map(chr, prompt)) for prompt in tokens]
        for prompt in prompts:
            self.asked[prompt] = self.asked.get(prompt, 0) + 1
            text.append(f"{prompt[0]}{self.asked[prompt]}")
        rows = len(prompts)
        lengths = np.array([len(prompt) for prompt in prompts], np.int32)
        tokens = np.zeros((rows, max_tokens), np.int32)
        return Rollouts(
            tokens=tokens,
            lengths=lengths,
            log_probs=tokens.astype(np.float32),
            text=text,
            truncated=lengths > 2,
            prompt_lengths=lengths,
        )


def starts_well(answer):
    """Correct while the scripted count is at most the number in the answer, and the letter is the question's own."""
    letter, most = answer[0], int(answer[1:])
    return lambda text: float(text[0] == letter and int(text[1:]) <= most)


def test_counts_go_to_their_question_in_the_order_given():
    """Prompts of unequal lengths are sorted for batching; the counts must come back unsorted. Every key is used
    once."""
    questions = [Question("cccc", "c2"), Question("a", "a5"), Question("bbb", "b0"), Question("dd", "d1")]
    model, seen = Scripted(), []
    result = evaluate(
        model,  # pyright: ignore[reportArgumentType]
        questions,
        verifier=starts_well,
        samples=3,
        max_tokens=5,
        key=jax.random.key(0),
        temperature=0.7,
        batch=5,
        params="weights",
        progress=lambda *report: seen.append(report),
    )
    np.testing.assert_array_equal(result.per_question, [2, 3, 0, 1])
    assert (result.successes, result.samples, result.questions, result.samples_per_question) == (6, 12, 4, 3)
    assert result.pass_at_1 == 0.5
    assert result.pass_at(3) == pytest.approx(0.75)
    assert result.truncated == pytest.approx(6 / 12)
    assert result.mean_length == pytest.approx((4 + 1 + 3 + 2) / 4)
    assert (result.low, result.high) == interval(np.array([2, 3, 0, 1]), 3)
    assert [call[0] for call in model.calls] == [5, 5, 2]
    assert len({tuple(key) for call in model.calls for key in call[1]}) == 12
    assert all(call[2:] == (0.7, "weights", 5) for call in model.calls)
    assert [(done, total) for done, total, *_ in seen] == [(5, 12), (10, 12), (12, 12)]


def test_what_is_evaluated_again_and_again_is_encoded_once():
    """A good part of an evaluation of a small model went into the same tokens once more."""

    class Encodes(Scripted):
        def encode(self, prompt):
            pytest.fail(f"{prompt} is encoded again")

    questions = [Question("cccc", "c2"), Question("a", "a5")]
    encoded = [Scripted().encode(question.prompt) for question in questions]
    common = {"verifier": starts_well, "samples": 3}
    settings = {"key": jax.random.key(0), "max_tokens": 5}
    wanted = evaluate(Scripted(), questions, **common, **settings).per_question  # pyright: ignore
    given = evaluate(Encodes(), questions, encoded=encoded, **common, **settings)  # pyright: ignore
    np.testing.assert_array_equal(given.per_question, wanted)
    entry = Evaluator("test", questions, **common)  # pyright: ignore
    measured = entry.bind(Encodes(), encoded, temperature=1.0, shown=False, **settings)  # pyright: ignore
    assert measured(None, 0, None)["per_question"] == wanted.tolist()
    with pytest.raises(InputError, match="encoded has 1 prompts, and examples 2"):
        evaluate(Scripted(), questions, encoded=encoded[:1], **common, **settings)  # pyright: ignore


def test_a_real_model_is_as_good_as_its_policy():
    """One question, 400 samples of one token: Pass@1 within 4.5 standard errors of the enumerated policy (false alarm
    7e-6)."""
    model = toy.model(1, spread=5.0, vocabulary=6)
    logits = model.logits(np.asarray(model.encode("abc"))[None])[0, -1]
    exact = float(np.asarray(jax.nn.softmax(logits))[[1, 3]].sum())
    result = evaluate(
        model,
        [Question("abc", "ac")],
        verifier=lambda answer: lambda text: float(text != "" and text in answer),
        samples=400,
        max_tokens=1,
        key=jax.random.key(3),
        batch=200,
    )
    assert 0.1 < exact < 0.9
    assert abs(result.pass_at_1 - exact) < 4.5 * math.sqrt(exact * (1 - exact) / 400)
    assert (result.low, result.high) == wilson(result.successes, 400)


def test_a_verifier_by_name_scores_numbers():
    @dataclass
    class Says72(Scripted):
        def sample_rows(self, prompts, row_keys, **rest):
            said = super().sample_rows(prompts, row_keys, **rest)
            said.text[:] = ["so 48 + 24 = 72.\n#### 72."] * len(prompts)
            return said

    questions = [Question("p", "72"), Question("q", "71")]
    common = {"max_tokens": 9, "key": jax.random.key(0)}
    assert evaluate(Says72(), questions, **common).successes == 1  # pyright: ignore[reportArgumentType]
    strict = evaluate(Says72(), questions, verifier="gsm8k-strict", **common)  # pyright: ignore[reportArgumentType]
    assert strict.successes == 0


def test_bad_arguments_are_refused():
    common = {"max_tokens": 5, "key": jax.random.key(0), "verifier": starts_well}
    model = Scripted()
    with pytest.raises(InputError, match="no question"):
        evaluate(model, [], **common)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="samples is 0"):
        evaluate(model, [Question("a", "a1")], samples=0, **common)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="context"):
        evaluate(model, [Question("a" * 60, "a1")], **common)  # pyright: ignore[reportArgumentType]


def test_weights_without_a_policy_have_no_pass_at_1():
    """NaN in one weight: each token drawn is an ordinary one. Catches a Pass@1 of 0 for a model that overflows."""
    model = toy.model()
    params = jax.tree.map(lambda leaf: leaf * np.nan, model.params)
    question = SimpleNamespace(prompt="hello", answer="a")
    with pytest.raises(InputError, match="toy gives log-probabilities that are not finite"):
        evaluate(model, [question], key=0, max_tokens=3, verifier=lambda answer: lambda text: 1.0, params=params)
    with pytest.raises(InputError, match="toy gives log-probabilities that are not finite"):
        sampled(model, "hello", lambda text: 1.0, what="measure", key=0, max_tokens=3, params=params)
