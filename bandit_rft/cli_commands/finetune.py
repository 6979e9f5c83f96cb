"""`bandit-rft finetune`: a real fine-tuning run in a run folder; the same command again continues it."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandit_rft.cli_commands.finetune_config import FineTuneConfig
from bandit_rft.cli_commands.options import add_options, build, count, given
from bandit_rft.errors import InputError
from bandit_rft.loggers import LOGGERS

if TYPE_CHECKING:
    import jax

    from bandit_rft.history import History
    from bandit_rft.run_folder import RunFolder
    from llm_bridge import LanguageModel
    from llm_bridge.datasets import Example

# Folded into the run's key, one a purpose. Seeds of a run fold in small numbers, so these never meet a round's key.
TRAIN_EVALUATION, TEST_EVALUATION, MEASUREMENT = 2**31 + 1, 2**31 + 2, 2**31 + 3

_EPILOG = """the same command on the same folder continues the run, bit by bit as if it had never stopped; on SIGTERM it
finishes the round in hand, saves, and exits with code 143.

the theory's own setting (arXiv 2601.14599, minimalist; no fitted parameter):
  bandit-rft finetune --model smollm2-135m --data arithmetic --index 0 --optimizer sgd --step-over-kappa 0.5 \\
      --kl-coefficient 0 --gradient-clip none --rounds 200 --out runs/minimalist

32 questions a round, one response each, raw reward (arXiv 2601.22532, its baseline):
  bandit-rft finetune --model qwen2.5-0.5b --data gsm8k --indices 0:7473 --prompts-per-round 32 --rollouts 1 \\
      --aggregation token-mean --rounds 500 --out runs/batched
"""


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "finetune",
        help="fine-tune a language model on questions, into a run folder",
        description="Fine-tune a language model on one question, or on several, by policy gradient.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", metavar="FILE", help="config.json of an earlier run; options given beside it win (default: none)"
    )
    parser.add_argument("--out", metavar="RUN", help="run folder (default: runs/ and a name made of the options)")
    parser.add_argument(
        "--seeds",
        type=count,
        default=1,
        help="seeds at once in one compiled scan, on an embedded model; evaluated before and after only (default: 1)",
    )
    parser.add_argument(
        "--log",
        action="append",
        default=[],
        choices=tuple(LOGGERS),
        help="also tell TensorBoard (RUN/tensorboard) or Weights & Biases as it happens; repeatable (default: none)",
    )
    add_options(parser, FineTuneConfig)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run, or continue, and print the summary."""
    config = config_of(arguments.config, given(arguments, FineTuneConfig))
    if arguments.seeds > 1:
        from bandit_rft.cli_commands.finetune_seeds import finetune_seeds

        finetune_seeds(config, arguments.out or f"{default_folder(config)}-{arguments.seeds}-seeds", arguments.seeds)
        return 0
    finetune(config, arguments.out or default_folder(config), log=arguments.log)
    return 0


def config_of(file: str | None, options: dict[str, Any]) -> FineTuneConfig:
    """The configuration of a saved file (or of the defaults) with these options.

    Raises:
        InputError: the file is missing, of another command, or has unknown fields.
    """
    values: dict[str, Any] = {}
    if file is not None:
        from bandit_rft.run_folder import CONFIG, read_json

        path = Path(file) / CONFIG if Path(file).is_dir() else Path(file)
        if not path.exists():
            raise InputError(f"There is no {path}: name a run folder of bandit-rft finetune, or its {CONFIG}.")
        values = read_json(path)
        values.pop("resolved", None)
        if values.pop("command", None) != "finetune":
            raise InputError(
                f"{path} is not the configuration of a fine-tuning run: name a run folder of bandit-rft finetune."
            )
        if "prompt" in options:
            values["data"] = None
        for one, other, unset in (("indices", "index", 0), ("index", "indices", None)):
            if one in options:
                values[other] = unset
    return build(FineTuneConfig, {**values, **options}, file or "The command line")


def default_folder(config: FineTuneConfig) -> str:
    """runs/MODEL-DATA-INDEX-HASH, the same for the same options."""
    from bandit_rft.run_folder import config_hash

    named = config.indices or str(config.index) if len(config.places) <= 4 or config.indices else "several"
    data = f"{Path(config.data).stem}-{named}" if config.data else "prompt"
    name = (
        f"{Path(config.model).stem if '/' in config.model else config.model}-{data}-{config_hash(config.to_json())[:8]}"
    )
    return str(Path("runs") / re.sub(r"[^\w.-]+", "_", name))


