"""The settings of `bandit-rft evaluate` and `bandit-rft measure`: responses to questions, and no training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

from bandit_rft.errors import InputError
from bandit_rft.settings.finetune import FineTuneConfig, parse_ks
from bandit_rft.settings.mesh import sizes_of, spelt
from bandit_rft.settings.options import option, ranges, settle, shared
from bandit_rft.settings.ranges import COUNT, GREEDY, INSIDE, ROWS, WHOLE
from bandit_rft.settings.unused import is_file

_same = partial(shared, FineTuneConfig)


@dataclass(frozen=True, kw_only=True)
class _Questions:
    """What both have in common; every field is an option of the command and documented there."""

    model: str = _same("model")
    data: str = _same("data", default="arithmetic", none=False)
    split: str = _same("split", help="split of the data")
    prompt_column: str | None = _same("prompt_column")
    answer_column: str | None = _same("answer_column")
    verifier: str | None = _same("verifier")
    template: str | None = _same("template")
    prompt_date: str | None = _same("prompt_date")
    thinking: bool | None = _same("thinking")
    max_tokens: int | None = _same("max_tokens")
    temperature: float = _same("temperature", type=GREEDY)
    batch: int = _same("evaluation_batch", help="responses generated together", group="sampling")
    mesh: str | None = _same("mesh")
    dtype: str = _same("dtype")
    key: int = _same("key")

    def __post_init__(self) -> None:
        settle(self)
        if self.mesh is not None:  # in one spelling, whatever the order
            object.__setattr__(self, "mesh", spelt(sizes_of(self.mesh, "--mesh")))

    @property
    def source(self) -> str:
        """The data and their split, where they have one, as a line of output says them."""
        return self.data if is_file(self.data) else f"{self.data} ({self.split})"


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(_Questions):
    """What is evaluated.

    Raises:
        InputError: fewer responses per question than the largest k of pass@k, or no mesh.
    """

    split: str = _same("split", default="test", help="split of the data")
    index: int | None = option(None, "one question only, its place from 0", type=WHOLE, group="data")
    questions: int | None = option(100, "first questions of the split; none: all", type=COUNT, none=True, group="data")
    k: str = _same("k", help="report pass@k for these k")
    samples: int | None = option(None, "responses per question; none: the largest k", type=ROWS, group="sampling")
    temperature: float = _same("temperature", help="sampling temperature; 0: greedy", type=GREEDY)

    def __post_init__(self) -> None:
        super().__post_init__()
        most = max(self.ks)
        if self.samples is not None and most > self.samples:
            raise InputError(
                f"pass@{most} needs at least {most} responses per question: raise --samples from {self.samples}."
            )

    @property
    def ks(self) -> list[int]:
        """The k of pass@k, ascending."""
        return parse_ks(self.k)


@dataclass(frozen=True, kw_only=True)
class MeasureConfig(_Questions):
    """What is measured: p0 and kappa of one question or, with `scan`, p0 of many.

    Raises:
        InputError: values that do not go together.
    """

    index: int | tuple[int, ...] = _same(
        "index", help="the question's place in its split, from 0; with --tree several: 3,7,11"
    )
    rollouts: int = _same("measure_rollouts", help="responses behind p0 and kappa", group="sampling")
    error: bool = _same("measure_error", group="sampling")
    tree: bool = option(False, "also the tree of those responses' decisions, for the law of a run", group="sampling")
    confidence: float = option(0.95, "coverage of the intervals", type=INSIDE, group="sampling")
    remat: bool = _same("remat")
    scan: bool = option(False, "p0 of many questions instead, resumable, with a table", group="scan")
    indices: str = option(
        "0:100", "which questions: START:STOP, START:STOP:STEP, I,J,K or several of these", type=ranges, group="scan"
    )
    shortest: int | None = option(None, "only this many questions, the shortest", type=COUNT, group="scan")
    samples: int = option(32, "responses per question", type=ROWS, group="scan")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature == 0 and not self.scan:
            raise InputError("kappa is of a policy that samples: give --temperature a number above 0, or add --scan.")
        if len(set(self.places)) < len(self.places):
            raise InputError(f"--index names a question twice in {self.index}: name each once.")
        if len(self.places) > 1 and not self.tree and not self.scan:
            raise InputError(
                "kappa is that of one question: add --tree for the law of several, or --scan for their p0."
            )

    @property
    def places(self) -> tuple[int, ...]:
        """The measured questions' places in their split."""
        return (self.index,) if isinstance(self.index, int) else self.index

    def to_json(self) -> dict[str, Any]:
        """Plain values, complete."""
        return {"command": "measure", **dataclasses.asdict(self)}
