"""The 64 tokens of the embedded models: digits, signs and the words of their two tasks, one table used everywhere.

A word owns the spaces around it (" buys " is one token), digits are single, and "#### " with its space is one token, so
that a text splits into tokens in one way only, and tokens decode by concatenation. What the table lacks becomes
`<unk>`. The three special tokens decode to nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PAD, EOS, UNKNOWN = 0, 1, 2
SPECIAL = ("<pad>", "<eos>", "<unk>")
MARKER = "#### "
NAMES = ("Ana", "Ben", "Eva", "Gus", "Ida", "Leo", "Mia", "Tom")
THINGS = ("apples", "books", "coins", "nuts", "pens", "shells")
GAINS, LOSSES, DOUBLING = ("buys", "finds", "gets"), ("loses", "sells", "eats"), "doubles"
SIGNS = ("\n", "+", "-", "*", "=", "?", ",", ".", " ", MARKER)
_WORDS = (
    *(f"{name} " for name in NAMES),
    "has ",
    *(f" {thing}" for thing in THINGS),
    *(f" {verb} " for verb in (*GAINS, *LOSSES, DOUBLING)),
    "them",
    " How ",
    "many",
)
# Filled up to 64, so that ids keep their place if a word is added.
_SPARE = tuple(f"<spare{place}>" for place in range(64 - len(SPECIAL) - 10 - len(SIGNS) - len(_WORDS)))
TOKENS: tuple[str, ...] = (*SPECIAL, *"0123456789", *SIGNS, *_WORDS, *_SPARE)
ID = {token: place for place, token in enumerate(TOKENS)}
PATTERN = r"#### | ?[A-Za-z]+ ?|[^A-Za-z]"
_SPLIT = re.compile(PATTERN)


def encode(text: str) -> list[int]:
    """Token ids of a text; the tokenizer.json of the models gives the same."""
    return [ID.get(piece, UNKNOWN) for piece in _SPLIT.findall(text)]


def decode(ids: Sequence[int]) -> str:
    """The text of token ids, special ones left out."""
    return "".join(TOKENS[i] for i in ids if i >= len(SPECIAL))


def write_tokenizer(folder: Path) -> None:
    """tokenizer.json and tokenizer_config.json of this table, as transformers reads them."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel(ID, unk_token=SPECIAL[UNKNOWN]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")  # type: ignore[assignment]
    tokenizer.decoder = decoders.Fuse()  # type: ignore[assignment]
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": SPECIAL[EOS],
        "pad_token": SPECIAL[PAD],
        "unk_token": SPECIAL[UNKNOWN],
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
