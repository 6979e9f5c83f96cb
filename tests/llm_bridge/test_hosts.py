"""Several processes are one run: they join by name, agree on what each found alone, and none waits for ever."""

import json
import socket
import struct
import threading
import time

import numpy as np
import pytest

from bandit_rft.cli import main
from bandit_rft.errors import InputError
from llm_bridge import hosts
from llm_bridge.hosts import roll_call
from tests.llm_bridge.host_runs import finished, free_port, start

RUNS = "tests.llm_bridge.host_runs"


def test_two_processes_are_one_run_and_its_history_is_that_of_one_process(tmp_path) -> None:
    """Rewards, metrics and the folder against one process on a mesh of two simulated devices; the same to the bit after
    a kill and a damaged checkpoint; both processes have the rewards of each other's verifier; and Pass@1, kappa and a
    tree are those of one process. Catches arrays fetched that another process holds, two processes that write one
    folder, a checkpoint without the other's part, damage that one process sees alone, histories that differ by one
    host's verdict, and scores on a disk that only one process reads."""
    port = free_port()
    names = {2: "history,resumed,verdicts,measured", 1: "history,measured"}
    processes = [
        start(
            "-m", "tests.llm_bridge.host_runs", names[count], out, str(i), str(count), str(port), folder=tmp_path, **how
        )
        for count, i, out, how in ((2, 0, "two", {}), (2, 1, "two", {}), (1, 0, "one", {"devices": 2}))
    ]
    done = finished(*processes)
    assert [code for code, *_ in done] == [0, 0, 0], done
    first, second, alone = (json.loads(out.splitlines()[-1]) for _, out, _ in done)
    assert first["history"] == second["history"] == alone["history"]
    assert first["resumed"] == second["resumed"] == alone["history"]
    assert (tmp_path / "two" / "history.jsonl").read_text() == (tmp_path / "two-cut" / "history.jsonl").read_text()
    assert "is damaged (OSError: " in done[0][2]
    assert "The run continues after round 2" in done[0][2]
    assert first["measured"] == second["measured"]
    assert first["measured"]["first"] == first["measured"]["again"], "the scores that were kept are not those measured"
    assert first["measured"]["right"] == alone["measured"]["right"]
    np.testing.assert_allclose(first["measured"]["first"][0], alone["measured"]["first"][0], rtol=2e-3)
    assert 0 < np.mean(first["history"]["rewards"]) < 1
    assert first["verdicts"]["rewards"] == second["verdicts"]["rewards"] == [0.0, 0.0, 1.0, 1.0, 1.0]
    assert first["verdicts"]["refusal"].startswith("Process 1: Verifier")
    assert "for rollout 2" in second["verdicts"]["refusal"]
    two, one = (
        [json.loads(line) for line in (tmp_path / name / "history.jsonl").read_text().splitlines()]
        for name in ("two", "one")
    )
    assert len(two) == 4
    for found, wanted in zip(two, one, strict=True):
        assert found["rewards"] == wanted["rewards"]
        for name, values in wanted["metrics"].items():
            pair = (np.asarray(found["metrics"][name], float), np.asarray(values, float))  # null: a KL nobody asked for
            np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-6, err_msg=name)
    assert (tmp_path / "two" / "responses.jsonl").read_text() == (tmp_path / "one" / "responses.jsonl").read_text()
    written = json.loads((tmp_path / "two" / "checkpoints" / "round_00000004" / "meta.json").read_text())
    parts = [name for name in written["files"] if "process_1" in name]
    assert parts, "process 1 wrote no part of the checkpoint"


