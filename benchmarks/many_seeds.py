"""Processor seconds per round of a compiled run of many seeds of an embedded model.

    python benchmarks/many_seeds.py [--model tiny-llama] [--seeds 16] [--rollouts 8] [--prompts 1] [--rounds 20]
        [--max-tokens N] [--micro-batch N] [--plain] [--parts] [--repeats 3] [--root CHECKOUT] [--out FILE.json]

`bandit_rft.run` on one question of `tiny-addition`, or several with --prompts, as `bandit-rft finetune` runs it:
settings are its defaults (AdamW, a KL term, max_tokens what the context leaves) unless --plain takes the minimalist
ones (SGD, no KL). Compilation is left out. With --parts sampling and update are timed by themselves too: the learner's
own `act` and `update`, vmapped over the seeds, at the weights of the first round. Processor seconds count all threads.

With --root the packages are imported from another checkout, such as a worktree of the commit before; run the two in
turns, and compare their figures of one sitting.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Processor seconds of many seeds of a small model.")
    parser.add_argument("--model", default="tiny-llama", help="an embedded model")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--rollouts", type=int, default=8, help="G")
    parser.add_argument("--prompts", type=int, default=1, help="B, drawn of twice as many questions")
    parser.add_argument("--rounds", type=int, default=20, help="that are timed")
    parser.add_argument("--max-tokens", type=int, help="default: what the model's context leaves")
    parser.add_argument("--micro-batch", type=int)
    parser.add_argument("--plain", action="store_true", help="SGD without a KL term")
    parser.add_argument("--parts", action="store_true", help="also time sampling and update by themselves")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--root", type=Path, help="the checkout to measure; default: the installed packages")
    parser.add_argument("--out", type=Path, help="also write the figures here as JSON")
    return parser.parse_args()


def _processor_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    options = _options()
    if options.root:
        sys.path.insert(0, str(options.root.resolve()))
    import jax
    import jax.numpy as jnp

    import bandit_rft
    from llm_bridge import FineTune, load_model
    from llm_bridge.bandits.token_arms import TokenQuestionArms
    from llm_bridge.data import datasets

    model = load_model(options.model)
    data = datasets.load("tiny-addition", "train")
    kept = [data.example(place) for place in ([16] if options.prompts == 1 else range(2 * options.prompts))]
    arms = TokenQuestionArms(model, kept)
    settings: dict[str, Any] = {"max_tokens": options.max_tokens, "micro_batch": options.micro_batch}
    settings |= {
        "prompts": options.prompts,
        "rollouts": options.rollouts,
        "signal": "grpo" if options.rollouts > 1 else "raw",
    }
    if options.plain:
        settings |= {"optimizer": "sgd", "learning_rate": 1e-3, "kl_coefficient": 0.0, "gradient_clip": None}
    learner = FineTune(model, **settings)

    def whole() -> Any:
        return bandit_rft.run(arms, learner, options.rounds, seeds=options.seeds, key=0)

    history = whole()  # compiles; the runs that are timed find the program
    work: dict[str, tuple[int, Callable[[], Any]]] = {"round": (options.rounds, whole)}
    if options.parts:
        bound = learner.bind(arms, rounds=options.rounds)
        base = jax.random.key(1)
        keys = jax.vmap(functools.partial(jax.random.fold_in, base))(jnp.arange(options.seeds, dtype=jnp.uint32))
        act, update = jax.jit(jax.vmap(lambda key, state: bound.act(key, state)[0])), jax.jit(jax.vmap(bound.update))
        state = jax.jit(jax.vmap(bound.init))(keys)
        sampled = act(keys, state)
        rewards = jax.jit(jax.vmap(arms.pull))(keys, sampled).astype(jnp.float32)
        jax.block_until_ready(update(state, sampled, rewards))
        work["sampling"] = 2, lambda: [jax.block_until_ready(act(keys, state)) for _ in range(2)]
        work["update"] = 2, lambda: [jax.block_until_ready(update(state, sampled, rewards)) for _ in range(2)]
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(options.repeats):
        for name, (times, once) in work.items():
            found[name].append(_processor_seconds(once) / times)
    medians = {name: statistics.median(values) for name, values in found.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{options.model}, {options.seeds} seeds, {options.prompts} × {options.rollouts} responses of at most "
        f"{learner.longest(arms)} tokens ({history.metrics['response_length'].mean():.1f} in the mean), "
        f"{os.cpu_count()} CPUs ({platform.machine()}), jax {jax.__version__}; peak {peak:.1f} GiB\n"
        "processor seconds per round: " + ", ".join(f"{name} {value:.3f}" for name, value in medians.items())
    )
    if options.out:
        given = {name: str(value) for name, value in vars(options).items()}
        options.out.write_text(
            json.dumps({"options": given, "medians": medians, "all": found, "peak_gib": peak}, indent=2)
        )


if __name__ == "__main__":
    main()
