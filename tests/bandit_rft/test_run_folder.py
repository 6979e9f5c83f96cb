"""Run folders: whole files, one configuration, lines that survive a kill, and a manifest that tells the truth."""

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bandit_rft import History
from bandit_rft.errors import InputError
from bandit_rft.runs import (
    QUESTIONS,
    LineWriter,
    RunFolder,
    config_hash,
    cut_lines,
    read_history,
    read_json,
    read_lines,
    rewrite_lines,
    seeds_of,
    to_json,
    to_line,
    write_atomically,
)
from bandit_rft.runs.reading import round_record
from tests.bandit_rft.run_records import CONFIG, EVALUATION, FINETUNE


def test_a_failed_write_leaves_the_old_file_and_no_scrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_another_configuration_is_refused_by_the_field_that_differs(tmp_path: Path) -> None:
    with RunFolder.claim(tmp_path / "run", CONFIG) as folder:
        folder.resolve(learning_rate=0.5)
        (folder.path / "history.jsonl").write_text("")
    with RunFolder.claim(tmp_path / "run", CONFIG) as folder:  # what the run resolved is no part of the comparison
        assert folder.resolved == {"learning_rate": 0.5}
    before = {entry.name: entry.read_bytes() for entry in (tmp_path / "run").iterdir()}
    with (
        pytest.raises(InputError, match=r"holds a different run.*rounds is 3 there and 4 here"),
        RunFolder.claim(tmp_path / "run", {**CONFIG, "rounds": 4}),
    ):
        raise AssertionError("entered another run's folder")
    assert {entry.name: entry.read_bytes() for entry in (tmp_path / "run").iterdir()} == before


def test_a_field_added_since_counts_as_its_default(tmp_path: Path) -> None:
    """Catches an upgrade that locks users out of their half-finished runs, or one that lets another value slip in."""
    with RunFolder.claim(tmp_path / "run", CONFIG) as folder:
        (folder.path / "history.jsonl").touch()
    defaults = {"novelty": 1}
    with RunFolder.claim(tmp_path / "run", {**CONFIG, "novelty": 1}, defaults=defaults):
        pass
    with (
        pytest.raises(InputError, match="novelty is 1 there and 2 here"),
        RunFolder.claim(tmp_path / "run", {**CONFIG, "novelty": 2}, defaults=defaults),
    ):
        raise AssertionError("entered another run's folder")


def test_a_continuation_that_is_refused_leaves_the_configuration_as_it_was(tmp_path: Path) -> None:
    """By damaged checkpoints, say, of which only the run itself can know. Catches a config.json of a run that never
    was, a change that is lost once it stands, and what was resolved before that under the new request."""
    out = tmp_path / "run"

    def go_on(rounds: int, refused: bool) -> None:
        continues = lambda folder, held, config: config  # noqa: E731
        with RunFolder.claim(out, {**CONFIG, "rounds": rounds}, continues=continues) as folder:
            folder.write_manifest()
            folder.resolve(rate=0.5 * rounds)
            if refused:
                raise InputError("Every checkpoint is damaged.")
            folder.stands()
            (out / "history.jsonl").write_text("{}")

    go_on(3, refused=False)
    with pytest.raises(InputError, match="damaged"):
        go_on(4, refused=True)
    manifest = read_json(out / "manifest.json")
    assert read_json(out / "config.json") == {**CONFIG, "rounds": 3, "resolved": {"rate": 2.0}}
    assert (manifest["config_hash"], manifest.get("changes")) == (config_hash({**CONFIG, "rounds": 3}), None)
    for rounds in (5, 6, 6):
        go_on(rounds, refused=False)
    manifest = read_json(out / "manifest.json")
    assert read_json(out / "config.json") == {**CONFIG, "rounds": 6, "resolved": {"rate": 3.0}}
    assert manifest["config_hash"] == config_hash({**CONFIG, "rounds": 6})
    assert [(one["name"], one["from"], one["to"]) for one in manifest["changes"]] == [
        ("rounds", 3, 5),
        ("rounds", 5, 6),
    ]


def test_a_run_that_could_not_begin_gives_its_folder_back(tmp_path: Path) -> None:
    """Catches a refused attempt (an unmeasurable kappa, say) that blocks the folder for the corrected command, or that
    leaves an empty folder where there was none; and one that removes a folder that was there."""

    def begin() -> None:
        with RunFolder.claim(tmp_path / "run", CONFIG) as folder:
            folder.write_manifest()
            (folder.path / QUESTIONS).write_text("{}")
            raise InputError("early")

    with pytest.raises(InputError, match="early"):
        begin()
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match="early"):
        begin()
    assert (tmp_path / "run").is_dir()
    with RunFolder.claim(tmp_path / "run", {**CONFIG, "rounds": 4}) as folder:
        assert folder.config["rounds"] == 4


