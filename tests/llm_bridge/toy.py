"""A random model small enough to enumerate, with a tokenizer of single letters: nothing is downloaded."""

import flax.nnx as nnx
import jax

from llm_bridge.language_model import LanguageModel
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.decoder import Decoder

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789."


class Letters:
    """One token a character: id 0 ends a response, id i is ALPHABET[i − 1]."""

    chat_template = None

    def encode(self, text: str) -> list[int]:
        return [ALPHABET.index(character) + 1 for character in text]

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return "".join(ALPHABET[i - 1] for i in ids if i)


def config(**changes) -> DecoderConfig:
    values = {
        "model_type": "llama",
        "vocabulary": 64,
        "width": 32,
        "mlp_width": 48,
        "layers": 2,
        "heads": 4,
        "kv_heads": 2,
        "head_dim": 8,
        "norm_epsilon": 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "max_positions": 64,
        "tied": True,
        "eos_ids": (0,),
    }
    return DecoderConfig(**(values | changes))


def model(seed: int = 0, *, spread: float = 1.0, **changes) -> LanguageModel:
    """Random weights; `spread` multiplies them, so that the policy is far enough from uniform to have something to
    learn."""
    shape = config(**changes)
    decoder = Decoder(shape, rngs=nnx.Rngs(seed))
    graphdef, params = nnx.split(decoder)
    params = jax.tree.map(lambda leaf: leaf * spread if leaf.ndim > 1 else leaf, params)
    return LanguageModel(name="toy", config=shape, graphdef=graphdef, params=params, tokenizer=Letters())
