"""Checkpoints that keep the weights alone: read, refused, and whole at whatever moment the process is killed."""

import json
import logging
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft.errors import InputError
from bandit_rft.runs import RunFolder
from llm_bridge.training import checkpoint_files, checkpoints, kept_checkpoints
from llm_bridge.training.learner import FineTune
from llm_bridge.training.recorder import RunRecorder
from tests.llm_bridge import toy
from tests.llm_bridge.survival import cut_all_short


def a_state(seed: int, optimizer: Any = "adamw") -> Any:
    from llm_bridge.bandits.question_arms import PromptArms

    model = toy.model()
    learner = FineTune(model, max_tokens=4, optimizer=optimizer, learning_rate=1e-3)
    state = learner.bind(PromptArms(model, "hello", len)).init(jax.random.key(seed))
    draw = np.random.default_rng(seed)  # not all alike: what is constant takes no room once it is compressed
    return jax.tree.map(lambda leaf: leaf + jnp.asarray(draw.normal(size=leaf.shape) * 99, leaf.dtype), state)


def same(left: Any, right: Any) -> bool:
    return all(
        np.array_equal(np.asarray(a), np.asarray(b), equal_nan=np.issubdtype(np.asarray(a).dtype, np.floating))
        for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    )


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    for seed in (1, 2):
        checkpoints.save(folder, seed, a_state(seed))
    return folder


def test_a_reduced_checkpoint_has_everything_but_the_part(saved: Path, tmp_path: Path) -> None:
    """Catches weights that are not to the bit those of before, a part that stays on the disk, and a state that is said
    to be whole and has the moments of an untrained optimiser."""
    folder = Path(shutil.copytree(saved, tmp_path / "checkpoints"))
    before, state = size(folder), a_state(2)
    freed = checkpoints.reduce(folder, "opt_state")
    assert freed == 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(state.opt_state))
    assert size(folder) < 0.5 * before
    assert sorted(path.name for path in folder.iterdir()) == ["round_00000001", "round_00000002"]
    assert all(checkpoints.is_reduced(path) for path in checkpoints.available(folder))
    for done in (1, 2):
        assert same(checkpoints.load_part(folder, "params", state.params, round=done)[1], a_state(done).params)
    with pytest.raises(InputError, match="repeat the run with --keep-optimizer"):
        checkpoints.load_latest(folder, like=state)
    with pytest.raises(InputError, match="repeat the run with --keep-optimizer"):
        checkpoints.load_latest(folder, like=state, finished=3)
    found = checkpoints.load_latest(folder, like=a_state(7), finished=2)
    assert found is not None
    assert same(found[1].params, state.params)
    assert same((found[1].round, found[1].updates, found[1].key_data), (state.round, state.updates, state.key_data))
    assert checkpoints.reduce(folder, "opt_state") == 0


@pytest.mark.parametrize(
    ("before", "after"), [('"round": 2', '"round": 6'), (".params", ".parama"), ('"format": 2', '"format": 1')]
)
def test_a_part_is_read_of_a_meta_file_that_is_as_it_was_written(
    saved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, before: str, after: str
) -> None:
    """A letter of it is damage, and the checkpoint before is read. Catches an export that names another round, and the
    run's own model refused as that of another run."""
    folder = Path(shutil.copytree(saved, tmp_path / "checkpoints"))
    meta = folder / "round_00000002" / "meta.json"
    text = meta.read_text()
    assert before in text
    meta.write_text(text.replace(before, after))
    with caplog.at_level(logging.WARNING):
        done, params = checkpoints.load_part(folder, "params", a_state(0).params)
    assert done == 1
    assert same(params, a_state(1).params)
    assert "round_00000002 is damaged" in caplog.text


def test_a_part_that_is_small_stays_and_so_does_a_damaged_checkpoint(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "checkpoints"))
    assert checkpoints.reduce(folder, "opt_state", least=10**9) == 0
    assert not any(checkpoints.is_reduced(path) for path in checkpoints.available(folder))
    cut_all_short(checkpoints.available(folder)[1])
    assert checkpoints.reduce(folder, "opt_state") > 0
    assert [checkpoints.is_reduced(path) for path in checkpoints.available(folder)] == [True, False]


