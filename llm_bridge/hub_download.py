"""A model of the Hugging Face hub as a local folder: `huggingface_hub`'s snapshot, its refusals as sentences.

The folder is the snapshot of one commit and is named after it, so what was loaded can be named exactly and loaded
again: `org/name@COMMIT` resolves to the same files, from the cache where the hub is not reached.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from bandit_rft.errors import InputError

Progress = Callable[[str], None]

_ID = re.compile(r"(?P<repository>[\w.-]{1,96}/[\w.-]{1,96})(?:@(?P<revision>[\w./-]{1,128}))?")


def parse(text: str) -> tuple[str, str | None] | None:
    """("org/name", revision or None) of "org/name" or "org/name@revision"; None where the text is no hub id."""
    found = _ID.fullmatch(text)
    if found is None or text.startswith(".") or found["repository"].endswith(".gguf"):
        return None
    return found["repository"], found["revision"]


def download(repository: str, revision: str | None, *, progress: Progress) -> Path:
    """The snapshot's folder, named by its commit; weights as safetensors only.

    Args:
        repository: "org/name".
        revision: a branch, tag or commit; None: the default branch as it stands today.
        progress: told that the hub is being asked.

    Raises:
        InputError: a gated, private or unknown repository, an unknown revision, no network and nothing cached.
    """
    import huggingface_hub
    from huggingface_hub import errors

    asked = repository if revision is None else f"{repository}@{revision}"
    progress(f"looking for {asked} on the Hugging Face hub")
    try:
        folder = huggingface_hub.snapshot_download(
            repository,
            revision=revision,
            allow_patterns=["*.safetensors", "*.json", "tokenizer*", "vocab*", "merges.txt", "chat_template*"],
            ignore_patterns=["*/*", "*.bin", "*.pt", "*.pth", "*.pkl", "*.gguf"],
        )
    except errors.GatedRepoError as error:
        raise InputError(
            f"{repository} is gated on the Hugging Face hub; accept its terms at https://huggingface.co/{repository}, "
            "then log in with `hf auth login` (or set HF_TOKEN) and try again"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"{repository} has no revision {revision!r} on the Hugging Face hub; give a branch, tag or commit of it"
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise InputError(
            f"the Hugging Face hub knows no model {repository!r} that you may read; check the spelling, or log in "
            "with `hf auth login` (or set HF_TOKEN) if it is private"
        ) from error
    except Exception as error:  # offline, no route, time-out, proxy: the client's exceptions differ by version
        status = _status(error)
        if status in (401, 403):
            raise InputError(
                f"the Hugging Face hub refuses {repository} to this login (status {status}); accept its terms at "
                f"https://huggingface.co/{repository}, then log in with `hf auth login` (or set HF_TOKEN)"
            ) from error
        raise InputError(
            f"{asked} is neither a local folder nor cached, and the Hugging Face hub cannot be reached "
            f"({type(error).__name__}); connect to the network, or give a local folder"
        ) from error
    return Path(folder)


def _status(error: BaseException | None) -> int | None:
    """The HTTP status behind an error: the client wraps it in "not found in the cache either"."""
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None:
            return int(status)
        error = error.__cause__
    return None
