"""The tokenizer of a GGUF file against a reference in plain Python, and in transformers."""

import itertools
import json
import random
import unicodedata

import pytest
import regex
from tokenizers import Tokenizer

from tests.llm_bridge.gguf_files import (
    LETTERS,
    convert,
    random_weights,
    sentencepiece_vocabulary,
    vocabulary,
    write_gguf,
)

NUMBER_THEN_GPT2 = [r"\p{N}", r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"]
CONTRACTION = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
AFTER = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA_CPP = {  # src/llama-vocab.cpp
    "smollm": NUMBER_THEN_GPT2,
    "gpt-2": NUMBER_THEN_GPT2[1:],
    "qwen2": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + AFTER],
    "llama-bpe": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + AFTER],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", *NUMBER_THEN_GPT2[1:], r"\p{N}+", r"[0-9][0-9][0-9]"],
}


def reference_encode(text, tokens, types, merges, pre):
    """llama.cpp's tokenisation in plain Python: cut, map bytes to letters, merge the best-ranked pair."""
    ids = {token: index for index, token in enumerate(tokens)}
    ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
    added = [token for token, kind in zip(tokens, types, strict=True) if kind in (3, 4)]
    out = []
    for part in regex.split("(" + "|".join(regex.escape(token) for token in added) + ")", text):
        if part in added:
            out.append(ids[part])
            continue
        pieces = [unicodedata.normalize("NFC", part) if pre == "qwen2" else part]
        for pattern in LLAMA_CPP[pre]:
            pieces = [cut for piece in pieces for cut in cuts(pattern, piece)]
        for piece in pieces:
            letters = [LETTERS[byte] for byte in piece.encode()]
            if pre == "llama-bpe" and "".join(letters) in ids:
                out.append(ids["".join(letters)])
                continue
            while len(letters) > 1:
                rank, at = min((ranks.get(pair, len(ranks)), i) for i, pair in enumerate(itertools.pairwise(letters)))
                if rank == len(ranks):
                    break
                letters[at : at + 2] = [letters[at] + letters[at + 1]]
            out.extend(ids[letter] for letter in letters)
    return out


def sentencepiece_encode(text, tokens, types, scores):
    """SentencePiece's own way in plain Python: control tokens, spaces to "▁", the longest user-defined piece at each
    place, then the adjacent pair whose union scores best, the leftmost of equals; bytes of what is no piece."""
    pieces = [token.replace(" ", "▁") if kind == 4 else token for token, kind in zip(tokens, types, strict=True)]
    ids = {piece: index for index, piece in enumerate(pieces)}
    best = {piece: scores[ids[piece]] for piece, kind in zip(pieces, types, strict=True) if kind == 1}
    whole = sorted((piece for piece, kind in zip(pieces, types, strict=True) if kind == 4), key=len, reverse=True)
    control = [piece for piece, kind in zip(pieces, types, strict=True) if kind == 3]
    out = []
    for part in regex.split("(" + "|".join(map(regex.escape, control)) + ")", text):
        if part in control:
            out.append(ids[part])
            continue
        for run in regex.split("(" + "|".join(map(regex.escape, whole)) + ")", part.replace(" ", "▁")):
            symbols = [run] if run in whole else list(run)
            while len(symbols) > 1:
                pairs = enumerate(itertools.pairwise(symbols))
                unions = [(best.get(left + right, -1e9), -i) for i, (left, right) in pairs]
                score, at = max(unions)
                if score == -1e9:
                    break
                symbols[-at : 2 - at] = [symbols[-at] + symbols[1 - at]]
            for symbol in symbols:
                byte_ids = [ids[f"<0x{byte:02X}>"] for byte in symbol.encode()]
                out.extend([ids[symbol]] if symbol in ids else byte_ids)
    return out


