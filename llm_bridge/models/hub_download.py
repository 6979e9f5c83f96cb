"""A model of the Hugging Face hub as a local folder: its id, and the files to fetch.

The folder is the snapshot of one commit and is named after it, so what was loaded can be named exactly and loaded
again: `org/name@COMMIT` resolves to the same files, from the cache where the hub is not reached.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from llm_bridge.models.hub_snapshot import snapshot

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
        progress: called with a sentence before the hub is contacted.

    Raises:
        InputError: a gated, private or unknown repository, an unknown revision, no network and nothing cached.
    """
    progress(f"looking for {repository if revision is None else f'{repository}@{revision}'} on the Hugging Face hub")
    return snapshot(
        repository,
        revision,
        kind="model",
        allow_patterns=["*.safetensors", "*.json", "tokenizer*", "vocab*", "merges.txt", "chat_template*"],
        ignore_patterns=["*/*", "*.bin", "*.pt", "*.pth", "*.pkl", "*.gguf"],
    )
