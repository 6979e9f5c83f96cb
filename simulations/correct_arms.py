"""A table among very many correct arms never learns. Does a policy over tokens?

    python -m simulations.correct_arms --out runs/correct-arms

Responses of H tokens from a vocabulary of 100, right when their last token (the answer) is: 10^(2H) arms, 10^(2H − 2)
of them correct, always one in a hundred. Softmax policy gradient with the raw reward, one rollout, step 1, on four
parametrisations: a table with a logit for each response; a prefix tree; a softmax at each position; one softmax shared
by all positions (step 1/H). H runs to 50: 10^100 arms, 10^98 correct.
"""

# %% The policies
from __future__ import annotations

from pathlib import Path

from bandit_rft import arms, learners, policies, sweep, verifiers
from bandit_rft.contract import ArmSet, LearnerFactory
from bandit_rft.sweep import SweepResult
from simulations.study import final_value, main_of

ROUNDS, VOCABULARY = 1000, 100
LENGTHS = [1, 2, 3, 5, 10, 25, 50]
POLICIES = {
    "table": None,
    "prefix tree": policies.PrefixTree(),
    "softmax at each position": policies.Product(),
    "one softmax for all positions": policies.LogLinear(),
}


def make(policy: str, length: int) -> tuple[ArmSet, LearnerFactory]:
    """H tokens, the last of which is the answer."""
    # The shared softmax moves with every token of a response: its step is divided by H, or one success would throw it.
    step = 1.0 / length if policy == "one softmax for all positions" else 1.0
    learner = learners.SoftmaxPolicyGradient(step_size=step)
    parametrisation = POLICIES[policy]
    if parametrisation is None:
        return arms.Needle(2 * length, optimal=VOCABULARY ** (length - 1)), learner
    return arms.TokenSequences(VOCABULARY, length, verifiers.AnswerToken(7), parametrisation), learner


# %% The sweep
def study(out: Path | None, seeds: int, progress=None) -> SweepResult:
    """Final Pass@1 of each policy at each length."""
    over = [
        {"policy": policy, "length": length, "row_capacity": None if policy == "table" else 400}
        for policy in POLICIES
        for length in LENGTHS
    ]
    return sweep(make, over, rounds=ROUNDS, seeds=seeds, out=out, measure={"value": final_value}, progress=progress)


if __name__ == "__main__":
    main_of(study, __doc__, seeds=32)
