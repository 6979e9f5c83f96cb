"""Verifiers over token sequences: which of the V^H responses are correct, and how many.

| verifier | correct | ln of their number | p of independent positions |
| --- | --- | --- | --- |
| Needle(target) | one sequence | 0, exact | Π_h π_h(target_h) |
| AnswerToken(token, position) | that position holds that token | (H − 1) ln V, exact | π_position(token) |
| ModularSum(modulus, residue) | Σ tokens ≡ residue | exact, in whole numbers | circular convolution |
| HashFraction(fraction, salt) | a pseudo-random set | H ln V + ln fraction, in expectation | none |

Each is a frozen, hashable value with `reward(tokens)`, which can be traced and takes int tokens [..., H] (H along the
last axis) to 0 or 1 as floats [...] of JAX's default width. Two structures give closed forms: a verifier that names the
tokens it needs (`required`), and one that counts modulo something (`modulus`, `residue`). Tokens are 0 … V − 1.

Probabilities: a pair (ln p, ln(1 − p)), each summed from positive terms alone, so that neither end loses digits.
"""

from bandit_rft.verifiers.hash_fraction import HashFraction
from bandit_rft.verifiers.modular_sum import ModularSum, residue_counts
from bandit_rft.verifiers.named_tokens import AnswerToken, Needle
from bandit_rft.verifiers.verifier import Verifier

__all__ = ["AnswerToken", "HashFraction", "ModularSum", "Needle", "Verifier", "residue_counts"]
