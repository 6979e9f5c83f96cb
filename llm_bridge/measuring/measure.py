"""p0 and κ of a prompt: the two numbers through which the theory sees a policy, measured on a language model.

With s(y) = ∇ log π(y) the score of a whole response, ū_g and ū_b its means over correct and wrong responses under the
policy, and δ = ū_g − ū_b,

    p0 = π(correct)        κ = ‖δ‖²        ∇p = p(1 − p)δ

(derived in docs/derivations.md; δ is the "Gradient Gap" of Suk and Duan, arXiv 2510.08539); `gap_estimate` has the
unbiased estimate of κ.

Estimating κ only when there are at least two successes and two failures is harmless: given those counts the correct
rollouts are independent draws from π(· | correct), the wrong ones from π(· | wrong), so κ̂ is unbiased conditionally on
the counts, and p̂0 is reported whatever they are. What *would* bias κ̂ is to repeat the measurement until its value
pleases.

Left out: the update directions of length-normalised losses (their δ differs), and κ under Adam.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.keys import Key
from bandit_rft.settings.ranges import TEMPERATURE, WHOLE
from bandit_rft.theory import Summary
from bandit_rft.theory.many_arms.waiting import wait_in_words
from llm_bridge.bandits.text_rewards import Verifier
from llm_bridge.measuring.evaluate import Progress, wilson
from llm_bridge.measuring.gap_estimate import GapEstimate
from llm_bridge.measuring.prompt_scores import PromptScores
from llm_bridge.measuring.response_tree import MeasuredTree, tree_of
from llm_bridge.measuring.sampled import sampled

if TYPE_CHECKING:
    from llm_bridge.bandits.response_arms import Prompt
    from llm_bridge.language_model import LanguageModel

Array = jax.Array
PyTree = Any


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What the theory needs to know of a model and a prompt.

    Attributes:
        p0: share of correct rollouts, with Wilson's interval [p0_low, p0_high] at `confidence`.
        successes, rollouts: counts.
        kappa: unbiased estimate of κ, in nats² per unit² of weights; may be negative by chance; NaN where it cannot be
            estimated.
        kappa_standard_error: delete-one jackknife; NaN with fewer than three successes or failures, or where not
            requested.
        kernel_correct, kernel_wrong, kernel_between: mean ⟨s, s'⟩ of two different correct rollouts, two wrong ones,
            one of each: κ = kernel_correct + kernel_wrong − 2 kernel_between.
        noise_correct, noise_wrong: traces of the score's covariance within the correct and within the wrong responses,
            the noise of an update.
        mean_length: response tokens. truncated: share stopped by the token limit.
        distinct: number of different responses among the rollouts.
        note: why κ or its error is NaN; empty otherwise.
        tree: the decisions of the same responses, where asked for.
    """

    p0: float
    p0_low: float
    p0_high: float
    confidence: float
    successes: int
    rollouts: int
    kappa: float
    kappa_standard_error: float
    kernel_correct: float
    kernel_wrong: float
    kernel_between: float
    noise_correct: float
    noise_wrong: float
    mean_length: float
    truncated: float
    distinct: int
    note: str
    tree: MeasuredTree | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """All but the tree, as plain values."""
        return {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self) if entry.name != "tree"}

    def summary(self) -> Summary:
        """What `theory.predict` needs of it. Where κ cannot be estimated it is the tree's, whose law needs no estimate.

        Raises:
            InputError: no success, no failure, or neither an estimate of κ that is positive nor a tree: measure with
                more rollouts.
        """
        if not 0 < self.successes < self.rollouts:
            raise InputError(
                f"{self.successes} of {self.rollouts} rollouts were correct: measure with more, until both kinds occur."
                + ("" if self.successes else f" {wait_in_words(self.rollouts)}")
            )
        tree = None if self.tree is None else self.tree.tree()
        kappa, error = self.kappa, self.kappa_standard_error
        if not kappa > 0.0 and tree is not None:
            kappa, error = tree.kappa, math.inf
        if not kappa > 0.0:
            raise InputError(
                f"kappa is not known from {self.successes} correct of {self.rollouts} rollouts "
                f"({self.note or f'its estimate is {self.kappa:.3g}'}): measure with more rollouts, or with their tree."
            )
        return Summary(
            log_p0=math.log(self.p0),
            kappa=kappa,
            kappa_standard_error=error if math.isfinite(error) else math.inf,
            tree=tree,
            sample=None if self.tree is None else self.tree.sample,
            responses=self.rollouts,
        )


