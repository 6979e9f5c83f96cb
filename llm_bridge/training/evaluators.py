"""Pass@1 and pass@k between the rounds of a fine-tuning run: what is measured, when, and from which draws.

Evaluator("test", examples, every=50, samples=4, ks=(1, 4))
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.keys import Purpose, row_keys
from bandit_rft.runs.progress import ProgressLine
from bandit_rft.settings.ranges import ROWS
from llm_bridge.bandits.question_arms import check_rule
from llm_bridge.bandits.response_arms import Question, ResponseArms
from llm_bridge.bandits.text_rewards import VerifierFactory
from llm_bridge.data.given import given
from llm_bridge.language_model import LanguageModel
from llm_bridge.measuring import evaluate as evaluation
from llm_bridge.training.description import questions_of

LEAST_RESPONSES = 64  # behind an evaluation whose number of samples nobody gave

# What a line of evaluations.jsonl holds, whoever measured.
EVALUATION_FIELDS: dict[str, type] = {
    **dict.fromkeys(("round", "successes", "samples"), int),
    **dict.fromkeys(("pass_at_1", "low", "high"), float),
    "measured": str,
    "pass_at_k": dict,
}
# (weights, rounds done, seed or None for all of them) -> record
Measure = Callable[[Any, int, int | None], dict[str, Any]]


@dataclass(frozen=True)
class Evaluator:
    """A measurement of Pass@1, and pass@k, before the first round, after the last, and between.

    Attributes:
        name: what its records are called. Each name draws from keys of its own; "train" and "test" are those that
            figures and reports know by name.
        examples: questions, as `evaluate` takes them.
        every: rounds between; None: before and after only.
        samples: responses to each question; None: as many as make 64 in all, and at least the largest k.
        ks: the k of pass@k.
        verifier: as `evaluate` takes it; None: each question's own.
        batch: responses generated together, to bound memory; it changes no draw.

    Raises:
        InputError: no question, a k below 1 or above the samples, or a name that is empty.
    """

    name: str
    examples: Sequence[Question]
    _: dataclasses.KW_ONLY
    every: int | None = None
    samples: int | None = None
    ks: Sequence[int] = (1,)
    verifier: str | VerifierFactory | None = None
    batch: int = 32

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        arguments.require("An Evaluator's name", self.name, str, "a text, such as 'test'")
        called = f"Evaluator {self.name!r}"
        put("examples", given(self.examples, called, self.verifier))
        if not self.name or not self.examples:
            raise InputError("An Evaluator has no name or no question: give both.")
        check_rule(self.verifier, self.examples[0])
        if isinstance(self.ks, str) or not isinstance(self.ks, Iterable) or getattr(self.ks, "ndim", 1) != 1:
            raise InputError(f"{called} has ks = {arguments.shown(self.ks)}: give a list, such as (1, 8).")
        put("ks", tuple(sorted({ROWS.checked(f"A k of {called}", k) for k in self.ks})))
        if not self.ks:
            raise InputError(f"{called} has no ks: give a list of whole numbers, such as (1, 8).")
        if self.every is not None:
            put("every", arguments.whole(f"every of {called}", self.every))
        put("batch", arguments.whole(f"batch of {called}", self.batch))
        if self.samples is None:
            put("samples", max(-(-LEAST_RESPONSES // len(self.examples)), self.ks[-1]))
        else:
            put("samples", ROWS.checked(f"samples of {called}", self.samples))
        assert self.samples is not None
        if self.samples < self.ks[-1]:
            raise InputError(
                f"Evaluator {self.name!r} has samples = {self.samples} and asks for pass@{self.ks[-1]}: give at least "
                f"{self.ks[-1]} samples."
            )

    def key(self, key: jax.Array) -> jax.Array:
        """Its own key, made of the run's: by what it is for, and a name of the user's own by its SHA-256."""
        known = {"train": Purpose.TRAIN_EVALUATION, "test": Purpose.TEST_EVALUATION}
        if self.name in known:
            return jax.random.fold_in(key, known[self.name])
        own = jax.random.fold_in(key, Purpose.OWN_EVALUATION)
        digest = np.frombuffer(hashlib.sha256(self.name.encode()).digest()[:8], "<u4")
        return jax.random.wrap_key_data(row_keys(own, digest[None])[0], impl="threefry2x32")

    def bind(
        self,
        model: LanguageModel,
        encoded: Sequence[np.ndarray],
        *,
        key: jax.Array,
        max_tokens: int,
        temperature: float,
        shown: bool,
    ) -> Measure:
        """The measurement by this model.

        Args:
            model: whose weights are replaced by those that are measured.
            encoded: int32 [P] each, the tokens of each question.
            key: the run's; a record draws from fold_in(self.key(key), rounds done), and of a seed from
                fold_in(·, seed).
            max_tokens, temperature: the run's.
            shown: whether progress is shown.
        """
        samples = self.samples
        assert samples is not None

        def measure(params: Any, done: int, seed: int | None) -> dict[str, Any]:
            called = {"train": "training"}.get(self.name, self.name)
            label = f"{called} Pass@1 after {done} rounds" + ("" if seed is None else f" of seed {seed}")
            draws = jax.random.fold_in(self.key(key), done)
            with ProgressLine(label, unit="responses", quantity="Pass@1", shown=shown) as line:
                result = evaluation.evaluate(
                    model,
                    self.examples,
                    encoded=encoded,
                    key=draws if seed is None else jax.random.fold_in(draws, seed),
                    max_tokens=max_tokens,
                    verifier=self.verifier,
                    samples=samples,
                    temperature=temperature,
                    batch=self.batch,
                    params=params,
                    progress=line,
                )
            record = {**dataclasses.asdict(result), "per_question": result.per_question.tolist()}
            return {**record, "pass_at_k": {str(k): result.pass_at(k) for k in self.ks}}

        return measure


def evaluators_of(entries: Iterable[Any], arms: ResponseArms) -> list[Evaluator]:
    """What `finetune(evaluate=[...])` names: each an `Evaluator`, an arm set, or a list of examples.

    The run's own arms are called "train", others and examples "test".

    Raises:
        InputError: something else, or a name given twice.
    """
    evaluators: list[Evaluator] = []
    if isinstance(entries, str | ResponseArms | Evaluator) or not isinstance(entries, Iterable):
        raise InputError("evaluate is no list: give one, such as [arms].")
    try:
        listed = list(entries)
    except TypeError:  # an array of no axis
        raise InputError("evaluate is no list: give one, such as [arms].") from None
    for entry in listed:
        if isinstance(entry, Evaluator):
            evaluators.append(entry)
        elif isinstance(entry, ResponseArms):
            evaluators.append(Evaluator("train" if entry is arms else "test", questions_of(entry)))
        elif isinstance(entry, Iterable) and not isinstance(entry, str):
            evaluators.append(Evaluator("test", list(entry)))
        else:
            raise InputError(
                f"evaluate has an entry of type {type(entry).__name__}: give an Evaluator, an arm set, or a list of "
                "examples."
            )
    names = [entry.name for entry in evaluators]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"evaluate has two entries called {name!r}: give each a name, as Evaluator(name, examples)."
            )
    return evaluators


def trained_on(evaluators: Sequence[Evaluator], tested: Sequence[Sequence[Any]], trained: Sequence[Any]) -> str | None:
    """A sentence where questions of the evaluator "test" are trained on, by tokens; None where none is.

    Args:
        evaluators: of the run.
        tested: of each, the tokens of each question. trained: those of the run's own questions.
    """
    own = {tuple(np.asarray(tokens).tolist()) for tokens in trained}
    for entry, questions in zip(evaluators, tested, strict=True):
        shared = sum(tuple(np.asarray(tokens).tolist()) in own for tokens in questions)
        if shared and entry.name == "test":
            return f"{shared} of the {len(questions)} test questions in evaluate are trained on: leave them out of it."
    return None


def said(records: Sequence[dict[str, Any]], rounds: int) -> str:
    """An evaluation of all seeds as a line; of many seeds only between the first and the last round, which the run's
    summary names.
    """
    first = records[0]
    done, name = first["round"], first["measured"]
    if len(records) == 1:
        others = "".join(f", pass@{k} {value:.3f}" for k, value in first["pass_at_k"].items() if k != "1")
        return (
            f"round {done}: {name} Pass@1 {first['pass_at_1']:.3f} [{first['low']:.3f}, {first['high']:.3f}] "
            f"({first['successes']} of {first['samples']} responses){others}"
        )
    shares = [record["pass_at_1"] for record in records]
    mean = sum(shares) / len(shares)
    spread = f"mean of {len(shares)} seeds from {min(shares):.3f} to {max(shares):.3f}"
    return f"round {done}: {name} Pass@1 {mean:.3f}, {spread}"
