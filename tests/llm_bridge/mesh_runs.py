"""What `test_mesh.py` runs in a process with eight simulated devices: `python -m tests.llm_bridge.mesh_runs NAME`."""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft.errors import InputError
from llm_bridge.bandits.question_arms import PromptArms, QuestionArms
from llm_bridge.bandits.token_arms import TokenPromptArms
from llm_bridge.data.datasets import Example
from llm_bridge.language_model import LanguageModel, load_model
from llm_bridge.models import placement
from llm_bridge.training import policy_gradient
from llm_bridge.training.learner import FineTune
from llm_bridge.training.run import finetune
from tests.llm_bridge import toy

ALL = "data=2,fsdp=2,tensor=2"
MESHES = ("data=2", "fsdp=2,tensor=2", ALL)


class Wide(toy.Letters):
    """Letters for a vocabulary that is wider than the alphabet."""

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        return "".join(toy.ALPHABET[(i - 1) % len(toy.ALPHABET)] for i in ids if i)


def model(**changes) -> LanguageModel:
    """A toy of 192 tokens: one and a half blocks of the draw, so that a mesh of two cuts a block in its middle."""
    return dataclasses.replace(toy.model(**({"vocabulary": 192} | changes)), tokenizer=Wide())


def early_letter(answer: str):
    """1 where the response begins with a letter of the first part of the alphabet, which the answer bounds."""
    return lambda text: float(text[:1] != "" and toy.ALPHABET.index(text[:1]) < int(answer))


def question_arms(on: LanguageModel) -> QuestionArms:
    words = ("hello", "mesh", "ofdevices", "divided")
    examples = [
        Example(prompt=({"role": "user", "content": word},), ground_truth="30", index=place, data_source="test")
        for place, word in enumerate(words)
    ]
    return QuestionArms(on, examples, early_letter)


def histories() -> None:
    """Rewards and lengths equal, metrics and weights close, on 1, 2, 4 and 8 devices: several questions by AdamW and
    GRPO, and a lone prompt by SGD in micro-batches."""
    asked = {"prompts": 2, "rollouts": 4, "signal": "grpo", "max_tokens": 5, "learning_rate": 1e-3}
    lone = {"rollouts": 16, "micro_batch": 8, "optimizer": "sgd", "learning_rate": 0.1, "max_tokens": 5, "remat": True}
    lone |= {"mini_batches": 2, "entropy_coefficient": 0.01}
    first = model()
    for make, settings, meshes in (
        (question_arms, asked, MESHES),
        (lambda on: PromptArms(on, "hello", early_letter("30")), lone, (ALL,)),
    ):
        runs = {}
        for mesh in (None, *meshes):
            on = first.placed(mesh)
            runs[mesh] = finetune(make(on), FineTune(on, **settings), 2, key=5, evaluate=[], shown=False)
            assert runs[mesh].history.config["mesh"] == mesh
        one = runs[None]
        assert 0 < one.history.rewards.mean() < 1
        for mesh in meshes:
            other = runs[mesh]
            np.testing.assert_array_equal(other.history.rewards, one.history.rewards, err_msg=mesh)
            for name, values in one.history.metrics.items():
                found = other.history.metrics[name]
                np.testing.assert_allclose(found, values, rtol=2e-3, atol=2e-5, err_msg=f"{mesh} {name}")
            moved = jax.tree.map(lambda new, old: float(jnp.abs(new - old).max()), one.weights(), first.params)
            assert min(jax.tree.leaves(moved)) > 1e-5, "a weight did not move, and nothing was compared"
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=2e-4), one.weights(), other.weights())
            check_places(other.history.final_state, on := placement.make(mesh, first.config))
            assert placement.size(on) == len(jax.tree.leaves(other.weights())[0].sharding.device_set)


