"""Decoding speed against transformers: tokens per second, same weights, same machine, one run.

    python benchmarks/decode.py [--model smollm2-135m] [--batches 1 8 32] [--tokens 64] [--repeats 3] [--out FILE.json]

Both sample at temperature 1 over the whole vocabulary, in float32, from one prompt, exactly `--tokens` new tokens a row
(end of text disabled for both). A repeat times ours and theirs one after the other, so that a busy machine slows both;
the first call of each, which compiles or warms up, is timed apart. The ratio reported is of the medians. Prefill,
sampling and the copy to the host are inside the time; text decoding is inside ours alone. Needs torch (the `test`
extra).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import torch
import transformers

from llm_bridge import load_model
from llm_bridge.models import hub

PROMPT = "Tell me a long story about a fox that learns to count."
# The floor set for this project: our tokens per second over transformers', by batch size.
WANTED = {1: 2.0, 8: 2.0, 32: 1.0}


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description="Decoding speed against transformers.")
    parser.add_argument("--model", default="smollm2-135m", help="what llm_bridge.models.hub.resolve takes")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32], help="rollouts of the one prompt")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens a row")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="also write the figures here as JSON")
    options = parser.parse_args()

    ours = load_model(options.model)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(hub.resolve(options.model), dtype=torch.float32).eval()
    ids = torch.tensor(ours.encode(PROMPT), dtype=torch.long)[None]

    def run_ours(batch: int, seed: int) -> None:
        out = ours.generate(PROMPT, rollouts=batch, max_tokens=options.tokens, key=seed, ignore_eos=True)
        assert (out.lengths == options.tokens).all()

    def run_theirs(batch: int) -> None:
        with torch.inference_mode():
            out = theirs.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                num_return_sequences=batch,
                max_new_tokens=options.tokens,
                eos_token_id=None,
                pad_token_id=0,
            )
        assert out.shape == (batch, ids.shape[1] + options.tokens)

    print(
        f"{options.model}: prompt {ids.shape[1]} tokens, {options.tokens} new tokens a row, float32, "
        f"{os.cpu_count()} CPUs ({platform.machine()}), jax {jax.__version__} on {jax.default_backend()}, "
        f"torch {torch.__version__} on {torch.get_num_threads()} threads, transformers {transformers.__version__}"
    )
    rows = []
    for batch in options.batches:
        first = seconds(partial(run_ours, batch, 0))
        run_theirs(batch)
        times: dict[str, list[float]] = {"ours": [], "transformers": []}
        for repeat in range(options.repeats):
            times["ours"].append(seconds(partial(run_ours, batch, repeat + 1)))
            times["transformers"].append(seconds(partial(run_theirs, batch)))
        rates = {name: batch * options.tokens / statistics.median(taken) for name, taken in times.items()}
        ratio = rates["ours"] / rates["transformers"]
        wanted = WANTED.get(batch)
        verdict = ""
        if wanted is not None:
            verdict = f" (at least {wanted:.0f} wanted: {'met' if ratio >= wanted else 'MISSED'})"
        print(
            f"batch {batch:2d}: ours {rates['ours']:7.1f} tokens/s, "
            f"transformers {rates['transformers']:7.1f} tokens/s, "
            f"ratio {ratio:.2f}{verdict}; first call {first:.1f} s",
            flush=True,
        )
        rows.append({"batch": batch, "tokens_per_second": rates, "ratio": ratio, "first_s": first, "seconds": times})
    if options.out:
        figures = {"model": options.model, "tokens": options.tokens, "rows": rows}
        options.out.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
