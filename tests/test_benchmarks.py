"""The benchmarks: their options, what they do without a peer, what they count, and each run on something tiny."""

import argparse
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import pytest

from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.decoder import Decoder

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
HALVES = ("cores", "peers", "roofline", "shapes", "language_peer", "simulate")  # no command, or no options
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in HALVES)


@pytest.fixture
def benchmarks(monkeypatch):
    """The folder on the path, as it is for a script that is run from there."""
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_names_the_options(script, benchmarks, monkeypatch, capsys):
    """Catches an import that has moved and a `%` that argparse trips over: scripts that nothing else runs."""
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(FOLDER / f"{script}.py"), run_name="__main__")
    assert stopped.value.code == 0
    assert "--help" in capsys.readouterr().out


def test_a_peer_that_is_not_there_is_left_out_in_a_sentence(benchmarks):
    """Catches a benchmark that stops, or is silent, where one of several peers is missing."""
    import peers

    told = argparse.Namespace(peer_python=["trl=/nowhere/python"], environments=None)
    with pytest.raises(peers.Missing, match=r"^trl is left out: --peer-python trl=/nowhere/python is not there\.$"):
        peers.python_of("trl", (), told, ("trl",))
    told.peer_python = []
    with pytest.raises(peers.Missing, match=r"give --environments DIR or --peer-python trl=PYTHON\.$"):
        peers.python_of("trl", (), told, ("trl",))
    with pytest.raises(SystemExit, match=r"NAME one of trl\.$"):
        peers.named_pythons(["verl=python"], ("trl",))
    with peers.started({"broken": (Path(sys.executable), {"peer": "none", "device": "cpu"})}) as (running, stopped):
        assert not running
    assert stopped == ["broken is left out: it stopped with exit code 1 (KeyError: 'none')."]


def test_options_are_taken_out_with_their_values(benchmarks):
    """Catches a run for one number of cores that is told of all of them again."""
    import cores

    given = ["--cores", "1", "2", "--tokens", "8", "--out=x.json", "--random"]
    assert cores.without(given, "--cores", "--out") == ["--tokens", "8", "--random"]


def test_counted_operations_are_those_of_the_compiled_forward_pass(benchmarks):
    """Catches a matrix left out of the count, and attention counted twice: XLA counts the same pass to 2 %, which has
    norms and rotary embeddings beside."""
    import roofline
    import shapes

    # One layer: XLA counts the body of a scan over layers once.
    values = shapes.values("tiny") | {"hidden_size": 256, "vocab_size": 1024, "num_hidden_layers": 1}
    config = DecoderConfig.from_values(values, source="tiny")
    graphdef, params = nnx.split(Decoder(config, rngs=nnx.Rngs(0)))
    tokens = jnp.zeros((2, 64), jnp.int32)
    compiled = jax.jit(lambda params, tokens: nnx.merge(graphdef, params)(tokens)).lower(params, tokens).compile()
    weights = roofline.layer_weights(config) + roofline.head_weights(config)
    # XLA multiplies the whole square of queries and keys.
    expected = 2 * 64 * (2 * weights + roofline.attention_operations(config, 64))
    assert compiled.cost_analysis()["flops"] == pytest.approx(expected, rel=0.02)


def test_the_random_checkpoint_is_whole_and_its_tokens_are_text(benchmarks, tmp_path):
    """Catches an end-of-text token that displaces a byte for good, and words that are no text."""
    import shapes

    from llm_bridge import load_model

    model = load_model(str(shapes.write("tiny", tmp_path / "model")))
    text = "Zählt ~ 3 foxes!"
    ids = model.encode(text)
    assert model.tokenizer.decode(ids) == text
    assert len(ids) == len(text.encode())
    assert model.config.eos_ids == (300,)
    assert model.tokenizer.decode([300]) == "<|endoftext|>"
    assert all(model.tokenizer.decode([token]) for token in (299, 301, 511))
    assert shapes.tokenizer(300, 2).decode(shapes.tokenizer(300, 2).encode(text)) == text


def run(script, *arguments, out):
    command = [sys.executable, str(FOLDER / f"{script}.py"), *arguments, "--out", str(out)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"JAX_PLATFORMS": "cpu"}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text()), done.stdout


TINY = ("--prompt", "24", "--tokens", "8", "--repeats", "1")


@pytest.mark.slow
def test_decode_runs_and_leaves_out_what_is_missing(tmp_path):
    """Catches a benchmark that only runs where every peer is."""
    arguments = ("--model", "tiny-llama", "--batches", "1", "2", "--tokens", "8", "--repeats", "1", "--cores", "1")
    found, text = run("decode", *arguments, "--gib", "0.01", out=tmp_path / "out.json")
    assert [row["batch"] for row in found["rows"]] == [1, 2]
    assert all(row["ratio"]["transformers"] > 0 for row in found["rows"])
    assert "llama.cpp is left out" in text
    assert found["left_out"]


@pytest.mark.slow
def test_a_round_runs_beside_torch(tmp_path):
    """Catches a peer that cannot take the job that the benchmark writes for it."""
    arguments = ("--model", "tiny-llama", *TINY, "--rollouts", "2", "--cores", "1")
    found, text = run("finetune_round", *arguments, out=tmp_path / "out.json")
    (row,) = found["rows"]
    assert set(row["ratio"]["torch"]) == {"sample", "update", "seconds", "processor_seconds"}
    assert "trl is left out" in text


@pytest.mark.slow
def test_every_step_of_the_gpu_benchmark_runs_on_a_tiny_shape(tmp_path):
    """Catches a line that would first run on a rented GPU."""
    arguments = ("--shape", "tiny", "--batches", "1", "2", *TINY, "--rollouts", "2", "--minutes", "30")
    found, _ = run("gpu", *arguments, "--gib", "0.01", "--matmul", "256", out=tmp_path / "out.json")
    tiny = found["models"]["tiny"]
    assert [row["batch"] for row in tiny["decode"]] == [1, 2]
    assert "over_transformers" in tiny["decode"][0]
    assert tiny["round"]["peers"]["torch"]["ratio"]["seconds"] > 0
    assert tiny["round"]["dot_product"]["ratio"]["update"] > 0
    assert found["verdicts"]
