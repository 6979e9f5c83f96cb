"""Which rows of a round go through the model, and in which shapes: the plan of an update.

    Planned     on the host: rows that carry no gradient are left out, the others cut into micro-batches of bucketed
                shapes, with the rows of past rounds that are replayed; numbers that are not finite stop the run here
    Whole       inside a trace: every row of the round at once, each with a weight that is zero where it carries nothing

Both give `Update` the same rows, scores and batches, so that what it computes does not depend on the plan.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import objectives
from bandit_rft.errors import InputError
from bandit_rft.keys import Purpose
from llm_bridge.sampling.generate import pad_prompts
from llm_bridge.training import learned_rows, policy_gradient
from llm_bridge.training.finite import NotFiniteError, opening, unsound
from llm_bridge.training.gradient_memory import GradientMemory
from llm_bridge.training.learned_rows import Rows
from llm_bridge.training.state import FineTuneState

if TYPE_CHECKING:
    from llm_bridge.bandits.response_arms import ResponseArms
    from llm_bridge.sampling.rollouts import Responses, Rollouts
    from llm_bridge.training.learner import FineTune

Array = jax.Array
PyTree = Any
Batch = dict[str, Any]  # arrays as `policy_gradient.loss_and_gradient` takes them


class Plan(Protocol):
    """What `Update` asks for.

    Attributes:
        learned: int [R'], the rows of a round that are learned from.
        donates: whether a step may overwrite weights.
    """

    learned: np.ndarray
    donates: bool

    def rewards(self, rewards: Any) -> Any:
        """The verifier's rewards, float32 [R]."""
        ...

    def rows(self, state: FineTuneState, responses: Any, rewards: Any) -> Rows:
        """All rollouts of the round, without signals as yet."""
        ...

    def scores(self, params: PyTree, rows: Rows) -> tuple[Any, Any]:
        """float32 [R, T] each, 0 on padding: the log-probabilities at these weights, and at the reference's (None where
        nothing needs them). Equal weights give equal numbers.
        """
        ...

    def check_signal(self, state: FineTuneState, rows: Rows, signal: Any) -> None:
        """Raises NotFiniteError for a signal that is not finite, where it can be seen."""
        ...

    def kept(self, rows: Rows, chosen: np.ndarray) -> Rows:
        """These rows only."""
        ...

    def pool(self, state: FineTuneState, fresh: Rows) -> Rows:
        """The rows that a round's steps draw from: the fresh ones, then those of past rounds."""
        ...

    def batches(self, state: FineTuneState, pool: Rows, step: int) -> tuple[list[Batch], Array | None]:
        """Micro-batches of a step's rows that carry a gradient; and whether there is any, where that is only known
        inside the trace (else None, and there are no batches where there is none).
        """
        ...

    def check_step(self, state: FineTuneState, pool: Rows, params: PyTree, sums: dict[str, Any]) -> None:
        """Raises NotFiniteError for a loss or gradient that is not finite, where it can be seen."""
        ...

    def at_reference(self, params: PyTree) -> Any:
        """bool scalar, the weights are the reference's, to the bit."""
        ...

    def count(self, updates: Array) -> Any:
        """The optimiser steps taken so far."""
        ...

    def spare(self, params: PyTree) -> PyTree | None:
        """An earlier gradient whose memory a new one may take."""
        ...

    def give(self, gradient: PyTree | None) -> None:
        """A gradient that will not be read again."""
        ...


class _Base:
    def __init__(
        self,
        settings: FineTune,
        arms: ResponseArms,
        objective: policy_gradient.Objective,
        numbers: dict[str, Array],
    ) -> None:
        self.settings, self.arms, self.prompts = settings, arms, arms.question_tokens
        self.objective, self.numbers = objective, numbers
        self.group = settings.rollouts + settings.baseline_rollouts
        self.learned = np.flatnonzero(np.arange(settings.prompts * self.group) % self.group < settings.rollouts)

    @property
    def every_row(self) -> bool:
        """Whether a row without a signal has a gradient all the same, by a KL or an entropy term."""
        return self.objective.kl is not None or self.objective.entropy

    def aggregated(self, mask: Any) -> Array:
        """float32 [R, T], the weight of every token of a step's rows."""
        settings = self.settings
        return objectives.aggregation_weights(
            jnp.asarray(mask), settings.aggregation, settings.max_tokens, jnp.dtype(jnp.float32)
        )


class Planned(_Base):
    """See the head of the file. Weights may be updated in place, and gradients' memory is used again."""

    donates = True

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.memory = GradientMemory()
        self.spare, self.give = self.memory.take, self.memory.give

    def rewards(self, rewards: Any) -> np.ndarray:
        return np.asarray(rewards, np.float32)

    def rows(self, state: FineTuneState, responses: Rollouts, rewards: np.ndarray) -> Rows:
        want = self.settings.prompts * self.group
        if len(rewards) != want or len(responses.lengths) != want:
            raise InputError(
                f"The round has {len(responses.lengths)} responses and {len(rewards)} rewards, and "
                f"{self.settings.prompts} prompts of {self.group} rollouts need {want}: give one reward a response."
            )
        rows = Rows(
            questions=np.asarray(self.arms.questions_of(responses), np.int32),
            tokens=np.asarray(responses.tokens, np.int32),
            lengths=np.asarray(responses.lengths, np.int32),
            log_probs=np.asarray(responses.log_probs, np.float32),
            ref_log_probs=None,
            signal=rewards,
        )
        # Where no response carries a signal there is no loss that would show it.
        lost = unsound(rows, rows.log_probs)
        if lost.any():
            raise self._not_finite(state, rows, lost, "responses whose log-probabilities are not finite")
        return rows

    def scores(self, params: PyTree, rows: Rows) -> tuple[np.ndarray, np.ndarray | None]:
        reference = self._scores(self.settings.model.params, rows) if self.settings.needs_reference else None
        return self._scores(params, rows), reference

    def check_signal(self, state: FineTuneState, rows: Rows, signal: Array) -> None:
        found = np.asarray(signal)
        lost = ~np.isfinite(found)
        if lost.any():
            raise self._not_finite(state, rows, lost, f"a learning signal of {found[lost][0]}")

    def kept(self, rows: Rows, chosen: np.ndarray) -> Rows:
        return Rows(**{**vars(rows), "signal": np.asarray(rows.signal)}).take(chosen)

    def pool(self, state: FineTuneState, fresh: Rows) -> Rows:
        past = [] if state.window is None else learned_rows.replayed(state.window, int(state.round))
        return learned_rows.joined([fresh, *past])

    def batches(self, state: FineTuneState, pool: Rows, step: int) -> tuple[list[Batch], None]:
        key = jax.random.fold_in(state.key(Purpose.MINI_BATCHES), state.round)
        share = learned_rows.share(key, step, self.settings.mini_batches, len(pool))
        # Weights come from all rows of the step, so leaving some out changes no denominator.
        weights = np.zeros(pool.tokens.shape, np.float32)
        weights[share] = np.asarray(self.aggregated(pool.mask[share]))
        chosen = share if self.every_row else share[pool.signal[share] != 0]
        reference = None if self.objective.kl is None else pool.ref_log_probs
        batches = []
        for places, real, batch in self._padded(pool, chosen):
            width = batch["tokens"].shape[1]
            row_weights = weights[places, :width]
            row_weights[real:] = 0.0
            batches.append(
                {
                    **batch,
                    "weights": jnp.asarray(row_weights),
                    "signal": jnp.asarray(pool.signal[places]),
                    "old_log_probs": jnp.asarray(pool.log_probs[places, :width]),
                    "ref_log_probs": None if reference is None else jnp.asarray(reference[places, :width]),
                    "fresh": jnp.asarray(places < len(self.learned)),
                }
            )
        return batches, None

    def check_step(self, state: FineTuneState, pool: Rows, params: PyTree, sums: dict[str, Any]) -> None:
        loss, norm = (float(value) for value in jax.device_get((sums["loss"], sums["gradient_norm"])))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            what = f"a loss of {loss} and a gradient norm of {norm}"
            raise self._not_finite(state, pool, unsound(pool, self._scores(params, pool)), what)

    def at_reference(self, params: PyTree) -> bool:
        return policy_gradient.equal(params, self.settings.model.params)

    def count(self, updates: Array) -> int:
        return int(updates)

    def _scores(self, params: PyTree, rows: Rows) -> np.ndarray:
        scores = np.zeros(rows.tokens.shape, np.float32)
        graphdef = self.settings.model.graphdef
        for chosen, real, batch in self._padded(rows, np.arange(len(rows))):
            found = policy_gradient.token_log_probs(
                params, **batch, temperature=self.numbers["temperature"], graphdef=graphdef
            )
            scores[chosen[:real], : found.shape[1]] = np.asarray(found)[:real]
        return scores

    def _padded(self, rows: Rows, chosen: np.ndarray) -> list[tuple[np.ndarray, int, Batch]]:
        """(indices with padding, rows that are real, arrays of prompts and responses) of each micro-batch."""
        settings = self.settings
        most = max(len(self.learned) * (1 + settings.replay) // settings.mini_batches, settings.prompts * self.group)
        found = []
        for places, real, width in learned_rows.padded_batches(
            rows, chosen, self.prompts, size=min(settings.micro_batch or most, most), widest=rows.tokens.shape[1]
        ):
            batch = learned_rows.prompt_batch(self.prompts, rows.questions[places])
            batch["tokens"] = jnp.asarray(rows.tokens[places, :width])
            batch["lengths"] = jnp.asarray(rows.lengths[places])
            found.append((places, real, batch))
        return found

    def _not_finite(self, state: FineTuneState, rows: Rows, lost: np.ndarray, what: str) -> NotFiniteError:
        """The error for the first of these rows; where each row is sound by itself, for the first of all."""
        question, done = int(rows.questions[int(np.argmax(lost))]), int(state.round)
        return NotFiniteError(done, question, opening(self.arms, question), what, sound=done - 1)


class Whole(_Base):
    """See the head of the file. For one step an epoch and no replay (`refused`); a loss that is not finite shows as a
    refused reward in the next round (`TokenPromptArms.pull`).
    """

    donates = False  # a scan updates its own state in place

    def rewards(self, rewards: Any) -> Array:
        return jnp.asarray(rewards).astype(jnp.float32)

    def rows(self, state: FineTuneState, responses: Responses, rewards: Array) -> Rows:
        questions = responses.questions
        return Rows(
            questions=jnp.zeros_like(responses.lengths) if questions is None else questions,
            tokens=responses.tokens,
            lengths=responses.lengths,
            log_probs=responses.log_probs,
            ref_log_probs=None,
            signal=rewards,
        )

    def scores(self, params: PyTree, rows: Rows) -> tuple[Array, Array | None]:
        """By one loop body: two calls would differ where seeds are vmapped, for the reference's weights are shared by
        all, and its matrix products are then others than the policy's.
        """
        model = self.settings.model

        def score(own: Array) -> Array:
            weights = jax.tree.map(partial(jnp.where, own), params, model.params)
            return policy_gradient.token_log_probs(
                weights,
                **self._asked(rows),
                tokens=rows.tokens,
                lengths=rows.lengths,
                temperature=self.numbers["temperature"],
                owners=self._owners(np.arange(len(rows))),
                graphdef=model.graphdef,
            )

        policy, reference = jax.lax.map(score, jnp.array([True, False]))
        return policy, reference if self.settings.needs_reference else None

    def check_signal(self, state: FineTuneState, rows: Rows, signal: Array) -> None:
        pass

    def kept(self, rows: Rows, chosen: np.ndarray) -> Rows:
        return rows.take(chosen)

    def pool(self, state: FineTuneState, fresh: Rows) -> Rows:
        return fresh

    def batches(self, state: FineTuneState, pool: Rows, step: int) -> tuple[list[Batch], Array]:
        # A row without a gradient has no weight: as on the host, it counts in no metric.
        active = jnp.ones_like(pool.signal, bool) if self.every_row else pool.signal != 0
        batch = {
            **self._asked(pool),
            "tokens": pool.tokens,
            "lengths": pool.lengths,
            "owners": self._owners(self.learned),
            "weights": jnp.where(active[:, None], self.aggregated(pool.mask), 0.0),
            "signal": pool.signal,
            "old_log_probs": pool.log_probs,
            "ref_log_probs": None if self.objective.kl is None else pool.ref_log_probs,
            "fresh": jnp.ones_like(pool.signal, bool),
        }
        return [batch], jnp.any(active)

    def check_step(self, state: FineTuneState, pool: Rows, params: PyTree, sums: dict[str, Any]) -> None:
        pass

    def at_reference(self, params: PyTree) -> Array:
        pairs = zip(*map(jax.tree.leaves, (params, self.settings.model.params)), strict=True)
        return jnp.all(jnp.stack([jnp.array_equal(x, y) for x, y in pairs]))

    def count(self, updates: Array) -> Array:
        return updates

    def spare(self, params: PyTree) -> None:
        return None

    def give(self, gradient: PyTree | None) -> None:
        pass

    def _owners(self, rows: np.ndarray) -> Array | None:
        """Which of the round's prompts each of these rows continues; None where there is one prompt."""
        if self.settings.prompts == 1:
            return None
        return jnp.asarray(rows // self.group, jnp.int32)

    def _asked(self, rows: Rows) -> Batch:
        """The prompts of a round, as `policy_gradient` takes them; a lone question's has its own length, as on the
        host.
        """
        if len(self.prompts) == 1:
            prompt = jnp.asarray(self.prompts[0], jnp.int32)
            return {"prompt": prompt, "prompt_lengths": jnp.asarray(prompt.size, jnp.int32)}
        table, lengths = pad_prompts(self.prompts, len(self.prompts), 0)
        chosen = rows.questions[:: len(rows) // self.settings.prompts]
        chosen = chosen[0] if self.settings.prompts == 1 else chosen
        return {"prompt": jnp.asarray(table)[chosen], "prompt_lengths": jnp.asarray(lengths)[chosen]}


def refused(settings: FineTune) -> str | None:
    """The setting that only the plan of the host has, if there is one."""
    round_of = settings.prompts * (settings.rollouts + settings.baseline_rollouts)
    chosen = {
        "micro_batch": (settings.micro_batch or round_of) < settings.prompts * settings.rollouts,
        "generation_batch": (settings.generation_batch or round_of) < round_of,
        "mini_batches": settings.mini_batches > 1,
        "replay": settings.replay > 0,
    }
    return next((name for name, asked in chosen.items() if asked), None)
