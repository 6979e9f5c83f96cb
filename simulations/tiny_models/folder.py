"""An embedded model's folder in Hugging Face layout: config, bfloat16 weights, tokenizer, and a card that says what it
was trained on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from safetensors.numpy import save_file

from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.weights import export_tensors
from llm_bridge.tiny import vocabulary

_CARD = """---
license: apache-2.0
---
# tiny-{family}

{parameters:,} parameters of the {family} family in bfloat16, pretrained from scratch by

    python -m simulations.tiny_models.pretrain --family {family} --steps {steps} --rows {rows} \\
        --seed {seed} --out FOLDER

on {examples:,} generated examples, half additions of two three-digit numbers and half short word problems
(`llm_bridge/tiny/tasks.py`, train prompts only), with answers of several kinds, some careful, most of the hard ones
wrong (`simulations/tiny_models/corpus.py`). It is wrong on purpose: it is a starting point for reinforcement
fine-tuning. It knows 61 tokens and nothing else.
"""


def write_folder(folder: Path, config: DecoderConfig, params: Any, *, steps: int, rows: int, seed: int) -> None:
    """Write the model; files of these names in the folder are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = export_tensors(config, params, jnp.bfloat16)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    values, ends = config.to_values("bfloat16")
    for name, content in (("config.json", values), ("generation_config.json", {**ends, "do_sample": True})):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    vocabulary.write_tokenizer(folder)
    card = _CARD.format(
        family=config.model_type,
        parameters=sum(tensor.size for tensor in tensors.values()),
        steps=steps,
        rows=rows,
        seed=seed,
        examples=2 * steps * rows,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
