"""Small random checkpoints written by transformers (torch), the independent implementation that ours is held to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

# Llama-3.2-1B's own values.
LLAMA32_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
# Gemma-3-4b's own values.
GEMMA3_ROPE = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}
EOS = 256
VOCABULARY = 300
FAMILIES: dict[str, tuple[Any, Any]] = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
    "olmo2": (transformers.Olmo2Config, transformers.Olmo2ForCausalLM),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
    "gemma3_text": (transformers.Gemma3TextConfig, transformers.Gemma3ForCausalLM),
}
# Shapes of a family's own: heads that are no share of the width; a window shorter than the tests' sequences, and scores
# over another root than that of the head's size.
OWN: dict[str, dict[str, Any]] = {
    "qwen3": {"head_dim": 12},
    "gemma3_text": {
        "head_dim": 12,
        "query_pre_attn_scalar": 20,
        "sliding_window": 7,
        "sliding_window_pattern": 2,
    },
}


def save(
    folder: Path, family: str, *, dtype: str = "float32", seed: int = 0, shard: str = "5GB", **values: Any
) -> Path:
    """A random model of the family and a byte-level tokenizer, saved in `folder`.

    Every parameter is random, norms and biases too, and large enough that attention is far from uniform: with
    transformers' own initialisation a wrong norm, bias or mask would hardly move the logits.
    """
    config_class, model_class = FAMILIES[family]
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": EOS,
        "pad_token_id": None,
    }
    model = model_class(config_class(**(settings | OWN.get(family, {}) | values)))
    return write(folder, model, dtype=dtype, seed=seed, shard=shard)


def write(folder: Path, model: Any, *, dtype: str = "float32", seed: int = 0, shard: str = "5GB") -> Path:
    """The model with every parameter random, as `save` says, and the tokenizer, in `folder`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                # Gemma's factor is 1 + the weight.
                parameter.copy_(0.3 * noise if "Gemma3" in type(model).__name__ else 1 + 0.3 * noise)
            elif parameter.ndim == 1:
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(noise * (0.3 if "embed" in name else 1.5 * parameter.shape[1] ** -0.5))
    model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shard)
    byte_tokenizer().save_pretrained(folder)
    return folder


def beside_a_vision_tower(text: Path, folder: Path) -> Path:
    """The Gemma 3 of the folder `text` as the text part of a checkpoint that reads images, saved in `folder`."""
    vision = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 28, "patch_size": 14}
    inner = json.loads((text / "config.json").read_text())
    both = transformers.Gemma3ForConditionalGeneration(
        transformers.Gemma3Config(text_config=inner, vision_config=vision, image_token_index=3, mm_tokens_per_image=4)
    )
    both.model.language_model.load_state_dict(torch_model(text).model.state_dict())
    both.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def byte_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """One token a byte, and an end-of-text token; no merges, no chat template."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    assert fast.eos_token_id == EOS
    return fast


def torch_model(folder: Path, dtype: str = "float32") -> Any:
    """The checkpoint in transformers, for evaluation."""
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()


def torch_logits(model: Any, tokens: np.ndarray) -> np.ndarray:
    """transformers' logits [B, T, V] float32."""
    with torch.inference_mode():
        return model(torch.tensor(tokens, dtype=torch.long)).logits.float().numpy()


def torch_greedy(model: Any, prompt: np.ndarray, max_tokens: int) -> list[int]:
    """transformers' greedy continuation of one prompt, end-of-text tokens not heeded."""
    ids = torch.tensor(prompt, dtype=torch.long)[None]
    with torch.inference_mode():
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=max_tokens,
            eos_token_id=None,
            pad_token_id=0,
        )
    return out[0, len(prompt) :].tolist()
