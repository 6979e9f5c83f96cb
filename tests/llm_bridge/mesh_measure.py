"""What `test_mesh.py` runs of evaluation and measurement in a process with eight simulated devices:
`python -m tests.llm_bridge.mesh_measure NAME`."""

import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np

from bandit_rft.cli import main
from bandit_rft.runs.trees import read_tree
from llm_bridge.data.datasets import Example
from llm_bridge.language_model import LanguageModel
from llm_bridge.measuring.evaluate import evaluate
from llm_bridge.measuring.measure import Measurement, measure
from llm_bridge.measuring.response_tree import MeasuredTree
from tests.bandit_rft import tiny_folder
from tests.llm_bridge.mesh_runs import ALL, early_letter, model


def measured(on: LanguageModel, **settings) -> Measurement:
    how = {"key": 3, "max_tokens": 3, "rollouts": 24, "batch": 12, "tree": True, "coordinates": 32}
    return measure(on, "hello", early_letter("30"), **(how | settings))


def close(found: Measurement, wanted: Measurement, name: str) -> None:
    """Equal counts; kappa, its error and its parts, and the kernel of the tree, but for rounding."""
    assert 2 < wanted.successes < wanted.rollouts - 2
    for field in ("successes", "distinct", "mean_length", "truncated"):
        assert getattr(found, field) == getattr(wanted, field), (name, field)
    for field in ("kappa", "kappa_standard_error", "kernel_correct", "kernel_between", "noise_wrong"):
        np.testing.assert_allclose(getattr(found, field), getattr(wanted, field), rtol=2e-3, err_msg=f"{name} {field}")
    assert found.tree is not None
    assert wanted.tree is not None
    trees(found.tree, wanted.tree, name)


