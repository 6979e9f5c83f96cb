"""Questions with verifiers as an arm set: a response is an arm, generating one is pulling it, its score the reward.

A round draws some of the questions (`drawn`), and each response is scored by its own question's verifier: a contextual
bandit whose contexts are the questions (arXiv 2601.22532: batched contextual bandit). A lone prompt is a question set
of one (`PromptArms`). `pull` scores text with Python, hence `jittable` is False and the run takes the host loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.arguments import shown
from bandit_rft.errors import InputError
from bandit_rft.keys import Key, as_key, row_keys
from llm_bridge import verifiers
from llm_bridge.bandits.response_arms import LonePrompt, Prompt, Question, ResponseArms
from llm_bridge.bandits.text_rewards import Verifier, VerifierFactory, made, score_each
from llm_bridge.data.given import given
from llm_bridge.language_model import LanguageModel, require_model
from llm_bridge.sampling.rollouts import QuestionRollouts, Responses, Rollouts, joined


def verifier_of(verifier: str | VerifierFactory | None, question: Question) -> Verifier:
    """The question's verifier: by name, by a function of its answer, or (None) the one that the question names.

    Raises:
        InputError: unknown name, an answer that the verifier cannot use, or a function that raises or gives none.
    """
    if isinstance(question, LonePrompt) and question.verifier is not None:
        return question.verifier
    rule = getattr(question, "verifier", "gsm8k-numeric") if verifier is None else verifier
    return verifiers.make(rule, question.answer) if isinstance(rule, str) else made(rule, question.answer)


def check_rule(verifier: Any, question: Question) -> None:
    """Raises InputError where that of several questions, of which this is one, is no name of a verifier and no
    function. What a function makes of an answer shows when it is called.
    """
    if isinstance(verifier, str):
        verifier_of(verifier, question)
    elif verifier is not None and not callable(verifier):
        raise InputError(
            f"The verifier is {shown(verifier)}: give a name, or a function from an answer to a verifier of responses."
        )


@dataclass(frozen=True)
class QuestionArms(ResponseArms):
    """The responses to one question or several, as arms.

    Attributes:
        model: whose tokenizer and chat template encode the prompts, and whose context bounds them.
        examples: n questions, each with `.prompt` and `.answer` (`llm_bridge.data.datasets.Example`, or a whole
            dataset), or a row of named columns, as a data file has them: {"question": "1+1=?", "answer": "2"}.
        verifier: a name of `llm_bridge.verifiers`, or a function from an answer to (response text -> reward); None:
            the one that each question names, gsm8k-numeric where it names none.

    Raises:
        InputError: at construction, something else as model or verifier, no question, or one that is empty or leaves no
            room for a response.
    """

    model: LanguageModel
    examples: Sequence[Question]
    verifier: str | VerifierFactory | None = None

    def __post_init__(self) -> None:
        require_model(self.model)
        object.__setattr__(self, "examples", given(self.examples, "examples", self.verifier))
        if not self.examples:
            raise InputError("There is no question to learn: give at least one example.")
        check_rule(self.verifier, self.examples[0])
        self.check_fits(1)

    @cached_property
    def checks(self) -> tuple[Verifier, ...]:
        """Each question's verifier: response text -> reward."""
        return tuple(verifier_of(self.verifier, example) for example in self.examples)

    def pull_seeds(self, keys: jax.Array, arms: Sequence[Rollouts] | Responses) -> np.ndarray:
        """Rewards [S, R] float32 of the R responses of each of S seeds, each by its own question's verifier, all at
        once.

        Args:
            keys: [S]; not used, for the reward is deterministic.
            arms: each seed's rollouts; or those of all on the device, [S, R, ...], of which only tokens and lengths
                come to the host, and whether their log-probabilities are finite: where not, the weights hold no policy
                any more, and the reward is NaN, which `run` refuses in a sentence.

        Raises:
            InputError: a reward that is not a finite number, naming the verifier.
        """
        del keys
        if not isinstance(arms, Responses) and any(getattr(own, "rewards", None) is not None for own in arms):
            return np.stack([self._rewards(own) for own in arms])
        if isinstance(arms, Responses):
            tokens, shape = np.asarray(arms.tokens), arms.lengths.shape
            texts = self.model.texts(tokens.reshape(-1, tokens.shape[-1]), np.asarray(arms.lengths).reshape(-1))
            questions = np.zeros(shape, np.int32) if arms.questions is None else np.asarray(arms.questions)
        else:
            texts = [text for own in arms for text in own.text]
            questions = np.stack([self.questions_of(own) for own in arms])
        rewards = score_each([self.checks[question] for question in questions.reshape(-1)], texts)
        rewards = rewards.reshape(questions.shape)
        if isinstance(arms, Responses):
            rewards[~np.asarray(jnp.all(jnp.isfinite(arms.log_probs), axis=-1))] = np.nan
        return rewards

    def generate(
        self,
        questions: np.ndarray,
        *,
        max_tokens: int,
        key: Key,
        temperature: float,
        params: Any = None,
        batch: int | None = None,
        rows: np.ndarray | None = None,
        verify: bool = False,
    ) -> Rollouts:
        """One response to each of these questions, repeats welcome; a question that is alone is read once.

        Args:
            questions: int [R], places among the examples.
            max_tokens, temperature, params: as `LanguageModel.generate` takes them.
            key: row g draws from fold_in(key, g), whatever the batch.
            batch: responses sampled together, to bound memory, another as one ends; None: all.
            rows: int [R], the numbers g of the responses; None: from 0 on.
            verify: where responses are sampled in parts, have each part's rewards computed while the device samples the
                next; `pull` and `pull_seeds` then give these.

        Raises:
            InputError: as `LanguageModel.sample_rows`; and, with `verify`, as `pull`.
        """

        prompts = [self.question_tokens[question] for question in questions]
        numbers = np.arange(len(prompts)) if rows is None else rows
        parts = self.model.sample_waiting(
            prompts,
            row_keys(as_key(key), numbers),
            width=batch or len(prompts),
            max_tokens=max_tokens,
            temperature=temperature,
            params=params,
            prompt_widths=self.prompt_widths,
        )
        found, rewards = [], None
        for places, part in parts:
            found.append((places, part))
            if verify and len(places) < len(prompts):
                rewards = np.zeros(len(prompts), np.float32) if rewards is None else rewards
                checks = [self.checks[question] for question in np.asarray(questions)[places]]
                rewards[places] = score_each(checks, part.text, numbers=places)
        return QuestionRollouts(**joined(found), questions=np.asarray(questions, np.int32), rewards=rewards)

    def pull(self, key: Key, arms: Rollouts) -> jax.Array:
        """Rewards [R] float32 of R responses. The reward is deterministic: `key` is not used."""
        as_key(key)
        return jnp.asarray(self._rewards(arms))

    def _rewards(self, arms: Rollouts) -> np.ndarray:
        """float32 [R], as computed while they were sampled, or now."""
        known = getattr(arms, "rewards", None)
        return known if known is not None else score_each([self.checks[q] for q in self.questions_of(arms)], arms.text)

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