def test_processes_go_on_from_the_same_checkpoint_or_say_who_lacks_it(tmp_path) -> None:
    """A process whose file system shows the newest checkpoint late, or not at all, or whose meta.json it cannot read.
    Catches a run that goes on from two rounds, and processes that wait for each other in different checkpoints."""
    port = free_port()
    processes = [start("-m", RUNS, "late", "run", str(i), "2", str(port), folder=tmp_path) for i in range(2)]
    done = finished(*processes, seconds=120.0)
    assert [code for code, *_ in done] == [0, 0], done
    for told in (json.loads(out.splitlines()[-1])["late"] for _, out, _ in done):
        assert told["late"] == told["header"] == [2, [2.0] * 3]
        for name, lacks, sees in (("never", 1, 0), ("first", 0, 1)):
            [sentence] = told[name]
            assert sentence.startswith(f"Process {lacks} does not see the checkpoint of round 2 in "), sentence
            assert f", which process {sees} sees: put the run folder on a file system that all hosts share" in sentence


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--processes", "2"], "--processes is for several processes: give --coordinator HOST:PORT too"),
        (["--join-wait", "5"], "--join-wait is for several processes"),
        (["--coordinator", "here:9000"], "--coordinator needs --processes"),
        (["--coordinator", "here:9000", "--processes", "2"], "--coordinator needs --process:"),
        (["--coordinator", "here", "--processes", "2", "--process", "0"], "--coordinator is 'here': give HOST:PORT"),
        (["--coordinator", "here:70000", "--processes", "2", "--process", "0"], "'here:70000': give HOST:PORT"),
        (["--coordinator", "a:9", "--processes", "2", "--process", "2"], "number the processes from 0 to 1"),
        (["--coordinator", "auto", "--processes", "2"], "leave out --processes and --process"),
        (["--coordinator", "auto"], "auto finds no cluster (SLURM, Open MPI, Cloud TPU, Kubernetes)"),
        (["--coordinator", "auto", "--join-wait", "0"], "--join-wait is 0.0: give a number of seconds above 0"),
    ],
)
def test_options_of_processes_that_do_not_go_together_are_refused(options, sentence, tmp_path, capsys) -> None:
    """Exit code 2, one sentence in the option's words, and no folder. Catches a run of one process where several were
    meant, which would compute the whole on each."""
    out = tmp_path / "run"
    command = ["finetune", "--prompt", "1+1=", "--answer", "2", "--model", "tiny-llama", "--out", str(out), *options]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_processes_that_never_join_are_named() -> None:
    """Process 0 of 4 with process 2 at the line, and process 1 without a process 0: each ends in its time with a
    sentence that says who is missing. Catches a wait without an end, and JAX's abort, which names nobody."""
    port, said = free_port(), {}

    def try_to_join(name: str, process: int, count: int, wait: float) -> None:
        try:
            roll_call.call("localhost", port, port - 1, process, count, wait, lambda name: f"--{name}")
        except InputError as error:
            said[name] = str(error)

    asked = [("leader", 0, 4, 6.0), ("two", 2, 4, 20.0), ("same", 2, 4, 20.0), ("other", 1, 3, 20.0)]
    threads = [threading.Thread(target=try_to_join, args=one) for one in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "Processes 1, 3 of 4 did not join within 6 seconds" in said["leader"]
    twice = {said["two"], said["same"]}  # whichever came second
    assert twice == {said["leader"], "Process 2 has joined already: give each process its own --process."}
    assert said["other"].startswith("Process 0 was started with --processes 4 and this one with 3")
    with pytest.raises(InputError, match="Process 0 of 2 did not answer at localhost, port"):
        roll_call.call("localhost", port, port - 1, 1, 2, 0.5, lambda name: f"--{name}")


def answered(port: int) -> socket.socket:
    """A connection to this port, once somebody listens there."""
    end = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("localhost", port))
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_process_that_died_while_others_were_waited_for_may_call_again() -> None:
    """Process 1 of 3 dies before process 2 is there. Catches its number taken for that of a process that is there, and
    a refusal that cannot be sent, for who called has gone, and ends process 0."""
    port, joined = free_port(), {}

    def join(process: int) -> None:
        joined[process] = roll_call.call("localhost", port, port - 1, process, 3, 20.0, lambda name: f"--{name}")

    leader = threading.Thread(target=join, args=(0,))
    leader.start()
    for process, count in ((1, 4), (1, 3)):
        line = roll_call.Line(answered(port))
        line.send(join=process, of=count)
        line._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # as of one killed
        time.sleep(0.1)
        line.close()
    others = [threading.Thread(target=join, args=(process,)) for process in (1, 2)]
    for thread in others:
        thread.start()
    for thread in (leader, *others):
        thread.join()
    assert {process: sorted(lines) for process, lines in joined.items()} == {0: [1, 2], 1: [0], 2: [0]}
    for lines in joined.values():
        for line in lines.values():
            line.close()


def test_a_stranger_who_speaks_to_the_port_is_turned_away() -> None:
    """Catches a RecursionError of the parser, which ended the call, and later the thread that listens."""
    for said in (b"[" * 15_000, b'{"a":' * 3_000, b"GET / HTTP/1.1", b"\xff", b"1"):
        with (
            socket.create_server(("localhost", 0)) as server,
            socket.create_connection(server.getsockname()) as stranger,
        ):
            stranger.sendall(said + b"\n")
            connection, _ = server.accept()
            with connection:
                assert roll_call.Line(connection).receive(5.0) is None


def test_a_process_that_is_gone_is_known_to_all_others() -> None:
    """Three processes by threads' lines: one says why it stops, one is cut off. Catches a watch that only process 0
    has, and a reason that is lost on its way."""
    with socket.create_server(("localhost", 0)) as server:

        def pair() -> tuple[roll_call.Line, roll_call.Line]:
            one = socket.create_connection(server.getsockname())
            return roll_call.Line(one), roll_call.Line(server.accept()[0])

        (to_1, from_1), (to_2, from_2) = pair(), pair()
    leader = roll_call.Watch(0, 3, {1: to_1, 2: to_2})
    first, second = roll_call.Watch(1, 3, {0: from_1}), roll_call.Watch(2, 3, {0: from_2})
    first.tell(left="the disk is full.")
    assert second.wait_for_news(20.0) == {1: "the disk is full."}
    assert leader.wait_for_news(20.0) == {1: "the disk is full."}
    assert second.sentence().startswith("Process 1 of 3 has stopped (the disk is full), so process 2 has stopped too")
    from_2._connection.shutdown(socket.SHUT_RDWR)  # as the system does for a process that is killed
    leader.wait_for_all(0.5)
    assert leader.gone[2] == ""
    from_1._connection.shutdown(socket.SHUT_RDWR)
    leader.wait_for_all(20.0)


def test_one_process_has_nothing_to_agree_on() -> None:
    """What a run of one process calls gives back what it was given."""
    assert hosts.count() == 1
    assert hosts.index() == 0
    assert hosts.texts("word") == ["word"]
    assert hosts.first(lambda: (1, 2)) == (1, 2)
    assert hosts.gathered([1, 2]).tolist() == [[1, 2]]
    assert hosts.shares(5) == [slice(0, 5)]
