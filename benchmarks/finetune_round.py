"""A fine-tuning round against TRL's GRPOTrainer and a plain torch loop, and against what the machine can do: one run.

    python benchmarks/finetune_round.py [--model smollm2-135m] [--cores 1 2] [--prompt 80] [--tokens 128]
        [--rollouts 2 8] [--repeats 3] [--peers torch trl] [--environments DIR | --peer-python trl=PYTHON] [--out FILE]

A round: sample G responses of exactly `--tokens` tokens to a prompt of `--prompt` tokens (end of text disabled,
temperature 1, the whole vocabulary), then one GRPO step on them: forward, backward, gradient clip at 1 and AdamW
(learning rate 10^-6), in float32, without a reference model. Rewards alternate between 1 and 0, so that no row is left
out. G = 1 takes the raw reward, and TRL, which needs a group, leaves it out.

Ours is `FineTune` as `bandit-rft finetune` runs it, its metrics included. Theirs: `language_peer.py`, each a process
that has loaded its model before. A repeat times ours and the peers one after the other, so that a busy machine slows
all; the first round of each, which compiles or warms up, is timed apart. The ratio reported is of the medians;
`processor` is the same of processor seconds of all threads.

Roofline: the update's matrix products (`roofline.py`) over its time and the matmul rate measured in the same run. Ours
puts the group's prompt through the layers once, and is counted so; the optimiser's arithmetic is in the time and not
in the count. `--cores 1 2` runs the whole once tied to one core and once to two.

Where the model cannot be had, `--random` makes a checkpoint of SmolLM2-135M's shape with random weights.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cores
import peers
import roofline
import shapes
from language_peer import CLIP, LEARNING_RATE, WEIGHT_DECAY

NAMES = ("torch", "trl")
REQUIREMENTS = {
    "torch": ("torch==2.13.0", "transformers>=5"),
    "trl": ("trl==1.16.0", "torch==2.13.0", "transformers>=5", "jinja2"),
}
OWN = {"torch": "torch", "trl": "trl"}
# The floors set for this project: a round's time over ours, and the update's share of the matmul rate.
ROUND_WANTED, MATMUL_WANTED = 3.0, 0.5
STORY = "Tell me a long story about a fox that learns to count. "


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="what llm_bridge.models.hub.resolve takes")
    parser.add_argument("--random", action="store_true", help="random weights of SmolLM2-135M's shape instead")
    parser.add_argument("--cores", type=int, nargs="+", help="run on so many cores, each in turn (default: all)")
    parser.add_argument("--prompt", type=int, default=80, help="tokens of the prompt")
    parser.add_argument("--tokens", type=int, default=128, help="tokens of each response")
    parser.add_argument("--rollouts", type=int, nargs="+", default=[2, 8], help="G, responses of a round")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=NAMES, default=list(NAMES))
    peers.add_arguments(parser, NAMES)
    parser.add_argument("--out", type=Path, help="also write the figures here as JSON")
    told = parser.parse_args()
    peers.named_pythons(told.peer_python, NAMES)
    return told


def prompt_of(model: Any, length: int) -> str:
    """A text that the model's tokenizer and template make `length` tokens of."""
    for count in range(1, 8 * length):
        text = (STORY * length)[:count]
        if text.strip() and len(model.encode(text)) == length:
            return text
    raise SystemExit(f"no prompt of {length} tokens: give another --prompt.")


@contextlib.contextmanager
def timed(parts: dict[str, float], name: str) -> Iterator[None]:
    """Writes the seconds of the block under its name, and adds its processor seconds (of all threads)."""
    start = time.perf_counter(), time.process_time()
    yield
    parts[name] = time.perf_counter() - start[0]
    parts["processor_seconds"] = parts.get("processor_seconds", 0.0) + time.process_time() - start[1]


