"""What every arm set of a language model's responses has, whoever scores them: the base of the arm sets here.

The arms are every token sequence that the model can produce, so the optimum has no closed form: `best_mean` and `mean`
are None, and a run over them reports reward and Pass@1, never regret (arXiv 2601.14599, section on the bandit reading).
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.settings.ranges import COUNT
from llm_bridge.sampling import buckets
from llm_bridge.sampling.generate import pad_prompts

if TYPE_CHECKING:
    from llm_bridge.language_model import LanguageModel

Prompt = str | Sequence[Mapping[str, str]]
MAX_TOKENS = 256  # of a response, unless the user says otherwise


class Question(Protocol):
    """What is needed of an example: a prompt (text or chat messages) and what the verifier is made from."""

    @property
    def prompt(self) -> Prompt: ...

    @property
    def answer(self) -> Any: ...


@dataclass(frozen=True)
class LonePrompt:
    """The question of an arm set of one prompt.

    Attributes:
        prompt: a text, or chat messages.
        answer: what the verifier was made from, where it is known.
        verifier: response text -> reward; None where the arm set reads tokens.
    """

    prompt: Prompt
    answer: Any = None
    verifier: Callable[[str], float] | None = None


class ResponseArms(abc.ABC):
    """Responses to some questions, as arms; a prompt is one question. Subclasses are frozen dataclasses.

    Attributes:
        model: whose tokenizer and chat template encode the prompts, and whose context bounds them.
        examples: the questions.
    """

    model: LanguageModel
    examples: Sequence[Question]

    @property
    def prompt_tokens(self) -> np.ndarray:
        """int32 [P], the first question as the model reads it: that of a lone prompt."""
        return self.question_tokens[0]

    @cached_property
    def question_tokens(self) -> tuple[np.ndarray, ...]:
        """The questions as the model reads them, int32 [P] each."""
        return tuple(np.asarray(self.model.encode(example.prompt), np.int32) for example in self.examples)

    @cached_property
    def prompt_table(self) -> tuple[Any, Any]:
        """The questions in rows of one width: tokens int32 [n, P], padded, and lengths [n]."""
        return pad_prompts(self.question_tokens, len(self.question_tokens), self.model.config.pad_id)

    @cached_property
    def prompt_widths(self) -> tuple[int, ...]:
        """The widths that several questions are padded to, whichever meet in a batch."""
        return buckets.prompt_widths([len(tokens) for tokens in self.question_tokens])

    def questions_of(self, arms: Any) -> np.ndarray:
        """int32 [R], which question each response answers."""
        questions = getattr(arms, "questions", None)
        return np.zeros(arms.lengths.shape, np.int32) if questions is None else np.asarray(questions)

    @abc.abstractmethod
    def pull(self, key: jax.Array, arms: Any) -> jax.Array:
        """Rewards [R] float32 of R responses; deterministic, so `key` is not used."""

    def check_fits(self, max_tokens: int) -> None:
        """Raises InputError if a prompt and `max_tokens` of response exceed the model's context."""
        check_fit(self.model, self.question_tokens, max_tokens)

    @property
    def jittable(self) -> bool:
        """False: verifiers are Python, unless an arm set says otherwise."""
        return False

    @property
    def best_mean(self) -> float | None:
        """None: whether the model can produce a correct response at all is unknown."""
        return None

    def mean(self, arms: Any) -> jax.Array | None:
        """None: no means but the rewards themselves are known."""
        del arms
        return None


def check_fit(model: LanguageModel, questions: Sequence[np.ndarray], max_tokens: int) -> None:
    """Raises InputError, naming the question, where one is empty or leaves no room for `max_tokens` in the context."""
    context = model.config.max_positions
    COUNT.checked("max_tokens", max_tokens)
    for place, tokens in enumerate(questions):
        which = "The prompt" if len(questions) == 1 else f"Question {place} of {len(questions)}"
        if tokens.size == 0:
            raise InputError(f"{which} encodes to no token: give a text, or at least one chat message.")
        if tokens.size + max_tokens > context:
            raise InputError(
                f"{which} has {tokens.size} tokens, which with {max_tokens} tokens of response exceeds the "
                f"context of {context} of {model.name}: shorten the prompt or lower max_tokens."
            )


def longest_response(model: LanguageModel, prompts: Sequence[np.ndarray]) -> int:
    """The longest response, in tokens: 256, or what the model's context leaves after the longest of these prompts.

    At least 1, so that a prompt which leaves nothing is refused where prompts are checked.
    """
    longest = max((len(prompt) for prompt in prompts), default=0)
    return max(1, min(MAX_TOKENS, model.config.max_positions - longest))
