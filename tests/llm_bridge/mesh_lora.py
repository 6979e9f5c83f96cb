"""What `test_mesh.py` runs of adapters in a process with eight simulated devices: `python -m tests.llm_bridge.mesh_lora
NAME`."""

import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors.numpy import load_file

from llm_bridge.bandits.question_arms import PromptArms
from llm_bridge.language_model import load_model
from llm_bridge.models import lora
from llm_bridge.models.weights import adapter_tensors
from llm_bridge.training.export import export_run
from llm_bridge.training.learner import FineTune
from llm_bridge.training.run import Run, finetune
from tests.llm_bridge.mesh_runs import ALL, check_places

# An epsilon far above the gradients' rounding: AdamW would make a full step of a last bit.
LEARNER = {"rollouts": 8, "signal": "grpo", "max_tokens": 6, "learning_rate": 0.05, "adam_eps": 1e-2}


def trained(mesh: str | None, rounds: int = 2, out: Path | None = None) -> Run:
    on = load_model("tiny-qwen2", mesh=mesh).with_lora(3, key=5)
    arms = PromptArms(on, "12+3=", lambda text: float(len(text) % 2))
    return finetune(arms, FineTune(on, **LEARNER), rounds, key=5, out=out, evaluate=[], shown=False)


def same(found: Run, wanted: Run, name: str) -> None:
    """Equal rewards, and adapters of which both halves moved, and by the same."""
    assert 0 < wanted.history.rewards.mean() < 1
    np.testing.assert_array_equal(found.history.rewards, wanted.history.rewards, err_msg=name)
    for metric in ("loss", "gradient_norm", "kl", "entropy"):
        pair = found.history.metrics[metric], wanted.history.metrics[metric]
        np.testing.assert_allclose(*pair, rtol=2e-3, atol=2e-5, err_msg=f"{name} {metric}")
    start = jax.tree.leaves(wanted.learner.model.trained)
    leaves = jax.tree_util.tree_leaves_with_path(wanted.weights())
    for (path, leaf), before, other in zip(leaves, start, jax.tree.leaves(found.weights()), strict=True):
        moved = float(jnp.abs(leaf - before).max())
        assert moved > 1e-4, (path, "did not move, and nothing was compared")
        np.testing.assert_allclose(np.asarray(other), np.asarray(leaf), atol=0.02 * moved + 1e-6, err_msg=str(path))


def adapters() -> None:
    """Two rounds on eight devices against one: the same tokens and adapters; these, their moments and the frozen
    weights stand where their weight does, a part of each on a device. Catches adapters that every device holds whole,
    a gradient of a part of the rows, and a product that is summed twice over the parts of `tensor`."""
    one, on = trained(None), trained(ALL)
    same(on, one, ALL)
    check_places(on.history.final_state, on.learner.model.config.mesh)
    held = nnx.to_flat_state(on.weights())
    parts = {str(path[-1]): leaf[...].sharding.shard_shape(leaf.shape) for path, leaf in held}
    width, inner = on.learner.model.config.width, on.learner.model.config.mlp_width
    layers = on.learner.model.config.layers
    assert parts["gate_a"] == (layers, width // 2, 3)
    assert parts["gate_b"] == (layers, 3, inner // 2)
    assert parts["down_a"] == (layers, inner // 2, 3)
    assert parts["down_b"] == (layers, 3, width // 2)


def resumed() -> None:
    """A round on two devices, one on four, one on eight, from checkpoint to checkpoint, against three on one device;
    then the adapters as `peft` reads them. Catches a checkpoint of adapters that its own mesh alone reads, moments that
    begin anew, and an export of one device's part."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        one = trained(None, 3)
        for rounds, mesh in enumerate(("data=2", "fsdp=2,tensor=2", ALL), start=1):
            run = trained(mesh, rounds, folder / "run")
        same(run, one, "resumed")
        export_run(folder / "run", folder / "adapter", adapter=True)
        written = load_file(folder / "adapter" / "adapter_model.safetensors")
        tuned = run.learner.model
        for name, wanted in adapter_tensors(tuned.config, lora.whole(run.weights(), tuned.frozen)).items():
            np.testing.assert_array_equal(written[name], wanted, err_msg=name)
        merged = load_model(str(run.export(folder / "merged")))
        tokens = [[5, 6, 7, 8]]
        ours = np.asarray(tuned.logits(tokens, params=run.weights()))
        np.testing.assert_allclose(merged.logits(tokens), ours, atol=1e-4)
        assert np.abs(ours - np.asarray(load_model("tiny-qwen2").logits(tokens))).max() > 1e-2


if __name__ == "__main__":
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    assert jax.device_count() == 8
    globals()[sys.argv[1]]()
