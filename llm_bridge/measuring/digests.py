"""SHA-256 digests of what a run begins with: its questions, its verifier's source, its model's files.

They stand in the run's manifest, so that a run continues only on what it began with, and says what has changed. All
files are read whole: a local model costs about a second a gigabyte, which loading it costs as well.

Left out: what the source of a verifier reads or imports while it runs (`bandit_rft.by_name.sources`), and
installed packages, whose versions the manifest has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from bandit_rft import by_name
from bandit_rft.errors import InputError
from llm_bridge.language_model import LanguageModel

_MODEL_FILES = (".json", ".jinja", ".model", ".safetensors", ".txt")
_SHORT = 8  # hexadecimal digits of each question's own digest: they only find the one that the whole one has missed


class DigestedQuestion(Protocol):
    """A question with the name of its verifier."""

    @property
    def prompt(self) -> Sequence[Mapping[str, str]]: ...

    @property
    def answer(self) -> Any: ...

    @property
    def verifier(self) -> str: ...


def of_run(
    model: LanguageModel | str,
    training: Sequence[DigestedQuestion],
    test: Sequence[Any],
    verifier: str | None,
    objects: Mapping[str, str],
    rules: Sequence[str] = (),
    measured: Mapping[str, Sequence[tuple[Any, Any, str]]] | None = None,
) -> dict[str, Any]:
    """What the manifest keeps: "model" and "verifier" by file, "training" and "test" by question, "objects" by name,
    "rules" by training question, "measured" by evaluator and question.

    Args:
        model: as loaded; one that was made in memory has no digest. Or its name, which need not be loaded for it: a
            local file's or folder's has one.
        training, test: the questions, each with its prompt, its answer and its own verifier's name.
        verifier: the one for all of them; None: each its own.
        objects: digests of what the user gave as Python objects.
        rules: of each training question the digest of its verifier, where that is an object, else ""; kept where they
            are not all the same, for `objects` has a common one.
        measured: (prompt, answer, verifier by name or digest) of each question of each evaluator. Earlier versions
            kept "test" alone, which has one verifier for all; it stays, for the runs that they began.
    """
    # A verifier that came as an object is among the objects: its name leads to no file.
    names = dict.fromkeys(
        verifier or _rule(example) for example in (*training, *test) if getattr(example, "factory", None) is None
    )
    return {
        "model": _named(model) if isinstance(model, str) else _of_model(model),
        "verifier": {file: digest for name in names for file, digest in _of_verifier(name).items()},
        "training": _of_questions(training, verifier),
        "test": _of_questions(test, verifier),
        "objects": dict(objects),
        **({"rules": _whole_and_each([rule.encode() for rule in rules])} if len(set(rules)) > 1 else {}),
        **({} if measured is None else {"measured": {name: _of_measured(asked) for name, asked in measured.items()}}),
    }


def _rule(example: Any) -> str:
    rule = getattr(example, "verifier", "gsm8k-numeric")
    return rule if isinstance(rule, str) else "a function"


def first_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, str | int | None] | None:
    """(kind, which file or which question, from 0) of what differs; None as which: how many questions, or a revision.
    Of "measured", which is in words.

    None where all is alike, as far as both have it.
    """
    for kind in ("training", "test"):
        if _both(before, now, kind) and before[kind] != now[kind]:
            return kind, _first_place(before[kind], now[kind])
    for kind in ("verifier", "model", "objects"):
        held, current = before.get(kind), now.get(kind)
        if not isinstance(held, Mapping) or not isinstance(current, Mapping):
            continue
        differing = sorted(name for name in {*held, *current} if held.get(name) != current.get(name))
        if differing:
            return kind, None if differing[0] == _REVISION else differing[0]
    if _both(before, now, "measured"):
        if before.get("rules") != now.get("rules"):
            return "rules", _first_place(before["rules"], now["rules"]) if _both(before, now, "rules") else None
        for name, current in now["measured"].items():
            held = before["measured"].get(name)
            if isinstance(held, Mapping) and held != current:
                place = _first_place(held, current)
                which = "A question" if place is None else f"Question {place}"
                return "measured", f"{which} of the evaluation {name!r}"
    return None


def _both(before: Mapping[str, Any], now: Mapping[str, Any], kind: str) -> bool:
    return isinstance(before.get(kind), Mapping) and isinstance(now.get(kind), Mapping)


def _first_place(held: Mapping[str, Any], current: Mapping[str, Any]) -> int | None:
    """The first question that differs; None where there are more or fewer."""
    old, new = str(held.get("each")), str(current.get("each"))
    places = [at // _SHORT for at in range(0, len(new), _SHORT) if old[at : at + _SHORT] != new[at : at + _SHORT]]
    return places[0] if len(old) == len(new) and places else None


_REVISION = "revision"


def _of_model(model: LanguageModel) -> dict[str, str] | None:
    if model.source is None:
        return None
    if model.source.revision is not None:  # a commit, or the SHA-256 of a GGUF file
        return {_REVISION: model.source.revision}
    return _of_files(_model_files(model.source.folder))


def _named(model: str) -> dict[str, str] | None:
    path = Path(model).expanduser()
    if path.is_file():
        return {_REVISION: _of_files({"file": path})["file"]}
    return _of_files(_model_files(path)) if path.is_dir() else None


def _model_files(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in folder.iterdir() if path.suffix in _MODEL_FILES}


def _of_verifier(name: str) -> dict[str, str]:
    return _of_files(by_name.sources(name)) if _is_function(name) else {}


def _of_files(paths: Mapping[str, Path]) -> dict[str, str]:
    def digest(path: Path) -> str:
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror or error}): give access to it.") from None

    with ThreadPoolExecutor(4) as threads:  # hashing leaves Python's lock to others
        return dict(zip(sorted(paths), threads.map(digest, (paths[name] for name in sorted(paths))), strict=True))


def _of_questions(examples: Iterable[Any], verifier: str | None) -> dict[str, str]:
    each = []
    for example in examples:
        name = verifier or _rule(example)
        # A function's file is digested by itself, however its path is spelled.
        rule = name.rpartition(":")[2] if _is_function(name) else name
        prompt = example.prompt
        messages = prompt if isinstance(prompt, str) else [dict(message) for message in prompt]
        content = [messages, example.answer, rule]
        each.append(json.dumps(content, sort_keys=True, default=str).encode())
    return _whole_and_each(each)


def _of_measured(asked: Iterable[tuple[Any, Any, str]]) -> dict[str, str]:
    """As `_of_questions`, each with its own verifier: where that is a function by name, with its files' digests."""
    files: dict[str, Any] = {}
    each = []
    for prompt, answer, rule in asked:
        if rule not in files:
            files[rule] = [rule.rpartition(":")[2], _of_verifier(rule)] if _is_function(rule) else rule
        messages = prompt if isinstance(prompt, str) else [dict(message) for message in prompt]
        each.append(json.dumps([messages, answer, files[rule]], sort_keys=True, default=str).encode())
    return _whole_and_each(each)


def _whole_and_each(contents: Iterable[bytes]) -> dict[str, str]:
    each = [hashlib.sha256(content).hexdigest() for content in contents]
    whole = hashlib.sha256("".join(each).encode()).hexdigest()
    return {"sha256": whole, "each": "".join(digest[:_SHORT] for digest in each)}


def _is_function(verifier: str) -> bool:
    return ":" in verifier and not verifier.startswith("regex:")
