"""A model's tokenizer, from the files beside its weights, and the token of it that ends a response."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError, ModelWarning, reason
from llm_bridge.models.config import DecoderConfig


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model's folder, of transformers. Raises InputError where there is none that can be used.

    A tokenizer.json is taken at its word, whichever class its folder names: `AutoTokenizer` keeps its vocabulary and
    merges alone and puts the class's own splitting, normalisation and model settings in place of the file's, so that
    texts have other tokens than the model was trained on (SmolLM2's folder names GPT2Tokenizer, which leaves digits
    together). Python code that a folder brings along (`auto_map`) is never run, and nobody is asked whether it may.
    """
    # transformers advises to install PyTorch, which nothing here needs at run time.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        declared = _declared(folder)
        generic = declared.get("tokenizer_class") in ("PreTrainedTokenizerFast", "TokenizersBackend")
        generic = generic or ((folder / "tokenizer.json").is_file() and "auto_map" not in declared)
        kind = PreTrainedTokenizerFast if generic else AutoTokenizer
        return kind.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a broken tokenizer.json raises a bare Exception
        if "trust_remote_code" in str(error):
            raise InputError(
                f"The tokenizer of {folder} is Python code of its own, which is never run: give a model with a "
                'tokenizer.json, and "PreTrainedTokenizerFast" as tokenizer_class in its tokenizer_config.json.'
            ) from None
        raise InputError(
            f"{folder} has no usable tokenizer ({reason(error)}): put its tokenizer.json beside the weights."
        ) from None


def ended_by(tokenizer: Any, config: DecoderConfig, name: str) -> DecoderConfig:
    """The configuration whose responses end at the tokenizer's end-of-text token as well.

    Warns:
        ModelWarning: that token is none of the model's, or nothing ends a response.
    """
    end = getattr(tokenizer, "eos_token_id", None)
    if isinstance(end, int) and not 0 <= end < config.vocabulary:
        warnings.warn(
            f"The tokenizer of {name} ends texts with token {end} and the model has {config.vocabulary}, from 0: it "
            "cannot end a response.",
            ModelWarning,
            stacklevel=3,
        )
    elif isinstance(end, int):
        config = config.ended_by(end)
    if not config.eos_ids:
        warnings.warn(
            f"{name} names no end-of-text token (eos_token_id in generation_config.json or config.json, eos_token in "
            "tokenizer_config.json): every response goes on to the token limit.",
            ModelWarning,
            stacklevel=3,
        )
    return config


def encoded(tokenizer: Any, text: str, *, templated: bool, ends: tuple[int, ...]) -> list[int]:
    """The tokens of a prompt's text, with what the tokenizer puts before texts (a begin-of-text token).

    An end-of-text token that it puts behind them is left off, as tokenizers have it that were saved in training
    (`add_eos_token`): to the model the prompt would have ended, and what follows would be another text.

    Args:
        tokenizer: of transformers.
        text: of the prompt.
        templated: whether a chat template made it, which writes its own special tokens.
        ends: ids that end a response.
    """
    if templated:
        return list(tokenizer.encode(text, add_special_tokens=False))
    ids = list(tokenizer.encode(text))
    puts_more = hasattr(tokenizer, "num_special_tokens_to_add")  # one made in memory gives the text's tokens alone
    if not ids or ids[-1] not in ends or not puts_more:
        return ids
    plain = list(tokenizer.encode(text, add_special_tokens=False))
    while len(ids) > len(plain) and ids[-1] in ends and ids[len(ids) - len(plain) :] != plain:
        ids.pop()
    return ids


def _declared(folder: Path) -> dict[str, Any]:
    """The values of tokenizer_config.json, where there is one."""
    path = folder / "tokenizer_config.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
