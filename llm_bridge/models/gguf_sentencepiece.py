"""Gemma's tokenizer from a GGUF file: SentencePiece's byte-pair encoding, which ranks merges by the score of the piece
that they make.

The `tokenizers` library ranks pairs instead: here every cut of an ordinary piece into two ordinary pieces, in the order
of scores, as in transformers' conversion of SentencePiece models (`convert_slow_tokenizer.py`). A space is "▁" inside
pieces. User-defined pieces (runs of spaces and newlines, HTML tags) are cut out whole before anything is merged; a
character without a piece becomes its bytes.

Source: Kudo & Richardson 2018; the fields are those of llama.cpp's converter (`convert_hf_to_gguf.py`), which writes
user-defined pieces with plain spaces. Left out, and refused: a space put before every text (Llama 2), and
SentencePiece's rewriting of texts (`remove_extra_whitespaces`, a character map).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from bandit_rft.errors import InputError

ORDINARY, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # ggml's `llama_token_type`
_SPACE = "▁"


def pieces_of(tokens: Sequence[str], types: Sequence[int]) -> list[str]:
    """The texts with "▁" for spaces where the converter put spaces back: in user-defined pieces."""
    return [
        text.replace(" ", _SPACE) if kind == USER_DEFINED else text for text, kind in zip(tokens, types, strict=True)
    ]


def tokenizer_of(
    metadata: Mapping[str, Any], tokens: Sequence[str], types: Sequence[int], where: str
) -> tuple[Tokenizer, list[AddedToken]]:
    """The tokenizer without what it puts around texts, and the tokens that it takes whole.

    Args:
        metadata: the GGUF's key-value pairs.
        tokens, types: of the vocabulary, as `pieces_of` gives the texts.
        where: the file's name, for error messages.

    Raises:
        InputError: no scores, or a setting of SentencePiece that is left out.
    """
    named = "tokenizer.ggml."
    scores = metadata.get(f"{named}scores")
    if not isinstance(scores, list) or len(scores) < len(tokens):
        raise InputError(f"{where} has no score for every token of its tokenizer: the file is damaged, fetch it again.")
    rewrites = [key for key in ("remove_extra_whitespaces", "precompiled_charsmap") if metadata.get(f"{named}{key}")]
    if metadata.get(f"{named}add_space_prefix", True):
        rewrites.append("add_space_prefix")
    if rewrites:
        raise InputError(
            f"{where} has a SentencePiece tokenizer that rewrites texts ({rewrites[0]}), which is not read from GGUF: "
            "give the model's Hugging Face folder instead."
        )
    ids = {text: index for index, text in enumerate(tokens) if types[index] != UNUSED}
    unknown = next((text for text, kind in zip(tokens, types, strict=True) if kind == UNKNOWN), None)
    tokenizer = Tokenizer(
        models.BPE(
            vocab=ids,
            merges=_merges(tokens, types, scores),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Replace(" ", _SPACE)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    added = [
        # User-defined pieces are looked for after spaces have been replaced, control tokens in the text as it is.
        AddedToken(text, normalized=kind == USER_DEFINED, special=kind == CONTROL)
        for text, kind in zip(tokens, types, strict=True)
        if kind in (CONTROL, USER_DEFINED)
    ]
    tokenizer.add_tokens(added)
    return tokenizer, added


def _merges(tokens: Sequence[str], types: Sequence[int], scores: Sequence[float]) -> list[tuple[str, str]]:
    """Every cut of an ordinary piece into two, best score first; of equal scores, the earlier piece first."""
    ordinary = {text: index for index, text in enumerate(tokens) if types[index] == ORDINARY}
    ranked = []
    for text, index in ordinary.items():
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in ordinary and right in ordinary:
                ranked.append((-float(scores[index]), index, left, right))
    return [(left, right) for _, _, left, right in sorted(ranked)]
