"""Checkpoints of known models' shapes with random weights, in the real format, where the model is not at hand.

    folder = shapes.write("qwen2.5-0.5b", Path("model"), dtype="bfloat16")

config.json, safetensors and a tokenizer whose vocabulary is as large as the model's, so that every sampled token is
text: one token a byte, then words that stand for nothing. What decoding and an update cost does not depend on the
values of the weights. Left out: the real tokenizers and chat templates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

# vocab_size, hidden_size, intermediate_size, layers, heads, key and value heads, positions, epsilon, rotary base, EOS
_COLUMNS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "eos_token_id",
)
SHAPES: dict[str, tuple[str, tuple[float, ...]]] = {
    "smollm2-135m": ("llama", (49152, 576, 1536, 30, 9, 3, 8192, 1e-5, 100000.0, 2)),
    "qwen2.5-0.5b": ("qwen2", (151936, 896, 4864, 24, 14, 2, 32768, 1e-6, 1000000.0, 151643)),
    "qwen2.5-1.5b": ("qwen2", (151936, 1536, 8960, 28, 12, 2, 32768, 1e-6, 1000000.0, 151643)),
    "tiny": ("qwen2", (512, 64, 128, 2, 4, 2, 1024, 1e-6, 1000000.0, 300)),
}


def values(name: str) -> dict[str, Any]:
    """config.json of a shape."""
    family, numbers = SHAPES[name]
    whole = {"tie_word_embeddings": True, "hidden_act": "silu", "bos_token_id": None, "model_type": family}
    return whole | dict(zip(_COLUMNS, numbers, strict=True))


def tokenizer(vocabulary: int, end: int) -> Any:
    """One token a byte, then fillers, and the end-of-text token at its id: a byte that it displaces comes later."""
    import tokenizers
    import transformers
    from tokenizers import decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"Ġ{number}" for number in range(len(letters), vocabulary))]
    words[end] = "<|endoftext|>"
    missing = [letter for letter in letters if letter not in words]
    words[len(letters) : len(letters) + len(missing)] = missing
    made = tokenizers.Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|endoftext|>", clean_up_tokenization_spaces=False
    )


def write(name: str, folder: Path, dtype: str = "float32") -> Path:
    """The checkpoint, written into a new folder.

    Args:
        name: a key of SHAPES. dtype: of the stored weights.
    """
    import flax.nnx as nnx
    import jax.numpy as jnp

    from llm_bridge.language_model import LanguageModel
    from llm_bridge.models.config import DecoderConfig
    from llm_bridge.models.decoder import Decoder
    from llm_bridge.training.export import save_pretrained

    config = DecoderConfig.from_values(values(name), source=name)
    graphdef, params = nnx.split(Decoder(config, rngs=nnx.Rngs(0), param_dtype=jnp.dtype(dtype)))
    words = tokenizer(config.vocabulary, config.eos_ids[0])
    model = LanguageModel(name=name, config=config, graphdef=graphdef, params=params, tokenizer=words)
    return save_pretrained(model, folder, dtype=dtype)
