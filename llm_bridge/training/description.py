"""The description of a run that its folder holds: the questions of its arm sets, and objects by name and digest.

A run folder says what was done. Numbers and names are written as they are; a function or an object of the user's own
(verifier, signal, optimiser) by module, qualified name and the SHA-256 of its source and of what it holds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import marshal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import CellType, ModuleType
from typing import Any

import jax
import numpy as np

from bandit_rft.fingerprint import held_by
from llm_bridge import verifiers
from llm_bridge.bandits.response_arms import LonePrompt, Prompt, ResponseArms
from llm_bridge.bandits.text_rewards import VerifierFactory
from llm_bridge.language_model import LanguageModel
from llm_bridge.training.learner import FineTune

PYTHON = "python"  # in config.json: the run was made from Python objects, which the file names but does not hold
_RENAMED = {"prompts": "prompts_per_round", "k": "signal_k"}
_LEFT_OUT = ("model", "donate", "keep_model", "clip", "betas")


@dataclass(frozen=True, kw_only=True)
class RecordedQuestion:
    """A question as a run folder has it.

    Attributes:
        prompt: chat messages.
        answer: as text; empty where the verifier has it in itself.
        index: its place among the run's questions.
        verifier: by name.
        factory: answer -> (text -> reward), where the verifier has no name that `verifiers.make` knows.
        encoded: what the model is given: a text, or the messages.
    """

    prompt: tuple[Mapping[str, str], ...]
    answer: str
    index: int
    verifier: str
    factory: VerifierFactory | None = None
    encoded: Prompt


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """A question as `evaluate` takes it; its rule is what the user gave as its verifier, a name or an object."""

    prompt: Prompt
    answer: Any
    verifier: str | VerifierFactory
    rule: Any


def questions_of(arms: ResponseArms) -> list[Any]:
    """An arm set's questions, as `evaluate` takes them: each with its own verifier."""
    return [
        _Measured(
            prompt=question.encoded,
            answer=question.answer,
            verifier=question.factory or question.verifier,
            rule=_rule(arms, example) if hasattr(arms, "checks") else question.verifier,
        )
        for question, example in zip(recorded_questions(arms), arms.examples, strict=True)
    ]


def recorded_questions(arms: ResponseArms) -> list[RecordedQuestion]:
    """An arm set's questions, as its run folder has them."""
    return [
        RecordedQuestion(
            prompt=_messages(example.prompt),
            answer="" if example.answer is None else str(example.answer),
            index=getattr(example, "index", place),
            encoded=example.prompt,
            **_verifier(arms, example, place),
        )
        for place, example in enumerate(arms.examples)
    ]


def _verifier(arms: Any, example: Any, place: int) -> dict[str, Any]:
    """The name of a question's verifier and, where it has none that `make` knows, a factory of it."""
    if not hasattr(arms, "checks"):  # it reads tokens
        return {"verifier": "gsm8k-strict"}
    rule = _rule(arms, example)
    if isinstance(rule, str):
        return {"verifier": rule}
    check = arms.checks[place]
    return {"verifier": name_of(rule), "factory": lambda answer: check}


def _rule(arms: Any, example: Any) -> Any:
    """The arm set's verifier, or the question's own: a name, or an object of the user's."""
    rule = getattr(arms, "verifier", None)
    return getattr(example, "verifier", "gsm8k-numeric") if rule is None else rule


def _messages(prompt: Prompt) -> tuple[Mapping[str, str], ...]:
    return ({"role": "user", "content": prompt},) if isinstance(prompt, str) else tuple(prompt)


def name_of(thing: Any) -> str:
    """module:qualified name of a function or of an object's type; a user's verifier by the name that made it."""
    if isinstance(thing, verifiers.UserFunction):
        return thing.name
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}:{named.__qualname__}"


def digest_of(thing: Any) -> str:
    """The SHA-256 of what a function or an object of the user's own does: its source, and all that it holds.

    Held are default arguments, values closed over, fields, and in turn what those hold: `adam(0.01)` and `adam(0.02)`
    have one source and two digests. Where Python cannot find a source (code that was typed into an interpreter), its
    byte code stands in. Left out: what is called by a global name, and a `LanguageModel`, whose files have digests of
    their own.
    """
    digest = hashlib.sha256()
    for piece in _pieces(thing, {}):
        digest.update(len(piece).to_bytes(8, "little") + piece)
    return digest.hexdigest()


