"""Verifiers: frozen callables from a response's text to a reward, 1.0 for a right answer and 0.0 for a wrong one.

    reward = verifiers.make("gsm8k-numeric", "72")("so 48 + 24 = 72.\\n#### 72")
    rewards = verifiers.make("math-verify", "\\\\frac{1}{2}").many([r"it is \\boxed{0.5}", r"\\boxed{2}"])

| name | for | where |
| --- | --- | --- |
| gsm8k-numeric, gsm8k-flexible, gsm8k-strict | GSM8K and any number | `gsm8k` |
| math-verify, math-boxed | MATH: mathematics, or verl's comparison of strings | `answers` |
| exact, exact-casefold | the whole response | `answers` |
| regex:PATTERN | what the user's expression finds | `answers` |
| module:function, file.py:function | the user's own (text, answer) -> float | `user` |

Of a response that thinks, gsm8k-numeric and math-verify judge what stands behind the last </think>, and nothing where
a <think> is not closed (`thinking`). verl's rules, exact, regex and the user's function get all of the text.

What is verified is untrusted: no `eval`, bounded windows of text, and whatever could hang runs in worker processes with
a time limit (`pool`), which earns 0 and is counted (`counts`).
"""

from __future__ import annotations

from collections.abc import Callable

from bandit_rft.errors import InputError
from llm_bridge.verifiers.answers import Exact, MathBoxed, MathVerify, Pooled, Regex, rewards
from llm_bridge.verifiers.boxed import last_boxed
from llm_bridge.verifiers.gsm8k import (
    GSM8K,
    WINDOW,
    Rule,
    as_number,
    extract_flexible,
    extract_number,
    extract_strict,
)
from llm_bridge.verifiers.pool import Counts, close, counts
from llm_bridge.verifiers.user import UserFunction

__all__ = [
    "GSM8K",
    "WINDOW",
    "Counts",
    "Exact",
    "MathBoxed",
    "MathVerify",
    "Pooled",
    "Regex",
    "Rule",
    "UserFunction",
    "Verifier",
    "as_number",
    "close",
    "counts",
    "extract_flexible",
    "extract_number",
    "extract_strict",
    "last_boxed",
    "make",
    "names",
    "rewards",
]

Verifier = Callable[[str], float]

_MAKERS: dict[str, Callable[[str], Verifier]] = {
    "gsm8k-strict": lambda answer: GSM8K(answer=answer, rule="strict"),
    "gsm8k-flexible": lambda answer: GSM8K(answer=answer, rule="flexible"),
    "gsm8k-numeric": lambda answer: GSM8K(answer=answer, rule="numeric"),
    "math-verify": lambda answer: MathVerify(answer=answer),
    "math-boxed": lambda answer: MathBoxed(answer=answer),
    "exact": lambda answer: Exact(answer=answer),
    "exact-casefold": lambda answer: Exact(answer=answer, casefold=True),
}


def names() -> tuple[str, ...]:
    """The verifiers that `make` knows by a name alone."""
    return tuple(_MAKERS)


def make(name: str, ground_truth: str) -> Verifier:
    """The verifier of this name for one question.

    Args:
        name: one of `names()`, "regex:PATTERN", "module:function" or "file.py:function".
        ground_truth: the question's right answer.

    Raises:
        InputError: unknown name, or a ground truth that the verifier cannot use.
    """
    if name in _MAKERS:
        return _MAKERS[name](ground_truth)
    if name.startswith("regex:"):
        return Regex(pattern=name.removeprefix("regex:"), answer=ground_truth)
    if ":" in name:
        return UserFunction(name=name, answer=ground_truth)
    raise InputError(
        f"No verifier {name!r}: choose one of {', '.join(_MAKERS)}, regex:PATTERN, module:function or file.py:function."
    )
