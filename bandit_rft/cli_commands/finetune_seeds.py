"""Fine-tuning an embedded model with many seeds at once, in one compiled scan: `bandit-rft finetune --seeds S`, and the
demo's default.

The run is written when it is done (it takes a minute), so there is nothing to continue: the same command on the same
folder makes the same run anew.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandit_rft.cli_commands.finetune_config import FineTuneConfig
from bandit_rft.errors import InputError

if TYPE_CHECKING:
    from bandit_rft.history import History
    from llm_bridge import LanguageModel

COMMAND = "finetune-seeds"


def finetune_seeds(
    config: FineTuneConfig, out: str | Path, seeds: int, *, model: LanguageModel | None = None
) -> History:
    """Fine-tune with `seeds` seeds, evaluate before and after, write the run folder, draw its figure, print a summary.

    Args:
        config: as of one run; checkpoints, micro-batches and evaluations between the rounds do not apply.
        out: the run folder.
        seeds: independent runs, each from the model as loaded.
        model: an already loaded model of `config.model`, where the caller has one.

    Raises:
        InputError: a model that is not embedded, and whatever else is wrong with model, data, options or folder.
    """
    import jax

    import bandit_rft
    from bandit_rft.cli_commands.finetune_learner import learner_settings, learning_rate_of
    from bandit_rft.progress import ProgressLine
    from bandit_rft.run_folder import HISTORY, RunFolder, now
    from figures import finetune_seeds as figure
    from llm_bridge import FineTune, datasets, load_model
    from llm_bridge.tiny.arms import TokenPromptArms

    if config.data is None:
        raise InputError("Several seeds at once learn a question of a data set: give --data, such as tiny-addition.")
    if len(config.places) != 1:
        raise InputError(f"Several seeds at once learn one question, not {len(config.places)}: give one --index.")
    example = datasets.load(config.data, config.split, template=config.template).example(config.places[0])
    config = dataclasses.replace(config, verifier=config.verifier or example.verifier)
    model = model or load_model(config.model, config.dtype, param_dtype=config.param_dtype)
    arms = TokenPromptArms(model, example.prompt, example.answer)
    asked = {**config.to_json(), "command": COMMAND, "seeds": seeds}
    with RunFolder.claim(out, asked) as folder:
        folder.write_manifest(started=now(), key=config.key, finished=None)
        key = jax.random.key(config.key)
        rate = learning_rate_of(config, folder, model, example, key)
        learner = FineTune(model, learning_rate=rate, **learner_settings(config))
        with ProgressLine(f"fine-tuning {seeds} seeds") as line:
            history = bandit_rft.run(arms, learner, config.rounds, seeds=seeds, key=config.key, progress=line)
        history = dataclasses.replace(
            history, evaluations=tuple(_evaluations(config, model, example, history.final_state, seeds, key))
        )
        history.save(folder.path / HISTORY)
        folder.amend_manifest(finished=now())
    drawn = figure.draw(folder.path)
    print(figure.summary(folder.path))
    print(f"Figure: {drawn}\nRun folder: {folder.path}", flush=True)
    return history


def _evaluations(
    config: FineTuneConfig, model: LanguageModel, example: Any, state: Any, seeds: int, key: Any
) -> list[dict[str, Any]]:
    """Pass@1 on the training question and on test questions: of the model as loaded, and of each seed's weights."""
    import jax

    from bandit_rft.cli_commands.finetune_config import TEST_EVALUATION, TRAIN_EVALUATION
    from bandit_rft.progress import ProgressLine
    from llm_bridge import datasets
    from llm_bridge.evaluate import evaluate
    from llm_bridge.scan_learner import final_weights

    tasks: list[tuple[str, list[Any], int, int]] = []
    if config.train_samples:
        tasks.append(("train", [example], config.train_samples, TRAIN_EVALUATION))
    if config.test_source is not None:
        questions = datasets.load(config.test_source, config.test_split, template=config.template)
        test = [questions.example(place) for place in range(min(config.test_questions, len(questions)))]
        tasks.append(("test", test, 1, TEST_EVALUATION))
    records = []
    with ProgressLine("evaluating", unit="evaluations", quantity="Pass@1") as line:
        for name, examples, samples, purpose in tasks:
            for seed in (None, *range(seeds)):
                found = evaluate(
                    model,
                    examples,
                    key=jax.random.fold_in(jax.random.fold_in(key, purpose), 0 if seed is None else seed + 1),
                    max_tokens=config.max_tokens,
                    verifier=config.verifier,
                    samples=samples,
                    temperature=config.temperature,
                    batch=max(config.evaluation_batch, 128),
                    params=None if seed is None else final_weights(state, seed),
                )
                record = {**dataclasses.asdict(found), "per_question": found.per_question.tolist()}
                done = 0 if seed is None else config.rounds
                records.append({"round": done, "measured": name, "seed": seed, **record})
                line(len(records), len(tasks) * (seeds + 1), found.pass_at_1, 0.0)
    return records