class Ours:
    """`FineTune`'s own sampling, verification and update; only the end of text is disabled, by a configuration that has
    none.
    """

    def __init__(self, model: Any, text: str, rollouts: int, tokens: int, **settings: Any) -> None:
        import jax

        from llm_bridge.bandits.question_arms import PromptArms
        from llm_bridge.training.learner import FineTune

        self.jax = jax
        model = dataclasses.replace(model, config=dataclasses.replace(model.config, eos_ids=()))
        tuning = FineTune(
            model,
            signal="grpo" if rollouts > 1 else "raw",
            rollouts=rollouts,
            max_tokens=tokens,
            learning_rate=LEARNING_RATE,
            weight_decay=WEIGHT_DECAY,
            gradient_clip=CLIP,
            kl_coefficient=0.0,
            clip=None,
            **settings,
        )
        self.arms = PromptArms(model, text, lambda response: 1.0)
        self.learner = tuning.bind(self.arms)
        self.state = self.learner.init(jax.random.key(0))
        self.rows, self.tokens, self.count = rollouts, tokens, 0

    def round(self) -> dict[str, float]:
        """Seconds of the round and of its parts."""
        jax = self.jax
        self.count += 1
        parts: dict[str, float] = {}
        with timed(parts, "sample"):
            rollouts, _ = self.learner.act(jax.random.fold_in(jax.random.key(1), self.count), self.state)
        assert (rollouts.lengths == self.tokens).all()
        with timed(parts, "verify"):
            self.arms.pull(jax.random.key(2), rollouts)
        with timed(parts, "update"):
            rewards = jax.numpy.arange(self.rows, dtype="float32") % 2 if self.rows > 1 else jax.numpy.ones((1,))
            self.state = jax.block_until_ready(self.learner.update(self.state, rollouts, rewards.astype("float32")))
        return parts | {"seconds": parts["sample"] + parts["verify"] + parts["update"]}


def jobs(told: argparse.Namespace, model: Any, text: str, rollouts: int, threads: int) -> tuple[Any, list[str]]:
    """Each peer's interpreter and job, and a sentence for each that cannot be had."""
    ids = [int(token) for token in model.encode(text)]
    job = {
        "folder": str(model.source.folder),
        "prompt": ids,
        # What the chat template makes of it: TRL takes text, and makes the same tokens of this.
        "text": model.tokenizer.decode(ids),
        "rollouts": rollouts,
        "tokens": told.tokens,
        "threads": threads,
        "micro_batch": None,
        "device": "cpu",
        "dtype": "float32",
    }
    found, left_out = {}, []
    for name in told.peers:
        try:
            if name == "trl" and rollouts < 2:
                raise peers.Missing("trl is left out at one rollout: its trainer needs a group of two or more.")
            found[name] = peers.python_of(name, REQUIREMENTS[name], told, NAMES, own=OWN[name]), {**job, "peer": name}
        except peers.Missing as reason:
            left_out.append(str(reason))
            print(reason, flush=True)
    return found, left_out


def limit(config: Any, rollouts: int, prompt: int, tokens: int, rate: float, bandwidth: float) -> float:
    """Seconds of a round at the machine's limits: each decoding step at bandwidth or matmul rate, whichever is slower,
    and the update at the matmul rate. The prompt's own pass is left out, so that it is a little too small."""
    steps = [roofline.decode_step(config, rollouts, prompt, response, 4) for response in range(tokens)]
    decoding = sum(max(step["bytes"] / bandwidth, step["operations"] / rate) for step in steps)
    return decoding + roofline.update_operations(config, rollouts, prompt, tokens) / rate


def one_group(
    told: argparse.Namespace, model: Any, text: str, rollouts: int, rate: float, bandwidth: float
) -> dict[str, Any]:
    """The rounds of one group size."""
    count = cores.available()
    ours = Ours(model, text, rollouts, told.tokens)
    found, left_out = jobs(told, model, text, rollouts, count)
    with peers.started(found) as (running, stopped):
        versions = {name: peer.versions for name, peer in running.items()}
        taken: dict[str, list[dict[str, float]]] = {"ours": []}
        first = {"ours": ours.round()["seconds"]}
        for name, peer in list(running.items()):
            try:
                first[name] = peer.run()["seconds"]
                taken[name] = []
            except peers.Missing as reason:
                stopped.append(str(reason))
                print(reason, flush=True)
        for _ in range(told.repeats):
            for name, runs in taken.items():
                runs.append(ours.round() if name == "ours" else running[name].run())
    median = {
        name: {part: statistics.median(run[part] for run in runs) for part in runs[0]} for name, runs in taken.items()
    }
    mine = median["ours"]
    products = min(bandwidth, max(roofline.product_bandwidth(rollouts).values()))
    operations = roofline.update_operations(model.config, rollouts, told.prompt, told.tokens)
    return {
        "rollouts": rollouts,
        "median": median,
        "ratio": {
            name: {part: theirs[part] / mine[part] for part in ("sample", "update", "seconds", "processor_seconds")}
            for name, theirs in median.items()
            if name != "ours"
        },
        "matmul_share": operations / mine["update"] / rate,
        "limit_s": limit(model.config, rollouts, told.prompt, told.tokens, rate, bandwidth),
        "products_limit_s": limit(model.config, rollouts, told.prompt, told.tokens, rate, products),
        "product_bandwidth": products,
        "first_s": first,
        "versions": versions,
        "left_out": left_out + stopped,
        "runs": taken,
    }


