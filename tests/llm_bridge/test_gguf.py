"""GGUF -> folder: tiny files written here with `gguf.GGUFWriter`, held against transformers, and against damage.

Oracles: the Hugging Face weights that the file was made from, permuted by llama.cpp's own rule (restated from
convert_hf_to_gguf.py); transformers' rotary frequencies; the pre-tokenizer expressions of llama.cpp run by the `regex`
module with the textbook byte-pair loop; transformers' GGUF tokenizer converter.
"""

import json
import random
import signal
import struct

import gguf
import numpy as np
import pytest

from bandit_rft.errors import InputError
from tests.llm_bridge.gguf_files import (
    HEAD_DIM,
    HEADS,
    HIDDEN,
    KV_HEADS,
    WIDE_HEAD,
    convert,
    random_weights,
    write_gguf,
)


@pytest.mark.parametrize(
    ("architecture", "tied"),
    [("llama", True), ("llama", False), ("qwen2", True), ("qwen2", False), ("qwen3", False), ("gemma3", True)],
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
        offset = architecture == "gemma3" and "norm" in name  # one is added in the file, and rounds
        np.testing.assert_allclose(saved[name], array, rtol=0, atol=2e-7 if offset else 0, err_msg=name)
    model = AutoModelForCausalLM.from_pretrained(folder)
    config = model.config
    everywhere = {"rope_theta": 50000.0, "rope_type": "default"}
    if architecture == "gemma3":
        everywhere |= {"rope_type": "linear", "factor": 8.0}
        assert config.rope_parameters["sliding_attention"] == {"rope_theta": 10000.0, "rope_type": "default"}
        assert (config.sliding_window, config.query_pre_attn_scalar) == (5, WIDE_HEAD)
        assert config.layer_types == ["sliding_attention"] * 2  # every sixth sees all
    found = config.rope_parameters["full_attention"] if architecture == "gemma3" else config.rope_parameters
    assert found == everywhere
    assert config.rms_norm_eps == 1e-5  # not the float32's long decimal
    assert (config.num_attention_heads, config.num_key_value_heads, config.tie_word_embeddings) == (
        HEADS,
        KV_HEADS,
        tied,
    )
    state = model.state_dict()
    for name in weights:
        assert torch.equal(state[name], torch.from_numpy(saved[name])), name
    head = weights["model.embed_tokens.weight"] if tied else weights["lm_head.weight"]
    assert torch.equal(model.get_output_embeddings().weight, torch.from_numpy(head))


@pytest.mark.parametrize("architecture", ["qwen3", "gemma3"])
def test_transformers_reads_the_same_model_from_the_file_itself(tmp_path, architecture):
    """An independent reader of GGUF: catches norms by each other's names, and an offset left in or taken off twice."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    path = write_gguf(tmp_path / "m.gguf", architecture, pre="qwen2")
    model = AutoModelForCausalLM.from_pretrained(convert(path, tmp_path / "out"))
    theirs = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=model)["tensors"]
    ours = model.state_dict()
    assert ours.keys() - theirs.keys() <= {"lm_head.weight"}  # which is the embedding
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], torch.as_tensor(tensor), rtol=0, atol=2e-7, msg=name)


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


@pytest.mark.parametrize(
    ("extra", "factor"),
    [
        ({"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}, 4.0),
        ({"llama.rope.scaling.factor": 4.0}, 4.0),
        ({"llama.rope.scale_linear": 4.0}, 4.0),
        ({"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4.0}, None),
        ({"llama.rope.scaling.factor": 1.0}, None),
    ],
)
def test_linear_rotary_scaling(tmp_path, extra, factor):
    """As llama.cpp reads it. Catches a factor that is dropped where its type is not written, and its name of 2023."""
    folder = convert(write_gguf(tmp_path / "m.gguf", extra=extra), tmp_path / "out")
    found = json.loads((folder / "config.json").read_text())["rope_scaling"]
    assert found == (None if factor is None else {"rope_type": "linear", "factor": factor})


REFUSED = [
    ({"extra": {"tokenizer.ggml.model": "bert"}}, "only byte-pair"),
    ({"extra": {"tokenizer.ggml.model": "llama"}}, "no score for every token"),
    ({"extra": {"tokenizer.ggml.model": "llama", "tokenizer.ggml.scores": [0.5] * 400}}, "add_space_prefix"),
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
    ({"architecture": "gemma3", "omit": ("gemma3.attention.sliding_window",)}, "no value for gemma3.attention.sliding"),
    ({"architecture": "gemma3", "extra": {"gemma3.final_logit_softcapping": 30.0}}, "final_logit_softcapping = 30"),
    ({"architecture": "qwen3"}, "blk.0.attn_q.weight of shape"),
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


def test_counts_far_beyond_the_file_are_refused_at_once(tmp_path):
    """Files of some fifty bytes that claim 2^40 numbers, letters, keys, tensors or dimensions. Catches a reader that
    goes on past the end of the file: without a bound each of the first two takes hours and all memory."""

    def text(name):
        return struct.pack("<Q", len(name)) + name

    huge, kinds = 2**40, gguf.GGUFValueType
    array = text(b"a.b") + struct.pack("<II", kinds.ARRAY, kinds.UINT32) + struct.pack("<Q", huge)
    nested = text(b"a.b") + struct.pack("<IIQ", kinds.ARRAY, kinds.ARRAY, huge)
    letters = text(b"a.b") + struct.pack("<IQ", kinds.STRING, huge)
    files = {
        "numbers": (0, 1, array),
        "arrays": (0, 1, nested),
        "letters": (0, 1, letters),
        "keys": (0, huge, b""),
        "tensors": (huge, 0, b""),
        "dimensions": (1, 0, text(b"t") + struct.pack("<I", 2**31)),
        "elements": (1, 0, text(b"t") + struct.pack("<IQQIQ", 2, 2**31, 2**31, gguf.GGMLQuantizationType.F32, 0)),
        "no elements, by overflow": (
            *(1, 0),
            text(b"t") + struct.pack("<IQQIQ", 2, 2**32, 2**32, gguf.GGMLQuantizationType.F32, 0),
        ),
    }

    def late(*_):
        pytest.fail("the reader goes on past the end of the file")  # no Exception, which would be taken for damage

    before = signal.signal(signal.SIGALRM, late)
    try:
        for name, (tensors, keys, rest) in files.items():
            path = tmp_path / "m.gguf"
            path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, tensors, keys) + rest)
            signal.alarm(5)
            with pytest.raises(InputError, match="truncated or damaged"):
                convert(path, tmp_path / name)
            signal.alarm(0)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
