"""Position-wise product policy: an independent softmax at every position, π(y) = Π_h softmax(θ_h)[y_h].

One prompt's policy; `prompt_policies.py` has the arithmetic, for any number of prompts.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.policies.policy import LogPair, TokenPolicy
from bandit_rft.policies.prompt_policies import Params, PromptPolicies
from bandit_rft.verifiers import Verifier


@dataclass(frozen=True)
class Product:
    """Independent softmax at every position. p and κ are exact for Needle, AnswerToken and ModularSum.

    Base policy: uniform, or with p0 each of the n needed tokens at probability p0^(1/n), the rest of its position even.

    Example:
        >>> from bandit_rft import arms, policies, verifiers
        >>> arms.TokenSequences(10, 3, verifiers.Needle((1, 2, 3)), policies.Product()).best_mean
        1.0
    """

    @property
    def name(self) -> str:
        return "Product"

    def bind(
        self,
        vocabulary_size: int,
        length: int,
        verifier: Verifier | None = None,
        p0: float | None = None,
        *,
        touches: int | None = None,
    ) -> TokenPolicy:
        """See `TokenPolicyFactory.bind`."""
        room = vocabulary_size if touches is None else touches
        many = PromptPolicies(vocabulary_size, length, (verifier,), np.ones((1, 1)), (p0,), room)

        def first(count: int) -> jax.Array:
            return jnp.zeros((count,), jnp.int32)

        def log_success(params: Params) -> LogPair:
            log_p, log_q = many.log_success(params)
            return log_p[0], log_q[0]

        needed = np.flatnonzero(many.target_table[0] >= 0) if many.form == "needed" else None
        many.init()  # refuses a p0 or a size here, not in the middle of a trace
        return TokenPolicy(
            init=many.init,
            sample=lambda key, params, rollouts: many.sample(key, params, first(rollouts)),
            log_prob=lambda params, tokens: many.log_prob(params, first(tokens.shape[0]), tokens),
            step=lambda params, tokens, coefficient: many.step(params, first(tokens.shape[0]), tokens, coefficient),
            log_success=log_success if many.form is not None else None,
            kappa=(lambda params: many.gram(params)[0, 0]) if many.form is not None else None,
            overflowed=lambda params: params.overflowed,
            needed_log_odds=None if needed is None else lambda params: many.needed_log_odds(params)[0][needed],
        )
