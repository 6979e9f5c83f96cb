"""Decoding speed against transformers and llama.cpp, and against what the machine can do: same weights, one run.

    python benchmarks/decode.py [--model smollm2-135m] [--cores 1 2] [--batches 1 8 32] [--tokens 64] [--repeats 3]
        [--environments DIR | --peer-python llama.cpp=PYTHON] [--peers transformers llama.cpp] [--out FILE.json]

All sample at temperature 1 over the whole vocabulary, from one prompt, exactly `--tokens` new tokens a row (end of text
disabled). Each peer is a process of its own that has loaded its model before; a repeat times ours and the peers one
after the other, so that a busy machine slows all, and the first call of each, which compiles or warms up, is timed
apart. The ratio reported is of the medians; `processor` is the same of processor seconds of all threads. Prefill,
sampling and the copy to the host are inside the time; text decoding, log-probabilities and entropies are inside ours
alone.

Ours and transformers are float32. llama.cpp runs twice: on the same weights in float32 ("llama.cpp F32"), and on the
GGUF that they came from ("llama.cpp Q4_1" for SmolLM2-135M), which a user of it would run: its weights are equal in
value and a fifth of the bytes. It needs a model that comes from a GGUF: smollm2-135m, or a .gguf file.

Roofline, measured in the same run: a step's time is (time of T tokens − time of 1 token) / (T − 1), so that prefill is
out of it; its bytes and operations (`roofline.py`) over the measured streaming bandwidth and matmul rate.

`--cores 1 2` runs the whole once tied to one core and once to two, every library with as many threads.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import cores
import peers
import roofline

PROMPT = "Tell me a long story about a fox that learns to count."
NAMES = ("transformers", "llama.cpp")
REQUIREMENTS = {"transformers": ("torch==2.13.0", "transformers>=5"), "llama.cpp": ("llama-cpp-python==0.3.36",)}
OWN = {"transformers": "torch"}
# The floors set for this project: our tokens per second over transformers', by batch size; and shares of the machine.
WANTED = {1: 2.0, 8: 2.0, 32: 1.0}
BANDWIDTH_WANTED = 0.6


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="what llm_bridge.models.hub.resolve takes")
    parser.add_argument("--cores", type=int, nargs="+", help="run on so many cores, each in turn (default: all)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32], help="rollouts of the one prompt")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens a row")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=NAMES, default=list(NAMES))
    peers.add_arguments(parser, NAMES)
    parser.add_argument("--gib", type=float, default=1.0, help="size of the arrays that measure the bandwidth")
    parser.add_argument("--out", type=Path, help="also write the figures here as JSON")
    told = parser.parse_args()
    if told.tokens < 2:
        parser.error("--tokens must be at least 2: a step's time is the difference to one token")
    peers.named_pythons(told.peer_python, NAMES)
    return told


def gguf_files(name: str, folder: Path) -> dict[str, Path]:
    """The GGUF that a model came from, by its format, and the same in float32, written into `folder`.

    Raises:
        peers.Missing: the model came from something else.
    """
    from llm_bridge.models import hub

    original = hub.original_gguf(name, folder)
    if original is None:
        raise peers.Missing(f"llama.cpp is left out: {name} does not come from a GGUF file; give one as --model.")
    plain = folder / "float32.gguf"
    form = in_float32(original, plain)
    return {"F32": plain} if form == "F32" else {"F32": plain, form: original}


def in_float32(original: Path, target: Path) -> str:
    """Write a GGUF file with every tensor in float32; returns the format of most of the original's entries."""
    import gguf

    reader = gguf.GGUFReader(original)
    writer = gguf.GGUFWriter(target, arch=reader.fields[gguf.Keys.General.ARCHITECTURE].contents())
    for field in reader.fields.values():
        if field.name in (gguf.Keys.General.ARCHITECTURE, gguf.Keys.General.FILE_TYPE) or field.name.startswith(
            "GGUF."
        ):
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    entries: dict[str, int] = {}
    for tensor in reader.tensors:
        form = tensor.tensor_type.name
        entries[form] = entries.get(form, 0) + int(tensor.n_elements)
        writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type).astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return max(entries, key=lambda form: entries[form])


def jobs(
    told: argparse.Namespace, folder: Path, prompt: list[int], threads: int, gguf_at: Path
) -> tuple[Any, list[str]]:
    """Each peer's interpreter and job, by the name that is shown; and a sentence for each that cannot be had."""
    common = {"folder": str(folder), "prompt": prompt, "threads": threads, "device": "cpu", "dtype": "float32"}
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    left_out = []
    for name in told.peers:
        try:
            python = peers.python_of(name, REQUIREMENTS[name], told, NAMES, own=OWN.get(name))
            if name == "llama.cpp":
                for form, path in gguf_files(told.model, gguf_at).items():
                    found[f"{name} {form}"] = python, {**common, "peer": name, "gguf": str(path)}
            else:
                found[name] = python, {**common, "peer": name}
        except peers.Missing as reason:
            left_out.append(str(reason))
            print(reason, flush=True)
    return found, left_out


