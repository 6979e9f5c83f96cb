"""Seeds one after another, and updates as wide as the longest response: the same numbers as all at full width."""

import functools

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from llm_bridge.bandits.token_arms import Responses, TokenPromptArms
from llm_bridge.language_model import LanguageModel
from llm_bridge.models.decoder import Decoder
from llm_bridge.sampling import buckets
from llm_bridge.tiny import vocabulary
from llm_bridge.training import seed_axis
from llm_bridge.training.learner import FineTune
from tests.llm_bridge import toy

pytestmark = pytest.mark.usefixtures("compiled_quickly")
MOST, ROWS, SEEDS = 40, 3, 2  # widths 32 and 40


class Plain:
    """A tokenizer of the embedded models' tokens."""

    def encode(self, text):
        return vocabulary.encode(text)

    def get_vocab(self):
        return vocabulary.ID


@pytest.fixture(scope="module")
def arms():
    shape = toy.config(model_type="llama", tied=True, layers=1, vocabulary=64, eos_ids=(vocabulary.EOS,))
    graphdef, params = nnx.split(Decoder(shape, rngs=nnx.Rngs(3)))
    params = jax.tree.map(lambda leaf: leaf * 4 if leaf.ndim > 1 else leaf, params)
    model = LanguageModel(name="random", config=shape, graphdef=graphdef, params=params, tokenizer=Plain())
    return TokenPromptArms(model, "188+690=?\n", "878")


def _updates(arms, rewards, longest, seeds=SEEDS, **more):
    """The weights after one update of each seed, whose responses have at most so many tokens."""
    settings = {"optimizer": "sgd", "learning_rate": 1.0, "gradient_clip": None, "max_tokens": MOST, **more}
    learner = FineTune(arms.model, rollouts=ROWS, signal="mean_baseline", kl_coefficient=0.0, **settings)
    bound = learner.bind(arms, rounds=1)
    keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(1)))(jnp.arange(SEEDS, dtype=jnp.uint32))
    rng = np.random.Generator(np.random.PCG64(longest))
    lengths = np.stack([rng.integers(1, most + 1, ROWS) for most in (5, longest)]).astype(np.int32)
    lengths[:, -1] = 5, longest
    tokens = rng.integers(3, 60, (SEEDS, ROWS, MOST)).astype(np.int32)
    log_probs = np.where(np.arange(MOST) < lengths[..., None], np.float32(-2), np.float32(0))
    responses = Responses(tokens, lengths, log_probs, np.zeros((SEEDS, ROWS), bool))
    of_seeds = jax.tree.map(lambda leaf: leaf[:seeds], (keys, responses, np.asarray(rewards, np.float32)))
    state = jax.jit(jax.vmap(bound.init))(of_seeds[0])
    state = jax.jit(jax.vmap(bound.update))(state, *of_seeds[1:])
    return jax.tree.map(np.asarray, (state.params, state.metrics["loss"], state.updates))


CORRECTED = {"truncated_importance": 2.0, "old_log_probs": "trainer", "epochs": 2}  # a row's every array of tokens


@pytest.mark.parametrize(
    ("apart", "more"),
    [(True, {}), (False, {}), (True, CORRECTED)],
    ids=["one-by-one", "together", "with-the-sampler's-scores"],
)
def test_an_update_is_the_same_at_any_width(arms, monkeypatch, apart, more):
    """One seed needs 32 tokens and one 40, against a lone width of 40 for both. Catches a row that is cut short, a
    width chosen by another array's lengths, an array of tokens that is not cut as the others are, and, together, a
    width that one seed chooses and another does not fit."""
    monkeypatch.setattr(seed_axis, "one_by_one", lambda: apart)
    rewards = [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    narrow = _updates(arms, rewards, longest=37, **more)
    monkeypatch.setattr(buckets, "widths_to", lambda most, factor: (most,))
    wide = _updates(arms, rewards, longest=37, **more)
    for one, other in zip(*map(jax.tree.leaves, (narrow, wide)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    moved = np.abs(narrow[0]["final_norm"][...] - np.asarray(arms.model.params["final_norm"][...]))
    assert (moved.max(axis=-1) > 1e-3).all()


def test_a_seed_among_others_is_the_seed_alone_to_the_bit_and_no_signal_moves_nothing(arms):
    """The second seed's rewards are all equal, so that it skips its gradient; the first is computed alone as well.
    Catches a width or branch taken from another seed, and a skipped gradient that is not zero."""
    rewards = [[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
    both, alone = (_updates(arms, rewards, longest=37, seeds=seeds) for seeds in (2, 1))
    for one, other in zip(*map(jax.tree.leaves, (both, alone)), strict=True):
        np.testing.assert_array_equal(one[:1], other)
    for leaf, before in zip(*map(jax.tree.leaves, (both[0], arms.model.params)), strict=True):
        np.testing.assert_array_equal(leaf[1], before)
    assert both[2].tolist() == [1, 0]
