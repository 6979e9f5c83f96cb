"""The two generated tasks of the embedded models: prompts with known answers, and a split that keeps train and test
apart.

    tiny-addition    "347+285=?\\n"                                                    -> 632
    tiny-stories     "Ana has 12 apples, buys 7, loses 5, doubles them. How many?\\n"  -> 28

Additions: all 810,000 pairs of three-digit numbers. An unordered pair belongs to one split, so 285+347 is in train
where 347+285 is. Stories: a start from 2 to 20 and one to four steps (gain or lose 1 … 9, or double), every value
within 0 … 99; the start and the steps decide the split, so a test story is no train story under another name.

The split and the order are fixed by SplitMix64 (Steele, Lea & Flood 2014) of the prompt's own numbers: the same on
every machine. About one prompt in eight is a test prompt.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bandit_rft.errors import InputError
from llm_bridge.tiny.vocabulary import DOUBLING, GAINS, LOSSES, NAMES, THINGS

SPLITS = ("train", "test")
STORY_DRAWS = 80_000  # stories drawn; what remains without repeats is the pool
MOST_STEPS = 4
_TEST_SHARE = 8  # one in so many


@dataclass(frozen=True)
class Problem:
    """A prompt, its answer, and what a corpus needs to write responses.

    Attributes:
        prompt: ends in a newline; the response follows.
        answer: a whole number.
        numbers: the two summands, or a story's start.
        steps: of a story: (operation "+", "-" or "*", amount), empty for an addition.
        difficulty: carries of an addition (0 … 3), steps of a story (1 … 4).
    """

    prompt: str
    answer: int
    numbers: tuple[int, ...]
    steps: tuple[tuple[str, int], ...]
    difficulty: int


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: of its data set.
        size: split -> number of prompts.
        problem: (split, index in range) -> Problem.
    """

    name: str
    size: Callable[[str], int]
    problem: Callable[[str, int], Problem]


def scramble(numbers: np.ndarray) -> np.ndarray:
    """SplitMix64's output function on uint64 [...], with its increment: a fixed, well-mixed permutation of 64 bits."""
    mixed = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def carries(a: int, b: int) -> int:
    """Number of carries when a and b are added digit by digit."""
    count = carry = 0
    while a or b:
        carry = int(a % 10 + b % 10 + carry >= 10)
        count, a, b = count + carry, a // 10, b // 10
    return count


def apply_step(value: int, step: tuple[str, int]) -> int:
    """The value after one step of a story."""
    operation, amount = step
    return {"+": value + amount, "-": value - amount, "*": value * amount}[operation]


# ------------------------------------------------------------------------------------------------------- additions


@functools.cache
def _additions() -> dict[str, np.ndarray]:
    """Split -> [N, 2] int, the pairs in their order."""
    first, second = np.divmod(np.arange(810_000, dtype=np.int64), 900)
    pairs = np.stack([first + 100, second + 100], axis=1)
    pairs = pairs[np.argsort(scramble(pairs[:, 0] * 1000 + pairs[:, 1]), kind="stable")]
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    test = scramble(low * 1000 + high + 10**7) % np.uint64(_TEST_SHARE) == 0
    return {"train": pairs[~test], "test": pairs[test]}


def addition(a: int, b: int) -> Problem:
    """The problem of one pair."""
    return Problem(prompt=f"{a}+{b}=?\n", answer=a + b, numbers=(a, b), steps=(), difficulty=carries(a, b))


def _addition(split: str, index: int) -> Problem:
    a, b = (int(number) for number in _additions()[split][index])
    return addition(a, b)


# --------------------------------------------------------------------------------------------------------- stories


@functools.cache
def _stories() -> dict[str, tuple[tuple[int, ...], ...]]:
    """Split -> rows (name, thing, start, number of steps, verb and amount of each step), in their order."""
    draws = np.stack(
        [scramble(np.arange(STORY_DRAWS, dtype=np.uint64) * np.uint64(16) + np.uint64(k)) for k in range(16)]
    )
    columns = draws.astype(np.uint64).T
    found: dict[str, dict[tuple[int, ...], None]] = {"train": {}, "test": {}}
    kinds = len(GAINS) + len(LOSSES) + 1
    for place, raw in enumerate(columns.tolist()):
        start, count = 2 + raw[2] % 19, 1 + place % MOST_STEPS
        content, value = [start, count], start
        for step in range(count):
            verb, amount = raw[3 + 2 * step] % kinds, 1 + raw[4 + 2 * step] % 9
            if verb == kinds - 1 and value > 49:
                verb = len(GAINS)  # too many to double: a loss instead
            if len(GAINS) <= verb < kinds - 1 and value < amount:
                verb = 0
            if verb < len(GAINS) and value + amount > 99:
                verb = len(GAINS)
            step_of = _step(verb, amount)
            value = apply_step(value, step_of)
            content += [verb, step_of[1]]
        code = functools.reduce(lambda mixed, number: int(_one(mixed * 64 + number)), content, 7)
        split = "test" if code % _TEST_SHARE == 0 else "train"
        found[split][(raw[0] % len(NAMES), raw[1] % len(THINGS), *content)] = None
    return {split: tuple(rows) for split, rows in found.items()}


def _one(number: int) -> int:
    """`scramble` of one number, in Python's integers."""
    bits = (1 << 64) - 1
    mixed = (number + 0x9E3779B97F4A7C15) & bits
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & bits
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & bits
    return mixed ^ (mixed >> 31)


def _step(verb: int, amount: int) -> tuple[str, int]:
    if verb < len(GAINS):
        return "+", amount
    return ("-", amount) if verb < len(GAINS) + len(LOSSES) else ("*", 2)


def _story(split: str, index: int) -> Problem:
    name, thing, start, count, *rest = _stories()[split][index]
    value, steps, phrases = start, [], []
    for place in range(count):
        verb, amount = rest[2 * place], rest[2 * place + 1]
        step = _step(verb, amount)
        value = apply_step(value, step)
        steps.append(step)
        word = (*GAINS, *LOSSES, DOUBLING)[verb]
        phrases.append(f"{word} them" if step[0] == "*" else f"{word} {amount}")
    prompt = f"{NAMES[name]} has {start} {THINGS[thing]}, {', '.join(phrases)}. How many?\n"
    return Problem(prompt=prompt, answer=value, numbers=(start,), steps=tuple(steps), difficulty=count)


TASKS = {
    "tiny-addition": Task("tiny-addition", lambda split: len(_additions()[split]), _addition),
    "tiny-stories": Task("tiny-stories", lambda split: len(_stories()[split]), _story),
}


def task(name: str) -> Task:
    """The task of that name. Raises InputError where there is none."""
    if name not in TASKS:
        raise InputError(f"No generated task {name!r}: choose one of {', '.join(TASKS)}.")
    return TASKS[name]
