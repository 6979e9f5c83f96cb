"""Questions with a verifiable answer, read lazily from parquet, JSON or CSV files, or generated.

    dataset = datasets.load("gsm8k", split="test")
    example = dataset.example(0)               # prompt messages, ground truth

| source | what it is |
| --- | --- |
| "arithmetic" | one- and two-step word questions made up here (Apache-2.0, as this package): nothing to download |
| "tiny-addition", "tiny-stories" | the generated tasks of the embedded models (`llm_bridge.tiny.tasks`) |
| "gsm8k", "math" | the folder of that name in `$BANDIT_RFT_DATA`, else in ../shared/data |
| a path | a .parquet, .jsonl, .json, .csv or .tsv file, or a folder with train and test of these, or hub shards |
| "org/name" | a data set on the Hugging Face hub, its parquet files, fetched into the hub's own cache |
| "org/name/config@revision" | one of its configurations (a folder there), at a commit, a tag or a branch |

Read are verl's columns, raw GSM8K (openai/gsm8k), raw MATH (EleutherAI/hendrycks_math/algebra,
DigitalLearningGmbH/MATH-lighteval, HuggingFaceH4/MATH-500) and pairs of like names, or columns that the user names: see
`layouts`, which also has the prompt templates and how each row's verifier is chosen. Rows without a prompt or an answer
are left out of what asks for many (`usable`, iterating) and counted; asking for such a row is refused. A hub
data set that holds no parquet file of the split is looked for among the parquet files that the hub itself makes (its
revision refs/convert/parquet). `Dataset.revision` is the commit that was read, for the record of a run.

Left out: compressed files, and other formats than parquet from the hub.
"""

from __future__ import annotations

import dataclasses
import logging
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from bandit_rft.arguments import nearest
from bandit_rft.errors import InputError
from bandit_rft.runs.rollouts import printable
from llm_bridge.data import arithmetic
from llm_bridge.data.cells import RowError
from llm_bridge.data.dataset_files import DATA_VARIABLE, NAMED, Rows, hub_files, named_folder, split_files
from llm_bridge.data.layouts import (
    GSM8K_INSTRUCTION,
    NUMERIC,
    layout_of,
    question_of,
    retemplate,
    template_text,
)
from llm_bridge.data.row_files import SUFFIXES
from llm_bridge.tiny import tasks

__all__ = ["DATA_VARIABLE", "GSM8K_INSTRUCTION", "NAMED", "Dataset", "Example", "RowError", "load", "once"]

Tell = Callable[[str], None]
_LOG = logging.getLogger(__name__)
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
        verifier: the name in `llm_bridge.verifiers` of the one for its answers, unless another is chosen.
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
    """A split of a data set. Iterating yields its examples in order, rows that cannot be used left out.

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

    @property
    def rows(self) -> str:
        """Where the rows stand, and of which split they are where that is not the file's name, for messages."""
        return self.where if Path(self.where).stem == self.split else f"{self.where} ({self.split})"

    def __iter__(self) -> Iterator[Example]:
        return iter(self.usable(range(self.length)))

    def usable(
        self,
        places: Iterable[int],
        *,
        most: int | None = None,
        trained: Iterable[Example] = (),
        tell: Tell = _LOG.warning,
    ) -> list[Example]:
        """The examples at these places, in order, without the rows that have no prompt or no answer.

        Args:
            places: indices, from 0.
            most: stop after so many examples; None: all.
            trained: examples whose prompts are left out too, wherever they come from.
            tell: given one sentence with the number of rows that were left out of either kind, if there are any.

        Raises:
            InputError: no such index, or no row of them can be used.
        """
        examples: list[Example] = []
        refused: list[RowError] = []
        known = {_asked(example) for example in trained}
        looked = repeated = 0
        for place in places:
            if most is not None and len(examples) >= most:
                break
            looked += 1
            try:
                example = self.example(place)
            except RowError as error:
                refused.append(error)
                continue
            if _asked(example) in known:
                repeated += 1
            else:
                examples.append(example)
        if refused and not examples and not repeated:
            raise InputError(f"None of the {looked} chosen rows can be used: {refused[0]}.")
        if repeated:
            tell(
                f"{repeated} of {looked} rows of {self.rows} ask what is trained on and are left out "
                "of the test questions" + ("" if examples else ": none is left, and there is no test evaluation")
            )
        if refused:
            tell(
                f"{len(refused)} of {looked} rows of {self.rows} cannot be used and are left out: "
                f"{refused[0]}" + (", and so on" if len(refused) > 1 else "")
            )
        return examples

    def example(self, index: int) -> Example:
        """The example at `index`, counted from 0.

        Raises:
            InputError: no such index, or a row without a prompt or an answer.
        """
        try:
            place = operator.index(index)
        except TypeError:
            raise InputError(f"The example index must be a whole number, not {index!r}.") from None
        if not 0 <= place < self.length:
            raise InputError(
                f"No example {place} in {self.rows}, which has {self.length}: give an index from 0 to "
                f"{self.length - 1}."
            )
        return self.read(place)


def _asked(example: Example) -> tuple[tuple[str, str], ...]:
    """What a prompt says without GSM8K's or MATH's instruction, which is not the question's own."""
    return tuple((message["role"], message["content"]) for message in retemplate(example.prompt, "{question}"))


def once(verifier: str | None, tell: Tell = _LOG.warning) -> Tell:
    """A `tell` that passes each sentence on once, for several calls of `load`; and none where a verifier is chosen,
    which leaves nothing to be assumed.
    """
    said: set[str] = set()

    def tell_once(sentence: str) -> None:
        if verifier is None and sentence not in said:
            said.add(sentence)
            tell(sentence)

    return tell_once


