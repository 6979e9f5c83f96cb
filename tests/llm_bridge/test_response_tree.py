"""The measured tree against full enumeration of a policy of 31 responses, and as a part of fine-tuning runs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft import theory
from bandit_rft.cli import main
from bandit_rft.errors import InputError
from bandit_rft.run_law import law_of
from bandit_rft.runs import read_history
from bandit_rft.runs.trees import TREE
from bandit_rft.theory.compared import LAWS
from bandit_rft.theory.sampled_tree import TreeSample
from llm_bridge.measuring import branch_scores
from llm_bridge.measuring.measure import measure
from llm_bridge.measuring.response_tree import _products, measure_tree, tree_of
from llm_bridge.measuring.sampled import Response
from llm_bridge.sampling import scoring
from tests.llm_bridge.test_measure import PROMPT, Exact, correct


@pytest.fixture(scope="module")
def exact() -> Exact:
    return Exact()


def whole(exact: Exact, **options):
    """The tree of every response, each often enough to be an edge."""
    responses = [
        Response(tokens=np.array(tokens, np.int32), correct=bool(good), count=100)
        for tokens, good in zip(exact.responses, exact.good, strict=True)
    ]
    prompt = np.asarray(exact.model.encode(PROMPT))
    return tree_of(exact.model, prompt, responses, **{"params": exact.model.params, **options})


def test_the_tree_of_all_responses_has_the_policy_s_p0_and_kappa(exact: Exact) -> None:
    """Catches a score at the wrong position, of the wrong token, or a log-probability of another prefix."""
    tree = whole(exact).tree()
    assert tree.p0 == pytest.approx(exact.p0, rel=1e-4)
    assert tree.kappa == pytest.approx(exact.kappa, rel=1e-3)


def test_the_kernel_is_that_of_plain_gradients(exact: Exact) -> None:
    """Against one reverse-mode pass for each branch, without batches or padding."""
    found = whole(exact)
    prompt = jnp.asarray(np.asarray(exact.model.encode(PROMPT), np.int32))

    def score(branch):
        tokens = jnp.asarray([(*branch.prefix, branch.token)], jnp.int32)
        lengths = jnp.asarray([tokens.shape[1]], jnp.int32)

        def log_prob(params):
            return scoring.token_log_probs(exact.model.graphdef, params, prompt, tokens, lengths)[0, -1]

        leaves = jax.tree.leaves(jax.grad(log_prob)(exact.model.params))
        return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in leaves])

    branches = found.sample.branches[:6]
    scores = np.array([score(branch) for branch in branches])
    np.testing.assert_allclose(found.sample.kernel[:6, :6], scores @ scores.T, rtol=1e-3, atol=1e-4)


def test_sums_of_scores_that_nearly_cancel_have_their_norm() -> None:
    """As the rest of a decision that is all but certain, whose score is thousands of times others'. Catches products of
    single precision, whose error is that of the scores, times the square of a thousand: trees were refused for it."""
    draw = np.random.default_rng(0)
    one, noise = draw.normal(size=(2, 200_000))
    features = np.stack([one, -3 * one + 1e-3 * noise]).astype(np.float32)
    rest = np.array([-3000.0, -1000.0])  # the norm of -noise, nearly
    wanted = np.sum((rest @ features.astype(np.float64)) ** 2)
    assert rest @ _products(features, features) @ rest == pytest.approx(wanted, rel=1e-4)


def test_sketched_scores_keep_inner_products(exact: Exact) -> None:
    """Off by at most 5 standard errors of 1/√F in units of the norms (false alarm about 1e-4 for all of them)."""
    plain, folded = whole(exact).sample, whole(exact, sketched=True).sample
    norms = np.sqrt(np.outer(np.diag(plain.kernel), np.diag(plain.kernel)))
    assert np.max(np.abs(folded.kernel - plain.kernel) / norms) < 5 * folded.kernel_error
    assert plain.kernel_error == 0.0


def test_estimates_from_samples_are_near_the_truth(exact: Exact) -> None:
    """Of 12 samples of 128 responses: the means of p0 and κ within 4 standard errors and 3%, 10% (false alarm 1e-4)."""
    found = [
        measure_tree(exact.model, PROMPT, correct, key=key, max_tokens=2, rollouts=128, batch=128).tree()
        for key in range(12)
    ]
    for name, truth, allowed in (("p0", exact.p0, 0.03), ("kappa", exact.kappa, 0.1)):
        values = np.array([getattr(tree, name) for tree in found])
        error = values.std(ddof=1) / np.sqrt(values.size)
        assert abs(values.mean() - truth) < 4 * error + allowed * truth, name


def test_a_measurement_s_tree_is_of_its_own_responses(exact: Exact) -> None:
    found = measure(exact.model, PROMPT, correct, key=3, max_tokens=2, rollouts=32, batch=16, tree=True)
    alone = measure_tree(exact.model, PROMPT, correct, key=3, max_tokens=2, rollouts=32, batch=16)
    assert found.tree is not None
    assert found.tree.sample.counts == alone.sample.counts
    np.testing.assert_allclose(found.tree.sample.kernel, alone.sample.kernel, rtol=1e-5, atol=1e-6)
    assert "tree" not in found.to_json()
    summary = found.summary()
    assert summary.tree is not None
    again = theory.predict(summary, step_size=0.1 / summary.kappa, rounds=4).remeasured
    assert again is not None
    assert np.ptp([one.value[-1] for one in again()]) > 0.0  # other measurements of so few responses differ


def test_a_cross_kernel_with_itself_is_the_tree_s_own(exact: Exact) -> None:
    found = whole(exact)
    np.testing.assert_allclose(found.cross(found), found.tree().gram, rtol=1e-6, atol=1e-6)


def test_a_sample_comes_back_from_its_arrays(exact: Exact) -> None:
    found = whole(exact, coordinates=16).sample
    again = TreeSample.from_arrays(found.arrays())
    assert (again.tokens, again.branches, again.counts) == (found.tokens, found.branches, found.counts)
    np.testing.assert_array_equal(again.tree().gram, found.tree().gram)
    assert again.tree().coordinates is not None
    with pytest.raises(InputError, match="no measured tree"):
        TreeSample.from_arrays({name: value for name, value in found.arrays().items() if name != "kernel"})


RUN = (
    "finetune --model tiny-llama --data tiny-addition --index 3 --optimizer sgd --step-over-kappa 0.5 --rounds 3 "
    "--train-samples 0 --test-questions 0 --measure-rollouts 64 --no-measure-error --max-tokens 32 --kl-coefficient 0 "
    "--gradient-clip none --out"
)


def test_scores_are_measured_once_more_where_adam_goes(exact: Exact) -> None:
    """Against a tree measured on weights that are moved by hand along the sign of ∇ ln p. Catches a way of another sign
    or length, scores or log-probabilities of the start, and coordinates of other weights."""
    tree = whole(exact, coordinates=64)
    moved, params = tree.sample.moved, exact.model.params
    assert moved is not None
    prompt = jnp.asarray(np.asarray(exact.model.encode(PROMPT), np.int32))
    right = [tokens for tokens, good in zip(exact.responses, exact.good, strict=True) if good]
    lengths = jnp.asarray([len(one) for one in right], jnp.int32)
    tokens = jnp.asarray([(*one, *[0] * (int(lengths.max()) - len(one))) for one in right], jnp.int32)

    def log_p(weights):
        logs = scoring.token_log_probs(exact.model.graphdef, weights, prompt, tokens, lengths)
        return jax.nn.logsumexp(jnp.where(jnp.arange(tokens.shape[1]) < lengths[:, None], logs, 0.0).sum(axis=1))

    slope = jax.jit(jax.grad(log_p))(params)
    flat = np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(slope)])
    total = np.abs(flat).sum()
    assert moved.reach == pytest.approx(1 / total, rel=1e-3)
    chosen = branch_scores.choose(params, 64, False)
    starts = np.cumsum([0, *(leaf.size for leaf in jax.tree.leaves(params))])
    own = np.concatenate([within + start for within, start in zip(chosen.within, starts[:-1], strict=True)])
    shown, even = np.abs(flat[own]).sum() / total, 64 / flat.size
    assert moved.share == pytest.approx(shown if even / 2 < shown < 2 * even else even, rel=1e-3)
    there = jax.tree.map(lambda weight, one: weight + moved.reach * jnp.sign(one), params, slope)
    again = whole(exact, coordinates=64, turning=False, params=there)
    assert again.sample.moved is None
    assert again.sample.coordinates is not None
    assert tree.sample.coordinates is not None
    size = np.abs(moved.coordinates).max()
    np.testing.assert_allclose(again.sample.coordinates, moved.coordinates, atol=2e-3 * size)
    assert np.abs(again.sample.coordinates - tree.sample.coordinates).max() > 2e-2 * size
    turned, found = tree.tree(), again.tree()
    assert turned.turned is not None
    assert turned.coordinates is not None
    assert found.coordinates is not None
    np.testing.assert_allclose(turned.coordinates + moved.reach * turned.turned, found.coordinates, atol=5e-3 * size)


def test_a_run_keeps_its_tree_and_its_law_is_the_tree_s(tmp_path, capsys) -> None:
    """Measured once, kept with a digest; damage is a sentence; without it the law is that of p0 and κ."""
    out = tmp_path / "run"
    assert main([*RUN.split(), str(out)]) == 0
    law = law_of(read_history(out))
    assert law.prediction is not None
    assert law.prediction.name == "tree_jump"
    assert set(law.half_times()) == set(LAWS)
    before = (out / TREE).read_bytes()
    assert main([*RUN.split(), str(out)]) == 0
    assert (out / TREE).read_bytes() == before
    assert main(["predict", str(out)]) == 0
    said = capsys.readouterr().out
    assert "tree_jump" in said
    assert "constant kappa" in said
    (out / TREE).write_bytes(before[:-7])
    assert main(["predict", str(out)]) == 2
    assert "not the tree that was measured" in capsys.readouterr().err


def test_measure_tree_no_leaves_the_law_of_two_numbers(tmp_path) -> None:
    out = tmp_path / "run"
    assert main([*RUN.split(), str(out), "--measure-tree", "no"]) == 0
    assert not (out / TREE).exists()
    law = law_of(read_history(out))
    assert law.prediction is not None
    assert law.prediction.name == "rft_predict"
    assert "tree" not in json.loads((out / "config.json").read_text())["resolved"]


def test_adamw_has_the_tree_s_law(tmp_path) -> None:
    out = tmp_path / "run"
    command = RUN.replace("--optimizer sgd --step-over-kappa 0.5", "--learning-rate 1e-4 --measure")
    assert main([*command.split(), str(out)]) == 0
    law = law_of(read_history(out))
    assert law.prediction is not None
    assert law.prediction.name == "tree_rounds"
    assert any("decay" in caveat for caveat in law.caveats)


@pytest.mark.parametrize(
    ("index", "rollouts", "said"), [(3, "24", "decisions in a correct response"), (19, "4", "shows no two kinds")]
)
def test_measure_tree_says_what_the_tree_holds(index, rollouts, said, tmp_path, capsys) -> None:
    """Also of a question that no response answered: a tree without a kappa is a sentence, not a traceback."""
    options = ["--model", "tiny-llama", "--data", "tiny-addition", "--rollouts", rollouts, "--max-tokens", "32"]
    command = ["measure", *options, "--index", str(index), "--no-error", "--tree", "--out", str(tmp_path / "m")]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert said in first
    assert main(command) == 0
    assert said in capsys.readouterr().out


def test_a_tree_of_no_responses_is_a_sentence(exact: Exact) -> None:
    """Catches Python's own error about an empty sequence."""
    with pytest.raises(InputError, match="at least one response"):
        tree_of(exact.model, np.array([1, 2]), [], params=exact.model.params)
