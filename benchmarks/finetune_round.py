"""One fine-tuning round against a plain transformers one: seconds a round, same weights, same machine, one run.

    python benchmarks/finetune_round.py [--model smollm2-135m] [--prompt 80] [--tokens 128] [--repeats 5] [--out FILE]

A round: sample one response of exactly `--tokens` tokens to a prompt of `--prompt` tokens (end of text disabled for
both, temperature 1, the whole vocabulary), then one policy-gradient step, −A log π(response) through forward,
backward, gradient clip at 1 and AdamW (learning rate 10^-6), in float32. Theirs: `generate` with its cache, a forward
over prompt and response whose head runs on the response alone, `backward`, `clip_grad_norm_`, `torch.optim.AdamW`
(fused). Ours: `FineTune` as `bandit-rft finetune` runs it, its metrics included. A repeat times ours and theirs one
after the other, so that a busy machine slows both; the first round of each, which compiles or warms up, is timed apart.
The ratio reported is of the medians. Processor seconds (of all threads) are told too: on a busy machine, run with
`--threads 1` under `taskset -c 0` and read those, since threads then neither wait nor spin. Needs torch (the `test`
extra).

Where the model cannot be had, `--random` makes a checkpoint of SmolLM2-135M's shape with random weights.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers

from llm_bridge import load_model
from llm_bridge.bandits.question_arms import PromptArms
from llm_bridge.training.learner import FineTune

WANTED = 2.0
LEARNING_RATE, WEIGHT_DECAY, CLIP = 1e-6, 0.01, 1.0
SMOLLM2 = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "rope_theta": 100000.0,
    "tie_word_embeddings": True,
}
STORY = "Tell me a long story about a fox that learns to count. "


Parts = dict[str, list[tuple[float, float]]]


@contextlib.contextmanager
def timed(parts: Parts, name: str) -> Iterator[None]:
    """Adds (seconds, processor seconds of all threads) of the block."""
    start = time.perf_counter(), time.process_time()
    yield
    parts.setdefault(name, []).append((time.perf_counter() - start[0], time.process_time() - start[1]))


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def random_checkpoint(folder: Path) -> str:
    """A random model of SmolLM2-135M's shape with a tokenizer of one token a byte."""
    from tests.llm_bridge.checkpoints import byte_tokenizer

    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMOLLM2)).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return str(folder)


def prompt_of(model: Any, length: int) -> str:
    """A text that the model's tokenizer and template make `length` tokens of."""
    for count in range(1, 8 * length):
        text = (STORY * length)[:count]
        if text.strip() and len(model.encode(text)) == length:
            return text
    raise SystemExit(f"no prompt of {length} tokens: give another --prompt")


class Theirs:
    """The same round in plain torch."""

    def __init__(self, folder: Path, prompt: np.ndarray, tokens: int) -> None:
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.prompt = torch.tensor(prompt, dtype=torch.long)[None]
        self.tokens = tokens
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )
        self.parts: Parts = {}

    def sample(self) -> torch.Tensor:
        with torch.inference_mode():
            out = self.model.eval().generate(
                self.prompt,
                attention_mask=torch.ones_like(self.prompt),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=self.tokens,
                eos_token_id=None,
                pad_token_id=0,
            )
        return out.clone()

    def update(self, sequence: torch.Tensor, signal: float) -> None:
        self.model.train()
        length = self.prompt.shape[1]
        logits = self.model(sequence, logits_to_keep=self.tokens + 1).logits[0, :-1]
        chosen = torch.log_softmax(logits, -1).gather(1, sequence[0, length:, None])
        (-signal * chosen.sum()).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def round(self) -> None:
        with timed(self.parts, "sample"):
            sequence = self.sample()
        assert sequence.shape == (1, self.prompt.shape[1] + self.tokens)
        with timed(self.parts, "update"):
            self.update(sequence, 1.0)


