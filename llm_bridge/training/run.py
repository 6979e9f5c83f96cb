"""`finetune`: a fine-tuning run of any model, any verifier and any number of seeds, in a run folder that continues it.

    run = finetune(arms, FineTune(model, rollouts=4, signal="grpo"), rounds=200, seeds=4, out="runs/first",
                   evaluate=[arms, test_examples])
    run.history.rewards            [seeds, rounds, rollouts]
    run.evaluations                Pass@1 before, between and after the rounds, as records
    run.predict()                  the law of the run, or why it has none
    run.report()                   an HTML page, written into the folder
    run.export("tuned", seed=0)    weights that transformers loads

The same call with the same `out` continues a run that was stopped or killed, bit by bit as if it had never been; a
finished one is read back. `bandit-rft finetune` is this function with its arguments read from options.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import nnx

import bandit_rft
from bandit_rft import arguments, ratios, run_law
from bandit_rft.errors import InputError
from bandit_rft.history import History
from bandit_rft.keys import Key, as_key, recorded
from bandit_rft.runs import CONFIG, DIGESTS, dumps, explain_disk_errors, loggers, now, read_json
from bandit_rft.runs.progress import ProgressLine
from bandit_rft.runs.rollouts import write_questions
from bandit_rft.runs.stopping import StopRequest, say
from bandit_rft.runs.trees import read_tree
from bandit_rft.settings.ranges import COUNT, ROWS
from bandit_rft.settings.saved_finetune import REQUESTED
from llm_bridge import hosts
from llm_bridge.bandits.question_arms import QuestionArms
from llm_bridge.bandits.response_arms import ResponseArms
from llm_bridge.bandits.token_arms import TokenPromptArms, TokenQuestionArms, speaks_tiny
from llm_bridge.hosts.shared_folder import check_same, claimed
from llm_bridge.measuring import digests
from llm_bridge.measuring.pinned_prompts import keep_prompts
from llm_bridge.models import placement
from llm_bridge.training import defaults, kept_checkpoints
from llm_bridge.training.continuation import Continuation, Words
from llm_bridge.training.description import (
    PYTHON,
    RecordedQuestion,
    default_settings,
    measured_of,
    name_of,
    objects_of,
    recorded_questions,
    rules_of,
    settings_of,
)
from llm_bridge.training.evaluators import Evaluator, evaluators_of, said, trained_on
from llm_bridge.training.export import save_pretrained
from llm_bridge.training.finite import NotFiniteError
from llm_bridge.training.learner import FineTune
from llm_bridge.training.measured_first import Measuring, check_several, measuring_of, resolved_by
from llm_bridge.training.pinned_model import of_model
from llm_bridge.training.recorder import RunRecorder
from llm_bridge.training.state import weights_of_seed

if TYPE_CHECKING:
    from bandit_rft.run_law import RunLaw
    from llm_bridge.language_model import LanguageModel

DEVICE_VERIFIER = "gsm8k-strict"  # the rule that `tiny.verifier` reads from tokens


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished fine-tuning run.

    Attributes:
        history: rewards float64 [seeds, rounds, rollouts], metrics and evaluations; its config is that of config.json.
        folder: the run folder; a temporary one, that goes with this object, where no `out` was given.
        arms, learner: as the run had them, the learner with its numbers resolved.
        key: of the run.
        evaluators: what was measured between the rounds.
    """

    history: History
    folder: Path
    arms: ResponseArms
    learner: FineTune
    key: jax.Array
    evaluators: tuple[Evaluator, ...] = ()
    _temporary: Any = field(default=None, repr=False)

    @property
    def evaluations(self) -> tuple[Mapping[str, Any], ...]:
        """Records of evaluations.jsonl, oldest first: round, measured, seed (None: before the first round, of all
        seeds), pass_at_1, low, high, successes, samples, per_question, pass_at_k.
        """
        return self.history.evaluations

    def predict(self) -> RunLaw:
        """Which law the run has, why, and what it predicts; it asks the run's settings and measurement alone."""
        return run_law.law_of(self.history)

    def report(self) -> Path:
        """Write the run's HTML page, with its figures, into the folder, and return its path; of several processes, by
        process 0.
        """
        from bandit_rft import reports

        return reports.write(self.folder)

    def weights(self, seed: int = 0) -> Any:
        """The weights of a seed after the last round, as `LanguageModel`'s methods take them by `params=`.

        Raises:
            InputError: no such seed.
        """
        seed = arguments.whole("seed", seed, 0)
        if seed >= self.history.seeds:
            raise InputError(f"seed is {seed} and the run has {self.history.seeds}: give one from 0 on.")
        return weights_of_seed(self.history.final_state, seed)

    def export(self, out: str | Path, *, seed: int = 0, dtype: str | None = None) -> Path:
        """Write the weights of a seed as a new Hugging Face folder; see `training.export.save_pretrained`.

        Raises:
            InputError: also where there are several processes, of which none has all weights: a command of one process
                reads them from the run folder.
        """
        if hosts.count() > 1:
            raise InputError(
                f"Export is for one process: bandit-rft export {self.folder} writes the weights of this run."
            )
        return save_pretrained(self.learner.model, out, self.weights(seed), dtype=dtype)


