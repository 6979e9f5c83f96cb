"""Runs of several processes on this machine: how tests start them, and what they run.

`python -m tests.llm_bridge.host_runs NAME OUT ...` is one process of a run that is made in Python.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# LLVM's dearest passes are half of what these runs take, and change no meaning.
FLAGS = "--xla_llvm_disable_expensive_passes=true --xla_force_host_platform_device_count="
SECONDS = 3600  # on a machine however busy


def free_port() -> int:
    """A port that is free, as is the one after it."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("", 0))
            port = one.getsockname()[1]
            try:
                other.bind(("", port + 1))
            except OSError:
                continue
            return port


def joining(process: int, count: int, port: int, wait: float = 300.0) -> list[str]:
    """The options of one process of so many."""
    options = ["--coordinator", f"localhost:{port}", "--processes", str(count), "--process", str(process)]
    return [*options, "--join-wait", str(wait)]


def start(*command: str, folder: Path, devices: int = 1, **environment: str) -> subprocess.Popen:
    """A Python process with so many simulated devices."""
    flags = {"XLA_FLAGS": f"{FLAGS}{devices}", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | flags | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finished(*processes: subprocess.Popen, seconds: float = SECONDS) -> list[tuple[int, str, str]]:
    """(exit code, output, errors without what Gloo says) of each, once all have ended."""
    found = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=seconds)
            kept = [line for line in err.splitlines() if "Gloo" not in line]
            found.append((process.returncode, out, "\n".join(kept)))
    finally:
        for process in processes:
            process.kill()
    return found


def commands(count: int, *options: str, folder: Path, devices: int = 1, of: str = "finetune") -> list[subprocess.Popen]:
    """A command of `bandit-rft` in so many processes that join."""
    port = free_port()
    return [
        start("-m", "bandit_rft.cli", of, *joining(i, count, port), *options, folder=folder, devices=devices)
        for i in range(count)
    ]


def until(true, seconds: float = SECONDS) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)


# What the processes run.


def history(out: str) -> dict:
    """Four rounds of a toy on two devices, in a folder."""
    from llm_bridge.bandits.question_arms import PromptArms
    from llm_bridge.training.learner import FineTune
    from llm_bridge.training.run import finetune
    from tests.llm_bridge import mesh_runs

    model = mesh_runs.model(layers=1).placed("data=2")
    arms = PromptArms(model, "hello", mesh_runs.early_letter("30"))
    settings = {"rollouts": 4, "optimizer": "sgd", "learning_rate": 0.1, "kl_coefficient": 0.0, "max_tokens": 4}
    run = finetune(arms, FineTune(model, **settings), 4, key=5, out=out, shown=False, checkpoint_every=2)
    return {"rewards": run.history.rewards.tolist()}


def resumed(out: str) -> dict:
    """The same in a folder as a kill after the third round leaves it, whose newest checkpoint has a damaged file."""
    from llm_bridge import hosts

    cut = Path(f"{out}-cut")

    def kill_after_three() -> None:
        shutil.copytree(out, cut)
        kept = (cut / "history.jsonl").read_bytes().splitlines(keepends=True)
        (cut / "history.jsonl").write_bytes(b"".join(kept[:3]))
        parts = (cut / "checkpoints" / "round_00000004" / "state").rglob("*")
        largest = max((path for path in parts if path.is_file()), key=lambda path: path.stat().st_size)
        content = bytearray(largest.read_bytes())
        content[len(content) // 2] ^= 1
        largest.write_bytes(content)

    hosts.first(kill_after_three)
    return history(str(cut))


def verdicts(out: str) -> dict:
    """Rewards of ten texts by a verifier that says the process's own number, and by one that only process 1 refuses."""
    from bandit_rft.errors import InputError
    from llm_bridge import hosts
    from llm_bridge.bandits.text_rewards import score

    del out
    own = hosts.index()
    told = {"rewards": score(lambda text: float(own), ["x"] * 5).tolist()}
    try:
        score(lambda text: float("nan") if own else 1.0, ["x"] * 4)
    except InputError as error:
        told["refusal"] = str(error)
    return told


def measured(out: str) -> dict:
    """Pass@1, kappa and a tree of a toy on two devices; then once more from the scores that the first time kept."""
    from llm_bridge import hosts
    from llm_bridge.measuring.evaluate import evaluate
    from tests.llm_bridge import mesh_measure, mesh_runs

    model = mesh_runs.model(layers=1, spread=3.0).placed("data=2")
    arms, kept = mesh_runs.question_arms(model), Path(f"{out}.part")
    right = evaluate(model, arms.examples, key=7, max_tokens=3, verifier=mesh_runs.early_letter, samples=3, batch=8)
    found = []
    for _ in range(2):
        one = mesh_measure.measured(model, rollouts=16, sketched=True, standard_error=False, kept=kept)
        kernel = one.tree.sample.kernel
        found.append([one.kappa, one.successes, one.distinct, float(kernel.sum()), float(kernel.trace())])
        found.append(hosts.first(lambda: kept.stat().st_size))
    return {"right": right.per_question.tolist(), "first": found[:2], "again": found[2:]}


def late(out: str) -> dict:
    """Which checkpoint is read where one process sees the newest late, cannot read its meta.json, or never sees it."""
    import numpy as np

    from bandit_rft.errors import InputError
    from llm_bridge import hosts
    from llm_bridge.hosts import agreement
    from llm_bridge.training import checkpoints

    agreement.SEEN_SECONDS = 2.0
    folder, like = Path(f"{out}-late"), {"weights": np.zeros(3, np.float32)}
    for done in (1, 2):
        checkpoints.save(folder, done, {"weights": np.full(3, done, np.float32)})
    available, checked, told = checkpoints.available, checkpoints._checked, {}

    def hidden(times: float):
        """`available` without the newest, so many times."""
        left = [times]

        def seen(place):
            left[0] -= 1
            return available(place)[:-1] if left[0] >= 0 else available(place)

        return seen

    def read() -> list:
        with hosts.together():  # a run of its own: what one refuses ends it for all
            try:
                found = checkpoints.load_latest(folder, checkpoints.given_up(folder, like), tell=lambda said: None)
            except InputError as error:
                return [str(error).replace(str(folder.absolute()), "FOLDER")]
        return [found[0], found[1]["weights"].tolist()]

    def unreadable(path):
        raise OSError("not here")

    for name, process, attribute, fault in (
        ("late", 1, "available", hidden(5)),
        ("header", 1, "_checked", unreadable),
        ("never", 1, "available", hidden(float("inf"))),
        ("first", 0, "available", hidden(float("inf"))),
    ):
        if hosts.index() == process:
            setattr(checkpoints, attribute, fault)
        told[name] = read()
        checkpoints.available, checkpoints._checked = available, checked
    return told


def main(names: str, out: str, process: str, count: str, port: str) -> None:
    from llm_bridge import join_hosts

    join_hosts(f"localhost:{port}", int(count), int(process))
    runs = {"history": history, "resumed": resumed, "verdicts": verdicts, "measured": measured, "late": late}
    print(json.dumps({name: runs[name](out) for name in names.split(",")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
