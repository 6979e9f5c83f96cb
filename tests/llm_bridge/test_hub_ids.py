"""Hub ids, against a hub played by a local server: files, revisions, refusals in one sentence."""

import hashlib
import http.server
import json
import threading
from pathlib import Path

import pytest

from llm_bridge.models import cache
from tests.llm_bridge.hub_processes import closed_port, python


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as `snapshot_download` asks of it."""

    files: dict[str, bytes]

    def do_GET(self):
        self.answer(True)

    def do_HEAD(self):
        self.answer(False)

    def answer(self, body):
        # The repository has two commits: b…, which the branch main holds, and an older one, a…, tagged v1.
        old = "/v1" in self.path or "a" * 40 in self.path
        commit, content, headers, status = ("a" if old else "b") * 40, b"", {}, 200
        if "/no-such" in self.path:
            headers, status = {"X-Error-Code": "RevisionNotFound"}, 404
        elif "/forbidden" in self.path:
            status = 403
        elif "/gated" in self.path:
            headers, status = {"X-Error-Code": "GatedRepo"}, 403
        elif "/absent" in self.path:
            headers, status = {"X-Error-Code": "RepoNotFound"}, 404
        elif "/broken" in self.path:
            status = 500
        elif "/tree/" in self.path:
            tree = [
                {"type": "file", "path": name, "size": len(data) + 6 * (old and data == b"weights"), "oid": "0" * 40}
                for name, data in self.files.items()
            ]
            content, headers = json.dumps(tree).encode(), {"Content-Type": "application/json"}
        elif self.path.startswith("/api/models/"):
            siblings = [{"rfilename": name} for name in self.files]
            content = json.dumps({"id": "some/model", "sha": commit, "siblings": siblings}).encode()
            headers = {"Content-Type": "application/json"}
        else:
            content = self.files[self.path.rpartition("/")[2]]
            content = content + b" of v1" if old and content == b"weights" else content
            headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": commit}
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format, *args):
        del format, args


@pytest.fixture
def hub_server():
    Hub.files = {
        "config.json": b"{}",
        "tokenizer.json": b"{}",
        "model.safetensors": b"weights",
        "pytorch_model.bin": b"pickle",
        "tokenizer.model": b"pieces",
        "tokenizer_own.py": b"raise SystemExit",
        "vocab.py": b"raise SystemExit",
        "chat_template.py": b"raise SystemExit",
    }
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def ask_hub(name, tmp_path, endpoint):
    """Resolves in a process of its own: huggingface_hub reads its settings once, when it is imported."""
    code = f"""
from bandit_rft.errors import InputError
from llm_bridge.models import hub
try:
    source = hub.locate({name!r})
    assert hub.resolve({name!r}) == source.folder
    print(source.kind, source.revision, source.pinned, source.folder)
except InputError as error:
    print("InputError:", error)
"""
    settings = {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "*"}
    settings |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_ETAG_TIMEOUT": "2"}
    out, errors = python(code, tmp_path / "cache", **settings).communicate(timeout=120)
    assert "Traceback" not in errors, errors
    return out.strip().splitlines()[-1]


def test_a_hub_id_brings_safetensors_and_no_pickle_and_no_code(tmp_path, hub_server):
    kind, revision, pinned, path = ask_hub("some/model", tmp_path, hub_server).split()
    found = Path(path)
    assert (kind, revision, pinned) == ("hub", "b" * 40, "some/model@" + "b" * 40)
    brought = {"config.json", "tokenizer.json", "tokenizer.model", "model.safetensors"}
    assert {file.name for file in found.iterdir()} == brought
    assert (found / "model.safetensors").read_bytes() == b"weights"
    # Once there, it needs no network.
    assert ask_hub("some/model", tmp_path, f"http://127.0.0.1:{closed_port()}").split()[3] == str(found)


@pytest.mark.parametrize("asked", ["v1", "a" * 40])
def test_a_revision_is_the_one_asked_for(tmp_path, hub_server, asked):
    """Catches a revision that is dropped on the way: the branch's weights differ from the tag's."""
    kind, revision, pinned, path = ask_hub(f"some/model@{asked}", tmp_path, hub_server).split()
    assert (kind, revision, pinned) == ("hub", "a" * 40, "some/model@" + "a" * 40)
    assert (Path(path) / "model.safetensors").read_bytes() == b"weights of v1"
    # What a manifest has pinned is found again without a network, whatever the branch holds.
    assert ask_hub(pinned, tmp_path, f"http://127.0.0.1:{closed_port()}").split()[3] == path


LOGIN = "then log in with `hf auth login` (or set HF_TOKEN)"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "some/gated",
            "is gated on the Hugging Face hub: accept its terms at https://huggingface.co/some/gated, " + LOGIN,
        ),
        ("some/forbidden", "(status 403): accept its terms at https://huggingface.co/some/forbidden, " + LOGIN),
        ("some/absent", "knows no model 'some/absent'"),
        ("some/model@no-such", "some/model has no revision 'no-such'"),
        ("some/broken", "cannot be reached"),
        ("some/--odd", "knows no model"),
        ("no/network", "cannot be reached"),
    ],
)
def test_the_hub_s_refusals_are_one_sentence(tmp_path, hub_server, name, words):
    endpoint = f"http://127.0.0.1:{closed_port()}" if name == "no/network" else hub_server
    said = ask_hub(name, tmp_path, endpoint)
    assert said.startswith("InputError:")
    assert words in said
