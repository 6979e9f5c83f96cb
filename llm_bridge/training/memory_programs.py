"""The programs of a round, compiled from shapes alone: no weight is made, and XLA says what each of them holds.

`Programs` lowers the very functions that a run calls (`sampling.decoding`, `policy_gradient`), in the very shapes that
the plan of an update (`plans.OnHost`) gives them where every response has its full length.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from llm_bridge.measuring import branch_scores, prompt_scores, response_tree
from llm_bridge.models import decoding_weights, lora, placement
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.weights import abstract_decoder
from llm_bridge.sampling import decoding, generate
from llm_bridge.sampling.buckets import bucket, prompt_widths
from llm_bridge.training import policy_gradient
from llm_bridge.training.learned_rows import Rows
from llm_bridge.training.learner import FineTune
from llm_bridge.training.update import Update

PyTree = Any
Shape = jax.ShapeDtypeStruct


@dataclass(frozen=True)
class Compiled:
    """What XLA holds for a program, in bytes per device.

    Attributes:
        arguments, outputs, temporaries: of a call.
        shared: of the outputs, what is written over arguments.
        result: shapes of what it returns, with where they are on a mesh.
    """

    arguments: int
    outputs: int
    temporaries: int
    shared: int
    result: PyTree

    @property
    def made(self) -> int:
        """What a call needs beside its arguments."""
        return self.outputs - self.shared + self.temporaries


def bytes_of(tree: PyTree) -> int:
    """Bytes per device of arrays, or of their shapes."""
    return sum(_bytes(leaf) for leaf in jax.tree.leaves(tree))


def _bytes(leaf: Any) -> int:
    sharding = getattr(leaf, "sharding", None)
    shape = leaf.shape if sharding is None else sharding.shard_shape(leaf.shape)
    size = 8 if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else jnp.dtype(leaf.dtype).itemsize
    return math.prod(shape) * size


def in_float32(tree: PyTree) -> PyTree:
    """Shapes of the same arrays in float32, where they were."""
    return jax.tree.map(lambda leaf: Shape(leaf.shape, jnp.float32, sharding=getattr(leaf, "sharding", None)), tree)


def abstract_params(config: DecoderConfig, *, dtype: Any, param_dtype: Any) -> tuple[Any, PyTree]:
    """Graph and parameters of a decoder as shapes, on its mesh."""
    graphdef, params = abstract_decoder(config, dtype=jnp.dtype(dtype), param_dtype=jnp.dtype(param_dtype))
    return graphdef, _placed(config.mesh, params)


def _placed(mesh: Mesh | None, tree: PyTree) -> PyTree:
    """Shapes of weights or of an optimiser's state where `placement.weights` puts them."""
    if mesh is None:
        return tree

    def place(path: tuple[Any, ...], leaf: Any) -> Shape:
        spec = placement.spec_of(path, leaf.ndim)
        return Shape(leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, spec))

    return jax.tree_util.tree_map_with_path(place, tree)


