"""A run folder of several processes: process 0 holds and writes it, the others follow what it holds.

Also what is compared before anything is written: processes that were started with different options, data, models or
versions would each compute another run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import bandit_rft
from bandit_rft.errors import InputError
from bandit_rft.runs import Continues, RunFolder
from llm_bridge import hosts

Option = Callable[[str], str]  # name of a setting -> how the user writes it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Followed(RunFolder):
    """The run folder of a process that does not write it."""

    known: dict[str, Any]

    @property
    def resolved(self) -> dict[str, Any]:
        return dict(self.known)

    def resolve(self, **values: Any) -> None:
        self.known.update(values)

    def stands(self) -> None:
        pass

    def write_manifest(self, **extra: Any) -> None:
        del extra

    def amend_manifest(self, **extra: Any) -> None:
        del extra


@contextlib.contextmanager
def claimed(
    path: Path,
    config: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any],
    continues: Continues,
    option: Option,
    kept: bool = True,
) -> Iterator[RunFolder]:
    """`RunFolder.claim` by process 0; the others get a `Followed` of it.

    Args:
        path, config, defaults, continues: as `RunFolder.claim` takes them.
        option: how the run's options are called.
        kept: whether the folder stays, and so must be one that all processes see.

    Raises:
        InputError: as `RunFolder.claim`, in all processes; or a process that does not see the folder.
    """
    if hosts.count() == 1:
        with RunFolder.claim(path, config, defaults=defaults, continues=continues) as folder:
            yield folder
        return
    with contextlib.ExitStack() as stack:
        held: list[RunFolder] = []

        def claim() -> dict[str, Any]:
            held.append(stack.enter_context(RunFolder.claim(path, config, defaults=defaults, continues=continues)))
            return {"config": dict(held[0].config), "resolved": held[0].resolved}

        told = hosts.first(claim)
        if kept:
            _check_seen(path, option)
        yield held[0] if held else Followed(path=path, config=told["config"], known=told["resolved"])


def _check_seen(path: Path, option: Option) -> None:
    """Raises InputError where a process does not see a file that process 0 puts into the folder."""

    def put() -> str:
        name = f".seen.{secrets.token_hex(4)}.partial"  # the next to claim the folder removes what a kill leaves of it
        (path / name).touch()
        return name

    mark = path / hosts.first(put)

    def look() -> str:
        if mark.exists():
            return ""
        list(path.parent.glob("*"))  # asks a network's file system anew
        return (
            f"does not see the run folder {path} of process 0: put {option('out')} on a file system that all hosts "
            "share."
        )

    try:
        hosts.until_seen(look)
    finally:
        if hosts.index() == 0:
            mark.unlink(missing_ok=True)


def check_same(
    settings: Mapping[str, Any], digests: Mapping[str, Any], prompts: Sequence[np.ndarray], option: Option
) -> None:
    """Raises InputError, in all processes, where one has other settings, data, verifiers, model or versions.

    Args:
        settings: config.json, as the process would write it.
        digests: of what the run begins with (`digests.of_run`).
        prompts: the questions as tokens; templates and tokenizers may differ where the data do not.
        option: how the run's options are called.
    """
    if hosts.count() == 1:
        return
    versions = {"bandit_rft": bandit_rft.__version__, "jax": jax.__version__, "numpy": np.__version__}
    content = {kind: _digest(value) for kind, value in digests.items() if kind != "model"}
    for kind in ("model", "verifier", "objects"):
        held = digests.get(kind)
        content |= {f"{kind} {name}": value for name, value in (held if isinstance(held, Mapping) else {}).items()}
    content["prompts as tokens"] = _digest([tokens.tolist() for tokens in prompts])
    own = {"settings": dict(settings), "versions": versions, "content": content}
    told = [json.loads(text) for text in hosts.texts(json.dumps(own, default=str, sort_keys=True))]
    for process, other in enumerate(told):
        for part in own:
            here, there = told[0][part], other[part]
            names = [name for name in sorted({*here, *there}) if here.get(name) != there.get(name)]
            if names:
                hosts.over()
                raise InputError(_said(process, part, names[0], here, there, option))


def _said(process: int, part: str, name: str, here: Mapping[str, Any], there: Mapping[str, Any], option: Option) -> str:
    if part == "versions":
        return (
            f"Process {process} has {name} {there.get(name)} and process 0 {here.get(name)}: install the same on all "
            "hosts."
        )
    if part == "content":
        return f"Process {process} has another {name} than process 0: give all hosts the same files."
    one, other = (json.dumps(found.get(name), default=str)[:80] for found in (there, here))
    return (
        f"Process {process} has {option(name)} {one} and process 0 {other}: start all processes with the same options."
    )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
