"""Short arithmetic word questions, made up here, so that a first run needs no data but its model.

Each question is one of the templates below with numbers and a name drawn from a SHA-256 of its number, so that the
list is the same on every machine and for every version of Python. Test questions come first in the list and never
recur in train.

Three answered questions stand before each (`SHOTS`), in GSM8K's answer format: a small model then answers in a
handful of tokens, "#### 7", which keeps a pull cheap. The numbers are small, so that a small model is right now and
then.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable

SPLITS = ("train", "test")
SIZES = {"test": 300, "train": 500}
_NAMES = (
    "Ana",
    "Ben",
    "Chloe",
    "David",
    "Emma",
    "Farid",
    "Grace",
    "Hugo",
    "Ines",
    "Jack",
    "Kim",
    "Leo",
    "Maya",
    "Noah",
)
_THINGS = ("apples", "books", "marbles", "pencils", "stickers", "coins", "cards", "shells")

# {n} a name, {t} a thing, {a} > {b} > {c} positive numbers below; the answer is a positive integer in every case.
_TEMPLATES: tuple[tuple[str, Callable[[int, int, int], int]], ...] = (
    ("{n} has {a} {t} and buys {b} more. How many {t} does {n} have now?", lambda a, b, c: a + b),
    ("{n} has {a} {t} and gives away {b} of them. How many {t} are left?", lambda a, b, c: a - b),
    ("A box holds {b} {t}. How many {t} are in {c} boxes?", lambda a, b, c: b * c),
    ("{n} puts {bc} {t} into {c} equal rows. How many {t} are in each row?", lambda a, b, c: b),
    ("{n} had {a} {t}, lost {b} and found {c}. How many {t} does {n} have now?", lambda a, b, c: a - b + c),
    (
        "{n} buys {b} packs of {c} {t} and had {a}. How many {t} does {n} have in all?",
        lambda a, b, c: b * c + a,
    ),
    (
        "Each of {b} children has {c} {t}. They find {a} more. How many {t} do they have now?",
        lambda a, b, c: b * c + a,
    ),
    ("{n} has {a} {t}, and a friend has {b} fewer. How many {t} do they have together?", lambda a, b, c: 2 * a - b),
)

_SOLVED = (
    ("Sam has 3 pens and buys 2 more. How many pens does Sam have now?", 5),
    ("A bag holds 4 nuts. How many nuts are in 3 bags?", 12),
    ("Lily had 9 plums, ate 5 and picked 2. How many plums does Lily have now?", 6),
)
SHOTS: tuple[dict[str, str], ...] = tuple(
    {"role": role, "content": content}
    for question, answer in _SOLVED
    for role, content in (("user", question), ("assistant", f"#### {answer}"))
)


def questions(split: str) -> tuple[tuple[str, int], ...]:
    """(question, answer) pairs of a split: 500 of "train", 300 of "test", all different."""
    everything = _all()
    return everything[: SIZES["test"]] if split == "test" else everything[SIZES["test"] :]


@functools.cache
def _all() -> tuple[tuple[str, int], ...]:
    made: dict[str, int] = {}
    number = 0
    while len(made) < sum(SIZES.values()):
        draw = iter(hashlib.sha256(f"arithmetic question {number}".encode()).digest())
        number += 1
        text, solve = _TEMPLATES[next(draw) % len(_TEMPLATES)]
        name, thing = _NAMES[next(draw) % len(_NAMES)], _THINGS[next(draw) % len(_THINGS)]
        c = 2 + next(draw) % 3
        b = c + 1 + next(draw) % 4
        a = b + 1 + next(draw) % 6
        made.setdefault(text.format(n=name, t=thing, a=a, b=b, c=c, bc=b * c), solve(a, b, c))
    return tuple(made.items())