def measure(
    model: LanguageModel,
    prompt: Prompt,
    verifier: Verifier,
    *,
    key: Key,
    max_tokens: int,
    rollouts: int = 64,
    batch: int = 32,
    temperature: float = 1.0,
    params: PyTree = None,
    standard_error: bool = True,
    confidence: float = 0.95,
    remat: bool = False,
    tree: bool = False,
    coordinates: int = 0,
    sketched: bool | None = None,
    turning: bool = True,
    kept: Path | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Measure p0 and κ from fresh rollouts, and the tree of their decisions.

    On a mesh of devices (`load_model(..., mesh=)`) the numbers are those of one device, but for rounding. Of several
    processes that have joined (`llm_bridge.join_hosts`) each calls this with the same arguments and has all numbers.

    Args:
        model: the language model.
        prompt: a string or chat messages.
        verifier: response text -> reward; correct where it exceeds ½.
        key: a whole number or a JAX key; response g draws from fold_in(key, g).
        max_tokens: longest response; the same as in the fine-tuning run that is to be predicted, as are the two below.
        rollouts: n; κ̂'s relative standard deviation is about .3 at p = .2 with 32 rollouts, and above 1 at p = .02.
        batch: rollouts generated together, to bound memory; it changes no draw.
        temperature: of the policy.
        params: weights to use in place of the model's own.
        standard_error: whether to spend one more backward pass per distinct response on κ's standard error.
        confidence: of the interval for p0.
        remat: recompute activations in the backward passes, to bound memory.
        tree: also the tree of these responses' decisions, for `theory.tree_jump`; one backward pass for each branch.
        coordinates, sketched: of the tree, as `measure_tree` takes them. turning, kept: as `tree_of` takes them. All
            four are of the tree alone, and refused where it is not asked for.
        progress: called with (done, all, p̂0 so far, seconds) while sampling and while differentiating (each counts
            as one per rollout).

    Raises:
        InputError: rollouts or batch below 1, a prompt that does not fit the model's context, or arguments of the tree
            without it.
    """
    # Whatever is wrong is said before anything is sampled.
    temperature = TEMPERATURE.checked("temperature", temperature)
    confidence, coordinates = arguments.fraction("confidence", confidence), WHOLE.checked("coordinates", coordinates)
    for name, value in (("standard_error", standard_error), ("remat", remat), ("tree", tree)):
        arguments.require(name, value, (bool, np.bool_), "True or False")
    of_tree = {"coordinates": bool(coordinates), "sketched": sketched is not None, "turning": not turning}
    for name, given in (of_tree | {"kept": kept is not None}).items():
        if given and not tree:
            raise InputError(f"{name} is of the tree, which is not measured: give tree=True, or leave {name} out.")
    sample = sampled(
        model,
        prompt,
        verifier,
        what="Measurement",
        key=key,
        max_tokens=max_tokens,
        rollouts=rollouts,
        batch=batch,
        temperature=temperature,
        params=params,
        phases=3 if tree else 2,
        progress=progress,
    )
    how: dict[str, Any] = {"temperature": temperature, "remat": remat, "batch": int(min(batch, rollouts))}
    rollouts = sample.rollouts
    longest = max(one.tokens.size for one in sample.responses)
    scores = PromptScores(model=model, prompt=sample.prompt, longest=longest, **how)
    gap = GapEstimate(scores=scores, params=sample.params, responses=sample.responses).estimate(
        standard_error, lambda seen: sample.tell(1, seen, rollouts)
    )
    grown = None
    if tree:
        tell = partial(sample.tell, 2)
        how |= {
            "params": sample.params,
            "coordinates": coordinates,
            "sketched": sketched,
            "turning": turning,
            "kept": kept,
        }
        grown = tree_of(model, sample.prompt, sample.responses, tell=tell, **how)
    low, high = wilson(sample.successes, rollouts, confidence)
    return Measurement(
        p0=sample.share,
        p0_low=low,
        p0_high=high,
        confidence=confidence,
        successes=sample.successes,
        rollouts=rollouts,
        mean_length=sample.total_length / rollouts,
        truncated=sample.truncated / rollouts,
        distinct=len(sample.responses),
        tree=grown,
        **gap,
    )