def finetune(
    config: FineTuneConfig, out: str | Path, *, model: LanguageModel | None = None, log: Sequence[str] = ()
) -> History:
    """Run or continue a configuration in a run folder, draw its figure, and print the summary.

    Args:
        config: what to do.
        out: the run folder.
        model: an already loaded model of `config.model`, where the caller has one.
        log: names of `bandit_rft.loggers` that are told of the run; no part of the configuration.

    Raises:
        InputError: whatever is wrong with model, data, options or folder.
    """
    # Everything that can be refused without the model is refused before it is loaded.
    import jax

    import bandit_rft
    from bandit_rft import loggers
    from bandit_rft.cli_commands.finetune_recorder import FineTuneRecorder
    from bandit_rft.cli_commands.pinned_model import load_pinned
    from bandit_rft.cli_commands.stopping import StopRequest, not_finite
    from bandit_rft.progress import ProgressLine
    from bandit_rft.rollouts import write_questions
    from bandit_rft.run_folder import RunFolder, explain_disk_errors, now
    from llm_bridge import datasets, verifiers
    from llm_bridge.finetune import FineTune
    from llm_bridge.finite import NotFiniteError
    from llm_bridge.prompt_arms import PromptArms
    from llm_bridge.question_arms import QuestionArms

    loggers.check(log)
    if config.data is not None:
        data = datasets.load(config.data, config.split, template=config.template)
        examples, revision = [data.example(place) for place in config.places], data.revision
    else:
        assert config.prompt is not None
        assert config.answer is not None
        message = {"role": "user", "content": config.prompt}
        examples = [datasets.Example(prompt=(message,), ground_truth=config.answer, index=0, data_source="prompt")]
        revision = None
    # config.json names the verifier that the data chose, so that it says what was done.
    config = dataclasses.replace(config, verifier=config.verifier or examples[0].verifier)
    assert config.verifier is not None
    for example in examples:
        verifiers.make(config.verifier, example.answer)
    test: list[Example] = []
    if config.test_source is not None:
        questions = datasets.load(config.test_source, config.test_split, template=config.template)
        test = [questions.example(place) for place in range(min(config.test_questions, len(questions)))]

    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        stack.enter_context(explain_disk_errors(Path(out)))
        if model is None:
            model = load_pinned(out, config)
        arms: PromptArms | QuestionArms = QuestionArms(model, examples, config.verifier)
        if len(examples) == 1:
            arms = PromptArms(model, examples[0].prompt, verifiers.make(config.verifier, examples[0].answer))
        arms.check_fits(config.max_tokens)
        defaults = {entry.name: entry.default for entry in dataclasses.fields(FineTuneConfig)}
        folder = stack.enter_context(RunFolder.claim(out, config.to_json(), defaults=defaults))
        source = model.source.to_json() if model.source is not None else None
        folder.write_manifest(started=now(), key=config.key, finished=None, data_revision=revision, model=source)
        write_questions(folder.path, examples)
        key = jax.random.key(config.key)
        learning_rate = learning_rate_of(config, folder, model, examples[0], key)
        learner = FineTune(model, learning_rate=learning_rate, **learner_settings(config))
        line = ProgressLine("fine-tuning")
        recorder = FineTuneRecorder(
            folder=folder,
            rounds=config.rounds,
            checkpoint_every=config.checkpoint_every,
            evaluators=_evaluators(config, model, examples, test, key),
            keep=config.keep_checkpoints,
            arms=arms,
            on_evaluation=lambda record: _tell(line, record),
            tell=lambda sentence: _say(line, sentence),
            stop=stop,
        )
        stack.callback(recorder.close)
        told = loggers.make(log, folder.path, folder.config)
        logged = loggers.LoggedRecorder(recorder=recorder, loggers=told)
        stack.callback(logged.close)
        try:
            with line:
                history = bandit_rft.run(arms, learner, config.rounds, key=config.key, recorder=logged, progress=line)
        except NotFiniteError as error:
            name = "--prompt" if config.data is None else f"prompt {config.places[error.question]} of {config.data}"
            raise not_finite(error, name, recorder.last_sound(error)) from None
        folder.amend_manifest(finished=now(), resumed_at_round=recorder.resumed_at)
        history = dataclasses.replace(history, evaluations=tuple(recorder.evaluations))
        from figures import finetune_run, report

        with explain_disk_errors(folder.path / "figures"):
            figure = finetune_run.draw(folder.path)
        print(finetune_run.summary(folder.path))
        print(f"Figure: {figure}\nReport: {report.write(folder.path)}\nRun folder: {folder.path}")
        if verifiers.counts().said():
            print(verifiers.counts().said())
        return history


_LEARNER_FIELDS = (
    *("signal", "ddof", "eps", "reward_right", "reward_wrong", "rollouts", "baseline_rollouts", "max_tokens"),
    *("temperature", "optimizer", "schedule", "warmup_rounds", "learning_rate_floor", "weight_decay", "adam_eps"),
    *("gradient_clip", "kl_coefficient", "kl", "reward_kl_coefficient", "reward_kl", "log_kl", "entropy_coefficient"),
    *("dual_clip", "epochs", "mini_batches", "replay", "aggregation", "micro_batch", "generation_batch", "remat"),
)


