"""GGUF files of tiny models, written for tests as llama.cpp's converter would write them."""

import functools

import gguf
import numpy as np

from llm_bridge.models import gguf_folder

HIDDEN, INNER, HEADS, KV_HEADS, LAYERS = 64, 96, 4, 2, 2
HEAD_DIM = HIDDEN // HEADS
WIDE_HEAD = 24  # Qwen3's and Gemma 3's heads are no share of the width
# Settings that a converter writes for an architecture beside those of all.
OWN = {
    "qwen3": {"qwen3.attention.key_length": WIDE_HEAD, "qwen3.attention.value_length": WIDE_HEAD},
    "gemma3": {
        "gemma3.attention.key_length": WIDE_HEAD,
        "gemma3.attention.value_length": WIDE_HEAD,
        "gemma3.attention.sliding_window": 5,
        "gemma3.rope.scaling.type": "linear",
        "gemma3.rope.scaling.factor": 8.0,
    },
}


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


@functools.cache
def sentencepiece_vocabulary():
    """As llama.cpp's converter writes Gemma's: tokens, types, scores. Later merges score lower, user-defined pieces
    have plain spaces and -1000, bytes stand for characters without a piece."""
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "\n", "\n\n", "  ", "   ", "<b>", "<start_of_turn>", "<end_of_turn>"]
    types = [3, 3, 3, 2, 4, 4, 4, 4, 4, 3, 3]
    scores = [-1000.0] * len(types)
    tokens += [f"<0x{byte:02X}>" for byte in range(256)]
    types, scores = types + [6] * 256, scores + [0.0] * 256
    words = ["▁the", "▁apples", "▁has", "thin", "ing", "▁1", "12", "é▁", "▁'", "'re", "he", "▁▁a"]
    letters = list(dict.fromkeys("▁" + "".join(words) + "abcdefghijklmnopqrstuvwxyz0123456789.,'"))
    made = list(dict.fromkeys(word[:end] for word in words for end in range(2, len(word) + 1)))
    made = [piece for piece in made if piece != "▁▁"]  # that is a user-defined piece
    for piece in [*made, *letters]:
        tokens.append(piece)
        types.append(1)
        scores.append(-float(len(tokens)))
    return tokens, types, scores


def random_weights(architecture, tied, seed=0, rows=None):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.normal(0, 0.3, shape).astype(np.float32)

    rows = rows or len(vocabulary()[0])
    weights = {"model.embed_tokens.weight": draw(rows, HIDDEN), "model.norm.weight": 1 + draw(HIDDEN)}
    if not tied:
        weights["lm_head.weight"] = draw(rows, HIDDEN)
    head = WIDE_HEAD if architecture in OWN else HEAD_DIM
    kv, queries = KV_HEADS * head, HEADS * head
    norms = dict.fromkeys(("input_layernorm", "post_attention_layernorm"), HIDDEN)
    if architecture == "gemma3":
        norms |= dict.fromkeys(("pre_feedforward_layernorm", "post_feedforward_layernorm"), HIDDEN)
    if architecture in OWN:
        norms |= dict.fromkeys(("self_attn.q_norm", "self_attn.k_norm"), head)
    for layer in range(LAYERS):
        start = f"model.layers.{layer}."
        for name, size in norms.items():
            weights[f"{start}{name}.weight"] = 1 + draw(size)
        shapes = {"q": (queries, HIDDEN), "k": (kv, HIDDEN), "v": (kv, HIDDEN), "o": (HIDDEN, queries)}
        for name, shape in shapes.items():
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
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
}  # fmt: skip
GEMMA_NAMES = GGUF_NAMES | {
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
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
    }
    settings |= OWN.get(architecture, {}) | (extra or {})
    names = GEMMA_NAMES if architecture == "gemma3" else GGUF_NAMES
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
        target = f"blk.{layer}.{names[module]}.{last}" if stem.startswith("model.layers.") else f"{names[stem]}.{last}"
        if architecture == "gemma3" and "norm" in target:
            array = array + np.float32(1)
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
