"""A repository of the Hugging Face hub as a local folder; what the client refuses is one sentence of what to do.

The folder is the snapshot of one commit and is named after it, so what was loaded can be named exactly and loaded
again: `org/name@COMMIT` resolves to the same files, from the cache where the hub is not reached.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from bandit_rft.errors import InputError

_LOG_IN = "log in with `hf auth login` (or set HF_TOKEN)"
_ID = re.compile(r"(?P<repository>[\w.-]{1,96}/[\w.-]{1,96})(?:@(?P<revision>[\w./-]{1,128}))?")


def parse(text: str) -> tuple[str, str | None] | None:
    """("org/name", revision or None) of "org/name" or "org/name@revision"; None where the text is no hub id."""
    found = _ID.fullmatch(text)
    if found is None or text.startswith(".") or found["repository"].endswith(".gguf"):
        return None
    return found["repository"], found["revision"]


def model_snapshot(repository: str, revision: str | None, *, progress: Callable[[str], None]) -> Path:
    """The snapshot's folder, named by its commit; weights as safetensors only, and no Python files.

    Arguments and errors are those of `snapshot`; `progress` is called with a sentence before the hub is contacted.
    """
    progress(f"looking for {repository if revision is None else f'{repository}@{revision}'} on the Hugging Face hub")
    return snapshot(
        repository,
        revision,
        kind="model",
        allow_patterns=["*.safetensors", "*.json", "tokenizer.model*", "vocab.txt", "merges.txt", "chat_template*"],
        ignore_patterns=["*/*", "*.py", "*.bin", "*.pt", "*.pth", "*.pkl", "*.gguf"],
    )


def snapshot(repository: str, revision: str | None, *, kind: Literal["model", "dataset"], **patterns: Any) -> Path:
    """The snapshot's folder, named by its commit.

    Args:
        repository: "org/name".
        revision: a branch, tag or commit; None: the default branch as it stands today.
        kind: of the repository.
        patterns: `allow_patterns` and `ignore_patterns` of `huggingface_hub.snapshot_download`.

    Raises:
        InputError: a gated, private or unknown repository, an unknown revision, no network and nothing cached.
    """
    import huggingface_hub
    from huggingface_hub import errors

    wanted = repository if revision is None else f"{repository}@{revision}"
    name, here, page = {
        "model": ("model", "a local folder", f"https://huggingface.co/{repository}"),
        "dataset": ("data set", "a local parquet file", f"https://huggingface.co/datasets/{repository}"),
    }[kind]
    try:
        return Path(huggingface_hub.snapshot_download(repository, repo_type=kind, revision=revision, **patterns))
    except errors.GatedRepoError as error:
        raise InputError(
            f"{repository} is gated on the Hugging Face hub: accept its terms at {page}, then {_LOG_IN} and try again."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"{repository} has no revision {revision or 'main'!r} on the Hugging Face hub: give a branch, tag or "
            "commit of it."
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise InputError(
            f"{repository!r} is not {here}, and the Hugging Face hub knows no {name} {repository!r} that you may read: "
            f"check the spelling, or {_LOG_IN} if it is private."
        ) from error
    except Exception as error:  # offline, no route, time-out, proxy, server error: the exceptions differ by version
        status = _status(error)
        if status in (401, 403):
            raise InputError(
                f"The Hugging Face hub refuses {repository} to this login (status {status}): accept its terms at "
                f"{page}, then {_LOG_IN}."
            ) from error
        raise InputError(
            f"{wanted} is neither {here} nor cached, and the Hugging Face hub cannot be reached "
            f"({type(error).__name__}): connect to the network, or give {here}."
        ) from error


def _status(error: BaseException | None) -> int | None:
    """The HTTP status behind an error: the client wraps it in "not found in the cache either"."""
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None:
            return int(status)
        error = error.__cause__
    return None
