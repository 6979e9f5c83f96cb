"""A prompt of the embedded models as arms with rewards computed on the device: runs on them take the scan loop.

The same bandit as `llm_bridge.PromptArms` with GSM8K's strict rule (responses are arms, the verifier is the reward),
but `pull` reads token ids, so that a whole run compiles: `bandit_rft.run(arms, FineTune(model, …), rounds, seeds=8)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from bandit_rft.errors import InputError
from llm_bridge.prompt_arms import Prompt
from llm_bridge.response_arms import OnePromptArms
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
class TokenPromptArms(OnePromptArms):
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

    @property
    def jittable(self) -> bool:
        """True: the verifier reads token ids."""
        return True

    def pull(self, key: Array, arms: Responses) -> Array:
        """Rewards [G] float32, 0 or 1; `key` is not used. NaN, which `run` refuses in a sentence, where a response's
        own log-probability is not finite: the weights then hold no policy any more.
        """
        del key
        rewards = TokenVerifier(self.answer)(arms.tokens, arms.lengths)
        return jnp.where(jnp.all(jnp.isfinite(arms.log_probs), axis=-1), rewards, jnp.nan)

    def kept(self, arms: Responses) -> dict[str, Array]:
        """What can be read of responses afterwards: tokens uint8 [G, T] (there are 64), lengths int32 [G], truncated
        bool [G].
        """
        return {"tokens": arms.tokens.astype(jnp.uint8), "lengths": arms.lengths, "truncated": arms.truncated}


def speaks_tiny(model: LanguageModel) -> bool:
    """Whether a model's tokens are those of `tiny.vocabulary`."""
    if model.config.vocabulary != len(vocabulary.TOKENS):
        return False
    known = getattr(model.tokenizer, "get_vocab", dict)()
    return known == vocabulary.ID
