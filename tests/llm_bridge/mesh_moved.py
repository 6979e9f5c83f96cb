"""What a round's programs move between devices, from the compiled HLO, against what the mesh needs at least:
`python -m tests.llm_bridge.mesh_moved MESH ...`, run by `test_mesh.py` with eight simulated devices."""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from llm_bridge.language_model import LanguageModel
from llm_bridge.models.decoding_weights import prepare
from llm_bridge.sampling import decoding
from llm_bridge.training import policy_gradient
from tests.llm_bridge import collectives, mesh_runs

ROWS, WIDTH, SLOTS = 8, 32, 16  # responses, tokens of a prompt, tokens of a response
NUMBERS = ("clip_low", "clip_high", "dual_clip", "kl_coefficient", "entropy_coefficient", "temperature")
Found = list[collectives.Moved]


class On:
    """A model on a mesh, and the sizes that its traffic is made of."""

    def __init__(self, mesh: str, rank: int | None = None) -> None:
        model = mesh_runs.model(vocabulary=512).placed(mesh)
        self.model: LanguageModel = model if rank is None else model.with_lora(rank)
        sizes = dict(model.config.mesh.shape)
        self.data, self.fsdp, self.tensor = (sizes[axis] for axis in ("data", "fsdp", "tensor"))
        self.row = ROWS // (self.data * self.fsdp)  # responses of a device
        config = model.config
        self.layers, self.size, self.rank = config.layers, config.width, rank
        self.prompts, self.lengths = jnp.ones((ROWS, WIDTH), jnp.int32), jnp.full((ROWS,), 5, jnp.int32)
        self.stacked = [leaf for leaf in jax.tree.leaves(self.model.frozen or model.params) if leaf.ndim == 3]
        self.adapters = [] if rank is None else jax.tree.leaves(self.model.trained)
        self.embedding = config.vocabulary * self.size

    def part(self, leaf: Any) -> int:
        """Numbers of a weight that a device computes with: whole along fsdp."""
        return leaf.size // (self.tensor if "tensor" in leaf.sharding.spec else 1)

    def allowed(self) -> set[tuple[int, ...]]:
        """Shapes that may be gathered: the draw's sums of blocks of tokens, and along fsdp weights of a layer, or those
        outside."""
        found = {(self.row, 4)} if self.tensor > 1 else set()
        if self.fsdp == 1:
            return found
        found.add((512 // self.tensor, self.size))
        for leaf in (*self.stacked, *self.adapters):
            spec = (*leaf.sharding.spec, None, None)
            one = [n // (self.tensor if axis == "tensor" else 1) for n, axis in zip(leaf.shape, spec, strict=False)]
            found |= {(1, *one[1:]), tuple(one[1:])}
        return found


def sampled(on: On) -> Found:
    """A token moves what `tensor` divides: the embedding's row, two sums a layer, and the draw's maximum, totals, sums
    and one of the 4 blocks of 128; and a bit that says whether all are done. Evaluation samples by these programs
    too."""
    model = on.model
    keys = jax.random.wrap_key_data(jnp.zeros((ROWS, 2), jnp.uint32), impl="threefry2x32")
    sampling = (keys, jnp.float32(1.0), jnp.array([0], jnp.int32))
    given = (model.graphdef, model.params, on.prompts, on.lengths, None, jnp.zeros(ROWS, bool), *sampling)
    first = decoding.prefill.lower(*given, capacity=SLOTS, greedy=False).compile()
    prefix, state = first(*given[1:])
    weights = prepare(model.graphdef, model.params)
    settings = {"config": model.config, "greedy": False}
    decode = decoding.decode.lower(weights, prefix, state, jnp.int32(SLOTS), *sampling, **settings).compile()
    found = collectives.of(decode.as_text())
    sums, draws = 4 * on.row * on.size * (2 * on.layers + 1), 4 * on.row * (4 + 128 + 4)
    if on.rank is not None:  # of x A, where `tensor` divides the rows of A
        sums += 4 * on.row * on.rank * 2 * on.layers
    if on.tensor == 1:
        sums = draws = 0
    assert sums <= collectives.total(found) <= sums + draws + 8, found
    assert {one.kind for one in found} <= {"all-reduce", "all-gather"}
    blocks = [((on.row, 4),)] if on.tensor > 1 else []
    assert [one.shapes for one in found if one.kind == "all-gather"] == blocks
    return found + collectives.of(first.as_text())


def scored(on: On) -> Found:
    """The forward pass alone: of policy and reference, and of `measure`."""
    given = (on.model.params, on.prompts, on.lengths, jnp.ones((ROWS, SLOTS), jnp.int32), jnp.full(ROWS, SLOTS))
    score = policy_gradient.token_log_probs.lower(*given, jnp.float32(1.0), graphdef=on.model.graphdef).compile()
    found = collectives.of(score.as_text())
    layers = sum(map(on.part, (*on.stacked, *on.adapters)))
    gathered = 4 * (layers + on.embedding // on.tensor) if on.fsdp > 1 else 0
    passed = on.row * (WIDTH + SLOTS)
    summed = 4 * passed * (on.size * (2 * on.layers + 1) + 2 * on.layers * (on.rank or 0)) if on.tensor > 1 else 0
    # The head's maximum, total, chosen logit and entropy; of a weight outside the layers, once as table, once as head.
    more = 4 * on.row * SLOTS * 8 + (4 * on.embedding // on.tensor if on.fsdp > 1 else 0)
    compare("score", on, collectives.total(found), gathered + summed, more)
    return found


def updated(on: On) -> Found:
    """Along fsdp a layer's weights are gathered forward and backward; over rows gradients of what is trained are
    summed; over tensor two sums a layer forward and two backward, of the embedding, and of the head's states."""
    model = on.model
    batch = {"tokens": np.ones((ROWS, SLOTS), np.int32), "lengths": np.full(ROWS, SLOTS, np.int32)}
    batch |= {"weights": np.ones((ROWS, SLOTS), np.float32), "signal": np.ones(ROWS, np.float32)}
    batch |= {"old_log_probs": np.zeros((ROWS, SLOTS), np.float32), "ref_log_probs": None}
    batch |= {"fresh": np.ones(ROWS, bool)}
    update = policy_gradient.loss_and_gradient.lower(
        model.trained,
        prompt=on.prompts,
        prompt_lengths=on.lengths,
        **batch,
        numbers={name: jnp.float32(1.0) for name in NUMBERS},
        graphdef=model.graphdef,
        objective=policy_gradient.Objective(clipped=True, dual_clipped=False, kl=None, remat=False),
        frozen=model.frozen,
    ).compile()
    found = collectives.of(update.as_text())
    layers, adapters = (sum(map(on.part, some)) for some in (on.stacked, on.adapters))
    outside = on.embedding // on.tensor
    gathered = 4 * (2 * (layers + adapters) + outside) if on.fsdp > 1 else 0
    # A tied embedding has two gradients: as table and as head.
    trained = 4 * (layers + 2 * outside if on.rank is None else adapters) if on.data * on.fsdp > 1 else 0
    activations = 4 * on.row * (WIDTH + SLOTS) * on.size
    sums = activations * (4 * on.layers + 1) + 4 * on.row * SLOTS * on.size
    # XLA on a CPU sums the gradients of q, k, v and of gate, up each by itself: 5 sums a layer backward, not 2.
    apart = 3 * on.layers * activations
    if on.rank is not None:  # x A of o and down forward, and the gradient of x A of the others backward
        sums += 7 * on.layers * activations * on.rank // on.size
        apart += 7 * on.layers * activations * on.rank // on.size
    if on.tensor == 1:
        sums = apart = 0
    compare("update", on, collectives.total(found), gathered + trained + sums, apart)
    return found


def compare(what: str, on: On, spent: int, ideal: int, more: int) -> None:
    """Within a tenth of the ideal, and of what this compiler adds to it."""
    name = f"{what} on data={on.data},fsdp={on.fsdp},tensor={on.tensor}" + (f", rank {on.rank}" if on.rank else "")
    print(f"{name}: {spent} bytes, {spent / ideal if ideal else 1:.2f} of the ideal {ideal}, at most {ideal + more}")
    assert spent >= 0.9 * ideal, f"{name}: the count lost something"
    assert spent <= 1.1 * (ideal + more) + 64 * on.row, name  # and the loss with its metrics, a few numbers a row


def moved(mesh: str, rank: int | None = None) -> None:
    on = On(mesh, rank)
    for one in (*sampled(on), *scored(on), *updated(on)):
        if "gather" in one.kind:
            for shape in one.shapes:
                assert shape in on.allowed(), f"{mesh}: {one} is neither a weight nor the draw's sums: logits, a cache?"


if __name__ == "__main__":
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    assert jax.device_count() == 8
    for text in sys.argv[1:]:
        mesh, _, rank = text.partition(";rank=")
        moved(mesh, int(rank) if rank else None)
