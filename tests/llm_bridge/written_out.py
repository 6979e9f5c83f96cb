"""Rounds of several prompts, and their objective written out: every row alone through the plain forward pass, verl's
formulas in their own order, and the gradient of that."""

import dataclasses
from functools import partial
from types import SimpleNamespace

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np

from llm_bridge import QuestionArms, QuestionRollouts
from llm_bridge.training.learner import FineTune
from tests.llm_bridge.updates import MAX_TOKENS, PLAIN

PROMPTS = ("hello", "a", "abcdefgh", "zz", "hello")


def starts_in(answer: str):
    """1 where the response starts with one of the answer's letters."""
    return lambda text: float(text[:1] != "" and text[:1] in answer)


def question_arms(model) -> QuestionArms:
    """Five questions, each with letters of its own."""
    answers = ("abcdefghijklmnop", "ABCDEFGHIJKLM", "nopqrstuvwxyz", "0123456789", "qrst")
    examples = [SimpleNamespace(prompt=p, answer=a) for p, a in zip(PROMPTS, answers, strict=True)]
    return QuestionArms(model, examples, starts_in)


def start(arms, rounds=4, **settings):
    bound = FineTune(arms.model, **(PLAIN | settings)).bind(arms, rounds=rounds)
    return bound, bound.init(jax.random.key(0))


def answered(arms, questions, seed=1, params=None) -> QuestionRollouts:
    """Responses whose recorded log-probabilities are a little off, so that ratios are not 1 and some leave the clip."""
    rollouts = arms.generate(
        np.asarray(questions), max_tokens=MAX_TOKENS, key=jax.random.key(seed), temperature=1.0, params=params
    )
    rng = np.random.default_rng(seed)
    lengths = np.minimum(rollouts.lengths, rng.integers(1, MAX_TOKENS + 1, len(questions))).astype(np.int32)
    noise = rng.normal(0, 0.3, rollouts.log_probs.shape).astype(np.float32)
    return dataclasses.replace(rollouts, lengths=lengths, log_probs=rollouts.log_probs + noise)


def elsewhere(state):
    """The state at other weights than the reference's."""
    return dataclasses.replace(state, params=jax.tree.map(lambda leaf: leaf * 1.03, state.params))


@partial(jax.jit, static_argnames=("graphdef", "aggregation", "kl"))
def written_out(
    params, reference, rows, places, chosen, old, counted, signal, low, high, beta, bonus, *, graphdef, aggregation, kl
):
    """The loss, and its gradient: verl's compute_policy_loss, kl_penalty (k3), entropy and agg_loss, spelt out.

    Prompts and responses run as whole rows [R, W] through the plain forward pass: no cache, no chunks, no micro-batch.
    """

    def log_softmax(params):
        return jnp.take_along_axis(jax.nn.log_softmax(nnx.merge(graphdef, params)(rows)), places[..., None], axis=1)

    def loss(params):
        every = log_softmax(params)
        log_probs = jnp.take_along_axis(every, chosen[..., None], axis=2)[..., 0]
        ratio = jnp.exp(jnp.where(counted, log_probs - old, 0.0))
        a = signal[:, None]
        losses = jnp.maximum(-a * ratio, -a * jnp.clip(ratio, 1 - low, 1 + high))
        if kl:
            behind = jnp.take_along_axis(log_softmax(reference), chosen[..., None], axis=2)[..., 0] - log_probs
            losses = losses + beta * (jnp.exp(behind) - behind - 1)
        losses = losses - bonus * -(jnp.exp(every) * every).sum(-1)
        losses = jnp.where(counted, losses, 0.0)
        tokens = counted.astype(jnp.float32)
        if aggregation == "token-mean":
            return losses.sum() / tokens.sum()
        by_row = losses.sum(1)
        if aggregation == "seq-mean-token-mean":
            by_row = by_row / tokens.sum(1)
        else:
            assert aggregation == "seq-mean-token-sum"
        return by_row.mean()

    return jax.value_and_grad(loss)(params)


def down(arms, params, rollouts, signal, *, aggregation="seq-mean-token-sum", low=0.2, high=0.2, beta=0.0, entropy=0.0):
    """(loss, minus its gradient) of the objective written out."""
    width = max(map(len, arms.question_tokens)) + MAX_TOKENS
    rows = np.zeros((len(signal), width), np.int32)
    places = np.zeros((len(signal), MAX_TOKENS), np.int32)
    counted = np.arange(MAX_TOKENS) < rollouts.lengths[:, None]
    for row, question in enumerate(rollouts.questions):
        prompt = arms.question_tokens[int(question)]
        rows[row, : len(prompt) + MAX_TOKENS] = np.concatenate([prompt, rollouts.tokens[row]])
        places[row] = len(prompt) - 1 + np.arange(MAX_TOKENS)
    numbers = (jnp.float32(x) for x in (low, high, beta, entropy))
    arrays = (jnp.asarray(x) for x in (rows, places, rollouts.tokens, rollouts.log_probs, counted))
    loss, gradient = written_out(
        params,
        arms.model.params,
        *arrays,
        jnp.asarray(signal, jnp.float32),
        *numbers,
        graphdef=arms.model.graphdef,
        aggregation=aggregation,
        kl=beta > 0,
    )
    return float(loss), jax.tree.map(jnp.negative, gradient)
