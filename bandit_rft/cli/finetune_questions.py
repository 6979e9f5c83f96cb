"""The training and test questions that a fine-tuning configuration names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bandit_rft.cli.finetune_config import FineTuneConfig
    from llm_bridge.data.datasets import Dataset, Example, Tell


def training_data(config: Any, tell: Tell) -> Dataset:
    """The data that a configuration names: of `finetune` (its training questions), `evaluate` or `measure`.

    Args:
        config: with data, split, template, prompt_column and answer_column.
        tell: as `datasets.load` takes it.
    """
    from llm_bridge.data import datasets

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


def test_examples(config: FineTuneConfig, tell: Tell) -> list[Example]:
    """The first --test-questions of the test data that can be used; an empty list without test questions."""
    from llm_bridge.data import datasets

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
    return data.usable(range(len(data)), most=config.test_questions)
