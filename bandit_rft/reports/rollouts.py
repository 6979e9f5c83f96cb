"""A report's rollouts to read: the first, the best, the worst, the last, some on the way; and their question."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandit_rft.runs.rollouts import Rollout, prompt_text, read_questions, rounds_of

ON_THE_WAY = 8  # further rounds, evenly spread


def rollouts_of(run: Path) -> dict[str, Any]:
    """What the page shows of a run: entries (name, rollout, its question where the run has several).

    Two passes over the file, so that a long run does not fill the memory.
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
            firsts = [rollout for rollout in rollouts if rollout.place == 0]  # one per seed: each in its turn
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
    questions = {place: _question(record) for place, record in read_questions(run).items()}
    several = len(questions) > 1

    def entry(name: str, rollout: Rollout) -> tuple[str, Rollout, dict[str, str] | None]:
        return name, rollout, questions.get(rollout.question) if several else None

    return {
        "question": next(iter(questions.values()), None) if not several else None,
        "chosen": [entry("; ".join(names), rollout) for names, rollout in groups.values()],
        "way": [entry("On the way", rollout) for rollout in way],
        "command": f"bandit-rft show {shlex.quote(run.resolve().name)}",
    }


def _question(record: Mapping[str, Any]) -> dict[str, str]:
    return {"index": str(record.get("index")), "answer": str(record.get("answer")), "prompt": prompt_text(record)}
