"""The recipe of the embedded models, one command per model, on a CPU:

    python -m simulations.tiny_models.pretrain --family llama --out FOLDER

Next-token cross-entropy on the responses of `simulations.tiny_models.corpus` to train prompts, both tasks in equal
numbers; AdamW with a short warm-up and a cosine to a tenth; weights rounded to bfloat16 and written in Hugging
Face layout. All random draws come from `--seed`. Left out: a validation set, dropout, mixed precision.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from bandit_rft.errors import InputError
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.decoder import Decoder
from llm_bridge.tiny import tasks, vocabulary
from simulations.tiny_models import corpus
from simulations.tiny_models.folder import write_folder

Array = jax.Array
STEPS, BATCH, SEEDS = 4000, 40, {"llama": 1, "qwen2": 2, "olmo2": 3}
PEAK_RATE, WARM_UP, WEIGHT_DECAY = 3e-3, 100, 0.05
# Tokens of a prompt and response of each task, the longest there is.
LENGTHS = {"tiny-addition": 41, "tiny-stories": 68}
CHUNK = 25  # steps compiled into one scan, and between lines of progress


def config_of(family: str) -> DecoderConfig:
    """The shape of an embedded model: about 0.62 M parameters.

    Raises:
        InputError: a family without an embedded model.
    """
    if family not in SEEDS:
        raise InputError(f"No recipe for the family {family!r}: choose one of {', '.join(SEEDS)}.")
    return DecoderConfig(
        model_type=family,
        vocabulary=len(vocabulary.TOKENS),
        width=128,
        mlp_width=272,
        layers=4,
        heads=4,
        kv_heads=2,
        head_dim=32,
        norm_epsilon=1e-5,
        rope_theta=10000.0,
        rope_scaling=None,
        max_positions=128,
        tied=True,
        eos_ids=(vocabulary.EOS,),
        pad_id=vocabulary.PAD,
    )


def batch(name: str, rows: int, random: Random) -> tuple[np.ndarray, np.ndarray]:
    """Tokens int32 [rows, T + 1] of prompt, response and end-of-text, and bool [rows, T], which next tokens count."""
    problems = tasks.task(name)
    size, length = problems.size("train"), LENGTHS[name]
    tokens = np.full((rows, length + 1), vocabulary.PAD, np.int32)
    counted = np.zeros((rows, length), bool)
    for row in range(rows):
        problem = problems.problem("train", int(random.random() * size))
        prompt = vocabulary.encode(problem.prompt)
        answer = [*vocabulary.encode(corpus.response(name, problem, random)), vocabulary.EOS]
        end = len(prompt) + len(answer)
        tokens[row, :end] = prompt + answer
        counted[row, len(prompt) - 1 : end - 1] = True
    return tokens, counted


def schedule(steps: int) -> optax.Schedule:
    """Linear warm-up, then a cosine to a tenth of the peak."""
    warm_up = min(WARM_UP, max(1, steps // 10))
    return optax.warmup_cosine_decay_schedule(0.0, PEAK_RATE, warm_up, max(steps, warm_up + 1), PEAK_RATE / 10)


def loss_of(graphdef: Any, params: Any, batches: list[tuple[Array, Array]]) -> Array:
    """Mean over tasks of the mean cross-entropy of a response token, in nats."""
    decoder = nnx.merge(graphdef, params)
    losses = []
    for tokens, counted in batches:
        log_probs = jax.nn.log_softmax(decoder(tokens[:, :-1]), axis=-1)
        chosen = jnp.take_along_axis(log_probs, tokens[:, 1:, None], axis=-1)[..., 0]
        losses.append(-jnp.sum(jnp.where(counted, chosen, 0.0)) / jnp.sum(counted, dtype=jnp.float32))
    return sum(losses, jnp.zeros(())) / len(losses)


def pretrain(family: str, *, steps: int = STEPS, rows: int = BATCH, seed: int | None = None, tell: Any = None) -> Any:
    """Train a model from scratch.

    Args:
        family: "llama", "qwen2" or "olmo2".
        steps: optimiser steps.
        rows: examples of each task in a step.
        seed: of weights and corpus; None: the family's own.
        tell: called with (steps done, mean loss of the newest) after each chunk.

    Returns:
        (config, params): params as `weights.load_params` gives them, float32.
    """
    seed = SEEDS[family] if seed is None else seed
    config = config_of(family)
    graphdef, params = nnx.split(Decoder(config, rngs=nnx.Rngs(seed)))
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(
            schedule(steps),
            b2=0.98,
            weight_decay=WEIGHT_DECAY,
            mask=lambda tree: jax.tree.map(lambda leaf: leaf.ndim > 2, tree),  # matrices of layers alone
        ),
    )

    def step(carry: Any, batches: Any) -> tuple[Any, Array]:
        params, state = carry
        loss, gradient = jax.value_and_grad(partial(loss_of, graphdef))(params, batches)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes integer counts and floats
            updates, state = optimizer.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), loss

    run_chunk = jax.jit(lambda carry, batches: jax.lax.scan(step, carry, batches), donate_argnums=0)
    carry = (params, optimizer.init(params))
    random, done = Random(seed), 0
    while done < steps:
        count = min(CHUNK, steps - done)
        made = [[batch(name, rows, random) for _ in range(count)] for name in tasks.TASKS]
        stacked = [tuple(jnp.asarray(np.stack(parts)) for parts in zip(*some, strict=True)) for some in made]
        carry, losses = run_chunk(carry, stacked)
        done += count
        if tell is not None:
            tell(done, float(jnp.mean(losses)))
    return config, carry[0]


def main(given: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m simulations.tiny_models.pretrain", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--family", required=True, choices=tuple(SEEDS))
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="written, or written over")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"optimiser steps (default: {STEPS})")
    parser.add_argument("--rows", type=int, default=BATCH, help=f"examples of each task a step (default: {BATCH})")
    parser.add_argument("--seed", type=int, default=None, help=f"of weights and corpus (default: {SEEDS})")
    arguments = parser.parse_args(given)
    start = time.monotonic()

    def tell(done: int, loss: float) -> None:
        if done % (4 * CHUNK) == 0 or done == arguments.steps:
            passed = time.monotonic() - start
            print(f"step {done} of {arguments.steps}  loss {loss:.4f}  {passed:.0f} s", flush=True)

    config, params = pretrain(
        arguments.family, steps=arguments.steps, rows=arguments.rows, seed=arguments.seed, tell=tell
    )
    seed = SEEDS[arguments.family] if arguments.seed is None else arguments.seed
    write_folder(arguments.out, config, params, steps=arguments.steps, rows=arguments.rows, seed=seed)
    print(f"Written to {arguments.out} in {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
