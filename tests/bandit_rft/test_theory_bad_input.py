"""Every entry of the catalogue, every argument, every kind of nonsense: a number, or one sentence."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest

from bandit_rft import InputError, theory

NONSENSE = [
    *("x", b"1", None, True, float("nan"), float("inf"), -1, 0, 1.5, 1e300, 1e-300, 10**9, 10**19, 10**400),
    *([], [1, 2], {"a": 1}),
]
TREE = theory.ResponseTree(
    node=np.zeros(2), child=np.full(2, -1), reward=np.array([1, 0]), log_prob=np.log([0.2, 0.8]), gram=np.eye(2)
)
SENSE: dict[str, Any] = {
    "tree": TREE,
    "tests": [(TREE, np.eye(2))],
    "at": [0, 5],
    "p0": 0.05,
    "step_size": 0.5,
    "rounds": 20,
    "rollouts": 4,
    "log_arms": 10.0,
    "kappa": 1.0,
    "means": [0.9, 0.5],
    "arms": 5,
    "delta": 0.1,
    "budget": 100,
    "alpha": 0.5,
    "optimal": 2,
    "p": 0.3,
    "signal": "grpo",
    "delay": 2,
    "vocabulary_size": 10,
    "length": 3,
    "gram": np.eye(3) - 1 / 3,
    "policy": [1 / 3] * 3,
    "correct": [1, 0, 0],
    "weights": [1, 1, 1],
    "advantages": [1, 0, 0],
}


@pytest.mark.parametrize("name", list(theory.catalogue()))
def test_nonsense_ends_in_a_sentence(name: str) -> None:
    """Catches a ZeroDivisionError, an OverflowError, NumPy's and SciPy's complaints, and an array of 10^19 numbers."""
    function = theory.catalogue()[name].function
    parameters = inspect.signature(function).parameters
    needed = [key for key, parameter in parameters.items() if parameter.default is inspect.Parameter.empty]
    for argument in parameters:
        for value in NONSENSE:
            arguments = {key: SENSE.get(key, 1) for key in needed} | {argument: value}
            said = ""
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    function(**arguments)
            except InputError as error:
                said = str(error)
            except Exception as error:
                pytest.fail(f"{argument} = {str(value)[:20]!r} ends in {type(error).__name__}: {error}")
            assert "\n" not in said
            assert len(said) < 500
