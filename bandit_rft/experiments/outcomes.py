"""What a run showed, as arrays that claims are judged by."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.errors import DAMAGED_ARRAYS, InputError
from bandit_rft.experiments.effects import Effect, difference, mean_effect, share, share_difference
from bandit_rft.experiments.experiment import Experiment, Levels, Setting, combined
from bandit_rft.runs import write_atomically

_ARRAYS = ("train", "evaluated", "test")
_OPTIONAL = ("correct_arms", "right", "train_once")

# Between what numbers a statistic of a seed lies, by its name. Of others that are no shares nothing is known.
_BOUNDS = {
    "final_train": (0.0, 1.0),
    "mean_train": (0.0, 1.0),
    "final_test": (0.0, 1.0),
    "gain": (-1.0, 1.0),
    "test_after": (0.0, 1.0),
    "rounds_to_half": (0.0, np.inf),
    "largest_drop": (0.0, 1.0),
    "largest_training_drop": (0.0, 1.0),
    "below_half": (0.0, 1.0),
    "diversity": (1.0, np.inf),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """The course of S seeds of one setting on one unit.

    Attributes:
        train: float64 [S, T], Pass@1 on what is trained: exact on a table, the round's mean reward on a model.
        evaluated: int64 [E], updates done before each evaluation on test questions; empty where there are none.
        test: float64 [S, E], Pass@1 on the test questions.
        noise: variance of an entry of `test` that comes from drawing its responses and questions alone, not from the
            run: binomial, p(1 - p)/n.
        right: float64 [S, Q], share of right responses to each test question at the last evaluation; None where that
            is not known.
        p0: Pass@1 before training, of fresh responses.
        pulls: responses generated in a round.
        train_once: float64 [S, E], share of right responses when each training question is answered once at an
            evaluation; None where it is not.
        correct_arms: float64 [S], how many correct arms the last policy spreads over, 1 / sum of the squares of their
            shares among the correct; NaN where it is not known. None stands for that.
    """

    train: np.ndarray
    evaluated: np.ndarray
    test: np.ndarray
    p0: float
    pulls: int
    noise: float = 0.0
    correct_arms: np.ndarray | None = None
    right: np.ndarray | None = None
    train_once: np.ndarray | None = None

    def write(self, path: Path) -> None:
        """As an .npz file, whole or not at all."""
        write_atomically(path, self.to_bytes())

    def to_bytes(self, *, compressed: bool = True) -> bytes:
        """What `write` writes."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {name: value for name in _OPTIONAL if (value := getattr(self, name)) is not None}
        save = np.savez_compressed if compressed else np.savez
        save(buffer, p0=self.p0, pulls=self.pulls, noise=self.noise, **arrays)
        return buffer.getvalue()

    @classmethod
    def read(cls, path: Path | io.BytesIO, name: str = "") -> Outcome:
        """What `write` wrote, of a file or of its bytes, which messages call `name`. Raises InputError where it is
        something else."""
        try:
            with np.load(path, allow_pickle=False) as held:
                numbers = {"p0": float(held["p0"]), "pulls": int(held["pulls"]), "noise": float(held["noise"])}
                names = [*_ARRAYS, *(name for name in _OPTIONAL if name in held)]
                return cls(**{name: held[name] for name in names}, **numbers)
        except DAMAGED_ARRAYS as error:
            if name:
                raise InputError(f"{name} is no outcome of a run: give a file that reproduce wrote.") from error
            raise InputError(f"{path} is no outcome of a run: remove its folder, and it is run again.") from error

    def final_train(self, last: int = 20) -> np.ndarray:
        """float64 [S], mean training Pass@1 of the last rounds."""
        return self.train[:, -last:].mean(axis=1)

    def mean_train(self) -> np.ndarray:
        """float64 [S], mean training Pass@1 over all rounds: how soon it is learnt, also where every run is learnt."""
        return self.train.mean(axis=1)

    def final_test(self) -> np.ndarray:
        """float64 [S], test Pass@1 after the last round; NaN where it was not measured."""
        return self.test[:, -1] if self.evaluated.size else np.full(self.train.shape[0], np.nan)

    def gain(self) -> np.ndarray:
        """float64 [S], test Pass@1 after the last round less that before the first."""
        return self.final_test() - (self.test[:, 0] if self.evaluated.size else np.nan)

    def test_after(self, pulls: float) -> np.ndarray:
        """float64 [S], test Pass@1 once so many responses were generated, on the line between the evaluations around;
        NaN where the run has not so many."""
        rounds = pulls / self.pulls
        if not self.evaluated.size or rounds > self.evaluated[-1]:
            return np.full(self.train.shape[0], np.nan)
        return np.array([np.interp(rounds, self.evaluated, of_seed) for of_seed in self.test])

    def rounds_to_half(self) -> np.ndarray:
        """float64 [S], log2 of the first round with a training Pass@1 of one half or more; of the run's length where
        there is none."""
        reached = self.train >= 0.5
        first = np.where(reached.any(axis=1), reached.argmax(axis=1), self.train.shape[1])
        return np.log2(np.maximum(first, 1))

    def largest_drop(self) -> np.ndarray:
        """float64 [S], of test Pass@1 from a running maximum."""
        if not self.evaluated.size:
            return np.full(self.train.shape[0], np.nan)
        return (np.maximum.accumulate(self.test, axis=1) - self.test).max(axis=1)

    def largest_training_drop(self) -> np.ndarray:
        """float64 [S], of training Pass@1 from a running maximum; for curves that are exact, as those of tables."""
        return (np.maximum.accumulate(self.train, axis=1) - self.train).max(axis=1)

    def below_half(self) -> np.ndarray:
        """float64 [S], share of the rounds in which test Pass@1 is below half of its running maximum, each evaluation
        standing for the rounds since the one before; NaN where it was not measured."""
        if self.evaluated.size < 2:
            return np.full(self.train.shape[0], np.nan)
        below = self.test < np.maximum.accumulate(self.test, axis=1) / 2
        rounds = np.diff(self.evaluated)
        return below[:, 1:] @ rounds / rounds.sum()

    def generalised(self) -> np.ndarray:
        """bool [S]: test Pass@1 ends above its start by two standard errors of the evaluations."""
        return self.gain() > 2 * np.sqrt(2 * self.noise)

    def collapsed(self) -> np.ndarray:
        """bool [S]: test Pass@1 ends below its start by two standard errors of the evaluations."""
        return self.gain() < -2 * np.sqrt(2 * self.noise)

    def learnt(self, level: float = 0.5) -> np.ndarray:
        """bool [S]: training Pass@1 ends above a level."""
        return self.final_train() > level

    def diversity(self) -> np.ndarray:
        """float64 [S], the effective number of correct arms after the last round; NaN where it is not known."""
        return np.full(self.train.shape[0], np.nan) if self.correct_arms is None else self.correct_arms

    def evaluation_variance(self) -> float:
        """Variance of a final test Pass@1 that its evaluation alone makes.

        Of two crossed factors, seed and test question: what is left of each share of right responses without its seed's
        mean and its question's, over the questions. All seeds answer the same questions, so that what these differ by
        is no part of it, as it is of the binomial `noise`, which stands in where single questions are not known.
        """
        if self.right is None:
            return self.noise
        seeds, questions = self.right.shape
        left = self.right - self.right.mean(axis=0) - self.right.mean(axis=1, keepdims=True) + self.right.mean()
        return float((left**2).sum() / ((seeds - 1) * (questions - 1)) / questions)

    def seed_variance(self) -> float:
        """Variance over seeds of the final test Pass@1 without that of its evaluation; unbiased, and so at times below
        0."""
        return float(self.final_test().var(ddof=1)) - self.evaluation_variance()


