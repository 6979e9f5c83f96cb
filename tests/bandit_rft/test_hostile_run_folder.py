"""Run folders that somebody made to break their readers: each is refused in one sentence."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from bandit_rft import History
from bandit_rft.errors import InputError
from bandit_rft.runs import (
    RunFolder,
    read_history,
    read_json,
    read_lines,
)
from tests.bandit_rft.run_records import CONFIG, EVALUATION, FINETUNE

DEEP = [b"[" * 10**5 + b"]" * 10**5, b'{"a":' * 10**5]


HOSTILE_JSON = [*DEEP, b"\xff\xfe{", b"\0\0\0{", b"5", b"null", b"[1]", b"1" * 5000]


@pytest.mark.parametrize("text", HOSTILE_JSON, ids=range(len(HOSTILE_JSON)))
def test_hostile_json_is_a_sentence(tmp_path: Path, text: bytes) -> None:
    """Catches a parser's recursion error, another encoding, a number beyond its limit, a value that is no object."""
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(InputError, match=r"config\.json"):
        read_json(tmp_path / "config.json")
    (tmp_path / "history.jsonl").write_bytes(b"{}\n" + text + b"\n")
    with pytest.raises(InputError, match="Line 2 of"):
        read_lines(tmp_path / "history.jsonl")


def test_a_folder_in_a_file_s_place_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        read_lines(tmp_path / "history.jsonl")
    with RunFolder.claim(tmp_path / "run", CONFIG) as folder:
        (folder.path / "figures").write_text("")
        with pytest.raises(InputError, match="figures cannot be written"):
            folder.figures()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """Catches a stranger's run folder whose .lock leads to a file of the user's, which locking would empty."""
    (tmp_path / "thesis.tex").write_text("x")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "thesis.tex")
    with pytest.raises(InputError, match="cannot be written"), RunFolder.claim(tmp_path / "run", CONFIG):
        raise AssertionError("entered")
    assert (tmp_path / "thesis.tex").read_text() == "x"


# A round of two seeds.
ROUND = {"round": 0, "rewards": [[1.0], [0.0]], "metrics": {"kl": [None, 0.5]}}
SECOND = ROUND | {"round": 1}
UNFIT_REWARDS = (None, [], [1.0, 1.0], "a", [None], [math.inf], [10**400], {"a": 1}, [True], ["1"])
UNFIT_ROUNDS = [
    *({"rewards": value} for value in (None, [], "ab", {"0": [1.0], "1": [0.0]}, [1.0, 0.0], [[1.0]], [[1.0]] * 3)),
    *({"rewards": [[1.0], value]} for value in UNFIT_REWARDS),
    *({"rewards": [value, [1.0]]} for value in UNFIT_REWARDS),
    *({"metrics": value} for value in (None, [], {}, {"kl": None}, {"kl": 0.5}, {"kl": [0.5]}, {"kl": [0.5] * 3})),
    *({"metrics": {"kl": [0.5, value]}} for value in ("x", 10**400, math.inf, [0.5], True)),
    *({"round": value} for value in (0, 2, -1, None, "1", 1.5, [1])),
]


@pytest.mark.parametrize("change", UNFIT_ROUNDS, ids=repr)
def test_a_round_that_no_run_writes_is_refused_by_its_line(tmp_path: Path, change: dict[str, object]) -> None:
    """Catches ragged and infinite rewards, seeds too few or too many, metrics that are missing, and rounds that are
    missing, twice there or in another order, before they reach an array."""
    (tmp_path / "config.json").write_text(json.dumps(FINETUNE | {"seeds": 2}))
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (ROUND, SECOND)))
    assert read_history(tmp_path).rewards.shape == (2, 2, 1)
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (ROUND, SECOND | change)))
    with pytest.raises(InputError, match=r"Line 2 of .*history\.jsonl is damaged"):
        read_history(tmp_path)


UNFIT_FIRST_ROUNDS = [
    *(
        {"rewards": value}
        for value in (None, [], [[], []], [1.0, 0.0], [[1.0]], [[1.0], [1.0, 0.0]], [[math.nan], [0]])
    ),
    *({"metrics": value} for value in (None, [], {"kl": None}, {"kl": [0.5]}, {"kl": [0.5, "x"]}, {"kl": {}})),
    {"round": 1},
]


@pytest.mark.parametrize("change", UNFIT_FIRST_ROUNDS, ids=repr)
def test_a_first_round_that_no_run_writes_is_refused_too(tmp_path: Path, change: dict[str, object]) -> None:
    """Catches a first line that is only a measure for the others, and is itself not measured."""
    (tmp_path / "config.json").write_text(json.dumps(FINETUNE | {"seeds": 2}))
    (tmp_path / "history.jsonl").write_text(json.dumps(ROUND | change) + "\n")
    with pytest.raises(InputError, match=r"Line 1 of .*history\.jsonl is damaged"):
        read_history(tmp_path)