def PromptArms(model: LanguageModel, prompt: Prompt, verifier: Verifier) -> QuestionArms:
    """The responses to one prompt, as arms: a question set of one, whose verifier is given as it is.

    Args:
        model: whose tokenizer and chat template encode the prompt, and whose context bounds it.
        prompt: a string, or chat messages [{"role": …, "content": …}, …].
        verifier: response text -> reward, a finite float; see `text_rewards.score_each` for how it is called.

    Raises:
        InputError: an empty prompt or one that leaves no room for a response in the model's context, or a verifier that
            cannot be called.

    Example:
        >>> from llm_bridge import PromptArms, load_model
        >>> model = load_model("tiny-llama")
        >>> arms = PromptArms(model, "178+607=?", lambda text: float("785" in text))
        >>> arms.jittable
        False
    """
    if not isinstance(prompt, str | Sequence) or isinstance(prompt, bytes):
        raise InputError(f"The prompt is {shown(prompt)}: give a text, or at least one chat message.")
    if not prompt or (isinstance(prompt, str) and not prompt.strip()):
        raise InputError("The prompt is empty: give a text, or at least one chat message.")
    if not callable(verifier):
        raise InputError(f"The verifier is {verifier!r}: give a function from response text to a float.")
    return QuestionArms(model, (LonePrompt(prompt, verifier=verifier),))


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
