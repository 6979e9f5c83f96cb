"""Answers a second of the verifiers gsm8k-numeric, math-boxed and math-verify.

    python benchmarks/verifiers.py [--answers 4000] [--repeats 3] [--out FILE.json]

The answers are generated from a fixed seed, with MATH's mixture of kinds: two thirds are numbers, the rest fractions,
expressions, points, intervals and words. Of each ground truth one answer is the same text, one is the same value in
another notation, and two are wrong. Each stands in the box of a response of about 600 characters. Verifiers are made
beforehand and the worker processes are started; a rate is the median of the repeats, in which the verifiers take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import time
from pathlib import Path

from llm_bridge import verifiers

SEED = 7
FILLER = "We add the two sides, divide by the common factor, and see that the remainder vanishes. "


def _number(generator: random.Random) -> tuple[str, list[str]]:
    value = generator.randint(-999, 99_999)
    return str(value), [str(value), f"{value:,}", str(value + 1), str(-value - 1)]


def _fraction(generator: random.Random) -> tuple[str, list[str]]:
    above, below = generator.randint(1, 99), generator.randint(2, 99)
    truth = f"\\frac{{{above}}}{{{below}}}"
    return truth, [truth, f"{above}/{below}", f"\\frac{{{above + 1}}}{{{below}}}", str(above)]


def _expression(generator: random.Random) -> tuple[str, list[str]]:
    a, b = generator.randint(2, 30), generator.randint(2, 30)
    kind = generator.randrange(3)
    if kind == 0:
        return f"{a}x+{b}", [f"{a}x+{b}", f"{b}+{a}x", f"{a}x-{b}", f"{a}y+{b}"]
    if kind == 1:
        return f"{a}\\sqrt{{{b}}}", [f"{a}\\sqrt{{{b}}}", f"\\sqrt{{{a * a * b}}}", f"{a}\\sqrt{{{b + 1}}}", str(a)]
    return f"{a}\\pi", [f"{a}\\pi", f"\\pi\\cdot {a}", f"{a + 1}\\pi", str(a)]


def _pair(generator: random.Random) -> tuple[str, list[str]]:
    a = generator.randint(-50, 50)
    b = a + generator.randint(1, 50)
    left, right = generator.choice(("()", "[)", "[]"))
    truth = f"{left}{a},{b}{right}"
    return truth, [
        truth,
        f"\\left{left}{a}, {b}\\right{right}",
        f"{left}{a},{b + 1}{right}",
        f"{left}{a - 1},{b}{right}",
    ]


def _word(generator: random.Random) -> tuple[str, list[str]]:
    first, second, third = generator.sample(("Evelyn", "Briana", "Carla", "Debra", "Angela", "even", "odd"), 3)
    return f"\\text{{{first}}}", [f"\\text{{{first}}}", first, second, f"\\text{{{third}}}"]


def pairs(count: int) -> list[tuple[str, str]]:
    """Ground truth and response, `count` of them."""
    generator = random.Random(SEED)
    found: list[tuple[str, str]] = []
    while len(found) < count:
        make = generator.choices((_number, _fraction, _expression, _pair, _word), weights=(66, 12, 12, 7, 3))[0]
        truth, answers = make(generator)
        found += [(truth, f"{FILLER * 7}So the answer is $\\boxed{{{answer}}}$.") for answer in answers]
    return found[:count]


def number_pairs(count: int) -> list[tuple[str, str]]:
    """GSM8K's: a whole number, and a response that ends in one."""
    generator = random.Random(SEED)
    found: list[tuple[str, str]] = []
    while len(found) < count:
        truth, answers = _number(generator)
        found += [(truth, f"{FILLER * 7}\n#### {answer}") for answer in answers]
    return found[:count]


def measured(count: int, repeats: int) -> list[dict[str, float | str]]:
    """For each verifier: answers a second, the share that earned, and microseconds an answer."""
    sets = {
        "gsm8k-numeric": number_pairs(10 * count),
        "math-boxed": pairs(10 * count),
        "math-verify": pairs(count),
    }
    made = {name: [verifiers.make(name, truth) for truth, _ in chosen] for name, chosen in sets.items()}
    texts = {name: [text for _, text in chosen] for name, chosen in sets.items()}
    verifiers.rewards([verifiers.MathVerify(answer="x+1")] * 32, ["$\\boxed{1+x}$"] * 32)  # starts the workers
    seconds: dict[str, list[float]] = {name: [] for name in sets}
    shares: dict[str, float] = {}
    for _ in range(repeats):
        for name, checks in made.items():
            start = time.perf_counter()
            if name == "math-verify":
                found = verifiers.rewards(
                    [check for check in checks if isinstance(check, verifiers.Pooled)], texts[name]
                )
            else:
                found = [check(text) for check, text in zip(checks, texts[name], strict=True)]
            seconds[name].append(time.perf_counter() - start)
            shares[name] = statistics.fmean(found)
    rows: list[dict[str, float | str]] = []
    for name, checks in made.items():
        rate = len(checks) / statistics.median(seconds[name])
        rows.append({"verifier": name, "answers_a_second": rate, "microseconds": 1e6 / rate, "earned": shares[name]})
    return rows


def main() -> None:
    """Measure, print a table, and write it where asked."""
    parser = argparse.ArgumentParser(description="Answers a second of the verifiers.")
    parser.add_argument("--answers", type=int, default=4000, help="answers of math-verify; the others get ten times it")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    options = parser.parse_args()
    rows = measured(options.answers, options.repeats)
    print("| verifier | answers a second | microseconds each | earned |\n| --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['verifier']} | {row['answers_a_second']:,.0f} | {row['microseconds']:.1f} | {row['earned']:.3f} |"
        )
    if options.out:
        machine = {"python": platform.python_version(), "cores": os.cpu_count()}
        options.out.write_text(json.dumps({"rows": rows, "machine": machine}, indent=1) + "\n")


if __name__ == "__main__":
    main()
