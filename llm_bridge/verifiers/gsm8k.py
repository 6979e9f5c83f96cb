"""GSM8K's verifiers.

    reward = GSM8K(answer="72", rule="numeric")("so 48 + 24 = 72.\\n#### 72")

GSM8K's rules are verl's (`verl/utils/reward_score/gsm8k.py`), searched, as there, in the last 300 characters only:

| rule | what is taken for the answer | when it counts |
| --- | --- | --- |
| strict | the last `#### number` | equal as a string, once `,` and `$` are removed |
| flexible | the last number anywhere that is not empty and not "." | equal as a string, as it stands |
| numeric | the last number anywhere that has a digit | equal as a number |

String equality fails "42." and, under `flexible`, "1,000" and "so it is 42, which, as asked, …" (a lone comma is a
number to that expression), which is what verl's users complain of. `numeric`, ours and the default, takes the last
number that has a digit, drops the punctuation that ends it, reads commas as thousands only where they group three
digits ("7,2" is not 72), and compares exact decimals: "42.0" is 42, while "4.2.0" is no number, hence wrong.

What is verified is untrusted: no `eval`, no expression with backtracking, a bounded window of text, no conversion of a
number longer than the window.
"""

from __future__ import annotations

import dataclasses
import re
from decimal import Decimal
from typing import Literal

from bandit_rft.errors import InputError

Rule = Literal["strict", "flexible", "numeric"]

WINDOW = 300

_RULES: tuple[Rule, ...] = ("strict", "flexible", "numeric")
_NUMBER = re.compile(r"-?[0-9.,]+")
_MARKED = re.compile(r"#### (-?[0-9.,]+)")
# ASCII digits only: `Decimal` alone would also take other scripts' digits, underscores, "nan" and exponents.
_DECIMAL = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+|(?=\.))(?:\.[0-9]+)?")


def extract_strict(text: str) -> str | None:
    """The last `#### number` of the last 300 characters, without `,` and `$`; None where there is none."""
    found = _MARKED.findall(text[-WINDOW:])
    return found[-1].replace(",", "").replace("$", "") if found else None


def extract_flexible(text: str) -> str | None:
    """The last number of the last 300 characters that is not "."; None where there is none."""
    for found in reversed(_NUMBER.findall(text[-WINDOW:])):
        if found not in ("", "."):
            return found
    return None


def extract_number(text: str) -> Decimal | None:
    """The value of the last number with a digit in the last 300 characters; None where there is none, or it is
    malformed.
    """
    for found in reversed(_NUMBER.findall(text[-WINDOW:])):
        if any(character.isdigit() for character in found):
            return as_number(found)
    return None


def as_number(text: str) -> Decimal | None:
    """The exact value of a decimal number as people write it ("1,000", "42.", "-.5"), or None where it is none."""
    plain = text.rstrip(".,")
    return Decimal(plain.replace(",", "")) if _DECIMAL.fullmatch(plain) else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GSM8K:
    """GSM8K's verifier: text -> 1.0 if it gives `answer` by the `rule`, else 0.0. Immutable and picklable.

    Attributes:
        answer: the ground truth, as the data set gives it ("72").
        rule: "strict", "flexible" or "numeric" (this module's docstring).

    Raises:
        InputError: on building, an unknown rule, or an answer that is no number where the rule is numeric.
    """

    answer: str
    rule: Rule = "numeric"

    def __post_init__(self) -> None:
        if self.rule not in _RULES:
            raise InputError(f"no GSM8K rule {self.rule!r}; choose one of {', '.join(_RULES)}")
        if not isinstance(self.answer, str) or not self.answer.strip():
            raise InputError("the ground truth of a GSM8K question is empty; give the number as text, such as '72'")
        if self.rule == "numeric" and as_number(self.answer.strip()) is None:
            raise InputError(
                f"the ground truth {self.answer[:40]!r} is not a number; use a GSM8K question, or the rule 'strict' "
                f"or 'flexible'"
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
        return float(value is not None and value == as_number(self.answer.strip()))
