"""The tokenizer that a GGUF file carries in its metadata, as a Hugging Face `tokenizer.json` and
`tokenizer_config.json`.

GGUF keeps a byte-level byte-pair vocabulary, its merges, and the *name* of the pre-tokenizer (`tokenizer.ggml.pre`);
the splitting rules behind each name are llama.cpp's (`src/llama-vocab.cpp`), restated here with the `tokenizers`
library.

A SentencePiece vocabulary ("llama") is `gguf_sentencepiece`'s. Left out: WordPiece and others (`tokenizer.ggml.model`
beyond these two), and pre-tokenizer names not in `PRE_TOKENIZERS`. Both are refused, since a tokenizer that is nearly
right scores nearly the right text.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from bandit_rft.errors import InputError
from llm_bridge.models import gguf_sentencepiece
from llm_bridge.models.gguf_sentencepiece import CONTROL, UNUSED, USER_DEFINED

_BYTE_LEVEL, _SENTENCEPIECE = "gpt2", "llama"  # tokenizer.ggml.model

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_AFTER_NUMBERS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + _AFTER_NUMBERS
_QWEN2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + _AFTER_NUMBERS


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreTokenizer:
    """How text is cut before merging.

    Attributes:
        splits: regular expressions applied one after another; each match, and each gap between matches, is a piece.
        nfc: whether text is first brought to Unicode normal form C.
        ignore_merges: whether a piece that is itself a token is taken whole, without replaying its merges.
        add_bos: whether a beginning-of-sequence token is prepended when the file does not say.
    """

    splits: tuple[str, ...]
    nfc: bool = False
    ignore_merges: bool = False
    add_bos: bool = False


_LLAMA3_RULES = PreTokenizer(splits=(_LLAMA3,), ignore_merges=True, add_bos=True)
_QWEN2_RULES = PreTokenizer(splits=(_QWEN2,), nfc=True)
_GPT2_RULES = PreTokenizer(splits=(_GPT2,))

PRE_TOKENIZERS: Mapping[str, PreTokenizer] = {
    "smollm": PreTokenizer(splits=(r"\p{N}", _GPT2)),
    "qwen2": _QWEN2_RULES,
    "deepseek-r1-qwen": _QWEN2_RULES,
    "llama-bpe": _LLAMA3_RULES,
    "llama3": _LLAMA3_RULES,
    "llama-v3": _LLAMA3_RULES,
    "gpt-2": _GPT2_RULES,
    "default": PreTokenizer(splits=(r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")),
}

# Tokens that end a turn or a document, by their text (llama.cpp's end-of-generation list, for the families read here):
# a GGUF names one end token, while the checkpoints it was made from list several.
_END_TEXTS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end▁of▁sentence|>",
    "<end_of_turn>",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpecialIds:
    """Special token ids, for `config.json` and `generation_config.json`.

    Attributes:
        bos: beginning of sequence, or None.
        eos: every id that ends a response, the file's own `eos_token_id` first; may be empty.
        pad: padding, or None.
    """

    bos: int | None
    eos: tuple[int, ...]
    pad: int | None


def write(metadata: Mapping[str, Any], folder: Path, *, where: str, vocabulary_rows: int) -> SpecialIds:
    """Writes `tokenizer.json` and `tokenizer_config.json` into `folder`.

    Args:
        metadata: the GGUF's key-value pairs.
        folder: an existing folder.
        where: the file's name, for error messages.
        vocabulary_rows: rows of the embedding; every token id must lie below it.

    Returns:
        The special ids.

    Raises:
        InputError: no tokenizer, one of a kind that is not read, or an inconsistent one.
    """
    tokens, types = _vocabulary(metadata, where, vocabulary_rows)
    ids = {text: index for index, text in enumerate(tokens) if types[index] != UNUSED}
    if metadata["tokenizer.ggml.model"] == _SENTENCEPIECE:
        tokenizer, added = gguf_sentencepiece.tokenizer_of(metadata, tokens, types, where)
        adds_bos, around = True, None
    else:
        rules = _rules(metadata, where)
        tokenizer, added = _byte_level(metadata, tokens, types, rules, ids, where)
        adds_bos, around = rules.add_bos, processors.ByteLevel(trim_offsets=False)

    def special(name: str) -> int | None:
        index = metadata.get(f"tokenizer.ggml.{name}_token_id")
        if index is None:
            return None
        if not 0 <= int(index) < len(tokens):
            raise InputError(
                f"{where} names token {index} as its {name} token, but its vocabulary has {len(tokens)} tokens: "
                "the file is damaged, fetch it again."
            )
        return int(index)

    bos, eos, pad, unknown = special("bos"), special("eos"), special("padding"), special("unknown")
    ends = [eos, special("eot"), special("eom")]
    ends += [ids[text] for text in _END_TEXTS if text in ids and types[ids[text]] == CONTROL]
    eos_ids = tuple(dict.fromkeys(index for index in ends if index is not None))
    if pad is None and eos_ids:
        pad = eos_ids[0]
    add_bos = bool(metadata.get("tokenizer.ggml.add_bos_token", adds_bos)) and bos is not None
    add_eos = bool(metadata.get("tokenizer.ggml.add_eos_token", False)) and eos is not None
    ends_of_text = bos if add_bos else None, eos if add_eos else None
    if around is not None or any(index is not None for index in ends_of_text):
        tokenizer.post_processor = _post_processor(tokens, *ends_of_text, around)
    tokenizer.save(str(folder / "tokenizer.json"))

    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(metadata.get(f"{metadata.get('general.architecture')}.context_length", 2048)),
        "padding_side": "right",
        "added_tokens_decoder": {
            str(ids[token.content]): {"content": token.content, "special": token.special}
            | {"normalized": token.normalized}
            | {"lstrip": False, "rstrip": False, "single_word": False}
            for token in added
        },
    }
    for name, index in (("bos", bos), ("eos", eos), ("pad", pad), ("unk", unknown)):
        if index is not None:
            settings[f"{name}_token"] = tokens[index]
    template = metadata.get("tokenizer.chat_template")
    if template:
        settings["chat_template"] = str(template)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2, ensure_ascii=False), encoding="utf-8")
    return SpecialIds(bos=bos, eos=eos_ids, pad=pad)


def _byte_level(
    metadata: Mapping[str, Any],
    tokens: list[str],
    types: list[int],
    rules: PreTokenizer,
    ids: Mapping[str, int],
    where: str,
) -> tuple[Tokenizer, list[AddedToken]]:
    """The tokenizer without what it puts around texts, and the tokens that it takes whole."""
    tokenizer = Tokenizer(
        models.BPE(vocab=dict(ids), merges=_merges(metadata, ids, where), ignore_merges=rules.ignore_merges)
    )
    if rules.nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(split), behavior="isolated") for split in rules.splits]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    added = [
        AddedToken(text, normalized=False, special=types[index] == CONTROL)
        for index, text in enumerate(tokens)
        if types[index] in (CONTROL, USER_DEFINED)
    ]
    tokenizer.add_tokens(added)
    return tokenizer, added


def _vocabulary(metadata: Mapping[str, Any], where: str, rows: int) -> tuple[list[str], list[int]]:
    """Token texts and types, without the unused ones at the end (they pad the embedding; no text encodes to them)."""
    kind = metadata.get("tokenizer.ggml.model")
    tokens = metadata.get("tokenizer.ggml.tokens")
    if kind is None or not isinstance(tokens, list) or not tokens:
        raise InputError(f"{where} carries no tokenizer: use a GGUF file of the whole model, not of its weights alone.")
    if kind not in (_BYTE_LEVEL, _SENTENCEPIECE):
        raise InputError(
            f"{where} has a tokenizer of kind {str(kind)[:40]!r}, but only byte-pair encoding ('gpt2', byte-level, and "
            "'llama', SentencePiece) is read: give the model's Hugging Face folder instead."
        )
    types = metadata.get("tokenizer.ggml.token_type") or [1] * len(tokens)
    if kind == _SENTENCEPIECE and len(types) == len(tokens):
        tokens = gguf_sentencepiece.pieces_of(tokens, types)
    if len(types) != len(tokens) or len(tokens) > rows or len(set(tokens)) != len(tokens):
        raise InputError(
            f"{where} has an inconsistent vocabulary ({len(tokens)} tokens, {len(set(tokens))} distinct, "
            f"{len(types)} token "
            f"types, {rows} embedding rows): the file is damaged, fetch it again."
        )
    last = len(tokens)
    while last and types[last - 1] == UNUSED:
        last -= 1
    return tokens[:last], [int(kind) for kind in types[:last]]


def _rules(metadata: Mapping[str, Any], where: str) -> PreTokenizer:
    name = metadata.get("tokenizer.ggml.pre")
    if not isinstance(name, str) or name not in PRE_TOKENIZERS:
        named = "names no pre-tokenizer" if name is None else f"names the pre-tokenizer {str(name)[:40]!r}"
        raise InputError(
            f"{where} {named}, but only {', '.join(PRE_TOKENIZERS)} are known: give the model's Hugging Face folder "
            f"instead."
        )
    return PRE_TOKENIZERS[name]


def _merges(metadata: Mapping[str, Any], ids: Mapping[str, int], where: str) -> list[tuple[str, str]]:
    merges: list[tuple[str, str]] = []
    for line in metadata.get("tokenizer.ggml.merges") or []:
        # Byte-level pieces hold no raw space, so one space parts the two halves; a piece may not be empty.
        left, _, right = str(line).partition(" ")
        if left not in ids or right not in ids or left + right not in ids:
            raise InputError(
                f"{where} has the merge {str(line)[:40]!r}, which joins pieces that are not in its vocabulary: the "
                f"file is "
                "damaged, fetch it again."
            )
        merges.append((left, right))
    return merges


def _post_processor(tokens: list[str], bos: int | None, eos: int | None, first: Any) -> Any:
    """What a byte-level tokenizer does first, and the beginning and end tokens where the file asks for them."""
    if bos is None and eos is None:
        return first
    before = "" if bos is None else f"{tokens[bos]} "
    after = "" if eos is None else f" {tokens[eos]}"
    template = processors.TemplateProcessing(
        single=f"{before}$A{after}",
        pair=f"{before}$A{after} {before}$B{after}",
        special_tokens=[(tokens[index], index) for index in dict.fromkeys((bos, eos)) if index is not None],
    )
    return template if first is None else processors.Sequence([first, template])
