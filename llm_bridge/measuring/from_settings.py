"""What `bandit-rft evaluate` and `bandit-rft measure` do with their settings, printed and written."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError
from bandit_rft.runs import (
    CONFIG,
    DIGESTS,
    MANIFEST,
    RunFolder,
    check_place,
    now,
    read_json,
    refuse_other,
    to_json,
    write_atomically,
)
from bandit_rft.runs.progress import ProgressLine
from bandit_rft.settings.options import places_of, run_name
from bandit_rft.settings.questions import EvaluateConfig, MeasureConfig
from llm_bridge import hosts, verifiers
from llm_bridge.bandits.question_arms import verifier_of
from llm_bridge.bandits.response_arms import longest_response
from llm_bridge.data import datasets
from llm_bridge.data.datasets import Dataset, Example
from llm_bridge.data.named_questions import training_data
from llm_bridge.hosts.shared_folder import check_same, claimed
from llm_bridge.language_model import LanguageModel, load_model
from llm_bridge.measuring import digests, folders
from llm_bridge.measuring import evaluate as evaluation
from llm_bridge.measuring import scan as scanning
from llm_bridge.measuring.pinned_prompts import prompt_date
from llm_bridge.measuring.several import check_count
from llm_bridge.models import chat_template, placement


def evaluate(config: EvaluateConfig, out: str | Path | None = None) -> None:
    """Evaluate, print, and write the numbers to the JSON file `out`, where there is one. Of several processes all call
    it, and process 0 prints and writes.

    Raises:
        InputError: whatever is wrong with model, data, verifier, mesh or file.
    """
    if out is not None:
        check_place(out, "--json")
    data = training_data(config, datasets.once(config.verifier))
    if config.index is not None:
        examples = [data.example(config.index)]
    else:
        examples = data.usable(range(len(data)), most=config.questions)
    for example in examples:  # what is wrong with a verifier is said before the model is loaded
        verifier_of(config.verifier, example)
    # Nothing is trained: no need of masters.
    date = _one_clock(lambda: config.prompt_date)
    model = _loaded(config, config.dtype, date)
    _begin(config, dataclasses.asdict(config), model, examples)
    # Numbers instead of none, so that the file names those that were used.
    max_tokens = config.max_tokens or longest_response(model, [model.encode(example.prompt) for example in examples])
    samples = config.samples or max(config.ks)
    before = verifiers.counts()
    leads = hosts.index() == 0
    with ProgressLine("evaluating", unit="responses", quantity="Pass@1", shown=leads) as line:
        result = evaluation.evaluate(
            model,
            examples,
            key=config.key,
            max_tokens=max_tokens,
            verifier=config.verifier,
            samples=samples,
            temperature=config.temperature,
            batch=config.batch,
            progress=line,
        )
    counted = verifiers.counts().since(before)
    _say(
        f"{config.model} on {config.source}: {result.questions} questions, {samples} responses "
        f"each\nPass@1 {result.pass_at_1:.4f}, 95% interval {result.low:.4f} to {result.high:.4f} "
        f"({result.successes} of {result.samples} responses right)",
        *(f"pass@{k} {result.pass_at(k):.4f}" for k in config.ks if k > 1),
        f"response length {result.mean_length:.1f} tokens, {result.truncated:.1%} stopped by --max-tokens {max_tokens}",
        *filter(None, [counted.said()]),
    )
    if out is not None:
        numbers = {
            "asked": dataclasses.asdict(config) | {"max_tokens": max_tokens, "samples": samples},
            "pass_at_1": result.pass_at_1,
            "interval": [result.low, result.high],
            "pass_at_k": {str(k): result.pass_at(k) for k in config.ks},
            "successes": result.successes,
            "responses": result.samples,
            "per_question": result.per_question.tolist(),
            "truncated": result.truncated,
            "mean_length": result.mean_length,
            "data_revision": data.revision,
            "prompt_date": model.prompt_date.isoformat(),
            "verifier_counts": dataclasses.asdict(counted),
        }
        path = Path(out)
        hosts.first(lambda: write_atomically(path, to_json(json.loads(json.dumps(numbers)))))


def measure(config: MeasureConfig, out: str | Path | None = None, wanted: float | None = None) -> None:
    """Measure one question, or scan many, in a run folder that continues it, and print the result. Of several processes
    all call it, and process 0 prints and writes.

    Args:
        config: what to measure.
        out: the run folder; None: one in runs/ whose name is made of the settings, but for the mesh, which changes the
            rounding alone.
        wanted: of a scan, the p0 to which the nearest questions are named.

    Raises:
        InputError: whatever is wrong with model, data, verifier, mesh or folder.
    """
    if not config.scan:
        check_count(len(config.places), "--index")
    data = training_data(config, datasets.once(config.verifier))
    chosen = (
        data.usable(places_of(config.indices, len(data))) if config.scan else [data.example(at) for at in config.places]
    )
    for example in chosen:  # what is wrong with a verifier is said before the model is loaded
        verifier_of(config.verifier, example)
    defaults = {entry.name: entry.default for entry in dataclasses.fields(MeasureConfig)}
    what = "scan" if config.scan else "_".join(map(str, config.places))
    named = {name: value for name, value in config.to_json().items() if name != "mesh"}
    folder_path = Path(out or run_name("measure", config.model, config.data, what, named))
    before = verifiers.counts()

    @cache
    def model() -> LanguageModel:  # not needed where the folder holds everything already
        # A scan differentiates nothing: no need of masters.
        stored = config.dtype if config.scan else "float32"
        date = _one_clock(lambda: prompt_date(folder_path, config.prompt_date))
        loaded = _loaded(config, stored, date)
        _begin(config, config.to_json(), loaded, chosen)
        return loaded

    if hosts.count() > 1:
        model()  # what processes differ by is said before the folder is there
    fits = config.max_tokens or hosts.first(lambda: _held(folder_path).get("max_tokens"))
    if not isinstance(fits, int):
        fits = longest_response(model(), [model().encode(example.prompt) for example in chosen])
    config = dataclasses.replace(config, max_tokens=fits)
    with claimed(
        folder_path, config.to_json(), defaults=defaults, continues=_elsewhere, option=lambda name: f"--{name}"
    ) as folder:
        begun = digests.of_run(config.model, chosen, (), config.verifier, {})
        hosts.first(lambda: _refuse_change(folder, begun, config))
        about: dict[str, Any] = {"data_revision": data.revision, DIGESTS: begun}
        folder.write_manifest(started=now(), key=config.key, finished=None, **about)
        if config.scan:
            _scan(config, data, chosen, folder, wanted, model)
        else:
            _measure(config, chosen, folder, model)
        counted = verifiers.counts().since(before)
        folder.amend_manifest(finished=now(), verifier_counts=dataclasses.asdict(counted))
        _say(*filter(None, [counted.said()]), f"Run folder: {folder.path}")


def _elsewhere(folder: Path, held: Mapping[str, Any], asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a folder goes on as: a mesh is the place of a measurement, and no part of what is measured."""
    refuse_other(folder, {**held, "mesh": asked["mesh"]}, asked)
    return asked


