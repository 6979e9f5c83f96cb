"""What `bandit-rft finetune` does with its settings: objects for `llm_bridge.finetune`, figure, report and summary."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bandit_rft.plots import finetune as figure
from bandit_rft.runs import explain_disk_errors, loggers
from bandit_rft.settings.finetune import FineTuneConfig
from llm_bridge import hosts, verifiers
from llm_bridge.bandits.question_arms import QuestionArms, verifier_of
from llm_bridge.data import datasets
from llm_bridge.data.named_questions import test_examples, training_data, training_questions
from llm_bridge.language_model import LanguageModel
from llm_bridge.models import placement
from llm_bridge.training import run as training
from llm_bridge.training.continuation import Words
from llm_bridge.training.evaluators import Evaluator
from llm_bridge.training.learner import FineTune
from llm_bridge.training.pinned_model import as_configured, load_pinned
from llm_bridge.training.run import Run

# Fields that name a path, and the digest that tells whether what it leads to is the same.
_PATHS = {"model": "model", "data": "training", "test_data": "test", "verifier": "verifier"}


def finetune(
    config: FineTuneConfig,
    out: str | Path,
    *,
    seeds: int = 1,
    log: Sequence[str] = (),
    model: LanguageModel | None = None,
    requested: Mapping[str, Any] | None = None,
) -> Run:
    """Run or continue a configuration in a run folder, draw its figure, report it, and print the summary.

    Args:
        config: what to do.
        out: the run folder.
        seeds: S.
        log: names of `bandit_rft.runs.loggers` that receive the run's numbers; no part of the configuration.
        model: an already loaded model of `config.model`, where the caller has one.
        requested: settings that an earlier run resolved, as it was asked for them (`saved_finetune.requested_of`).

    Raises:
        InputError: whatever is wrong with model, data, options or folder.
    """
    # Everything that can be refused without the model is refused before it is loaded.
    loggers.check(log)
    before = verifiers.counts()
    tell_once = datasets.once(config.verifier)
    revision = None
    if config.data is not None:
        data = training_data(config, tell_once)
        examples, revision = training_questions(data, config), data.revision
    else:
        assert config.prompt is not None
        assert config.answer is not None
        message = {"role": "user", "content": config.prompt}
        examples = [datasets.Example(prompt=(message,), ground_truth=config.answer, index=0, data_source="prompt")]
    # Each question's own, unless the configuration names one; a wrong one is refused before the model is loaded.
    for example in examples:
        verifier_of(config.verifier, example)
    test = test_examples(config, examples, tell_once)
    for example in test:
        verifier_of(config.verifier, example)
    kept = model is not None  # the caller's, who may go on with it
    model = model or load_pinned(out, config, mesh=config.mesh)
    if placement.text_of(model.config.mesh) != config.mesh:
        model = model.placed(config.mesh)
    model = as_configured(model, vars(config))
    arms = QuestionArms(model, examples, config.verifier)
    run = training.finetune(
        arms,
        learner(config, model, keep_model=seeds > 1 or kept),
        config.rounds,
        seeds,
        config.key,
        out,
        evaluate=evaluators(config, examples, test),
        measure=training.Measuring(
            config.measure_rollouts, config.measure_error, config.evaluation_batch, config.measure_tree
        )
        if config.measures
        else None,
        log=log,
        config=config.to_json(),
        checkpoint_every=config.checkpoint_every,
        keep_checkpoints=config.keep_checkpoints,
        keep_optimizer=config.keep_optimizer,
        words=Words(
            dashes=True,
            training=config.data or "--prompt",
            test=config.test_source or "",
            verifier=config.verifier,
            paths=_PATHS,
            defaults={entry.name: entry.default for entry in dataclasses.fields(FineTuneConfig)},
            revision=revision,
            requested=requested or {},
        ),
    )
    if hosts.index() != 0:
        return run
    with explain_disk_errors(run.folder / "figures"):
        drawn = figure.draw(run.folder)
    print(figure.summary(run.folder))
    print(f"Figure: {drawn}\nReport: {run.report()}\nRun folder: {run.folder}", flush=True)
    if unchecked := verifiers.counts().since(before).said():
        print(unchecked)
    return run


def learner(config: FineTuneConfig, model: LanguageModel, **more: Any) -> FineTune:
    """The `FineTune` of a configuration, and what it takes beside."""
    names = {field.name for field in dataclasses.fields(FineTune)}
    same = {name: value for name, value in vars(config).items() if name in names - {"model", "clip", "k"}}
    betas = (config.beta1, config.beta2)
    same |= {"prompts": config.prompts_per_round, "clip": config.clip_limits, "betas": betas, "k": config.signal_k}
    found = FineTune(model, **same)
    gives_up = not more.pop("keep_model", True) and not found.needs_reference and model.config.lora is None
    return dataclasses.replace(found, **more, keep_model=not gives_up)


def evaluators(config: FineTuneConfig, examples: Sequence[Any], test: Sequence[Any]) -> list[Evaluator]:
    """The `Evaluator`s of a configuration: on training and on test questions."""
    most, common = max(config.ks), {"ks": config.ks, "verifier": config.verifier, "batch": config.evaluation_batch}
    entries = []
    if config.train_samples:
        shown = examples[: config.train_questions]
        samples = max(-(-config.train_samples // len(shown)), most)
        entries.append(Evaluator("train", shown, every=config.evaluate_every, samples=samples, **common))
    if test:
        every = config.evaluate_every if config.test_every is None else config.test_every or None
        entries.append(Evaluator("test", test, every=every, samples=most, **common))
    return entries
