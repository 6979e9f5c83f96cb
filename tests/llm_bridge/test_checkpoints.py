"""Checkpoints: to the bit, whole or absent, and honest about damage."""

import json
import logging
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bandit_rft.errors import InputError
from llm_bridge.training import checkpoints


def make_state(seed: int = 0):
    rng = np.random.default_rng(seed)
    params = {
        "w": jnp.asarray(rng.normal(size=(5, 7)), jnp.float32),
        "h": jnp.asarray(rng.normal(size=3), jnp.bfloat16),
    }
    return {
        "params": params,
        "opt_state": optax.adamw(1e-3).init(params),
        "round": jnp.asarray(seed, jnp.int32),
        "key": jax.random.key(seed),
        "none_yet": jnp.zeros((0, 3), jnp.float32),
        "host": rng.normal(size=4),
        "nan": jnp.asarray(jnp.nan, jnp.float32),
    }


def bits(tree):
    """Every leaf as bytes, so that NaN and −0 compare by bit pattern."""
    plain = [
        jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        for x in jax.tree.leaves(tree)
    ]
    return [(str(x.dtype), x.shape, np.asarray(x).tobytes()) for x in plain]


def files_of(path):
    return sorted((p for p in path.rglob("*") if p.is_file()), key=lambda p: -p.stat().st_size)


def test_round_trip_to_the_bit(tmp_path):
    state, meta = make_state(1), {"records": [1.5, None, "x"], "seed": 3}
    path = checkpoints.save(tmp_path / "new" / "folder", 12, state, meta)
    assert path.name == "round_00000012"
    loaded = checkpoints.load_latest(tmp_path / "new" / "folder", make_state(2))
    assert loaded is not None
    done, restored, restored_meta = loaded
    assert (done, restored_meta) == (12, meta)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert bits(restored) == bits(state)
    assert isinstance(restored["host"], np.ndarray)
    assert isinstance(restored["params"]["w"], jax.Array)
    assert jax.random.uniform(restored["key"]) == jax.random.uniform(state["key"])


def test_newest_is_loaded_and_only_the_last_few_are_kept(tmp_path):
    for index in (1, 2, 9, 10):
        checkpoints.save(tmp_path, index, make_state(index), keep=3)
    assert [path.name for path in checkpoints.available(tmp_path)] == [f"round_{i:08d}" for i in (2, 9, 10)]
    loaded = checkpoints.load_latest(tmp_path, make_state())
    assert loaded is not None
    assert loaded[0] == 10
    assert bits(loaded[1]) == bits(make_state(10))


def test_the_same_round_is_replaced(tmp_path):
    checkpoints.save(tmp_path, 5, make_state(1))
    checkpoints.save(tmp_path, 5, make_state(2))
    loaded = checkpoints.load_latest(tmp_path, make_state())
    assert loaded is not None
    assert bits(loaded[1]) == bits(make_state(2))
    assert [path.name for path in tmp_path.iterdir()] == ["round_00000005"]


def test_nothing_saved_is_none(tmp_path):
    assert checkpoints.load_latest(tmp_path / "absent", make_state()) is None
    assert checkpoints.load_latest(tmp_path, make_state()) is None


def flip_a_bit_of_the_data(path):
    """One bit in the middle of the largest file: still a readable size, other contents."""
    file = files_of(path / "state")[0]
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 4
    file.write_bytes(raw)


def cut_the_data_short(path):
    file = files_of(path / "state")[0]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def remove_the_data(path):
    files_of(path / "state")[0].unlink()


def garble_the_header(path):
    (path / "meta.json").write_text('{"round": 2, ')


def drop_a_header_field(path):
    header = json.loads((path / "meta.json").read_text())
    del header["leaves"]
    (path / "meta.json").write_text(json.dumps(header))


def change_a_checksum(path):
    """The arrays read back, but not as they were written: Orbax alone would not notice."""
    header = json.loads((path / "meta.json").read_text())
    next(leaf for leaf in header["leaves"] if "'w'" in leaf["name"])["crc32"] ^= 1
    (path / "meta.json").write_text(json.dumps(header))


def change_a_name(path):
    """As a flipped bit might: without a checksum over the header this would be another model's checkpoint."""
    (path / "meta.json").write_text((path / "meta.json").read_text().replace("['w']", "['v']", 1))


def remove_the_header(path):
    (path / "meta.json").unlink()