def finetune(
    arms: QuestionArms | TokenQuestionArms,
    learner: FineTune,
    rounds: int,
    seeds: int = 1,
    key: Key = 0,
    out: str | Path | None = None,
    *,
    evaluate: Sequence[Any] = (),
    measure: bool | int | Measuring | None = None,
    log: str | Sequence[str | loggers.Logger] = (),
    config: Mapping[str, Any] | None = None,
    checkpoint_every: int = 50,
    keep_checkpoints: int = 2,
    keep_optimizer: bool = False,
    shown: bool = True,
    words: Words | None = None,
) -> Run:
    """Fine-tune by policy gradient, or continue the run in `out`.

    Args:
        arms: what is learned from: `PromptArms`, `QuestionArms`, with any verifier.
        learner: how: `FineTune(model, ...)`, of the arms' model.
        rounds: T ≥ 1. A finished run of a constant schedule goes on to a larger number.
        seeds: S ≥ 1 independent runs from the model as loaded, side by side; a seed's draws do not depend on S.
        key: a whole number, or a JAX key, of all random draws.
        out: the run folder; None: a temporary one without checkpoints, which lasts as long as the `Run` returned.
        evaluate: what Pass@1 is measured on before, between and after the rounds: each an `Evaluator`, an arm set (the
            run's own: "train"; another: "test") or a list of examples ("test").
        measure: measure p0 and kappa of the one question before the run, for `Run.predict`: True (64 responses), how
            many responses, or `Measuring`; of up to 16 questions each with its tree. A learner's `step_over_kappa`
            measures in any case.
        log: "tensorboard", "wandb", or objects of `bandit_rft.runs.loggers.Logger`.
        config: more for config.json, plain JSON values beside what the arguments say: they stand there with the module
            and name of what is no plain value, and such a folder is continued by this call, not from its file alone.
            One that has a "command" is the whole of config.json: `bandit-rft finetune` gives it.
        checkpoint_every: rounds between checkpoints; evaluated rounds and the last have one too.
        keep_checkpoints: newest checkpoints that are kept.
        keep_optimizer: keep the optimiser's state of a finished run too, where it is over 100 MB.
        shown: show progress (standard error, on a terminal) and print evaluations (standard output).
        words: how messages call the run's options; the command line has its own.

    Raises:
        InputError: whatever is wrong with model, arms, settings or folder, before anything is written; a folder of
            another run; later, a kappa that cannot be measured, a reward that is no finite number, a full disk, or a
            loss, gradient or weights that are not finite (checkpoints before them are kept).
        Stopped: SIGTERM or Ctrl-C, once what was done is saved (`bandit_rft.runs.stopping`).

    Where the model is one of the embedded ones and every answer is checked by gsm8k-strict, several seeds run in one
    compiled scan, their rewards computed on the device: the same draws, and weights equal up to float32 rounding.

    Where several processes have joined (`llm_bridge.join_hosts`), each calls this with the same arguments, and `out` is
    a folder that all see. Process 0 alone writes it, but for checkpoints, prints, and sends to loggers.
    """
    for name, value in (("keep_optimizer", keep_optimizer), ("shown", shown)):
        arguments.require(name, value, (bool, np.bool_), "True or False")
    words = words or Words()
    leads = hosts.index() == 0
    shown = shown and leads
    rounds, seeds = COUNT.checked("rounds", rounds), ROWS.checked("seeds", seeds)
    if out is not None and (not isinstance(out, str | os.PathLike) or not os.fspath(out)):
        raise InputError(f"{words.option('out')} is {arguments.shown(out)}: give the name of a folder, or None.")
    key_of_run = as_key(key, words.option("key"))
    arguments.require("log", log, (str, list, tuple), "a list of 'tensorboard', 'wandb' and loggers of your own")
    log = [log] if isinstance(log, str) else list(log)
    loggers.check([name for name in log if isinstance(name, str)])
    for entry in log:
        if not isinstance(entry, str) and not all(hasattr(entry, name) for name in ("open", "log", "close")):
            raise InputError(f"log has {arguments.shown(entry)}: give 'tensorboard', 'wandb' or a Logger.")
    log = log if leads else []
    if not isinstance(arms, ResponseArms):
        raise InputError(f"arms is {type(arms).__name__}: give PromptArms or QuestionArms.")
    if not isinstance(learner, FineTune):
        raise InputError(f"learner is {type(learner).__name__}: give FineTune(model, ...).")
    if learner.model is not arms.model:
        raise InputError("FineTune and its arms have different models: give both the same one.")
    ratios.check_delay(learner.delay, learner.replay, rounds)
    evaluators = evaluators_of(evaluate, arms)
    measuring = measuring_of(measure, learner)
    questions = recorded_questions(arms)
    if measuring is not None and learner.model.config.lora is not None:
        raise InputError("kappa is measured in all weights, and the model has adapters: leave out measure.")
    if measuring is not None and len(questions) > 1:
        check_several(measuring, learner, len(questions), words)
    model = learner.model
    tested = [[model.encode(question.prompt) for question in entry.examples] for entry in evaluators]
    longest = learner.max_tokens or defaults.max_tokens(
        model, [*arms.question_tokens, *(t for one in tested for t in one)]
    )
    arms.check_fits(longest)
    learner = dataclasses.replace(learner, max_tokens=longest)
    learner.longest(arms, words.option)
    settings = _config(config, arms, learner, rounds, key, evaluators, measuring)
    found = {"max_tokens": longest, "attention": model.config.attention}
    requested = {name: settings[name] for name, value in found.items() if name in settings and settings[name] != value}
    requested = {**words.requested, **requested}
    settings |= {**found, "seeds": seeds}
    for name, value in (("checkpoint_every", checkpoint_every), ("keep_checkpoints", keep_checkpoints)):
        settings[name] = arguments.whole(name, value)
    settings["keep_optimizer"] = bool(keep_optimizer)
    keep_optimizer = keep_optimizer or hosts.count() > 1  # a checkpoint of several processes stays as it is

    with contextlib.ExitStack() as stack:
        stack.enter_context(hosts.together())
        stop = stack.enter_context(StopRequest())
        temporary = tempfile.TemporaryDirectory(prefix="bandit_rft_run_") if out is None else None
        place = Path(out or "") if temporary is None else Path(temporary.name) / "run"
        stack.enter_context(explain_disk_errors(place))
        verifiers_of = [(entry.name, entry.verifier) for entry in evaluators]
        test = [question for entry in evaluators if entry.name != "train" for question in entry.examples]
        begun = Continuation(
            words=words,
            places=[question.index for question in questions],
            rules=[question.verifier for question in questions],
            digests=digests.of_run(
                model,
                questions,
                test,
                words.verifier,
                objects_of(arms, learner, verifiers_of),
                rules=rules_of(arms),
                measured=measured_of(evaluators),
            ),
        )
        later = dict.fromkeys(("lora_rank", "lora_alpha", "lora_weights", "cache_dtype"))
        defaults_of = {"seeds": 1, "mesh": None, "attention": "own", **later, **default_settings(), **words.defaults}
        check_same(settings, begun.digests, arms.question_tokens, words.option)
        how = {"defaults": defaults_of, "continues": begun, "option": words.option, "kept": temporary is None}
        folder = stack.enter_context(claimed(place, settings, **how))
        source = model.source.to_json() if model.source is not None else None
        folder.write_manifest(
            started=now(),
            key=recorded(key),
            finished=None,
            data_revision=words.revision,
            model=source,
            **{DIGESTS: begun.digests},
        )
        requested = {name: value for name, value in requested.items() if folder.config.get(name) != value}
        if requested and REQUESTED not in folder.resolved:
            folder.resolve(**{REQUESTED: requested})
        keep_prompts(folder, model, arms.question_tokens)
        if leads:
            write_questions(folder.path, questions, verifier=words.verifier)
        learner = resolved_by(learner, folder, arms, measuring, key_of_run, shown)
        running = _on_the_device(arms, learner, questions) if seeds > 1 else arms
        line = ProgressLine("fine-tuning" if seeds == 1 else f"fine-tuning {seeds} seeds", shown=shown)
        # How far a run reaches is computed from weights that several processes may hold: by all, and said by one.
        ahead = (_reach(learner, rounds), _idle(running, model, words)) if shown or hosts.count() > 1 else ()
        if shown:
            for note in filter(None, (*begun.notes, trained_on(evaluators, tested, arms.question_tokens))):
                say(line, note)
            for sentence in filter(None, ahead):
                print(sentence, flush=True)

        def on_evaluation(records: list[dict[str, Any]]) -> None:
            if shown and (seeds == 1 or 0 < records[0]["round"] < rounds):
                line.clear()
                print(said(records, rounds), flush=True)
            if records[0]["measured"] == "train":
                line.pass_at_1 = sum(record["pass_at_1"] for record in records) / len(records)

        def on_state(state: Any) -> None:
            if shown and temporary is None:
                print(kept_checkpoints.at_the_start(state, keep_checkpoints, keep_optimizer), flush=True)

        names = [name for name in log if isinstance(name, str)]
        recorder = RunRecorder(
            folder=folder,
            rounds=rounds,
            seeds=seeds,
            checkpoint_every=checkpoint_every if temporary is None else None,
            evaluators={
                entry.name: (
                    entry.every,
                    entry.bind(
                        model,
                        encoded,
                        key=key_of_run,
                        max_tokens=longest,
                        temperature=learner.temperature,
                        shown=shown,
                    ),
                )
                for entry, encoded in zip(evaluators, tested, strict=True)
            },
            arms=running,
            keep=keep_checkpoints,
            loggers=[*loggers.make(names, folder.path, folder.config), *(x for x in log if not isinstance(x, str))],
            on_evaluation=on_evaluation,
            tell=lambda sentence: say(line, sentence),
            on_state=on_state,
            stop=stop,
        )
        stack.callback(recorder.close)
        try:
            with line:
                history = bandit_rft.run(
                    running, learner, rounds, seeds=seeds, key=key_of_run, recorder=recorder, progress=line
                )
        except NotFiniteError as error:
            raise _explained(error, words, questions, recorder.last_sound(error)) from None
        folder.amend_manifest(finished=now(), resumed_at_round=recorder.resumed_at)
        if temporary is None and leads:
            dropped = kept_checkpoints.tidy(folder.path / "checkpoints", keep_checkpoints, keep_optimizer)
            if shown and dropped:
                print(dropped, flush=True)
        history = dataclasses.replace(
            history,
            evaluations=tuple(recorder.evaluations),
            config=hosts.first(lambda: read_json(folder.path / CONFIG)),
            tree=read_tree(folder.path, folder.resolved.get("tree")),
        )
        return Run(
            history=history,
            folder=folder.path,
            arms=arms,
            learner=learner,
            key=key_of_run,
            evaluators=tuple(evaluators),
            _temporary=temporary,
        )


