"""The questions that settings name: those of `finetune`, `evaluate` or `measure`."""

from __future__ import annotations

from collections.abc import Iterable

from bandit_rft.settings.finetune import FineTuneConfig
from bandit_rft.settings.questions import EvaluateConfig, MeasureConfig
from llm_bridge.data import datasets
from llm_bridge.data.datasets import Dataset, Example, Tell


def training_data(config: FineTuneConfig | EvaluateConfig | MeasureConfig, tell: Tell) -> Dataset:
    """The data of the questions, of `finetune` those to train on; `tell` as `datasets.load` takes it."""
    assert config.data is not None
    columns = {"prompt_column": config.prompt_column, "answer_column": config.answer_column}
    return datasets.load(config.data, config.split, template=config.template, tell=tell, **columns)


def training_questions(data: Dataset, config: FineTuneConfig) -> list[Example]:
    """The training questions: those of --index as they are, those of --indices without rows that cannot be used.

    Raises:
        InputError: no such place, or a row of --index without a prompt or an answer.
    """
    if config.indices is None:
        return [data.example(place) for place in config.places]
    return data.usable(config.places)


def test_examples(config: FineTuneConfig, trained: Iterable[Example], tell: Tell) -> list[Example]:
    """The first --test-questions of the test data that can be used and are not trained on; none where there are none.

    What is trained on is known by its prompt, GSM8K's or MATH's instruction apart: the test data may be the training
    file itself, or hold a copy of it, also with another form of the answer.
    """
    if config.test_source is None:
        return []
    # The named columns are those of --data; other data have their own.
    own = config.test_source == config.data
    data = datasets.load(
        config.test_source,
        config.test_split,
        template=config.template,
        prompt_column=config.prompt_column if own else None,
        answer_column=config.answer_column if own else None,
        tell=tell,
    )
    return data.usable(range(len(data)), most=config.test_questions, trained=trained)
