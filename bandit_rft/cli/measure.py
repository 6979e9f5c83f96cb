"""`bandit-rft measure`: p0 and kappa of one question; or, with --scan, p0 of many, to choose one by its difficulty."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandit_rft.cli.finetune_config import (
    ANSWER_COLUMN_HELP,
    MAX_TOKENS_HELP,
    PROMPT_COLUMN_HELP,
    PROMPT_DATE_HELP,
    TEMPLATE_HELP,
    VERIFIER_HELP,
)
from bandit_rft.cli.options import (
    add_options,
    build,
    count,
    given,
    moment,
    number,
    option,
    or_none,
    ranges,
    seed,
    whole,
)
from bandit_rft.cli.options import places_of as places
from bandit_rft.errors import InputError

if TYPE_CHECKING:
    from bandit_rft.runs import RunFolder
    from llm_bridge import LanguageModel
    from llm_bridge.data.datasets import Dataset, Example
    from llm_bridge.measuring.measure import Measurement
    from llm_bridge.measuring.scan import Row

RESULT = "measurement.json"
# Those that `told` shows.
FIELDS: dict[str, type] = {
    **dict.fromkeys(("rollouts", "distinct", "successes"), int),
    **dict.fromkeys(("mean_length", "truncated", "p0", "confidence", "p0_low", "p0_high"), float),
    **dict.fromkeys(("kappa", "kappa_standard_error"), float),
    "note": str,
}

_EPILOG = """choose a question that the model answers about one time in four, then measure it anew:
  bandit-rft measure --scan --model smollm2-135m --data gsm8k --indices 0:200 --samples 32 --wanted 0.25
  bandit-rft measure --model smollm2-135m --data gsm8k --index I --rollouts 128 --key 1

