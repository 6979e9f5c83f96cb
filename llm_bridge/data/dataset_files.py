"""Where the files of a data set are, here or on the hub, and their rows by index."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError
from llm_bridge.data import row_files
from llm_bridge.models import hub_snapshot

DATA_VARIABLE = "BANDIT_RFT_DATA"
NAMED = ("gsm8k", "math")
_CONVERTED = "refs/convert/parquet"  # the revision under which the hub keeps its own conversion


def named_folder(name: str) -> Path:
    chosen = os.environ.get(DATA_VARIABLE)
    folder = Path(chosen).expanduser() / name if chosen else Path.cwd().parent / "shared" / "data" / name
    if folder.is_dir():
        return folder
    raise InputError(
        f"The data {name!r} is not at {folder}: set {DATA_VARIABLE} to the folder that holds {name}/, or give a "
        f"parquet file or a "
        "hub id such as openai/gsm8k."
    )


def split_files(folder: Path, split: str) -> list[Path]:
    # Hub data sets keep their shards in data/ or, where there are several configurations, in a folder of each, of which
    # main/ and default/ are taken unasked. The hub's own conversion has a folder a split, with 0000.parquet in it.
    for place in (folder, folder / "data", folder / "main", folder / "default"):
        for suffix in row_files.SUFFIXES:
            if (whole := place / f"{split}{suffix}").is_file():
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
                    f"{place} holds {len(shards)} of the {expected} parts of split {split!r}: fetch the data again."
                )
            return [file for file, _ in shards]
        converted = sorted(file for file in (place / split).glob("*.parquet") if re.fullmatch(r"\d{4}", file.stem))
        if converted:
            if [int(file.stem) for file in converted] != list(range(len(converted))):
                raise InputError(f"{place / split} lacks some parts of split {split!r}: fetch the data again.")
            return converted
    files = (file for file in folder.rglob("*") if file.suffix in row_files.SUFFIXES)
    found = sorted({file.relative_to(folder).with_suffix("").as_posix() for file in files})
    configurations = {name.split("/")[0] for name in found if "/" in name} - {"data", "main", "default"}
    if configurations and all("/" in name for name in found):
        choices = ", ".join(sorted(configurations)[:8])
        raise InputError(f"No split {split!r} in {folder}, which holds the folders {choices}: name one of them.")
    has = f"holds {', '.join(Path(name).name for name in found[:5])}" if found else "holds no parquet, JSON or CSV file"
    raise InputError(f"No split {split!r} in {folder}, which {has}: give another split, or a file.")


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
    """The rows of a data set's files, one after the other."""

    def __init__(self, files: list[Path]) -> None:
        self._files = [row_files.open_rows(file) for file in files]
        self.length = sum(file.length for file in self._files)
        # Shards may differ in columns that nobody reads.
        self.columns = [name for name in self._files[0].columns if all(name in file.columns for file in self._files)]

    def row(self, index: int, columns: Sequence[str]) -> dict[str, Any]:
        """The values of these columns at a row, as far as its file has them."""
        for file in self._files:
            if index < file.length:
                return file.row(index, columns)
            index -= file.length
        raise IndexError(index)
