"""At equal pulls, sixteen rollouts of a group against four, on test questions; the signal is the same."""

import numpy as np

from bandit_rft.experiments import Claim, Effect, Outcome, Results
from simulations.reproduction.experiments import group_rollouts


def at_equal_pulls(results: Results, signal: str) -> dict[str, Effect]:
    """By stratum, test Pass@1 of 16 rollouts less that of 4, after all pulls that 4 rollouts make."""

    def at_the_end_of_four(outcome: Outcome) -> np.ndarray:
        return outcome.test_after(4 * outcome.train.shape[1])

    return results.paired(group_rollouts, f"{signal}, 16", f"{signal}, 4", at_the_end_of_four)


def measure(results: Results) -> dict[str, Effect]:
    """GRPO and MaxRL."""
    return {
        f"{signal}, {label}": effect
        for signal in ("GRPO", "MaxRL")
        for label, effect in at_equal_pulls(results, signal).items()
    }


CLAIM = Claim(
    id="D5 test",
    statement="At equal pulls, groups of 16 do no better on test questions than groups of 4.",
    source="this project, of GRPO and MaxRL",
    experiments=(group_rollouts,),
    effect="test Pass@1 at equal pulls, 16 rollouts less 4",
    measure=measure,
    direction="below",
    threshold=0.0,
    margin=0.03,
    tiers=("tiny", "paper"),
)