the same command on the same folder continues a scan that was cut, to the same numbers.
"""


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """What is measured; every field is an option of the command and documented there.

    Raises:
        InputError: values that do not go together.
    """

    model: str = option("smollm2-135m", "embedded or fetched model, local folder, .gguf file or Hugging Face hub id")
    data: str = option("arithmetic", "arithmetic, gsm8k, math, a parquet, JSON or CSV file, a folder or a hub id")
    split: str = option("train", "split of the data")
    index: int = option(0, "the question's place in its split, from 0", type=whole)
    prompt_column: str | None = option(None, PROMPT_COLUMN_HELP, type=or_none(str), metavar="NAME")
    answer_column: str | None = option(None, ANSWER_COLUMN_HELP, type=or_none(str), metavar="NAME")
    verifier: str | None = option(None, VERIFIER_HELP, type=or_none(str))
    template: str | None = option(None, TEMPLATE_HELP, type=or_none(str))
    prompt_date: str | None = option(None, PROMPT_DATE_HELP, type=or_none(moment))
    rollouts: int = option(64, "responses behind p0 and kappa", type=count)
    error: bool = option(True, "also the standard error of kappa, for two thirds more time")
    max_tokens: int | None = option(None, MAX_TOKENS_HELP, type=or_none(count))
    temperature: float = option(1.0, "sampling temperature", type=number)
    batch: int = option(32, "responses generated together", type=count)
    confidence: float = option(0.95, "of the intervals", type=number)
    remat: bool = option(False, "recompute activations in the backward pass: less memory, a third more time")
    dtype: str = option("float32", "of the arithmetic", choices=("float32", "bfloat16"))
    key: int = option(0, "seed", type=seed)
    scan: bool = option(False, "p0 of many questions instead, resumable, with a table")
    indices: str = option(
        "0:100", "--scan: which questions: START:STOP, START:STOP:STEP, I,J,K or several of these", type=ranges
    )
    shortest: int | None = option(None, "--scan: only so many of them, the shortest", type=or_none(count))
    samples: int = option(32, "--scan: responses a question", type=count)

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
    from bandit_rft.runs import RunFolder, now
    from llm_bridge import verifiers
    from llm_bridge.bandits.question_arms import verifier_of
    from llm_bridge.data import datasets

    data = datasets.load(
        config.data,
        config.split,
        template=config.template,
        prompt_column=config.prompt_column,
        answer_column=config.answer_column,
        tell=datasets.once(config.verifier),
    )
    chosen = [data.example(config.index)]
    if config.scan:
        chosen = data.usable(places(config.indices, len(data)))
    for example in chosen:  # what is wrong with a verifier is said before the model is loaded
        verifier_of(config.verifier, example)
    defaults = {entry.name: entry.default for entry in dataclasses.fields(MeasureConfig)}
    out, before = arguments.out or _default_folder(config), verifiers.counts()
    config, model = _fitting(config, Path(out), chosen)
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


def _fitting(config: MeasureConfig, out: Path, examples: list[Example]) -> tuple[MeasureConfig, LanguageModel | None]:
    """The configuration with a number for `max_tokens`: given, that of the folder, or what fits these questions; and
    the model, where it had to be loaded for that.
    """
    from bandit_rft.runs import CONFIG, read_json
    from llm_bridge.training import defaults

    fits, model = config.max_tokens, None
    if fits is None and (out / CONFIG).is_file():
        before = read_json(out / CONFIG).get("max_tokens")
        fits = before if isinstance(before, int) else None
    if fits is None:
        model = _load(config, None)
        fits = defaults.max_tokens(model, [model.encode(example.prompt) for example in examples])
    return dataclasses.replace(config, max_tokens=fits), model


def _load(config: MeasureConfig, date: str | None) -> LanguageModel:
    from llm_bridge import load_model

    # A scan differentiates nothing: no need of masters.
    stored = config.dtype if config.scan else "float32"
    return load_model(config.model, config.dtype, param_dtype=stored, prompt_date=date)


def _loaded(config: MeasureConfig, folder: RunFolder, model: LanguageModel | None) -> LanguageModel:
    """The model, read once, its chat template shown the moment that the folder keeps."""
    from llm_bridge.models import chat_template
    from llm_bridge.training.pinned_prompts import prompt_date

    date = prompt_date(folder.path, config.prompt_date)
    if model is None:
        return _load(config, date)
    return model if date is None else dataclasses.replace(model, prompt_date=chat_template.moment(date))


def _default_folder(config: MeasureConfig) -> str:
    from bandit_rft.runs import config_hash

    model = Path(config.model).stem if "/" in config.model else config.model
    what = "scan" if config.scan else str(config.index)
    name = f"measure-{model}-{Path(config.data).stem}-{what}-{config_hash(config.to_json())[:8]}"
    return str(Path("runs") / re.sub(r"[^\w.-]+", "_", name))


# ---------------------------------------------------------------------------------------------------- one question


def _measure(config: MeasureConfig, example: Example, folder: RunFolder, model: LanguageModel | None) -> None:
    import jax

    from bandit_rft.keys import Purpose, as_key
    from bandit_rft.runs import has_fields, read_json, to_json, write_atomically
    from bandit_rft.runs.progress import ProgressLine
    from llm_bridge.bandits.question_arms import verifier_of
    from llm_bridge.measuring.measure import measure
    from llm_bridge.training.pinned_prompts import keep_prompts

    path = folder.path / RESULT
    if path.exists():
        before = read_json(path)
        known = {name: value for name, value in before.items() if value is not None}
        if set(FIELDS) - set(before) or not has_fields(known, {n: kind for n, kind in FIELDS.items() if n in known}):
            raise InputError(f"{path} is not a measurement as written: remove it to measure again.")
        print(told(config, before))
        return
    assert config.max_tokens is not None
    model = _loaded(config, folder, model)
    keep_prompts(folder, model, [model.encode(example.prompt)])
    with ProgressLine("measuring p0 and kappa", unit="steps", quantity="p0") as line:
        found: Measurement = measure(
            model,
            example.prompt,
            verifier_of(config.verifier, example),
            # The key of a fine-tuning run's own measurement: the same key gives the same numbers there.
            key=jax.random.fold_in(as_key(config.key, "--key"), Purpose.MEASUREMENT),
            max_tokens=config.max_tokens,
            rollouts=config.rollouts,
            batch=config.batch,
            temperature=config.temperature,
            confidence=config.confidence,
            standard_error=config.error,
            remat=config.remat,
            progress=line,
        )
    write_atomically(path, to_json(found.to_json()))
    print(told(config, read_json(path)))


def told(config: MeasureConfig, found: dict[str, Any]) -> str:
    """A measurement in a few lines; JSON's null is NaN."""
    value = {name: math.nan if entry is None else entry for name, entry in found.items()}
    lines = [
        f"{config.model} on question {config.index} of {config.data} ({config.split}): {value['rollouts']} responses, "
        f"{value['distinct']} different, {value['mean_length']:.1f} tokens each, {value['truncated']:.1%} cut off",
        f"p0 = {value['p0']:.4f}, {value['confidence']:.0%} interval {value['p0_low']:.4f} to {value['p0_high']:.4f} "
        f"({value['successes']} of {value['rollouts']} right)",
    ]
    if math.isfinite(value["kappa"]):
        error = value["kappa_standard_error"]
        lines.append(
            f"kappa = {value['kappa']:.4g}" + (f" ± {error:.2g} (standard error)" if math.isfinite(error) else "")
        )
    if value["note"]:
        lines.append(str(value["note"]))
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------------- many questions


