"""The progress line: what it says, and that it keeps silent where nobody watches."""

import io

from bandit_rft.runs.progress import ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_says_rounds_reward_pass_at_1_rate_and_time_left() -> None:
    clock, stream = Clock(), Terminal()
    line = ProgressLine("fine-tuning", stream=stream, clock=clock)
    line.pass_at_1 = 0.25
    line(10, 100, 0.5, 0.0)
    clock.time += 5.0
    line(20, 100, 0.75, 0.0)  # 10 rounds in 5 seconds: 2 a second, 80 left in 40 seconds
    assert stream.getvalue().endswith("fine-tuning: 20/100 rounds, reward 0.750, Pass@1 0.250, 2 rounds/s, 0:40 left")


def test_a_resumed_run_is_timed_from_where_it_resumed() -> None:
    """Catches a rate of done/seconds, which after a resume at round 90 would promise ten times the true speed."""
    clock = Clock()
    line = ProgressLine("x", stream=Terminal(), clock=clock)
    line(90, 100, 0.0, 0.0)
    clock.time += 10.0
    line(91, 100, 0.0, 0.0)
    assert line.text(91, 100, 0.0).endswith("0.1 rounds/s, 1:30 left")


def test_is_silent_where_the_stream_is_no_terminal() -> None:
    stream = io.StringIO()
    with ProgressLine("x", stream=stream) as line:
        line(1, 2, 0.0, 0.0)
    assert stream.getvalue() == ""


def test_what_is_not_counted_is_said_as_well() -> None:
    """Catches a long job of unlike parts that is silent: redrawn on a terminal, a line each half minute in a log."""
    clock, terminal, stream = Clock(), Terminal(), io.StringIO()
    lines = [ProgressLine("planning", stream=where, clock=clock) for where in (terminal, stream)]
    for what in ("compiling decoding", "compiling a step"):
        clock.time += 20.0
        for line in lines:
            line.doing(what)
    assert [part.strip() for part in terminal.getvalue().split("\r")] == [
        *("", "planning: compiling decoding", "planning: compiling a step")
    ]
    assert stream.getvalue() == "planning: compiling a step\n"
    lines[0].clear()
    assert terminal.getvalue().endswith("\r")


def test_a_log_file_gets_a_line_every_half_minute() -> None:
    """Catches a job of days that says nothing for days, and a log that fills with lines."""
    clock, stream = Clock(), io.StringIO()
    with ProgressLine("x", stream=stream, clock=clock) as line:
        for done in range(1, 101):
            clock.time += 1.0
            line(done, 100, 0.5, 0.0)
    assert stream.getvalue().splitlines() == [
        f"x: {done}/100 rounds, reward 0.500, 1 rounds/s, {left} left"
        for done, left in ((30, "1:10"), (60, "0:40"), (90, "0:10"))
    ]
    quiet = io.StringIO()
    line = ProgressLine("x", stream=quiet, clock=clock, shown=False)
    clock.time += 1000.0
    line(1, 2, 0.0, 0.0)
    assert quiet.getvalue() == ""


def test_clears_its_line_at_the_end_also_after_an_error() -> None:
    stream = Terminal()
    try:
        with ProgressLine("x", stream=stream) as line:
            line(1, 2, 0.0, 0.0)
            raise RuntimeError
    except RuntimeError:
        pass
    assert stream.getvalue().endswith("\r")
    assert stream.getvalue().split("\r")[-2].strip() == ""


def test_a_longer_line_leaves_no_rest_behind_a_shorter_one() -> None:
    clock, stream = Clock(), Terminal()
    line = ProgressLine("x", stream=stream, clock=clock)
    line(1000, 1000, 0.0, 0.0)
    first = len(stream.getvalue()) - 1
    line(1, 1, 0.0, 0.0)
    assert len(stream.getvalue().split("\r")[-1]) >= first
