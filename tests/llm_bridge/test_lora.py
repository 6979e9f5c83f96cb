"""Low-rank adapters: exact gradients, the base held once and as the reference, and what is exported."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

import bandit_rft
from bandit_rft.errors import InputError
from bandit_rft.settings.finetune import FineTuneConfig
from llm_bridge import FineTune, PromptArms, finetune, load_model
from llm_bridge.models import lora
from llm_bridge.models.layer import layer_shapes
from llm_bridge.sampling.scoring import token_log_probs
from llm_bridge.training.export import export_run, save_adapter, save_pretrained
from tests.llm_bridge import toy
from tests.llm_bridge.checkpoints import FAMILIES, VOCABULARY, beside_a_vision_tower, save, torch_logits, torch_model
from tests.llm_bridge.updates import early_letter

TOKENS = np.random.default_rng(0).integers(0, VOCABULARY, (2, 12)).astype(np.int32)


def moved(model: Any, size: float = 0.05) -> Any:
    """The model's adapters, every half of them random."""
    generator = np.random.default_rng(3)
    return jax.tree.map(
        lambda leaf: jnp.asarray(np.asarray(leaf) + size * generator.normal(size=leaf.shape), jnp.float32),
        model.trained,
    )


@pytest.mark.parametrize("weights", [None, "q,v"])
def test_gradients_of_the_halves_are_the_chain_rule_of_the_whole_gradient(weights: str | None) -> None:
    """With W' = W + s A B: dA = s (dW') Bᵀ and dB = s Aᵀ (dW'), with dW' the full gradient at the merged weights, which
    the decoder without adapters computes. Catches a scale left out, a target fed with another's input, an adapter that
    some path through the decoder does not have, and a stop of the gradient."""
    base = toy.model(spread=3.0)
    model = base.with_lora(3, alpha=5.0, weights=weights)
    adapters = moved(model)
    flat = {str(path[-1]): np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(adapters)}
    prompt, tokens, lengths = jnp.arange(1, 6), jnp.arange(6, 22).reshape(4, 4), jnp.array([4, 2, 3, 4])

    def score(graphdef: Any, params: Any) -> jax.Array:
        return jnp.sum(token_log_probs(graphdef, params, prompt, tokens, lengths))

    whole = nnx.to_flat_state(base.params)
    merged = nnx.from_flat_state(
        [
            (path, leaf.replace(jnp.asarray(lora.merged(model.config, str(path[-1]), np.asarray(leaf[...]), flat))))
            for path, leaf in whole
        ]
    )
    full = jax.jit(jax.grad(lambda p: score(base.graphdef, p)))(merged)
    own = jax.jit(jax.grad(lambda a: score(model.graphdef, lora.whole(a, model.frozen))))(adapters)
    scale = 5.0 / 3
    found = {str(path[-1]): np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(own)}
    names = (weights or ",".join(lora.WEIGHTS)).split(",")
    assert {name.rsplit("_", 1)[0] for name in found} == set(names)
    for name in names:
        slope = np.asarray(full["blocks"][name][...], np.float64)
        a, b = flat[f"{name}_a"].astype(float), flat[f"{name}_b"].astype(float)
        for half, wanted in (("a", scale * slope @ b.swapaxes(1, 2)), ("b", scale * a.swapaxes(1, 2) @ slope)):
            error = np.abs(found[f"{name}_{half}"] - wanted).max()
            assert error < 2e-5 * np.abs(wanted).max() + 1e-6, (name, half, error)


