"""Which learner plays which arm set? Asked of the code: each pair is bound, and a refusal is a gap in the table.

python -m simulations.support_table          prints the table of docs/learners-and-arms.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bandit_rft import arms, learners, verifiers
from bandit_rft.errors import InputError

_NEEDLE = arms.Needle(log10_arms=3, p0=0.05)

ARM_SETS: Mapping[str, Any] = {
    "Bernoulli": arms.Bernoulli([0.1, 0.5, 0.9]),
    "Gaussian": arms.Gaussian([0.1, 0.5, 0.9]),
    "Deterministic": arms.Deterministic([0.1, 0.5, 0.9]),
    "Classes": arms.Classes(log_counts=[0.0, 20.0], means=[0.9, 0.1]),
    "Needle": _NEEDLE,
    "Instances": arms.Instances("uniform", arms=10),
    "Reservoir": arms.Reservoir("uniform"),
    "Noisy": arms.Noisy(_NEEDLE, true_positive=0.9, false_positive=0.1),
    "Delayed": arms.Delayed(_NEEDLE, rounds=5),
    "Drifting": arms.Drifting(arms.Bernoulli([0.1, 0.5, 0.9]), step=0.01),
    "LinearContexts": arms.LinearContexts(arms=3, dimension=2),
    "TokenSequences": arms.TokenSequences(vocabulary_size=5, length=3, verifier=verifiers.Needle((0, 1, 2))),
    "Contexts": arms.Contexts(
        vocabulary_size=5, length=2, verifiers=(verifiers.Needle((0, 1)), verifiers.Needle((1, 2)))
    ),
}

LEARNERS: Mapping[str, Any] = {
    "SoftmaxPolicyGradient": learners.SoftmaxPolicyGradient(step_size=0.1),
    "NaturalPolicyGradient": learners.NaturalPolicyGradient(step_size=0.1),
    "EXP3": learners.EXP3("loss"),
    "EXP3IX": learners.EXP3IX(),
    "TsallisINF": learners.TsallisINF(),
    "UCB1": learners.UCB1(),
    "UCB": learners.UCB(alpha=2.0),
    "UCBV": learners.UCBV(),
    "KLUCB": learners.KLUCB(),
    "BayesUCB": learners.BayesUCB(),
    "SlidingWindowUCB": learners.SlidingWindowUCB(window=20),
    "DiscountedUCB": learners.DiscountedUCB(discount=0.95),
    "MOSS": learners.MOSS(),
    "UCBF": learners.UCBF(),
    "ThompsonBeta": learners.ThompsonBeta(),
    "ThompsonGaussian": learners.ThompsonGaussian(),
    "Greedy": learners.Greedy(),
    "AnnealedSoftmax": learners.AnnealedSoftmax(),
    "EpsilonGreedy": learners.EpsilonGreedy(epsilon=0.1),
    "ExploreThenCommit": learners.ExploreThenCommit(pulls_per_arm=2),
    "SuccessiveElimination": learners.SuccessiveElimination(),
    "Subsampled": learners.Subsampled(learners.UCB1(), size=2),
    "OneFailure": learners.OneFailure(),
    "BestRun": learners.BestRun(),
    "TwoTarget": learners.TwoTarget(),
    "ExploreUntilSuccess": learners.ExploreUntilSuccess(),
    "LinUCB": learners.LinUCB(),
    "LinTS": learners.LinTS(),
    "Uniform": learners.Uniform(),
}


def supported(learner: Any, arm_set: Any, rounds: int = 50) -> bool:
    """Whether the learner binds to the arm set. A refusal is an InputError; anything else is a fault and rises."""
    try:
        learner.bind(arm_set, rounds=rounds)
    except InputError:
        return False
    return True


def table() -> str:
    """The pairs as a Markdown table, "x" where a learner plays an arm set."""
    lines = [
        "| | " + " | ".join(ARM_SETS) + " |",
        "| --- |" + " --- |" * len(ARM_SETS),
    ]
    for name, learner in LEARNERS.items():
        cells = ["x" if supported(learner, arm_set) else "" for arm_set in ARM_SETS.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
