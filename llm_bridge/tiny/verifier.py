"""GSM8K's strict rule on token ids, jittable: `verifiers.GSM8K(answer=…, rule="strict")` without leaving the device.

That rule decodes a response, takes its last 300 characters, and compares the last `#### (-?[0-9.,]+)` in them, commas
removed, with the answer. Here the same expression is matched over the tokens of `tiny.vocabulary`, whose only token
with a "#" is the marker itself; a test holds the two equal. Special tokens decode to nothing, so they are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError
from llm_bridge.tiny import vocabulary
from llm_bridge.verifiers import WINDOW

Array = jax.Array
_OTHER, _SKIPPED, _MARK, _MINUS, _COMMA, _NUMBER = range(6)
# Where the matcher stands: outside a match, after the marker, after its minus, inside the number.
_OUTSIDE, _MARKED, _SIGNED, _INSIDE = range(4)


def _kind(token: str) -> int:
    if token in vocabulary.SPECIAL:
        return _SKIPPED
    if token == vocabulary.MARKER:
        return _MARK
    if token == "-":
        return _MINUS
    if token == ",":
        return _COMMA
    return _NUMBER if token == "." or token.isdigit() else _OTHER


_KINDS = np.asarray([_kind(token) for token in vocabulary.TOKENS], np.int32)
_WIDTHS = np.asarray([0 if token in vocabulary.SPECIAL else len(token) for token in vocabulary.TOKENS], np.int32)


@dataclass(frozen=True)
class TokenVerifier:
    """(tokens, lengths) -> rewards, 1 where the last marked number is the answer.

    Attributes:
        answer: the right answer, as the data set gives it: a whole number of at least 0 in plain digits.

    Raises:
        InputError: on building, an answer of another form.
    """

    answer: str

    def __post_init__(self) -> None:
        answer_table([self.answer])

    def __call__(self, tokens: Array, lengths: Array) -> Array:
        """Rewards float32 [...] of responses.

        Args:
            tokens: int32 [..., T] of `tiny.vocabulary`.
            lengths: int32 [...], tokens that count; what follows is not looked at.
        """
        digits, sizes = answer_table([self.answer])
        return matches(tokens, lengths, jnp.asarray(digits[0]), jnp.asarray(sizes[0]))


def answer_table(answers: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Answers as tokens, int32 [N, A], padded past their ends, and their sizes, int32 [N].

    Raises:
        InputError: an answer that is no whole number of at least 0 in plain digits.
    """
    for answer in answers:
        if not (isinstance(answer, str) and answer.isascii() and answer.isdigit()):
            raise InputError(
                f"The answer {answer!r} is not a whole number in plain digits: the token verifier needs one, "
                "such as '72'."
            )
    sizes = np.asarray([len(answer) for answer in answers], np.int32)
    digits = np.zeros((len(answers), sizes.max()), np.int32)
    for row, answer in zip(digits, answers, strict=True):
        row[: len(answer)] = [vocabulary.ID[digit] for digit in answer]
    return digits, sizes


def matches(tokens: Array, lengths: Array, digits: Array, sizes: Array) -> Array:
    """Rewards float32 [...], 1 where a response's last marked number is its answer.

    Args:
        tokens: int32 [..., T] of `tiny.vocabulary`.
        lengths: int32 [...], tokens that count; what follows is not looked at.
        digits, sizes: int32 [..., A] and [...], each response's answer from `answer_table`; or [A] and [] of one for
            all.
    """
    digits = jnp.broadcast_to(digits, (*tokens.shape[:-1], digits.shape[-1]))
    inside = jnp.arange(tokens.shape[-1], dtype=jnp.int32) < lengths[..., None]
    kinds = jnp.where(inside, jnp.asarray(_KINDS)[tokens], _SKIPPED)
    widths = jnp.where(inside, jnp.asarray(_WIDTHS)[tokens], 0)
    # Characters from a token's first to the end of the text: a marker that the window cuts is none.
    following = jnp.flip(jnp.cumsum(jnp.flip(widths, -1), axis=-1, dtype=jnp.int32), -1)
    kinds = jnp.where((kinds == _MARK) & (following > WINDOW), _OTHER, kinds)

    def step(state: tuple[Array, Array, Array], part: tuple[Array, Array]) -> tuple[tuple[Array, Array, Array], None]:
        # `read` counts the answer's digits matched so far by the newest number; −1 once it is another number.
        phase, read, signed = state
        kind, token = part
        number = (kind == _COMMA) | (kind == _NUMBER)
        extends = number & (phase != _OUTSIDE)
        begins = extends & (phase != _INSIDE)
        before = jnp.where(begins, jnp.where(signed, -1, 0), read)
        wanted = jnp.take_along_axis(digits, jnp.clip(before, 0, digits.shape[-1] - 1)[..., None], axis=-1)[..., 0]
        fits = (before >= 0) & (before < sizes) & (token == wanted)
        after = jnp.where(kind == _COMMA, before, jnp.where(fits, before + 1, -1))
        moved = jnp.where(
            kind == _MARK,
            _MARKED,
            jnp.where(extends, _INSIDE, jnp.where((kind == _MINUS) & (phase == _MARKED), _SIGNED, _OUTSIDE)),
        )
        skipped = kind == _SKIPPED
        return (
            jnp.where(skipped, phase, moved),
            jnp.where(extends & ~skipped, after, read),
            jnp.where(skipped, signed, moved == _SIGNED),
        ), None

    start = jnp.zeros(tokens.shape[:-1], jnp.int32)
    first = (start + _OUTSIDE, start - 1, jnp.zeros(tokens.shape[:-1], bool))
    over_tokens = (jnp.moveaxis(kinds, -1, 0), jnp.moveaxis(tokens, -1, 0))
    (_, read, _), _ = jax.lax.scan(step, first, over_tokens)
    return (read == sizes).astype(jnp.float32)
