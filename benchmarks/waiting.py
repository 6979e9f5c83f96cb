"""Responses of unequal length: a waiting row in the place of one that has ended, against batches that wait for their
longest.

    python benchmarks/waiting.py [--model tiny-llama] [--questions 64] [--samples 8] [--batch 32] [--max-tokens 118]
        [--repeats 5] [--out FILE.json]

Questions of the model's test data, so many responses to each, through `LanguageModel.sample_waiting`, and through
`sample_rows` a batch at a time, as an evaluation decoded before. Both in one process, in turns; the first of each,
which compiles, is left out. Processor seconds (user and system) of the whole process, and passes of the model over a
batch, which are counted. The responses of both are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from bandit_rft.keys import as_key
from llm_bridge import load_model
from llm_bridge.data import datasets
from llm_bridge.measuring.evaluate import draw_keys
from llm_bridge.sampling import waiting

Drawn = tuple[np.ndarray, np.ndarray]  # responses int32 [R, T], and their lengths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny-llama", help="what llm_bridge.models.hub.resolve takes")
    parser.add_argument("--data", default="tiny-addition", help="its questions, by name or file")
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--samples", type=int, default=8, help="responses to each question")
    parser.add_argument("--batch", type=int, default=32, help="rows together")
    parser.add_argument("--max-tokens", type=int, default=118)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="also write the figures here as JSON")
    told = parser.parse_args()

    model = load_model(told.model)
    data = datasets.load(told.data, "test")
    prompts = [model.encode(data.example(place).prompt) for place in range(told.questions)]
    keys = draw_keys(as_key(0), prompts, told.samples)
    by_length = np.argsort([len(prompt) for prompt in prompts], kind="stable")
    rows, keys = np.repeat(by_length, told.samples), keys[by_length].reshape(-1, 2)
    asked = [prompts[row] for row in rows]
    settings = {"max_tokens": told.max_tokens, "temperature": told.temperature}

    def refilled() -> Drawn:
        parts = list(model.sample_waiting(asked, keys, width=told.batch, **settings))
        order = np.argsort(np.concatenate([places for places, _ in parts]))
        return (
            np.concatenate([part.tokens for _, part in parts])[order],
            np.concatenate([part.lengths for _, part in parts])[order],
        )

    def batched() -> Drawn:
        cut = range(0, len(asked), told.batch)
        parts = [model.sample_rows(asked[at : at + told.batch], keys[at : at + told.batch], **settings) for at in cut]
        return np.concatenate([part.tokens for part in parts]), np.concatenate([part.lengths for part in parts])

    def timed(run: Callable[[], Drawn]) -> float:
        start = time.process_time()
        run()
        return time.process_time() - start

    (tokens, lengths), (want, wanted) = refilled(), batched()
    same = float(np.mean((lengths == wanted) & (tokens == want).all(axis=1)))
    passes = {
        "refilled": _passes(model, asked, keys, told),
        "batches": int(sum(wanted[at : at + told.batch].max() - 1 for at in range(0, len(asked), told.batch))),
        "least": float((wanted - 1).sum() / told.batch),
    }
    print(
        f"{told.model}: {told.questions} questions, {told.samples} responses each, {told.batch} rows together, lengths "
        f"{wanted.min()} to {wanted.max()}, {wanted.mean():.1f} in the mean, {same:.1%} of them the same both ways; "
        f"{os.cpu_count()} CPUs ({platform.machine()}), load {os.getloadavg()[0]:.1f}, jax {jax.__version__} on "
        f"{jax.default_backend()}"
    )
    print(f"passes: {passes['refilled']} refilled, {passes['batches']} in batches, {passes['least']:.0f} at the least")
    taken: dict[str, list[float]] = {"refilled": [], "batches": []}
    for repeat in range(told.repeats):
        for name, run in (("refilled", refilled), ("batches", batched))[:: 1 if repeat % 2 else -1]:
            taken[name].append(timed(run))
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    ratio = medians["batches"] / medians["refilled"]
    print(
        f"processor seconds: {medians['refilled']:.2f} refilled, {medians['batches']:.2f} in batches: ratio {ratio:.2f}"
    )
    if told.out:
        figures = {"passes": passes, "same": same, "seconds": taken, "medians": medians, "ratio": ratio}
        told.out.write_text(json.dumps(figures, indent=1) + "\n")


def _passes(model, asked, keys, told) -> int:
    """Passes of the refilled loop over its places, as the loop itself counts them."""
    from llm_bridge.sampling.generate import prepare

    steps = 0
    for _, part in waiting.sample_waiting(
        model.graphdef,
        model.params,
        prepare(model.graphdef, model.params),
        model.config,
        asked,
        row_keys=keys,
        width=told.batch,
        max_tokens=told.max_tokens,
        temperature=told.temperature,
        eos_ids=model.config.eos_ids,
    ):
        steps = part.steps
    return steps


if __name__ == "__main__":
    main()
