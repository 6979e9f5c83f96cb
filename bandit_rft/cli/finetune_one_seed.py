"""A fine-tuning run of one seed, round by round: load, measure, run or continue, draw, sum up."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bandit_rft.cli.finetune_config import FineTuneConfig

if TYPE_CHECKING:
    from bandit_rft.history import History
    from llm_bridge import LanguageModel


def finetune(
    config: FineTuneConfig, out: str | Path, *, model: LanguageModel | None = None, log: Sequence[str] = ()
) -> History:
    """Run or continue a configuration in a run folder, draw its figure, and print the summary.

    Args:
        config: what to do.
        out: the run folder.
        model: an already loaded model of `config.model`, where the caller has one.
        log: names of `bandit_rft.runs.loggers` that are told of the run; no part of the configuration.

    Raises:
        InputError: whatever is wrong with model, data, options or folder.
    """
    # Everything that can be refused without the model is refused before it is loaded.

    import bandit_rft
    from bandit_rft.cli import digests, kept_checkpoints
    from bandit_rft.cli.continuation import Continuation
    from bandit_rft.cli.finetune_evaluators import evaluators, tell
    from bandit_rft.cli.finetune_learner import fitting, learner_settings, learning_rate_of, reach_of
    from bandit_rft.cli.finetune_questions import asked_for, test_examples, training_data
    from bandit_rft.cli.finetune_recorder import FineTuneRecorder
    from bandit_rft.cli.pinned_model import load_pinned
    from bandit_rft.cli.pinned_prompts import keep_prompts
    from bandit_rft.cli.stopping import StopRequest, not_finite, say
    from bandit_rft.keys import as_key
    from bandit_rft.runs import DIGESTS, RunFolder, explain_disk_errors, loggers, now
    from bandit_rft.runs.progress import ProgressLine
    from bandit_rft.runs.rollouts import write_questions
    from llm_bridge import verifiers
    from llm_bridge.bandits.prompt_arms import PromptArms
    from llm_bridge.bandits.question_arms import QuestionArms, verifier_of
    from llm_bridge.data import datasets
    from llm_bridge.training.finite import NotFiniteError
    from llm_bridge.training.learner import FineTune

    loggers.check(log)
    tell_once = datasets.once(config.verifier)
    if config.data is not None:
        data = training_data(config, tell_once)
        examples, revision = asked_for(data, config), data.revision
    else:
        assert config.prompt is not None
        assert config.answer is not None
        message = {"role": "user", "content": config.prompt}
        examples = [datasets.Example(prompt=(message,), ground_truth=config.answer, index=0, data_source="prompt")]
        revision = None
    # Each question's own, unless one is asked for; what is wrong with one is said before the model is loaded.
    checks = [verifier_of(config.verifier, example) for example in examples]
    test = test_examples(config, tell_once)
    for example in test:
        verifier_of(config.verifier, example)

    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        stack.enter_context(explain_disk_errors(Path(out)))
        if model is None:
            model = load_pinned(out, config)
        arms: PromptArms | QuestionArms = QuestionArms(model, examples, config.verifier)
        if len(examples) == 1:
            arms = PromptArms(model, examples[0].prompt, checks[0])
        tested = [model.encode(example.prompt) for example in test]
        config = fitting(config, model, [*arms.question_tokens, *tested])
        assert config.max_tokens is not None
        arms.check_fits(config.max_tokens)
        defaults = {entry.name: entry.default for entry in dataclasses.fields(FineTuneConfig)}
        begun = Continuation(
            config=config,
            examples=examples,
            digests=digests.of_run(model, examples, test, config.verifier),
        )
        folder = stack.enter_context(RunFolder.claim(out, config.to_json(), defaults=defaults, continues=begun))
        source = model.source.to_json() if model.source is not None else None
        began = {"started": now(), "key": config.key, "finished": None, DIGESTS: begun.digests}
        folder.write_manifest(**began, data_revision=revision, model=source)
        keep_prompts(folder, model, arms.question_tokens)
        write_questions(folder.path, examples, verifier=config.verifier)
        key = as_key(config.key, "--key")
        learning_rate = learning_rate_of(config, folder, model, examples[0], key)
        learner = FineTune(model, learning_rate=learning_rate, **learner_settings(config))
        line = ProgressLine("fine-tuning")
        for note in begun.notes:
            say(line, note)
        if sentence := reach_of(config, model, learning_rate):
            print(sentence, flush=True)
        recorder = FineTuneRecorder(
            folder=folder,
            rounds=config.rounds,
            checkpoint_every=config.checkpoint_every,
            evaluators=evaluators(config, model, examples, test, key),
            keep=config.keep_checkpoints,
            arms=arms,
            on_evaluation=lambda record: tell(line, record),
            tell=lambda sentence: say(line, sentence),
            on_state=lambda state: print(kept_checkpoints.at_the_start(state, config), flush=True),
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
            name = "--prompt" if config.data is None else f"prompt {examples[error.question].index} of {config.data}"
            raise not_finite(error, name, recorder.last_sound(error)) from None
        folder.amend_manifest(finished=now(), resumed_at_round=recorder.resumed_at)
        history = dataclasses.replace(history, evaluations=tuple(recorder.evaluations))
        from bandit_rft.plots import finetune as finetune_run
        from bandit_rft.reports import report

        with explain_disk_errors(folder.path / "figures"):
            figure = finetune_run.draw(folder.path)
        print(finetune_run.summary(folder.path))
        print(f"Figure: {figure}\nReport: {report.write(folder.path)}\nRun folder: {folder.path}")
        if verifiers.counts().said():
            print(verifiers.counts().said())
        dropped = kept_checkpoints.tidy(folder.path / "checkpoints", config)
        if dropped:
            print(dropped)
        return history
