"""Defaults that depend on the model: how long a response may be, and how large a step; for every caller alike.

The learning rate is AdamW's, and Muon's, whose updates have the size of AdamW's here. It falls with the number of
weights N, as a power law between two rates, and is constant outside them:

    N ≤ 1 million         3e-4     measured: the mean reward of question 16 of `tiny-addition`, one response per round,
                                   4 seeds, is 1.0 in rounds 50 to 70 for tiny-llama (1e-4 and 1e-3 too) and tiny-olmo2
    N ≥ 1.5 billion       1e-6     the default of verl and TRL, and that of arXiv 2601.14599 and 2601.22532

Of a model with adapters (`llm_bridge.models.lora`) N counts the adapters, which alone are trained.

Nothing in between was tuned: 6.5e-6 for 135 million weights is the law's, no finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError
from llm_bridge.bandits.response_arms import longest_response
from llm_bridge.models import placement

if TYPE_CHECKING:
    from llm_bridge.language_model import LanguageModel

SMALL, LARGE = (1e6, 3e-4), (1.5e9, 1e-6)  # (weights, learning rate)
# Fewer rounds than so many at the default rate are hardly seen in Pass@1.
FEW_ROUNDS = 10
max_tokens = longest_response


def weights_of(model: LanguageModel) -> int:
    """How many weights the model has."""
    return sum(leaf.size for leaf in jax.tree.leaves(model.params))


def trained_of(model: LanguageModel) -> int:
    """How many of them training moves: all, or the adapters' alone."""
    return sum(leaf.size for leaf in jax.tree.leaves(model.trained))


def learning_rate(optimizer: Any, weights: int) -> float:
    """The learning rate for a model of so many weights, to two digits.

    Args:
        optimizer: as `FineTune` takes it; one of the user's own has its rate in itself, and this one is not read.
        weights: how many the model has.

    Raises:
        InputError: plain SGD, whose step has the gradient's size: no rate suits every model.
    """
    if optimizer == "sgd":
        raise InputError("sgd has no step size that suits every model: give learning_rate.")
    (small, high), (large, low) = SMALL, LARGE
    rate = np.exp(np.interp(np.log(weights), np.log([small, large]), np.log([high, low])))
    return float(f"{rate:.1e}")


def reach(model: LanguageModel, optimizer: str, rate: float, rounds: int, steps: int) -> str | None:
    """How far a run can move the weights, as a sentence to print before it; None for SGD, whose gradient decides.

    Args:
        model: as loaded.
        optimizer: "adamw" or "muon"; their steps move a weight by about the rate at most.
        rate: the peak of the learning rate.
        rounds: of the run.
        steps: optimiser steps per round.
    """
    if optimizer == "sgd" or model.config.lora is not None:  # how far adapters move a weight, their product decides
        return None
    weights = weights_of(model)
    usual = learning_rate(optimizer, weights)
    square = sum(map(_square, jax.tree.leaves(model.params)))
    size = (square / weights) ** 0.5
    name = {"adamw": "AdamW", "muon": "Muon"}[optimizer]
    farthest = rate * rounds * steps
    sentence = (
        f"{name} at {rate:.2g} moves a weight by about {farthest:.2g} at most in {rounds} rounds, "
        f"{farthest / size:.2g} of the weights' root mean square"
    )
    equal = farthest / usual
    if equal < FEW_ROUNDS:
        return (
            f"{sentence}: no farther than {equal:.2g} steps at {usual:.2g}, the default for {name} and "
            f"{weights:.2g} weights, so Pass@1 will hardly change; raise --learning-rate or --rounds."
        )
    return f"{sentence}."


def _square(leaf: Any) -> float:
    """The sum of a weight's squares; of one whose parts other processes hold, all of them compute it together."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return float(placement.on_host(_sum_of_squares(leaf)))
    return float(np.sum(np.square(np.asarray(leaf, np.float32))))


@jax.jit
def _sum_of_squares(leaf: jax.Array) -> jax.Array:
    return jnp.sum(jnp.square(leaf.astype(jnp.float32)))
