"""Fine-tuning an embedded model with many seeds at once, in one compiled scan: `bandit-rft finetune --seeds S`, and the
demo's default.

The scan is run in chunks of rounds, between which the run is written; the same command on the same folder continues it,
bit by bit as if it had never stopped (on a machine of the same kind: how many cores it now has does not matter).
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from bandit_rft.cli.finetune_config import FineTuneConfig
from bandit_rft.errors import InputError

if TYPE_CHECKING:
    from bandit_rft.history import History
    from llm_bridge import LanguageModel

VERIFIER = "gsm8k-strict"  # of rewards and of evaluations alike: the rule that `tiny.verifier` reads from tokens


def finetune_seeds(
    config: FineTuneConfig, out: str | Path, seeds: int, *, model: LanguageModel | None = None
) -> History:
    """Run or continue `seeds` seeds in a run folder, draw its figure, report it, print a summary.

    Args:
        config: as of one run; micro-batches, mini-batches and replay do not apply.
        out: the run folder.
        seeds: independent runs, each from the model as loaded.
        model: an already loaded model of `config.model`, where the caller has one.

    Raises:
        InputError: a model that is not embedded, and whatever else is wrong with model, data, options or folder.
    """
    import bandit_rft
    from bandit_rft.cli import digests, kept_checkpoints
    from bandit_rft.cli.continuation import Continuation
    from bandit_rft.cli.finetune_evaluators import evaluators, tell_of_seeds
    from bandit_rft.cli.finetune_learner import fitting, learner_settings, learning_rate_of, reach_of
    from bandit_rft.cli.finetune_questions import asked_for, test_examples, training_data
    from bandit_rft.cli.pinned_model import load_pinned
    from bandit_rft.cli.pinned_prompts import keep_prompts
    from bandit_rft.cli.seeds_recorder import SeedsRecorder
    from bandit_rft.cli.stopping import StopRequest, not_finite, say
    from bandit_rft.keys import as_key
    from bandit_rft.plots import finetune as figure
    from bandit_rft.reports import report
    from bandit_rft.runs import DIGESTS, HISTORY, SEVERAL_SEEDS, RunFolder, explain_disk_errors, now
    from bandit_rft.runs.progress import ProgressLine
    from bandit_rft.runs.rollouts import write_questions
    from llm_bridge import FineTune
    from llm_bridge.bandits.token_arms import TokenPromptArms, TokenQuestionArms
    from llm_bridge.data import datasets
    from llm_bridge.training.finite import NotFiniteError

    if config.data is None:
        raise InputError("Several seeds at once learn questions of a data set: give --data, such as tiny-addition.")
    tell_once = datasets.once(VERIFIER)
    data = training_data(config, tell_once)
    examples = asked_for(data, config)
    if config.verifier not in (None, VERIFIER):
        raise InputError(
            f"Several seeds at once are rewarded by {VERIFIER}, which reads tokens, and not by {config.verifier}: give "
            f"--verifier {VERIFIER}, or run the seeds one by one with a --key and --out of their own."
        )
    config = dataclasses.replace(config, verifier=VERIFIER)
    test = test_examples(config, tell_once)

    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        stack.enter_context(explain_disk_errors(Path(out)))
        model = model or load_pinned(out, config)
        arms: TokenPromptArms | TokenQuestionArms = TokenQuestionArms(model, examples)
        if len(examples) == 1:
            arms = TokenPromptArms(model, examples[0].prompt, examples[0].answer)
        tested = [model.encode(example.prompt) for example in test]
        config = fitting(config, model, [*arms.question_tokens, *tested])
        assert config.max_tokens is not None
        arms.check_fits(config.max_tokens)
        asked = {**config.to_json(), "command": SEVERAL_SEEDS, "seeds": seeds}
        defaults = {entry.name: entry.default for entry in dataclasses.fields(FineTuneConfig)}
        begun = Continuation(
            config=config,
            examples=examples,
            digests=digests.of_run(model, examples, test, config.verifier),
        )
        folder = stack.enter_context(RunFolder.claim(out, asked, defaults=defaults, continues=begun))
        source = model.source.to_json() if model.source is not None else None
        write_questions(folder.path, examples, verifier=VERIFIER)
        began = {"started": now(), "key": config.key, "finished": None, DIGESTS: begun.digests}
        folder.write_manifest(**began, data_revision=data.revision, model=source)
        keep_prompts(folder, model, arms.question_tokens)
        key = as_key(config.key, "--key")
        rate = learning_rate_of(config, folder, model, examples[0], key)
        learner = FineTune(model, learning_rate=rate, **learner_settings(config))
        line = ProgressLine(f"fine-tuning {seeds} seeds")
        for note in begun.notes:
            say(line, note)
        if sentence := reach_of(config, model, rate):
            print(sentence, flush=True)
        recorder = SeedsRecorder(
            folder=folder,
            rounds=config.rounds,
            seeds=seeds,
            checkpoint_every=config.checkpoint_every,
            evaluators=evaluators(config, model, examples, test, key),
            arms=arms,
            keep=config.keep_checkpoints,
            on_evaluation=lambda records: tell_of_seeds(line, records, config.rounds),
            tell=lambda sentence: say(line, sentence),
            on_state=lambda state: print(kept_checkpoints.at_the_start(state, config), flush=True),
            stop=stop,
        )
        stack.callback(recorder.close)
        try:
            with line:
                history = bandit_rft.run(
                    arms, learner, config.rounds, seeds=seeds, key=config.key, recorder=recorder, progress=line
                )
        except NotFiniteError as error:
            name = f"prompt {examples[error.question].index} of {config.data}"
            raise not_finite(error, name, recorder.last_sound(error)) from None
        history = dataclasses.replace(history, evaluations=tuple(recorder.evaluations))
        history.save(folder.path / HISTORY)
        folder.amend_manifest(finished=now(), resumed_at_round=recorder.resumed_at)
        with explain_disk_errors(folder.path / "figures"):
            drawn = figure.draw(folder.path)
        print(figure.summary(folder.path))
        print(f"Figure: {drawn}\nReport: {report.write(folder.path)}\nRun folder: {folder.path}", flush=True)
        dropped = kept_checkpoints.tidy(folder.path / "checkpoints", config)
        if dropped:
            print(dropped, flush=True)
        return history
