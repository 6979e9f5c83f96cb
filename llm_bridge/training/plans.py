"""Which rows of a round go through the model, and in which shapes: the plan of an update.

    Traced      every row of the round and of the rounds that are replayed, in fixed shapes: micro-batches of one size,
                where a row that only fills them, or carries no gradient, has no weight
    OnHost      rows that carry no gradient are left out, the others cut into micro-batches of bucketed shapes; numbers
                that are not finite stop the run here

Both give `Update` the same rows, scores and steps, so that what it computes does not depend on the plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import objectives
from bandit_rft.errors import InputError
from bandit_rft.keys import Purpose
from llm_bridge.models import placement
from llm_bridge.sampling import buckets
from llm_bridge.training import late_rounds, learned_rows, policy_gradient, seed_axis
from llm_bridge.training.finite import NotFiniteError, opening, unsound
from llm_bridge.training.learned_rows import Rows
from llm_bridge.training.state import FineTuneState

if TYPE_CHECKING:
    from llm_bridge.bandits.response_arms import ResponseArms
    from llm_bridge.training.learner import FineTune

Array = jax.Array
PyTree = Any
Batch = dict[str, Any]  # arrays as `policy_gradient.loss_and_gradient` takes them, micro-batches stacked: [K, ...]
Sums = dict[str, Any]
Total = tuple[Sums, PyTree]
# Of a `Batch`, those with an axis of tokens, last.
_BY_TOKEN = ("tokens", "weights", "old_log_probs", "ref_log_probs", "sampler_log_probs")


class Traced:
    """The plan inside a trace; see the head of the file. Numbers that are not finite stop the run once its records are
    on the host (`finite.check_records`).

    Attributes:
        learned: int [R'], the rows of a round that are learned from.
        donates: whether a step may overwrite weights; a scan updates its own state in place.
    """

    donates = False

    def __init__(
        self,
        settings: FineTune,
        arms: ResponseArms,
        objective: policy_gradient.Objective,
        numbers: Mapping[str, Any],
    ) -> None:
        self.settings, self.arms, self.prompts = settings, arms, arms.question_tokens
        self.objective, self.numbers = objective, numbers
        self.group = settings.rollouts + settings.baseline_rollouts
        self.learned = np.flatnonzero(np.arange(settings.prompts * self.group) % self.group < settings.rollouts)

    def rewards(self, rewards: Any) -> Any:
        """The verifier's rewards, float32 [R]."""
        return jnp.asarray(rewards).astype(jnp.float32)

    def rows(self, state: FineTuneState, responses: Any, rewards: Any) -> Rows:
        """All rollouts of the round, their rewards in place of the signals as yet."""
        questions = responses.questions
        return Rows(
            questions=jnp.zeros_like(responses.lengths) if questions is None else questions,
            tokens=responses.tokens,
            lengths=responses.lengths,
            log_probs=responses.log_probs,
            ref_log_probs=None,
            signal=rewards,
        )

    def late(self, state: FineTuneState, rows: Rows) -> tuple[Rows, Rows, Any]:
        """(the rows that the round learns from, those that wait, bool whether the former are rows) of late rounds."""
        assert state.pending is not None
        learned, pending = late_rounds.exchanged(state.pending, rows, state.round)
        return learned, pending, state.round >= self.settings.delay

    def scores(self, params: PyTree, rows: Rows) -> tuple[Any, Any]:
        """float32 [R, T] each, 0 on padding: the log-probabilities at these weights, and at the reference's (None where
        nothing needs them). Equal weights give equal numbers.

        By one loop body: two calls would differ where seeds are vmapped, for the reference's weights are shared by
        all, and its matrix products are then others than the policy's.
        """
        model = self.settings.model
        places, _ = self._micro_batches(jnp.arange(len(rows), dtype=jnp.int32), jnp.ones(len(rows), bool))
        chosen = rows.take(places)
        batches = {**self._asked(chosen.questions, self.group), "tokens": chosen.tokens, "lengths": chosen.lengths}

        def score(own: Array) -> Array:
            weights = model.whole(jax.tree.map(partial(jnp.where, own), params, model.trained))

            def part(batch: Batch) -> Array:
                return policy_gradient.token_log_probs(
                    weights, **batch, temperature=self.numbers["temperature"], graphdef=model.graphdef
                )

            def all_parts(batches: Batch) -> Array:
                found = (
                    part(jax.tree.map(lambda leaf: leaf[0], batches))[None]
                    if len(places) == 1
                    else jax.lax.map(part, batches)
                )
                missing = rows.tokens.shape[1] - found.shape[-1]
                return jnp.pad(found, ((0, 0), (0, 0), (0, missing)))

            found = self._narrowed(all_parts, batches, jnp.max(rows.lengths))
            return found.reshape(-1, rows.tokens.shape[1])[: len(rows)]

        policy, reference = jax.lax.map(score, jnp.array([True, False]))
        return policy, reference if self.settings.needs_reference else None

    def checked_signal(self, state: FineTuneState, rows: Rows, signal: Any) -> Any:
        """The signal. Raises NotFiniteError where it can be seen not to be finite."""
        return signal

    def make_room(self) -> None:
        """Called before a gradient; a trace holds nothing that it could drop."""

    def pool(self, state: FineTuneState, fresh: Rows) -> Rows:
        """The rows that a round's steps draw from: the fresh ones, then those of past rounds."""
        return fresh if state.window is None else learned_rows.pooled(state.window, fresh, state.round)

    def batches(self, state: FineTuneState, pool: Rows, step: Any) -> tuple[list[tuple[Batch, Any]], Any]:
        """Micro-batches of a step's rows, those of one shape together with how many they are; and bool, whether any of
        the rows carries a gradient (on the host there are no micro-batches where none does).
        """
        places, inside = self._micro_batches(*self._share(state, len(pool), step))
        rows = pool.take(places)
        # A row without a gradient has no weight: as on the host, it counts in no metric.
        active = inside if self._every_row else inside & (rows.signal != 0)
        mask = (rows.mask & inside[..., None]).reshape(-1, rows.tokens.shape[-1])
        weights = self._aggregated(mask, jnp.sum(inside, dtype=jnp.int32)).reshape(rows.tokens.shape)
        batch = {
            **self._asked(rows.questions, self.settings.rollouts if self.settings.mini_batches == 1 else 1),
            "tokens": rows.tokens,
            "lengths": rows.lengths,
            "weights": jnp.where(active[..., None], weights, 0.0),
            "signal": rows.signal,
            "old_log_probs": rows.log_probs,
            "ref_log_probs": None if self.objective.kl is None else rows.ref_log_probs,
            "sampler_log_probs": rows.sampler_log_probs,
            "fresh": places < len(self.learned),
        }
        return [(batch, len(places))], jnp.any(active)

    def gradient(self, params: PyTree, batch: Batch, count: Any, total: Total | None, **given: Any) -> Total:
        """`total` (None: nothing), and the sums and gradient of the micro-batches of one shape; `given` is what
        `policy_gradient.loss_and_gradient` takes besides.

        As wide as the longest response that has a weight, and nothing at all where none has.
        """

        def compute(batch: Batch) -> Total:
            return policy_gradient.total_of(params, batch, count, total, **given)

        def nothing(batch: Batch) -> Total:
            if total is not None:
                return total
            return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(compute, batch))

        weighed = jnp.any(batch["weights"] != 0, axis=-1)
        return self._narrowed(compute, batch, jnp.max(jnp.where(weighed, batch["lengths"], 0)), nothing)

    def checked(self, state: FineTuneState, pool: Rows, params: PyTree, sums: Sums) -> Sums:
        """A step's sums. Raises NotFiniteError for a loss or gradient that can be seen not to be finite."""
        return sums

    def at_reference(self, params: PyTree) -> Any:
        """bool scalar, the weights are the reference's, to the bit."""
        pairs = zip(*map(jax.tree.leaves, (params, self.settings.model.trained)), strict=True)
        return jnp.all(jnp.stack([jnp.array_equal(x, y) for x, y in pairs]))

    def loop(self, step: Callable[[Any, Any], tuple[Any, Sums]], carry: Any, steps: int) -> tuple[Any, Sums]:
        """What is carried after so many steps, and the sums of each, stacked."""
        if steps > 1:
            return jax.lax.scan(step, carry, jnp.arange(steps, dtype=jnp.int32))
        carry, sums = step(carry, jnp.int32(0))
        return carry, jax.tree.map(lambda value: value[None], sums)

    def _narrowed(
        self,
        compute: Callable[[Batch], Any],
        batch: Batch,
        longest: Array,
        nothing: Callable[[Batch], Any] | None = None,
    ) -> Any:
        """compute(batch) with the arrays of tokens cut to the least width that holds the longest response; or, where
        that has no token, nothing(batch).

        Responses mostly are far shorter than they may be; which width they need is known only in the compiled program,
        which therefore has a branch for each: few, since each is compiled.
        """
        most = batch["tokens"].shape[-1]
        widths = buckets.widths_to(most, factor=4)

        def at(width: int) -> Callable[[Batch], Any]:
            def narrow(batch: Batch) -> Any:
                return compute(
                    {
                        name: leaf[..., :width] if name in _BY_TOKEN and leaf is not None else leaf
                        for name, leaf in batch.items()
                    }
                )

            return narrow

        branches = [at(width) for width in widths]
        edges = widths[:-1] if nothing is None else (0, *widths[:-1])
        if nothing is not None:
            branches = [nothing, *branches]
        index = jnp.sum(jnp.asarray(edges, jnp.int32) < seed_axis.largest(longest), dtype=jnp.int32)
        return jax.lax.switch(index, branches, batch)

    @property
    def _every_row(self) -> bool:
        """Whether a row without a signal has a gradient all the same, by a KL or an entropy term."""
        return self.objective.kl is not None or self.objective.entropy

    def _aggregated(self, mask: Any, rollouts: Any) -> Array:
        """float32 [R, T], the weight of every token of a step that has so many rollouts."""
        settings = self.settings
        return objectives.aggregation_weights(
            jnp.asarray(mask), settings.aggregation, settings.max_tokens, jnp.dtype(jnp.float32), rollouts=rollouts
        )

    def _share(self, state: FineTuneState, capacity: int, step: Any) -> tuple[Array, Array]:
        """Which rows of the pool a step takes: indices int32 and whether each is a row, both [capacity / parts]."""
        settings = self.settings
        rows = learned_rows.present(state.round, settings.replay, len(self.learned))
        if settings.mini_batches == 1:
            every = jnp.arange(capacity, dtype=jnp.int32)
            return every, every < rows
        key = jax.random.fold_in(state.key(Purpose.MINI_BATCHES), state.round)
        return learned_rows.share(key, step, rows, parts=settings.mini_batches, capacity=capacity)

    def _micro_batches(self, places: Array, inside: Array) -> tuple[Array, Array]:
        """Rows [R] cut into micro-batches of one size, both [K, m]; the last is filled up with its last row."""
        rows = len(places)
        size = min(self.settings.micro_batch or rows, rows)
        fill = (0, -rows % size)
        return jnp.pad(places, fill, mode="edge").reshape(-1, size), jnp.pad(inside, fill).reshape(-1, size)

    def _asked(self, questions: Array, group: int) -> Batch:
        """The prompts of micro-batches with these questions [K, m], as `policy_gradient` takes them, each once; rows
        that follow one another have one question in groups of `group`. A lone question's prompt has
        `buckets.lone_width`, as on the host.
        """
        rows, settings = questions.shape[1], self.settings
        held = min(rows, len(self.prompts), settings.prompts * (1 + settings.replay), -(-(rows - 1) // group) + 1)
        table, lengths = (jnp.asarray(part, jnp.int32) for part in self.arms.prompt_table)
        if len(self.prompts) == 1:
            table = table[:, : buckets.lone_width(len(self.prompts[0]))]

        def of_one(asked: Array) -> Batch:
            owners = None
            if held == 1:
                asked = asked[0]
            elif held < rows:
                asked, owners = jnp.unique(asked, return_inverse=True, size=held)
                owners = owners.astype(jnp.int32)
            return {"prompt": table[asked], "prompt_lengths": lengths[asked], "owners": owners}

        return jax.vmap(of_one)(questions)


class OnHost(Traced):
    """See the head of the file. Weights may be updated in place."""

    donates = True

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        settings, round_of = self.settings, self.settings.prompts * self.group
        self.most = max(len(self.learned) * (1 + settings.replay) // settings.mini_batches, round_of)
        self.size = min(settings.micro_batch or self.most, self.most)
        self.shards = placement.row_shards(settings.model.config.mesh)

    def rewards(self, rewards: Any) -> np.ndarray:
        return np.asarray(rewards, np.float32)

    def rows(self, state: FineTuneState, responses: Any, rewards: Any) -> Rows:
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

    def late(self, state: FineTuneState, rows: Rows) -> tuple[Rows, Rows, bool]:
        learned, pending, heard = super().late(state, rows)
        return jax.tree.map(np.asarray, learned), pending, bool(heard)

    def scores(self, params: PyTree, rows: Rows) -> tuple[Any, Any]:
        reference = self._scores(self.settings.model.params, rows) if self.settings.needs_reference else None
        return self._scores(params, rows), reference

    def make_room(self) -> None:
        """Before a gradient, whose activations need the room: decoding's copy of weights that are about to move."""
        self.settings.model.release_decoding_weights()

    def checked_signal(self, state: FineTuneState, rows: Rows, signal: Any) -> np.ndarray:
        found = np.asarray(signal)
        lost = ~np.isfinite(found)
        if lost.any():
            raise self._not_finite(state, rows, lost, f"a learning signal of {found[lost][0]}")
        return found

    def pool(self, state: FineTuneState, fresh: Rows) -> Rows:
        return jax.tree.map(np.asarray, super().pool(state, fresh))

    def batches(self, state: FineTuneState, pool: Rows, step: Any) -> tuple[list[tuple[Batch, Any]], bool]:
        places, inside = map(np.asarray, self._share(state, len(pool), step))
        share = places[inside]
        # Weights come from all rows of the step, so leaving some out changes no denominator.
        weights = np.zeros(pool.tokens.shape, np.float32)
        weights[share] = np.asarray(self._aggregated(pool.mask[share], len(share)))
        chosen = share if self._every_row else share[pool.signal[share] != 0]
        reference = None if self.objective.kl is None else pool.ref_log_probs
        sampler = pool.sampler_log_probs
        shapes: dict[Any, list[Batch]] = {}
        for places, real, batch in self._padded(pool, chosen):
            width = batch["tokens"].shape[1]
            row_weights = weights[places, :width]
            row_weights[real:] = 0.0
            batch |= {
                "weights": row_weights,
                "signal": pool.signal[places],
                "old_log_probs": pool.log_probs[places, :width],
                "ref_log_probs": None if reference is None else reference[places, :width],
                "sampler_log_probs": None if sampler is None else sampler[places, :width],
                "fresh": places < len(self.learned),
            }
            shapes.setdefault(tuple(map(np.shape, jax.tree.leaves(batch))), []).append(batch)
        return [(self._stacked(alike), len(alike)) for alike in shapes.values()], len(chosen) > 0

    def checked(self, state: FineTuneState, pool: Rows, params: PyTree, sums: Sums) -> Sums:
        sums = jax.device_get(sums)
        loss, norm = float(sums["loss"]), float(sums["gradient_norm"])
        if not (math.isfinite(loss) and math.isfinite(norm)):
            what = f"a loss of {loss} and a gradient norm of {norm}"
            raise self._not_finite(state, pool, unsound(pool, self._scores(params, pool)), what)
        return sums

    def gradient(self, params: PyTree, batch: Batch, count: Any, total: Total | None, **given: Any) -> Total:
        return policy_gradient.total_of(params, batch, count, total, **given)

    def at_reference(self, params: PyTree) -> bool:
        return policy_gradient.equal(params, self.settings.model.trained)

    def loop(self, step: Callable[[Any, Any], tuple[Any, Sums]], carry: Any, steps: int) -> tuple[Any, Sums]:
        found = []
        for index in range(steps):
            carry, sums = step(carry, index)
            found.append(sums)
        return carry, jax.tree.map(lambda *values: np.stack(values), *found)

    def _stacked(self, batches: list[Batch]) -> Batch:
        """[K, ...] of micro-batches, where K is 1 or the most that a step has: two compilations a shape."""
        if len(batches) > 1:
            batches = batches + batches[:1] * (-(-self.most // self.size) - len(batches))
        return jax.tree.map(lambda *leaves: np.stack(leaves), *batches)

    def _scores(self, params: PyTree, rows: Rows) -> np.ndarray:
        scores = np.zeros(rows.tokens.shape, np.float32)
        graphdef, params = self.settings.model.graphdef, self.settings.model.whole(params)
        for chosen, real, batch in self._padded(rows, np.arange(len(rows))):
            found = policy_gradient.token_log_probs(
                params, **batch, temperature=self.numbers["temperature"], graphdef=graphdef
            )
            scores[chosen[:real], : found.shape[1]] = placement.on_host(found)[:real]
        return scores

    def _padded(self, rows: Rows, chosen: np.ndarray) -> list[tuple[np.ndarray, int, Batch]]:
        """(indices with padding, rows that are real, arrays of prompts and responses) of each micro-batch."""
        found = []
        shape = {"shards": self.shards, "widths": self.arms.prompt_widths}
        for places, real, width in learned_rows.padded_batches(
            rows, chosen, self.prompts, size=self.size, widest=rows.tokens.shape[1], **shape
        ):
            batch = learned_rows.prompt_batch(self.prompts, rows.questions[places], **shape)
            found.append(
                (places, real, {**batch, "tokens": rows.tokens[places, :width], "lengths": rows.lengths[places]})
            )
        return found

    def _not_finite(self, state: FineTuneState, rows: Rows, lost: np.ndarray, what: str) -> NotFiniteError:
        """The error for the first of these rows; where each row is sound by itself, for the first of all."""
        question, done = int(rows.questions[int(np.argmax(lost))]), int(state.round)
        return NotFiniteError(done, question, opening(self.arms, question), what, sound=done - 1)