def test_a_step_of_full_rank_is_the_full_step_in_the_tangent_space() -> None:
    """At B = 0 with A square and orthogonal, SGD on B alone moves W' = W + s A B by s² A Aᵀ dW' = s² dW': the full
    step. Catches an update that drops one half's gradient or moves the frozen weights."""
    base = toy.model(spread=3.0)
    model = base.with_lora(32, alpha=32.0, weights="q")
    square = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(2, 32, 32)))[0], jnp.float32)
    adapters = nnx.from_flat_state(
        [(path, leaf.replace(square) if path[-1] == "q_a" else leaf) for path, leaf in nnx.to_flat_state(model.trained)]
    )
    object.__setattr__(model, "params", model.whole(adapters))
    settings: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.1, "gradient_clip": None, "kl_coefficient": 0.0}
    settings |= {"rollouts": 4, "max_tokens": 4, "signal": "grpo"}
    stepped = {}
    for one in (base, model):
        history = bandit_rft.run(PromptArms(one, "hello", early_letter), FineTune(one, **settings), rounds=1, key=2)
        stepped[one.config.lora is None] = history
    np.testing.assert_array_equal(stepped[True].rewards, stepped[False].rewards)
    assert 0 < stepped[True].rewards.mean() < 1  # or nothing was learned and the comparison is of zeros
    wanted = np.asarray(stepped[True].final_state.params["blocks"]["q"][...]) - np.asarray(base.params["blocks"]["q"])
    state = stepped[False].final_state.params["adapters"]
    found = square @ np.asarray(state["q_b"][...])
    assert np.abs(wanted).max() > 1e-4
    np.testing.assert_allclose(found, wanted, atol=1e-6 + 1e-3 * np.abs(wanted).max())


def test_a_run_holds_the_base_once_and_moves_adapters_alone() -> None:
    """Seeds one by one and seeds together give one history; the divergence from the reference is 0 at first and not
    later; the state has adapters and their moments alone; the base is the model's own arrays and unchanged. Catches a
    second copy of the base, moments of frozen weights, a reference that moves along, and a sampler without adapters."""
    base = toy.model(spread=3.0)
    kept = [np.asarray(leaf).copy() for leaf in jax.tree.leaves(base.params)]
    model = base.with_lora(4)
    arms = PromptArms(model, "hello", early_letter)
    learner = FineTune(model, signal="grpo", rollouts=8, max_tokens=4, learning_rate=3e-2)
    alone, together = (bandit_rft.run(arms, learner, rounds=4, seeds=seeds, key=0) for seeds in (1, 2))
    np.testing.assert_array_equal(alone.rewards[0], together.rewards[0])
    kl, gap = alone.metrics["kl"][0], alone.metrics["sampler_trainer_gap"][0]
    assert kl[0] == 0.0
    assert kl[-1] > 0.01
    assert gap.max() < 1e-5
    state = alone.final_state
    adapters = sum(leaf.size for leaf in jax.tree.leaves(model.trained))
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) == adapters
    moments = sum(leaf.size for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim)
    assert moments == 2 * adapters
    assert all(x is y for x, y in zip(jax.tree.leaves(model.frozen), jax.tree.leaves(base.params), strict=True))
    for before, leaf in zip(kept, jax.tree.leaves(base.params), strict=True):
        np.testing.assert_array_equal(before, leaf)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_merged_export_has_the_same_logits_in_transformers(tmp_path: Path, family: str) -> None:
    """Catches a product that is transposed, scaled wrongly or added to another layer, and a bias or norm that adapters
    displace in one of the families."""
    model = load_model(str(save(tmp_path / "source", family))).with_lora(3, alpha=4.0)
    adapters = moved(model)
    ours = np.asarray(model.logits(TOKENS, params=adapters))
    assert np.abs(ours - np.asarray(model.logits(TOKENS))).max() > 0.1 * np.abs(ours).max()
    out = save_pretrained(model, tmp_path / "merged", adapters)
    assert np.abs(torch_logits(torch_model(out), TOKENS) - ours).max() < 3e-5 * np.abs(ours).max()
    held = load_file(save_adapter(model, tmp_path / "adapter", adapters) / "adapter_model.safetensors")
    merged, base = load_file(out / "model.safetensors"), load_file(tmp_path / "source" / "model.safetensors")
    name = "model.layers.1.mlp.down_proj"
    product = held[f"base_model.model.{name}.lora_B.weight"] @ held[f"base_model.model.{name}.lora_A.weight"]
    np.testing.assert_allclose(
        merged[f"{name}.weight"] - base[f"{name}.weight"], product * np.float32(4.0 / 3), atol=1e-5
    )


