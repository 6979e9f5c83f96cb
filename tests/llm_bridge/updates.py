"""The fine-tuning learner on a toy model, and the gradient that one round must move it along."""

from functools import partial

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np

from llm_bridge.sampling.generate import Rollouts
from llm_bridge.training.learner import FineTune

MAX_TOKENS = 4
PLAIN = {"optimizer": "sgd", "kl_coefficient": 0.0, "gradient_clip": None, "max_tokens": MAX_TOKENS, "donate": False}
PLAIN |= {"learning_rate": 1e-6}  # where a test does not name one


def early_letter(text: str) -> float:
    """1 where the first letter is among a … p: about a quarter of what the random policy says."""
    return float(text[:1] != "" and text[:1] in "abcdefghijklmnop")


def learner_and_state(arms, **settings):
    learner = FineTune(arms.model, **(PLAIN | settings)).bind(arms, rounds=1)
    return learner, learner.init(jax.random.key(0))


def sample(model, rollouts, seed=1, params=None):
    return model.generate("hello", rollouts=rollouts, max_tokens=MAX_TOKENS, key=jax.random.key(seed), params=params)


def by_hand(tokens, log_probs) -> Rollouts:
    """Responses of full length, [G, T]."""
    rows, length = tokens.shape
    return Rollouts(
        tokens=np.asarray(tokens, np.int32),
        lengths=np.full(rows, length, np.int32),
        log_probs=np.asarray(log_probs, np.float32),
        text=["?"] * rows,
        truncated=tokens[:, -1] != 0,
        prompt_lengths=np.full(rows, 5, np.int32),
    )


@partial(jax.jit, static_argnames="graphdef")
def full_log_probs(params, prompt, tokens, temperature, *, graphdef):
    """[G, T] by one plain forward pass over prompt and response together: no shared prompt, no cache, no chunked
    head."""
    rows = jnp.concatenate([jnp.tile(prompt, (len(tokens), 1)), tokens], axis=1)
    logits = nnx.merge(graphdef, params)(rows)[:, len(prompt) - 1 : -1] / temperature
    return jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], axis=-1)[..., 0]


@partial(jax.jit, static_argnames="graphdef")
def weighted_gradient(params, prompt, tokens, weights, temperature, *, graphdef):
    return jax.grad(lambda p: jnp.sum(weights * full_log_probs(p, prompt, tokens, temperature, graphdef=graphdef)))(
        params
    )


def reference_gradient(model, params, rollouts, signal, mode="seq-mean-token-sum", temperature=1.0):
    """∇ of the aggregated signal × log π, with each token's weight written out in numpy."""
    tokens, lengths = np.asarray(rollouts.tokens), np.asarray(rollouts.lengths)
    mask = (np.arange(tokens.shape[1]) < lengths[:, None]).astype(np.float64)
    weights = {
        "seq-mean-token-sum": mask / len(tokens),
        "seq-mean-token-sum-norm": mask / len(tokens) / MAX_TOKENS,
        "seq-mean-token-mean": mask / len(tokens) / lengths[:, None],
        "token-mean": mask / mask.sum(),
        "token-sum": mask,
    }[mode] * np.asarray(signal, np.float64)[:, None]
    weights, heat = jnp.asarray(weights, jnp.float32), jnp.float32(temperature)
    prompt = jnp.asarray(model.encode("hello"))
    return weighted_gradient(params, prompt, jnp.asarray(tokens), weights, heat, graphdef=model.graphdef)


def assert_moved(before, after, direction, step_size, rtol=2e-4):
    """after − before = step size × direction, leaf by leaf, to a share of the leaf's largest entry."""
    for old, new, way in zip(*map(jax.tree.leaves, (before, after, direction)), strict=True):
        want = step_size * np.asarray(way, np.float64)
        np.testing.assert_allclose(
            np.asarray(new, np.float64) - np.asarray(old, np.float64),
            want,
            atol=rtol * np.abs(want).max() + 3e-7,
            rtol=0,
        )


def identical(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
