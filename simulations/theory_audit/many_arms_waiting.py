"""Audit of the wait for a first success where few responses were sampled, by drawing p0, the sample and the wait."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simulations.theory_audit.case import Case, Measured, by_jackknife

_SHARES = (0.25, 0.5, 0.75)


def _waits(key: int, successes: int, rollouts: int, p0: Callable[[np.random.Generator, int], np.ndarray]) -> Measured:
    """Quantiles of the wait over draws of p0 whose sample had so many successes."""
    generator = np.random.default_rng(key)
    chance = p0(generator, 3_000_000)
    chance = chance[generator.binomial(rollouts, chance) == successes]
    # (1 - p)^t is the chance of t failures in a row, here for real t as the entry has it.
    wait = -generator.exponential(size=chance.size) / np.log1p(-chance)
    return by_jackknife(wait, lambda some: np.quantile(some, _SHARES))


def _case(instance: str, successes: int, rollouts: int, p0: Callable[..., np.ndarray], why: str = "") -> Case:
    return Case(
        entry="pulls_to_first_success",
        instance=instance,
        x=_SHARES,
        x_label="probability",
        y_label="pulls to the first success",
        predict=lambda f: [f(share, successes, rollouts) for share in _SHARES],
        measure=lambda key: _waits(key, successes, rollouts, p0),
        inside=not why,
        why=why,
    )


def _jeffreys(generator: np.random.Generator, draws: int) -> np.ndarray:
    return np.clip(generator.beta(0.5, 0.5, draws), 1e-300, 1.0 - 1e-12)


CASES = (
    _case("p0 drawn from Jeffreys' prior, 0 of 3 right", 0, 3, _jeffreys),
    _case("p0 drawn from Jeffreys' prior, 1 of 3 right", 1, 3, _jeffreys),
    _case("p0 drawn from Jeffreys' prior, 0 of 40 right", 0, 40, _jeffreys),
    _case(
        "p0 drawn evenly in its logarithm from 10^-6 to 1, 0 of 40 right",
        0,
        40,
        lambda generator, draws: np.exp(generator.uniform(np.log(1e-6), np.log(0.999), draws)),
        why="More is known of p0 than the sample: most questions are far harder.",
    ),
)