def test_a_folder_of_foreign_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match=r"thesis\.tex"), RunFolder.claim(tmp_path, CONFIG):
        raise AssertionError("entered a foreign folder")
    assert [entry.name for entry in tmp_path.iterdir() if not entry.name.startswith(".")] == ["thesis.tex"]


def test_a_run_without_a_result_leaves_no_folder_and_no_parent_of_it(tmp_path: Path) -> None:
    """Files that were opened and hold nothing kept a folder from the next attempt, whose options the user has mended;
    what was measured or written stays.
    """

    def begin(holds: dict[str, str]) -> None:
        with RunFolder.claim(tmp_path / "a" / "run", CONFIG) as folder:
            for name in ("scan", "history", "responses", "evaluations", "timings"):
                (folder.path / f"{name}.jsonl").write_text(holds.get(name, ""))
            if "measured" in holds:
                folder.resolve(measurement={"p0": 0.5})
            raise InputError("The first round fails: mend it.")

    def fails(**holds: str) -> None:
        with pytest.raises(InputError, match="first round fails"):
            begin(holds)

    fails()
    assert list(tmp_path.iterdir()) == []
    fails(measured="")
    assert (tmp_path / "a" / "run" / "config.json").exists()
    (tmp_path / "a" / "run" / "config.json").unlink()
    for file in (tmp_path / "a" / "run").iterdir():
        file.unlink()
    fails(scan="{}\n")
    assert (tmp_path / "a" / "run" / "config.json").exists()


def stopping(out: Path, write: Callable[[Path], object]) -> None:
    """A run that writes this into its folder and stops."""
    with RunFolder.claim(out, CONFIG) as folder:
        folder.write_manifest()
        write(folder.path)
        raise InputError("stopped")


@pytest.mark.parametrize(
    ("files", "stays"),
    [
        (["tree.npz", "questions.jsonl", "timings.jsonl"], False),
        (["tensorboard/events.1", "wandb.json", "wandb/run-1/logs/a"], False),
        (["points/.1234.npz.ab12.partial"], False),
        (["points/1234.npz", "tree.npz"], True),
        (["scores-0.part"], True),
        (["measurement.json", "tree.npz"], True),
        (["what_nobody_has_thought_of"], True),
    ],
)
def test_what_a_run_leaves_is_a_result_that_goes_on_or_litter_that_goes(
    tmp_path: Path, files: list[str], stays: bool
) -> None:
    """Catches a folder that holds something and no configuration: it refused the very command that had made it."""

    def write(folder: Path) -> None:
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("" if name == "timings.jsonl" else "held")

    for _ in range(2):
        with pytest.raises(InputError, match="stopped"):
            stopping(tmp_path / "run", write)
        left = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*") if path.is_file()}
        assert left == ({".lock", "config.json", "manifest.json", *files} if stays else set())
        assert (tmp_path / "run").exists() == stays


def test_a_link_in_a_run_folder_is_not_followed_to_what_it_leads_to(tmp_path: Path) -> None:
    """Catches a clean-up that removes another folder's files."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / ".notes.partial").write_text("mine")
    for name in ("tensorboard", "figures"):
        with pytest.raises(InputError, match="stopped"):
            stopping(tmp_path / name, lambda folder, name=name: (folder / name).symlink_to(tmp_path / "mine"))
        with RunFolder.claim(tmp_path / name, CONFIG):
            pass
    assert (tmp_path / "mine" / ".notes.partial").read_text() == "mine"


def test_what_a_killed_process_left_half_written_goes_with_the_next_claim(tmp_path: Path) -> None:
    """In the folders of a run folder too, whatever they are called."""
    with RunFolder.claim(tmp_path, CONFIG):
        for name in ("figures", "points"):
            (tmp_path / name).mkdir()
            (tmp_path / name / ".1234.npz.ab12.partial").write_text("half")
    with RunFolder.claim(tmp_path, CONFIG):
        assert not [*tmp_path.rglob("*.partial")]


def test_nothing_is_written_into_a_folder_that_is_none_of_ours(tmp_path: Path) -> None:
    """`--out /etc` left a lock there."""
    (tmp_path / "notes.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "notes.txt", tmp_path / "notes.txt" / "run", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match="choose another --out") as caught, RunFolder.claim(place, CONFIG):
            raise AssertionError("entered a foreign place")
        assert str(caught.value).count("choose another") == 1, "a sentence within a sentence"
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_two_processes_never_share_a_folder(tmp_path: Path) -> None:
    with (
        RunFolder.claim(tmp_path / "run", CONFIG),
        pytest.raises(InputError, match="in use"),
        RunFolder.claim(tmp_path / "run", CONFIG),
    ):
        raise AssertionError("entered twice")


def test_a_lock_whose_file_was_removed_meanwhile_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that cannot begin gives its folder back while a second one is about to lock it, and a third one may come
    before that: two would be inside. Catches that, and a traceback where the folder is gone."""
    import fcntl

    out, inside = tmp_path / "run", contextlib.ExitStack()
    lock = fcntl.flock

    def second(third: bool) -> None:
        def late(file: int, how: int) -> None:
            monkeypatch.setattr(fcntl, "flock", lock)
            shutil.rmtree(out)
            if third:
                inside.enter_context(RunFolder.claim(out, CONFIG))
            lock(file, how)

        monkeypatch.setattr(fcntl, "flock", late)
        with RunFolder.claim(out, CONFIG) as folder:
            folder.write_manifest()

    second(third=False)
    assert read_json(out / "config.json") == CONFIG
    with inside, pytest.raises(InputError, match="in use"):
        second(third=True)