def trees(found: MeasuredTree, wanted: MeasuredTree, name: str) -> None:
    assert len(wanted.sample.branches) > 10
    assert found.sample.branches == wanted.sample.branches
    scale = np.abs(wanted.sample.kernel).max()
    np.testing.assert_allclose(found.sample.kernel, wanted.sample.kernel, atol=1e-4 * scale, err_msg=name)
    np.testing.assert_allclose(found.sample.coordinates, wanted.sample.coordinates, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(found.tree().kappa, wanted.tree().kappa, rtol=2e-3, err_msg=name)


def some() -> None:
    """p0, kappa and the tree, on all eight devices against one. Catches a score of one row that a mesh
    for rows loses or counts several times, a response that fills up a batch and counts, and rows of a mesh that count
    as responses."""
    one = model(spread=3.0, layers=1)
    close(measured(one.placed(ALL), standard_error=False), measured(one, standard_error=False), ALL)


def every() -> None:
    """Pass@1 question by question, kappa with its error, and the sketched tree, on other meshes. Catches a sketch whose
    signs follow the places of a weight's parts."""
    one = model(spread=3.0)
    close(measured(one.placed("fsdp=2,tensor=2")), measured(one), "fsdp=2,tensor=2")
    questions = [
        Example(prompt=({"role": "user", "content": word},), ground_truth="30", index=place, data_source="test")
        for place, word in enumerate(("hello", "a", "longerprompt"))
    ]
    settings = {"key": 7, "max_tokens": 5, "verifier": early_letter, "samples": 5, "batch": 6}
    right = evaluate(one, questions, **settings)
    assert 0 < right.successes < right.samples
    folded = measured(one, sketched=True, standard_error=False)
    for mesh in ("data=2", "fsdp=2,tensor=2", "data=8"):
        on = one.placed(mesh)
        found = evaluate(on, questions, **settings)
        np.testing.assert_array_equal(found.per_question, right.per_question, err_msg=mesh)
        assert (found.mean_length, found.truncated) == (right.mean_length, right.truncated)
        sketched = measured(on, sketched=True, standard_error=False)
        assert sketched.tree is not None
        assert folded.tree is not None
        trees(sketched.tree, folded.tree, f"{mesh}, sketched")


# In the folder that `workplace` fills.
QUESTION = ("--model", "./tiny", "--data", "questions.json", "--split", "train", "--max-tokens", "3")
QUESTION += ("--verifier", "rule.py:odd")
MEASURE = ("measure", *QUESTION, "--index", "0", "--rollouts", "48")


def workplace(folder: Path) -> None:
    """A model of a few thousand weights, four questions, and a verifier by which about half of the responses are
    right."""
    tiny_folder.write(folder / "tiny")
    questions = [{"prompt": text, "answer": "3"} for text in ("1+2=?", "what is 5-2", "9-6", "3")]
    (folder / "questions.json").write_text(json.dumps(questions))
    (folder / "rule.py").write_text("def odd(text, answer):\n    return float(len(text) % 2)\n")


def said(*command: str, code: int = 0) -> str:
    """What a command prints, errors included."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        found = main(list(command))
    assert found == code, out.getvalue()
    return out.getvalue()


def record(folder: str) -> dict:
    return json.loads((Path(folder) / "measurement.json").read_text())


def commands() -> None:
    """evaluate, measure with and without its tree, a scan that goes on on another mesh, and a run that measures first,
    which predict judges: on a mesh the numbers of one device; what cannot be in one sentence and without a folder."""
    workplace(Path())
    evaluation = ("evaluate", *QUESTION, "--questions", "3", "--samples", "8", "--k", "1,4")
    alone = said(*evaluation, "--json", "one.json")
    assert "7 of 8 devices are unused: --mesh spreads the model over more, such as data=8." in alone
    spread = said(*evaluation, "--json", "mesh.json", "--mesh", "fsdp=2,data=4")
    assert spread == alone.split("\n", 1)[1]  # but for the devices
    one, on = (json.loads(Path(name).read_text()) for name in ("one.json", "mesh.json"))
    assert (one["asked"].pop("mesh"), on["asked"].pop("mesh")) == (None, "data=4,fsdp=2")
    for read in (one, on):
        del read["prompt_date"]
    assert one == on

    for name, more in (("plain", ()), ("tree", ("--tree", "--no-error"))):
        said(*MEASURE, *more, "--out", name)
        said(*MEASURE, *more, "--out", f"{name}-mesh", "--mesh", "data=2,fsdp=2")
        wanted, found = record(name), record(f"{name}-mesh")
        assert (found["successes"], found["distinct"]) == (wanted["successes"], wanted["distinct"])
        np.testing.assert_allclose(found["kappa"], wanted["kappa"], rtol=5e-3)
    np.testing.assert_allclose(found["tree"]["kappa"], wanted["tree"]["kappa"], rtol=5e-3)
    again = said(*MEASURE, "--out", "plain", "--mesh", "data=2")  # it is there: nothing is measured
    assert "kappa" in again
    assert json.loads(Path("plain/config.json").read_text())["mesh"] is None  # as its numbers were made

    scan = ("measure", *QUESTION, "--scan", "--samples", "8", "--indices", "0:3", "--out")
    said(*scan, "whole")
    said(*scan, "moved", "--mesh", "data=4,fsdp=2")
    lines = Path("moved/scan.jsonl").read_text().splitlines(keepends=True)
    Path("moved/scan.jsonl").write_text(lines[0])  # as a kill leaves it
    said(*scan, "moved", "--mesh", "data=8")
    assert Path("moved/scan.jsonl").read_text() == Path("whole/scan.jsonl").read_text()
    assert json.loads(Path("moved/config.json").read_text())["mesh"] == "data=8"

    run = ("finetune", *QUESTION, "--index", "0", "--rounds", "2", "--rollouts", "8", "--train-samples", "0")
    run += ("--test-questions", "0", "--kl-coefficient", "0", "--gradient-clip", "none", "--optimizer", "sgd")
    run += ("--learning-rate", "0.01", "--measure", "--measure-rollouts", "48", "--no-measure-error")
    said(*run, "--out", "run", "--mesh", "data=2,fsdp=2")
    said(*run, "--out", "run-one")
    mesh, single = (json.loads(Path(name, "config.json").read_text())["resolved"] for name in ("run", "run-one"))
    kappas = (found["measurement"]["kappa"] for found in (mesh, single))
    np.testing.assert_allclose(next(kappas), next(kappas), rtol=5e-3)
    assert read_tree(Path("run"), mesh["tree"]) is not None
    assert "Written: " in said("predict", "run")

    for mesh, sentence in (
        ("data=16", "The mesh data=16 takes 16 devices and there are 8"),
        ("rows=2", "--mesh names the axis 'rows'"),
        ("tensor=2", "tensor=2 and the model has 1 key and value heads"),
    ):
        for command in (("evaluate", *QUESTION), (*MEASURE, "--out", "none")):
            told = said(*command, "--mesh", mesh, code=2)
            assert sentence in told
            assert told.count("\n") == 1
    assert not Path("none").exists()


if __name__ == "__main__":
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    assert jax.device_count() == 8
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        globals()[sys.argv[1]]()
