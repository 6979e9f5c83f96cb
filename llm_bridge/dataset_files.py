"""Where the parquet files of a data set are, here or on the hub, and their rows by index."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError
from llm_bridge import hub_snapshot

DATA_VARIABLE = "BANDIT_RFT_DATA"
NAMED = ("gsm8k", "math")
_CONVERTED = "refs/convert/parquet"  # the revision under which the hub keeps its own conversion


def named_folder(name: str) -> Path:
    chosen = os.environ.get(DATA_VARIABLE)
    folder = Path(chosen).expanduser() / name if chosen else Path.cwd().parent / "shared" / "data" / name
    if folder.is_dir():
        return folder
    raise InputError(
        f"the data {name!r} is not at {folder}; set {DATA_VARIABLE} to the folder that holds {name}/, or give a "
        f"parquet file or a "
        "hub id such as openai/gsm8k"
    )


def split_files(folder: Path, split: str) -> list[Path]:
    # Hub data sets keep their shards in data/ or, where there are several configurations, in a folder of each, of which
    # main/ and default/ are taken unasked. The hub's own conversion has a folder a split, with 0000.parquet in it.
    for place in (folder, folder / "data", folder / "main", folder / "default"):
        whole = place / f"{split}.parquet"
        if whole.is_file():
            return [whole]
        named = sorted(place.glob("*.parquet"))
        shards = [
            (file, found[1])
            for file in named
            if (found := re.fullmatch(r"-\d+-of-(\d+)(?:-[0-9a-f]+)?", file.stem.removeprefix(split)))
            and file.stem.startswith(split)
        ]
        if shards:
            expected = int(shards[0][1])
            if len(shards) != expected:
                raise InputError(
                    f"{place} holds {len(shards)} of the {expected} parts of split {split!r}; fetch the data again"
                )
            return [file for file, _ in shards]
        converted = sorted(file for file in (place / split).glob("*.parquet") if re.fullmatch(r"\d{4}", file.stem))
        if converted:
            if [int(file.stem) for file in converted] != list(range(len(converted))):
                raise InputError(f"{place / split} lacks some parts of split {split!r}; fetch the data again")
            return converted
    found = sorted({file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.parquet")})
    configurations = {name.split("/")[0] for name in found if "/" in name} - {"data", "main", "default"}
    if configurations and all("/" in name for name in found):
        choices = ", ".join(sorted(configurations)[:8])
        raise InputError(f"no split {split!r} in {folder}, which holds the folders {choices}; name one of them")
    has = f"holds {', '.join(Path(name).name for name in found[:5])}" if found else "holds no parquet file"
    raise InputError(f"no split {split!r} in {folder}, which {has}; give another split, or a parquet file")


def hub_files(name: str, config: str | None, revision: str | None, split: str) -> tuple[list[Path], str]:
    """The split's files and the commit they are of. Raises InputError."""
    prefix = f"{config}/" if config else ""
    patterns = [f"{prefix}*{split}*.parquet", f"{prefix}{split}/*.parquet", f"data/{prefix}*{split}*.parquet"]
    snapshot = hub_snapshot.snapshot(name, revision, kind="dataset", allow_patterns=patterns)
    try:
        return split_files(_configuration(snapshot, config), split), snapshot.name
    except InputError as refused:
        if revision is not None or any(_configuration(snapshot, config).rglob("*.parquet")):
            raise
        patterns = patterns if config else [f"default/{split}/*", f"main/{split}/*"]
        converted = hub_snapshot.snapshot(name, _CONVERTED, kind="dataset", allow_patterns=patterns)
        try:
            return split_files(_configuration(converted, config), split), converted.name
        except InputError:
            raise InputError(
                f"the hub data set {name} has no parquet file of split {split!r}"
                + (f" in {config}" if config else "")
                + "; name a split that it has, or one of its configurations as org/name/config"
            ) from refused


def _configuration(folder: Path, config: str | None) -> Path:
    return folder if config is None else folder / config if (folder / config).is_dir() else folder / "data" / config


class Rows:
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
        try:
            if self._held is None or self._held[0] != place:
                self._held = (place, parquet.read_row_group(group, columns=self.columns))
            return self._held[1].slice(index - start, 1).to_pylist()[0]
        except (*self._errors, ValueError) as error:  # a ValueError: text that is not UTF-8
            raise InputError(f"{where} is damaged near row {index}; fetch it again") from error
