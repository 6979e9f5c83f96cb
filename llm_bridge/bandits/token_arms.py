"""Prompts of the embedded models as arms with rewards computed on the device: runs on them take the scan loop.

The same bandits as `llm_bridge.PromptArms` and `llm_bridge.QuestionArms` with GSM8K's strict rule (responses are arms,
the verifier is the reward), but `pull` reads token ids, so that a whole run compiles:
`bandit_rft.run(arms, FineTune(model, …), rounds, seeds=8)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from bandit_rft.errors import InputError
from bandit_rft.keys import Key, as_key
from llm_bridge.bandits.response_arms import LonePrompt, Prompt, ResponseArms
from llm_bridge.sampling.rollouts import Responses
from llm_bridge.tiny import vocabulary
from llm_bridge.tiny.verifier import TokenVerifier, answer_table, matches

if TYPE_CHECKING:
    from llm_bridge.data.datasets import Example
    from llm_bridge.language_model import LanguageModel

Array = jax.Array


class TokenArms(ResponseArms):
    """What both arm sets here have: verifiers that read token ids, and responses to read later."""

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


@dataclass(frozen=True)
class TokenPromptArms(TokenArms):
    """The responses to one prompt of an embedded model, as arms.

    Attributes:
        model: an embedded model, or another over the same 64 tokens.
        prompt: a string, or chat messages.
        answer: the right answer, a whole number in plain digits.

    Raises:
        InputError: a model over other tokens, an answer that is no such number, or a prompt that does not fit.
    """

    model: LanguageModel
    prompt: Prompt
    answer: str

    def __post_init__(self) -> None:
        _check_tokens(self.model, "PromptArms")
        TokenVerifier(self.answer)
        self.check_fits(1)

    @property
    def examples(self) -> tuple[LonePrompt]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The one question."""
        return (LonePrompt(self.prompt, self.answer),)

    def pull(self, key: Key, arms: Responses) -> Array:
        """Rewards [G] float32, 0 or 1; `key` is not used. NaN, which `run` refuses in a sentence, where a response's
        own log-probability is not finite: the weights then hold no policy any more.
        """
        as_key(key)
        return _of_a_policy(TokenVerifier(self.answer)(arms.tokens, arms.lengths), arms)


@dataclass(frozen=True)
class TokenQuestionArms(TokenArms):
    """The responses to several questions of an embedded model, as arms.

    Attributes:
        model: an embedded model, or another over the same 64 tokens.
        examples: n questions; of each, the prompt and the answer, a whole number in plain digits.

    Raises:
        InputError: no question, a model over other tokens, an answer that is no such number, or a prompt that does not
            fit.
    """

    model: LanguageModel
    examples: Sequence[Example]  # pyright: ignore[reportIncompatibleVariableOverride]

    def __post_init__(self) -> None:
        object.__setattr__(self, "examples", tuple(self.examples))
        if not self.examples:
            raise InputError("There is no question to learn: give at least one example.")
        _check_tokens(self.model, "QuestionArms")
        answer_table([example.answer for example in self.examples])
        self.check_fits(1)

    def pull(self, key: Key, arms: Responses) -> Array:
        """Rewards [R] float32 as of `TokenPromptArms.pull`, of each response by its own question's answer."""
        as_key(key)
        digits, sizes = (jnp.asarray(part) for part in answer_table([example.answer for example in self.examples]))
        return _of_a_policy(matches(arms.tokens, arms.lengths, digits[arms.questions], sizes[arms.questions]), arms)


def _of_a_policy(rewards: Array, arms: Responses) -> Array:
    """NaN in place of the rewards of responses that no policy gave."""
    return jnp.where(jnp.all(jnp.isfinite(arms.log_probs), axis=-1), rewards, jnp.nan)


def _check_tokens(model: LanguageModel, instead: str) -> None:
    if not speaks_tiny(model):
        raise InputError(
            f"{model.name} does not use the embedded models' 64 tokens: use {instead}, which takes any model."
        )


def speaks_tiny(model: LanguageModel) -> bool:
    """Whether a model's tokens are those of `tiny.vocabulary`."""
    if model.config.vocabulary != len(vocabulary.TOKENS):
        return False
    known = getattr(model.tokenizer, "get_vocab", dict)()
    return known == vocabulary.ID