def test_lines_survive_a_kill_in_the_middle_of_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    writer = LineWriter(path)
    records = [{"round": i, "text": "zwei\nZeilen\u2028 é", "x": 0.1 + i} for i in range(3)]
    for record in records:
        writer.write(record)
    writer.close()
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert read_lines(path) == records[: whole[:cut].count(b"\n")]


def test_a_file_of_lines_is_cut_in_place(tmp_path: Path) -> None:
    """Wherever a kill has cut it. Catches half a line that is kept, and a line too few or too many."""
    path = tmp_path / "lines.jsonl"
    assert cut_lines(path, lambda record: True) is None
    assert not path.exists()
    lines = [to_line({"round": place, "text": "é" * place}).encode() for place in range(4)]
    whole = b"".join(lines)
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        last = cut_lines(path, lambda record: record["round"] < 2, {"round": int})
        left = min(whole[:cut].count(b"\n"), 2)
        assert path.read_bytes() == b"".join(lines[:left])
        assert (last["round"] + 1 if last else 0) == left
    for odd in (b"[]\n", b'{"round":"1"}\n'):
        path.write_bytes(lines[0] + odd)
        with pytest.raises(InputError, match="Line 2 of"):
            cut_lines(path, lambda record: True, {"round": int})
        assert path.read_bytes() == lines[0] + odd


def test_damage_before_the_last_line_is_refused_not_skipped(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"round":0}\n{"rou\n{"round":2}\n')
    with pytest.raises(InputError, match="Line 2"):
        read_lines(path)


def test_what_is_nested_too_deeply_is_refused_by_whoever_reads_it(tmp_path: Path) -> None:
    """A text that Python's parser takes and no writer of ours does. Catches a traceback of a file from elsewhere."""
    for levels, fits in ((99, True), (101, False), (600, False), (5000, False)):
        for begin, end in (("[", "]"), ('{"a":', "}")):
            text = '{"to":1,"x":' + begin * (levels - 1) + "1" + end * (levels - 1) + "}"
            for name in ("a.jsonl", "config.json", "manifest.json"):
                (tmp_path / name).write_text(text + "\n")
            folder = RunFolder(path=tmp_path, config={})
            for rewrite in (
                lambda: rewrite_lines(tmp_path / "a.jsonl", read_lines(tmp_path / "a.jsonl", {"to": int})),
                lambda folder=folder: folder.amend_manifest(a=1),
                lambda folder=folder: folder.resolve(a=1),
            ):
                if fits:
                    rewrite()
                else:
                    with pytest.raises(InputError, match="restore"):
                        rewrite()


def test_what_json_lacks_becomes_null() -> None:
    assert json.loads(to_line({"a": math.nan, "b": [math.inf, 1.5], "c": {"d": -math.inf}})) == {
        "a": None,
        "b": [None, 1.5],
        "c": {"d": None},
    }
    assert "NaN" not in to_json({"a": math.nan})


@pytest.mark.parametrize(
    ("text", "back"),
    [("\ud800", "\ud800"), ("a\udfff\udc00b é", "a\udfff\udc00b é"), ("\ud83d\ude00", "\U0001f600")],
)
def test_a_lone_surrogate_in_a_response_is_written_and_read_back(tmp_path: Path, text: str, back: str) -> None:
    """Catches a run that ends in the middle of a line because UTF-8 has no such character; a pair is its character."""
    writer = LineWriter(tmp_path / "history.jsonl")
    writer.write({"text": text, text: 1})
    writer.close()
    assert read_lines(tmp_path / "history.jsonl") == [{"text": back, back: 1}]
    write_atomically(tmp_path / "a.json", to_json({"text": [text]}))
    assert read_json(tmp_path / "a.json") == {"text": [back]}
    rewrite_lines(tmp_path / "history.jsonl", read_lines(tmp_path / "history.jsonl"))
    assert read_lines(tmp_path / "history.jsonl") == [{"text": back, back: 1}]


def test_files_have_the_mode_that_the_user_asks_for(tmp_path: Path) -> None:
    """Catches a fixed 0644, which shows a private run to everybody, and a temporary file's 0600."""
    before = os.umask(0o077)
    try:
        write_atomically(tmp_path / "private", "")
        os.umask(0o022)
        write_atomically(tmp_path / "shared", "")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("private", "shared")] == [0o600, 0o644]


