"""GGUF -> folder: tiny files written here with `gguf.GGUFWriter`, held against transformers, and against damage.

Oracles: the Hugging Face weights that the file was made from, permuted by llama.cpp's own rule (restated from
convert_hf_to_gguf.py); transformers' rotary frequencies; the pre-tokenizer expressions of llama.cpp run by the `regex`
module with the textbook byte-pair loop; transformers' GGUF tokenizer converter.
"""

import functools
import itertools
import json
import random
import unicodedata

import gguf
import numpy as np
import pytest
import regex
from tokenizers import Tokenizer

from bandit_rft.errors import InputError
from llm_bridge import gguf_folder

HIDDEN, INNER, HEADS, KV_HEADS, LAYERS = 64, 96, 4, 2, 2
HEAD_DIM = HIDDEN // HEADS


def byte_letters():
    """GPT-2's table from bytes to printable letters (OpenAI, encoder.py)."""
    bytes_, extra = [*range(33, 127), *range(161, 173), *range(174, 256)], 0
    letters = [chr(byte) for byte in bytes_]
    for byte in range(256):
        if byte not in bytes_:
            bytes_.append(byte)
            letters.append(chr(256 + extra))
            extra += 1
    return dict(zip(bytes_, letters, strict=True))


LETTERS = byte_letters()


@functools.cache
def vocabulary():
    """A byte-level vocabulary of 256 bytes and a few dozen merges, then special tokens: tokens, types, merges."""
    tokens = [LETTERS[byte] for byte in range(256)]
    merges = []
    words = ["Ġthe", "Ġapples", "Ġhas", "Ġhow", "'re", "'LL", "123", "12", "..", "ĊĊ", "Ġ1", "ĠĠ", "Ã©", "ing", "Ġ'"]
    for word in words:
        left = word[0]
        for letter in word[1:]:
            if left + letter not in tokens:
                merges.append(f"{left} {letter}")
                tokens.append(left + letter)
            left += letter
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    types = [1] * len(tokens) + [3] * 3 + [4] + [5] * 2
    return [*tokens, *special, "<tool call>", "[PAD1]", "[PAD2]"], types, merges


def permute(weights, heads):
    """llama.cpp's `LlamaModel.permute`."""
    rows = weights.shape[0]
    return weights.reshape(heads, 2, rows // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def random_weights(architecture, tied, seed=0):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.normal(0, 0.3, shape).astype(np.float32)

    rows = len(vocabulary()[0])
    weights = {"model.embed_tokens.weight": draw(rows, HIDDEN), "model.norm.weight": 1 + draw(HIDDEN)}
    if not tied:
        weights["lm_head.weight"] = draw(rows, HIDDEN)
    kv = KV_HEADS * HEAD_DIM
    for layer in range(LAYERS):
        start = f"model.layers.{layer}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{start}{name}.weight"] = 1 + draw(HIDDEN)
        for name, shape in (("q", (HIDDEN, HIDDEN)), ("k", (kv, HIDDEN)), ("v", (kv, HIDDEN)), ("o", (HIDDEN, HIDDEN))):
            weights[f"{start}self_attn.{name}_proj.weight"] = draw(*shape)
            if architecture == "qwen2" and name != "o":
                weights[f"{start}self_attn.{name}_proj.bias"] = draw(shape[0])
        for name, shape in (("gate", (INNER, HIDDEN)), ("up", (INNER, HIDDEN)), ("down", (HIDDEN, INNER))):
            weights[f"{start}mlp.{name}_proj.weight"] = draw(*shape)
    return weights


GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def write_gguf(path, architecture="llama", *, weights=None, extra=None, omit=(), pre="smollm", tensors=None, kind=None):
    """Writes a tiny model as llama.cpp's converter would, with changes of metadata and tensors."""
    weights = weights if weights is not None else random_weights(architecture, tied=True)
    writer = gguf.GGUFWriter(path, architecture)
    tokens, types, merges = vocabulary()
    settings = {
        f"{architecture}.block_count": LAYERS,
        f"{architecture}.context_length": 256,
        f"{architecture}.embedding_length": HIDDEN,
        f"{architecture}.feed_forward_length": INNER,
        f"{architecture}.attention.head_count": HEADS,
        f"{architecture}.attention.head_count_kv": KV_HEADS,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{architecture}.rope.freq_base": 50000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.eos_token_id": tokens.index("<|im_end|>"),
        "tokenizer.ggml.bos_token_id": tokens.index("<|im_start|>"),
        "tokenizer.ggml.padding_token_id": tokens.index("<|endoftext|>"),
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
        "tokenizer.chat_template": "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{{ m.content }}<|im_end|>\n{% endfor %}",
    } | (extra or {})
    for name, value in settings.items():
        if name in omit:
            continue
        if isinstance(value, list):
            writer.add_array(name, value)
        elif isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        else:
            writer.add_string(name, value)
    for name, array in weights.items():
        stem, _, last = name.rpartition(".")
        layer, _, module = stem.removeprefix("model.layers.").partition(".")
        target = (
            f"blk.{layer}.{GGUF_NAMES[module]}.{last}"
            if stem.startswith("model.layers.")
            else f"{GGUF_NAMES[stem]}.{last}"
        )
        if architecture == "llama" and module in ("self_attn.q_proj", "self_attn.k_proj"):
            array = permute(array, HEADS if ".q_" in module else KV_HEADS)
        if target in omit:
            continue
        if kind is not None and array.ndim == 2:
            writer.add_tensor(target, gguf.quants.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(target, array)
    for name, array in (tensors or {}).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def convert(path, folder):
    folder.mkdir()
    gguf_folder.write_folder(path, folder)
    return folder


@pytest.mark.parametrize(
    ("architecture", "tied"), [("llama", True), ("llama", False), ("qwen2", True), ("qwen2", False)]
)
def test_weights_and_config_load_in_transformers(tmp_path, architecture, tied):
    import torch
    from safetensors.numpy import load_file
    from transformers import AutoModelForCausalLM

    weights = random_weights(architecture, tied)
    folder = convert(write_gguf(tmp_path / "m.gguf", architecture, weights=weights), tmp_path / "out")
    saved = load_file(folder / "model.safetensors")
    assert saved.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(saved[name], array, err_msg=name)
    model = AutoModelForCausalLM.from_pretrained(folder)
    config = model.config
    assert config.rope_parameters == {"rope_theta": 50000.0, "rope_type": "default"}
    assert config.rms_norm_eps == 1e-5  # not the float32's long decimal
    assert (config.num_attention_heads, config.num_key_value_heads, config.tie_word_embeddings) == (
        HEADS,
        KV_HEADS,
        tied,
    )
    state = model.state_dict()
    for name, array in weights.items():
        assert torch.equal(state[name], torch.from_numpy(array)), name
    head = weights["model.embed_tokens.weight"] if tied else weights["lm_head.weight"]
    assert torch.equal(model.get_output_embeddings().weight, torch.from_numpy(head))


@pytest.mark.parametrize("kind", [gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_1])
def test_quantised_blocks_are_read_exactly(tmp_path, kind):
    # An independent reading of the ggml block formats: Q8_0 is d·q, Q4_1 is d·q + m with the low nibbles first.
    from safetensors.numpy import load_file

    weights = random_weights("qwen2", tied=True)
    folder = convert(write_gguf(tmp_path / "m.gguf", "qwen2", weights=weights, kind=kind), tmp_path / "out")
    saved = load_file(folder / "model.safetensors")
    for name in ("model.embed_tokens.weight", "model.layers.1.mlp.down_proj.weight"):
        raw = gguf.quants.quantize(weights[name], kind).reshape(
            -1, 34 if kind == gguf.GGMLQuantizationType.Q8_0 else 20
        )
        scale = raw[:, :2].copy().view(np.float16).astype(np.float32)
        if kind == gguf.GGMLQuantizationType.Q8_0:
            values = scale * raw[:, 2:].view(np.int8).astype(np.float32)
        else:
            least = raw[:, 2:4].copy().view(np.float16).astype(np.float32)
            nibbles = np.concatenate([raw[:, 4:] & 15, raw[:, 4:] >> 4], axis=1).astype(np.float32)
            values = scale * nibbles + least
        np.testing.assert_array_equal(saved[name], values.reshape(weights[name].shape))
        assert np.abs(saved[name] - weights[name]).max() < 0.2


@pytest.mark.parametrize("original", [8192, 4096])
def test_llama3_rotary_scaling_is_recovered_from_its_factors(tmp_path, original):
    import torch
    from transformers import AutoConfig, LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaling = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaling |= {"original_max_position_embeddings": original}
    dims = {
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "rope_theta": 500000.0,
        "max_position_embeddings": 131072,
    }
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](LlamaConfig(**dims, rope_scaling=scaling), device=torch.device("cpu"))
    plain = 1.0 / 500000.0 ** (torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    factors = (plain / scaled).numpy().astype(np.float32)
    assert factors.max() > 30
    extra = {"llama.rope.freq_base": 500000.0, "llama.context_length": 131072}
    path = write_gguf(tmp_path / "m.gguf", extra=extra, tensors={"rope_freqs.weight": factors}, pre="llama-bpe")
    folder = convert(path, tmp_path / "out")
    found = ROPE_INIT_FUNCTIONS["llama3"](AutoConfig.from_pretrained(folder), device=torch.device("cpu"))[0]
    torch.testing.assert_close(found, scaled, rtol=1e-6, atol=0)

    factors[2] *= 1.3
    odd = write_gguf(tmp_path / "odd.gguf", extra=extra, tensors={"rope_freqs.weight": factors})
    with pytest.raises(InputError, match="rope_freqs"):
        convert(odd, tmp_path / "odd")


def test_linear_rotary_scaling(tmp_path):
    extra = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    folder = convert(write_gguf(tmp_path / "m.gguf", extra=extra), tmp_path / "out")
    assert json.loads((folder / "config.json").read_text())["rope_scaling"] == {"rope_type": "linear", "factor": 4.0}


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


REFUSED = [
    ({"extra": {"tokenizer.ggml.model": "llama"}}, "only byte-level"),
    ({"pre": "tekken"}, "pre-tokenizer 'tekken'"),
    ({"omit": ("tokenizer.ggml.pre",)}, "names no pre-tokenizer"),
    ({"omit": ("tokenizer.ggml.tokens",)}, "no tokenizer"),
    ({"omit": ("llama.block_count",)}, "llama.block_count"),
    ({"extra": {"llama.block_count": 10**9}}, "layers"),
    ({"extra": {"llama.block_count": 1}}, "no place for"),
    ({"extra": {"llama.embedding_length": 128}}, "token_embd.weight of shape"),
    ({"extra": {"llama.attention.head_count_kv": 4}}, "attn_k.weight of shape"),
    ({"extra": {"llama.attention.head_count": 0}}, "head_count"),
    ({"extra": {"llama.expert_count": 8}}, "expert_count"),
    ({"extra": {"llama.attention.sliding_window": 64}}, "sliding_window"),
    ({"extra": {"llama.rope.scaling.type": "yarn"}}, "'yarn'"),
    ({"extra": {"llama.rope.dimension_count": 8}}, "rotary part"),
    ({"extra": {"split.count": 2}}, "one part of 2"),
    ({"extra": {"tokenizer.ggml.eos_token_id": 10**6}}, "eos token"),
    ({"extra": {"tokenizer.ggml.merges": ["a zzz"]}}, "merge 'a zzz'"),
    ({"omit": ("output_norm.weight",)}, "output_norm.weight"),
    ({"omit": ("token_embd.weight",)}, "token embedding"),
    ({"tensors": {"blk.0.attn_q_norm.weight": np.ones(16, np.float32)}}, "attn_q_norm"),
    ({"architecture": "gemma2"}, "architecture 'gemma2'"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_is_not_understood_is_refused_in_a_sentence(tmp_path, change, words):
    path = write_gguf(tmp_path / "m.gguf", weights=random_weights("llama", tied=True), **change)
    with pytest.raises(InputError, match=words) as caught:
        convert(path, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    weights = random_weights("llama", tied=True)
    weights["model.layers.1.mlp.up_proj.weight"][3, 3] = np.nan
    with pytest.raises(InputError, match=r"not finite in blk\.1\.ffn_up\.weight"):
        convert(write_gguf(tmp_path / "m.gguf", weights=weights), tmp_path / "out")


def test_every_truncation_is_refused(tmp_path):
    whole = write_gguf(tmp_path / "m.gguf").read_bytes()
    rng = random.Random(1)
    for number, length in enumerate(
        [0, 3, 4, 8, 23, 24, len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(25))]
    ):
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"not a GGUF|truncated or damaged"):
            convert(path, tmp_path / f"out{number}")


def test_damaged_headers_never_escape_as_another_error(tmp_path):
    # One bit of the header changed, 150 places: converted (a changed letter of a token) or refused, no traceback.
    whole = write_gguf(tmp_path / "m.gguf").read_bytes()
    header = len(whole) - sum(array.nbytes for array in random_weights("llama", tied=True).values())
    rng = random.Random(2)
    refused = 0
    for number in range(150):
        damaged = bytearray(whole)
        damaged[rng.randrange(header)] ^= 1 << rng.randrange(8)
        path = tmp_path / "damaged.gguf"
        path.write_bytes(damaged)
        try:
            convert(path, tmp_path / f"out{number}")
        except InputError:
            refused += 1
    assert refused > 15
