"""A GGUF file as a Hugging Face folder: `config.json`, `generation_config.json`, tokenizer files, `model.safetensors`.

Weights are dequantised by the `gguf` package (numpy; no torch) and kept as float32, which holds every number that the
quantised format can express, so nothing is rounded twice. Llama files store the rows of the query and key projections
permuted (llama.cpp's rotary layout), Gemma 3's the factors of its norms in place of what is added to one; both are
undone here.

Left out: architectures other than Llama, Qwen2, dense Qwen3 and Gemma 3's text part, mixtures of experts,
sliding-window attention but Gemma 3's, YaRN, files in several parts. Each is refused in a sentence: a tensor or a
setting that is not understood is never dropped in silence.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bandit_rft.errors import InputError
from llm_bridge.models import gguf_tokenizer
from llm_bridge.models.config_values import write_json
from llm_bridge.models.families import FAMILIES
from llm_bridge.models.gguf_config import config_of, llama3_factors, sources_of

if TYPE_CHECKING:
    import gguf

__all__ = ["llama3_factors", "unpermute", "write_folder"]

Progress = Callable[[str], None]


def write_folder(gguf_path: Path, folder: Path, *, progress: Progress = lambda message: None) -> None:
    """Writes the model of a GGUF file into `folder` (existing, empty), in Hugging Face layout.

    Args:
        gguf_path: the file.
        folder: where to write; not cleaned up on failure (the caller writes to a temporary folder and moves it).
        progress: called with a line of text as the work goes on.

    Raises:
        InputError: not a GGUF file, truncated or damaged, or a model that is not read here.
        OSError: the file cannot be read, or the folder cannot be written.
    """
    import gguf

    where = gguf_path.name
    with gguf_path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise InputError(f"{gguf_path} is not a GGUF file (it does not start with 'GGUF'): give a whole .gguf file.")
    try:
        reader = _bounded_reader()(gguf_path)
        metadata = {name: field.contents() for name, field in reader.fields.items()}
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        shapes = {name: tuple(int(size) for size in reversed(tensor.shape)) for name, tensor in tensors.items()}
    except OSError:
        raise
    except Exception as error:  # the reader fails in whatever way the damage leads it to
        raise InputError(
            f"{gguf_path} is truncated or damaged ({type(error).__name__} while reading its header): fetch it again."
        ) from error

    def read(name: str) -> np.ndarray:
        tensor = tensors[name]
        try:
            return np.asarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        except (NotImplementedError, ValueError) as error:
            raise InputError(
                f"{where} stores {name} as {tensor.tensor_type.name}, which the gguf package cannot dequantise: "
                f"give a file "
                "quantised another way."
            ) from error

    # Tensors that share their bytes would let a small file fill the disk.
    if sum(int(tensor.n_bytes) for tensor in tensors.values()) > gguf_path.stat().st_size:
        raise InputError(f"{gguf_path} claims more weights than it holds: it is damaged, fetch it again.")
    try:
        config = config_of(metadata, shapes, read, where)
        sources = sources_of(config, shapes, where)
        ids = gguf_tokenizer.write(metadata, folder, where=where, vocabulary_rows=config["vocab_size"])
    except (InputError, OSError):
        raise
    except Exception as error:  # a field of another type than GGUF has there; the tokenizers library raises bare ones
        raise InputError(
            f"{gguf_path} is damaged ({type(error).__name__} while reading its metadata): fetch it again."
        ) from error
    config |= {"bos_token_id": ids.bos, "eos_token_id": ids.eos[0] if ids.eos else None, "pad_token_id": ids.pad}
    generation = {"bos_token_id": ids.bos, "eos_token_id": list(ids.eos) or None, "pad_token_id": ids.pad}

    def arrays() -> Iterator[np.ndarray]:
        for count, source in enumerate(sources.values(), 1):
            weights = read(source)
            if not np.isfinite(weights).all():
                raise InputError(
                    f"{gguf_path} holds numbers that are not finite in {source}: it is damaged, fetch it again."
                )
            if config["model_type"] == "llama" and re.search(r"\.attn_[qk]\.weight$", source):
                heads = config["num_attention_heads" if ".attn_q." in source else "num_key_value_heads"]
                weights = unpermute(weights, heads)
            if FAMILIES[config["model_type"]].norm_offset and source.endswith("norm.weight"):
                weights = weights - np.float32(1)
            if count % 50 == 0 or count == len(sources):
                progress(f"dequantised {count} of {len(sources)} tensors of {where}")
            yield weights.reshape(shapes[source])

    _write_safetensors(
        folder / "model.safetensors", {name: shapes[source] for name, source in sources.items()}, arrays()
    )
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", generation)


@functools.cache
def _bounded_reader() -> type[gguf.GGUFReader]:
    """`gguf.GGUFReader`, but that nothing is read past the end of the file.

    The package's own reads nothing there and goes on, so that a few bytes that claim an array of 2^40 numbers keep it
    busy, and fill the memory, for hours. Here every number, letter and tensor takes bytes that the file has.
    """
    import gguf

    class Bounded(gguf.GGUFReader):
        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> np.ndarray:
            end, held = int(offset) + np.dtype(dtype).itemsize * int(count), len(self.data)
            if end > held:
                raise ValueError(f"the file has {held} bytes and claims {end}")
            return super()._get(offset, dtype, count, override_order)

    return Bounded


def unpermute(weights: np.ndarray, heads: int) -> np.ndarray:
    """Undoes llama.cpp's row order of a query or key projection.

    llama.cpp turns neighbouring rows (2i, 2i+1) of a head, Hugging Face rows (i, i + head_dim/2).

    Args:
        weights: float [heads · head_dim, hidden].
        heads: query heads for q, key-value heads for k.

    Returns:
        The same shape, in Hugging Face's order.
    """
    rows = weights.shape[0]
    return weights.reshape(heads, rows // heads // 2, 2, -1).swapaxes(1, 2).reshape(rows, -1)


def _write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]], arrays: Iterator[np.ndarray]) -> None:
    """Writes float32 tensors one by one, so that memory holds one of them and not the model.

    The format (safetensors README): a little-endian uint64 header length, a JSON header, then the data.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in shapes.items():
        end = offset + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays:
            file.write(np.ascontiguousarray(array, dtype="<f4").data)
        file.flush()
        os.fsync(file.fileno())
