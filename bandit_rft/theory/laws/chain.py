"""From the law of a jump chain to its prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bandit_rft.theory.catalogue import about
from bandit_rft.theory.laws.jump_law import ChainCurves
from bandit_rft.theory.prediction import Law, Prediction

__all__ = ["Chain", "chain_prediction"]


class Chain(Law, Protocol):
    """A law whose curves are known."""

    def curves(self, rounds: int) -> ChainCurves:
        """Mean curves and their spread."""
        ...


def chain_prediction(name: str, law: Chain, rounds: int, parameters: Mapping[str, Any]) -> Prediction:
    """Mean curves of the chain with their standard deviations, as the entry `name`.

    Exact up to a million rounds: work rounds x live states. Beyond, at some rounds, to a relative error of about 1e-4.
    """
    found = law.curves(rounds)
    return Prediction(
        **about(name),
        at=found.at,
        value=found.value,
        regret=found.regret,
        value_sd=found.value_sd,
        regret_sd=found.regret_sd,
        value_jump=found.value_jump,
        parameters=parameters,
        law=law,
    )
