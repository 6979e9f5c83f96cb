"""Sequential halving (Karnin, Koren, Somekh 2013, algorithm 1): the best arm within a budget of T pulls.

    for r = 0 … ceil(log2 K) − 1:  pull each of the |S_r| arms left floor(T/(|S_r| ceil(log2 K))) times;
    keep the ceil(|S_r|/2) arms of the largest sums of this stage, ties uniform
(The paper averages over a stage's own pulls; variants that keep earlier ones, called successive halving, are left out.)

At any number of arms: arms of one class are alike when a stage begins, and the stage forgets their sums when it ends.
So the numbers of arms left by class are a Markov chain. A stage draws how many arms of each class lie above the middle
of the range of sums (binomial), goes on in the half where the last place falls, and ends at one sum, its arms tied.
The chain's law is the explicit one up to 1e-6 a draw in total variation (see `_binomial`), and to a float's resolution
of each binomial's probability.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np
from scipy.special import betainc

from bandit_rft import arguments
from bandit_rft.arms.classes import Classes
from bandit_rft.errors import InputError

_WIDE = 2**62
_BEYOND = 2**1000  # above it a whole number is soon no float
_FEW = 1e12
_RARE = 1000  # arms of a kind, so few that each is asked for by itself
_NEVER = 700.0  # events below exp(-700) are not looked for


@dataclass(frozen=True)
class SequentialHalving:
    """Sequential halving on Bernoulli arms, explicit or in classes of any size (10^100 arms and more).

    Args:
        budget: T, pulls in all; at least K ceil(log2 K), a Python integer of any size.

    Raises:
        InputError: budget below 1; or, when played, one too small for the arms, or beyond 10^300 pulls of an arm whose
            mean differs from another by less than 10^-147.
    """

    budget: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "budget", arguments.whole("budget", self.budget, most=None))

    def play(self, arms: object, generator: np.random.Generator) -> tuple[float, int]:
        """(true mean of the arm named, pulls made) of one run.

        Raises:
            InputError: no table of Bernoulli arms with fixed means, or a budget below K ceil(log2 K).
        """
        means, counts = _classes(arms)
        stages = _log2_ceiling(sum(counts))
        if self.budget < sum(counts) * max(stages, 1):
            raise InputError(
                f"A budget of {_size(self.budget)} pulls does not let every arm be pulled in each of {stages} stages: "
                f"give at least K ceil(log2 K), {_size(sum(counts) * max(stages, 1))}."
            )
        pulls = 0
        for _ in range(stages):
            left = sum(counts)
            each = self.budget // (left * stages)
            pulls += left * each
            counts = _kept(generator, means, counts, each, (left + 1) // 2)
        return means[next(c for c, count in enumerate(counts) if count)], pulls


def _classes(arms: object) -> tuple[list[float], list[int]]:
    """Distinct means, largest first, and the number of arms of each."""
    if not isinstance(arms, Classes) or arms.sigma is not None:
        raise InputError(
            "SequentialHalving is for Bernoulli arms with fixed means (Bernoulli, Classes, Needle): give such a table."
        )
    counted: dict[float, int] = {}
    for mean, log_count in zip(arms.means, arms.log_counts, strict=True):
        counted[mean] = counted.get(mean, 0) + _whole(log_count)
    means = sorted(counted, reverse=True)
    return means, [counted[mean] for mean in means]


def _whole(log_count: float) -> int:
    with localcontext() as context:
        context.prec = max(30, int(log_count / math.log(10)) + 20)
        return int(Decimal(log_count).exp().to_integral_value())


def _log2_ceiling(number: int) -> int:
    return (number - 1).bit_length()


def _size(number: int) -> str:
    return str(number) if number < 10**12 else f"10^{math.log10(number):.4g}"


def _kept(
    generator: np.random.Generator, means: Sequence[float], counts: list[int], pulls: int, keep: int
) -> list[int]:
    """How many arms of each class are among the `keep` of the largest sums of `pulls` pulls each."""
    present = [mean for mean, count in zip(means, counts, strict=True) if count]
    if len(present) > 1:
        gap = -max(b - a for a, b in itertools.pairwise(present))
        # Hoeffding, over all pairs of arms: with more pulls than this no arm passes one of a better class.
        if _told_apart(pulls, gap, 2 * math.log(sum(counts)) + _NEVER):
            return _in_order(counts, keep)
        if pulls >= _BEYOND:
            raise InputError(
                f"Means that differ by {gap:g} are too close for {_size(pulls)} pulls of an arm in a stage: no float "
                "holds the chance that one passes the other, so give a smaller budget."
            )
    low, high, kept = 0, pulls + 1, [0] * len(counts)
    while 0 < keep < sum(counts) and high - low > 1 and len(present) > 1:
        middle = (low + high) // 2
        above = [
            _binomial(generator, count, _share_above(mean, pulls, low, middle, high)) if count else 0
            for mean, count in zip(means, counts, strict=True)
        ]
        if sum(above) >= keep:
            low, counts = middle, above
        else:
            high = middle
            kept = [a + b for a, b in zip(kept, above, strict=True)]
            keep -= sum(above)
            counts = [a - b for a, b in zip(counts, above, strict=True)]
    tied = _in_order(counts, keep) if len(present) == 1 else _without_replacement(generator, counts, keep)
    return [a + b for a, b in zip(kept, tied, strict=True)]


def _told_apart(pulls: int, gap: float, exponent: float) -> bool:
    """Whether pulls · gap² / 2 exceeds the exponent, of any number of pulls."""
    if pulls < _BEYOND:
        return pulls * gap**2 / 2 > exponent
    return math.log(pulls) + 2 * math.log(gap) - math.log(2) > math.log(exponent)


def _in_order(counts: Sequence[int], keep: int) -> list[int]:
    kept = []
    for count in counts:
        kept.append(min(count, keep))
        keep -= kept[-1]
    return kept


def _without_replacement(generator: np.random.Generator, counts: Sequence[int], keep: int) -> list[int]:
    """Classes of `keep` arms drawn evenly from all without replacement."""
    left, kept = sum(counts), []
    for count in counts:
        kept.append(_hypergeometric(generator, count, left - count, keep))
        left -= count
        keep -= kept[-1]
    return kept


def _hypergeometric(generator: np.random.Generator, good: int, bad: int, draws: int) -> int:
    """How many of `draws` arms, drawn evenly without replacement, are good; as exact as `_binomial` at any size.

    Of very many arms each is first taken by itself, with probability draws/arms; what is too many is then given back,
    or what is too few is taken from the rest, evenly again: about the square root of the draws.
    """
    total = good + bad
    if not good or not draws:
        return 0
    if not bad or draws == total:
        return min(good, draws)
    if total < 10**9:
        return int(generator.hypergeometric(good, bad, draws))
    if min(good, bad) < _RARE:
        rare = min(good, bad)
        taken, left, places = 0, total, draws
        for _ in range(rare):
            hit = generator.random() < places / left
            taken += hit
            places, left = places - hit, left - 1
        return int(taken) if rare == good else draws - int(taken)
    share = draws / total
    ours, others = _binomial(generator, good, share), _binomial(generator, bad, share)
    over = ours + others - draws
    if over >= 0:
        return ours - _hypergeometric(generator, ours, others, over)
    return ours + _hypergeometric(generator, good - ours, bad - others, -over)


def _share_above(mean: float, pulls: int, low: int, middle: int, high: int) -> float:
    """P(sum ≥ middle | low ≤ sum < high) of a sum of `pulls` Bernoulli rewards."""
    if mean in (0.0, 1.0):
        return float((pulls if mean == 1.0 else 0) >= middle)
    if low >= pulls * mean:  # the upper tail's own numbers, which do not cancel
        ends = [_upper(mean, pulls, edge) for edge in (low, middle, high)]
        inside, above = ends[0] - ends[2], ends[1] - ends[2]
    else:
        ends = [_upper(1 - mean, pulls, pulls + 1 - edge) for edge in (low, middle, high)]
        inside, above = ends[2] - ends[0], ends[2] - ends[1]
    if inside <= 0:
        return float(low < pulls * mean)
    return min(max(above / inside, 0.0), 1.0)


def _upper(mean: float, pulls: int, edge: int) -> float:
    """P(sum ≥ edge)."""
    if edge <= 0 or edge > pulls:
        return float(edge <= 0)
    return float(betainc(float(edge), float(pulls - edge + 1), mean))


def _binomial(generator: np.random.Generator, trials: int, share: float) -> int:
    """Successes of `trials` (a Python integer of any size) of probability `share`.

    From 2^62 trials on: Poisson's law where fewer than 10^12 of either outcome are expected, the normal law otherwise;
    the total variation of either from the binomial is below 1e-6.
    """
    if share <= 0 or share >= 1:
        return trials if share >= 1 else 0
    if trials < _WIDE:
        return int(generator.binomial(trials, share))
    if share > 0.5:
        return trials - _binomial(generator, trials, 1 - share)
    over, under = share.as_integer_ratio()
    expected = trials * over // under
    if expected < _FEW:
        return int(generator.poisson(trials * over / under))
    spread = math.isqrt(expected * (under - over) // under)
    return expected + _scaled(generator.standard_normal(), spread)


def _scaled(normal: float, spread: int) -> int:
    return (round(normal * 2**60) * spread + 2**59) >> 60