def test_floats_come_back_bit_by_bit() -> None:
    value = float(np.nextafter(0.1, 1.0))
    assert json.loads(to_line({"x": value}))["x"] == value


def test_the_hash_is_of_what_was_asked() -> None:
    assert config_hash(CONFIG) == config_hash({**CONFIG, "resolved": {"learning_rate": 1.0}})
    assert config_hash(CONFIG) != config_hash({**CONFIG, "rounds": 4})


def test_the_manifest_keeps_what_earlier_processes_wrote(tmp_path: Path) -> None:
    for started in ("one", "two", "three"):
        with RunFolder.claim(tmp_path / "run", CONFIG) as folder:
            folder.write_manifest(started=started, key=7)
            (folder.path / "history.jsonl").touch()
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["started"] == "three"
    assert manifest["key"] == 7
    assert [earlier["started"] for earlier in manifest["earlier"]] == ["one", "two"]
    assert {"python", "jax", "flax", "numpy"} <= set(manifest["versions"])
    assert manifest["device"]["platform"] == "cpu"


def test_both_kinds_of_history_are_read(tmp_path: Path) -> None:
    with RunFolder.claim(tmp_path / "simulated", {"command": "simulate"}) as folder:
        history = History(rewards=np.ones((2, 3, 1)), value=np.ones((2, 3)), pulled_mean=None, best_mean=None)
        history.save(folder.path / "history.npz")
    assert read_history(tmp_path / "simulated").seeds == 2
    with RunFolder.claim(tmp_path / "real", FINETUNE) as folder:
        lines = "".join(
            to_line({"round": i, "rewards": [[float(i), 1.0]], "metrics": {"loss": [0.5], "kl": [math.nan]}})
            for i in range(3)
        )
        (folder.path / "history.jsonl").write_text(lines + '{"round":3,"rew')
        (folder.path / "evaluations.jsonl").write_text(to_line(EVALUATION))
    real = read_history(tmp_path / "real")
    np.testing.assert_array_equal(real.rewards, [[[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]])
    assert np.isnan(real.metrics["kl"]).all()
    assert real.evaluations == (EVALUATION,)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_history_of_any_number_of_seeds_is_read_back_as_it_was(tmp_path: Path, seeds: int) -> None:
    """Catches seeds, rounds and responses that change places, and a NaN that comes back as a number."""
    rng = np.random.default_rng(0)
    rewards, metrics = rng.random((seeds, 4, 2)), {"loss": rng.random((seeds, 4)), "kl": np.full((seeds, 4), np.nan)}
    metrics["kl"][-1, 2] = 0.1
    with RunFolder.claim(tmp_path / "run", {**FINETUNE, "seeds": seeds}):
        records = (
            round_record(t, rewards[:, t].tolist(), {name: values[:, t] for name, values in metrics.items()})
            for t in range(4)
        )
        (tmp_path / "run" / "history.jsonl").write_text("".join(map(to_line, records)))
    first = json.loads((tmp_path / "run" / "history.jsonl").read_text().splitlines()[0])
    assert first == {
        "round": 0,
        "rewards": rewards[:, 0].tolist(),
        "metrics": {"loss": metrics["loss"][:, 0].tolist(), "kl": [None] * seeds},
    }
    found = read_history(tmp_path / "run")
    assert seeds_of(tmp_path / "run") == (seeds if seeds > 1 else None)
    np.testing.assert_array_equal(found.rewards, rewards)
    assert set(found.metrics) == set(metrics)
    for name, values in metrics.items():
        np.testing.assert_array_equal(found.metrics[name], values)


@pytest.mark.parametrize("line", ['{"round": 1}', '{"round": "1", "p0": 0.5}', '{"round": true, "p0": 1}'])
def test_a_line_without_what_a_command_reads_is_named(tmp_path, line):
    """Catches a resumed run that ends in a KeyError, or goes on from a text in a number's place."""
    path = tmp_path / "scan.jsonl"
    path.write_text('{"round": 0, "p0": 1}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"Line 2 of .* is damaged"):
        read_lines(path, {"round": int, "p0": float})
    assert len(read_lines(path)) == 2
