"""How a round moves a policy: the settings that laws of a round take, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from bandit_rft import arguments, signal_checks, signals
from bandit_rft.errors import InputError

__all__ = ["OPTIMIZERS", "UpdateSettings"]

OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True, kw_only=True)
class UpdateSettings:
    """What a round draws and how it moves the policy. Checked when it is made, and hashable: laws are kept by it.

    Attributes:
        step_size: η of plain gradient ascent, or Adam's learning rate, above 0; of the mean over a round's rollouts.
        signal: a name of `bandit_rft.signals`.
        rollouts: G, of a question and round, that are learned from.
        extra_rollouts: E more of each question, which enter the signal alone: that of all G + E.
        ddof, eps: of GRPO's standard deviation.
        k: of pass_at_k; None: all rollouts of a question.
        window: W, the newest scores of a question, this round's among them, that give mean and spread; None: this
            round's.
        normalise: whose standard deviation GRPO divides by: "group", a question's, or "batch", the whole round's.
        dynamic_sampling: how often a round draws a question's dead group again at most.
        optimizer: "sgd" or "adam". adam: β1, β2 and ε of Adam.
        kl_coefficient: β of a KL term to the start.
        delay: rounds from a response to its reward.
        epochs: steps on the responses of a round, without clipping.
        questions: B, of a forest, of which a round takes so many; 0: one question.

    Raises:
        InputError: an argument out of range, or two that do not go together.
    """

    step_size: float
    signal: str = "raw"
    rollouts: int = 1
    extra_rollouts: int = 0
    ddof: int = 1
    eps: float = 0.0
    k: int | None = None
    window: int | None = None
    normalise: str = "group"
    dynamic_sampling: int = 0
    optimizer: str = "sgd"
    adam: tuple[float, float, float] = (0.9, 0.999, 1e-8)
    kl_coefficient: float = 0.0
    delay: int = 0
    epochs: int = 1
    questions: int = 0

    def __post_init__(self) -> None:
        self._set("step_size", arguments.positive("step_size", self.step_size))
        self._set("rollouts", arguments.whole("rollouts", self.rollouts))
        if self.signal not in signals.NAMES:
            raise InputError(
                f"Signal {arguments.shown(self.signal)} is unknown: choose one of {', '.join(signals.NAMES)}."
            )
        if self.ddof not in (0, 1):
            raise InputError(f"ddof must be 0 (population) or 1 (sample standard deviation), but is {self.ddof!r}.")
        self._set("eps", arguments.at_least("eps", self.eps, 0.0))
        if self.optimizer not in OPTIMIZERS:
            raise InputError(f"optimizer is {arguments.shown(self.optimizer)}: choose one of {', '.join(OPTIMIZERS)}.")
        self._set("adam", _adam(self.adam, self.optimizer == "adam"))
        self._set("kl_coefficient", arguments.at_least("kl_coefficient", self.kl_coefficient, 0.0))
        for name, least in (("extra_rollouts", 0), ("delay", 0), ("epochs", 1), ("questions", 0)):
            self._set(name, arguments.whole(name, getattr(self, name), least))
        signal_checks.check_own_k(self.k, self.signal, self.group)
        signal_checks.check_window(self.window, self.signal, self.rollouts, self.extra_rollouts)
        signal_checks.check_normalise(self.normalise, self.signal, self.group, self.window)
        signal_checks.check_dynamic_sampling(self.dynamic_sampling, self.signal, self.group, self.window)

    @classmethod
    def among(cls, given: Mapping[str, Any], **more: Any) -> UpdateSettings:
        """The settings among a function's arguments (its `locals()`, on its first lines); `more` stands before them.

        Raises:
            InputError: as the class does.
        """
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in given.items() if name in names} | more)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def group(self) -> int:
        """Rollouts of a question and round, those for the baseline alone included."""
        return self.rollouts + self.extra_rollouts

    @property
    def learned(self) -> int:
        """Rollouts of a round that are learned from."""
        return self.rollouts * max(1, self.questions)

    @property
    def pulls(self) -> int:
        """Rollouts of a round, before a dead group is drawn again."""
        return self.group * max(1, self.questions)

    @property
    def of_one(self) -> float | None:
        """c where a group is of one and its signal is c times its own reward, 0 or 1; else None."""
        return signals.of_one(self.signal, self.eps) if self.group == 1 and self.window is None else None

    @property
    def compares(self) -> bool:
        """Whether a response's signal depends on other responses' rewards."""
        return self.signal not in ("raw", "psr", "signed", "nsr") and self.of_one is None

    @property
    def failures_teach(self) -> bool:
        """Whether a response of reward 0 may have a signal other than 0."""
        return self.signal not in signals.SUCCESSES_ONLY and self.of_one is None

    @property
    def by_successes(self) -> bool:
        """Whether a success alone moves the policy, by plain gradient steps on one rollout: a failure moves nothing."""
        plain = (self.group, self.optimizer, self.kl_coefficient, self.epochs, self.delay) == (1, "sgd", 0.0, 1, 0)
        return plain and not self.questions and bool(self.of_one)

    @property
    def success_step(self) -> float:
        """The step on the score of a success, where `by_successes`: grpo divides the reward of one by 1 + eps."""
        return self.step_size * (self.of_one or 0.0)

    def given(self) -> dict[str, Any]:
        """All of them by name, as `theory.tree_rounds` takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _adam(given: Any, used: bool) -> tuple[float, float, float]:
    numbers = arguments.numbers("adam", given)
    if numbers.shape != (3,) or not ((numbers >= 0).all() and (numbers[:2] < 1).all()):
        raise InputError("adam must hold beta1, beta2 (below 1) and eps, none of them negative.")
    single = numbers.astype(np.float32)  # Adam's moments are of single precision, as a model's are
    if used and not (single[2] >= np.finfo(np.float32).tiny and (single[:2] < 1).all()):
        raise InputError(
            f"adam is {tuple(map(float, numbers))}: in single precision its eps is 0 or a beta is 1, and the step of "
            "a weight without a gradient is 0/0. Give an eps above 1.2e-38 and betas below 1 - 6e-8."
        )
    return float(numbers[0]), float(numbers[1]), float(numbers[2])
