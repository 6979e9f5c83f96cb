"""`bandit-rft measure`: p0 and kappa of one question; or, with --scan, p0 of many, to choose one by its difficulty."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandit_rft.cli.finetune_config import FineTuneConfig
from bandit_rft.cli.options import (
    add_options,
    build,
    count,
    given,
    number,
    option,
    places_of,
    ranges,
    run_name,
    shared,
    whole,
)
from bandit_rft.errors import InputError

if TYPE_CHECKING:
    from bandit_rft.runs import RunFolder
    from llm_bridge import LanguageModel
    from llm_bridge.data.datasets import Dataset, Example

_EPILOG = """choose a question that the model answers about one time in four, then measure it anew:
  bandit-rft measure --scan --model smollm2-135m --data gsm8k --indices 0:200 --samples 32 --wanted 0.25
  bandit-rft measure --model smollm2-135m --data gsm8k --index I --rollouts 128 --key 1

the same command on the same folder continues a scan that was interrupted, and gives the same numbers.
"""
_same = partial(shared, FineTuneConfig)


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """What is measured; every field is an option of the command and documented there.

    Raises:
        InputError: values that do not go together.
    """

    model: str = _same("model")
    data: str = _same("data", default="arithmetic", none=False)
    split: str = _same("split", help="split of the data")
    index: int = _same("index", help="the question's place in its split, from 0", type=whole)
    prompt_column: str | None = _same("prompt_column")
    answer_column: str | None = _same("answer_column")
    verifier: str | None = _same("verifier")
    template: str | None = _same("template")
    prompt_date: str | None = _same("prompt_date")
    rollouts: int = _same("measure_rollouts", help="responses behind p0 and kappa", group="sampling")
    error: bool = _same("measure_error", group="sampling")
    tree: bool = option(False, "also the tree of those responses' decisions, for the law of a run", group="sampling")
    max_tokens: int | None = _same("max_tokens")
    temperature: float = _same("temperature")
    batch: int = _same("evaluation_batch", help="responses generated together", group="sampling")
    confidence: float = option(0.95, "coverage of the intervals", group="sampling")
    remat: bool = _same("remat")
    dtype: str = _same("dtype")
    key: int = _same("key")
    scan: bool = option(False, "p0 of many questions instead, resumable, with a table", group="scan")
    indices: str = option(
        "0:100", "which questions: START:STOP, START:STOP:STEP, I,J,K or several of these", type=ranges, group="scan"
    )
    shortest: int | None = option(None, "only this many questions, the shortest", type=count, group="scan")
    samples: int = option(32, "responses per question", type=count, group="scan")

    def __post_init__(self) -> None:
        if not 0.0 < self.confidence < 1.0:
            raise InputError(f"--confidence is {self.confidence}: give a number between 0 and 1, such as 0.95.")

    def to_json(self) -> dict[str, Any]:
        """Plain values, complete."""
        return {"command": "measure", **dataclasses.asdict(self)}


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "measure",
        help="p0 and kappa of a question, with errors; --scan: p0 of many questions",
        description="Measure what the theory needs of a model and a question: p0 and kappa, with errors.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", metavar="RUN", help="run folder (default: runs/measure- and a name made of the options)"
    )
    parser.add_argument(
        "--wanted", type=number, metavar="P0", help="--scan: name the questions nearest to this p0 (default: none)"
    )
    add_options(parser, MeasureConfig)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, write and print."""
    config = build(MeasureConfig, given(arguments, MeasureConfig), "The command line")
    if arguments.wanted is not None and not 0.0 < arguments.wanted < 1.0:
        raise InputError(f"--wanted is {arguments.wanted}: give a p0 strictly between 0 and 1, such as 0.25.")
    if arguments.wanted is not None and not config.scan:
        raise InputError("--wanted chooses among the questions of a scan: add --scan.")
    from bandit_rft.cli.finetune_questions import training_data
    from bandit_rft.runs import CONFIG, RunFolder, now, read_json
    from llm_bridge import load_model, verifiers
    from llm_bridge.bandits.question_arms import verifier_of
    from llm_bridge.data import datasets
    from llm_bridge.measuring.pinned_prompts import prompt_date
    from llm_bridge.training import defaults as token_limits

    data = training_data(config, datasets.once(config.verifier))
    chosen = data.usable(places_of(config.indices, len(data))) if config.scan else [data.example(config.index)]
    for example in chosen:  # what is wrong with a verifier is said before the model is loaded
        verifier_of(config.verifier, example)
    defaults = {entry.name: entry.default for entry in dataclasses.fields(MeasureConfig)}
    what = "scan" if config.scan else str(config.index)
    out = Path(arguments.out or run_name("measure", config.model, config.data, what, config.to_json()))
    before = verifiers.counts()

    @cache
    def model() -> LanguageModel:  # not needed where the folder holds everything already
        # A scan differentiates nothing: no need of masters.
        stored = config.dtype if config.scan else "float32"
        date = prompt_date(out, config.prompt_date)
        return load_model(config.model, config.dtype, param_dtype=stored, prompt_date=date)

    fits = config.max_tokens or (read_json(out / CONFIG).get("max_tokens") if (out / CONFIG).is_file() else None)
    if not isinstance(fits, int):
        fits = token_limits.max_tokens(model(), [model().encode(example.prompt) for example in chosen])
    config = dataclasses.replace(config, max_tokens=fits)
    with RunFolder.claim(out, config.to_json(), defaults=defaults) as folder:
        folder.write_manifest(started=now(), key=config.key, finished=None, data_revision=data.revision)
        if config.scan:
            _scan(config, data, chosen, folder, arguments.wanted, model)
        else:
            _measure(config, chosen[0], folder, model)
        counted = verifiers.counts().since(before)
        folder.amend_manifest(finished=now(), verifier_counts=dataclasses.asdict(counted))
        if counted.said():
            print(counted.said())
        print(f"Run folder: {folder.path}")
    return 0