def load(
    source: str | os.PathLike[str],
    split: str = "train",
    *,
    template: str | None = None,
    prompt_column: str | None = None,
    answer_column: str | None = None,
    tell: Tell = _LOG.warning,
) -> Dataset:
    """A split of a data set.

    Args:
        source: a name, a parquet file, a folder, or a hub id (this module's docstring).
        split: "train", "test", …; not used where `source` is one file.
        template: how questions are put: a name of `layouts.TEMPLATES`, or a text with {question} in it; None: as the
            data has it, and raw data in its own template.
        prompt_column, answer_column: of files, where the known names (`layouts`) are not those; None: the known ones.
        tell: given a sentence once per data source whose verifier had to be assumed.

    Raises:
        InputError: nothing there, not readable, a missing column, no such split, no network for a hub id, or no such
            template.
    """
    columns = (prompt_column, answer_column)
    if template is None:
        return _load(os.fspath(source), split, columns, tell)
    text = template_text(template)
    data = _load(os.fspath(source), split, columns, tell)

    def read(index: int) -> Example:
        example = data.read(index)
        return dataclasses.replace(example, prompt=retemplate(example.prompt, text))

    return dataclasses.replace(data, read=read)


Columns = tuple[str | None, str | None]


def _load(text: str, split: str, columns: Columns, tell: Tell) -> Dataset:
    if not split or len(split) > _LONGEST_SPLIT:  # a file's name
        raise InputError(f"The split is {split[:40]!r}, which is no name: give one such as train or test.")
    if any(columns) and (text == "arithmetic" or text in tasks.TASKS):
        raise InputError(
            f"The data {text!r} is generated and has no columns: leave out --prompt-column and --answer-column."
        )
    if text == "arithmetic":
        return _arithmetic(split)
    if text in tasks.TASKS:
        return _generated(text, split)
    if text in NAMED:
        return _read(text, split, split_files(named_folder(text), split), columns, tell)
    path = Path(os.path.expanduser(text))
    # os.path answers False where a name is too long or has a NUL; Path raises.
    if text and os.path.isfile(path):
        return _read(text, path.stem, [path], columns, tell)
    if text and os.path.isdir(path):
        return _read(text, split, split_files(path, split), columns, tell)
    hub = _HUB.fullmatch(text) if path.suffix.lower() not in SUFFIXES else None
    if hub is not None and hub["config"] not in (".", ".."):
        files, revision = hub_files(hub["name"], hub["config"], hub["revision"], split)
        return dataclasses.replace(_read(text, split, files, columns, tell), revision=revision)
    shown, known = text if len(text) <= 80 else text[:77] + "...", (*tasks.TASKS, "arithmetic", *NAMED)
    raise InputError(
        f"No data {shown!r}{nearest(text, known)}: give {', '.join(known)}, a parquet file "
        f"(or JSON lines, CSV), a folder of such files, or a hub id org/name."
    )


def _arithmetic(split: str) -> Dataset:
    if split not in arithmetic.SPLITS:
        raise InputError(f"The data 'arithmetic' has no split {split!r}: choose one of {', '.join(arithmetic.SPLITS)}.")
    questions = arithmetic.questions(split)

    def read(index: int) -> Example:
        question, answer = questions[index]
        prompt = (*arithmetic.SHOTS, {"role": "user", "content": question})
        return Example(prompt=prompt, ground_truth=str(answer), index=index, data_source="arithmetic")

    return Dataset(source="arithmetic", split=split, where="arithmetic", length=len(questions), read=read)


def _generated(name: str, split: str) -> Dataset:
    if split not in tasks.SPLITS:
        raise InputError(f"The data {name!r} has no split {split!r}: choose one of {', '.join(tasks.SPLITS)}.")
    task = tasks.task(name)

    def read(index: int) -> Example:
        problem = task.problem(split, index)
        prompt = ({"role": "user", "content": problem.prompt},)
        # The models were taught to end with "#### answer"; the strict rule can be read from tokens, on the device.
        strict = "gsm8k-strict"
        return Example(prompt=prompt, ground_truth=str(problem.answer), index=index, data_source=name, verifier=strict)

    return Dataset(source=name, split=split, where=name, length=task.size(split), read=read)


def _read(source: str, split: str, files: list[Path], columns: Columns, tell: Tell) -> Dataset:
    rows = Rows(files)
    where = str(files[0]) if len(files) == 1 else f"{files[0].parent} ({len(files)} files)"
    if rows.length == 0:
        raise InputError(f"{where} holds no rows: give data with at least one question.")
    layout = layout_of(rows.columns, where, *columns)
    assumed: set[tuple[str, str]] = set()

    def read(index: int) -> Example:
        row = rows.row(index, layout.columns)
        question = question_of(row, layout, source, index, where)
        name = str(row.get("data_source") or source)
        if question.assumed and (name, question.verifier) not in assumed:
            assumed.add((name, question.verifier))
            kind = "numbers" if question.verifier == NUMERIC else "no plain numbers"
            tell(
                f"The data source {printable(name[:80])!r} is unknown: its answers that are {kind} are checked by "
                f"{question.verifier}. Choose another with --verifier."
            )
        return Example(
            prompt=question.prompt,
            ground_truth=question.answer,
            index=index,
            data_source=name,
            verifier=question.verifier,
        )

    return Dataset(source=source, split=split, where=where, length=rows.length, read=read)
