"""Whether, and as what, a fine-tuning run goes on in a folder that already holds one.

It goes on as what it began: on the same questions, verifier and model, by their digests, under the same configuration.
What changes no number may change: how many rounds (where the learning rate does not depend on it), which checkpoints
are kept, and how a path is spelled; and so may the mesh of devices, which changes the rounding alone. A run that was
continued is then the same, to the bit, as one that was requested so many rounds at first; only evaluations at the round
that was once the last are there besides.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError
from bandit_rft.runs import DIGESTS, EVALUATIONS, LINES, MANIFEST, read_json, refuse_other
from llm_bridge.measuring import digests
from llm_bridge.training import checkpoints
from llm_bridge.training.description import PYTHON

# No number of a run depends on these, but for rounding; of evaluations each sample has a key of its own, whatever its
# batch. A mesh is the place of a run: a checkpoint is read on any.
FREE = ("checkpoint_every", "evaluation_batch", "keep_checkpoints", "keep_optimizer", "mesh")
_LATER = ("rules", "measured")  # digests that versions before these did not keep
_ORDINAL = {"training": "Question", "test": "Test question"}


@dataclass(frozen=True, kw_only=True)
class Words:
    """How a run's options are called by the command line or the caller. For a run in Python: the defaults.

    Attributes:
        dashes: whether options are written --as-this; else as_arguments.
        training, test: what the user calls the questions of each.
        verifier: the one for all questions, by name; None: each question's own.
        paths: fields of the configuration that name a path, and the digest that tells whether their content is the
            same.
        defaults: of fields that a folder of an older version may lack.
        revision: of the training data, where they are from the hub.
        requested: settings that came from an earlier run's config.json, as that run was asked for them.
    """

    dashes: bool = False
    training: str = "the arms"
    test: str = "evaluate"
    verifier: str | None = None
    paths: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    revision: str | None = None
    requested: Mapping[str, Any] = field(default_factory=dict)

    def option(self, name: str) -> str:
        """An option as the user writes it."""
        return f"--{name.replace('_', '-')}" if self.dashes else name


@dataclass(kw_only=True)
class Continuation:
    """A `runs.Continues`.

    Attributes:
        words: how the run's options are called.
        places: the training questions' places in their data.
        rules: the names of their verifiers.
        digests: of what it is to be done on (`digests.of_run`).
        notes: sentences for the user, once it has been called.
    """

    words: Words
    places: Sequence[int]
    rules: Sequence[str]
    digests: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)

    def __call__(self, folder: Path, saved: Mapping[str, Any], requested: Mapping[str, Any]) -> Mapping[str, Any]:
        """The configuration that the folder holds from here on.

        Raises:
            InputError: another run's, or the same on something else, or a number of rounds that it cannot come to.
        """
        path = folder / MANIFEST
        before = read_json(path).get(DIGESTS) if path.exists() else None
        before = before if isinstance(before, Mapping) else None
        kept = dict(requested)
        for name, kind in self.words.paths.items():
            if _same_place(saved.get(name), requested.get(name), before is not None and kind in before):
                kept[name] = saved[name]
        if saved.get("learning_rate") is None and requested.get("learning_rate") == _resolved(saved).get(
            "learning_rate"
        ):
            kept["learning_rate"] = None  # --config gives the rate that the folder's own run came to
        if requested.get("verifier") is None and set(self.rules) == {saved.get("verifier")}:
            kept["verifier"] = saved["verifier"]  # older versions wrote the one that the first question named
        saved = {**saved, "evaluate": _with_verifiers(saved, requested)} if "evaluate" in saved else saved
        refuse_other(folder, {**saved, **{name: kept.get(name) for name in ("rounds", *FREE)}}, kept)
        if _begun(folder, saved):
            if before is None:
                self.notes.append(
                    f"{folder} was begun by an older version, which kept no digests: that its data, verifier and model "
                    "are still the same is not checked."
                )
            else:
                self._refuse_change(folder, before, requested)
                # The command line's questions and verifiers are files, whose digests older versions kept as well.
                later = any(self.digests.get(kind) for kind in _LATER)
                if later and requested.get(PYTHON) and "measured" not in before:
                    self.notes.append(
                        f"{folder} was begun by an older version, which kept no digests of verifiers of single "
                        "questions and of what is measured: that they are still the same is not checked."
                    )
        if saved.get("rounds") != requested["rounds"]:
            _refuse_rounds(folder, saved, requested["rounds"], self.words)
        return kept

    def _refuse_change(self, folder: Path, before: Mapping[str, Any], requested: Mapping[str, Any]) -> None:
        difference = digests.first_difference(before, self.digests)
        if difference is None:
            return
        kind, which = difference
        if kind in ("training", "test"):
            data = self.words.training if kind == "training" else self.words.test
            place = self.places[which] if kind == "training" and isinstance(which, int) else which
            name = f"The {kind} questions of {data} are" if which is None else f"{_ORDINAL[kind]} {place} of {data} is"
        elif kind == "objects":
            name = f"The {which} is"
        elif kind == "rules":
            one = f"verifier of question {self.places[which]}" if isinstance(which, int) else "verifier of a question"
            name = f"The {one} of {self.words.training} is"
        elif kind == "measured":
            name = f"{which}, or its verifier, is"
        else:
            name = f"the {kind} {requested.get(kind)}" if requested.get(kind) else f"the {kind}"
            name = f"{name[0].upper()}{name[1:]} is" if which is None else f"{which} of {name} is"
        raise InputError(
            f"{name} not what the run in {folder} began with: restore it to continue the run, or choose another "
            f"{self.words.option('out')}."
        )


def _with_verifiers(saved: Mapping[str, Any], requested: Mapping[str, Any]) -> Any:
    """The saved entries of `evaluate`, each with the verifier requested where an older version did not write one."""
    old, new = saved["evaluate"], requested.get("evaluate")
    if not isinstance(old, list) or not isinstance(new, list) or len(old) != len(new):
        return old
    return [
        {**entry, "verifier": asked["verifier"]}
        if isinstance(entry, Mapping) and isinstance(asked, Mapping) and "verifier" in asked and "verifier" not in entry
        else entry
        for entry, asked in zip(old, new, strict=True)
    ]


def _resolved(saved: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the saved run made of options that were left open."""
    resolved = saved.get("resolved")
    return resolved if isinstance(resolved, Mapping) else {}


