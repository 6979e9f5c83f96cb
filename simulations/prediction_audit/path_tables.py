"""The part of the page that holds the tree law against the model itself, along paths without chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from simulations.prediction_audit.paths import LARGE


def errors(courses: Sequence[Mapping[str, Any]], law: str = "law", itself: str = "itself") -> np.ndarray:
    """log2 (rounds by the law over the model's own), of records that have both."""
    return np.array([math.log2(one[law] / one[itself]) for one in courses if one.get(law) and one.get(itself)])


def mean(values: np.ndarray) -> str:
    """With its standard error, as text."""
    error = f" ± {values.std(ddof=1) / math.sqrt(values.size):.3f}" if values.size > 1 else ""
    return f"{values.mean():+.3f}{error}"


def _far_off(found: np.ndarray) -> tuple[str, ...]:
    """What the errors of plain gradient steps say together."""
    if not found.size:
        return ("No run of plain gradient steps has both times yet.",)
    size = np.abs(found)
    return (
        f"Of {found.size} runs the median |log2| of the law over the model is {np.median(size):.3f}, the mean of log2",
        f"{mean(found)}, the largest error {size.max():.2f};",
        f"{int((size <= math.log2(1.08)).sum())} of {found.size} are within 8%. What is more in the half-times above",
        "is chance: of few seeds, and of correct responses that no sample showed.",
    )


def sections(courses: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The page's sections on `paths` and `adam_paths`, line by line; none where there are no records."""
    if not courses:
        return
    adam = [one for one in courses if one["optimizer"] == "adamw"]
    courses = [one for one in courses if one["optimizer"] == "sgd"]
    found = errors(courses)
    yield from (
        "",
        "## The law's own error",
        "",
        "All chance in a run of one rollout and the raw reward is in the waits for a success and in which correct",
        "response it is. Here there is none of it: the model itself is taken along sequences of correct responses,",
        "with the update of the run, and the law along the same ones. Compared is how long the waits are in the mean",
        "until Pass@1, over the correct responses that the measurement showed, is at the level.",
        "",
        *_far_off(found),
        "",
        f"Where the error is over {2**LARGE - 1:.0%} its causes were looked for: a quarter of the step (a finite",
        "step), and a tree measured anew half-way (a kernel that drifts); what neither mends is left to the tree's",
        "pruning. PPO's clip (one step a round, whose ratios are 1) and length weighting (a response's loss is the",
        "sum over its tokens) are excluded by how the runs are made.",
        "",
        "| model | task | question | step | level | successes | law | model itself | log2 | quarter step "
        "| measured anew | unseen |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    )

    def ratio(said: float | None, seen: float | None) -> str:
        return f"{math.log2(said / seen):+.3f}" if said and seen else "–"

    def rounds(value: float | None) -> str:
        return "–" if value is None else f"{value:.1f}"

    for one in courses:
        start = f"| {one['model']} | {one['task']} | {one['question']} | {one['step']:g} |"
        if "refused" in one:
            yield f"{start} refused: {one['refused']} | | | | | | | |"
            continue
        yield (
            f"{start} {one['level']:g} | {one['successes']:.0f} | "
            f"{rounds(one['law'])} | {rounds(one['itself'])} | {ratio(one['law'], one['itself'])} | "
            f"{ratio(one['finer_law'], one['finer_itself'])} | {ratio(one['anew'], one['itself'])} | "
            f"{one['unseen']:.2f} |"
        )
    if adam:
        yield from _adam_paths(adam)


def _first_steps(courses: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How far Adam's first step goes, and what the weights drawn at random have of the gradient, by question."""
    known = {(one["model"], one["task"], one["question"]): one for one in courses if one.get("farther")}
    if not known:
        return
    far, drawn = (np.array([one[name] for one in known.values()]) for name in ("farther", "drawn"))
    error = 2 ** math.sqrt(np.mean(np.log2(drawn) ** 2)) - 1
    yield from (
        f"Its first step on a success of gradient g goes sqrt(D) |g|_2 / |g|_1 = {far.min():.1f} to {far.max():.1f}",
        f"times as far (median {np.median(far):.1f}, {far.size} questions). A sum over the weights drawn, times D/J,",
        f"is {drawn.min():.2f} to {drawn.max():.2f} of the whole |g|_1, off by {error:.0%} in the root mean square.",
        "",
    )


def _adam_paths(courses: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from (
        "",
        "### Under AdamW",
        "",
        "The model itself is trained round by round, with successes by its own probabilities, and the law hears of the",
        "same responses at the same rounds; compared are the rounds until Pass@1 is at the level. Adam moves every",
        "weight by about the same, and so goes farther than a gradient step for the same gain: the scores turn on its",
        "way. The law has them measured twice, at the start and where Adam goes, and knows what the weights that it",
        "follows have of a success's gradient; it is held against the law without both, in which scores stay.",
        "",
        *_first_steps(courses),
        "| to | law | runs | median abs log2 | mean of log2 | largest | within 8% |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    )
    for late, name in (("", "the level"), ("_late", "three quarters")):
        for law, called in (("still", "scores stay"), ("law", "tree")):
            found = errors(courses, law + late, "itself" + late)
            if found.size:
                size = np.abs(found)
                yield (
                    f"| {name} | {called} | {size.size} | {np.median(size):.3f} | {mean(found)} | {size.max():.2f} | "
                    f"{int((size <= math.log2(1.08)).sum())} |"
                )
    yield from (
        "",
        "Rounds to the level and log2 of the law over the model, then the same to three quarters:",
        "",
        "| model | task | question | rate | level | model itself | scores stay | law | to .75 | scores stay | law |"
        " unseen |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    )
    for one in courses:
        start = f"| {one['model']} | {one['task']} | {one['question']} | {one['step']:g} |"
        if "refused" in one:
            yield f"{start} refused: {one['refused']} | | | | | | | |"
            continue
        parts = [f"{one['level']:g}"]
        for late in ("", "_late"):
            seen = one.get("itself" + late)
            parts.append("–" if seen is None else f"{seen:.1f}")
            parts += [
                f"{math.log2(one[law + late] / seen):+.3f}" if seen and one.get(law + late) else "–"
                for law in ("still", "law")
            ]
        yield f"{start} {' | '.join(parts)} | {one['unseen']:.2f} |"
