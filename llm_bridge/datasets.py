"""Questions with a verifiable answer, read lazily from parquet in verl's layout, or generated.

    dataset = datasets.load("gsm8k", split="test")
    example = dataset.example(0)               # prompt messages, ground truth

| source | what it is |
| --- | --- |
| "arithmetic" | one- and two-step word questions made up here (Apache-2.0, as this package): nothing to download |
| "tiny-addition", "tiny-stories" | the generated tasks of the embedded models (`llm_bridge.tiny.tasks`) |
| "gsm8k", "math" | the folder of that name in `$BANDIT_RFT_DATA`, else in ../shared/data |
| a path | a parquet file, or a folder with train.parquet, test.parquet (or hub shards, train-00000-of-00002.parquet) |
| "org/name" | a data set on the Hugging Face hub, its parquet files, fetched into the hub's own cache |
| "org/name/config@revision" | one of its configurations (a folder there), at a commit, a tag or a branch |

Read are verl's columns, raw GSM8K (openai/gsm8k) and raw MATH (EleutherAI/hendrycks_math/algebra,
DigitalLearningGmbH/MATH-lighteval, HuggingFaceH4/MATH-500): see `layouts`, which also has the prompt templates. A hub
data set that holds no parquet file of the split is looked for among the parquet files that the hub itself makes (its
revision refs/convert/parquet). `Dataset.revision` is the commit that was read, for the record of a run.

Left out: other file formats.
"""

from __future__ import annotations

import dataclasses
import operator
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bandit_rft.errors import InputError
from llm_bridge import arithmetic
from llm_bridge.dataset_files import DATA_VARIABLE, NAMED, Rows, hub_files, named_folder, split_files
from llm_bridge.layouts import GSM8K_INSTRUCTION, Layout, layout_of, retemplate, template_text
from llm_bridge.tiny import tasks

__all__ = ["DATA_VARIABLE", "GSM8K_INSTRUCTION", "NAMED", "Dataset", "Example", "load"]

_HUB = re.compile(
    r"(?P<name>[\w-][\w.-]{0,95}/[\w.-]{1,96})(?:/(?P<config>[\w.-]{1,96}))?(?:@(?P<revision>[\w./-]{1,200}))?"
)

