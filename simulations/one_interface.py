"""One study, unchanged, in four worlds: measure a policy, predict its run, run it, and hold the two together.

    python -m simulations.one_interface                     a table, a token policy and an embedded language model
    python -m simulations.one_interface smollm2             SmolLM2-135M-Instruct (fetched; about an hour on two cores)

A world is an arm set, a summary of the policy (exact, or measured) and a learner for a step size. `study` knows of
nothing else: that a table of 10^100 arms and a language model pass through the same lines is what this file shows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import bandit_rft
from bandit_rft import arms, compare, learners, policies, summarize, theory, verifiers
from bandit_rft.theory import Summary
from bandit_rft.verdict import Verdict
from llm_bridge import FineTune, PromptArms, load_model, measure
from llm_bridge.bandits.question_arms import verifier_of
from llm_bridge.bandits.token_arms import TokenPromptArms
from llm_bridge.data import datasets


@dataclass(frozen=True, kw_only=True)
class World:
    """Where a policy learns.

    Attributes:
        arms: the arm set.
        summary: what the theory may know of the policy before the run.
        learner: step size -> learner.
    """

    arms: Any
    summary: Summary
    learner: Callable[[float], Any]


def study(world: World, *, gain: float = 0.2, rounds: int = 100, seeds: int = 16, key: int = 0) -> Verdict:
    """Predict, run and compare: one rollout per round, the raw reward, plain gradient steps of gain/kappa."""
    step = gain / world.summary.kappa
    prediction = theory.predict(world.summary, step_size=step, rounds=rounds)
    history = bandit_rft.run(world.arms, world.learner(step), rounds, seeds=seeds, key=key)
    return compare(history, prediction)


def table() -> World:
    """One correct arm among 10^100."""
    needle = arms.Needle(log10_arms=100, p0=0.1)
    return World(arms=needle, summary=summarize(needle), learner=lambda step: learners.SoftmaxPolicyGradient(step))


def sequences() -> World:
    """Sequences of 4 tokens of 1,000 under a log-linear policy, whose positions share one softmax."""
    made = arms.TokenSequences(1000, 4, verifiers.Needle((7, 7, 7, 7)), policy=policies.LogLinear(), p0=0.1)
    return World(arms=made, summary=summarize(made), learner=lambda step: learners.SoftmaxPolicyGradient(step))


def embedded() -> World:
    """The embedded tiny-llama on one addition, its rewards computed on the device."""
    model = load_model("tiny-llama")
    example = datasets.load("tiny-addition", "train").example(3)
    verifier = verifier_of(None, example)
    found = measure(
        model, example.prompt, verifier, key=1, max_tokens=32, rollouts=128, standard_error=False, tree=True
    )
    return World(
        arms=TokenPromptArms(model, example.prompt, example.answer),
        summary=found.summary(),
        learner=lambda step: _plain(model, step, 32),
    )


def smollm2() -> World:
    """SmolLM2-135M-Instruct on one arithmetic question, its rewards from a text verifier on the host."""
    model = load_model("smollm2-135m")
    example = datasets.load("arithmetic", "train").example(0)
    verifier = verifier_of(None, example)
    found = measure(model, example.prompt, verifier, key=1, max_tokens=24, rollouts=64, tree=True)
    return World(
        arms=PromptArms(model, example.prompt, verifier),
        summary=found.summary(),
        learner=lambda step: _plain(model, step, 24),
    )


def _plain(model: Any, step: float, max_tokens: int) -> FineTune:
    return FineTune(
        model, learning_rate=step, optimizer="sgd", kl_coefficient=0.0, gradient_clip=None, max_tokens=max_tokens
    )


WORLDS: Mapping[str, Callable[[], World]] = {
    "table": table,
    "sequences": sequences,
    "embedded": embedded,
    "smollm2": smollm2,
}


def main() -> None:
    """Print a verdict for each world that is named; without a name, for those that need no download."""
    for name in sys.argv[1:] or ("table", "sequences", "embedded"):
        seeds = 2 if name == "smollm2" else 16
        world = WORLDS[name]()
        print(f"{name}: p0 = {world.summary.p0:.4f}\n{study(world, seeds=seeds).report()}\n", flush=True)


if __name__ == "__main__":
    main()
