"""How results show themselves: one short line, and HTML that is well-formed, escaped and free of scripts."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from bandit_rft import (
    arms,
    compare,
    compare_learners,
    learners,
    notebook,
    plan,
    run,
    summarize,
    theory,
    verdict_on_log,
)
from tests.bandit_rft.histories import make_history

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NEEDLE = arms.Needle(log10_arms=100, p0=0.05)
LAW = theory.pg_jump_single(0.05, 0.5, 30, log_arms=NEEDLE.log_arms)
HISTORY = run(NEEDLE, learners.SoftmaxPolicyGradient(step_size=0.5), rounds=30, seeds=8)
THINGS = {
    "history": HISTORY,
    "history of one seed and round": make_history(1, 1, 1),
    "history of an unknown value": make_history(value=np.full((3, 5), np.nan), best_mean=None),
    "prediction": LAW,
    "prediction beyond its assumptions": theory.fresh_arm_sweep(0.1, 50, log_arms=1.0),
    "bound": theory.ucb1_bound([0.2, 0.8], rounds=5000),
    "bound at one round": theory.ucb1_bound([0.2, 0.8], rounds=1),
    "bound without end": theory.ucb_alpha_bound([0.2, 0.8], rounds=50, alpha=1.0),
    "verdict": compare(HISTORY, LAW),
    "verdict untested": compare(make_history(1, 5, 1, best_mean=1.0), theory.pg_jump_single(0.1, 0.5, 5)),
    "summary": summarize(NEEDLE),
    "comparison": compare_learners({"a": HISTORY, "b": run(NEEDLE, learners.Uniform(), rounds=30, seeds=8)}),
    "verdict on a log": verdict_on_log(
        EXAMPLES / "trainer_state.json", rollouts=16, signal="mean_baseline", reward="loss"
    ),
    "untested plan": plan(p0=0.1, kappa=1.0, step_size=0.4, level=0.5),
    "summary of prompts": dataclasses.replace(summarize(NEEDLE), prompt_success=np.asarray([0.1, 0.4])),
}


class Strict(HTMLParser):
    """Refuses tags that are not closed in order, and every tag and attribute that could act."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag, attrs):
        assert tag in {"div", "p", "b", "svg", "polyline", "circle", "small", "table", "tr", "th", "td"}, tag
        assert not any(name.startswith("on") or name in ("href", "src") for name, _ in attrs)
        self.seen.add(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", THINGS)
def test_everything_has_a_short_line_and_html_with_a_plot(name: str) -> None:
    """Catches arrays printed by the thousand, a plot of NaN, and a class whose notebook form raises."""
    thing = THINGS[name]
    line = repr(thing)
    assert "\n" not in line
    assert len(line) < 300, line
    assert line.startswith("<")
    html = thing._repr_html_()
    strict = Strict()
    strict.feed(html)
    assert strict.open == []
    assert len(html) < 20_000
    assert not re.search(r"\b(nan|inf)\b", "".join(re.findall(r"points='([^']*)'", html)))
    if "untested" not in name:  # and a plan is numbers alone
        assert "svg" in strict.seen


def test_numbers_are_those_of_the_run() -> None:
    assert f"final regret {HISTORY.regret()[:, -1].mean():.4g}" in repr(HISTORY)
    assert "SoftmaxPolicyGradient on Needle, 8 seeds, 30 rounds" in repr(HISTORY)
    once = run(NEEDLE, learners.SoftmaxPolicyGradient(step_size=0.5), rounds=1, seeds=1, key=0)
    assert ", 1 seed, 1 round, " in repr(once)
    assert f"Pass@1 0.05 to {LAW.value[-1]:.4g}" in repr(LAW)
    assert "p0 0.05" in repr(summarize(NEEDLE))
    assert "10^100" in repr(summarize(NEEDLE))


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "'\"&", "\x1b[31m", "x" * 10_000, "\u202eabc"])
def test_strangers_texts_are_escaped(text: str) -> None:
    """A history from a file, a prediction with foreign words: nothing of them acts. Catches a name that is markup."""
    foreign = dataclasses.replace(
        HISTORY, config={"learner": {"type": text}, "arms": {"type": text}, "key": 0}, notes=(text,)
    )
    law = dataclasses.replace(LAW, name=text, formula=text, source=text, why=text, flags=(text,))
    bound = dataclasses.replace(THINGS["bound"], name=text, formula=text)
    verdict = dataclasses.replace(THINGS["verdict"], prediction=text, quantity=text, notes=(text,))
    for thing in (foreign, law, bound, verdict):
        assert repr(thing).isprintable()
        assert len(repr(thing)) < 1000
    for html in (
        *(thing._repr_html_() for thing in (foreign, law, bound, verdict)),
        notebook.html(text, [(text, [1.0])]),
    ):
        strict = Strict()
        strict.feed(html)
        assert strict.open == []
        assert "<script" not in html
        assert "\x1b" not in html
        assert "\u202e" not in html
        assert len(html) < 30_000
