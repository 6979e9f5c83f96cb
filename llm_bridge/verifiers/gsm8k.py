r"""GSM8K's verifiers.

    reward = GSM8K(answer="72", rule="numeric")("so 48 + 24 = 72.\n#### 72")

| rule | what is taken for the answer | when it counts |
| --- | --- | --- |
| strict | the last `#### number` of the last 300 characters | equal as a string, once `,` and `$` are removed |
| flexible | the last number of the last 300 characters that is not "." | equal as a string, as it stands |
| numeric | the number after the last `####`; without one, the last number | equal as an exact value |

Strict and flexible are verl's (`verl/utils/reward_score/gsm8k.py`), to the letter. String equality fails "42." and,
under `flexible`, "1,000" and "so it is 42, which, as asked, …" (a lone comma is a number to that expression), which is
what verl's users complain of. `numeric`, ours and the default, is the rule of `marked`: it leaves out what a response
thinks, and reads a number in any notation of `numerals`, whole or not at all.

What is verified is untrusted: no `eval`, no expression that backtracks over more than a line of bounded length, no
conversion of a number longer than `numerals.LONGEST`.
"""

from __future__ import annotations

import dataclasses
import re
from fractions import Fraction
from typing import Literal

from bandit_rft.errors import InputError
from llm_bridge.verifiers.marked import extract_number
from llm_bridge.verifiers.numerals import as_number

__all__ = ["GSM8K", "WINDOW", "Rule", "as_number", "extract_flexible", "extract_number", "extract_strict"]

Rule = Literal["strict", "flexible", "numeric"]

WINDOW = 300  # the last characters that verl's two rules search

_RULES: tuple[Rule, ...] = ("strict", "flexible", "numeric")
_NUMBER = re.compile(r"-?[0-9.,]+")
_MARKED = re.compile(r"#### (-?[0-9.,]+)")
# Answers that the rules of strings can give at all: expression and most characters.
_POSSIBLE = {
    "strict": (re.compile(r"-?[0-9.]*"), WINDOW - len("#### ")),
    "flexible": (re.compile(r"(?!\.$)-?[0-9.,]+"), WINDOW),
}


def extract_strict(text: str) -> str | None:
    """The last `#### number` of the last 300 characters, without `,` and `$`; None where there is none."""
    found = _MARKED.findall(text[-WINDOW:])
    return found[-1].replace(",", "").replace("$", "") if found else None


def extract_flexible(text: str) -> str | None:
    """The last number of the last 300 characters that is not "."; "." where every one is; None where there is none."""
    numbers = _NUMBER.findall(text[-WINDOW:])
    for found in reversed(numbers):
        if found != ".":
            return found
    return "." if numbers else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GSM8K:
    """GSM8K's verifier: text -> 1.0 if it gives `answer` by the `rule`, else 0.0. Immutable and picklable.

    Attributes:
        answer: the ground truth, as the data set gives it ("72").
        rule: "strict", "flexible" or "numeric" (this module's docstring).

    Raises:
        InputError: on building, an unknown rule, an answer that is no number where the rule is numeric, or one that the
            rule can never read (strict gives no "1,234").
    """

    answer: str
    rule: Rule = "numeric"
    # The answer's value where the rule is numeric, read once.
    _value: Fraction | None = dataclasses.field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.rule not in _RULES:
            raise InputError(f"No GSM8K rule {self.rule!r}: choose one of {', '.join(_RULES)}.")
        if not isinstance(self.answer, str) or not self.answer.strip():
            raise InputError("The ground truth of a GSM8K question is empty: give the number as text, such as '72'.")
        value = as_number(self.answer)
        if self.rule == "numeric":
            if value is None:
                raise InputError(
                    f"The ground truth {self.answer[:40]!r} is not a number: use a GSM8K question, or the rule "
                    f"'strict' or 'flexible'."
                )
            object.__setattr__(self, "_value", value)
            return
        form, longest = _POSSIBLE[self.rule]
        if form.fullmatch(self.answer) is None or len(self.answer) > longest:
            written = None if value is None else _decimal(value)
            advice = "use the rule 'numeric'" if value is not None else "use a GSM8K question"
            if written is not None and len(written) <= longest:
                advice = f"give it as {written!r}, or {advice}"
            raise InputError(
                f"The ground truth {self.answer[:40]!r} can never equal what the rule {self.rule!r} reads: {advice}."
            )

    def __call__(self, text: str) -> float:
        """The reward of a response.

        Args:
            text: the response, without its prompt.
        """
        if self.rule == "strict":
            return float(extract_strict(text) == self.answer)
        if self.rule == "flexible":
            return float(extract_flexible(text) == self.answer)
        value = extract_number(text)
        return float(value is not None and value == self._value)


def _decimal(value: Fraction) -> str | None:
    """The plain decimal of a value ("0.5"), or None where it has none of at most 20 places."""
    for places in range(21):
        scaled = value * 10**places
        if scaled.denominator == 1:
            digits = str(abs(scaled.numerator)).rjust(places + 1, "0")
            whole, after = digits[: len(digits) - places], digits[len(digits) - places :]
            return ("-" if value < 0 else "") + whole + ("." + after if after else "")
    return None
