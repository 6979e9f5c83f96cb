"""What more rollouts buy GRPO at equal rounds: sqrt(G), where a group rarely holds more than one success."""

import math
from collections.abc import Callable, Mapping

from bandit_rft import arms, summarize, theory
from bandit_rft.experiments import Claim, Effect, Results
from simulations.reproduction.experiments import rare_groups
from simulations.reproduction.half_times import later_at_half
from simulations.reproduction.tables import P0, TABLE

TIMES = 4  # as many rollouts in the larger group


def half_time(condition: str) -> float:
    """Rounds until Pass@1 is one half on the mean-field path, on a table of 10^100 arms."""
    setting = rare_groups.setting(condition)
    needle = arms.Needle(log10_arms=100, p0=P0[setting.p0])
    step = setting.step / summarize(needle).kappa
    law = theory.pg_group(setting.signal, P0[setting.p0], step, 5000, setting.rollouts, log_arms=needle.log_arms)
    return float((law.value < 0.5).sum())


def exponent(signal: str, less: float) -> Callable[[Results], Mapping[str, Effect]]:
    """a of "rounds to one half go as G^-a", less a number, by world; over seeds, from 4 to 16 rollouts."""

    def measure(results: Results) -> dict[str, Effect]:
        found = later_at_half(results, rare_groups, f"{signal}, 4", f"{signal}, 16")
        return {label: effect.scaled(1 / math.log2(TIMES), -less) for label, effect in found.items()}

    return measure


def expected(signal: str, less: float) -> Mapping[str, float]:
    """The same of the mean-field path, on tables."""
    return {f"model {TABLE}": math.log(half_time(f"{signal}, 4") / half_time(f"{signal}, 16"), TIMES) - less}


CLAIM = Claim(
    id="D5 GRPO rounds",
    statement="For GRPO, G rollouts are worth a factor sqrt(G) at equal rounds, at p0 = .01.",
    source="drift of GRPO at small G p, (G-1)/sqrt(G), of this project; A4 of arXiv 2601.14599 says: nothing",
    experiments=(rare_groups,),
    effect="exponent of G in the rounds to Pass@1 = .5, from 4 to 16 rollouts, less 1/2",
    measure=exponent("GRPO", 0.5),
    direction="within",
    margin=0.1,
    expected=lambda: expected("GRPO", 0.5),
    tiers=("simulation",),
)
