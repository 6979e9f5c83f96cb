"""A model on a mesh of eight simulated devices is the model on one, and moves between them no more than it must."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
# LLVM's dearest passes are half of what these runs take, and change no meaning.
FLAGS = "--xla_llvm_disable_expensive_passes=true --xla_force_host_platform_device_count="
SECONDS = 3600.0  # by the clock, of what takes a few minutes of a processor, on a machine however busy


def on_eight_devices(*command: str, folder: Path = ROOT, devices: int = 8) -> str:
    """What a Python process on so many simulated devices prints, errors included."""
    environment = os.environ | {"XLA_FLAGS": f"{FLAGS}{devices}", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.mark.parametrize(
    "name",
    [
        "gradients",
        "refusals",
        pytest.param("histories", marks=pytest.mark.slow),
        pytest.param("tokens", marks=pytest.mark.slow),
        pytest.param("families", marks=pytest.mark.slow),
    ],
)
def test_a_mesh_changes_where_numbers_are_computed_and_no_number(name) -> None:
    """Each by its own docstring in `mesh_runs`; the run on one device is the oracle. Catches a model that stands on one
    device whatever the mesh, draws that depend on the mesh, and logits or caches that are brought together."""
    on_eight_devices("-m", "tests.llm_bridge.mesh_runs", name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adapters", "resumed"])
def test_adapters_are_divided_as_the_weights_they_stand_beside(name) -> None:
    """Each by its own docstring in `mesh_lora`; the run on one device is the oracle."""
    on_eight_devices("-m", "tests.llm_bridge.mesh_lora", name)


MIXED = "data=2,fsdp=2,tensor=2"


@pytest.mark.parametrize(
    "meshes",
    [
        (MIXED,),
        pytest.param(("data=2", "fsdp=2", "tensor=2", "fsdp=4,tensor=2"), marks=pytest.mark.slow),
        pytest.param(("data=2;rank=4", "fsdp=2;rank=4", "tensor=2;rank=4", f"{MIXED};rank=4"), marks=pytest.mark.slow),
    ],
)
def test_a_round_moves_no_more_than_its_mesh_needs(meshes) -> None:
    """Bytes of every collective in the compiled programs of sampling (evaluation's too), of the score and of the
    update, of all weights and of adapters (`mesh_moved`). Catches logits or caches that are brought together, weights
    gathered where nothing divides them, and a gradient of frozen weights."""
    on_eight_devices("-m", "tests.llm_bridge.mesh_moved", *meshes)


@pytest.mark.parametrize(
    "name", ["some", pytest.param("every", marks=pytest.mark.slow), pytest.param("commands", marks=pytest.mark.slow)]
)
def test_evaluation_and_measurement_give_the_numbers_of_one_device(name) -> None:
    """Each by its own docstring in `mesh_measure`; the numbers on one device are the oracle."""
    on_eight_devices("-m", "tests.llm_bridge.mesh_measure", name)


SUM = ("--prompt", "1+1=", "--answer", "2", "--model", "tiny-llama", "--max-tokens", "6", "--rollouts", "4")
RUN = ("finetune", *SUM, "--signal", "grpo", "--train-samples", "4", "--verifier", "gsm8k-strict", "--out", "run")


@pytest.mark.slow
def test_a_run_goes_on_on_another_mesh_and_its_folder_says_so(tmp_path) -> None:
    """Two rounds on one mesh, two on another, two on one device, against six on one device: the same rewards, and
    weights close. Catches a checkpoint that only its own mesh reads, and a mesh that config.json does not have."""
    command = ("-m", "bandit_rft.cli", *RUN)
    first = on_eight_devices(*command, "--rounds", "2", "--mesh", "fsdp=2,data=2", folder=tmp_path)
    assert "4 of 8 devices are unused: --mesh spreads the model over more" in first
    assert json.loads((tmp_path / "run" / "config.json").read_text())["mesh"] == "data=2,fsdp=2"
    second = on_eight_devices(*command, "--rounds", "4", "--mesh", "data=4,tensor=2", folder=tmp_path)
    assert "unused" not in second
    assert json.loads((tmp_path / "run" / "config.json").read_text())["mesh"] == "data=4,tensor=2"
    old = json.loads((tmp_path / "run" / "config.json").read_text())
    del old["mesh"]  # as an older version wrote it
    (tmp_path / "run" / "config.json").write_text(json.dumps(old))
    third = on_eight_devices(*command, "--rounds", "6", folder=tmp_path)
    assert "7 of 8 devices are unused" in third
    changes = json.loads((tmp_path / "run" / "manifest.json").read_text())["changes"]
    assert [change["to"] for change in changes if change["name"] == "mesh"] == ["data=4,tensor=2"]
    on_eight_devices("-m", "bandit_rft.cli", *RUN[:-1], "one", "--rounds", "6", folder=tmp_path)
    moved, one = (
        [json.loads(line) for line in (tmp_path / name / "history.jsonl").read_text().splitlines()]
        for name in ("run", "one")
    )
    assert [line["rewards"] for line in moved] == [line["rewards"] for line in one]
    for found, wanted in zip(moved, one, strict=True):
        for name in ("entropy", "kl", "gradient_norm"):
            np.testing.assert_allclose(found["metrics"][name], wanted["metrics"][name], rtol=0.02, atol=1e-5)


def test_a_mesh_that_cannot_be_ends_the_command_in_one_sentence(tmp_path) -> None:
    """Exit code 2 and no folder, in the option's own words."""
    script = """
import contextlib, io, sys
from bandit_rft.cli import main
for mesh in sys.argv[1:]:
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main([*RUN, "--mesh", *mesh.split()])
    print(code, said.getvalue().strip().replace(chr(10), " | "))
"""
    meshes = {
        "data=0": "--mesh has data = '0': give a whole number of devices, at least 1.",
        "data=x": "--mesh has data = 'x'",
        "model=2": "--mesh names the axis 'model': give sizes of data, fsdp, tensor",
        "data=16": "The mesh data=16 takes 16 devices and there are 8",
        "tensor=4": "The mesh has tensor=4 and the model has 2 key and value heads: give a divisor.",
        "data=8": "The mesh data=8 divides rows by 8 and a round's responses are 4: give a multiple of it.",
        "data=2 --micro-batch 3": "divides rows by 2 and --micro-batch is 3: give a multiple of it.",
        "data=2 --generation-batch 1": "divides rows by 2 and --generation-batch is 1: give a multiple of it.",
        # A plan of a run that would be refused is refused.
        "data=2 --micro-batch 3 --plan": "divides rows by 2 and --micro-batch is 3: give a multiple of it.",
        "data=2 --generation-batch 1 --plan": "divides rows by 2 and --generation-batch is 1: give a multiple of it.",
    }
    said = on_eight_devices("-c", f"RUN = {RUN!r}{script}", *meshes, folder=tmp_path).splitlines()
    for line, wanted in zip(said[-len(meshes) :], meshes.values(), strict=True):
        assert line.startswith("2 "), line
        assert wanted in line, line
    assert list(tmp_path.iterdir()) == []


def test_a_plan_on_a_mesh_is_of_each_device(tmp_path) -> None:
    """With the measurement and its tree, of shapes. It ended in a traceback: a mesh has a shape, and was taken for an
    array. Catches weights and sums of scores that are counted whole on each device."""
    values = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1}
    values |= {"num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 256, "rms_norm_eps": 1e-5}
    (tmp_path / "config.json").write_text(json.dumps(values | {"max_position_embeddings": 64, "eos_token_id": 3}))
    script = """
import json, sys, jax
jax.config.update("jax_disable_most_optimizations", True)
from bandit_rft.settings.finetune import FineTuneConfig
from llm_bridge import plan_memory
given = {"prompt": "1+1=", "answer": "2", "rollouts": 2, "max_tokens": 8, "train_samples": 0, "kl_coefficient": 0.0}
config = FineTuneConfig(model=sys.argv[1], mesh="fsdp=2", measure=True, measure_tree=True, **given)
print(json.dumps(plan_memory(config, prompt_tokens=4, alternatives=False).to_json()))
"""
    said = on_eight_devices("-c", script, str(tmp_path), folder=tmp_path, devices=2)
    plan = json.loads(said[said.index("{") :])
    phases, every = plan["phases"], 4 * plan["parameters"]
    assert plan["devices"] == 2
    for name, phase in phases.items():
        assert 0.5 * every <= phase["weights"] < 0.55 * every, name
    assert 0.5 * 8 * every <= phases["measuring"]["scores"] < 0.55 * (3 + 8) * every


@pytest.mark.slow
def test_three_seeds_of_a_compiled_run_take_several_devices_and_continue(tmp_path) -> None:
    """Seeds that the devices do not divide, stopped after two rounds and continued, against the same run on one device:
    equal rewards, and nothing is said to be unused. Catches copies of a seed in a checkpoint."""
    seeds = ("-m", "bandit_rft.cli", *RUN, "--seeds", "11")
    said = on_eight_devices(*seeds, "--rounds", "2", folder=tmp_path)
    assert "unused" not in said
    on_eight_devices(*seeds, "--rounds", "4", folder=tmp_path)
    on_eight_devices(*seeds[:-3], "one", "--seeds", "11", "--rounds", "4", folder=tmp_path, devices=1)
    several, one = (
        [json.loads(line)["rewards"] for line in (tmp_path / name / "history.jsonl").read_text().splitlines()]
        for name in ("run", "one")
    )
    assert several == one
    assert np.shape(several) == (4, 11, 4)