def gradients() -> None:
    """Loss and gradient of rows after one prompt and after prompts of their own, of unequal lengths, on one device and
    on eight; and of adapters, both halves of which have a gradient."""
    one = model()
    on = one.placed(ALL)
    rows, width, length = 8, 7, 9
    key = jax.random.key(0)
    random = jax.random.randint(key, (rows, width + length), 1, 192, jnp.int32)
    prompts, tokens = random[:, :width], random[:, width:]
    lengths = jnp.asarray([3, 7, 1, 5, 7, 2, 4, 6], jnp.int32)
    objective = policy_gradient.Objective(clipped=True, dual_clipped=False, kl=None, remat=True, entropy=True)
    names = ("clip_low", "clip_high", "dual_clip", "kl_coefficient", "entropy_coefficient", "temperature")
    batch = {
        "tokens": tokens,
        "lengths": jnp.flip(lengths) + 2,
        "weights": jnp.where(jnp.arange(length) < jnp.flip(lengths)[:, None] + 2, 0.1, 0.0).astype(jnp.float32),
        "signal": jnp.linspace(-1.0, 1.0, rows, dtype=jnp.float32),
        "old_log_probs": jnp.full((rows, length), -5.0, jnp.float32),
        "ref_log_probs": None,
        "fresh": jnp.ones(rows, bool),
        "numbers": {name: jnp.float32(1.0) for name in names},
        "objective": objective,
    }
    for asked in (
        {"prompt": prompts[0], "prompt_lengths": jnp.int32(5)},
        {"prompt": prompts, "prompt_lengths": lengths},
    ):
        wanted = policy_gradient.loss_and_gradient(one.params, **asked, **batch, graphdef=one.graphdef)
        found = policy_gradient.loss_and_gradient(on.params, **asked, **batch, graphdef=on.graphdef)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=2e-6), found, wanted)
        assert all(float(jnp.abs(leaf).max()) > 1e-4 for leaf in jax.tree.leaves(wanted[1]))
        check_places(dataclasses.make_dataclass("State", ("params", "opt_state"))(found[1], ()), on.config.mesh)
    one, on = (each.with_lora(3) for each in (one, on))
    halves = jax.tree.map(
        lambda leaf: leaf + 0.05 * jnp.sin(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape), one.trained
    )
    wanted, found = (
        policy_gradient.loss_and_gradient(
            placement.weights(each.config.mesh, halves), **asked, **batch, graphdef=each.graphdef, frozen=each.frozen
        )
        for each in (one, on)
    )
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5), found, wanted)
    assert all(float(jnp.abs(leaf).max()) > 1e-4 for leaf in jax.tree.leaves(wanted[1]))
    check_places(dataclasses.make_dataclass("State", ("params", "opt_state"))(found[1], ()), on.config.mesh)


def check_places(state, mesh) -> None:
    """Weights and moments are divided as the table says: no device holds more than its part."""
    for tree in (state.params, state.opt_state):
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            wanted = placement.spec_of(path, leaf.ndim)
            parts = int(np.prod([mesh.shape[axis] for axis in wanted if axis is not None], dtype=int))
            part = leaf.sharding.shard_shape(leaf.shape)
            assert np.prod(part, dtype=int) * parts == leaf.size, (path, part, leaf.shape, wanted)


def tokens() -> None:
    """One key's tokens on every mesh, of numbers of rows that no mesh divides, sampled and greedy; their scores too."""
    first = model(spread=3.0)
    prompts = ["hello", "a", "longerprompt"]
    for temperature, meshes in ((1.0, ("data=8", "fsdp=2,tensor=2", ALL)), (0.0, (ALL,))):
        settings = {"max_tokens": 12, "key": 7, "temperature": temperature}
        many, same = first.generate_many(prompts, **settings), first.generate("abc", rollouts=5, **settings)
        assert len({tuple(row) for row in same.tokens.tolist()}) > 1 or temperature == 0
        for mesh in meshes:
            on = first.placed(mesh)
            for found, wanted in (
                (on.generate_many(prompts, **settings), many),
                (on.generate("abc", rollouts=5, **settings), same),
            ):
                np.testing.assert_array_equal(found.tokens, wanted.tokens, err_msg=mesh)
                np.testing.assert_allclose(found.log_probs, wanted.log_probs, atol=2e-5)
                np.testing.assert_allclose(found.entropy, wanted.entropy, atol=2e-5)
    np.testing.assert_allclose(on.log_probs("abc", same), first.log_probs("abc", same), atol=2e-5)
    np.testing.assert_allclose(on.logits([[1, 2, 3]]), first.logits([[1, 2, 3]]), atol=2e-5)


