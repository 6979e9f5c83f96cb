"""Checkpoints that somebody made to break the reader: each is refused in one sentence, before it costs memory."""

import json
import math
import shutil
from pathlib import Path

import gguf
import pytest
from safetensors.numpy import load_file, save_file

from bandit_rft.errors import InputError
from llm_bridge.models import gguf_folder, hub
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.weights import load_params
from tests.llm_bridge.gguf_files import write_gguf

TINY = Path(hub.__file__).parents[1] / "tiny" / "models" / "tiny-llama"
VALUES = json.loads((TINY / "config.json").read_text())
SIZES = ("hidden_size", "num_attention_heads", "num_key_value_heads", "vocab_size", "intermediate_size")
ROPE = {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "model"))


@pytest.mark.parametrize("name", [*SIZES, "num_hidden_layers", "max_position_embeddings", "head_dim"])
@pytest.mark.parametrize("value", ["x", [1], {}, -1, 0, 0.5, math.inf, math.nan, 10**30, True], ids=repr)
def test_a_size_that_is_none_is_refused(name: str, value: object) -> None:
    """Catches a division by zero, a size rounded down to nothing, and a traceback of int()."""
    with pytest.raises(InputError, match=name):
        DecoderConfig.from_values({**VALUES, name: value}, source="somewhere")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("rms_norm_eps", value) for value in ("x", -1, 0, math.inf, math.nan)),
        *(("rope_theta", value) for value in ("x", -1, 0, math.nan, [])),
        *(("rope_scaling", value) for value in ("x", [1], 5, {"rope_type": ["a"]}, {"rope_theta": -1})),
        ("rope_scaling", {**ROPE, "original_max_position_embeddings": 0}),
        ("rope_scaling", {**ROPE, "original_max_position_embeddings": 8192, "factor": 0}),
        ("rope_scaling", {**ROPE, "original_max_position_embeddings": 8192, "high_freq_factor": 1}),
        *(("eos_token_id", value) for value in ("x", {}, [None], ["1"], 0.5, 10**30)),
        *(("model_type", value) for value in (None, [], {})),
        *(("layer_types", value) for value in (5, "full_attention", [[]])),
    ],
    ids=repr,
)
def test_a_value_that_is_none_is_refused(name: str, value: object) -> None:
    with pytest.raises(InputError, match="somewhere"):
        DecoderConfig.from_values({**VALUES, name: value}, source="somewhere")


def test_a_file_that_is_too_deep_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 10**5 + "]" * 10**5)
    with pytest.raises(InputError, match="cannot be read as JSON"):
        DecoderConfig.from_folder(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_hidden_layers", 2**31 - 1), ("vocab_size", 2**31 - 1), ("intermediate_size", 2**31 - 1)],
)
def test_a_size_beyond_the_weights_costs_no_memory(folder: Path, name: str, value: int) -> None:
    """Catches arrays and names that are made as large as config.json claims before the weights are looked at."""
    config = DecoderConfig.from_values({**VALUES, name: value}, source="somewhere")
    with pytest.raises(InputError, match=r"config\.json that belongs"):
        load_params(folder, config)


def sharded(folder: Path, listed: object) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    save_file(tensors, folder / "a.safetensors")
    names = dict.fromkeys(tensors, listed) if isinstance(listed, str) else listed
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


@pytest.mark.parametrize(
    "listed", ["../other.safetensors", "/elsewhere/other.safetensors", "sub/a.safetensors", "..", ""]
)
def test_an_index_that_leads_out_of_its_folder_is_refused(folder: Path, listed: str) -> None:
    """Catches a checkpoint that has another file of the user's read as its weights."""
    shutil.copy(folder / "model.safetensors", folder.parent / "other.safetensors")
    sharded(folder, listed)
    config = DecoderConfig.from_folder(folder)
    for read in (hub.check_folder, lambda path: load_params(path, config)):
        with pytest.raises(InputError, match=r"no file of its folder|lacks"):
            read(folder)


@pytest.mark.parametrize("listed", [5, [1], {"x": [1]}, {"x": {}}, {"x": 5}], ids=repr)
def test_an_index_of_another_form_is_refused(folder: Path, listed: object) -> None:
    sharded(folder, listed)
    config = DecoderConfig.from_folder(folder)
    for read in (hub.check_folder, lambda path: load_params(path, config)):
        with pytest.raises(InputError, match=r"index\.json"):
            read(folder)


def test_a_damaged_shard_is_refused(folder: Path) -> None:
    """Catches safetensors' own error, which only single files were guarded against."""
    sharded(folder, "a.safetensors")
    config = DecoderConfig.from_folder(folder)
    load_params(folder, config)
    whole = (folder / "a.safetensors").read_bytes()
    for damage in (whole[:100], whole[:-10], b"", b"\xff" * 8 + whole[8:], (2**40).to_bytes(8, "little") + whole[8:]):
        (folder / "a.safetensors").write_bytes(damage)
        with pytest.raises(InputError, match="cannot be read as safetensors"):
            load_params(folder, config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("tokenizer.ggml.tokens", value) for value in ([1, 2], "x", 5)),
        *(("tokenizer.ggml.token_type", value) for value in (["a"], "x", 5)),
        *(("tokenizer.ggml.eos_token_id", value) for value in ("x", [1])),
        *(("split.count", value) for value in ("x", [2], 2)),
        *(("llama.attention.head_count", value) for value in (0.5, [1, 2], "x")),
        *(("llama.block_count", value) for value in (10**6, 0.5)),
    ],
    ids=repr,
)
def test_gguf_metadata_of_another_type_is_refused(tmp_path: Path, name: str, value: object) -> None:
    """Catches a string where a number is expected, half a head, and layers that the file does not hold."""
    with pytest.raises(InputError, match=r"a\.gguf"):
        gguf_folder.write_folder(write_gguf(tmp_path / "a.gguf", extra={name: value}), tmp_path)


def test_gguf_tensors_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """Catches a small file that claims the same bytes for many tensors, and would fill the disk."""
    path = write_gguf(tmp_path / "a.gguf")
    reader = gguf.GGUFReader(path, "r+")
    for tensor in reader.tensors:
        tensor.field.parts[-1][0] = 0  # its offset
    reader.data.flush()
    whole = path.read_bytes()
    path.write_bytes(whole[: reader.data_offset + max(tensor.n_bytes for tensor in reader.tensors)])
    with pytest.raises(InputError, match="more weights than it holds"):
        gguf_folder.write_folder(path, tmp_path)