def _refuse_change(folder: RunFolder, begun: Mapping[str, Any], config: MeasureConfig) -> None:
    """Raises InputError where a folder that has results was begun on other questions, another verifier or model."""
    path = folder.path / MANIFEST
    held = read_json(path).get(DIGESTS) if path.exists() else None
    done = any((folder.path / name).exists() for name in (folders.RESULT, folders.SCAN))
    difference = digests.first_difference(held, begun) if done and isinstance(held, Mapping) else None
    if difference is None:
        return
    kind, which = difference
    if kind == "training":
        name = f"The questions of {config.data} are" if which is None else f"A question of {config.data} is"
    else:
        named = f"the {kind} {getattr(config, kind) or 'of a question'}"
        name = f"{named[0].upper()}{named[1:]} is" if which is None else f"{which} of {named} is"
    raise InputError(
        f"{name} not what the measurement in {folder.path} began with: restore it, or choose another --out."
    )


def _held(folder: Path) -> dict[str, Any]:
    """The configuration that a folder has, {} where it has none."""
    return read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}


def _loaded(config: EvaluateConfig | MeasureConfig, stored: str, date: str | None) -> LanguageModel:
    return load_model(
        config.model,
        config.dtype,
        param_dtype=stored,
        prompt_date=date,
        thinking=config.thinking,
        mesh=config.mesh,
    )


def _one_clock(date: Callable[[], str | None]) -> str | None:
    """What chat templates are shown: of several processes the first one's, and where nobody says, its own clock."""
    if hosts.count() == 1:
        return date()
    return hosts.first(lambda: date() or chat_template.moment().isoformat())


def _begin(
    config: EvaluateConfig | MeasureConfig, asked: dict[str, Any], model: LanguageModel, examples: Sequence[Example]
) -> None:
    """Say which devices are left unused. Raises InputError where processes differ in what they begin with."""
    if hosts.count() > 1:
        prompts = [model.encode(example.prompt) for example in examples]
        begun = digests.of_run(model, examples, (), config.verifier, {})
        check_same(asked, begun, prompts, lambda name: "--" + name.replace("_", "-"))
    _say(*filter(None, [placement.unused(model.config.mesh, "--mesh", "")]))


def _say(*lines: str) -> None:
    """Print these lines; of several processes, the first one does."""
    if lines and hosts.index() == 0:
        print(*lines, sep="\n", flush=True)


def _measure(
    config: MeasureConfig, examples: list[Example], folder: RunFolder, model: Callable[[], LanguageModel]
) -> None:
    record = hosts.first(lambda: folders.measurement_of(folder))
    if record is None:
        record = folders.measure_into(
            folder,
            model(),
            examples,
            key=config.key,
            verifier=config.verifier,
            rollouts=config.rollouts,
            standard_error=config.error,
            tree=config.tree,
            remat=config.remat,
            **_sampling(config),
        )
    name = "question" if len(examples) == 1 else "questions"
    which = f"{name} {', '.join(map(str, config.places))}"
    _say(folders.summary(record, f"{config.model} on {which} of {config.source}"))


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
    if config.shortest is not None:
        places = set(scanning.shortest(data, [example.index for example in chosen], config.shortest))
        chosen = [example for example in chosen if example.index in places]
    rows = folders.scanned_rows(folder)
    if {example.index for example in chosen} - {row.index for row in rows}:
        settings = {"key": config.key, "samples": config.samples, "verifier": config.verifier, **_sampling(config)}
        rows = folders.scan_into(folder, model(), chosen, rows, **settings)
    hosts.first(lambda: folders.write_tables(folder, rows, config.confidence))
    never, always = sum(row.successes == 0 for row in rows), sum(row.successes == row.samples for row in rows)
    mean = sum(row.successes for row in rows) / sum(row.samples for row in rows)
    _say(
        f"{config.model} on {len(rows)} questions of {config.source}, {config.samples} responses each: "
        f"{never} never right, {always} always, mean p0 {mean:.3f}"
    )
    if wanted is not None:
        best = scanning.nearest(rows, wanted)
        _say(
            f"Nearest to p0 = {wanted:g}: question {best[0].index} (by log-odds, as all of these):",
            scanning.as_markdown(best[:5], config.confidence).rstrip("\n"),
        )
    _say(f"Table: {folder.path / 'table.csv'} and table.md")
