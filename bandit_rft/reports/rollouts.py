"""A report's rollouts to read: the first, the best, the worst, the last, some on the way; and their question."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandit_rft.reports import page
from bandit_rft.runs import RESPONSES
from bandit_rft.runs.rollouts import Rollout, prompt_text, read_questions, rounds_of

ON_THE_WAY = 8  # further rounds, evenly spread


def rollouts_section(run: Path, *, seeds: int = 1) -> str:
    """The section of a run of so many seeds, escaped; two passes over the file, so that a long run does not fill the
    memory.
    """
    total = sum(1 for _ in rounds_of(run))
    spread = {round(place * (total - 1) / (ON_THE_WAY + 1)) for place in range(1, ON_THE_WAY + 1)} - {0, total - 1}
    first = best = worst = last = None
    way: list[Rollout] = []
    for rollouts in rounds_of(run):
        for rollout in rollouts:
            first = first or rollout
            if rollout.reward == rollout.reward:  # not NaN
                best = rollout if best is None or rollout.reward > best.reward else best
                worst = rollout if worst is None or rollout.reward <= worst.reward else worst
            last = rollout
        if rollouts and rollouts[0].round in spread:
            firsts = [rollout for rollout in rollouts if rollout.place == 0]  # one a seed: each in its turn
            way.append(firsts[len(way) % len(firsts)])
    named = (
        ("First response", first),
        ("Best: the first with the highest reward", best),
        ("Worst: the last with the lowest reward", worst),
        ("Last response", last),
    )
    # One response may be several of these: it is shown once, under all its names.
    groups: dict[tuple[int, int | None, int], tuple[list[str], Rollout]] = {}
    for name, rollout in named:
        if rollout is not None:
            groups.setdefault((rollout.round, rollout.seed, rollout.place), ([], rollout))[0].append(name)
    questions = read_questions(run)
    several = len(questions) > 1

    def written(name: str, rollout: Rollout) -> str:
        where = f"round {rollout.round}, seed {rollout.seed}" if seeds > 1 else f"round {rollout.round}"
        return _rollout(name, where, rollout, questions.get(rollout.question) if several else None)

    shown = "".join(written("; ".join(names), rollout) for names, rollout in groups.values())
    more = "".join(written("On the way", rollout) for rollout in way)
    asked = "" if several or not questions else _question(next(iter(questions.values())))
    rest = f"<details><summary>{len(way)} more on the way</summary>{more}</details>" if way else ""
    command = page.escaped(f"bandit-rft show {shlex.quote(run.resolve().name)}")
    hint = f'<p class="soft">All of them: <code>{command}</code></p>'
    return f"<h2>Rollouts</h2>{asked}{shown}{rest}{hint}"


def _question(question: Mapping[str, Any]) -> str:
    return (
        f"<details><summary>Question {page.escaped(question.get('index'))}, answer "
        f"{page.escaped(str(question.get('answer'))[: page.LONGEST])}</summary>"
        f"{page.text(prompt_text(question), rest_in='questions.jsonl')}</details>"
    )


def _rollout(name: str, where: str, rollout: Rollout, question: Mapping[str, Any] | None) -> str:
    said = f"{where}, {rollout.tokens} tokens" + (", truncated" if rollout.truncated else "")
    if rollout.text is None:
        body = '<p class="soft">The folder holds no text of it.</p>'
    else:
        body = page.text(rollout.text, rest_in=RESPONSES) if rollout.text else '<p class="soft">Empty.</p>'
    asked = "" if question is None else _question(question)
    return (
        f'<article class="rollout{" right" if rollout.right else ""}"><h3>{page.escaped(name)}</h3>'
        f'<span class="reward">reward {rollout.reward:g}</span>, <span class="soft">{said}</span>'
        f"{asked}{body}</article>"
    )
