"""A prompt and its verifier as a bandit: every response is an arm, generating one is pulling it, its score the reward.

The set of arms is every token sequence the model can produce, so its optimum has no closed form: `best_mean` and
`mean` are None, and a run over it reports reward and Pass@1, never regret (arXiv 2601.14599, section on the bandit
reading). `pull` scores text with Python, hence `jittable` is False and the run takes the host loop.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError
from llm_bridge import verifiers
from llm_bridge.generate import Rollouts

if TYPE_CHECKING:
    from llm_bridge.model import LanguageModel

Prompt = str | Sequence[Mapping[str, str]]
Verifier = Callable[[str], float]
VerifierFactory = Callable[[Any], Verifier]


def verifier_name(verifier: Verifier) -> str:
    """What to call a verifier in a message."""
    return getattr(verifier, "__name__", None) or type(verifier).__name__


def score(verifier: Verifier, text: Sequence[str]) -> np.ndarray:
    """Rewards [G] float32 of G responses.

    Raises:
        InputError: a reward that is not a finite number, naming the verifier and the rollout.
    """
    return score_each([verifier] * len(text), text)


def score_each(checks: Sequence[Verifier], text: Sequence[str]) -> np.ndarray:
    """Rewards [G] float32 of G responses, each by its own verifier.

    A verifier of the worker processes (`verifiers.Pooled`) checks its responses side by side, and one that has `many`
    (texts -> rewards) is given all of its responses at once; any other is called once a response, in order.

    Raises:
        InputError: a reward that is not a finite number, naming the verifier and the rollout.
    """
    found: dict[int, object] = {}
    pooled = [place for place, check in enumerate(checks) if isinstance(check, verifiers.Pooled)]
    if pooled:
        # All at once, whatever the question: a batch of many questions must not wait for one after another.
        own = [check for check in checks if isinstance(check, verifiers.Pooled)]
        found |= zip(pooled, verifiers.rewards(own, [text[place] for place in pooled]), strict=True)
    rewards = np.empty(len(text), np.float32)
    for index, (verifier, response) in enumerate(zip(checks, text, strict=True)):
        if index not in found:
            many = getattr(verifier, "many", None)
            places = [index] if many is None else [at for at, check in enumerate(checks) if check is verifier]
            given = [verifier(response)] if many is None else many([text[at] for at in places])
            if len(given) != len(places):
                raise InputError(
                    f"Verifier {verifier_name(verifier)} gave {len(given)} rewards for {len(places)} responses: make "
                    "its `many` return one for each."
                )
            found |= zip(places, given, strict=True)
        reward = found[index]
        try:
            value = float(reward)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise InputError(
                f"Verifier {verifier_name(verifier)} gave {reward!r} for rollout {index}, which is no finite number: "
                "make it return a float such as 0.0 or 1.0 for every response."
            )
        rewards[index] = value
    return rewards


@dataclass(frozen=True)
class PromptArms:
    """The responses to one prompt, as arms.

    Attributes:
        model: whose tokenizer and chat template encode the prompt, and whose context bounds it.
        prompt: a string, or chat messages [{"role": …, "content": …}, …].
        verifier: response text -> reward, a finite float; see `score_each` for how it is called.

    Raises:
        InputError: at construction, an empty prompt or one that leaves no room for a response in the model's context.
    """

    model: LanguageModel
    prompt: Prompt
    verifier: Verifier

    def __post_init__(self) -> None:
        if not self.prompt or (isinstance(self.prompt, str) and not self.prompt.strip()):
            raise InputError("The prompt is empty: give a text, or at least one chat message.")
        if not callable(self.verifier):
            raise InputError(f"The verifier is {self.verifier!r}: give a function from response text to a float.")
        self.check_fits(1)

    @cached_property
    def prompt_tokens(self) -> np.ndarray:
        """[P] int32, the prompt as the model reads it."""
        return np.asarray(self.model.encode(self.prompt), np.int32)

    @property
    def question_tokens(self) -> tuple[np.ndarray, ...]:
        """The one prompt, as `llm_bridge.question_arms.QuestionArms` has several."""
        return (self.prompt_tokens,)

    def generate(
        self,
        questions: np.ndarray,
        *,
        max_tokens: int,
        key: jax.Array,
        temperature: float,
        params: Any = None,
        batch: int | None = None,
    ) -> Rollouts:
        """A response for each entry of `questions` [R], all zero: the prompt is run once for each `batch` of them."""

        def sample(rows: np.ndarray, key: jax.Array) -> Rollouts:
            return self.model.generate(
                self.prompt,
                rollouts=len(rows),
                max_tokens=max_tokens,
                key=key,
                temperature=temperature,
                params=params,
            )

        return in_batches(sample, questions, key, batch)

    def questions_of(self, arms: Rollouts) -> np.ndarray:
        """int32 [G] of zeros: every response answers the one prompt."""
        return np.zeros(len(arms.lengths), np.int32)

    def check_fits(self, max_tokens: int) -> None:
        """Raises InputError if the prompt and `max_tokens` of response exceed the model's context."""
        check_fits(self.model, self.prompt_tokens, max_tokens)

    @property
    def jittable(self) -> bool:
        """False: verifiers are Python."""
        return False

    @property
    def best_mean(self) -> float | None:
        """None: whether the model can produce a correct response at all is unknown."""
        return None

    def pull(self, key: jax.Array, arms: Rollouts) -> jax.Array:
        """Rewards [G] float32 of G rollouts. The reward is deterministic: `key` is not used."""
        del key
        return jnp.asarray(score(self.verifier, arms.text))

    def mean(self, arms: Rollouts) -> jax.Array | None:
        """None: no means but the rewards themselves are known."""
        del arms
        return None


def check_fits(model: LanguageModel, prompt_tokens: np.ndarray, max_tokens: int) -> None:
    """Raises InputError where a prompt is empty, or it and `max_tokens` of response exceed the model's context."""
    context = model.config.max_positions
    if prompt_tokens.size == 0:
        raise InputError("The prompt encodes to no token: give a text, or at least one chat message.")
    if max_tokens < 1:
        raise InputError(f"max_tokens is {max_tokens}: give at least 1.")
    if prompt_tokens.size + max_tokens > context:
        raise InputError(
            f"The prompt has {prompt_tokens.size} tokens, which with {max_tokens} tokens of response exceeds the "
            f"context of {context} of {model.name}: shorten the prompt or lower max_tokens."
        )


def in_batches(
    sample: Callable[[np.ndarray, jax.Array], Rollouts], rows: np.ndarray, key: jax.Array, batch: int | None
) -> Rollouts:
    """`sample(rows, key)` a batch at a time, each with a key of its own, joined."""
    if batch is None or batch >= len(rows):
        return sample(rows, key)
    # Rows of a batch fold their own number into its key: numbers from len(rows) on are not among them.
    parts = [
        sample(rows[start : start + batch], jax.random.fold_in(key, len(rows) + start))
        for start in range(0, len(rows), batch)
    ]
    arrays = [field.name for field in dataclasses.fields(Rollouts) if field.name != "text"]
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
    return Rollouts(**joined, text=[text for part in parts for text in part.text])
