"""Which one training question? Measure p0 on the shortest ones and take the one nearest to a wanted p0.

    python -m simulations.choose_question --model smollm2-135m --data gsm8k --questions 24 --samples 32 --out
    runs/scan.json

Short questions first, because a small model can answer them within few tokens. The choice looks at p0 alone, never at a
fine-tuned result. Left out: resuming a scan that was cut.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import jax
import numpy as np

from bandit_rft.errors import InputError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--data", default="gsm8k", help="as for `bandit-rft finetune`; its train split is scanned")
    parser.add_argument("--questions", type=int, default=24, help="how many of the shortest questions")
    parser.add_argument("--samples", type=int, default=32, help="responses per question")
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--verifier", default="gsm8k-numeric")
    parser.add_argument("--wanted", type=float, default=0.15, help="the p0 to come near to, in log-odds")
    parser.add_argument("--key", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="write the table as JSON")
    options = parser.parse_args(argv)
    try:
        scan(options)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def scan(options: argparse.Namespace) -> None:
    from llm_bridge import datasets, evaluate, load_model

    data = datasets.load(options.data, "train")
    length = [sum(len(message["content"]) for message in data.example(i).prompt) for i in range(len(data))]
    shortest = [int(i) for i in np.argsort(length, kind="stable")[: options.questions]]
    model = load_model(options.model)
    table = []
    for index in shortest:
        found = evaluate(
            model,
            [data.example(index)],
            key=jax.random.fold_in(jax.random.key(options.key), index),
            max_tokens=options.max_tokens,
            verifier=options.verifier,
            samples=options.samples,
            batch=options.samples,
        )
        row = {
            "index": index,
            "p0": found.pass_at_1,
            "low": found.low,
            "high": found.high,
            "truncated": found.truncated,
        }
        table.append(row)
        print(
            f"{index:6d}  p0 {found.pass_at_1:.3f} [{found.low:.3f}, {found.high:.3f}]  cut {found.truncated:.2f}",
            flush=True,
        )
    logit = lambda p: np.log((p + 1e-3) / (1 - p + 1e-3))  # noqa: E731
    chosen = min(table, key=lambda row: abs(logit(row["p0"]) - logit(options.wanted)))
    print(f"nearest to p0 = {options.wanted}: index {chosen['index']}")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
        options.out.write_text(json.dumps({"settings": settings, "table": table, "chosen": chosen["index"]}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
