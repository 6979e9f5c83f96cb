"""Several questions and their verifiers as one arm set: a contextual bandit whose contexts are the questions.

An arm is a response to one of the questions; a round draws some of them (`drawn`), and each response is scored by its
own question's verifier (arXiv 2601.22532: batched contextual bandit). One question is `PromptArms`; both offer a
learner the same: the questions' tokens, responses to some of them, and which question a response answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from bandit_rft.errors import InputError
from llm_bridge import verifiers
from llm_bridge.bandits.prompt_arms import TextArms, Verifier, VerifierFactory
from llm_bridge.bandits.response_arms import Question

if TYPE_CHECKING:
    from llm_bridge.language_model import LanguageModel


def verifier_of(asked: str | VerifierFactory | None, question: Question) -> Verifier:
    """The question's verifier: by name, by a function of its answer, or (None) the one that the question names.

    Raises:
        InputError: unknown name, or an answer that the verifier cannot use.
    """
    rule = getattr(question, "verifier", "gsm8k-numeric") if asked is None else asked
    return verifiers.make(rule, question.answer) if isinstance(rule, str) else rule(question.answer)


@dataclass(frozen=True)
class QuestionArms(TextArms):
    """The responses to several questions, as arms.

    Attributes:
        model: whose tokenizer and chat template encode the prompts, and whose context bounds them.
        examples: n questions, each with `.prompt` and `.answer` (`llm_bridge.data.datasets.Example`, or a whole
            dataset).
        verifier: a name of `llm_bridge.verifiers`, or a function from an answer to (response text -> reward); None:
            the one that each question names, gsm8k-numeric where it names none.

    Raises:
        InputError: at construction, no question, or one that is empty or leaves no room for a response.
    """

    model: LanguageModel
    examples: Sequence[Question]
    verifier: str | VerifierFactory | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "examples", tuple(self.examples))
        if not self.examples:
            raise InputError("There is no question to learn: give at least one example.")
        self.check_fits(1)

    @cached_property
    def checks(self) -> tuple[Verifier, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Each question's verifier: response text -> reward."""
        return tuple(verifier_of(self.verifier, example) for example in self.examples)


def drawn(key: jax.Array, round_index: jax.Array | int, questions: int, prompts: int) -> jax.Array:
    """The questions of a round: int32 [prompts], all different; a function of key and round, so runs can be resumed.

    Each epoch takes the n questions in an order of its own, `prompts` a round; the n mod `prompts` that are left at its
    end are left out, as verl's data loader leaves them (shuffle and drop_last). Traceable in key and round.
    """
    epoch, place = jnp.divmod(jnp.asarray(round_index, jnp.int32), jnp.int32(questions // prompts))
    return _part_of_order(key, epoch, place, questions=questions, prompts=prompts)


@partial(jax.jit, static_argnames=("questions", "prompts"))
def _part_of_order(key: jax.Array, epoch: jax.Array, place: jax.Array, *, questions: int, prompts: int) -> jax.Array:
    order = jax.random.permutation(jax.random.fold_in(key, epoch), jnp.arange(questions, dtype=jnp.int32))
    return jax.lax.dynamic_slice_in_dim(order, place * prompts, prompts)
