"""Runs of several processes that are killed, continued elsewhere, stopped, or started unlike each other."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from llm_bridge import hosts
from tests.llm_bridge import mesh_measure
from tests.llm_bridge.host_runs import commands, finished, free_port, kill, start, until

pytestmark = pytest.mark.slow
SUM = ("--prompt", "1+1=", "--answer", "2", "--model", "tiny-llama", "--max-tokens", "6", "--rollouts", "4")
RUN = (*SUM, "--signal", "grpo", "--verifier", "gsm8k-strict", "--train-samples", "0", "--checkpoint-every", "2")
SECONDS_TO_END = 60.0  # of the others, on a machine however busy; 5 are the rule


def lines(run: Path) -> list[str]:
    return (run / "history.jsonl").read_text().splitlines()


def test_a_killed_run_goes_on_to_the_bit_and_on_other_numbers_of_processes(tmp_path) -> None:
    """Two processes; the second is killed, then the first, then they go on to the end: the very history of a run that
    nobody killed. Then four processes on another mesh, and one without: rewards equal, metrics close. Catches a
    process that waits for ever for a dead one, a checkpoint that lacks a part, and one that only as many processes
    read."""
    whole = commands(2, *RUN, "--mesh", "data=2", "--rounds", "34", "--out", "whole", folder=tmp_path)
    assert [code for code, *_ in finished(*whole)] == [0, 0]
    wanted, run = lines(tmp_path / "whole"), tmp_path / "run"
    command = (*RUN, "--mesh", "data=2", "--out", "run")

    def cut_off(victim: int, when) -> None:
        processes = commands(2, *command, "--rounds", "30", folder=tmp_path)
        until(when)
        kill(processes[victim])
        code, _, said = finished(processes[1 - victim], seconds=SECONDS_TO_END)[0]
        processes[victim].communicate()
        assert code == 2, said
        assert f"Process {victim} of 2 has gone without a word (killed, or its host is down)" in said
        assert len([line for line in said.splitlines() if line.startswith("bandit-rft: ")]) == 1, said

    cut_off(1, lambda: any(run.glob("checkpoints/round_*")))
    before = (run / "manifest.json").read_bytes()
    cut_off(0, lambda: (run / "manifest.json").read_bytes() != before)  # while all compile
    done = finished(*commands(2, *command, "--rounds", "30", folder=tmp_path))
    assert [code for code, *_ in done] == [0, 0], done
    assert lines(run) == wanted[:30]
    assert not list(run.glob("checkpoints/.*"))
    spread = ("--mesh", "data=2,fsdp=2", "--out", "run", "--rounds", "32")
    done = finished(*commands(4, *RUN, *spread, folder=tmp_path))
    assert [code for code, *_ in done] == [0] * 4, done
    done = finished(start("-m", "bandit_rft.cli", "finetune", *RUN, "--out", "run", "--rounds", "34", folder=tmp_path))
    assert done[0][0] == 0, done
    for found, line in zip(lines(run)[30:], wanted[30:], strict=True):
        found, wish = json.loads(found), json.loads(line)
        assert found["rewards"] == wish["rewards"]
        for name in ("entropy", "kl", "gradient_norm"):
            np.testing.assert_allclose(found["metrics"][name], wish["metrics"][name], rtol=0.02, atol=1e-5)


def test_processes_that_differ_are_refused_and_leave_no_folder(tmp_path) -> None:
    """Another step size, and a mesh without one of the processes. Catches a run in which each process does another."""
    port = free_port()
    shared = ("-m", "bandit_rft.cli", "finetune", *RUN, "--mesh", "data=2", "--out", "run", "--rounds", "2")
    join = ("--coordinator", f"localhost:{port}", "--processes", "2", "--process")
    different = [start(*shared, *join, str(i), "--learning-rate", f"{i + 1}e-4", folder=tmp_path) for i in range(2)]
    for code, out, said in finished(*different):
        assert code == 2, out + said
        assert said.splitlines()[-1] == (
            "bandit-rft: Process 1 has --learning-rate 0.0002 and process 0 0.0001: start all processes with the same "
            "options."
        )
    for code, _, said in finished(*commands(2, *RUN, "--out", "run", folder=tmp_path)):
        assert code == 2
        assert "There are 2 processes and no mesh over them: give one, such as data=2." in said
    assert list(tmp_path.iterdir()) == []


def test_evaluate_and_measure_are_those_of_one_process(tmp_path) -> None:
    """Two processes against one on two devices: the numbers that evaluate writes, a measurement with its tree, a scan
    that was stopped, and a run that measures first; the first process prints and writes. Catches two processes that
    write one file, a measurement that each host has of its own, and a process that another's end leaves alone."""

    asked = (*mesh_measure.QUESTION, "--mesh", "data=2")

    def same(of: str, *options: str) -> None:
        two = finished(*commands(2, *asked, *options, folder=tmp_path / "two", of=of))
        alone = start("-m", "bandit_rft.cli", of, *asked, *options, folder=tmp_path / "one", devices=2)
        [one] = finished(alone)
        assert [code for code, *_ in (*two, one)] == [0, 0, 0], (two, one)
        assert two[0][1].splitlines()[0] == one[1].splitlines()[0]
        assert two[1][1] == ""

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        mesh_measure.workplace(tmp_path / name)
    same("evaluate", "--questions", "3", "--samples", "4", "--json", "numbers.json")
    one, two = (json.loads((tmp_path / name / "numbers.json").read_text()) for name in ("one", "two"))
    for read in (one, two):
        del read["prompt_date"]
    assert one == two
    same("measure", "--index", "0", "--rollouts", "32", "--tree", "--no-error", "--out", "tree")
    one, two = (json.loads((tmp_path / name / "tree" / "measurement.json").read_text()) for name in ("one", "two"))
    np.testing.assert_allclose(two["kappa"], one["kappa"], rtol=1e-3)
    np.testing.assert_allclose(two["tree"]["kappa"], one["tree"]["kappa"], rtol=1e-3)
    scan = ("--scan", "--samples", "4", "--indices", "0:3", "--out", "scan")
    same("measure", *scan)
    whole = (tmp_path / "two" / "scan" / "scan.jsonl").read_text()
    (tmp_path / "two" / "scan" / "scan.jsonl").write_text(whole.splitlines(keepends=True)[0])
    done = finished(*commands(2, *asked, *scan, folder=tmp_path / "two", of="measure"))
    assert [code for code, *_ in done] == [0, 0], done
    assert (tmp_path / "two" / "scan" / "scan.jsonl").read_text() == whole
    run = ("--index", "0", "--rounds", "2", "--rollouts", "4", "--optimizer", "sgd", "--learning-rate", "0.01")
    run += (
        "--kl-coefficient",
        "0",
        "--train-samples",
        "0",
        "--measure",
        "--measure-rollouts",
        "32",
        "--no-measure-error",
    )
    run += ("--test-questions", "0", "--out", "run")
    done = finished(*commands(2, *asked, *run, folder=tmp_path / "two"))
    assert [code for code, *_ in done] == [0, 0], done
    resolved = json.loads((tmp_path / "two" / "run" / "config.json").read_text())["resolved"]
    assert resolved["measurement"]["rollouts"] == 32
    assert (tmp_path / "two" / "run" / "tree.npz").exists()
    port = free_port()
    join = ("--coordinator", f"localhost:{port}", "--processes", "2", "--process")
    different = [
        start("-m", "bandit_rft.cli", "evaluate", *asked, *join, str(i), "--key", str(i), folder=tmp_path / "two")
        for i in range(2)
    ]
    for code, _, told in finished(*different):
        assert code == 2
        assert told.splitlines()[-1].startswith("bandit-rft: Process 1 has --key 1 and process 0 0: start all")


