"""Completions meant to break a verifier: generated from a seed, a kind in turn."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

MILLION = 10**6
_Random = random.Random


def _long(r: _Random) -> str:
    piece = r.choice(
        ["9", "#### ", "\\boxed{", "{", "}", "(", "a", ",.", "-", "\\frac", "$", "answer is 1 ", " ", "\n"]
    )
    return (piece * (MILLION // len(piece)))[:MILLION] + r.choice(["", "\\boxed{7}", "#### 8"])


def _nested(r: _Random) -> str:
    depth = r.choice([10, 60, 200, 900, 10_000, 200_000])
    opening, closing = r.choice(
        [
            ("{", "}"),
            ("(", ")"),
            ("\\left(", "\\right)"),
            ("\\sqrt{", "}"),
            ("\\frac{1}{", "}"),
            ("\\boxed{", "}"),
            ("x^{", "}"),
            ("-", ""),
            ("\\sin ", ""),
            ("\\{", "\\}"),
            ("|", "|"),
        ]
    )
    return "\\boxed{" + opening * depth + "1" + closing * depth + "}"


def _bomb(r: _Random) -> str:
    n = r.choice(["9", "99", "10^{9}", "7"])
    bomb = r.choice(
        [
            "9^{9^{9^{9}}}",
            "9**9**9**9",
            f"{n}^{{{n}^{{{n}}}}}",
            f"({n}^{{99999999}})!",
            "10^{10^{10}}",
            "99999999!",
            "((((9!)!)!)!)!",
            "\\binom{10^9}{5\\cdot 10^8}",
            "\\sum_{k=1}^{10^{12}} k^{k}",
            "\\int_0^1 \\frac{\\sin(x^{x^x})}{\\log(1+x^{9})+e^{x^2}} dx",
            "(x+y+z+1)^{400}-(x-y+z-1)^{399}",
            "\\prod_{k=1}^{10^9} (k^2+x)",
            "\\sqrt{" + "+".join(f"\\sqrt{{{k}}}" for k in range(2, r.randrange(5, 40))) + "}",
            "\\lim_{x\\to 0} \\frac{\\sin(\\tan x)-\\tan(\\sin x)}{x^{40}}",
            "x^{123}+x^{77}=" + "9" * 300,
            "\\begin{pmatrix}"
            + "\\\\".join("&".join("xyzab"[(i + j) % 5] for j in range(9)) for i in range(9))
            + "\\end{pmatrix}^{-99}",
            "1e999999999",
            "0." + "3" * 900,
            "9" * 990,
        ]
    )
    return f"\\boxed{{{bomb}}}"


def _code(r: _Random, mark: Path) -> str:
    python = r.choice(
        [
            f"__import__('os').system('touch {mark}')",
            f"open('{mark}','w').write('x')",
            f"exec(\"open('{mark}','w')\")",
            f"(lambda: open('{mark}','w'))()",
            f"[c for c in ().__class__.__base__.__subclasses__()][0]; open('{mark}','w')",
            f"print(open('{mark}','w'))",
            f'S(\'open("{mark}","w")\')',
        ]
    )
    return r.choice(
        [
            f"\\boxed{{{python}}}",
            f"\\boxed{{\\text{{{python}}}}}",
            f"\\boxed{{\\mathrm{{{python}}}}}",
            f"\\boxed{{\\operatorname{{{python}}}(1)}}",
            f"\\boxed{{\\sum_{{n=1}}^{{\\infty}} \\frac{{\\text{{{python}}}}}{{n^2}}}}",
            f"```python\n{python}\n```\n#### {python}",
            f"#### 7; {python}",
            f"$(touch {mark}) `touch {mark}` ; touch {mark}",
            f"\\boxed{{\\write18{{touch {mark}}}}} \\input{{|touch {mark}}}",
            f"{python}",
        ]
    )


def _broken(r: _Random) -> str:
    pieces = [
        *(
            "\\frac",
            "\\frac{1}",
            "\\sqrt",
            "\\sqrt[",
            "{",
            "}",
            "\\left(",
            "\\right]",
            "^",
            "_",
            "&",
            "\\\\",
            "\\",
            "$",
        ),
        *(
            "\\begin{pmatrix}",
            "\\end{matrix}",
            "\\text{",
            "1",
            "x",
            "+",
            "=",
            "<",
            "\\cup",
            ",",
            "\\boxed{",
            "\\%",
            "\\ ",
        ),
        *("\\infty", "\\int", "\\sum_{", "\\lim", "\\log_", "!", "|", ".", "..", "\\mathbb{R}", "\\ldots", "\\pm", ";"),
    ]
    body = "".join(r.choice(pieces) for _ in range(r.randrange(1, 60)))
    return r.choice(["\\boxed{%s}", "\\boxed{%s", "%s\\boxed", "\\boxed %s", "#### %s", "\\boxed{\\boxed{%s}}}"]) % body


def _bytes(r: _Random) -> str:
    odd = [
        "\x00",
        "\u202e",
        "\u2066",
        "\ud800",
        "\udfff",
        "\ufeff",
        "\u200b",
        "\x1b[2J",
        "\U000e0041",
        "٧",
        "７",
        "\r",
        "\x7f",
    ]
    body = "".join(r.choice([*odd, "7", "{", "x", "a"]) for _ in range(r.choice([5, 50, 500, 100_000])))
    return r.choice(["\\boxed{%s}", "#### %s", "%s", "\\boxed{7}%s", "#### 7%s"]) % body


def _backtracking(r: _Random) -> str:
    return r.choice(["a", "ab", "1", " "]) * r.choice([30, 300, 20_000]) + r.choice(["!", "\x00", "b", ""])


def completions(number: int, mark: Path, seed: int = 0) -> list[str]:
    """`number` completions; those that are code would make the file `mark`."""
    r = random.Random(seed)
    kinds: list[Callable[[_Random], str]] = [
        _long,
        _nested,
        _bomb,
        lambda q: _code(q, mark),
        _broken,
        _bytes,
        _backtracking,
    ]
    return [kinds[place % len(kinds)](r) for place in range(number)]
