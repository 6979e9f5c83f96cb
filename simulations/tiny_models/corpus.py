"""What the embedded models were pretrained on: several ways to answer each prompt, some reliable, some not.

Each response ends in GSM8K's "#### number". The way to answer is drawn for each example from probabilities that depend
on the problem's difficulty (carries of an addition, steps of a story) and on nothing else, train prompts only:

| way | addition | story |
| --- | --- | --- |
| careful | columns from the right, each carry added: "7+5=12\\n4+8+1=13\\n…" | every step: "12+7=19\\n19-5=14\\n…" |
| hasty | the same, each carry dropped with probability `DROP` | the same, each step skipped with probability `DROP` |
| direct | the answer at once: right with probability `DIRECT_RIGHT`, else one with an error | likewise |

A hasty answer looks like a careful one until something is left out, so a model sees no label of the way it is on. The
harder a problem is, the rarer are careful answers: a model trained on this is nearly always right on easy prompts and
nearly never on the hardest, as models are. The tables were set so that Pass@1 over all prompts lies between .2 and .5
and p0 from under .01 to over .9 (docs/tiny-models.md says what was tried).
"""

from __future__ import annotations

from random import Random

from llm_bridge.tiny.tasks import Problem, apply_step
from llm_bridge.tiny.vocabulary import MARKER

# By difficulty: additions with 0 … 3 carries, stories with 1 … 4 steps. Hasty takes the rest.
CAREFUL = {"tiny-addition": (0.97, 0.35, 0.10, 0.003), "tiny-stories": (0.97, 0.40, 0.12, 0.002)}
DIRECT = {"tiny-addition": (0.02, 0.20, 0.15, 0.03), "tiny-stories": (0.02, 0.25, 0.15, 0.03)}
DIRECT_RIGHT = {"tiny-addition": (0.8, 0.4, 0.2, 0.05), "tiny-stories": (0.7, 0.3, 0.1, 0.03)}
DROP = {"tiny-addition": 0.85, "tiny-stories": 0.75}
STYLES = ("careful", "hasty", "direct")


def style_of(name: str, problem: Problem, random: Random) -> str:
    """The way to answer, drawn for one example."""
    level = problem.difficulty - (name == "tiny-stories")
    draw = random.random()
    if draw < CAREFUL[name][level]:
        return "careful"
    return "direct" if draw < CAREFUL[name][level] + DIRECT[name][level] else "hasty"


def response(name: str, problem: Problem, random: Random, style: str | None = None) -> str:
    """One response, without end-of-text.

    Args:
        name: of the task, a key of `DROP`.
        problem: what is answered.
        random: source of all choices.
        style: one of `STYLES`; None draws it.
    """
    style = style or style_of(name, problem, random)
    if style == "direct":
        level = problem.difficulty - (name == "tiny-stories")
        right = random.random() < DIRECT_RIGHT[name][level]
        return f"{MARKER}{problem.answer if right else _near(problem.answer, random)}"
    drop = DROP[name] if style == "hasty" else 0.0
    work, answer = (_columns if name == "tiny-addition" else _story_steps)(problem, drop, random)
    return f"{work}{MARKER}{answer}"


def _near(answer: int, random: Random) -> int:
    """A wrong answer: off by 1 … 10 units, or by as many tens where the answer has three digits."""
    offset = 1 + int(random.random() * 10)
    offset *= 10 if answer >= 100 and random.random() < 0.5 else 1
    return answer - offset if random.random() < 0.5 and answer >= offset else answer + offset


def _columns(problem: Problem, drop: float, random: Random) -> tuple[str, int]:
    a, b = problem.numbers
    carry, work, digits = 0, "", 0
    for place in range(3):
        x, y = a // 10**place % 10, b // 10**place % 10
        if carry and random.random() < drop:
            carry = 0
        total = x + y + carry
        work += f"{x}+{y}{'+1' if carry else ''}={total}\n"
        carry = int(total >= 10)
        digits += total % 10 * 10**place
    # The last carry is the leading 1; leaving it out is an error like the others.
    if carry and random.random() >= drop:
        digits += 1000
    return work, digits


def _story_steps(problem: Problem, drop: float, random: Random) -> tuple[str, int]:
    value, work = problem.numbers[0], ""
    for step in problem.steps:
        # A skipped gain can make a later loss one below nothing: then the loss is left out too.
        if random.random() < drop or apply_step(value, step) < 0:
            continue
        after = apply_step(value, step)
        work += f"{value}{step[0]}{step[1]}={after}\n"
        value = after
    return work, value
