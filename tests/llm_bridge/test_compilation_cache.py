"""A process that compiles without end drops what it has, before Linux refuses it more pieces of memory."""

import jax
import jax.numpy as jnp
import pytest

from llm_bridge import FineTune, QuestionArms, load_model
from llm_bridge.data import datasets
from llm_bridge.models import compilation_cache


def compiled() -> tuple[jax.stages.Wrapped, list[int]]:
    """A compiled function, and a list that grows by each time that it is traced."""
    traced: list[int] = []

    @jax.jit
    def double(x: jax.Array) -> jax.Array:
        traced.append(1)
        return x + x

    double(jnp.float32(1.0))
    return double, traced


@pytest.mark.skipif(
    not compilation_cache.Path("/proc/self/maps").exists(), reason="counts mappings as Linux shows them"
)
def test_functions_are_dropped_above_the_share_and_kept_below() -> None:
    """Catches a share that is compared the wrong way round: all would be compiled anew each time, or never dropped."""
    double, traced = compiled()
    assert not compilation_cache.make_room(share=1.0)
    double(jnp.float32(2.0))
    assert len(traced) == 1
    assert compilation_cache.make_room(share=0.0)
    double(jnp.float32(2.0))
    assert len(traced) == 2


def test_a_learner_that_is_bound_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some fifty fine-tuning runs in one process ended in "LLVM ERROR: Unable to allocate section memory"."""
    asked: list[int] = []
    monkeypatch.setattr("llm_bridge.training.learner.make_room", lambda: asked.append(1))
    model = load_model("tiny-llama")
    FineTune(model, max_tokens=4).bind(QuestionArms(model, [datasets.load("tiny-addition", "train").example(0)]))
    assert asked == [1]
