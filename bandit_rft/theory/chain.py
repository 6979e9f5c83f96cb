"""From the law of a jump chain to its prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from bandit_rft.theory.catalogue import about
from bandit_rft.theory.jump_law import Moments
from bandit_rft.theory.prediction import Law, Prediction

__all__ = ["Chain", "chain_prediction"]


class Chain(Law, Protocol):
    """A law whose moments are known round by round."""

    def moments(self, rounds: int) -> Moments:
        """Exact moments by round."""
        ...


def chain_prediction(name: str, law: Chain, rounds: int, parameters: Mapping[str, Any]) -> Prediction:
    """Mean curves of the chain with exact standard deviations, as the entry `name`. Work: rounds x live states."""
    moments = law.moments(rounds)
    return Prediction(
        **about(name),
        value=moments.value,
        regret=np.cumsum(moments.gap),
        value_sd=moments.value_sd,
        regret_sd=moments.regret_sd,
        value_jump=moments.value_jump,
        parameters=parameters,
        law=law,
    )