def _pieces(thing: Any, seen: dict[int, Any]) -> Iterator[bytes]:
    """What a value is made of; each object once. `seen` has them by id, and keeps each, so that none gets another's."""
    if thing is None or isinstance(thing, bool | int | float | complex | str | bytes):
        yield f"{type(thing).__name__} {thing!r}".encode(errors="surrogatepass")
        return
    if id(thing) in seen:
        yield b"above"
        return
    seen[id(thing)] = thing
    held: list[Any] = []
    if isinstance(thing, np.ndarray | np.generic | jax.Array):
        yield f"array {thing.dtype} {thing.shape}".encode()
        yield np.asarray(thing).tobytes()
    elif isinstance(thing, type):
        yield _source(thing)
    elif isinstance(thing, ModuleType | LanguageModel):
        yield type(thing).__name__.encode()
    elif isinstance(thing, Mapping):
        held = [type(thing), *(part for item in thing.items() for part in item)]
    elif isinstance(thing, set | frozenset):
        held = [type(thing), *sorted(thing, key=repr)]
    elif isinstance(thing, tuple | list):  # named tuples too, such as optax's transformations
        held = [type(thing), *thing]
    elif isinstance(thing, functools.partial):
        held = [thing.func, thing.args, thing.keywords]
    elif inspect.ismethod(thing):
        held = [thing.__func__, thing.__self__]
    elif callable(thing) and inspect.isfunction(inspect.unwrap(thing)):
        function = inspect.unwrap(thing)
        yield _source(function)
        held = [function.__defaults__, function.__kwdefaults__]
        held += [_content(cell) for cell in function.__closure__ or ()]
    else:
        held = [type(thing), getattr(thing, "__dict__", None)]
        if held[1] is None:  # its value is elsewhere: in slots, or in C, as a compiled pattern's
            with contextlib.suppress(LookupError):
                held.append(held_by(thing))
    for part in held:
        yield from _pieces(part, seen)


def _source(thing: Any) -> bytes:
    """Of a function or a type its own text; else its byte code, or its name."""
    try:
        return inspect.getsource(thing).encode(errors="surrogatepass")
    except (OSError, TypeError):
        code = getattr(thing, "__code__", None)
        return marshal.dumps(code.replace(co_filename="")) if code is not None else name_of(thing).encode()


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def settings_of(learner: FineTune) -> dict[str, Any]:
    """A learner's settings under the names of config.json; what is no plain value by name."""
    settings: dict[str, Any] = {}
    for entry in dataclasses.fields(learner):
        if entry.init and entry.name not in _LEFT_OUT:
            value = getattr(learner, entry.name)
            plain = value is None or isinstance(value, bool | int | float | str)
            settings[_RENAMED.get(entry.name, entry.name)] = value if plain else name_of(value)
    low, high = learner.clip_limits or (None, None)
    settings["clip"], settings["clip_high"] = low, None if high == low else high
    settings["beta1"], settings["beta2"] = learner.betas
    return settings


def default_settings() -> dict[str, Any]:
    """What `settings_of` says of settings that a folder of an older version may lack: they were as the defaults are."""
    return {
        _RENAMED.get(entry.name, entry.name): entry.default
        for entry in dataclasses.fields(FineTune)
        if entry.init and entry.name not in _LEFT_OUT and entry.default is not dataclasses.MISSING
    }


def objects_of(arms: ResponseArms, learner: FineTune, evaluators: Iterable[tuple[str, Any]] = ()) -> dict[str, str]:
    """Digests of the user's own objects in a run, by what they are called there.

    Args:
        arms, learner: of the run.
        evaluators: (name, verifier) of each measurement between the rounds.
    """
    things = [
        ("signal", learner.signal),
        ("optimizer", learner.optimizer),
        ("learning_rate", learner.learning_rate),
        ("verifier", _rule(arms, arms.examples[0])),
        *((f"verifier of evaluation {name}:", verifier) for name, verifier in evaluators),
    ]
    return {f"{name} {name_of(thing)}": digest_of(thing) for name, thing in things if _own(thing)}


def rules_of(arms: ResponseArms) -> list[str]:
    """The digest of each question's verifier where that is an object of the user's, "" where it has a name."""
    if not hasattr(arms, "checks"):
        return [""] * len(arms.examples)
    known: dict[int, str] = {}
    return [_known_digest(rule, known) if _own(rule) else "" for rule in (_rule(arms, each) for each in arms.examples)]


def measured_of(evaluators: Iterable[Any]) -> dict[str, list[tuple[Prompt, Any, str]]]:
    """(prompt, answer, verifier by name or digest) of every question that Pass@1 is measured on, by evaluator's name.

    Args:
        evaluators: with name, examples and verifier, as `training.evaluators.Evaluator` has them.
    """
    known: dict[int, str] = {}

    def rule_of(entry: Any, example: Any) -> str:
        rule = entry.verifier
        if isinstance(example, LonePrompt) and example.verifier is not None:
            rule = example.verifier
        elif rule is None:
            rule = example.rule if isinstance(example, _Measured) else getattr(example, "verifier", "gsm8k-numeric")
        return rule if isinstance(rule, str) else _known_digest(rule, known)

    return {
        entry.name: [(example.prompt, example.answer, rule_of(entry, example)) for example in entry.examples]
        for entry in evaluators
    }


def _known_digest(thing: Any, known: dict[int, str]) -> str:
    """`digest_of`, once for each object."""
    if id(thing) not in known:
        known[id(thing)] = digest_of(thing)
    return known[id(thing)]


def _own(thing: Any) -> bool:
    return thing is not None and not isinstance(thing, bool | int | float | str)
