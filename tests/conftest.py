"""Strict numerics for every test: implicit dtype promotion is an error, and so is a NaN that a jitted function
makes. Compiled programs are kept from test to test and from run to run.
"""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

# Tests never reach a model hub: what they need is embedded, made, or fetched from PyPI by the project's own code.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest

from llm_bridge.models.compilation_cache import make_room, processor

jax.config.update("jax_numpy_dtype_promotion", "strict")

_MOST_KEPT = 2**30  # bytes


def keep_compiled_programs() -> None:
    """Compiled programs in pytest's own cache folder: most of a test's time goes into programs that another one, or the
    run before, has compiled. A folder for each kind of processor, which all workers share: JAX writes without a lock,
    so that a worker may read a half-written program; it then says so and compiles it.
    """
    folder = Path(__file__).resolve().parents[1] / ".pytest_cache" / "compiled" / processor()
    first_of_all = "PYTEST_XDIST_WORKER" not in os.environ
    if first_of_all and folder.is_dir() and sum(file.stat().st_size for file in folder.iterdir()) > _MOST_KEPT:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    # By default the folder's own path is hashed into every key, for caches that only a GPU has.
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")


if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
    keep_compiled_programs()

# A suite that is started in the background has Ctrl-C ignored, and would hand that on to the processes that it tests.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real GSM8K and MATH beside the checkout; the test skips on a machine that lacks it."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data (real GSM8K and MATH), absent on this machine")
    return folder


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_fit_the_kernel() -> Iterator[None]:
    """Each compiled program takes three or four memory mappings, of which Linux gives a process 65,530 by default: a
    worker that keeps the whole suite's runs out of them, and XLA then ends in a segmentation fault.
    """
    yield
    make_room(0.5)