DAMAGES = [
    flip_a_bit_of_the_data,
    cut_the_data_short,
    remove_the_data,
    garble_the_header,
    drop_a_header_field,
    change_a_checksum,
    change_a_name,
    remove_the_header,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(tmp_path, caplog, damage):
    checkpoints.save(tmp_path, 1, make_state(1))
    damage(checkpoints.save(tmp_path, 2, make_state(2)))
    with caplog.at_level(logging.WARNING, logger="llm_bridge.training.checkpoints"):
        loaded = checkpoints.load_latest(tmp_path, make_state())
    assert loaded is not None
    assert loaded[0] == 1
    assert bits(loaded[1]) == bits(make_state(1))
    assert "round_00000002 is damaged" in caplog.text


def test_damaged_later_checkpoints_do_not_displace_those_of_the_run_that_fell_back(tmp_path):
    """Counted among the newest `keep`, they would leave no readable checkpoint behind."""
    checkpoints.save(tmp_path, 1, make_state(1))
    for later in (3, 4):
        remove_the_data(checkpoints.save(tmp_path, later, make_state(later), keep=9))
    told = []
    loaded = checkpoints.load_latest(tmp_path, make_state(), tell=told.append)
    assert loaded is not None
    assert loaded[0] == 1
    assert [sentence.split(" is damaged")[0][-14:] for sentence in told] == ["round_00000004", "round_00000003"]
    checkpoints.save(tmp_path, 2, make_state(2), keep=1)
    assert [path.name for path in checkpoints.available(tmp_path)] == ["round_00000002"]


def test_checkpoints_of_the_format_before_are_still_read(tmp_path):
    path = checkpoints.save(tmp_path, 3, make_state(3)) / "meta.json"
    header = json.loads(path.read_text())
    del header["crc32"]
    path.write_text(json.dumps({**header, "format": 1}))
    loaded = checkpoints.load_latest(tmp_path, make_state())
    assert loaded is not None
    assert bits(loaded[1]) == bits(make_state(3))


@pytest.mark.parametrize("most", [0, 100, 400, 1500])
def test_a_file_that_the_system_refuses_leaves_the_last_checkpoint_and_one_sentence(tmp_path, capfd, most):
    """A real error of the operating system, through Orbax and TensorStore: no file may grow beyond `most` bytes."""
    resource = pytest.importorskip("resource")
    checkpoints.save(tmp_path, 1, make_state(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
        with pytest.raises(InputError, match=r"cannot be written to .*File too large.*make room"):
            checkpoints.save(tmp_path, 2, make_state(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "Traceback" not in "".join(capfd.readouterr())
    assert [path.name for path in tmp_path.iterdir()] == ["round_00000001"]
    checkpoints.save(tmp_path, 2, make_state(2))
    assert len(checkpoints.available(tmp_path)) == 2


def test_all_damaged_is_an_error_not_a_fresh_start(tmp_path):
    remove_the_data(checkpoints.save(tmp_path, 1, make_state(1)))
    with pytest.raises(InputError, match="Every checkpoint"):
        checkpoints.load_latest(tmp_path, make_state())


def test_another_state_is_refused_by_name(tmp_path):
    checkpoints.save(tmp_path, 1, make_state(1))
    other = make_state()
    other["params"] = {**other["params"], "w": jnp.zeros((5, 8), jnp.float32)}
    with pytest.raises(InputError, match=r"'w'.*\[5, 7\].*\[5, 8\]"):
        checkpoints.load_latest(tmp_path, other)
    other = make_state()
    del other["host"]
    with pytest.raises(InputError, match="other ones"):
        checkpoints.load_latest(tmp_path, other)


def test_a_write_that_fails_leaves_the_last_checkpoint_and_no_litter(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, 1, make_state(1))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(InputError, match="No space left"):
            checkpoints.save(tmp_path, 2, make_state(2))
    assert [path.name for path in tmp_path.iterdir()] == ["round_00000001"]


def test_litter_of_a_killed_writer_is_ignored_and_removed(tmp_path):
    litter = tmp_path / ".round_00000007.abc"
    litter.mkdir()
    (litter / "meta.json").write_text("{}")
    assert checkpoints.load_latest(tmp_path, make_state()) is None
    checkpoints.save(tmp_path, 1, make_state(1))
    assert [path.name for path in tmp_path.iterdir()] == ["round_00000001"]


def test_bad_arguments_are_refused(tmp_path):
    with pytest.raises(InputError, match="keep"):
        checkpoints.save(tmp_path, 1, make_state(), keep=0)
    with pytest.raises(InputError, match="plain JSON"):
        checkpoints.save(tmp_path, 1, make_state(), {"a": float("nan")})
    with pytest.raises(InputError, match="arrays only"):
        checkpoints.save(tmp_path, 1, {"x": "text"})


def test_rounds_are_ordered_as_numbers_and_strange_names_are_no_checkpoints(tmp_path):
    """Names sorted as text put round 10^8 before round 99,999,999; int() refuses a superscript that isdigit() takes."""
    for name in ("round_99999999", "round_100000000", "round_\u00b2", "round_", "round_12", ".round_00000007.ab"):
        (tmp_path / name).mkdir()
    assert [checkpoints.round_of(path) for path in checkpoints.available(tmp_path)] == [99_999_999, 100_000_000]


def test_a_checkpoint_has_the_mode_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        path = checkpoints.save(tmp_path / "run", 1, {"a": np.zeros(3)})
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o750