def _config(
    given: Mapping[str, Any] | None,
    arms: ResponseArms,
    learner: FineTune,
    rounds: int,
    key: Key,
    evaluators: Sequence[Evaluator],
    measuring: Measuring | None,
) -> dict[str, Any]:
    """config.json: as given whole, or what the objects say and what is given beside it.

    Raises:
        InputError: what is given contradicts an argument, or is no JSON.
    """
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"config is {type(given).__name__}: give a dict of plain JSON values.")
    if given is not None and "command" in given:
        return dict(given)
    questions, model = len(arms.question_tokens), learner.model
    decoder = nnx.merge(model.graphdef, model.params)
    said = {
        "command": "finetune",
        PYTHON: True,
        "model": model.name,
        "dtype": str(decoder.dtype),
        "param_dtype": str(decoder.param_dtype),
        "mesh": placement.text_of(model.config.mesh),
        **of_model(model),
        "data": None,
        "index": 0 if questions == 1 else list(range(questions)),
        "verifier": None,
        "rounds": rounds,
        "key": recorded(key),
        "evaluate": [
            {"name": entry.name, "questions": len(entry.examples), "every": entry.every, "samples": entry.samples}
            | {"ks": list(entry.ks), "verifier": _named(entry.verifier)}
            for entry in evaluators
        ],
        "measure": measuring is not None,
        "measure_rollouts": None if measuring is None else measuring.rollouts,
        "measure_tree": None if measuring is None else measuring.tree,
        **settings_of(learner),
    }
    for name, value in (given or {}).items():
        if name in said and value != said[name]:
            raise InputError(f"config has {name} = {value!r} and the run has {said[name]!r}: leave it out of config.")
    try:
        return json.loads(dumps({**(given or {}), **said}))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"config is no JSON ({error}): give a dict of plain values.") from None


