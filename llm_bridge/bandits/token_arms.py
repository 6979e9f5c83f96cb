"""Prompts of the embedded models as arms with rewards computed on the device: runs on them take the scan loop.

The same bandits as `llm_bridge.PromptArms` and `llm_bridge.QuestionArms` with GSM8K's strict rule (responses are arms,
the verifier is the reward), but `pull` reads token ids, so that a whole run compiles:
`bandit_rft.run(arms, FineTune(model, …), rounds, seeds=8)`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.keys import Key, as_key
from llm_bridge.bandits.response_arms import LonePrompt, Prompt, Question, ResponseArms
from llm_bridge.data.given import given
from llm_bridge.language_model import LanguageModel, require_model
from llm_bridge.sampling.buckets import lone_width
from llm_bridge.sampling.rollouts import Responses
from llm_bridge.tiny import vocabulary
from llm_bridge.tiny.verifier import answer_table, matches

Array = jax.Array
ANSWER_STEP = 8  # widths of the table of answers


@dataclass(frozen=True)
class TokenQuestionArms(ResponseArms):
    """The responses to one question or several of an embedded model, as arms.

    Attributes:
        model: an embedded model, or another over the same 64 tokens.
        examples: n questions; of each, the prompt and the answer, a whole number in plain digits.

    Raises:
        InputError: no question, a model over other tokens, an answer that is no such number, or a prompt that does not
            fit.
    """

    model: LanguageModel
    examples: Sequence[Question]

    def __post_init__(self) -> None:
        require_model(self.model)
        object.__setattr__(self, "examples", given(self.examples, "examples", "gsm8k-strict"))
        if not self.examples:
            raise InputError("There is no question to learn: give at least one example.")
        if not speaks_tiny(self.model):
            raise InputError(
                f"{self.model.name} does not use the embedded models' 64 tokens: use PromptArms or QuestionArms, which "
                "take any model."
            )
        answer_table([example.answer for example in self.examples])  # refuses answers of another form
        self.check_fits(1)

    @cached_property
    def answer_table(self) -> tuple[Any, Any]:
        """The answers' digits int32 [n, A] and sizes [n], as `verifier.answer_table` gives them, A rounded up so that
        questions with answers of one digit and of four are one program."""
        digits, sizes = answer_table([example.answer for example in self.examples])
        return np.pad(digits, ((0, 0), (0, -digits.shape[1] % ANSWER_STEP))), sizes

    @property
    def tables(self) -> tuple[Any, Any]:
        """All that a compiled run knows of the questions, as arrays that it is given: `prompt_table` and
        `answer_table`. Runs on other questions, whose tables have the same shapes, are then the same program.
        """
        return self.prompt_table, self.answer_table

    @property
    def alike(self) -> tuple[Any, ...]:
        """What beside the tables decides a run's program: the model, and how wide a lone prompt is."""
        lone = len(self.question_tokens) == 1
        return self.model, lone_width(len(self.question_tokens[0])) if lone else None

    def holding(self, tables: tuple[Any, Any]) -> TokenQuestionArms:
        """The same with these tables, which may be traced."""
        held = copy.copy(self)
        for name, table in zip(("prompt_table", "answer_table"), tables, strict=True):
            object.__setattr__(held, name, table)
        return held

    def pull(self, key: Key, arms: Responses) -> Array:
        """Rewards [R] float32, 0 or 1, of each response by its own question's answer; `key` is not used. NaN, which
        `run` refuses in a sentence, where a response's own log-probability is not finite: the weights then hold no
        policy any more.
        """
        as_key(key)
        digits, sizes = map(jnp.asarray, self.answer_table)
        which = jnp.zeros_like(arms.lengths) if arms.questions is None else arms.questions
        rewards = matches(arms.tokens, arms.lengths, digits[which], sizes[which])
        return jnp.where(jnp.all(jnp.isfinite(arms.log_probs), axis=-1), rewards, jnp.nan)

    @property
    def jittable(self) -> bool:
        """True: the verifier reads token ids."""
        return True

    def kept(self, arms: Responses) -> dict[str, Array]:
        """What can be read of responses afterwards: tokens uint8 [G, T] (there are 64), lengths int32 [G], truncated
        bool [G]; of several questions, questions int32 [G].
        """
        found = {"tokens": arms.tokens.astype(jnp.uint8), "lengths": arms.lengths, "truncated": arms.truncated}
        return found if arms.questions is None else found | {"questions": arms.questions}


def TokenPromptArms(model: LanguageModel, prompt: Prompt, answer: str) -> TokenQuestionArms:
    """The responses to one prompt of an embedded model, as arms; arguments and errors as of `TokenQuestionArms`."""
    return TokenQuestionArms(model, (LonePrompt(prompt, answer),))


def speaks_tiny(model: LanguageModel) -> bool:
    """Whether a model's tokens are those of `tiny.vocabulary`."""
    if model.config.vocabulary != len(vocabulary.TOKENS):
        return False
    known = getattr(model.tokenizer, "get_vocab", dict)()
    return known == vocabulary.ID