def test_adapters_are_trained_by_two_processes_and_exported_by_one(tmp_path) -> None:
    """Two rounds by two processes, one more by one process, against three by one; then the adapters for `peft`. Catches
    a half of an adapter that only its own process has."""
    mesh_measure.workplace(tmp_path)
    run = (*mesh_measure.QUESTION, "--index", "0", "--lora-rank", "2", "--learning-rate", "0.01", "--rollouts", "4")
    run += ("--signal", "grpo", "--train-samples", "0", "--test-questions", "0")
    done = finished(*commands(2, *run, "--mesh", "fsdp=2", "--rounds", "2", "--out", "run", folder=tmp_path))
    assert [code for code, *_ in done] == [0, 0], done
    for name in ("run", "one"):
        command = ("-m", "bandit_rft.cli", "finetune", *run, "--rounds", "3", "--out", name)
        [done] = finished(start(*command, folder=tmp_path))
        assert done[0] == 0, done
    for found, wanted in zip(lines(tmp_path / "run"), lines(tmp_path / "one"), strict=True):
        found, wanted = json.loads(found), json.loads(wanted)
        assert found["rewards"] == wanted["rewards"]
        np.testing.assert_allclose(found["metrics"]["loss"], wanted["metrics"]["loss"], rtol=0.02, atol=1e-5)
    export = ("-m", "bandit_rft.cli", "export", "run", "--adapter", "--out", "adapter")
    [done] = finished(start(*export, folder=tmp_path))
    assert done[0] == 0, done
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()


def test_a_stop_of_one_process_is_a_stop_of_all(tmp_path) -> None:
    """SIGTERM for the second alone, the processes named by SLURM's variables: both save the same round and end with
    143. Then a file of the newest checkpoint is damaged: both go on from the one before. Catches a process that goes on
    alone, and damage that one process sees and the other does not."""
    cluster = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_NODELIST": "localhost"}
    cluster |= {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_NODES": "1"}
    command = ("-m", "bandit_rft.cli", "finetune", *RUN, "--mesh", "data=2", "--out", "run", "--coordinator", "auto")
    processes = [
        start(*command, "--rounds", "500", folder=tmp_path, **cluster, SLURM_PROCID=str(i), SLURM_LOCALID=str(i))
        for i in range(2)
    ]
    run = tmp_path / "run"
    until(lambda: any(run.glob("checkpoints/round_*")))
    processes[1].send_signal(signal.SIGTERM)
    done = finished(*processes)
    assert [code for code, *_ in done] == [143, 143], done
    last = max(run.glob("checkpoints/round_*"))
    for _, _, said in done:
        assert f"stopped by SIGTERM: saved after round {int(last.name[6:])}" in said
    largest = max(
        (path for path in (last / "state").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    rounds = str(int(last.name[6:]) + 1)
    done = finished(*commands(2, *RUN, "--mesh", "data=2", "--out", "run", "--rounds", rounds, folder=tmp_path))
    assert [code for code, *_ in done] == [0, 0], done
    assert "is damaged (OSError: " in done[0][2]
    assert len(lines(run)) == int(rounds)
    assert hosts.count() == 1
