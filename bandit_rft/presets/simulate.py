"""Run a simulation into its run folder, and hold it against the theory that applies to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bandit_rft import by_name, theory
from bandit_rft.errors import RowCapacityError
from bandit_rft.history import History
from bandit_rft.known_theory import bounds_of, exact_laws
from bandit_rft.loop import Progress
from bandit_rft.loop import run as run_loop
from bandit_rft.loop.one_round import bound_of
from bandit_rft.presets.config import Simulation
from bandit_rft.regret import band
from bandit_rft.runs import HISTORY, RunFolder, now
from bandit_rft.verdict import Verdict, compare

PARTIAL = "history.partial.npz"  # what was simulated before the row capacity was exceeded


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a simulation gave.

    Attributes:
        config: what was asked.
        history: the runs.
        prediction: the theory that applies, or None; why_not: then why.
        verdict: of the runs against the prediction, or None.
        bounds: the bounds that apply, each with the verdict on it.
    """

    config: Simulation
    history: History
    prediction: theory.Prediction | None
    why_not: str
    verdict: Verdict | None
    bounds: tuple[tuple[theory.Bound, Verdict], ...] = ()

    @property
    def regret_known(self) -> bool:
        """Whether the arm set knows its means; one of the user's own need not."""
        return self.history.best_mean is not None and self.history.pulled_mean is not None

    def summary(self) -> str:
        """A few lines of numbers: final regret with its band over seeds, final Pass@1, the verdict."""
        history = self.history
        pulls = history.rounds * history.rollouts
        value = np.where(np.isnan(history.value), history.rewards.mean(axis=2), history.value)
        regret = history.regret() if self.regret_known else np.zeros_like(value)
        if not self.regret_known:
            final = "unknown, since the arm set does not know its means"
        elif history.seeds > 1:
            over = band(regret[:, -1:])
            low, high = over.low[0], over.high[0]
            final = f"{over.mean[0]:.4f}, 95% band of the mean over {history.seeds} seeds {low:.4f} to {high:.4f}"
        else:
            final = f"{regret[0, -1]:.4f} (one seed)"
        lines = [
            f"{self.config.name}: {history.rounds} rounds of {history.rollouts} pull{'s'[: history.rollouts > 1]}, "
            f"{history.seeds} seed{'s'[: history.seeds > 1]}",
            f"final regret {final} (of {pulls} pulls)",
            f"final Pass@1 {value[:, -1].mean():.4f}, from {value[:, 0].mean():.4g}",
        ]
        if self.prediction is not None and self.verdict is not None:
            predicted = (
                f"predicted final regret {self.prediction.regret[-1]:.4f}, Pass@1 {self.prediction.value[-1]:.4f}"
            )
            lines += [predicted, self.verdict.report()]
        elif not self.bounds:
            lines.append(f"no prediction: {self.why_not}")
        for bound, verdict in self.bounds:
            lines += [bound.report(), verdict.report()]
        return "\n".join(lines)


def simulate(config: Simulation, out: str | Path, *, progress: Progress | None = None) -> Outcome:
    """Run the configuration, and write config.json, history.npz and manifest.json to its run folder.

    Raises:
        InputError: arms, learner or counts that are refused, or a folder that holds a different run.
        RowCapacityError: row_capacity was exceeded; the rounds before are in history.partial.npz.
    """
    arms, learner = config.make_arms(), config.make_learner()
    # What can be refused at once is refused before a folder is made.
    bound_of(learner, arms, config.rounds, config.row_capacity)
    prediction, why_not = predict(config)
    limits = bounds(config)
    overflow = None
    # Held while the run goes on: a folder that cannot be had is known before a round is run.
    with RunFolder.claim(out, config.to_json()) as folder:
        folder.write_manifest(started=now(), finished=None, key=config.key)
        try:
            history = run_loop(
                arms,
                learner,
                config.rounds,
                seeds=config.seeds,
                key=config.key,
                row_capacity=config.row_capacity,
                progress=progress,
            )
            history.save(folder.path / HISTORY)
        except RowCapacityError as error:
            history = error.history
            if not isinstance(history, History) or history.rounds == 0:
                raise
            history.save(folder.path / PARTIAL)  # the rounds before, beside where the whole history would be
            overflow = error
        folder.amend_manifest(finished=now())
    if overflow is not None:
        raise overflow
    known = history.best_mean is not None and history.pulled_mean is not None
    return Outcome(
        config=config,
        history=history,
        prediction=prediction,
        why_not=why_not,
        verdict=compare(history, prediction) if prediction is not None else None,
        bounds=tuple((bound, compare(history, bound)) for bound in limits) if known else (),
    )


def predict(config: Simulation) -> tuple[theory.Prediction | None, str]:
    """(the exact prediction that applies to a simulation, or None; then why none does)."""
    arms, learner = config.make_arms(), config.make_learner()
    own = _own_code(config)
    if own:
        return None, f"the catalogue knows no law of {own}"
    found, why_not = exact_laws(arms, learner, config.rounds)
    return (found[0], "") if found else (None, why_not)


def bounds(config: Simulation) -> tuple[theory.Bound, ...]:
    """The bounds of the catalogue that apply to a simulation."""
    return () if _own_code(config) else bounds_of(config.make_arms(), config.make_learner(), config.rounds)


def _own_code(config: Simulation) -> str:
    """The user's own arm set or learner by its name; empty where both are the package's."""
    return next((name for name in (config.arms["type"], config.learner["type"]) if by_name.is_own(name)), "")