def test_gemmas_tokenizer_is_sentencepieces(tmp_path):
    """Catches spaces left in user-defined pieces (runs of spaces would fall apart), merges in the order of ids and not
    of scores, a piece merged across one that is taken whole, and a space put before the text."""
    from transformers import AutoTokenizer

    tokens, types, scores = sentencepiece_vocabulary()
    names = {"tokens": tokens, "token_type": types, "scores": scores, "model": "llama", "add_space_prefix": False}
    names |= {"bos_token_id": 2, "eos_token_id": 1, "padding_token_id": 0, "unknown_token_id": 3}
    weights = random_weights("gemma3", tied=True, rows=len(tokens) + 5)
    extra = {f"tokenizer.ggml.{name}": value for name, value in names.items()}
    path = write_gguf(tmp_path / "m.gguf", "gemma3", weights=weights, extra=extra, omit=("tokenizer.ggml.merges",))
    folder = convert(path, tmp_path / "out")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    loaded = AutoTokenizer.from_pretrained(folder)
    own = ["the apples  has   12 thing<b>12\n\n\nthe", "<start_of_turn>user\nthinthe<end_of_turn>\n", "   the", " a  a"]
    for text in [*own, *hostile_texts()]:
        ids = tokenizer.encode(text).ids
        assert ids == [2, *sentencepiece_encode(text, tokens, types, scores)], text
        assert loaded(text)["input_ids"] == ids
        assert tokenizer.decode(ids[1:], skip_special_tokens=False) == text
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [
        1,
        tokens.index("<end_of_turn>"),
    ]


def cuts(pattern, text):
    end, out = 0, []
    for match in regex.finditer(pattern, text):
        out += [text[end : match.start()], match.group()]
        end = match.end()
    return [piece for piece in [*out, text[end:]] if piece]


def hostile_texts():
    texts = ["", " ", "  \n\n \t\r\n", "e\u0301 \u212b é", "日本語１２３", "١٢٣ ٤½Ⅷ", "👩‍👩‍👧‍👦🏳️‍🌈"]
    texts += ["\u202e\u202da\x00b", "\ufeff", "they'RE we'LL 'S don’t ſ's", "<|im_start|>a<|im_end|><|im_en"]
    texts += ["<tool call> [PAD1]", "1234567 12 the 1,000.00 $3..", "a" * 500, " \u00a0\u2003x\u2028y\u0085z"]
    texts += ["\ud7ff\ue000\U0010ffff", "The apples has how 're..\n\n\n  the"]
    rng = random.Random(0)
    ranges = [(32, 127), (0, 0x3000), (0x3000, 0xD800), (0x1F300, 0x1FA00), (32, 33), (39, 40), (10, 11), (48, 58)]
    return texts + [
        "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randrange(1, 60))) for _ in range(200)
    ]


@pytest.mark.parametrize("pre", list(LLAMA_CPP))
def test_tokenizer_matches_a_reference_in_plain_python(tmp_path, pre):
    tokens, types, merges = vocabulary()
    folder = convert(
        write_gguf(tmp_path / "m.gguf", pre=pre, extra={"tokenizer.ggml.add_bos_token": False}), tmp_path / "out"
    )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in hostile_texts():
        ids = tokenizer.encode(text).ids
        assert ids == reference_encode(text, tokens, types, merges, pre), text
        want = unicodedata.normalize("NFC", text) if pre == "qwen2" else text
        assert tokenizer.decode(ids, skip_special_tokens=False) == want


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_tokenizer_loads_in_transformers(tmp_path, architecture):
    from transformers import AutoTokenizer

    pre = {"llama": "smollm", "qwen2": "qwen2"}[architecture]
    folder = convert(write_gguf(tmp_path / "m.gguf", architecture, pre=pre), tmp_path / "out")
    tokens, _, _ = vocabulary()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in hostile_texts():
        ids = tokenizer(text)["input_ids"]
        assert ids == plain.encode(text).ids, text
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
    )
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert rendered == "<|im_start|>user\nHi<|im_end|>\n"
    # Every id below the embedding's rows decodes, the padding ones to nothing.
    assert tokenizer.decode([tokens.index("[PAD1]"), len(tokens) - 1]) == ""
    generation = json.loads((folder / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [tokens.index("<|im_end|>"), tokens.index("<|endoftext|>")]
    assert json.loads((folder / "config.json").read_text())["eos_token_id"] == tokens.index("<|im_end|>")


@pytest.mark.parametrize(("said", "expected"), [(None, True), (True, True), (False, False)])
def test_llama3_prepends_its_beginning_token_unless_told_not_to(tmp_path, said, expected):
    extra = {} if said is None else {"tokenizer.ggml.add_bos_token": said}
    folder = convert(write_gguf(tmp_path / "m.gguf", pre="llama-bpe", extra=extra), tmp_path / "out")
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode("the").ids
    assert (ids[0] == vocabulary()[0].index("<|im_start|>")) is expected