def test_a_reader_that_was_given_up_is_never_heard_of_and_other_errors_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a traceback about a closed event loop, printed before a damaged checkpoint's error is raised, or seconds
    after it was passed over."""
    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)

    def say(words: str) -> None:
        sys.unraisablehook(SimpleNamespace(exc_value=RuntimeError(words), object=None))  # type: ignore[arg-type]

    def read() -> None:
        say("Event loop is closed")
        raise ValueError("damaged")

    for _ in range(2):
        with pytest.raises(ValueError, match="damaged"), checkpoint_files.quiet():
            read()
    say("Event loop is closed")
    say("another error")
    assert [str(found.exc_value) for found in heard] == ["another error"]


@pytest.mark.parametrize("reduced", [False, True])
def test_a_run_that_goes_on_holds_its_state_once(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reduced: bool
) -> None:
    """Catches the state as initialised, which stays on the device while the checkpoint's is read beside it, so that a
    run that fits cannot go on; and a moment deleted that a checkpoint of weights alone does not bring."""
    folder, rounds = tmp_path / "run", 2
    shutil.copytree(saved, folder / "checkpoints")
    if reduced:
        checkpoints.reduce(folder / "checkpoints", "opt_state")
    lines = [{"round": place, "rewards": [[1.0]], "metrics": {"loss": [0.0]}} for place in range(rounds)]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "responses.jsonl").write_text("".join(json.dumps({"round": line["round"]}) + "\n" for line in lines))
    (folder / "config.json").write_text("{}")
    state, read, live = a_state(7), checkpoints._load, []
    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    moments = sum(leaf.nbytes for leaf in jax.tree.leaves(state.opt_state))

    def load(*given: Any) -> Any:
        live.append(sum(array.nbytes for array in jax.live_arrays()))
        return read(*given)

    monkeypatch.setattr(checkpoints, "_load", load)
    before = sum(array.nbytes for array in jax.live_arrays())
    with RunFolder.claim(folder, {}) as claimed:
        recorder = RunRecorder(folder=claimed, rounds=rounds, seeds=1, checkpoint_every=1, evaluators={}, arms=None)
        found = recorder.resume(state)
        recorder.close()
    assert before - live[0] == whole - (moments if reduced else 0)
    assert found is not None
    assert same(found[1].params, a_state(2).params)
    assert same(found[1].opt_state, a_state(7 if reduced else 2).opt_state)
    fresh = a_state(3)
    assert checkpoints.given_up(tmp_path / "none", fresh) is fresh


class Killed(BaseException):
    pass


def test_every_round_has_a_whole_checkpoint_whenever_the_process_is_killed(saved: Path, tmp_path: Path) -> None:
    """Killed before each write, rename and removal in turn, with nothing tidied up. Catches a moment at which
    the old one is gone and the new one is not in its place, and litter that the next call leaves."""
    state = a_state(2)
    moment, ended = 0, False
    while not ended:
        moment += 1
        folder = Path(shutil.copytree(saved, tmp_path / str(moment)))
        left = moment
        with pytest.MonkeyPatch.context() as patch:

            def mortal(function: Any) -> Any:
                def call(*given: Any, **named: Any) -> Any:
                    nonlocal left
                    left -= 1
                    if left == 0:
                        raise Killed
                    return function(*given, **named)

                return call

            for owner, name in ((os, "replace"), (shutil, "rmtree"), (checkpoint_files, "write")):
                patch.setattr(owner, name, mortal(getattr(owner, name)))
            patch.setattr(checkpoint_files, "remove", lambda folder: None)
            try:
                checkpoints.reduce(folder, "opt_state")
                ended = True
            except Killed:
                pass
        assert [checkpoints.round_of(path) for path in checkpoints.available(folder)] == [1, 2]
        found = checkpoints.load_latest(folder, like=a_state(7), finished=2)
        assert found is not None
        assert found[0] == 2
        assert same(found[1].params, state.params)
        checkpoints.reduce(folder, "opt_state")
        assert sorted(path.name for path in folder.iterdir()) == ["round_00000001", "round_00000002"]
        assert all(checkpoints.is_reduced(path) for path in checkpoints.available(folder))
    assert moment > 5


def test_the_sizes_are_said_and_only_a_large_state_is_dropped(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a finished run of a small model that is closed for nothing, and a large one that is said nothing of."""
    folder, state = Path(shutil.copytree(saved, tmp_path / "checkpoints")), a_state(2)
    assert kept_checkpoints.at_the_start(state, 3, False) == (
        "Each checkpoint takes 1 MB; up to 3 are kept (--keep-checkpoints)."
    )
    assert kept_checkpoints.tidy(folder, 3, False) == ""
    monkeypatch.setattr(kept_checkpoints, "LARGE", 1)
    assert kept_checkpoints.at_the_start(state, 2, False).endswith("keeps the weights, 1 MB (--keep-optimizer: all).")
    assert "the finished run's too" in kept_checkpoints.at_the_start(state, 2, True)
    assert kept_checkpoints.tidy(folder, 1, True) == ""
    assert [checkpoints.round_of(path) for path in checkpoints.available(folder)] == [2]
    assert "is dropped, 1 MB" in kept_checkpoints.tidy(folder, 2, False)
    # Plain gradient steps have no state to drop, so their runs stay open.
    assert "weights" not in kept_checkpoints.at_the_start(a_state(2, "sgd"), 2, False)
