"""`bandit-rft evaluate`: Pass@1 and pass@k of a model on questions with known answers."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from bandit_rft.cli.finetune_config import (
    ANSWER_COLUMN_HELP,
    MAX_TOKENS_HELP,
    PROMPT_COLUMN_HELP,
    PROMPT_DATE_HELP,
    TEMPLATE_HELP,
    VERIFIER_HELP,
    parse_ks,
)
from bandit_rft.cli.options import count, moment, number, or_none, seed, whole
from bandit_rft.errors import InputError


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "evaluate",
        help="Pass@1 and pass@k of a model on a data set",
        description="Sample responses to questions with known answers: Pass@1 with its 95% interval, and pass@k.",
    )
    option = parser.add_argument
    option("--model", default="smollm2-135m", help="name, folder, .gguf file or hub id (default: smollm2-135m)")
    option(
        "--data",
        default="arithmetic",
        help="arithmetic, gsm8k, math, a parquet, JSON or CSV file, folder or hub id (default: arithmetic)",
    )
    option("--split", default="test", help="split of the data (default: test)")
    option("--index", type=or_none(whole), default=None, help="one question only, its place from 0 (default: none)")
    option(
        "--questions", type=or_none(count), default=100, help="first questions of the split; none: all (default: 100)"
    )
    option("--k", default="1", metavar="K,...", help="pass@k for these k, comma-separated (default: 1)")
    option("--samples", type=or_none(count), default=None, help="responses a question (default: the largest k)")
    option("--max-tokens", type=or_none(count), default=None, help=f"{MAX_TOKENS_HELP} (default: none)")
    option("--temperature", type=number, default=1.0, help="sampling temperature; 0: greedy (default: 1.0)")
    option("--prompt-column", type=or_none(str), default=None, help=f"{PROMPT_COLUMN_HELP} (default: none)")
    option("--answer-column", type=or_none(str), default=None, help=f"{ANSWER_COLUMN_HELP} (default: none)")
    option("--verifier", type=or_none(str), default=None, help=f"{VERIFIER_HELP} (default: none)")
    option("--template", type=or_none(str), default=None, help=f"{TEMPLATE_HELP} (default: none)")
    option("--prompt-date", type=or_none(moment), default=None, help=f"{PROMPT_DATE_HELP} (default: none)")
    option("--batch", type=count, default=32, help="responses generated together (default: 32)")
    option("--dtype", default="float32", choices=("float32", "bfloat16"), help="of the arithmetic (default: float32)")
    option("--key", type=seed, default=0, help="seed (default: 0)")
    option("--json", metavar="FILE", default=None, help="also write the numbers to this file (default: none)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print."""
    ks = parse_ks(arguments.k)
    samples = arguments.samples or max(ks)
    if max(ks) > samples:
        raise InputError(
            f"pass@{max(ks)} needs at least {max(ks)} responses a question: raise --samples from {samples}."
        )
    from bandit_rft.runs.progress import ProgressLine
    from llm_bridge import load_model, verifiers
    from llm_bridge.data import datasets
    from llm_bridge.measuring.evaluate import evaluate
    from llm_bridge.training import defaults

    data = datasets.load(
        arguments.data,
        arguments.split,
        template=arguments.template,
        prompt_column=arguments.prompt_column,
        answer_column=arguments.answer_column,
        tell=datasets.once(arguments.verifier),
    )
    if arguments.index is not None:
        examples = [data.example(arguments.index)]
    else:
        examples = data.usable(range(len(data)), most=arguments.questions)
    # Nothing is trained: no need of masters.
    dtype = arguments.dtype
    model = load_model(arguments.model, dtype, param_dtype=dtype, prompt_date=arguments.prompt_date)
    if arguments.max_tokens is None:  # so that --json names the number that was used
        arguments.max_tokens = defaults.max_tokens(model, [model.encode(example.prompt) for example in examples])
    before = verifiers.counts()
    with ProgressLine("evaluating", unit="responses", quantity="Pass@1") as line:
        found = evaluate(
            model,
            examples,
            key=arguments.key,
            max_tokens=arguments.max_tokens,
            verifier=arguments.verifier,
            samples=samples,
            temperature=arguments.temperature,
            batch=arguments.batch,
            progress=line,
        )
    print(
        f"{arguments.model} on {arguments.data} ({arguments.split}): "
        f"{found.questions} questions, {samples} responses each"
    )
    print(
        f"Pass@1 {found.pass_at_1:.4f}, 95% interval {found.low:.4f} to {found.high:.4f} "
        f"({found.successes} of {found.samples} responses right)"
    )
    for k in ks:
        if k > 1:
            print(f"pass@{k} {found.pass_at(k):.4f}")
    print(
        f"response length {found.mean_length:.1f} tokens, {found.truncated:.1%} stopped by "
        f"--max-tokens {arguments.max_tokens}"
    )
    counted = verifiers.counts().since(before)
    if counted.said():
        print(counted.said())
    if arguments.json is not None:
        from bandit_rft.runs import to_json, write_atomically

        asked = {name: value for name, value in vars(arguments).items() if name not in ("run", "json")}
        numbers = {
            "asked": asked,
            "pass_at_1": found.pass_at_1,
            "interval": [found.low, found.high],
            "pass_at_k": {str(k): found.pass_at(k) for k in ks},
            "successes": found.successes,
            "responses": found.samples,
            "per_question": found.per_question.tolist(),
            "truncated": found.truncated,
            "mean_length": found.mean_length,
            "data_revision": data.revision,
            "prompt_date": model.prompt_date.isoformat(),
            "verifier_counts": dataclasses.asdict(counted),
        }
        write_atomically(Path(arguments.json), to_json(json.loads(json.dumps(numbers))))
    return 0
