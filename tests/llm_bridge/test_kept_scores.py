"""Scores that a measurement keeps: a killed one goes on, to the bit, and nothing of another one is taken."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit_rft.errors import Stopped
from bandit_rft.runs import RunFolder
from llm_bridge import LanguageModel, load_model
from llm_bridge.measuring import branch_scores, kept_scores, prompt_scores
from llm_bridge.measuring.kept_scores import KeptScores
from llm_bridge.measuring.measure import measure
from llm_bridge.measuring.response_tree import MeasuredTree
from tests.bandit_rft import tiny_folder

pytestmark = pytest.mark.usefixtures("compiled_quickly")


def records(count: int, numbers: int = 5) -> list[np.ndarray]:
    return [np.random.default_rng(row).normal(size=numbers).astype(np.float32) for row in range(count)]


def test_what_was_written_is_read_and_half_a_record_or_a_damaged_one_is_not(tmp_path: Path) -> None:
    """Cut at every byte. Catches half a record taken for a score, and one that stays in the way of what follows."""
    path, digest = tmp_path / "scores", kept_scores.digest_of(["a", np.arange(3)])
    store, rows = KeptScores(path, digest, 5), records(3)
    assert store.read() == {}
    for row, numbers in enumerate(rows):
        store.add(row, numbers)
    whole = path.read_bytes()
    size = (len(whole) - 32) // 3
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        found = store.read()
        assert sorted(found) == list(range(max(0, (cut - 32) // size)))
        assert all(np.array_equal(numbers, rows[row]) for row, numbers in found.items())
        store.add(9, rows[0])
        assert 9 in store.read()
    path.write_bytes(whole[: 32 + size + 7] + b"\xff" + whole[32 + size + 8 :])
    assert sorted(store.read()) == [0]
    assert KeptScores(path, kept_scores.digest_of(["a", np.arange(4)]), 5).read() == {}
    assert store.read() == {}


def test_a_measurement_that_is_stopped_keeps_its_scores_and_its_folder(tmp_path: Path) -> None:
    """Catches a folder that kept scores and no configuration, which refused its own command; and one that is kept for
    a file in which no score stands yet."""

    def stopped(out: Path, scores: int) -> None:
        with RunFolder.claim(out, {}) as folder:
            store = KeptScores(kept_scores.path_of(folder.path), b"d" * 32, 3)
            assert not store.read() or scores
            for row in range(scores):
                store.add(row, np.zeros(3, np.float32))
            raise Stopped("stopped by SIGTERM", 143)

    for scores in (0, 1, 1):
        with pytest.raises(Stopped):
            stopped(tmp_path / str(scores), scores)
        assert (tmp_path / str(scores)).exists() == bool(scores)


class Killed(BaseException):
    pass


def test_what_is_known_changes_no_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches rows that are differentiated with others than before, whose bits may then be others."""
    model = load_model(str(tiny_folder.write(tmp_path / "tiny")))
    monkeypatch.setattr(prompt_scores, "_TOGETHER", 3)
    tokens = [np.arange(1, 1 + length, dtype=np.int32) for length in (4, 2, 3, 2, 4, 1, 3)]
    parts = [prompt_scores.Part(one, np.ones(one.size, np.float32)) for one in tokens]
    scores = prompt_scores.PromptScores(model=model, prompt=np.array([1, 2], np.int32), longest=4)
    whole = [some.rows for some in scores.gradients(model.params, parts)]
    assert whole == [[5, 1, 3], [2, 6, 0], [4]]
    for known in ({1, 2}, {5, 1, 3}, {4, 0}, set(range(7))):
        found = [some.rows for some in scores.gradients(model.params, parts, known=known)]
        assert found == [rows for rows in whole if not known >= set(rows)]


@pytest.mark.parametrize("together", [1, 3])
def test_a_killed_measurement_goes_on_from_the_scores_that_it_has(
    together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sketched, with Adam's coordinates. Catches scores that are computed again, that stand in other rows, or that are
    taken for other weights' or another question's."""
    model = load_model(str(tiny_folder.write(tmp_path / "tiny")))
    monkeypatch.setattr(branch_scores, "SKETCH", 64)
    monkeypatch.setattr(prompt_scores, "_TOGETHER", together)

    def go(kept: Path | None, prompt: str = "2+2=?", own: LanguageModel = model) -> MeasuredTree:
        settings: dict[str, Any] = {"key": 3, "max_tokens": 3, "rollouts": 24, "coordinates": 7, "sketched": True}
        found = measure(own, prompt, lambda text: float("7" in text), tree=True, kept=kept, **settings)
        assert found.tree is not None
        return found.tree

    whole, path = go(None), kept_scores.path_of(tmp_path)
    made: list[int] = []
    picked, add = branch_scores._picked, KeptScores.add

    def counted(*given: Any) -> Any:
        made.append(1)
        return picked(*given)

    def groups(tree: MeasuredTree) -> int:  # twice each branch's, and that of where Adam goes
        return 2 * -(-len(tree.sample.branches) // together) + 1

    def killed(self: KeptScores, row: int, numbers: np.ndarray) -> None:
        add(self, row, numbers)
        if len(made) == 4:
            raise Killed

    monkeypatch.setattr(branch_scores, "_picked", counted)
    with monkeypatch.context() as patch:
        patch.setattr(KeptScores, "add", killed)
        with pytest.raises(Killed):
            go(path)
    made.clear()
    again = go(path)
    assert len(made) == groups(whole) - (4 if together == 1 else 3)  # of the fourth group one score was kept
    np.testing.assert_array_equal(again.features, whole.features)
    np.testing.assert_array_equal(again.sample.coordinates, whole.sample.coordinates)
    assert again.sample.moved is not None
    assert whole.sample.moved is not None
    np.testing.assert_array_equal(again.sample.moved.coordinates, whole.sample.moved.coordinates)
    np.testing.assert_array_equal(again.sample.moved.log_probs, whole.sample.moved.log_probs)
    made.clear()
    other = go(path, "3+3=?")
    assert len(made) == groups(other)
    kept_scores.discard(tmp_path)
    assert not path.exists()
