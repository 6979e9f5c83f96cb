"""A random Llama of a few thousand weights as a model folder, so that commands run end to end without a download."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = ["<pad>", "<eos>", "<unk>", *"0123456789", *"abcdefghijklmnopqrstuvwxyz", "?", "+", "=", "."]
WIDTH, LAYERS, HEADS, KV_HEADS, HEAD, MLP, CONTEXT = 16, 2, 2, 1, 8, 24, 64


def write(folder: Path, *, seed: int = 0) -> Path:
    """config.json, tokenizer.json and model.safetensors in `folder`; one token a character."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = 64
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "intermediate_size": MLP,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": CONTEXT,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    words = {word: place for place, word in enumerate(WORDS)} | {f"<{i}>": i for i in range(len(WORDS), vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "unk_token": "<unk>",
                "pad_token": "<pad>",
                "eos_token": "<eos>",
            }
        )
    )
    generator = np.random.default_rng(seed)

    def matrix(*shape: int) -> np.ndarray:
        return (generator.standard_normal(shape) * 0.5).astype(np.float32)

    weights = {"model.embed_tokens.weight": matrix(vocabulary, WIDTH), "model.norm.weight": np.ones(WIDTH, np.float32)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        weights |= {
            f"{at}.input_layernorm.weight": np.ones(WIDTH, np.float32),
            f"{at}.post_attention_layernorm.weight": np.ones(WIDTH, np.float32),
            f"{at}.self_attn.q_proj.weight": matrix(HEADS * HEAD, WIDTH),
            f"{at}.self_attn.k_proj.weight": matrix(KV_HEADS * HEAD, WIDTH),
            f"{at}.self_attn.v_proj.weight": matrix(KV_HEADS * HEAD, WIDTH),
            f"{at}.self_attn.o_proj.weight": matrix(WIDTH, HEADS * HEAD),
            f"{at}.mlp.gate_proj.weight": matrix(MLP, WIDTH),
            f"{at}.mlp.up_proj.weight": matrix(MLP, WIDTH),
            f"{at}.mlp.down_proj.weight": matrix(WIDTH, MLP),
        }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
