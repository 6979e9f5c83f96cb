"""The training and test questions that a fine-tuning configuration names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bandit_rft.cli_commands.finetune_config import FineTuneConfig
    from llm_bridge.datasets import Dataset, Example


def asked_for(data: Dataset, config: FineTuneConfig) -> list[Example]:
    """The training questions: those of --index as they are, those of --indices without rows that cannot be used.

    Raises:
        InputError: no such place, or a row of --index without a prompt or an answer.
    """
    if config.indices is None:
        return [data.example(place) for place in config.places]
    return data.usable(config.places)


def test_examples(config: FineTuneConfig) -> list[Example]:
    """The first --test-questions of the test data that can be used."""
    from llm_bridge import datasets

    assert config.test_source is not None
    data = datasets.load(
        config.test_source, config.test_split, template=config.template, **config.columns(config.test_source)
    )
    return data.usable(range(len(data)), most=config.test_questions)
