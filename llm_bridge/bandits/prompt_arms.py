"""A prompt and its verifier as a bandit: every response is an arm, generating one is pulling it, its score the reward.

The set of arms is every token sequence the model can produce, so its optimum has no closed form: `best_mean` and
`mean` are None, and a run over it reports reward and Pass@1, never regret (arXiv 2601.14599, section on the bandit
reading). `pull` scores text with Python, hence `jittable` is False and the run takes the host loop.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.keys import Key, as_key, row_keys
from llm_bridge import verifiers
from llm_bridge.bandits.response_arms import LonePrompt, Prompt, ResponseArms
from llm_bridge.sampling.rollouts import QuestionRollouts, Responses, Rollouts

if TYPE_CHECKING:
    from llm_bridge.language_model import LanguageModel

Verifier = Callable[[str], float]
VerifierFactory = Callable[[Any], Verifier]


def verifier_name(verifier: Verifier) -> str:
    """What to call a verifier in a message."""
    if isinstance(verifier, verifiers.UserFunction):
        return verifier.name
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
            given = [verifier(response)] if many is None else _listed(verifier, many([text[at] for at in places]))
            if len(given) != len(places):
                raise InputError(
                    f"Verifier {verifier_name(verifier)} gave {len(given)} rewards for {len(places)} responses: make "
                    "its `many` return one for each."
                )
            found |= zip(places, given, strict=True)
        reward = found[index]
        value = _number(reward)
        if not math.isfinite(value):
            raise InputError(
                f"Verifier {verifier_name(verifier)} gave {_shown(reward)} for rollout {index}, which is no finite "
                "number: make it return a float such as 0.0 or 1.0 for every response."
            )
        rewards[index] = value
    return rewards


def _number(reward: object) -> float:
    """A reward as a number that float32 holds; NaN where it is none: a text, a list, an array that has axes."""
    if isinstance(reward, str | bytes | bytearray) or getattr(reward, "ndim", 0) != 0:
        return math.nan
    try:
        value = float(reward)  # type: ignore[arg-type]
    except Exception:  # None, a complex number, an integer beyond the largest float, a class of the user's own
        return math.nan
    return value if abs(value) <= float(np.finfo(np.float32).max) else math.nan


def _listed(verifier: Verifier, given: object) -> list[object]:
    """What a verifier's `many` gave, as a list. Raises InputError where it is none."""
    try:
        return list(given)  # type: ignore[call-overload]
    except TypeError:
        raise InputError(
            f"Verifier {verifier_name(verifier)} gave {_shown(given)} for several responses: make its `many` return a "
            "list of floats, one for each."
        ) from None


def _shown(value: object) -> str:
    """A value in a message: in short, and whatever its own text is or raises."""
    try:
        text = repr(value)
    except Exception:  # an integer of more digits than Python writes, too
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:40]}... (of type {type(value).__name__})"


class TextArms(ResponseArms):
    """What arm sets have whose verifiers read text. Subclasses have `checks`.

    Attributes:
        checks: each question's verifier: response text -> reward.
    """

    checks: tuple[Verifier, ...]

    def pull_seeds(self, keys: jax.Array, arms: Sequence[Rollouts] | Responses) -> np.ndarray:
        """Rewards [S, R] float32 of the R responses of each of S seeds, each by its own question's verifier, all at
        once.

        Args:
            keys: [S]; not used, for the reward is deterministic.
            arms: each seed's rollouts; or those of all on the device, [S, R, ...], of which only tokens and lengths
                come to the host.

        Raises:
            InputError: a reward that is not a finite number, naming the verifier.
        """
        del keys
        if isinstance(arms, Responses):
            tokens, shape = np.asarray(arms.tokens), arms.lengths.shape
            texts = self.model.texts(tokens.reshape(-1, tokens.shape[-1]), np.asarray(arms.lengths).reshape(-1))
            asked = np.zeros(shape, np.int32) if arms.questions is None else np.asarray(arms.questions)
        else:
            texts = [text for own in arms for text in own.text]
            asked = np.stack([self.questions_of(own) for own in arms])
        return score_each([self.checks[question] for question in asked.reshape(-1)], texts).reshape(asked.shape)

    def generate(
        self,
        questions: np.ndarray,
        *,
        max_tokens: int,
        key: Key,
        temperature: float,
        params: Any = None,
        batch: int | None = None,
    ) -> Rollouts:
        """One response to each of these questions, repeats welcome; a question that is alone is read once.

        Args:
            questions: int [R], places among the examples.
            max_tokens, temperature, params: as `LanguageModel.generate` takes them.
            key: row g draws from fold_in(key, g), whatever the batch.
            batch: responses sampled together, to bound memory; None: all.
        """

        def sample(rows: np.ndarray, keys: np.ndarray) -> Rollouts:
            prompts = [self.question_tokens[question] for question in rows]
            return self.model.sample_rows(prompts, keys, max_tokens=max_tokens, temperature=temperature, params=params)

        sampled = in_batches(sample, questions, key, batch)
        fields = {field.name: getattr(sampled, field.name) for field in dataclasses.fields(Rollouts)}
        return QuestionRollouts(**fields, questions=np.asarray(questions, np.int32))

    def pull(self, key: Key, arms: Rollouts) -> jax.Array:
        """Rewards [R] float32 of R responses. The reward is deterministic: `key` is not used."""
        as_key(key)
        return jnp.asarray(score_each([self.checks[question] for question in self.questions_of(arms)], arms.text))

    def kept(self, arms: Rollouts | Responses) -> dict[str, Any]:
        """What can be read of responses afterwards: tokens int32 [..., R, T], lengths int32 [..., R], truncated bool
        [..., R]; of several questions, questions int32 [..., R].
        """
        found = {"tokens": arms.tokens, "lengths": arms.lengths, "truncated": arms.truncated}
        questions = getattr(arms, "questions", None) if len(self.question_tokens) > 1 else None
        return found if questions is None else found | {"questions": questions}

    def counts(self) -> dict[str, int]:
        """Answers that earned 0 because the verifier's time was over, or its worker process died of them; running
        totals of this process.
        """
        counts = verifiers.counts()
        return {"verifier_timeouts": counts.timeouts, "verifier_crashes": counts.crashes}


@dataclass(frozen=True)
class PromptArms(TextArms):
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

    @property
    def examples(self) -> tuple[LonePrompt]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The one question."""
        return (LonePrompt(self.prompt),)

    @property
    def checks(self) -> tuple[Verifier, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Its verifier."""
        return (self.verifier,)

    @property
    def prompt_tokens(self) -> np.ndarray:
        """[P] int32, the prompt as the model reads it."""
        return self.question_tokens[0]


def in_batches(
    sample: Callable[[np.ndarray, np.ndarray], Rollouts], rows: np.ndarray, key: Key, batch: int | None
) -> Rollouts:
    """`sample(rows, their keys)` a batch at a time, joined. A row's key is fold_in(key, its number among all rows)."""
    keys = row_keys(as_key(key), np.arange(len(rows)))
    size = batch or len(rows)
    parts = [sample(rows[at : at + size], keys[at : at + size]) for at in range(0, len(rows), size)]
    if len(parts) == 1:
        return parts[0]
    arrays = [field.name for field in dataclasses.fields(Rollouts) if field.name != "text"]
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
    return Rollouts(**joined, text=[text for part in parts for text in part.text])