Statistic = Callable[[Outcome], np.ndarray]  # a number of each seed; bool where it says of a seed that something holds
Shares = Mapping[str, Mapping[str, Mapping[str, tuple[int, int]]]]  # stratum -> condition -> unit -> (seeds, of seeds)


class Results:
    """The outcomes of a tier's runs, by setting and unit.

    Args:
        found: (setting, unit) -> outcome.
        levels: of the tier.
    """

    def __init__(self, found: Mapping[tuple[Setting, str], Outcome], levels: Levels) -> None:
        self._found, self._levels = dict(found), levels

    def every(self) -> list[Outcome]:
        """All outcomes, in the order of the plan."""
        return list(self._found.values())

    def strata(self, experiment: Experiment) -> dict[str, dict[str, Any]]:
        """label -> fields of `Setting`, of the combinations of the experiment's strata."""
        return {
            ", ".join(f"{name} {value}" for name, value in fields.items()) or "all": fields
            for fields in combined(self._levels, experiment.strata)
        }

    def outcomes(self, experiment: Experiment, condition: str, stratum: Mapping[str, Any]) -> dict[str, Outcome]:
        """unit -> outcome of a condition, over all pooled levels; empty where the tier has no unit for it."""
        settings = {
            experiment.setting(condition, {**pool, **stratum}) for pool in combined(self._levels, experiment.pooled)
        }
        return {unit: outcome for (setting, unit), outcome in self._found.items() if setting in settings}

    def cells(self, experiment: Experiment, condition: str, stratum: Mapping[str, Any]) -> dict[str, str]:
        """unit -> the pooled levels that it is of, in words, such as base model and task; units as of `outcomes`."""
        found = {}
        for pool in combined(self._levels, experiment.pooled):
            setting = experiment.setting(condition, {**pool, **stratum})
            named = ", ".join(str(value) for value in pool.values())
            found |= {unit: named for one, unit in self._found if one == setting}
        return found

    def shares(self, experiment: Experiment, statistic: Statistic) -> dict[str, dict[str, dict[str, tuple[int, int]]]]:
        """By stratum, condition and unit, how many seeds have a statistic of 1 rather than 0, and how many there are.

        Unit by unit, because the seeds of one question say nothing of another.
        """
        found: dict[str, dict[str, dict[str, tuple[int, int]]]] = {}
        for label, stratum in self.strata(experiment).items():
            for condition in experiment.conditions:
                outcomes = self.outcomes(experiment, condition, stratum)
                if outcomes:
                    counts = {unit: np.asarray(statistic(one)) for unit, one in outcomes.items()}
                    found.setdefault(label, {})[condition] = {
                        unit: (int(seeds.sum()), seeds.size) for unit, seeds in counts.items()
                    }
        return found

    def values(
        self, experiment: Experiment, condition: str, stratum: Mapping[str, Any], statistic: Statistic
    ) -> np.ndarray:
        """float64, one number per unit: the mean over its seeds that have one. With a single unit, its seeds are the
        units."""
        found = self.outcomes(experiment, condition, stratum)
        return _by_unit([np.asarray(statistic(one), np.float64) for one in found.values()])

    def level(self, experiment: Experiment, condition: str, statistic: Statistic) -> dict[str, Effect]:
        """By stratum, the mean of a statistic; strata that the tier has no unit for are left out."""
        found = {}
        for label, stratum in self.strata(experiment).items():
            values = self.values(experiment, condition, stratum, statistic)
            if np.isfinite(values).any():
                outcomes = self.outcomes(experiment, condition, stratum)
                counted = len(outcomes) == 1 and _is_share(statistic, outcomes)
                found[label] = share(values) if counted else mean_effect(values, _bounds(statistic, outcomes))
        return found

    def paired(self, experiment: Experiment, condition: str, control: str, statistic: Statistic) -> dict[str, Effect]:
        """By stratum, the mean of condition minus control on the same unit with the same seeds."""
        found = {}
        for label, stratum in self.strata(experiment).items():
            left, right = (self.outcomes(experiment, name, stratum) for name in (condition, control))
            both = [
                (np.asarray(statistic(left[unit]), np.float64), np.asarray(statistic(right[unit]), np.float64))
                for unit in left
                if unit in right
            ]
            values = _by_unit([one - other for one, other in both])
            if not np.isfinite(values).any():
                continue
            if len(both) == 1 and _is_share(statistic, left):
                found[label] = share_difference(*both[0], paired=True)
            else:
                low, high = _bounds(statistic, left)
                found[label] = mean_effect(values, (low - high, high - low))
        return found

    def apart(self, experiment: Experiment, condition: str, control: str, statistic: Statistic) -> dict[str, Effect]:
        """By stratum, the mean of condition less that of control, whose units are different ones."""
        found = {}
        for label, stratum in self.strata(experiment).items():
            left, right = (self.values(experiment, name, stratum, statistic) for name in (condition, control))
            if not (np.isfinite(left).any() and np.isfinite(right).any()):
                continue
            both = [self.outcomes(experiment, name, stratum) for name in (condition, control)]
            if all(len(side) == 1 for side in both) and _is_share(statistic, both[0]):
                found[label] = share_difference(left, right, paired=False)
            else:
                found[label] = difference(left, right, _bounds(statistic, both[0]))
        return found


def _is_share(statistic: Statistic, outcomes: Mapping[str, Outcome]) -> bool:
    """Whether a statistic says of a seed that something holds, or not, so that its mean is a share of seeds."""
    return all(np.asarray(statistic(one)).dtype == np.bool_ for one in outcomes.values())


def _bounds(statistic: Statistic, outcomes: Mapping[str, Outcome]) -> tuple[float, float]:
    """Between what numbers a statistic of a seed lies."""
    if _is_share(statistic, outcomes):
        return 0.0, 1.0
    if getattr(Outcome, getattr(statistic, "__name__", ""), None) is not statistic:
        return -np.inf, np.inf
    return _BOUNDS.get(statistic.__name__, (-np.inf, np.inf))


def _by_unit(values: Sequence[np.ndarray]) -> np.ndarray:
    if len(values) == 1:
        return values[0]
    known = [of_seeds[np.isfinite(of_seeds)] for of_seeds in values]
    return np.array([of_seeds.mean() if of_seeds.size else np.nan for of_seeds in known])