def measure(told: argparse.Namespace) -> dict[str, Any]:
    """All group sizes on the cores that this process is tied to."""
    import jax

    from llm_bridge import load_model

    count = cores.available()
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(str(shapes.write("smollm2-135m", Path(folder) / "model")) if told.random else told.model)
        text = prompt_of(model, told.prompt)
        rate, bandwidth = roofline.matmul_rate(2048, "float32"), roofline.cpu_bandwidth(count)
        print(
            f"\n{'random weights' if told.random else told.model}: prompt {told.prompt} tokens, responses of "
            f"{told.tokens}, one AdamW step, float32, {count} of {os.cpu_count()} cores ({platform.machine()}), load "
            f"{os.getloadavg()[0]:.1f}, jax {jax.__version__} on {jax.default_backend()}; matmul "
            + ", ".join(f"{name} {value / 1e9:.1f}" for name, value in rate.items())
            + f" GFLOP/s, streaming {max(bandwidth.values()) / 1e9:.1f} GB/s",
            flush=True,
        )
        rows = []
        for rollouts in told.rollouts:
            rows.append(one_group(told, model, text, rollouts, max(rate.values()), max(bandwidth.values())))
            show(rows[-1])
    measured = {"matmul_rate": rate, "bandwidth": bandwidth}
    return {"machine": platform.machine(), "cores": count, **measured, "rows": rows}


def show(row: dict[str, Any]) -> None:
    mine = row["median"]["ours"]
    print(
        f"{row['rollouts']} rollouts: ours {mine['seconds']:.2f} s (sample {mine['sample']:.2f}, verify "
        f"{mine['verify']:.3f}, update {mine['update']:.2f}; first round {row['first_s']['ours']:.1f})"
    )
    for name, ratio in row["ratio"].items():
        theirs = row["median"][name]
        print(
            f"    {name}: {theirs['seconds']:.2f} s (sample {theirs['sample']:.2f}, update {theirs['update']:.2f}), "
            f"ratio {ratio['seconds']:.2f} (sample {ratio['sample']:.2f}, update {ratio['update']:.2f}, processor "
            f"{ratio['processor_seconds']:.2f}; at least {ROUND_WANTED:.0f} wanted: "
            f"{'met' if ratio['seconds'] >= ROUND_WANTED else 'MISSED'})"
        )
    share = row["matmul_share"]
    print(
        f"    update at {share:.0%} of the matmul rate (at least {MATMUL_WANTED:.0%} wanted: "
        f"{'met' if share >= MATMUL_WANTED else 'MISSED'})",
    )
    for words, limit_s in (("at the limit", "limit_s"), ("with the libraries' products", "products_limit_s")):
        shares = (f"{name} {theirs['seconds'] / row[limit_s]:.2f}" for name, theirs in row["median"].items())
        print(f"    {words}: {row[limit_s]:.2f} s; over it, {', '.join(shares)}", flush=True)


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: a line for each number of cores and group size."""
    names = list(dict.fromkeys(name for result in results for row in result["rows"] for name in row["ratio"]))
    head = ["cores", "rollouts", "ours, s", *(f"over {name} (sample, update)" for name in names), "of matmul rate"]
    head += ["at the limit, s (with the libraries' products)"]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    for result in results:
        for row in result["rows"]:
            cells = [str(result["cores"]), str(row["rollouts"]), f"{row['median']['ours']['seconds']:.2f}"]
            for name in names:
                ratio = row["ratio"].get(name)
                cells.append(
                    "" if ratio is None else f"{ratio['seconds']:.2f} ({ratio['sample']:.2f}, {ratio['update']:.2f})"
                )
            lines.append(
                "| "
                + " | ".join(
                    [*cells, f"{row['matmul_share']:.0%}", f"{row['limit_s']:.2f} ({row['products_limit_s']:.2f})"]
                )
                + " |"
            )
    return "\n".join(lines)


def main() -> None:
    cores.on_each(__file__, arguments(), measure, table)


if __name__ == "__main__":
    main()
