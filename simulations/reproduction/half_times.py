"""How soon half is right, as claims measure it: only where nearly every seed gets there within the run."""

from __future__ import annotations

import math

from bandit_rft.experiments import Effect, Experiment, Outcome, Results

LEAST = 0.9  # share of the seeds that must get there


def arrive(outcome: Outcome) -> bool:
    """Whether so many seeds get to a training Pass@1 of one half that their rounds to it are known.

    `Outcome.rounds_to_half` puts the run's length for the others, which draws a mean to it and a difference to 0.
    """
    return bool((outcome.train >= 0.5).any(axis=1).mean() >= LEAST)


def later_at_half(results: Results, experiment: Experiment, condition: str, control: str) -> dict[str, Effect]:
    """By stratum, log2 of the rounds to Pass@1 = .5, condition less control, over seeds.

    Without an upper bound where too few seeds of the condition get there (`arrive`): their rounds are more than they
    are counted as. Without a lower one where too few of the control do.
    """
    found = results.apart(experiment, condition, control, Outcome.rounds_to_half)
    for label, stratum in results.strata(experiment).items():
        late, early = (
            not all(arrive(one) for one in results.outcomes(experiment, name, stratum).values())
            for name in (condition, control)
        )
        if label in found and (late or early):
            found[label] = found[label].open_ended(below=early, above=late)
    return found


def unknown(effect: Effect) -> Effect:
    """The estimate alone: its interval is unbounded, and no test of it decides."""
    return Effect(effect.value, math.nan, 1, effect.units)
