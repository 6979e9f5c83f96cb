"""What the theory may know of a policy: numbers alone, so that it cannot tell which world they came from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bandit_rft import arguments, notebook
from bandit_rft.errors import InputError
from bandit_rft.theory.forests import ForestSample
from bandit_rft.theory.response_tree import ResponseTree
from bandit_rft.theory.sampled_tree import TreeSample

__all__ = ["Summary"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """A policy among its arms at one moment. `bandit_rft.summarize` makes it of an arm set and a learner's state,
    exactly; `llm_bridge.measure(...).summary()` of a language model, with errors.

    Attributes:
        log_p0: ln of the policy's mass on the correct arms (Pass@1), below 0.
        kappa: κ = |∇ logit p|², the squared gradient gap, above 0.
        kappa_standard_error: 0 where κ is exact.
        log_arms: ln K, or None where it is unknown (a language model).
        log_correct: ln m, m the number of correct arms, or None.
        symmetric: whether all correct arms have one probability, and all wrong arms another: κ is then 1/m + 1/(K − m)
            and stays so under exact gradients.
        table: whether every arm has a logit of its own. Elsewhere arms share parameters, and κ moves as they learn.
        deterministic: whether correct arms always give reward 1 and wrong arms 0.
        true_positive, false_positive: rates at which a verifier that errs pays for correct and for wrong arms.
        delay: rounds until a reward is heard of.
        position_log_odds: float64 [N], logit of the probability of each token that a correct sequence needs given those
            before it, where every position has logits of its own (a product policy or a prefix tree); else None.
        vocabulary_size: V of such sequences, or None.
        prompt_success: float64 [B], p of each prompt where there are several; p0 is then their mean. Else None.
        gram: float64 [B, B], inner products of the prompts' gradient gaps, or None.
        tree: the decisions of sampled responses with their kernel, where they were measured; p0 and κ are then beside.
            Of a table its arms, if there are not too many, or if its wrong arms can be lumped.
        sample: the responses behind the tree, which tell its error; None: the tree is exact.
        responses: n behind p0, which tell its error; 0: p0 is exact.
        lumped: whether all wrong arms of such a class are one edge: exact as long as none of them is reinforced.
    """

    log_p0: float
    kappa: float
    kappa_standard_error: float = 0.0
    log_arms: float | None = None
    log_correct: float | None = None
    symmetric: bool = False
    table: bool = False
    deterministic: bool = True
    true_positive: float = 1.0
    false_positive: float = 0.0
    delay: int = 0
    position_log_odds: np.ndarray | None = None
    vocabulary_size: int | None = None
    prompt_success: np.ndarray | None = None
    gram: np.ndarray | None = None
    tree: ResponseTree | None = None
    lumped: bool = False
    sample: TreeSample | ForestSample | None = None
    responses: int = 0

    def __post_init__(self) -> None:
        if not arguments.number("log_p0", self.log_p0) < 0.0 or math.isinf(self.log_p0):
            raise InputError(
                f"ln p0 is {self.log_p0}: the theory needs a policy that is sometimes right and sometimes wrong."
            )
        if not arguments.number("kappa", self.kappa) > 0.0 or not math.isfinite(self.kappa):
            raise InputError(f"kappa is {self.kappa}: give a positive finite number (measure with more rollouts).")

    def __repr__(self) -> str:
        return notebook.line("Summary", (f"{name} {value}" for name, value in self._numbers().items()))

    def _repr_html_(self) -> str:
        curves = []
        for label, values in (
            ("log-odds by position", self.position_log_odds),
            ("success by prompt", self.prompt_success),
        ):
            if values is not None:
                curves.append((label, values))
        if not curves:
            # What p0 and κ alone say: logit p rises by κ at unit step, at first.
            steps = np.linspace(0.0, 6.0, 60)
            odds = self.log_p0 - math.log(-math.expm1(self.log_p0)) + steps
            curves.append(("Pass@1 as logit p rises by 6", 1 / (1 + np.exp(-odds))))
        return notebook.html("Summary of a policy", curves, self._numbers())

    def _numbers(self) -> dict[str, str]:
        error = "" if self.exact else f" ± {self.kappa_standard_error:.2g}"
        numbers = {"p0": f"{self.p0:.4g}", "kappa": f"{self.kappa:.4g}{error}"}
        for label, logarithm in (("arms", self.log_arms), ("correct arms", self.log_correct)):
            if logarithm is not None:
                small = logarithm < math.log(1e6)
                numbers[label] = f"{math.exp(logarithm):.6g}" if small else f"10^{logarithm / math.log(10):.4g}"
        if self.prompt_success is not None:
            numbers["prompts"] = str(len(self.prompt_success))
        return numbers

    @property
    def p0(self) -> float:
        """Pass@1, in (0, 1); it may underflow to 0 where log_p0 does not."""
        return math.exp(self.log_p0)

    @property
    def exact(self) -> bool:
        """Whether p0 and κ were computed and not measured."""
        return self.kappa_standard_error == 0.0