def measure(told: argparse.Namespace) -> dict[str, Any]:
    """All batches on the cores that this process is tied to."""
    import jax

    from llm_bridge import load_model
    from llm_bridge.models import hub

    count = cores.available()
    ours = load_model(told.model)
    prompt = [int(token) for token in ours.encode(PROMPT)]

    def run_ours(batch: int, tokens: int, seed: int) -> dict[str, float]:
        start = time.perf_counter(), time.process_time()
        out = ours.generate(PROMPT, rollouts=batch, max_tokens=tokens, key=seed, ignore_eos=True)
        assert (out.lengths == tokens).all()
        return {"seconds": time.perf_counter() - start[0], "processor_seconds": time.process_time() - start[1]}

    print(
        f"\n{told.model}: prompt {len(prompt)} tokens, {told.tokens} new tokens a row, float32, {count} of "
        f"{os.cpu_count()} cores ({platform.machine()}), load {os.getloadavg()[0]:.1f}, jax {jax.__version__} on "
        f"{jax.default_backend()}",
        flush=True,
    )
    bandwidth = roofline.cpu_bandwidth(count, told.gib)
    rate = roofline.matmul_rate(2048, "float32")
    print(
        f"streaming {shown(bandwidth, 1e9)} GB/s; matmul {shown(rate, 1e9)} GFLOP/s",
        flush=True,
    )
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        found, left_out = jobs(told, hub.resolve(told.model), prompt, count, Path(scratch))
        with peers.started(found) as (running, stopped):
            versions = {name: peer.versions for name, peer in running.items()}
            print("; ".join(f"{name}: {version}" for name, version in versions.items()), flush=True)
            for batch in told.batches:
                row = one_batch(told, batch, run_ours, running, stopped)
                step = roofline.decode_step(ours.config, batch, len(prompt), (told.tokens - 1) / 2, 4)
                row["bandwidth_share"] = step["bytes"] / row["step_seconds"] / max(bandwidth.values())
                row["matmul_share"] = step["operations"] / row["step_seconds"] / max(rate.values())
                rows.append(row)
                show(row)
    machine = {"machine": platform.machine(), "cores": count, "bandwidth": bandwidth, "matmul_rate": rate}
    left_out += stopped
    return {
        **machine,
        "model": told.model,
        "tokens": told.tokens,
        "versions": versions,
        "left_out": left_out,
        "rows": rows,
    }


def one_batch(
    told: argparse.Namespace, batch: int, run_ours: Any, running: dict[str, peers.Peer], stopped: list[str]
) -> dict[str, Any]:
    first = run_ours(batch, told.tokens, 0)["seconds"]
    run_ours(batch, 1, 0)
    here = {}
    for name, peer in list(running.items()):
        try:
            peer.run(batch=batch, tokens=min(8, told.tokens))
            here[name] = peer
        except peers.Missing as reason:
            stopped.append(str(reason))
            print(reason, flush=True)
            del running[name]
    taken: dict[str, list[dict[str, float]]] = {"ours": [], "ours, 1 token": [], **{name: [] for name in here}}
    for repeat in range(told.repeats):
        taken["ours"].append(run_ours(batch, told.tokens, repeat + 1))
        taken["ours, 1 token"].append(run_ours(batch, 1, repeat + 1))
        for name, peer in here.items():
            taken[name].append(peer.run(batch=batch, tokens=told.tokens))
    median = {
        name: {clock: statistics.median(run[clock] for run in runs) for clock in ("seconds", "processor_seconds")}
        for name, runs in taken.items()
    }
    mine = median["ours"]
    return {
        "batch": batch,
        "tokens_per_second": {
            name: batch * told.tokens / median[name]["seconds"] for name in median if name != "ours, 1 token"
        },
        "ratio": {name: median[name]["seconds"] / mine["seconds"] for name in here},
        "processor_ratio": {name: median[name]["processor_seconds"] / mine["processor_seconds"] for name in here},
        "step_seconds": (mine["seconds"] - median["ours, 1 token"]["seconds"]) / (told.tokens - 1),
        "first_s": first,
        "runs": taken,
    }


def shown(figures: dict[str, float], unit: float) -> str:
    return ", ".join(f"{name} {value / unit:.1f}" for name, value in figures.items())


def show(row: dict[str, Any]) -> None:
    rates = row["tokens_per_second"]
    print(f"batch {row['batch']:2d}: ours {rates['ours']:.1f} tokens/s (first call {row['first_s']:.1f} s)")
    wanted = WANTED.get(row["batch"])
    for name, ratio in row["ratio"].items():
        verdict = ""
        if name == "transformers" and wanted is not None:
            verdict = f"; at least {wanted:.0f} wanted: {'met' if ratio >= wanted else 'MISSED'}"
        print(
            f"    {name}: {rates[name]:.1f} tokens/s, ratio {ratio:.2f} (processor {row['processor_ratio'][name]:.2f}"
            f"{verdict})"
        )
    share, verdict = row["bandwidth_share"], ""
    if row["batch"] == 1:
        verdict = f" (at least {BANDWIDTH_WANTED:.0%} wanted: {'met' if share >= BANDWIDTH_WANTED else 'MISSED'})"
    print(
        f"    {share:.0%} of the streaming bandwidth{verdict}, {row['matmul_share']:.0%} of the matmul rate", flush=True
    )


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: a line for each number of cores and batch."""
    names = list(dict.fromkeys(name for result in results for row in result["rows"] for name in row["ratio"]))
    head = ["cores", "batch", "ours, tokens/s", *(f"over {name}" for name in names), "of bandwidth", "of matmul rate"]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    for result in results:
        for row in result["rows"]:
            cells = [str(result["cores"]), str(row["batch"]), f"{row['tokens_per_second']['ours']:.0f}"]
            cells += [f"{row['ratio'][name]:.2f}" if name in row["ratio"] else "" for name in names]
            cells += [f"{row['bandwidth_share']:.0%}", f"{row['matmul_share']:.0%}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    cores.on_each(__file__, arguments(), measure, table)


if __name__ == "__main__":
    main()