def test_a_folder_of_an_older_version_is_called_so(tmp_path: Path) -> None:
    """It wrote the rewards of its one seed without an axis for seeds; nothing of it is damaged."""
    (tmp_path / "config.json").write_text(json.dumps(FINETUNE))
    line = {"round": 0, "rewards": [1.0], "metrics": {"kl": None}, "responses": [{"text": "7"}]}
    (tmp_path / "history.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(InputError, match="is of an older version"):
        read_history(tmp_path)


@pytest.mark.parametrize("seeds", [1, 3, None])
def test_a_history_of_other_seeds_than_the_configuration_says_is_refused(tmp_path: Path, seeds: int | None) -> None:
    config = FINETUNE if seeds is None else FINETUNE | {"seeds": seeds}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "history.jsonl").write_text(json.dumps(ROUND) + "\n")
    with pytest.raises(InputError, match=r"Line 1 of .*history\.jsonl is damaged"):
        read_history(tmp_path)


def test_a_fine_tuning_run_has_no_other_history_than_its_lines(tmp_path: Path) -> None:
    """Catches a stranger's history.npz, whose rewards nothing checks, that is read in their place."""
    (tmp_path / "config.json").write_text(json.dumps(FINETUNE | {"seeds": 2}))
    History(rewards=np.full((9, 3, 1), np.nan), value=np.ones((9, 3)), pulled_mean=None, best_mean=None).save(
        tmp_path / "history.npz"
    )
    with pytest.raises(InputError, match="no history yet"):
        read_history(tmp_path)
    (tmp_path / "history.jsonl").write_text(json.dumps(ROUND) + "\n")
    np.testing.assert_array_equal(read_history(tmp_path).rewards, [[[1.0]], [[0.0]]])


UNFIT_EVALUATIONS = [
    {name: value}
    for name, values in {
        "round": (None, 1.5, -1, "x", 10**30),
        "measured": (None, [], 3),
        "pass_at_1": (None, "x", 2.0, math.nan),
        "high": (math.inf,),
        "samples": (0, 1.5),
        "truncated": ("x",),
        "seed": ("<b>", -1, True, 1.5, [0]),
        "pass_at_k": ([1], {"x": 1}, {"2": "y"}, {"²": 1.0}),
    }.items()
    for value in values
]


@pytest.mark.parametrize("change", UNFIT_EVALUATIONS, ids=repr)
def test_an_evaluation_that_no_run_writes_is_refused_by_its_line(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(FINETUNE | {"seeds": 2}))
    (tmp_path / "history.jsonl").write_text(json.dumps(ROUND) + "\n")
    (tmp_path / "evaluations.jsonl").write_text(json.dumps(EVALUATION | change) + "\n")
    with pytest.raises(InputError, match=r"Line 1 of .*evaluations\.jsonl is damaged"):
        read_history(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        *({"rounds": value} for value in (None, "x", -1, 0, 10**12, 1.5)),
        *({"resolved": value} for value in (None, [1], {"learning_rate": "x"}, {"measurement": [1]})),
        *({"seeds": value} for value in (None, "8; touch x", 0, -1, True, 1.5, 10**12)),
        *({"model": None}, {"index": None}, {"kl_coefficient": "x"}, {"gradient_clip": "x"}, {"signal": []}),
    ],
    ids=repr,
)
def test_a_configuration_that_no_run_writes_is_refused_by_its_field(tmp_path: Path, change: dict[str, object]) -> None:
    """Catches a horizon that would fill the memory, and fields of another type, before anything is drawn."""
    (tmp_path / "config.json").write_text(json.dumps(FINETUNE | {"seeds": 2} | change))
    (tmp_path / "history.jsonl").write_text(json.dumps(ROUND) + "\n")
    with pytest.raises(InputError, match=rf"config\.json is damaged \({next(iter(change))}\)"):
        read_history(tmp_path)


def test_a_damaged_history_file_is_a_sentence(tmp_path: Path) -> None:
    """Catches what zipfile, zlib and numpy raise, each in its own type, of a cut or changed file; and wrong shapes."""
    path = tmp_path / "history.npz"
    History(rewards=np.ones((2, 3, 1)), value=np.ones((2, 3)), pulled_mean=None, best_mean=None).save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["history.npz"]
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place])
        with pytest.raises(InputError, match="not a saved history"):
            History.load(path)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            assert History.load(path).rewards.shape == (2, 3, 1)  # a byte that nothing reads
        except InputError:
            continue
    History(rewards=np.ones((2, 3)), value=np.ones((2, 3)), pulled_mean=None, best_mean=None).save(path)
    with pytest.raises(InputError, match="not a saved history"):
        History.load(path)
    with pytest.raises(InputError, match="cannot be written"):
        History(rewards=np.ones((1, 1, 1)), value=np.ones((1, 1)), pulled_mean=None, best_mean=None).save(tmp_path)
    assert not list(tmp_path.parent.glob(".*.partial"))
