"""The prompts of a run folder, the same to the last token from its first round to its last.

A chat template may read the clock (Llama 3.x does, for the date), and a tokenizer's files may be exchanged while a run
is stopped. The run records the moment that its templates were shown and a digest of its prompts; whoever works on the
folder again gets that moment, and is refused where the prompts differ all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.runs import CONFIG, RunFolder, read_json
from llm_bridge.language_model import LanguageModel

# In config.json, among what the run resolved.
DATE, DIGEST = "prompt_date", "prompts"


def prompt_date(folder: str | Path, given: str | None) -> str | None:
    """The moment that chat templates are shown in this run folder: as recorded there, else the given one; None: now."""
    path = Path(folder) / CONFIG
    resolved = read_json(path).get("resolved") if path.is_file() else None
    recorded = resolved.get(DATE) if isinstance(resolved, dict) else None
    return recorded if isinstance(recorded, str) else given


def keep_prompts(folder: RunFolder, model: LanguageModel, prompts: Sequence[np.ndarray]) -> None:
    """Record, in config.json and the manifest, with what moment and as which tokens the questions are put.

    Args:
        folder: of the run.
        model: whose `prompt_date` it is.
        prompts: of all of the run's questions, int32 [P] each.

    Raises:
        InputError: the run in the folder began with other prompts.
    """
    digest = hashlib.sha256()
    for tokens in prompts:
        digest.update(len(tokens).to_bytes(4, "little") + np.asarray(tokens, "<i4").tobytes())
    recorded = folder.resolved.get(DIGEST)
    if recorded is not None and recorded != digest.hexdigest():
        raise InputError(
            f"The prompts are not those that the run in {folder.path} began with: restore the tokenizer and chat "
            f"template of {model.name} (and the questions), or choose another run folder."
        )
    folder.resolve(**{DATE: model.prompt_date.isoformat(), DIGEST: digest.hexdigest()})
    folder.amend_manifest(**{DATE: model.prompt_date.isoformat()})
