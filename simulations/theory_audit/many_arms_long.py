"""Audit of horizons that no simulation reaches: closed forms against forty digits."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import numpy as np

from simulations.theory_audit.case import Case, Measured, exact

_ROUNDS = 10**9
_WANTED = (10, 1000, 10**6, 10**8, _ROUNDS - 1)
_P0, _ROLLOUTS = "1e-8", 3


def _shown(prediction: Any, curve: str) -> np.ndarray:
    """The curve at the shown rounds nearest to those wanted."""
    return getattr(prediction, curve)[_places(prediction.at)]


def _places(at: np.ndarray) -> np.ndarray:
    return np.searchsorted(at, _WANTED)


def _rounds() -> list[int]:
    """The rounds themselves: a thousand, then geometrically spaced, as the documentation of `rounds_shown` says."""
    rest = np.rint(np.geomspace(1000, _ROUNDS - 1, 3096)).astype(np.int64)
    at = np.unique(np.concatenate([np.arange(1000), rest]))
    return at[_places(at)].tolist()


def _digits(curve: str) -> Measured:
    """1 - p of exploring t rounds long is (1 - p0)^(G t + 1), and the loss a round G (1 - p0)^(G t + 1)."""
    found = []
    with localcontext() as context:
        context.prec = 40
        wrong = 1 - Decimal(_P0)
        for t in _rounds():
            none = wrong ** (_ROLLOUTS * t)
            found.append(
                {
                    "value": 1 - wrong * none,
                    "regret": _ROLLOUTS * wrong * (1 - wrong ** (_ROLLOUTS * (t + 1))) / (1 - wrong**_ROLLOUTS),
                    "value_sd": wrong * (none * (1 - none)).sqrt(),
                }[curve]
            )
    return exact([float(number) for number in found])


CASES = tuple(
    Case(
        entry="explore_until_success",
        instance=f"10^9 rounds of three, p0 = 1e-8: {text}, in forty digits",
        x=_WANTED,
        x_label="round",
        y_label=text,
        predict=lambda f, curve=curve: _shown(f(float(_P0), _ROUNDS, rollouts=_ROLLOUTS), curve),
        measure=lambda key, curve=curve: _digits(curve),
    )
    for curve, text in (("value", "Pass@1"), ("regret", "regret, in rewards"), ("value_sd", "sd of Pass@1"))
)
