"""Data sets of the hub: which files are asked for, in the layouts of the real ones, and the hub's own conversion."""

import pytest

from bandit_rft.errors import InputError
from llm_bridge.data import datasets
from tests.llm_bridge.parquet_files import math_row, write


class Hub:
    """A hub whose repositories are folders of revisions; `snapshot_download` as the client's, links left out."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.asked = folder, []
        monkeypatch.setattr("huggingface_hub.snapshot_download", self.download)

    def download(self, name, *, repo_type, revision, allow_patterns):
        import fnmatch

        assert repo_type == "dataset"
        self.asked.append((name, revision))
        commit = self.folder / name / (revision or "main").replace("/", "_")
        if not commit.exists():
            from huggingface_hub.errors import RevisionNotFoundError

            # Past its __init__, which wants a response of whichever HTTP client this version of the hub's uses.
            raise RevisionNotFoundError.__new__(RevisionNotFoundError)
        target = self.folder / "cache" / name.replace("/", "--") / "snapshots" / f"{commit.name}-commit"
        target.mkdir(parents=True, exist_ok=True)
        for file in commit.rglob("*.parquet"):
            inside = str(file.relative_to(commit))
            if any(fnmatch.fnmatch(inside, pattern) for pattern in allow_patterns):
                (target / inside).parent.mkdir(parents=True, exist_ok=True)
                (target / inside).write_bytes(file.read_bytes())
        return str(target)


def test_hub_data_sets_in_the_layouts_of_the_real_ones(tmp_path, monkeypatch):
    """openai/gsm8k (main/), EleutherAI/hendrycks_math (a folder a configuration), DigitalLearningGmbH/MATH-lighteval
    (data/), HuggingFaceH4/MATH-500 (no parquet but the hub's own conversion); and a revision."""
    hub = Hub(tmp_path / "hub", monkeypatch)
    gsm8k = {"question": "1 + 1?", "answer": "two\n#### 2"}
    write(tmp_path / "hub/openai/gsm8k/main/main/test-00000-of-00001.parquet", [gsm8k])
    write(tmp_path / "hub/openai/gsm8k/main/socratic/test-00000-of-00001.parquet", [gsm8k, gsm8k])
    write(tmp_path / "hub/E/hendrycks_math/main/algebra/train-00000-of-00001.parquet", [math_row()])
    write(tmp_path / "hub/E/hendrycks_math/main/geometry/train-00000-of-00001.parquet", [math_row()] * 3)
    write(tmp_path / "hub/D/MATH-lighteval/main/data/train-00000-of-00001-7320a6f3aba8ebd2.parquet", [math_row()] * 2)
    write(tmp_path / "hub/D/MATH-lighteval/v1/data/train-00000-of-00001.parquet", [math_row()] * 5)
    (tmp_path / "hub/H/MATH-500/main").mkdir(parents=True)
    write(tmp_path / "hub/H/MATH-500/refs_convert_parquet/default/test/0000.parquet", [math_row(answer="2")] * 4)

    found = datasets.load("openai/gsm8k", "test")
    assert (len(found), found.revision, found.example(0).ground_truth) == (1, "main-commit", "2")
    assert len(datasets.load("openai/gsm8k/socratic", "test")) == 2
    assert len(datasets.load("E/hendrycks_math/geometry")) == 3
    with pytest.raises(InputError, match="holds the folders algebra, geometry: name one of them"):
        datasets.load("E/hendrycks_math")
    assert len(datasets.load("D/MATH-lighteval")) == 2
    pinned = datasets.load("D/MATH-lighteval@v1")
    assert (len(pinned), pinned.revision) == (5, "v1-commit")
    assert hub.asked[-1] == ("D/MATH-lighteval", "v1")
    converted = datasets.load("H/MATH-500", "test")
    assert (len(converted), converted.revision) == (4, "refs_convert_parquet-commit")
    assert len(datasets.load("H/MATH-500@refs/convert/parquet", "test")) == 4
    with pytest.raises(InputError, match="no revision 'v9'"):
        datasets.load("D/MATH-lighteval@v9")
    with pytest.raises(InputError, match="no parquet file of split 'train'"):
        datasets.load("H/MATH-500", "train")
    assert datasets.load("arithmetic").revision is None