_LONGEST_SPLIT = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One question.

    Attributes:
        prompt: chat messages, each {"role": …, "content": …}; at least one, none of them empty.
        ground_truth: the right answer, as text.
        index: its place in the data set.
        data_source: where it comes from, as the data says.
        verifier: the name in `llm_bridge.verifiers` of the one for its answers, unless another is asked for.
    """

    prompt: tuple[Mapping[str, str], ...]
    ground_truth: str
    index: int
    data_source: str
    verifier: str = "gsm8k-numeric"

    @property
    def answer(self) -> str:
        """The ground truth, by the name that `verifiers` and `evaluate` call it."""
        return self.ground_truth


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """A split of a data set. Iterating yields its examples in order.

    Attributes:
        source: what `load` was given.
        split: "train", "test", or the file's name where a file was given.
        where: file or folder, for messages.
        length: number of examples.
        read: index (in range) -> Example.
        revision: the commit of a hub data set; None for what is not from the hub.
    """

    source: str
    split: str
    where: str
    length: int
    read: Callable[[int], Example]
    revision: str | None = None

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Example]:
        return (self.read(index) for index in range(self.length))

    def example(self, index: int) -> Example:
        """The example at `index`, counted from 0.

        Raises:
            InputError: no such index, or a row without a prompt or an answer.
        """
        try:
            place = operator.index(index)
        except TypeError:
            raise InputError(f"the example index must be a whole number, not {index!r}") from None
        if not 0 <= place < self.length:
            raise InputError(
                f"no example {place} in {self.where} ({self.split}), which has {self.length}; give an index from 0 to "
                f"{self.length - 1}"
            )
        return self.read(place)


def load(source: str | os.PathLike[str], split: str = "train", *, template: str | None = None) -> Dataset:
    """A split of a data set.

    Args:
        source: a name, a parquet file, a folder, or a hub id (this module's docstring).
        split: "train", "test", …; not used where `source` is one file.
        template: how questions are put: a name of `layouts.TEMPLATES`, or a text with {question} in it; None: as the
            data has it, and raw data in its own template.

    Raises:
        InputError: nothing there, not parquet, a missing column, no such split, no network for a hub id, or no such
            template.
    """
    if template is None:
        return _load(os.fspath(source), split)
    text = template_text(template)
    data = _load(os.fspath(source), split)

    def read(index: int) -> Example:
        example = data.read(index)
        return dataclasses.replace(example, prompt=retemplate(example.prompt, text))

    return dataclasses.replace(data, read=read)


def _load(text: str, split: str) -> Dataset:
    if not split or len(split) > _LONGEST_SPLIT:  # a file's name
        raise InputError(f"the split is {split[:40]!r}, which is no name; give one such as train or test")
    if text == "arithmetic":
        return _arithmetic(split)
    if text in tasks.TASKS:
        return _generated(text, split)
    if text in NAMED:
        return _parquet(text, split, split_files(named_folder(text), split))
    path = Path(os.path.expanduser(text))
    # os.path answers False where a name is too long or has a NUL; Path raises.
    if text and os.path.isfile(path):
        return _parquet(text, path.stem, [path])
    if text and os.path.isdir(path):
        return _parquet(text, split, split_files(path, split))
    hub = _HUB.fullmatch(text) if path.suffix != ".parquet" else None
    if hub is not None and hub["config"] not in (".", ".."):
        files, revision = hub_files(hub["name"], hub["config"], hub["revision"], split)
        return dataclasses.replace(_parquet(text, split, files), revision=revision)
    shown = text if len(text) <= 80 else text[:77] + "..."
    raise InputError(
        f"no data {shown!r}: give {', '.join((*tasks.TASKS, 'arithmetic', *NAMED))}, a parquet file, a folder "
        f"of parquet files, or a hub id org/name"
    )


def _arithmetic(split: str) -> Dataset:
    if split not in arithmetic.SPLITS:
        raise InputError(f"the data 'arithmetic' has no split {split!r}; choose one of {', '.join(arithmetic.SPLITS)}")
    questions = arithmetic.questions(split)

    def read(index: int) -> Example:
        question, answer = questions[index]
        prompt = (*arithmetic.SHOTS, {"role": "user", "content": question})
        return Example(prompt=prompt, ground_truth=str(answer), index=index, data_source="arithmetic")

    return Dataset(source="arithmetic", split=split, where="arithmetic", length=len(questions), read=read)


def _generated(name: str, split: str) -> Dataset:
    if split not in tasks.SPLITS:
        raise InputError(f"the data {name!r} has no split {split!r}; choose one of {', '.join(tasks.SPLITS)}")
    task = tasks.task(name)

    def read(index: int) -> Example:
        problem = task.problem(split, index)
        prompt = ({"role": "user", "content": problem.prompt},)
        return Example(prompt=prompt, ground_truth=str(problem.answer), index=index, data_source=name)

    return Dataset(source=name, split=split, where=name, length=task.size(split), read=read)


def _parquet(source: str, split: str, files: list[Path]) -> Dataset:
    rows = Rows(files)
    where = str(files[0]) if len(files) == 1 else f"{files[0].parent} ({len(files)} files)"
    names = rows.schema.names
    layout: Layout = layout_of(names)
    for column in layout.needs:
        if column not in names:
            shown = ", ".join(names[:8]) or "none"
            raise InputError(f"{where} has no column {column!r} (it has {shown}); give data in verl's layout")
    if rows.length == 0:
        raise InputError(f"{where} holds no rows; give data with at least one question")
    rows.columns = [name for name in (*layout.needs, *layout.uses) if name in names]

    def read(index: int) -> Example:
        row = rows.row(index, where)
        prompt, truth = layout.prompt(row), layout.answer(row)
        if prompt is None:
            raise InputError(
                f"row {index} of {where} has an empty or malformed {layout.prompt_column!r}; give chat messages with "
                "role and content"
            )
        if truth is None:
            raise InputError(
                f"row {index} of {where} has no answer in {layout.answer_column!r}; it should hold {layout.wanted}"
            )
        return Example(
            prompt=prompt,
            ground_truth=truth,
            index=index,
            data_source=str(row.get("data_source") or source),
            verifier=layout.verifier(row),
        )

    return Dataset(source=source, split=split, where=where, length=rows.length, read=read)
