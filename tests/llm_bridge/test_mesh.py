"""A model on a mesh of eight simulated devices is the model on one, and moves between them no more than it must."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# LLVM's dearest passes are half of what these runs take, and change no meaning.
FLAGS = "--xla_force_host_platform_device_count=8 --xla_llvm_disable_expensive_passes=true"


def on_eight_devices(*command: str, folder: Path = ROOT, code: int = 0) -> str:
    """What a Python process on eight simulated devices prints, errors included."""
    environment = os.environ | {"XLA_FLAGS": FLAGS, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=900,
        check=False,
    )
    assert done.returncode == code, done.stdout[-4000:]
    return done.stdout


@pytest.mark.parametrize("name", ["histories", "tokens", "families", "moved", "refusals"])
def test_a_mesh_changes_where_numbers_are_computed_and_no_number(name) -> None:
    """Each by its own docstring in `mesh_runs`; the run on one device is the oracle. Catches a model that stands on one
    device whatever the mesh, draws that depend on the mesh, and logits or caches that are brought together."""
    on_eight_devices("-m", "tests.llm_bridge.mesh_runs", name)