def learner_settings(config: FineTuneConfig) -> dict[str, Any]:
    """What `FineTune` is told of a configuration, but the model and the step size."""
    return {
        "prompts": config.prompts_per_round,
        "clip": config.clip_limits,
        "betas": (config.beta1, config.beta2),
        **{name: getattr(config, name) for name in _LEARNER_FIELDS},
    }


def learning_rate_of(
    config: FineTuneConfig, folder: RunFolder, model: LanguageModel, example: Example, key: jax.Array
) -> float:
    """The step size, measured for where asked; recorded, with what it comes from, in config.json and manifest.json."""
    import jax

    from bandit_rft.progress import ProgressLine
    from llm_bridge import verifiers
    from llm_bridge.measure import measure

    rate = 1e-6 if config.learning_rate is None else config.learning_rate
    resolved = folder.resolved
    if config.measures and "measurement" not in resolved:
        with ProgressLine("measuring p0 and kappa", unit="steps", quantity="p0") as line:
            measured = measure(
                model,
                example.prompt,
                verifiers.make(config.verifier or example.verifier, example.answer),
                key=jax.random.fold_in(key, MEASUREMENT),
                max_tokens=config.max_tokens,
                rollouts=config.measure_rollouts,
                batch=min(config.evaluation_batch, config.measure_rollouts),
                temperature=config.temperature,
                standard_error=config.measure_error,
                remat=config.remat,
                progress=line,
            )
        resolved["measurement"] = dataclasses.asdict(measured)
    if config.step_over_kappa is not None:
        kappa = resolved["measurement"]["kappa"]
        if kappa is None or not (math.isfinite(kappa) and kappa > 0):
            found = resolved["measurement"]
            raise InputError(
                f"kappa could not be measured ({found['successes']} of {found['rollouts']} responses were right, "
                f"estimate {kappa}): raise --measure-rollouts, choose another question, or give --learning-rate."
            )
        rate = config.step_over_kappa / kappa
    resolved["learning_rate"] = rate
    folder.resolve(**resolved)
    folder.amend_manifest(resolved=resolved)
    return rate


def _evaluators(
    config: FineTuneConfig, model: LanguageModel, examples: list[Example], test: list[Example], key: jax.Array
) -> dict[str, tuple[int | None, Any]]:
    """Pass@1 and pass@k on training and test questions: rounds between, (weights, rounds done) -> record."""
    import jax

    from bandit_rft.progress import ProgressLine
    from llm_bridge.evaluate import evaluate

    def evaluator(name: str, examples: list[Example], samples: int, purpose: int) -> Any:
        def measure(params: Any, done: int) -> dict[str, Any]:
            with ProgressLine(f"{name} Pass@1 after {done} rounds", unit="responses", quantity="Pass@1") as line:
                found = evaluate(
                    model,
                    examples,
                    key=jax.random.fold_in(jax.random.fold_in(key, purpose), done),
                    max_tokens=config.max_tokens,
                    verifier=config.verifier,
                    samples=samples,
                    temperature=config.temperature,
                    batch=config.evaluation_batch,
                    params=params,
                    progress=line,
                )
            record = {**dataclasses.asdict(found), "per_question": found.per_question.tolist()}
            return {**record, "pass_at_k": {str(k): found.pass_at(k) for k in config.ks}}

        return measure

    found: dict[str, tuple[int | None, Any]] = {}
    most = max(config.ks)
    if config.train_samples:
        shown = examples[: config.train_questions]
        samples = max(-(-config.train_samples // len(shown)), most)
        found["train"] = config.evaluate_every, evaluator("training", shown, samples, TRAIN_EVALUATION)
    if test:
        every = config.evaluate_every if config.test_every is None else config.test_every or None
        found["test"] = every, evaluator("test", test, most, TEST_EVALUATION)
    return found


def _say(line: Any, sentence: str) -> None:
    line.clear()
    print(f"bandit-rft: {sentence}", file=sys.stderr, flush=True)


def _tell(line: Any, record: dict[str, Any]) -> None:
    line.clear()
    print(
        f"round {record['round']}: {record['measured']} Pass@1 {record['pass_at_1']:.3f} "
        f"[{record['low']:.3f}, {record['high']:.3f}] ({record['successes']} of {record['samples']} responses)"
        + "".join(f", pass@{k} {value:.3f}" for k, value in record["pass_at_k"].items() if k != "1"),
        flush=True,
    )
    if record["measured"] == "train":
        line.pass_at_1 = record["pass_at_1"]
