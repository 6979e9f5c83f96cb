"""`bandit-rft evaluate`: Pass@1 and pass@k of a model on questions with known answers."""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bandit_rft.cli.finetune_config import FineTuneConfig, parse_ks
from bandit_rft.cli.options import add_options, build, count, given, option, shared, whole
from bandit_rft.errors import InputError

_same = partial(shared, FineTuneConfig)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is evaluated; every field is an option of the command and documented there."""

    model: str = _same("model")
    data: str = _same("data", default="arithmetic", none=False)
    split: str = _same("split", default="test", help="split of the data")
    index: int | None = option(None, "one question only, its place from 0", type=whole, group="data")
    questions: int | None = option(100, "first questions of the split; none: all", type=count, none=True, group="data")
    prompt_column: str | None = _same("prompt_column")
    answer_column: str | None = _same("answer_column")
    verifier: str | None = _same("verifier")
    template: str | None = _same("template")
    prompt_date: str | None = _same("prompt_date")
    k: str = _same("k", help="report pass@k for these k")
    samples: int | None = option(None, "responses per question; none: the largest k", type=count, group="sampling")
    max_tokens: int | None = _same("max_tokens")
    temperature: float = _same("temperature", help="sampling temperature; 0: greedy")
    batch: int = _same("evaluation_batch", help="responses generated together", group="sampling")
    dtype: str = _same("dtype")
    key: int = _same("key")

    def __post_init__(self) -> None:
        most = max(self.ks)
        if self.samples is not None and most > self.samples:
            raise InputError(
                f"pass@{most} needs at least {most} responses per question: raise --samples from {self.samples}."
            )

    @property
    def ks(self) -> list[int]:
        """The k of pass@k, ascending."""
        return parse_ks(self.k)


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "evaluate",
        help="Pass@1 and pass@k of a model on a data set",
        description="Sample responses to questions with known answers: Pass@1 with its 95% interval, and pass@k.",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the numbers to this file (default: none)")
    add_options(parser, EvaluateConfig)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print."""
    config = build(EvaluateConfig, given(arguments, EvaluateConfig), "The command line")
    from bandit_rft.cli.finetune_questions import training_data
    from bandit_rft.runs import to_json, write_atomically
    from bandit_rft.runs.progress import ProgressLine
    from llm_bridge import load_model, verifiers
    from llm_bridge.data import datasets
    from llm_bridge.measuring.evaluate import evaluate
    from llm_bridge.training import defaults

    data = training_data(config, datasets.once(config.verifier))
    if config.index is not None:
        examples = [data.example(config.index)]
    else:
        examples = data.usable(range(len(data)), most=config.questions)
    # Nothing is trained: no need of masters.
    model = load_model(config.model, config.dtype, param_dtype=config.dtype, prompt_date=config.prompt_date)
    # Numbers instead of none, so that --json names those that were used.
    fits = config.max_tokens or defaults.max_tokens(model, [model.encode(example.prompt) for example in examples])
    config = dataclasses.replace(config, max_tokens=fits, samples=config.samples or max(config.ks))
    assert config.max_tokens is not None
    assert config.samples is not None
    before = verifiers.counts()
    with ProgressLine("evaluating", unit="responses", quantity="Pass@1") as line:
        found = evaluate(
            model,
            examples,
            key=config.key,
            max_tokens=config.max_tokens,
            verifier=config.verifier,
            samples=config.samples,
            temperature=config.temperature,
            batch=config.batch,
            progress=line,
        )
    counted = verifiers.counts().since(before)
    print(
        f"{config.model} on {config.data} ({config.split}): {found.questions} questions, {config.samples} responses "
        f"each\nPass@1 {found.pass_at_1:.4f}, 95% interval {found.low:.4f} to {found.high:.4f} "
        f"({found.successes} of {found.samples} responses right)",
        *(f"pass@{k} {found.pass_at(k):.4f}" for k in config.ks if k > 1),
        f"response length {found.mean_length:.1f} tokens, {found.truncated:.1%} stopped by "
        f"--max-tokens {config.max_tokens}",
        *filter(None, [counted.said()]),
        sep="\n",
    )
    if arguments.json is not None:
        numbers = {
            "asked": dataclasses.asdict(config),
            "pass_at_1": found.pass_at_1,
            "interval": [found.low, found.high],
            "pass_at_k": {str(k): found.pass_at(k) for k in config.ks},
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