def _named(verifier: Any) -> str | None:
    return verifier if verifier is None or isinstance(verifier, str) else name_of(verifier)


def _reach(learner: FineTune, rounds: int) -> str | None:
    """How long responses may be and how far the run can move the weights; None where only the gradient can say."""
    rate = learner.learning_rate
    if callable(rate) or rate is None or not isinstance(learner.optimizer, str):
        return None
    moved = defaults.reach(learner.model, learner.optimizer, rate, rounds, learner.epochs * learner.mini_batches)
    return None if moved is None else f"Responses have at most {learner.max_tokens} tokens. {moved}"


def _idle(running: Any, model: LanguageModel, words: Words) -> str | None:
    """That devices are left unused; None where none is: many seeds of a compiled scan take all there are."""
    if running.jittable:
        return None
    return placement.unused(model.config.mesh, words.option("mesh"), " where a round has a multiple of {} responses")


def _on_the_device(arms: Any, learner: FineTune, questions: Sequence[RecordedQuestion]) -> Any:
    """The same arms with rewards that the device computes, where their verifier reads tokens; else the arms."""
    strict = all(question.verifier == DEVICE_VERIFIER and question.factory is None for question in questions)
    if not isinstance(arms, QuestionArms) or not (strict and speaks_tiny(arms.model)):
        return arms
    if learner.generates_in_parts or arms.model.config.mesh is not None:
        return arms
    try:
        if len(questions) == 1:
            return TokenPromptArms(arms.model, questions[0].encoded, questions[0].answer)
        return TokenQuestionArms(arms.model, arms.examples)  # pyright: ignore[reportArgumentType]
    except InputError:  # an answer that tokens are not compared with, such as a negative one; texts are
        return arms


def _explained(
    error: NotFiniteError, words: Words, questions: Sequence[RecordedQuestion], checkpoint: Path | None
) -> InputError:
    """The error with the user's name of the prompt and the last good checkpoint."""
    kept = "no checkpoint before it is kept" if checkpoint is None else f"the last good checkpoint is {checkpoint}"
    assert error.question is not None  # the recorder knows what was kept of the responses
    prompt = f"prompt {questions[error.question].index} of {words.training}"
    if words.training.startswith("--"):  # the prompt itself was an option
        prompt = words.training
    return InputError(
        f"Round {error.round} gave {error.what} on {prompt} ({error.prompt!r}) and the run stopped; {kept}: lower the "
        f"learning rate, or check the model's weights, in another {words.option('out')}."
    )
