"""Decoding, updates and rounds on one GPU (H100, H200 or A100), against transformers, plain torch and TRL: one run.

    python benchmarks/gpu.py --out FILE.json [--peer-python trl=PYTHON] [--environments DIR]       at most ten minutes
    python benchmarks/gpu.py --shape tiny --batches 1 2 --prompt 16 --tokens 8 --rollouts 2        every line, on a CPU

Qwen2.5-0.5B and 1.5B with random weights in the real format (`shapes.py`), in bfloat16 with float32 masters. For each:

    decode    ours at batches 1 to 256, one prompt of 256 tokens, responses of 512: tokens per second, and the share of
              the copy bandwidth and matmul rate, both measured in this run; transformers' `generate` at batches 1, 64
    round     16 responses of that length and one GRPO step: time split into sampling, verification and update; the
              update's MFU, of the rate that the vendor states and of the one measured; the same with dot-product
              attention in place of our own; against TRL's `GRPOTrainer` and a plain torch loop (`finetune_round.py`
              says what each does), whose weights and optimiser states are bfloat16

A step's time in decoding is (time of T tokens − time of T/4) / (3T/4), so that prefill and the first, short cache are
out of it. The run ends within `--minutes`: what no longer fits is left out and named, small models and ours first. A
peer that cannot be had is left out with a sentence.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peers
import roofline
import shapes
from finetune_round import Ours, prompt_of

NAMES = ("transformers", "torch", "trl")
TORCH = ("torch", "transformers>=5")
REQUIREMENTS = {"transformers": TORCH, "torch": TORCH, "trl": ("trl==1.16.0", *TORCH, "jinja2")}
OWN = {"transformers": "torch", "torch": "torch", "trl": "trl"}
PEER_BATCHES = (1, 64)
# Seconds that a step must have left to be begun: what it takes on an H100, compilation included, with a margin.
NEEDS = {"decode": 45.0, "transformers": 60.0, "round": 80.0, "peer round": 60.0}
# The floors set for this project.
WANTED = {"bandwidth_share at batch 1": 0.5, "over transformers at batch 64": 4.0, "MFU at 1.5B": 0.45}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shape = {"nargs": "+", "choices": list(shapes.SHAPES), "default": ["qwen2.5-0.5b", "qwen2.5-1.5b"]}
    parser.add_argument("--shape", **shape, help="whose shapes to run")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    parser.add_argument("--prompt", type=int, default=256, help="tokens of the prompt")
    parser.add_argument("--tokens", type=int, default=512, help="tokens of each response")
    parser.add_argument("--rollouts", type=int, default=16, help="responses of a round")
    parser.add_argument("--micro-batch", type=int, default=8, help="responses that go through the model at once")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=9.5, help="after which no further step is begun")
    parser.add_argument("--gib", type=float, default=4.0, help="size of the array that measures the bandwidth")
    parser.add_argument("--matmul", type=int, default=8192, help="size of the product that measures the matmul rate")
    parser.add_argument("--peers", nargs="*", choices=NAMES, default=list(NAMES))
    peers.add_arguments(parser, NAMES)
    parser.add_argument("--out", type=Path, help="also write the figures here as JSON, after every step")
    told = parser.parse_args()
    if told.tokens < 4:
        parser.error("--tokens must be at least 4: a step's time is the difference to a quarter of them")
    if told.rollouts % told.micro_batch and told.rollouts > told.micro_batch:
        parser.error("--micro-batch must divide --rollouts")
    peers.named_pythons(told.peer_python, NAMES)
    return told


class Run:
    """The time that is left, and the figures, written after every step so that nothing measured is lost."""

    def __init__(self, told: argparse.Namespace) -> None:
        self.told = told
        self.end = time.monotonic() + 60 * told.minutes
        self.result: dict[str, Any] = {"models": {}, "left_out": []}

    def left(self) -> float:
        return self.end - time.monotonic()

    def has(self, step: str, what: str) -> bool:
        """Whether there is time for a step; says so where there is none."""
        if self.left() >= min(NEEDS[step], 6 * self.told.minutes):
            return True
        self.leave_out(f"{what} is left out: less than the {NEEDS[step]:.0f} s are left that it may take.")
        return False

    def leave_out(self, sentence: str) -> None:
        if sentence not in self.result["left_out"]:
            print(sentence, flush=True)
            self.result["left_out"].append(sentence)

    def save(self) -> None:
        if self.told.out:
            self.told.out.write_text(json.dumps(self.result, indent=1) + "\n")


def peer_jobs(run: Run, name: str, job: dict[str, Any]) -> dict[str, tuple[Path, dict[str, Any]]]:
    """The job of one peer, or nothing where it cannot be had."""
    if name not in run.told.peers:
        return {}
    try:
        return {
            name: (peers.python_of(name, REQUIREMENTS[name], run.told, NAMES, own=OWN[name]), {**job, "peer": name})
        }
    except peers.Missing as reason:
        run.leave_out(str(reason))
        return {}


def peer_runs(run: Run, job: dict[str, Any], name: str, tasks: list[dict[str, int]]) -> Iterator[tuple[Any, Any]]:
    """(task, medians of its timed runs) of one peer, each task after a run that is not timed."""
    step = "transformers" if name == "transformers" else "peer round"
    if not run.has(step, f"{name} on {job['shape']}"):
        return
    with peers.started(peer_jobs(run, name, job), limit=max(run.left(), 1.0)) as (running, stopped):
        for sentence in stopped:
            run.leave_out(sentence)
        for task in tasks if name in running else []:
            if not run.has(step, f"{name} on {job['shape']} {task or ''}".rstrip()):
                return
            try:
                warm = {**task, "tokens": min(8, task["tokens"])} if task else task
                running[name].run(max(run.left(), 1.0), **warm)
                taken = [running[name].run(max(run.left(), 1.0), **task) for _ in range(run.told.repeats)]
            except peers.Missing as reason:
                run.leave_out(str(reason))
                return
            yield task, median_of(taken)


def median_of(runs: list[dict[str, float]]) -> dict[str, float]:
    return {part: statistics.median(taken[part] for taken in runs) for part in runs[0]}


def decode(run: Run, model: Any, text: str, name: str, job: dict[str, Any]) -> None:
    """Ours at every batch, then transformers at those that it is asked at."""
    told, rows = run.told, run.result["models"][name]["decode"]
    quarter = told.tokens // 4
    for batch in told.batches:
        if not run.has("decode", f"decoding {name} at batch {batch}"):
            continue

        def once(tokens: int, seed: int, batch: int = batch) -> float:
            start = time.perf_counter()
            out = model.generate(text, rollouts=batch, max_tokens=tokens, key=seed, ignore_eos=True)
            assert (out.lengths == tokens).all()
            return time.perf_counter() - start

        first = once(told.tokens, 0)
        once(quarter, 0)
        whole, part = [], []
        for repeat in range(told.repeats):
            whole.append(once(told.tokens, 1 + repeat))
            part.append(once(quarter, 1 + repeat))
        step_seconds = (statistics.median(whole) - statistics.median(part)) / (told.tokens - quarter)
        needs = roofline.decode_step(model.config, batch, told.prompt, (told.tokens + quarter) / 2, 2)
        row = {
            "batch": batch,
            "tokens_per_second": batch * told.tokens / statistics.median(whole),
            "step_seconds": step_seconds,
            "bandwidth_share": needs["bytes"] / step_seconds / run.result["bandwidth"],
            "matmul_share": needs["operations"] / step_seconds / run.result["matmul_rate"],
            "first_s": first,
            "seconds": whole,
        }
        rows.append(row)
        print(
            f"{name}, batch {batch}: {row['tokens_per_second']:.0f} tokens/s, {row['bandwidth_share']:.0%} of copy "
            f"bandwidth, {row['matmul_share']:.0%} of matmul rate (first call {first:.0f} s)",
            flush=True,
        )
        run.save()
    tasks = [{"batch": batch, "tokens": told.tokens} for batch in told.batches if batch in PEER_BATCHES]
    for task, taken in peer_runs(run, job, "transformers", tasks):
        rate = task["batch"] * told.tokens / taken["seconds"]
        for row in rows:
            if row["batch"] == task["batch"]:
                row |= {"transformers": rate, "over_transformers": row["tokens_per_second"] / rate}
                print(f"{name}, batch {task['batch']}: {row['over_transformers']:.2f} times transformers", flush=True)
        run.save()


def rounds(run: Run, model: Any, text: str, name: str, job: dict[str, Any]) -> None:
    """A round of ours by its parts, then of the peers."""
    told, found = run.told, run.result["models"][name]
    if not run.has("round", f"a round of {name}"):
        return
    ours = Ours(model, text, told.rollouts, told.tokens, micro_batch=job["micro_batch"])
    first = ours.round()["seconds"]
    median = median_of([ours.round() for _ in range(told.repeats)])
    operations = roofline.update_operations(model.config, told.rollouts, told.prompt, told.tokens)
    rate, stated = operations / median["update"], run.result["stated_rate"]
    found["round"] = {
        **median,
        "first_s": first,
        "mfu": None if stated is None else rate / stated,
        "matmul_share": rate / run.result["matmul_rate"],
        "peers": {},
    }
    split = ", ".join(f"{part} {median[part]:.2f}" for part in ("sample", "verify", "update"))
    mfu = "" if stated is None else f"MFU {rate / stated:.0%}, "
    print(
        f"{name}, round of {told.rollouts}: {median['seconds']:.2f} s ({split}; first {first:.0f}), update {mfu}"
        f"{rate / run.result['matmul_rate']:.0%} of the measured matmul rate",
        flush=True,
    )
    run.save()
    # Their memory is not to be shared with ours: both would be refused what each could have alone.
    del ours
    other_attention(run, model, text, name, job)
    for peer in ("trl", "torch"):
        for _, taken in peer_runs(run, job, peer, [{}]):
            ratio = {part: taken[part] / median[part] for part in ("seconds", "sample", "update")}
            found["round"]["peers"][peer] = {**taken, "ratio": ratio}
            parts = f"sample {ratio['sample']:.2f}, update {ratio['update']:.2f}"
            print(f"{name}, round: {ratio['seconds']:.2f} times as fast as {peer} ({parts})", flush=True)
        run.save()


def other_attention(run: Run, model: Any, text: str, name: str, job: dict[str, Any]) -> None:
    """The same round with dot-product attention for prompt and update, and how much faster it is than with our own."""
    from llm_bridge.models import attention

    told, own = run.told, run.result["models"][name]["round"]
    if not run.has("round", f"a round of {name} with dot-product attention"):
        return
    try:
        other = model.with_attention("dot-product")
        ours = Ours(other, text, told.rollouts, told.tokens, micro_batch=job["micro_batch"])
        first = ours.round()["seconds"]
        median = median_of([ours.round() for _ in range(told.repeats)])
    except Exception as error:  # a kernel that this GPU or its libraries do not have; the other steps go on
        run.leave_out(f"Dot-product attention on {name} is left out: {type(error).__name__}: {str(error)[:200]}")
        return
    ratio = {part: own[part] / median[part] for part in ("seconds", "sample", "update")}
    kernel = attention.implementation(job["dtype"], model.config.head_dim)
    own["dot_product"] = {**median, "first_s": first, "implementation": kernel, "ratio": ratio}
    parts = f"sample {ratio['sample']:.2f}, update {ratio['update']:.2f}"
    said = f"{ratio['seconds']:.2f} times as fast as own ({parts})"
    print(f"{name}, dot-product attention ({kernel}): {said}", flush=True)
    run.save()


def verdicts(result: dict[str, Any]) -> list[str]:
    """A line for each floor that this run measured."""
    measured: dict[str, list[float]] = {key: [] for key in WANTED}
    for name, found in result["models"].items():
        for row in found["decode"]:
            if row["batch"] == 1:
                measured["bandwidth_share at batch 1"].append(row["bandwidth_share"])
            if row["batch"] == 64 and "over_transformers" in row:
                measured["over transformers at batch 64"].append(row["over_transformers"])
        if "1.5b" in name and found["round"] is not None and found["round"]["mfu"] is not None:
            measured["MFU at 1.5B"].append(found["round"]["mfu"])
    return [
        f"{key}: {min(values):.2f}, at least {WANTED[key]} wanted: {'met' if min(values) >= WANTED[key] else 'MISSED'}"
        if values
        else f"{key}: not measured"
        for key, values in measured.items()
    ]


def main() -> None:
    told = arguments()
    # The peers' processes need room on the same device.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    run = Run(told)
    import jax

    from llm_bridge import load_model

    device = jax.devices()[0].device_kind
    on_gpu = jax.default_backend() == "gpu"
    bandwidth = roofline.device_bandwidth(told.gib)["copy"]
    rate = roofline.matmul_rate(told.matmul, "bfloat16", torch_too=False)["jax"]
    run.result |= {"device": device, "machine": platform.machine(), "jax": jax.__version__, "bandwidth": bandwidth}
    run.result |= {"matmul_rate": rate, "stated_rate": roofline.stated_rate(device)}
    run.result |= {"prompt": told.prompt, "tokens": told.tokens, "rollouts": told.rollouts}
    print(f"{device}: copy {bandwidth / 1e9:.0f} GB/s, bfloat16 matmul {rate / 1e12:.2f} TFLOP/s", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name in told.shape:
            folder = shapes.write(name, Path(scratch) / name, "bfloat16")
            model = load_model(str(folder), dtype="bfloat16")
            text = prompt_of(model, told.prompt)
            job = {
                "shape": name,
                "folder": str(folder),
                "prompt": [int(token) for token in model.encode(text)],
                "text": text,
                "rollouts": told.rollouts,
                "tokens": told.tokens,
                "micro_batch": min(told.micro_batch, told.rollouts),
                "threads": len(os.sched_getaffinity(0)),
                "device": "cuda" if on_gpu else "cpu",
                "dtype": "bfloat16",
            }
            run.result["models"][name] = {"decode": [], "round": None}
            decode(run, model, text, name, job)
            rounds(run, model, text, name, job)
    run.result["verdicts"] = verdicts(run.result)
    print("\n".join(run.result["verdicts"]))
    run.save()


if __name__ == "__main__":
    main()
