"""A model written as a Hugging Face folder that transformers loads with the same logits: no torch, no pickle.

    save_pretrained(model, "out/tuned", state.params, dtype="bfloat16")

config.json and generation_config.json are made from the decoder's own configuration, so they are complete whatever the
model was read from (GGUF too); the tokenizer's files are the source's own. Left out: a model card, pushing to a hub,
quantised formats.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from bandit_rft.errors import InputError
from bandit_rft.runs import CONFIG, read_json, seeds_of
from bandit_rft.settings.saved_finetune import config_of
from llm_bridge import hosts
from llm_bridge.language_model import DTYPES, LanguageModel
from llm_bridge.models import config_values
from llm_bridge.models.config_values import write_json
from llm_bridge.models.families import TEXT_PARTS
from llm_bridge.models.weights import adapter_tensors, tensors
from llm_bridge.training import checkpoints
from llm_bridge.training.checkpoint_files import sync
from llm_bridge.training.pinned_model import as_configured, load_pinned

# Bytes of tensors in one file, as transformers' own default; a larger tensor has a file of its own.
SHARD_BYTES = 5_000_000_000
_TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "chat_template*",
)


def save_pretrained(
    model: LanguageModel,
    folder: str | Path,
    params: Any = None,
    *,
    dtype: str | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Write the model into a new folder: whole under its name, or not at all.

    Files are written to a hidden folder beside it, flushed, and renamed into place; a process killed meanwhile leaves
    only that hidden folder.

    Args:
        model: configuration, tokenizer and, unless given, the weights.
        folder: made; it may exist if it is empty.
        params: other weights than the model's own (fine-tuned ones), of the same structure.
        dtype: "float32", "bfloat16" or "float16"; None keeps the weights' own.
        shard_bytes: tensors beyond this many bytes go to further files, listed in an index.

    Returns:
        The folder.

    Raises:
        InputError: a folder that is not empty or cannot be written, an unknown dtype or one too narrow for a weight,
            a tokenizer that cannot be saved, or several processes.
    """
    _check_alone()
    folder = Path(folder).expanduser().absolute()
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"dtype '{dtype}' is not known: use one of {', '.join(DTYPES)}.")
    params = model.whole(params)
    stored = dtype or str(params["embedding"][...].dtype)
    with made_whole(folder) as temporary:
        config, generation = model.config.to_values(stored)
        write_json(temporary / "config.json", config)
        _write_tokenizer(model, temporary)
        ends = {"eos_token_id": generation["eos_token_id"]}  # of all files of the source, where a response ended
        write_json(temporary / "generation_config.json", generation | _sampling_settings(model) | ends)
        _write_weights(tensors(model.config, params, dtype), temporary, shard_bytes, stored)
    return folder


def _check_alone() -> None:
    """Raises InputError where there are several processes, none of which has all weights."""
    if hosts.count() > 1:
        raise InputError(
            f"There are {hosts.count()} processes and weights are written by one: let bandit-rft export read them from "
            "the run folder."
        )


@contextlib.contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """A hidden folder that becomes `folder` at the end, flushed, or goes. Raises InputError where it cannot."""
    refuse_occupied(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Made with the user's own umask: a temporary folder's 0700 would hide the model from colleagues.
        temporary = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
        temporary.mkdir()
        try:
            yield temporary
            mode = next(temporary.glob("*config.json")).stat().st_mode & 0o777  # what the user's umask leaves
            for file in temporary.iterdir():
                os.chmod(file, mode)  # safetensors writes 0600
                sync(file)
            os.replace(temporary, folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync(folder.parent)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror or error}): make room or access there, or choose another "
            "folder."
        ) from error


def export_run(
    run: str | Path,
    out: str | Path,
    dtype: str | None = None,
    round: int | None = None,
    seed: int | None = None,
    *,
    adapter: bool = False,
) -> str:
    """Write the weights of a run folder's checkpoint, and return a sentence on what was written.

    Args:
        run: a folder of `bandit-rft finetune` or `llm_bridge.finetune`.
        out, dtype: as `save_pretrained` takes them.
        round: of the checkpoint; None: the newest.
        seed: of a run of several seeds, from 0.
        adapter: the adapters alone, as `peft` reads them, of a run that trained some; else a whole model, into whose
            weights they are merged.

    Raises:
        InputError: as `save_pretrained`; no run, no such round or seed, or a seed that is not named.
    """
    # What can be refused without the model is refused before it is loaded.
    folder = Path(run)
    config = _config_of(folder)
    seeds = seeds_of(folder, seed)
    if seeds is not None and seed is None:
        raise InputError(f"{folder} holds {seeds} seeds: name the one to export with --seed, 0 to {seeds - 1}.")
    refuse_occupied(Path(out).expanduser())
    if adapter and config.get("lora_rank") is None:
        raise InputError(f"{folder} trained the weights and no adapters: leave out --adapter.")
    saved = folder / "checkpoints"
    checkpoints.require(saved, round)
    model = as_configured(load_pinned(folder, config), config)
    which = config["model"] if seeds is None else f"Seed {seed} of {config['model']}"
    part = seed if seeds is not None else None
    done, params = checkpoints.load_part(saved, "params", model.trained, round=round, seed=part)
    write = save_adapter if adapter else save_pretrained
    written = write(model, out, params, dtype=dtype)
    size = sum(file.stat().st_size for file in written.iterdir())
    return f"{which} after {done} rounds: {size / 1e6:.0f} MB in {written}"