def _scan(
    config: MeasureConfig,
    data: Dataset,
    chosen: list[Example],
    folder: RunFolder,
    wanted: float | None,
    model: LanguageModel | None,
) -> None:
    import time

    from bandit_rft.runs import SCAN, LineWriter, read_lines, rewrite_lines, write_atomically
    from bandit_rft.runs.progress import ProgressLine
    from llm_bridge.measuring import scan
    from llm_bridge.training.pinned_prompts import keep_prompts

    if config.shortest is not None:
        places = set(scan.shortest(data, [example.index for example in chosen], config.shortest))
        chosen = [example for example in chosen if example.index in places]
    assert config.max_tokens is not None
    path = folder.path / SCAN
    records = read_lines(path, scan.FIELDS)
    rewrite_lines(path, records)  # without the half line that a kill may have left
    rows = [scan.Row(**{name: record[name] for name in scan.FIELDS}) for record in records]
    done = {row.index for row in rows}
    left = [example for example in chosen if example.index not in done]
    if left:
        examples = [(example.index, example) for example in left]
        model = _loaded(config, folder, model)
        keep_prompts(folder, model, [model.encode(example.prompt) for example in chosen])
        writer = LineWriter(path)
        start = time.monotonic()
        try:
            with ProgressLine("scanning", unit="questions", quantity="p0") as line:
                for row in scan.scan(
                    model,
                    examples,
                    key=config.key,
                    samples=config.samples,
                    max_tokens=config.max_tokens,
                    verifier=config.verifier,
                    temperature=config.temperature,
                    batch=config.batch,
                    confidence=config.confidence,
                ):
                    writer.write(dataclasses.asdict(row))
                    writer.sync()
                    rows.append(row)
                    line(len(rows), len(chosen), row.p0, time.monotonic() - start)
        finally:
            writer.close()
    write_atomically(folder.path / "table.csv", scan.as_csv(rows))
    write_atomically(folder.path / "table.md", scan.as_markdown(rows, config.confidence))
    print(_told_scan(config, rows))
    if wanted is not None:
        best = scan.nearest(rows, wanted)
        print(f"Nearest to p0 = {wanted:g}: question {best[0].index} (by log-odds, as all of these):")
        print(scan.as_markdown(best[:5], config.confidence), end="")
    print(f"Table: {folder.path / 'table.csv'} and table.md")


def _told_scan(config: MeasureConfig, rows: list[Row]) -> str:
    never, always = sum(row.successes == 0 for row in rows), sum(row.successes == row.samples for row in rows)
    mean = sum(row.successes for row in rows) / sum(row.samples for row in rows)
    return (
        f"{config.model} on {len(rows)} questions of {config.data} ({config.split}), {config.samples} responses each: "
        f"{never} never right, {always} always, mean p0 {mean:.3f}"
    )