def _begun(folder: Path, saved: Mapping[str, Any]) -> bool:
    """Whether anything was done, or measured, on what the run was first given."""
    if _resolved(saved).get("measurement"):
        return True
    return any((folder / name).exists() and (folder / name).stat().st_size for name in (LINES, EVALUATIONS))


def _same_place(saved: Any, requested: Any, digested: bool) -> bool:
    """Whether two names are one path, spelled in two ways; of a path that is no more, where the digests will tell."""
    if saved == requested or not isinstance(saved, str) or not isinstance(requested, str):
        return False
    (old, old_function), (new, new_function) = (_split(name) for name in (saved, requested))
    if old_function != new_function or not os.path.exists(new):
        return False
    if os.path.exists(old):
        return os.path.samefile(old, new)
    return digested and os.path.basename(os.path.normpath(old)) == os.path.basename(os.path.normpath(new))


def _split(name: str) -> tuple[str, str]:
    """(path, function) of a user's verifier in a file; of anything else it is a path as a whole."""
    path, _, function = name.rpartition(":")
    return (os.path.expanduser(path), function) if path.endswith(".py") else (os.path.expanduser(name), "")


def _refuse_rounds(folder: Path, saved: Mapping[str, Any], rounds: int, words: Words) -> None:
    option, out = words.option("rounds"), words.option("out")
    if saved.get("schedule", "constant") != "constant":
        raise InputError(
            f"{folder} holds a run of {saved.get('rounds')} rounds, over which {words.option('schedule')} "
            f"{saved['schedule']} spreads the learning rate: with {option} {rounds} it is another run, so choose "
            f"another {out}."
        )
    kept = checkpoints.available(folder / "checkpoints")
    if not kept:
        return
    done = checkpoints.round_of(kept[-1])
    if rounds < done:
        raise InputError(
            f"{folder} has done {done} rounds, more than {option} {rounds}: give at least {done}, or choose another "
            f"{out}."
        )
    if rounds > done and checkpoints.is_reduced(kept[-1]):
        raise InputError(
            f"{folder} keeps the weights of its last round and not the optimiser's state, so that it cannot go on to "
            f"{option} {rounds}: begin another run with these weights (bandit-rft export), or repeat it with "
            f"{words.option('keep_optimizer')}."
        )
