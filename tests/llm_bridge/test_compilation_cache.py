"""A process that compiles without end drops what it has, before Linux refuses it more pieces of memory."""

import jax
import jax.numpy as jnp
import pytest

from bandit_rft import run
from bandit_rft.loop import executables
from llm_bridge import FineTune, QuestionArms, load_model
from llm_bridge.bandits.token_arms import TokenPromptArms
from llm_bridge.data import datasets
from llm_bridge.models import compilation_cache


def mapped() -> int:
    """The pieces of memory of this process."""
    return len(compilation_cache.Path("/proc/self/maps").read_text().splitlines())


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


@pytest.mark.skipif(
    not compilation_cache.Path("/proc/self/maps").exists(), reason="counts mappings as Linux shows them"
)
def test_the_compiled_loops_of_earlier_runs_are_dropped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study of embedded models ended in a segmentation fault after 33 runs: JAX's own caches were cleared, and the
    loops of up to 64 runs kept, each of which holds some 1,200 pieces of memory.
    """
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})  # a loop for a group of seeds on each core
    model = load_model("tiny-llama")
    arms = TokenPromptArms(model, "1+1=?\n", "2")
    learner = FineTune(model, max_tokens=3, rollouts=1)
    run(arms, learner, 2, seeds=8, key=0)
    assert executables._KEPT
    before = mapped()
    assert compilation_cache.make_room(share=0.0)
    assert not executables._KEPT
    after = mapped()
    run(arms, learner, 2, seeds=8, key=0)
    compilation_cache.jax.clear_caches()
    held = mapped() - after
    assert held > 200, f"a run's loop holds {held} pieces: this test can tell nothing any more"
    assert before - after > held / 2, f"{before} pieces were mapped, {after} are, and a loop holds {held}"


def test_a_learner_that_is_bound_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some fifty fine-tuning runs in one process ended in "LLVM ERROR: Unable to allocate section memory"."""
    asked: list[int] = []
    monkeypatch.setattr("llm_bridge.training.learner.make_room", lambda: asked.append(1))
    model = load_model("tiny-llama")
    FineTune(model, max_tokens=4).bind(QuestionArms(model, [datasets.load("tiny-addition", "train").example(0)]))
    assert asked == [1]