PEFT = """
import sys, numpy as np, torch, transformers
from peft import PeftModel
base, adapter, tokens, out = sys.argv[1:]
model = PeftModel.from_pretrained(transformers.AutoModelForCausalLM.from_pretrained(base), adapter).eval()
with torch.no_grad():
    np.save(out, model(torch.from_numpy(np.load(tokens)).long()).logits.numpy())
"""


def test_adapters_of_a_text_part_are_named_as_in_the_model_that_reads_images(tmp_path: Path) -> None:
    """AutoModelForCausalLM of such a checkpoint keeps the vision tower. Under the names of a decoder alone `peft` found
    none of the adapters, warned, and gave the untrained model's logits; a list of modules takes in the tower's too."""
    text = save(tmp_path / "text", "gemma3_text", tie_word_embeddings=True)
    model = load_model(str(beside_a_vision_tower(text, tmp_path / "both"))).with_lora(3, weights="q,v,down")
    folder = save_adapter(model, tmp_path / "adapter", moved(model))
    named = {
        name.removeprefix("base_model.model.").rpartition(".lora_")[0]
        for name in load_file(folder / "adapter_model.safetensors")
    }
    pattern = json.loads((folder / "adapter_config.json").read_text())["target_modules"]
    theirs = [name for name, _ in torch_model(tmp_path / "both").named_modules()]
    assert any("vision_tower" in name and name.endswith("q_proj") for name in theirs)
    assert named == {name for name in theirs if re.fullmatch(pattern, name)}
    assert len(named) == 3 * model.config.layers


@pytest.mark.slow
@pytest.mark.parametrize("family", [*FAMILIES, "gemma3"])
def test_peft_loads_the_adapters_and_gives_the_same_logits(tmp_path: Path, family: str) -> None:
    """`peft` is the independent implementation; PEFT_PYTHON names a Python that has it, where this one does not.
    Catches a tensor's name or orientation that `peft` does not know, and a scale that it computes otherwise."""
    python = os.environ.get("PEFT_PYTHON") or (sys.executable if importlib.util.find_spec("peft") else None)
    if python is None:
        pytest.skip("peft is not installed: pip install peft, or name a Python that has it in PEFT_PYTHON")
    if family == "gemma3":
        beside_a_vision_tower(save(tmp_path / "text", "gemma3_text", tie_word_embeddings=True), tmp_path / "source")
    else:
        save(tmp_path / "source", family)
    model = load_model(str(tmp_path / "source")).with_lora(3, alpha=4.0)
    adapters = moved(model)
    folder = save_adapter(model, tmp_path / "adapter", adapters)
    np.save(tmp_path / "tokens.npy", TOKENS)
    given = [str(tmp_path / "source"), str(folder), str(tmp_path / "tokens.npy"), str(tmp_path / "logits.npy")]
    subprocess.run([python, "-c", PEFT, *given], check=True, timeout=500)
    ours = np.asarray(model.logits(TOKENS, params=adapters))
    assert np.abs(np.load(tmp_path / "logits.npy") - ours).max() < 3e-5 * np.abs(ours).max()
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 3


SPOILED = [
    ({"lora_alpha": 2.0}, "--lora-rank"),
    ({"lora_weights": "q"}, "--lora-rank"),
    ({"lora_rank": 2, "lora_weights": "q,head"}, "'head'"),
    ({"lora_rank": 2, "lora_weights": "q,q"}, "twice"),
    ({"lora_rank": 2, "lora_alpha": -1.0}, "--lora-alpha"),
    ({"lora_rank": 2, "measure": True}, "--measure"),
    ({"lora_rank": 2, "optimizer": "muon"}, "muon"),
    ({"moment_dtype": "bfloat16", "optimizer": "sgd", "learning_rate": 0.1}, "--moment-dtype"),
    ({"cache_dtype": "float32", "dtype": "bfloat16"}, "--cache-dtype"),
]