class Programs:
    """The programs of one `FineTune` whose model has shapes for weights.

    Args:
        settings: with its `max_tokens`; of a model as `abstract_params` gives its parameters.
        questions: how many there are.
        prompt_tokens: tokens of each prompt, all of one length.
        rounds: of the run.
        kept: what was compiled before, by function, shapes and constants; shared between plans.
        tell: called with what is compiled, before it is.
    """

    def __init__(
        self,
        settings: FineTune,
        questions: int,
        prompt_tokens: int,
        rounds: int,
        kept: dict[Any, Compiled],
        tell: Callable[[str], None] = lambda what: None,
    ) -> None:
        self.settings, self.model, self.kept, self.tell = settings, settings.model, kept, tell
        self.prompts = [np.full(prompt_tokens, place % 7, np.int32) for place in range(questions)]
        widths = prompt_widths([prompt_tokens] * questions)
        arms: Any = SimpleNamespace(question_tokens=self.prompts, prompt_widths=widths, model=self.model)
        self.update = Update(settings, arms, rounds)
        self.plan = self.update.on_the_host
        self.weights, self.frozen = lora.trained(self.model.params), lora.frozen(self.model.params)
        self.moments = _placed(self.model.config.mesh, jax.eval_shape(self.update.optimizer.init, self.weights))

    def decoding_copy(self) -> tuple[int, PyTree]:
        """Bytes per device of decoding's copy of the weights, and its shapes."""
        model, layers, what = self.model, [], "decoding's copy of the weights"
        for _ in range(model.config.layers):
            layer = self._compiled(what, decoding_weights._layer, model.graphdef, model.params, jnp.int32(0))
            layers.append(layer.result)
        ends = self._compiled(what, decoding_weights._ends, model.graphdef, model.params).result
        embedding, final_norm, head = ends
        copy = decoding_weights.DecodingWeights(
            layers=tuple(layers), embedding=embedding, final_norm=final_norm, head=head
        )
        return bytes_of(copy), copy

    def sampling(self, rows: int, questions: int) -> dict[str, Compiled]:
        """Of so many rows that answer so many questions: "prefill", "decode", and "grow" where the cache grows."""
        model, config = self.model, self.model.config
        shards = placement.row_shards(config.mesh)
        padded = shards * bucket(-(-rows // shards))
        held = 1 if questions == 1 else padded if shards > 1 else bucket(min(questions, rows))
        tokens, lengths = generate.pad_prompts([self.prompts[0]], held, 0)
        owners = None if shards > 1 and held > 1 else Shape((padded,), jnp.int32)
        keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0, impl="threefry2x32"), padded))
        assert self.settings.max_tokens is not None
        final = bucket(self.settings.max_tokens)
        capacity, heat = min(final, generate.FIRST_CAPACITY), jnp.float32(1.0)
        ends = Shape((max(len(config.eos_ids), 1),), jnp.int32)
        done = Shape((padded,), jnp.bool_)
        asked = (Shape(tokens.shape, tokens.dtype), Shape(lengths.shape, lengths.dtype), owners, done)
        found = {
            "prefill": self._compiled(
                "the reading of prompts",
                decoding.prefill,
                model.graphdef,
                model.params,
                *asked,
                keys,
                heat,
                ends,
                capacity=capacity,
                greedy=False,
            )
        }
        prefix, state = found["prefill"].result
        while capacity < final:
            capacity = min(final, capacity * generate.GROWTH)
            found["grow"] = self._compiled("the cache", decoding.grow, state, config=config, capacity=capacity)
            state = found["grow"].result
        _, copy = self.decoding_copy()
        limit = jnp.int32(1)
        found["decode"] = self._compiled(
            "decoding", decoding.decode, copy, prefix, state, limit, keys, heat, ends, config=config, greedy=False
        )
        return found

    def scoring(self) -> Compiled | None:
        """Of the policy's or the reference's score of a round; None where nothing needs one."""
        if not self.settings.scores_policy:
            return None
        rows = self._rows(self.settings.prompts * self.settings.group)
        batches = [batch for _, _, batch in self.plan._padded(rows, np.arange(len(rows)))]
        largest = max(batches, key=lambda batch: batch["tokens"].size)
        return self._compiled(
            "scoring",
            policy_gradient.token_log_probs,
            self.model.params,
            **_shapes(largest),
            temperature=self.update.numbers["temperature"],
            graphdef=self.model.graphdef,
        )

    def gradient(self) -> Compiled:
        """Of a step's gradient, over all its micro-batches."""
        settings = self.settings
        pool = self._rows(len(self.plan.learned) * (1 + settings.replay))
        state: Any = SimpleNamespace(round=settings.replay, key=lambda purpose: jax.random.key(0))
        batches, _ = self.plan.batches(state, pool, 0)
        batch, count = max(batches, key=lambda pair: pair[0]["tokens"].size)
        given: dict[str, Any] = {
            "numbers": self.update.numbers,
            "graphdef": self.model.graphdef,
            "objective": self.update.objective,
            "at_reference": False,
            "frozen": self.frozen,
        }
        if len(batch["tokens"]) == 1:
            first = jax.tree.map(lambda leaf: leaf[0], batch)
            function = policy_gradient.loss_and_gradient
            return self._compiled("the gradient", function, self.weights, **_shapes(first), **given)
        function = policy_gradient.accumulated
        return self._compiled("the gradient", function, self.weights, _shapes(batch), count, None, **given)

    def measured_scores(self, standard_error: bool) -> int:
        """Bytes per device of the sums of scores, and of the scores beside them, where kappa is measured before the run
        (`measuring.gap_estimate`); with its standard error there is a sum more.
        """
        sums = (2 + standard_error) * bytes_of(in_float32(self.model.params))
        return sums + bytes_of(self._slopes())

    def measuring(self) -> Compiled:
        """Of the scores of a few responses, where kappa is measured before the run."""
        settings, found = self.settings, self._scores()
        how = {"graphdef": self.model.graphdef, "temperature": float(settings.temperature), "remat": settings.remat}
        return self._compiled("the measurement", found.function, self.model.params, *found.shapes, **how)

    def measured_tree(self, responses: int) -> tuple[int, int]:
        """Bytes per device of the scores of a few branches, and of what is made of them before it leaves the device
        (`measuring.branch_scores`): where so many responses are too much to keep whole, their sketch.

        Whatever else the tree holds is less than kappa's sums: the way that Adam goes is one sum, its signs, or weights
        that have gone there, each beside the scores.
        """
        slopes, weights = self._slopes(), jax.tree.leaves(self.model.params)
        numbers, what = sum(leaf.size for leaf in weights), "the measurement's tree"
        if 4 * numbers * responses <= response_tree.MEMORY:
            made = self._compiled(what, branch_scores._flat, slopes)
        else:
            signs = [Shape((leaf.size,), jnp.int8) for leaf in weights]
            made = self._compiled(what, branch_scores._folded, slopes, signs)
        scores = bytes_of(slopes)
        return scores, max(made.arguments - scores, 0) + made.made

    def _slopes(self) -> PyTree:
        """Shapes of the scores that are made together."""
        rows, mesh = self._scores().rows, self.model.config.mesh

        def of_rows(leaf: Any) -> Shape:
            place = None if mesh is None else NamedSharding(mesh, PartitionSpec(None, *leaf.sharding.spec))
            return Shape((rows, *leaf.shape), leaf.dtype, sharding=place)

        return jax.tree.map(of_rows, self.model.params)

    def _scores(self) -> prompt_scores.Program:
        assert self.settings.max_tokens is not None
        return prompt_scores.program(self.model.params, self.prompts[0].shape[-1], self.settings.max_tokens)

    @property
    def kept_rows(self) -> int:
        """Bytes of the rows that are replayed and of those that wait to be learned from."""
        return bytes_of(jax.eval_shape(self.settings.kept_rows))

    def step(self, donated: bool) -> Compiled:
        """Of the optimiser's step, in place or not."""
        move = policy_gradient.step_donated if donated else policy_gradient.step_kept
        mesh = self.model.config.mesh
        how = {"optimizer": self.update.optimizer, "mesh": mesh}
        return self._compiled("the optimiser's step", move, self.weights, self.moments, self.weights, **how)

    @cached_property
    def batch_bytes(self) -> int:
        """Of a step's rows on the device."""
        rows = len(self.plan.learned) * (1 + self.settings.replay) // self.settings.mini_batches
        return 4 * 5 * rows * int(self.settings.max_tokens or 0)

    def _rows(self, count: int) -> Rows:
        """Responses of full length, in groups of one question."""
        settings = self.settings
        assert settings.max_tokens is not None
        group = max(count // settings.prompts, 1) if settings.prompts > 1 else count
        questions = np.minimum(np.arange(count) // group, len(self.prompts) - 1).astype(np.int32)
        numbers = np.zeros((count, settings.max_tokens), np.float32)
        return Rows(
            questions=questions,
            tokens=numbers.astype(np.int32),
            lengths=np.full(count, settings.max_tokens, np.int32),
            log_probs=numbers,
            ref_log_probs=numbers,
            signal=np.ones(count, np.float32),
        )

    def _compiled(self, what: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Compiled:
        key = (id(function), _key(arguments), _key(named))
        if key not in self.kept:
            self.tell(what)
            lowered: Any = function.lower(*arguments, **named)  # pyright: ignore[reportFunctionMemberAccess]
            program = lowered.compile()
            held = program.memory_analysis()
            result = lowered.out_info
            if self.model.config.mesh is not None:
                result = jax.tree.map(
                    lambda leaf, place: Shape(leaf.shape, leaf.dtype, sharding=place), result, program.output_shardings
                )
            else:
                result = jax.tree.map(lambda leaf: Shape(leaf.shape, leaf.dtype), result)
            self.kept[key] = Compiled(
                arguments=held.argument_size_in_bytes,
                outputs=held.output_size_in_bytes,
                temporaries=held.temp_size_in_bytes,
                shared=held.alias_size_in_bytes,
                result=result,
            )
        return self.kept[key]


def _shapes(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: Shape(np.shape(leaf), np.asarray(leaf).dtype), tree)


def _key(tree: PyTree) -> Any:
    """Equal for arguments that give the same program."""

    def one(leaf: Any) -> Any:
        return (
            (tuple(leaf.shape), str(leaf.dtype), str(getattr(leaf, "sharding", None)))
            if hasattr(leaf, "dtype")  # a mesh has a shape too
            else leaf
        )

    leaves, structure = jax.tree.flatten(tree)
    return tuple(one(leaf) for leaf in leaves), structure
