"""The gradient pass of a round with several prompts: each prompt read once, against one copy of it a rollout.

    python benchmarks/shared_prompts.py [--model tiny-llama | --random] [--prompts 4] [--rollouts 8]
        [--prompt 100] [--tokens 64] [--repeats 7] [--out FILE]

One micro-batch of prompts × rollouts responses: log-probabilities, the policy-gradient loss and its gradient in every
weight (`policy_gradient.loss_and_gradient`, as fine-tuning calls it), in float32. Both layouts run in one process on
the same rows; a repeat times one after the other, in turns first, so that a busy machine slows both. The first call of
each, which compiles, is timed apart. The ratio reported is of the medians; the largest difference between the two
gradients is told too, as a share of the largest entry of its array.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np

from llm_bridge import load_model
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.decoder import Decoder
from llm_bridge.training import learned_rows, policy_gradient

# A small model whose weights, unlike an embedded model's, are most of the work.
RANDOM = DecoderConfig(
    model_type="llama",
    vocabulary=4096,
    width=256,
    mlp_width=704,
    layers=6,
    heads=8,
    kv_heads=4,
    head_dim=32,
    norm_epsilon=1e-5,
    rope_theta=10000.0,
    rope_scaling=None,
    max_positions=1024,
    tied=True,
    eos_ids=(0,),
)


def copied(prompts: list[np.ndarray], questions: np.ndarray) -> dict[str, Any]:
    """One copy of its prompt a row, in the same padded width as the shared layout."""
    batch = learned_rows.prompt_batch(prompts, np.arange(len(prompts)))
    if len(prompts) == 1:
        batch = {name: None if array is None else array[None] for name, array in batch.items()}
    return {"prompt": batch["prompt"][questions], "prompt_lengths": batch["prompt_lengths"][questions], "owners": None}


def main() -> None:
    parser = argparse.ArgumentParser(description="Prompts read once in a gradient pass, against a copy a rollout.")
    parser.add_argument("--model", default="tiny-llama", help="what llm_bridge.models.hub.resolve takes")
    parser.add_argument("--random", action="store_true", help="a random model of width 256 with 6 layers instead")
    parser.add_argument("--prompts", type=int, default=4, help="B")
    parser.add_argument("--rollouts", type=int, default=8, help="G, of each prompt")
    parser.add_argument("--prompt", type=int, default=100, help="tokens of the longest prompt; the others have fewer")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each response")
    parser.add_argument("--remat", action="store_true", help="recompute activations in the backward pass")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="also write the figures here as JSON")
    options = parser.parse_args()

    if options.random:
        graphdef, params = nnx.split(Decoder(RANDOM, rngs=nnx.Rngs(0)))
        vocabulary = RANDOM.vocabulary
    else:
        model = load_model(options.model)
        graphdef, params, vocabulary = model.graphdef, model.params, model.config.vocabulary
    rng = np.random.default_rng(0)
    rows = options.prompts * options.rollouts
    questions = np.repeat(np.arange(options.prompts), options.rollouts)
    lengths = [max(1, options.prompt - 3 * place) for place in range(options.prompts)]
    prompts = [rng.integers(1, vocabulary, length).astype(np.int32) for length in lengths]
    one = jnp.float32(1)
    common = {
        "tokens": jnp.asarray(rng.integers(1, vocabulary, (rows, options.tokens)), jnp.int32),
        "lengths": jnp.full((rows,), options.tokens, jnp.int32),
        "weights": jnp.full((rows, options.tokens), 1 / rows, jnp.float32),
        "signal": jnp.asarray(rng.normal(size=rows), jnp.float32),
        "old_log_probs": jnp.zeros((rows, options.tokens), jnp.float32),
        "ref_log_probs": None,
        "fresh": jnp.ones((rows,), bool),
        "numbers": {"temperature": one, "clip_low": one, "clip_high": one, "dual_clip": one},
        "graphdef": graphdef,
        "objective": policy_gradient.Objective(clipped=False, dual_clipped=False, kl=None, remat=options.remat),
    }
    layouts = {"once": learned_rows.prompt_batch(prompts, questions), "copied": copied(prompts, questions)}

    def gradient(name: str) -> tuple[float, Any]:
        start = time.perf_counter()
        found = jax.block_until_ready(policy_gradient.loss_and_gradient(params, **layouts[name], **common))
        return time.perf_counter() - start, found[1]

    first, gradients = {}, {}
    for name in layouts:
        first[name], gradients[name] = gradient(name)
    apart = max(
        float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)))
        for a, b in zip(*(jax.tree.leaves(gradients[name]) for name in layouts), strict=True)
    )
    print(
        f"{'random weights' if options.random else options.model}: {options.prompts} prompts of up to {options.prompt} "
        f"tokens × {options.rollouts} rollouts of {options.tokens}, float32, {os.cpu_count()} CPUs "
        f"({platform.machine()}), load {os.getloadavg()[0]:.1f}, jax {jax.__version__} on {jax.default_backend()}; "
        f"first calls {first['once']:.1f} and {first['copied']:.1f} s; gradients apart by {apart:.1e}",
        flush=True,
    )
    taken: dict[str, list[float]] = {name: [] for name in layouts}
    for repeat in range(options.repeats):
        for name in list(layouts)[:: 1 if repeat % 2 else -1]:
            taken[name].append(gradient(name)[0])
    medians = {name: statistics.median(times) for name, times in taken.items()}
    ratio = medians["copied"] / medians["once"]
    print(f"prompts read once {medians['once']:.3f} s, a copy a row {medians['copied']:.3f} s: ratio {ratio:.2f}")
    if options.out:
        figures = {"medians": medians, "ratio": ratio, "first_s": first, "seconds": taken, "apart": apart}
        options.out.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