@pytest.mark.parametrize(("values", "said"), SPOILED)
def test_options_that_have_no_meaning_together_are_refused(values: dict[str, Any], said: str) -> None:
    """Catches an option that is taken and does nothing."""
    with pytest.raises(InputError, match=said):
        FineTuneConfig(prompt="1+1=", answer="2", **values)


def test_a_rank_above_the_weights_own_is_refused() -> None:
    """Catches two halves that are each larger than the weight beside which they stand."""
    most = max(min(shape) for name, shape in layer_shapes(toy.model().config).items() if name in lora.WEIGHTS)
    toy.model().with_lora(most)
    with pytest.raises(InputError, match=f"Adapters of rank {most + 1} .* give a rank of at most {most}"):
        toy.model().with_lora(most + 1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rank": 2.5}, "rank is 2.5: give a whole number of at least 1"),
        ({"rank": True}, "rank is True"),
        ({"rank": "8"}, "rank is '8'"),
        ({"rank": math.nan}, "rank is nan"),
        ({"rank": None}, "rank is None"),
        ({"rank": 4, "alpha": "16"}, "alpha is '16': give a number above 0"),
        ({"rank": 4, "alpha": math.inf}, "alpha is inf"),
        ({"rank": 4, "weights": 5}, "weights is 5: give names such as 'q,v', or a list of them"),
        ({"rank": 4, "weights": ["q", 5]}, "weights is .* give names"),
    ],
)
def test_adapters_of_another_kind_are_one_sentence(given: dict[str, Any], said: str) -> None:
    """Catches a rank of 2.5 that is taken for 2 with the alpha of 2.5, and tracebacks of a text or NaN."""
    with pytest.raises(InputError, match=said):
        lora.make(**given)
    assert lora.make(np.int64(2), 3, iter(["v", "q"])) == lora.Lora(rank=2, alpha=3.0, weights=("q", "v"))
    assert lora.make(8.0).alpha == 16.0


def test_a_model_has_adapters_once() -> None:
    """Catches adapters of adapters, and an export of adapters that are not there."""
    model = toy.model().with_lora(2)
    with pytest.raises(InputError, match="already"):
        model.with_lora(2)
    with pytest.raises(InputError, match="no adapters"):
        save_adapter(toy.model(), "nowhere")


@pytest.mark.slow
def test_a_run_with_adapters_goes_on_from_its_checkpoint_to_the_bit(tmp_path: Path) -> None:
    """Two rounds and two more from the folder, against four: the same adapters and moments. The folder says what was
    trained, and what it exports is the merged policy. Catches adapters that begin anew, bits of rounding that depend on
    where a run was cut, and a config.json that does not name them."""
    source = str(save(tmp_path / "source", "qwen2", max_position_embeddings=64))
    states: list[Any] = []
    for name, parts in (("whole", (4,)), ("cut", (2, 4))):
        for rounds in parts:
            model = load_model(source).with_lora(2, weights="q,v", key=5).with_cache("bfloat16")
            learner = FineTune(
                model, rollouts=4, max_tokens=4, learning_rate=1e-2, moment_dtype="bfloat16", kl_coefficient=0.1
            )
            arms = PromptArms(model, "hello", lambda text: len(text) % 2)
            run = finetune(arms, learner, rounds=rounds, out=tmp_path / name, shown=False)
        states.append(run)
    for x, y in zip(*(jax.tree.leaves(run.history.final_state) for run in states), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
    said = json.loads((tmp_path / "cut" / "config.json").read_text())
    wanted = {"lora_rank": 2, "lora_alpha": 4.0, "lora_weights": "q,v", "cache_dtype": "bfloat16"}
    assert said | wanted | {"moment_dtype": "bfloat16"} == said
    export_run(tmp_path / "cut", tmp_path / "out")
    again = np.asarray(load_model(str(tmp_path / "out")).logits(TOKENS))
    ours = np.asarray(states[1].learner.model.logits(TOKENS, params=states[1].weights()))
    assert np.abs(again - ours).max() < 3e-5 * np.abs(ours).max()
    export_run(tmp_path / "cut", tmp_path / "adapter", adapter=True)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size < 20_000
