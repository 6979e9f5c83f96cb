"""A prompt of the embedded models as arms with rewards computed on the device: runs on them take the scan loop.

The same bandit as `llm_bridge.PromptArms` with GSM8K's strict rule (responses are arms, the verifier is the reward),
but `pull` reads token ids, so that a whole run compiles: `bandit_rft.run(arms, FineTune(model, …), rounds, seeds=8)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError
from llm_bridge.prompt_arms import Prompt, check_fits
from llm_bridge.tiny import vocabulary
from llm_bridge.tiny.verifier import TokenVerifier

if TYPE_CHECKING:
    from llm_bridge.model import LanguageModel

Array = jax.Array


class Responses(NamedTuple):
    """G sampled responses, on the device; a pytree.

    Attributes:
        tokens: int32 [G, T], padded past the end.
        lengths: int32 [G], the end-of-text token included.
        log_probs: float32 [G, T] in nats, of each token under the policy that sampled it; 0 past the length.
        truncated: bool [G], no end-of-text token within T.
        entropy: float32 [G, T] in nats, exact, of what each token was drawn from; None where it was not recorded.
    """

    tokens: Array
    lengths: Array
    log_probs: Array
    truncated: Array
    entropy: Array | None = None


@dataclass(frozen=True)
class TokenPromptArms:
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
        if not speaks_tiny(self.model):
            raise InputError(
                f"{self.model.name} does not use the embedded models' 64 tokens: use PromptArms, which takes any model."
            )
        TokenVerifier(self.answer)
        self.check_fits(1)

    @cached_property
    def prompt_tokens(self) -> np.ndarray:
        """[P] int32, the prompt as the model reads it."""
        return np.asarray(self.model.encode(self.prompt), np.int32)

    @property
    def question_tokens(self) -> tuple[np.ndarray, ...]:
        """The one question, as learners ask an arm set of several for them."""
        return (self.prompt_tokens,)

    def questions_of(self, arms: Responses) -> np.ndarray:
        """int32 [R], which question each response answers: the one there is."""
        return np.zeros(arms.lengths.shape, np.int32)

    def check_fits(self, max_tokens: int) -> None:
        """Raises InputError if the prompt and `max_tokens` of response exceed the model's context."""
        check_fits(self.model, self.prompt_tokens, max_tokens)

    @property
    def jittable(self) -> bool:
        """True: the verifier reads token ids."""
        return True

    @property
    def best_mean(self) -> float | None:
        """None: whether the model can produce a correct response at all is unknown."""
        return None

    def pull(self, key: Array, arms: Responses) -> Array:
        """Rewards [G] float32, 0 or 1; `key` is not used. NaN, which `run` refuses in a sentence, where a response's
        own log-probability is not finite: the weights then hold no policy any more.
        """
        del key
        rewards = TokenVerifier(self.answer)(arms.tokens, arms.lengths)
        return jnp.where(jnp.all(jnp.isfinite(arms.log_probs), axis=-1), rewards, jnp.nan)

    def mean(self, arms: Responses) -> Array | None:
        """None: no means but the rewards themselves are known."""
        del arms
        return None


def speaks_tiny(model: LanguageModel) -> bool:
    """Whether a model's tokens are those of `tiny.vocabulary`."""
    if model.config.vocabulary != len(vocabulary.TOKENS):
        return False
    known = getattr(model.tokenizer, "get_vocab", dict)()
    return known == vocabulary.ID
