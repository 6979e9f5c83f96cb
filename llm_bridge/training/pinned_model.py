"""The model of a run folder, in the very revision that the run began with.

A hub id without a revision names whatever its default branch holds today. The manifest records the commit that was
loaded, and whoever works on the folder again (to continue the run, to export it) gets that commit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError
from bandit_rft.runs import MANIFEST, read_json
from bandit_rft.settings.finetune import FineTuneConfig
from llm_bridge import hosts
from llm_bridge.language_model import LanguageModel, load_model
from llm_bridge.measuring.pinned_prompts import prompt_date
from llm_bridge.models import chat_template


def load_pinned(
    folder: str | Path, config: FineTuneConfig | Mapping[str, Any], *, mesh: str | None = None
) -> LanguageModel:
    """The model that a configuration names: as recorded in the folder's manifest, else as it is today; on a mesh of
    devices where one is given, for the one that a run had is no part of what its model is.

    Raises:
        InputError: the model cannot be had, or its file is no longer the one that the run began with.
    """
    given = config if isinstance(config, Mapping) else config.to_json()
    requested = str(given["model"])
    recorded, name = _recorded(Path(folder), requested), requested
    if recorded is not None and recorded["source"] == "hub":
        name = f"{name.partition('@')[0]}@{recorded['revision']}"
    moment = chat_template.moment().isoformat() if hosts.count() > 1 else None  # of one host's clock for all
    date = hosts.first(lambda: prompt_date(folder, given.get("prompt_date")) or moment)
    model = load_model(
        name,
        given["dtype"],
        param_dtype=given["param_dtype"],
        prompt_date=date,
        thinking=given.get("thinking"),
        mesh=mesh,
    )
    now = model.source.revision if model.source is not None else None
    if recorded is not None and recorded["revision"] != now:
        raise InputError(
            f"{requested} is not the model that the run in {folder} began with (revision "
            f"{str(recorded['revision'])[:12]} there, {str(now)[:12]} now): restore that model, or choose another "
            "run folder."
        )
    return dataclasses.replace(model, name=requested)


def as_configured(model: LanguageModel, given: Mapping[str, Any]) -> LanguageModel:
    """The model with the adapters, the cache and the attention that a run's settings name, by their names in
    config.json; itself where they name none.
    """
    if given.get("attention", "own") != model.config.attention:
        model = model.with_attention(given.get("attention", "own"))
    if given.get("cache_dtype") is not None:
        model = model.with_cache(given["cache_dtype"])
    if given.get("lora_rank") is not None:
        model = model.with_lora(
            given["lora_rank"], alpha=given.get("lora_alpha"), weights=given.get("lora_weights"), key=given["key"]
        )
    return model


def of_model(model: LanguageModel) -> dict[str, Any]:
    """What config.json says of a model's thinking, adapters, cache and attention; `load_pinned` and `as_configured`
    read it.
    """
    lora = model.config.lora
    return {
        "thinking": model.thinking,
        "lora_rank": None if lora is None else lora.rank,
        "lora_alpha": None if lora is None else lora.alpha,
        "lora_weights": None if lora is None else ",".join(lora.weights),
        "cache_dtype": model.config.cache_dtype,
        "attention": model.config.attention,
    }


def _recorded(folder: Path, name: str) -> dict[str, Any] | None:
    """What the folder's manifest says of the model; None where there is no run, or one that recorded no revision."""
    path = folder / MANIFEST
    recorded = read_json(path).get("model") if path.is_file() else None
    if not isinstance(recorded, dict) or not {"name", "source"} <= recorded.keys() or recorded.get("revision") is None:
        return None
    # A folder of another model is refused by the run folder itself, with a better sentence.
    return recorded if str(recorded["name"]).partition("@")[0] == name.partition("@")[0] else None
