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

verl's columns: `prompt` (list of {role, content}) and `reward_model` ({style, ground_truth}) are needed;
`data_source` is used where it is there; `ability` and `extra_info` are not read. The raw GSM8K columns (`question`,
`answer`), as openai/gsm8k has them, are read too, with the instruction and the answer that verl's own preprocessing
makes of them.

Left out: other file formats, and hub data sets without parquet files.
"""

from __future__ import annotations

import dataclasses
import operator
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError
from llm_bridge import arithmetic
from llm_bridge.tiny import tasks

DATA_VARIABLE = "BANDIT_RFT_DATA"
NAMED = ("gsm8k", "math")

# What verl's examples/data_preprocess/gsm8k.py appends to a question.
GSM8K_INSTRUCTION = 'Let\'s think step by step and output the final answer after "####".'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One question.

    Attributes:
        prompt: chat messages, each {"role": …, "content": …}; at least one, none of them empty.
        ground_truth: the right answer, as text.
        index: its place in the data set.
        data_source: where it comes from, as the data says.
    """

    prompt: tuple[Mapping[str, str], ...]
    ground_truth: str
    index: int
    data_source: str

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
    """

    source: str
    split: str
    where: str
    length: int
    read: Callable[[int], Example]

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


def load(source: str | os.PathLike[str], split: str = "train") -> Dataset:
    """A split of a data set.

    Args:
        source: a name, a parquet file, a folder, or a hub id (this module's docstring).
        split: "train", "test", …; not used where `source` is one file.

    Raises:
        InputError: nothing there, not parquet, a missing column, no such split, or no network for a hub id.
    """
    text = os.fspath(source)
    if text == "arithmetic":
        return _arithmetic(split)
    if text in tasks.TASKS:
        return _generated(text, split)
    if text in NAMED:
        return _parquet(text, split, _split_files(_named_folder(text), split))
    path = Path(os.path.expanduser(text))
    # os.path answers False where a name is too long or has a NUL; Path raises.
    if text and os.path.isfile(path):
        return _parquet(text, path.stem, [path])
    if text and os.path.isdir(path):
        return _parquet(text, split, _split_files(path, split))
    if re.fullmatch(r"[\w-][\w.-]{0,95}/[\w.-]{1,96}", text) and path.suffix != ".parquet":
        return _parquet(text, split, _split_files(_hub_folder(text, split), split))
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


def _named_folder(name: str) -> Path:
    chosen = os.environ.get(DATA_VARIABLE)
    folder = Path(chosen).expanduser() / name if chosen else Path.cwd().parent / "shared" / "data" / name
    if folder.is_dir():
        return folder
    raise InputError(
        f"the data {name!r} is not at {folder}; set {DATA_VARIABLE} to the folder that holds {name}/, or give a "
        f"parquet file or a "
        "hub id such as openai/gsm8k"
    )


def _split_files(folder: Path, split: str) -> list[Path]:
    # Hub data sets keep their shards in data/ or, where there are several configurations, in main/.
    for place in (folder, folder / "data", folder / "main"):
        whole = place / f"{split}.parquet"
        if whole.is_file():
            return [whole]
        shards = sorted(
            file for file in place.glob("*.parquet") if re.fullmatch(r"-\d+-of-\d+", file.stem.removeprefix(split))
        )
        if shards:
            expected = int(shards[0].stem.rpartition("-")[2])
            if len(shards) != expected:
                raise InputError(
                    f"{place} holds {len(shards)} of the {expected} parts of split {split!r}; fetch the data again"
                )
            return shards
    found = sorted({file.stem for file in folder.rglob("*.parquet")})[:5]
    has = f"holds {', '.join(found)}" if found else "holds no parquet file"
    raise InputError(f"no split {split!r} in {folder}, which {has}; give another split, or a parquet file")


def _hub_folder(name: str, split: str) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    try:
        return Path(huggingface_hub.snapshot_download(name, repo_type="dataset", allow_patterns=[f"*{split}*.parquet"]))
    except errors.GatedRepoError as error:
        raise InputError(
            f"the data {name} is gated; accept its terms on the Hugging Face hub and set HF_TOKEN"
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise InputError(
            f"there is no file or folder {name!r}, and the Hugging Face hub knows no such data set"
        ) from error
    except (
        Exception
    ) as error:  # offline, no route, time-out, proxy, server error: the client's exceptions differ by version
        raise InputError(
            f"there is no file or folder {name!r}, and the Hugging Face hub cannot be reached "
            f"({type(error).__name__}); give a "
            "parquet file, or connect to the network"
        ) from error


class _Rows:
    """Rows of parquet files by index. One row group is held at a time, so memory does not grow with the data."""

    def __init__(self, files: list[Path]) -> None:
        import pyarrow
        import pyarrow.parquet

        self._errors = (pyarrow.ArrowException, OSError)
        self._groups: list[tuple[int, int, Any, int]] = []
        self._held: tuple[int, Any] | None = None
        self.length = 0
        first: Any = None
        for file in files:
            try:
                parquet = pyarrow.parquet.ParquetFile(file)
            except self._errors as error:
                raise InputError(f"{file} is not a readable parquet file; give a whole one in verl's layout") from error
            first = first or parquet
            if not parquet.schema_arrow.equals(first.schema_arrow):
                raise InputError(f"{file} has other columns than {files[0].name}; give files of one data set")
            for group in range(parquet.num_row_groups):
                rows = parquet.metadata.row_group(group).num_rows
                self._groups.append((self.length, self.length + rows, parquet, group))
                self.length += rows
        self.schema = first.schema_arrow
        self.columns: list[str] = []

    def row(self, index: int, where: str) -> dict[str, Any]:
        place = next(at for at, (start, stop, _, _) in enumerate(self._groups) if start <= index < stop)
        start, _, parquet, group = self._groups[place]
        if self._held is None or self._held[0] != place:
            try:
                self._held = (place, parquet.read_row_group(group, columns=self.columns))
            except self._errors as error:
                raise InputError(f"{where} is damaged near row {index}; fetch it again") from error
        return self._held[1].slice(index - start, 1).to_pylist()[0]


def _parquet(source: str, split: str, files: list[Path]) -> Dataset:
    rows = _Rows(files)
    where = str(files[0]) if len(files) == 1 else f"{files[0].parent} ({len(files)} files)"
    names = set(rows.schema.names)
    raw = {"question", "answer"} <= names and not {"prompt", "reward_model"} & names
    if not raw:
        for column in ("prompt", "reward_model"):
            if column not in names:
                shown = ", ".join(rows.schema.names[:8]) or "none"
                raise InputError(f"{where} has no column {column!r} (it has {shown}); give data in verl's layout")
    if rows.length == 0:
        raise InputError(f"{where} holds no rows; give data with at least one question")
    rows.columns = (
        ["question", "answer"] if raw else [name for name in ("prompt", "reward_model", "data_source") if name in names]
    )

    def read(index: int) -> Example:
        row = rows.row(index, where)
        prompt, truth = _raw_gsm8k(row) if raw else (_messages(row["prompt"]), _ground_truth(row["reward_model"]))
        if prompt is None:
            column = "question" if raw else "prompt"
            raise InputError(
                f"row {index} of {where} has an empty or malformed {column!r}; give chat messages with role and content"
            )
        if truth is None:
            column = "answer" if raw else "reward_model"
            wanted = "a number after '####'" if raw else "a ground_truth"
            raise InputError(f"row {index} of {where} has no answer in {column!r}; it should hold {wanted}")
        return Example(
            prompt=prompt, ground_truth=truth, index=index, data_source=str(row.get("data_source") or source)
        )

    return Dataset(source=source, split=split, where=where, length=rows.length, read=read)


def _messages(value: Any) -> tuple[dict[str, str], ...] | None:
    if not isinstance(value, list) or not value:
        return None
    messages = []
    for message in value:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if not isinstance(role, str) or not isinstance(content, str) or not role or not content.strip():
            return None
        messages.append({"role": role, "content": content})
    return tuple(messages)


def _ground_truth(value: Any) -> str | None:
    truth = value.get("ground_truth") if isinstance(value, dict) else None
    return str(truth) if isinstance(truth, str | int | float) and str(truth).strip() else None


def _raw_gsm8k(row: dict[str, Any]) -> tuple[tuple[dict[str, str], ...] | None, str | None]:
    question = row["question"]
    answer = re.findall(r"#### (-?[0-9.,]+)", row["answer"] or "")
    prompt = f"{question} {GSM8K_INSTRUCTION}" if isinstance(question, str) and question.strip() else ""
    return _messages([{"role": "user", "content": prompt}]), answer[-1].replace(",", "") if answer else None