def save_adapter(model: LanguageModel, folder: str | Path, params: Any = None, *, dtype: str | None = None) -> Path:
    """Write a model's adapters into a new folder as `peft` reads them: adapter_config.json and
    adapter_model.safetensors; whole under its name, or not at all.

        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), folder)

    Of a base that reads images as well, that class keeps the vision tower, and the adapters are those of its text part
    alone (`language_model`, as transformers names it from 4.52 on).

    Args:
        model: with adapters (`LanguageModel.with_lora`).
        folder: made; it may exist if it is empty.
        params: adapters other than the model's own (trained ones).
        dtype: "float32", "bfloat16" or "float16"; None: float32, as they are trained.

    Returns:
        The folder.

    Raises:
        InputError: a model without adapters, a folder that is not empty or cannot be written, an unknown dtype, or
            several processes.
    """
    _check_alone()
    folder, lora = Path(folder).expanduser().absolute(), model.config.lora
    if lora is None:
        raise InputError(f"{model.name} has no adapters: export it whole.")
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"dtype '{dtype}' is not known: use one of {', '.join(DTYPES)}.")
    source, beside = model.source, _reads_images(model)
    decoder = "model.language_model" if beside else "model"
    held = adapter_tensors(model.config, model.whole(params), dtype, decoder=decoder)
    for name, array in held.items():
        _check_range(name, array, dtype)
    modules = sorted({name.rsplit(".", 3)[-3] for name in held})
    base = None if source is None else str(source.folder) if source.kind != "hub" else source.name.partition("@")[0]
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "revision": source.revision if source is not None and source.kind == "hub" else None,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        # A vision tower has projections of the same names: a pattern of whole names leaves them alone.
        "target_modules": rf"model\.language_model\.layers\.\d+\.\w+\.({'|'.join(modules)})" if beside else modules,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    with made_whole(folder) as temporary:
        write_json(temporary / "adapter_config.json", config)
        save_file(held, temporary / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def _reads_images(model: LanguageModel) -> bool:
    """Whether the model is the text part of a checkpoint that reads images as well."""
    if model.source is None:
        return False
    return config_values.read_json(model.source.folder / "config.json").get("model_type") in TEXT_PARTS


def _config_of(folder: Path) -> Mapping[str, Any]:
    """The configuration of a fine-tuning run, made by the command or in Python.

    Raises:
        InputError: the folder is none of a fine-tuning run, or damaged.
    """
    path = folder / CONFIG
    saved = read_json(path) if path.exists() else {}
    names = ("model", "dtype", "param_dtype")
    if saved.get("python") is True and all(isinstance(saved.get(name), str) for name in names):
        adapters = ("lora_rank", "lora_alpha", "lora_weights")
        return {name: saved[name] for name in names} | {name: saved.get(name) for name in adapters} | {"key": 0}
    return config_of(str(folder), {}).to_json()


def refuse_occupied(folder: Path) -> None:
    """Raises InputError where `save_pretrained` would not write."""
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty: name a folder that does not exist yet.")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: name a folder that does not exist yet.")


def _write_weights(pairs: Iterator[tuple[str, np.ndarray]], folder: Path, shard_bytes: int, dtype: str) -> None:
    """One model.safetensors, or several and their index; memory holds one file's tensors at a time."""
    parts: list[tuple[Path, list[str]]] = []
    held: dict[str, np.ndarray] = {}
    total = size = 0

    def write() -> None:
        path = folder / f"part-{len(parts):05d}.safetensors"
        save_file(held, path, metadata={"format": "pt"})
        parts.append((path, list(held)))

    for name, array in pairs:
        _check_range(name, array, dtype)
        if held and size + array.nbytes > shard_bytes:
            write()
            held, size = {}, 0
        held[name] = array
        size += array.nbytes
        total += array.nbytes
    write()
    if len(parts) == 1:
        parts[0][0].rename(folder / "model.safetensors")
        return
    listed: dict[str, str] = {}
    for place, (path, names) in enumerate(parts, 1):
        renamed = path.rename(folder / f"model-{place:05d}-of-{len(parts):05d}.safetensors")
        listed |= dict.fromkeys(names, renamed.name)
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": listed})


def _check_range(name: str, array: np.ndarray, dtype: str | None) -> None:
    """Raises InputError for numbers beyond float16's largest, which were made infinite."""
    if dtype == "float16" and not np.isfinite(array).all():
        raise InputError(f"Tensor '{name}' has numbers that are not finite in float16: export as bfloat16.")


def _write_tokenizer(model: LanguageModel, folder: Path) -> None:
    """The source's own files; a tokenizer made in memory writes itself."""
    source = model.source.folder if model.source is not None else None
    files = sorted({file for pattern in _TOKENIZER_FILES for file in source.glob(pattern)}) if source else []
    for file in files:
        if file.is_file() and file.suffix != ".py":  # Python of the folder's own, which is never run
            shutil.copyfile(file, folder / file.name)
    if files:
        return
    if not hasattr(model.tokenizer, "save_pretrained"):
        raise InputError(f"The tokenizer of {model.name} cannot be saved: export a model that was loaded from files.")
    model.tokenizer.save_pretrained(folder)


def _sampling_settings(model: LanguageModel) -> dict[str, Any]:
    """The source's generation_config.json (temperature, special tokens as its authors set them), {} where none."""
    path = model.source.folder / "generation_config.json" if model.source is not None else None
    if path is None or not path.is_file():
        return {}
    values = json.loads(path.read_text(encoding="utf-8"))
    return {name: value for name, value in values.items() if name != "transformers_version"}