def _measure(config: MeasureConfig, example: Example, folder: RunFolder, model: Callable[[], LanguageModel]) -> None:
    from llm_bridge.measuring import folders

    record = folders.measurement_of(folder)
    if record is None:
        record = folders.measure_into(
            folder,
            model(),
            example,
            key=config.key,
            verifier=config.verifier,
            rollouts=config.rollouts,
            standard_error=config.error,
            tree=config.tree,
            remat=config.remat,
            **_sampling(config),
        )
    print(folders.summary(record, f"{config.model} on question {config.index} of {config.data} ({config.split})"))


def _sampling(config: MeasureConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in ("max_tokens", "batch", "temperature", "confidence")}


def _scan(
    config: MeasureConfig,
    data: Dataset,
    chosen: list[Example],
    folder: RunFolder,
    wanted: float | None,
    model: Callable[[], LanguageModel],
) -> None:
    from llm_bridge.measuring import folders, scan

    if config.shortest is not None:
        places = set(scan.shortest(data, [example.index for example in chosen], config.shortest))
        chosen = [example for example in chosen if example.index in places]
    rows = folders.scanned_rows(folder)
    if {example.index for example in chosen} - {row.index for row in rows}:
        settings = {"key": config.key, "samples": config.samples, "verifier": config.verifier, **_sampling(config)}
        rows = folders.scan_into(folder, model(), chosen, rows, **settings)
    folders.write_tables(folder, rows, config.confidence)
    never, always = sum(row.successes == 0 for row in rows), sum(row.successes == row.samples for row in rows)
    mean = sum(row.successes for row in rows) / sum(row.samples for row in rows)
    print(
        f"{config.model} on {len(rows)} questions of {config.data} ({config.split}), {config.samples} responses each: "
        f"{never} never right, {always} always, mean p0 {mean:.3f}"
    )
    if wanted is not None:
        best = scan.nearest(rows, wanted)
        print(f"Nearest to p0 = {wanted:g}: question {best[0].index} (by log-odds, as all of these):")
        print(scan.as_markdown(best[:5], config.confidence), end="")
    print(f"Table: {folder.path / 'table.csv'} and table.md")
