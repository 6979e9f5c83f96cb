"""What a run leaves behind: one record type for simulations and for real fine-tuning runs."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft import notebook
from bandit_rft.errors import DAMAGED_ARRAYS, InputError, UnknownOptimumError


@dataclass(frozen=True, kw_only=True)
class History:
    """The course of S seeds over T rounds of G pulls each.

    Attributes:
        rewards: float64 [S, T, G], as the arm set gave them.
        value: float64 [S, T], the policy's exact expected reward before each update (Pass@1). Where the learner has no
            closed form it is the true mean of the arms pulled (averaged over the round); NaN where no true mean is
            known.
        pulled_mean: float64 [S, T, G] true means of the arms pulled, or None where they are unknown (an LLM's
            verifier).
        best_mean: the best arm's mean; float64 [S, T] where it differs by seed or round; None where it is unknown.
        metrics: name -> float64 [S, T], what the learner logged after each update.
        evaluations: measurements made between rounds, as plain records ({"round": …, "split": …, "pass_at_1": …}).
        notes: sentences that whoever reads the numbers must know.
        config: the call that made this history, in plain JSON values.
        final_state: the learners' states after the last round (leading axis S where seeds are computed together; else a
            tuple of S states, or the one seed's own), or None when loaded from a file.
        tree: the arrays of the tree of responses that was measured before the run (`theory.TreeSample`), or None.

    Example:
        >>> from bandit_rft import arms, learners, run
        >>> table = arms.Needle(log10_arms=2, p0=0.1)
        >>> history = run(table, learners.SoftmaxPolicyGradient(step_size=0.5), rounds=50, seeds=8, key=0)
        >>> history.seeds, history.rounds, history.rollouts, history.regret().shape
        (8, 50, 1, (8, 50))
    """

    rewards: np.ndarray
    value: np.ndarray
    pulled_mean: np.ndarray | None
    best_mean: float | np.ndarray | None
    metrics: Mapping[str, np.ndarray] = field(default_factory=dict)
    evaluations: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    final_state: Any = None
    tree: Mapping[str, np.ndarray] | None = None

    def __repr__(self) -> str:
        return notebook.line("History", [self._what(), *(f"{name} {value}" for name, value in self._numbers().items())])

    def _repr_html_(self) -> str:
        value = np.where(np.isnan(self.value), self.rewards.mean(axis=2), self.value)
        curves = [("mean reward, over seeds", value.mean(axis=0))]
        return notebook.html(f"History: {self._what()}", curves, self._numbers() | dict(enumerate(self.notes, 1)))

    def _what(self) -> str:
        """Learner, arms and size, as a line says them."""
        types = [self.config.get(side) for side in ("learner", "arms")]
        named = [str(one.get("type")) for one in types if isinstance(one, Mapping) and one.get("type")]
        size = f"{self.seeds} seed{'s'[: self.seeds > 1]}, {self.rounds} round{'s'[: self.rounds > 1]}"
        size += f", {self.rollouts} rollouts per round" if self.rollouts > 1 else ""
        return f"{' on '.join(named)}, {size}" if named else size

    def _numbers(self) -> dict[str, str]:
        known = bool(np.isfinite(self.value).all())
        numbers = {"mean reward": f"{self.rewards.mean():.4g}"}
        if known:
            numbers["Pass@1 in the last round"] = f"{self.value[:, -1].mean():.4g}"
        if self.best_mean is not None and self.pulled_mean is not None:
            numbers["final regret"] = f"{self.regret()[:, -1].mean():.4g}"
        return numbers

    @property
    def seeds(self) -> int:
        return self.rewards.shape[0]

    @property
    def rounds(self) -> int:
        return self.rewards.shape[1]

    @property
    def rollouts(self) -> int:
        return self.rewards.shape[2]

    @property
    def pulls(self) -> np.ndarray | int:
        """Pulls of each round, all draws of groups that were drawn again included: G, or float64 [S, T]."""
        return self.metrics.get("pulls", self.rollouts)

    def regret(self, kind: str = "pseudo") -> np.ndarray:
        """Cumulative regret, float64 [S, T]; every one of the round's G pulls counts. Of groups that were drawn again
        only the last draw's arms and rewards are kept, so that "pseudo" alone counts all.

        Args:
            kind: "pseudo": Σ G (best mean − value), the policy's own expected loss given the past, never negative;
                "pulled": Σ (best mean − mean of the arm pulled), the textbook pseudo-regret of the arms actually pulled
                (same expectation, more variance), never negative;
                "realised": Σ (best mean − reward), which reward noise can drive below zero.

        Raises:
            UnknownOptimumError: the best mean is unknown.
            InputError: another kind, or one that reads pulls that were not kept.
        """
        if kind in ("pulled", "realised") and "pulls" in self.metrics:
            raise InputError(
                f"Regret kind {kind!r} reads every pull, and groups that were drawn again are not kept: use pseudo."
            )
        if self.best_mean is None or self.pulled_mean is None:
            raise UnknownOptimumError(
                "The best arm's mean is unknown for this arm set: report rewards and Pass@1 instead of regret."
            )
        best = np.broadcast_to(self.best_mean, self.value.shape)
        if kind == "pseudo":
            loss = self.pulls * np.maximum(best - self.value, 0.0)
        elif kind == "pulled":
            loss = np.maximum(best[..., None] - self.pulled_mean, 0.0).sum(axis=-1)
        elif kind == "realised":
            loss = (best[..., None] - self.rewards).sum(axis=-1)
        else:
            raise InputError(f"Regret kind {kind!r} is unknown: choose pseudo, pulled or realised.")
        return np.cumsum(loss, axis=1, dtype=np.float64)

    def save(self, path: str | Path) -> None:
        """Write the history as one .npz (no pickle), atomically; `final_state` is left out (checkpoints keep
        states). Raises InputError where there is no room or no access.
        """
        path = Path(path)
        header = {
            "best_mean": None if isinstance(self.best_mean, np.ndarray) else self.best_mean,
            "notes": list(self.notes),
            "evaluations": list(self.evaluations),
            "config": dict(self.config),
            "metrics": sorted(self.metrics),
        }
        arrays: dict[str, Any] = {"rewards": self.rewards, "value": self.value}
        if self.pulled_mean is not None:
            arrays["pulled_mean"] = self.pulled_mean
        if isinstance(self.best_mean, np.ndarray):
            arrays["best_mean"] = self.best_mean
        arrays |= {f"metric/{name}": values for name, values in self.metrics.items()}
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        # A run folder removes what a process killed here leaves, by this name.
        partial = path.with_name(f".{path.name}.partial")
        try:
            with partial.open("wb") as file:
                np.savez_compressed(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            if isinstance(error, OSError):
                raise InputError(
                    f"{path} cannot be written ({error.strerror or error}): make room, or give another place."
                ) from error
            raise

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read what `save` wrote. Raises InputError where the file is missing or is not a saved history."""
        try:
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(file["header"].tobytes())
                found = cls(
                    rewards=file["rewards"],
                    value=file["value"],
                    pulled_mean=file.get("pulled_mean"),
                    best_mean=file["best_mean"] if "best_mean" in file else header["best_mean"],
                    notes=tuple(header.get("notes", ())),
                    metrics={name: file[f"metric/{name}"] for name in header["metrics"]},
                    evaluations=tuple(header["evaluations"]),
                    config=header["config"],
                )
            shape = found.rewards.shape
            curves = {"value": found.value, **found.metrics}
            if len(shape) != 3 or 0 in shape or any(curve.shape != shape[:2] for curve in curves.values()):
                raise ValueError("arrays of other shapes")
            return found
        except DAMAGED_ARRAYS as error:
            raise InputError(
                f"{path} is not a saved history ({type(error).__name__}): name a history.npz of a run folder."
            ) from error