class Ours:
    """`FineTune`'s own sampling and update; only the end of text is disabled, by a configuration that has none."""

    def __init__(self, model: Any, text: str, tokens: int) -> None:
        import dataclasses

        model = dataclasses.replace(model, config=dataclasses.replace(model.config, eos_ids=()))
        settings = FineTune(
            model,
            max_tokens=tokens,
            learning_rate=LEARNING_RATE,
            weight_decay=WEIGHT_DECAY,
            gradient_clip=CLIP,
            kl_coefficient=0.0,
            clip=None,
        )
        self.learner = settings.bind(PromptArms(model, text, lambda response: 1.0))
        self.state = self.learner.init(jax.random.key(0))
        self.tokens, self.count = tokens, 0
        self.parts: Parts = {}

    def round(self) -> None:
        self.count += 1
        with timed(self.parts, "sample"):
            rollouts, _ = self.learner.act(jax.random.fold_in(jax.random.key(1), self.count), self.state)
        assert (rollouts.lengths == self.tokens).all()
        with timed(self.parts, "update"):
            rewards = jnp.ones((1,), jnp.float32)
            self.state = jax.block_until_ready(self.learner.update(self.state, rollouts, rewards))


def main() -> None:
    parser = argparse.ArgumentParser(description="A fine-tuning round against a plain transformers one.")
    parser.add_argument("--model", default="smollm2-135m", help="what llm_bridge.models.hub.resolve takes")
    parser.add_argument("--random", action="store_true", help="random weights of SmolLM2-135M's shape instead")
    parser.add_argument("--prompt", type=int, default=80, help="tokens of the prompt")
    parser.add_argument("--tokens", type=int, default=128, help="tokens of the response")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="torch's threads (default: its own choice); ours: use taskset")
    parser.add_argument("--out", type=Path, help="also write the figures here as JSON")
    options = parser.parse_args()

    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(random_checkpoint(Path(folder)) if options.random else options.model)
        assert model.source is not None
        text = prompt_of(model, options.prompt)
        theirs = Theirs(model.source.folder, model.encode(text), options.tokens)
    ours = Ours(model, text, options.tokens)
    print(
        f"{'random weights' if options.random else options.model}: prompt {options.prompt} tokens, one response of "
        f"{options.tokens}, one AdamW step, float32, {os.cpu_count()} CPUs ({platform.machine()}), load "
        f"{os.getloadavg()[0]:.1f}, jax {jax.__version__} on {jax.default_backend()}, torch {torch.__version__} on "
        f"{torch.get_num_threads()} threads, transformers {transformers.__version__}",
        flush=True,
    )
    first = {"ours": seconds(ours.round), "theirs": seconds(theirs.round)}
    print(f"first round: ours {first['ours']:.1f} s, transformers {first['theirs']:.1f} s", flush=True)
    for side in (ours, theirs):
        side.parts.clear()
    for repeat in range(options.repeats):
        taken = seconds(ours.round), seconds(theirs.round)
        print(f"repeat {repeat + 1}: ours {taken[0]:.2f} s, transformers {taken[1]:.2f} s", flush=True)
    medians: dict[str, dict[str, tuple[float, float]]] = {}
    for name, side in (("ours", ours), ("theirs", theirs)):
        whole = [tuple(map(sum, zip(*both, strict=True))) for both in zip(*side.parts.values(), strict=True)]
        medians[name] = {
            part: tuple(statistics.median(column) for column in zip(*taken, strict=True))
            for part, taken in {**side.parts, "round": whole}.items()
        }
    for place, clock in enumerate(("seconds", "processor seconds")):
        for part in ("sample", "update", "round"):
            mine, plain = (medians[name][part][place] for name in ("ours", "theirs"))
            print(f"{part:6s}: ours {mine:7.3f}, transformers {plain:7.3f} {clock}, ratio {plain / mine:.2f}")
    ratio = medians["theirs"]["round"][0] / medians["ours"]["round"][0]
    print(f"at least {WANTED:.0f} wanted: {'met' if ratio >= WANTED else 'MISSED'} ({ratio:.2f})")
    if options.out:
        seconds_taken = {"ours": ours.parts, "theirs": theirs.parts}
        figures = {"medians": medians, "ratio": ratio, "first_s": first, "seconds": seconds_taken}
        options.out.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
