"""Every constant that is folded into a key is a `Purpose`, and no two purposes share a key."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from bandit_rft.keys import Purpose, as_key

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for package in ("bandit_rft", "llm_bridge") for path in sorted((ROOT / package).rglob("*.py"))]
# Folded into the key that an LLM's learner keeps, into which nothing else is folded.
OF_THE_LEARNERS_OWN_KEY = {Purpose.QUESTION_ORDER, Purpose.MINI_BATCHES}


def test_the_numbers_are_those_of_earlier_runs() -> None:
    """A purpose whose number changes gives a continued run other draws than it began with."""
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "QUESTION_ORDER": 1,
        "MINI_BATCHES": 2,
        "TRAIN_EVALUATION": 2147483649,
        "TEST_EVALUATION": 2147483650,
        "MEASUREMENT": 2147483651,
        "QUESTION_CHOICE": 2147483652,
        "OWN_EVALUATION": 2147483653,
        "FURTHER_DRAW": 2147483654,
        "ADAPTERS": 2147483657,
        "INITIAL_STATE": 4294967295,
    }


def test_no_two_purposes_meet_nor_one_and_a_seed_or_a_round() -> None:
    """Catches a purpose of the same number as another (an alias of an IntEnum has no name of its own), one that
    `fold_in` cuts to the number of another, and one among the numbers of seeds, rounds and questions, which are int32.
    """
    assert len(Purpose.__members__) == len(set(Purpose))
    key = as_key(5)
    folded = [jax.random.key_data(jax.random.fold_in(key, purpose)).tolist() for purpose in Purpose]
    assert len({tuple(words) for words in folded}) == len(Purpose)
    for purpose in set(Purpose) - OF_THE_LEARNERS_OWN_KEY:
        assert np.iinfo(np.int32).max < purpose < 2**32
    # An enum's member folds in as its number does, in both precisions.
    for precise in (False, True):
        with jax.enable_x64(precise):
            for purpose, words in zip(Purpose, folded, strict=True):
                assert jax.random.key_data(jax.random.fold_in(key, np.uint32(purpose))).tolist() == words
                assert jax.random.key_data(jax.random.fold_in(key, purpose)).tolist() == words


def folded_in(tree: ast.Module) -> Iterator[ast.expr]:
    """What is folded into a key, as `fold_in(key, …)` and as `state.key(…)`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr == "fold_in" and len(node.args) == 2:
            yield node.args[1]
        if node.func.attr == "key" and ast.unparse(node.func.value) == "state" and len(node.args) == 1:
            yield node.args[0]


def stray(source: str, module: str) -> list[str]:
    """Constants that a module's source folds into a key and that are no `Purpose`."""
    tree, found = ast.parse(source), []
    for argument in folded_in(tree):
        names = {node.id for node in ast.walk(argument) if isinstance(node, ast.Name)} - {"np", "jnp", "Purpose"}
        if not all(name.isupper() for name in names):
            continue  # a variable
        of_the_list = isinstance(argument, ast.Attribute) and ast.unparse(argument.value) == "Purpose"
        if not of_the_list and not (names and all(isinstance(_value(tree, module, name), Purpose) for name in names)):
            found.append(ast.unparse(argument))
    return found


def _value(tree: ast.Module, module: str, name: str) -> object:
    """What a constant stands for in a module: its own, or one that is imported inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            return getattr(importlib.import_module(node.module or ""), name)
    return getattr(importlib.import_module(module), name)


def test_every_constant_that_is_folded_in_is_a_purpose() -> None:
    """Catches a new `fold_in(key, 3)`, or a constant defined beside its use, which the list would not know."""
    found = {}
    for path in FILES:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if constants := stray(path.read_text(), module):
            found[module] = constants
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "jax.random.fold_in(key, 3)",
        "jax.random.fold_in(key, 2**31 + 1)",
        "jax.random.fold_in(key, np.uint32(7))",
        "jax.random.fold_in(key, MOST)",
        "state.key(3)",
    ],
)
def test_a_constant_of_ones_own_is_seen(line: str) -> None:
    """The test above can fail; `MOST` is a constant of `bandit_rft.keys` that is no purpose."""
    assert stray(line, "bandit_rft.keys") != []


@pytest.mark.parametrize("argument", ["seed", "np.uint32(int(word, 16))", "Purpose.MEASUREMENT"])
def test_variables_and_purposes_are_let_through(argument: str) -> None:
    assert stray(f"jax.random.fold_in(key, {argument})", "bandit_rft.keys") == []
