"""What the embedded models can do before any fine-tuning, in numbers:

    python -m simulations.tiny_models.measure --model tiny-llama --json FILE

For each task: Pass@1 on the first test prompts with its 95% interval, and p0 (the share of right responses) of the
first train prompts, by difficulty and as a histogram. Sampled at temperature 1, judged by GSM8K's strict rule. All in a
few compiled calls: prompts of a batch are padded to one length.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bandit_rft.keys import as_key
from llm_bridge.language_model import load_model
from llm_bridge.measuring.evaluate import evaluate
from llm_bridge.tiny import tasks
from simulations.tiny_models.pretrain import LENGTHS

MAX_TOKENS = 40
EDGES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def measure(
    model: Any, name: str, *, key: jax.Array, prompts: int = 240, samples: int = 128, test: int = 1000
) -> dict[str, Any]:
    """The numbers of one model on one task, as plain values.

    Args:
        model: a `LanguageModel`.
        name: of the task.
        key: JAX key.
        prompts: first train prompts whose p0 is estimated.
        samples: responses behind each p0.
        test: first test prompts, one response each, behind Pass@1.
    """
    from llm_bridge.data import datasets

    common: dict[str, Any] = {"max_tokens": MAX_TOKENS, "verifier": "gsm8k-strict", "batch": 512}
    train_key, test_key = jax.random.split(key)
    data = datasets.load(name, "test")
    found = evaluate(model, [data.example(place) for place in range(test)], key=test_key, **common)
    train = datasets.load(name, "train")
    examples = [train.example(place) for place in range(prompts)]
    seen = evaluate(model, examples, key=train_key, samples=samples, **common)
    p0 = seen.per_question / samples
    levels = np.asarray([tasks.task(name).problem("train", place).difficulty for place in range(prompts)])
    counts, _ = np.histogram(p0, EDGES)
    return {
        "task": name,
        "test_pass_at_1": found.pass_at_1,
        "interval": [found.low, found.high],
        "test_prompts": test,
        "truncated": found.truncated,
        "p0_by_difficulty": {int(level): float(p0[levels == level].mean()) for level in np.unique(levels)},
        "p0_histogram": dict(zip([f"{a:g}-{b:g}" for a, b in itertools.pairwise(EDGES)], counts.tolist(), strict=True)),
        "p0_smallest": float(p0.min()),
        "p0_largest": float(p0.max()),
        "train_prompts": prompts,
        "samples": samples,
    }


def main(given: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m simulations.tiny_models.measure", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--model", required=True, help="name or folder")
    parser.add_argument("--prompts", type=int, default=240, help="train prompts (default: 240)")
    parser.add_argument("--samples", type=int, default=128, help="responses a train prompt (default: 128)")
    parser.add_argument("--test", type=int, default=1000, help="test prompts (default: 1000)")
    parser.add_argument("--key", type=int, default=0, help="seed (default: 0)")
    parser.add_argument("--json", type=Path, default=None, help="also write the numbers here (default: none)")
    arguments = parser.parse_args(given)
    model = load_model(arguments.model)
    key = as_key(arguments.key, "--key")
    found = []
    for place, name in enumerate(LENGTHS):
        numbers = measure(
            model,
            name,
            key=jax.random.fold_in(key, place),
            prompts=arguments.prompts,
            samples=arguments.samples,
            test=arguments.test,
        )
        found.append(numbers)
        low, high = numbers["interval"]
        print(f"{arguments.model} on {name}: test Pass@1 {numbers['test_pass_at_1']:.3f} [{low:.3f}, {high:.3f}]")
        print("  p0 by difficulty: " + ", ".join(f"{k}: {v:.3f}" for k, v in numbers["p0_by_difficulty"].items()))
        print("  p0 histogram: " + ", ".join(f"{k}: {v}" for k, v in numbers["p0_histogram"].items()), flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"model": arguments.model, "tasks": found}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