def families() -> None:
    """Models of all families on a mesh: biases, norms over heads and of each, a head of its own, and layers with a
    window, sampled and scored."""
    for name in ("tiny-llama", "tiny-qwen2", "tiny-olmo2"):
        one, on = load_model(name), load_model(name, mesh=ALL)
        check_places(dataclasses.make_dataclass("State", ("params", "opt_state"))(on.params, ()), on.config.mesh)
        np.testing.assert_allclose(on.logits([[5, 6, 7, 8]]), one.logits([[5, 6, 7, 8]]), atol=1e-4)
        settings = {"rollouts": 4, "max_tokens": 8, "key": 1}
        prompt = "12+3="
        np.testing.assert_array_equal(on.generate(prompt, **settings).tokens, one.generate(prompt, **settings).tokens)
    local = {"window": 4, "local_layers": (True, False)}
    for changes in ({"model_type": "qwen3"}, {"model_type": "gemma3_text", **local}):
        one = model(spread=3.0, **changes)
        on = one.placed(ALL)
        np.testing.assert_allclose(on.logits([[1, 2, 3, 4, 5, 6]]), one.logits([[1, 2, 3, 4, 5, 6]]), atol=1e-4)
        same = one.generate("longerprompt", rollouts=4, max_tokens=8, key=1)
        np.testing.assert_array_equal(on.generate("longerprompt", rollouts=4, max_tokens=8, key=1).tokens, same.tokens)
        np.testing.assert_allclose(on.log_probs("longerprompt", same), same.log_probs, atol=1e-4)
    apart = model(tied=False)
    np.testing.assert_allclose(apart.placed(ALL).logits([[1, 2]]), apart.logits([[1, 2]]), atol=2e-5)
    assert apart.placed(ALL).placed(None).params["head"][...].sharding.device_set == {jax.devices()[0]}


def refusals() -> None:
    """One sentence for each mesh that cannot be."""
    first = model()
    for mesh, said in (
        ("data=16", "16 devices and there are 8"),
        ("tensor=4", "tensor=4 and the model has 2 key and value heads"),
        ("fsdp=3", "fsdp=3 and the model has 32 hidden units"),
        ("rows=2", "names the axis 'rows'"),
        ("data=0", "data = '0'"),
        ("data=two", "data = 'two'"),
        ("data", "data = ''"),
        ("", "names the axis ''"),
        ("data=2,data=2", "data twice"),
        ("data=1e3", "data = '1e3'"),
        ("data=٢", "data = '٢'"),
        ("data=9999999999999", "data = '9999999999999'"),
        ({"data": -1}, "data = '-1'"),
    ):
        refused(lambda mesh=mesh: first.placed(mesh), said)
    for changes, said in (
        ({"vocabulary": 193}, "193 tokens of the vocabulary"),
        ({"mlp_width": 47}, "47 inner units"),
    ):
        refused(lambda changes=changes: model(**changes).placed("tensor=2"), said)
    on = first.placed("data=4")
    for settings, said in (
        ({"rollouts": 6}, "a round's responses are 6"),
        ({"rollouts": 8, "micro_batch": 2}, "micro_batch is 2"),
        ({"rollouts": 8, "generation_batch": 6}, "generation_batch is 6"),
    ):
        learner = FineTune(on, max_tokens=4, **settings)
        refused(lambda learner=learner: finetune(PromptArms(on, "hello", early_letter("9")), learner, 1), said)
    tiny = load_model("tiny-llama", mesh="data=2")
    refused(lambda: FineTune(tiny, rollouts=2).bind(TokenPromptArms(tiny, "1+1=", "2")), "takes no mesh")
    assert first.placed("data=1,fsdp=1").config.mesh is None
    assert placement.text_of(first.placed({"tensor": 2, "data": 2}).config.mesh) == "data=2,tensor=2"


def refused(call, said: str) -> None:
    with pytest.raises(InputError) as found:
        call()
    assert said in str(found.value), (said, str(found.value))
    assert ". " not in str(found.value)


if __name__ == "__main__":
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    assert jax.device_count() == 8
    globals()[sys.argv[1]]()
