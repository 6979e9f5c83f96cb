"""Which law a fine-tuning run gets, why, from which p0, kappa and step size, and with what caveats.

    found = law_of(read_history("runs/minimalist"))
    found.prediction.value       Pass@1 by round, or found.reason where no law applies

`bandit-rft predict`, the summary that `finetune` prints, the report and every figure of a run ask this one function, so
they cannot contradict each other. The law itself is chosen by `theory.predict` from p0 and kappa alone.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import fminbound

from bandit_rft import signals, theory
from bandit_rft.errors import InputError, NoLawError
from bandit_rft.history import History
from bandit_rft.theory.compared import mean_curve_time
from bandit_rft.theory.forests import ForestSample, sample_of
from bandit_rft.theory.half_time import HalfTime, half_time
from bandit_rft.theory.laws.jump_law import JumpLaw
from bandit_rft.theory.laws.tree_law import TreeJumpLaw
from bandit_rft.theory.laws.tree_rounds_law import TreeRoundsLaw
from bandit_rft.theory.many_arms.waiting import wait_in_words
from bandit_rft.theory.sampled_tree import TreeSample

BAND = 0.8  # share of runs that a drawn band holds
FIT_SHARE = 0.2  # of the rounds, the first ones, on which kappa is fitted where it was not measured
_LOG_GAIN = (-14.0, 5.0)  # logit gain per success, searched between e^-14 and e^5

# Settings of a fine-tuning run that change its mean update, at the values that leave it as the laws have it.
PLAIN: Mapping[str, Any] = {
    "reward_right": 1.0,
    "reward_wrong": 0.0,
    "replay": 0,
    "schedule": "constant",
    "warmup_rounds": 0,
    "reward_kl_coefficient": 0.0,
    "entropy_coefficient": 0.0,
    "mini_batches": 1,
}
# What a round draws and makes of its rewards beside signal and rollouts, by the laws' name for it: the config's name,
# and the value of runs that do not name it.
ROUND: Mapping[str, tuple[str, Any]] = {
    "extra_rollouts": ("baseline_rollouts", 0),
    "k": ("signal_k", None),
    "window": ("window", None),
    "normalise": ("normalise", "group"),
    "dynamic_sampling": ("dynamic_sampling", 0),
}
ADAM = {"beta1": 0.9, "beta2": 0.999, "adam_eps": 1e-8}
CLIP = 0.2  # of runs that do not name it
# The standard deviation of GRPO's signal in runs that do not name it.
GRPO = {"ddof": 1, "eps": 1e-6}


@dataclass(frozen=True, kw_only=True)
class RunLaw:
    """The law of a fine-tuning run, or why there is none.

    Attributes:
        prediction: of Pass@1 before each round's update and after the last (rounds + 1 values); None without a law.
        reason: why no law applies, one sentence; empty where one does.
        successes, responses: behind p0: those of the measurement and of the evaluation before the run, together.
        kappa: in logits per unit of step size; NaN where unknown.
        kappa_standard_error: of a measured kappa; NaN where unknown.
        step_size: of the run's updates.
        caveats: what the run does otherwise than the law assumes, and that does not rule it out.
        fitted_on: rounds at the run's start that kappa was fitted on; 0 where it was measured before the run.
        fallback: where kappa was not measured, the law with kappa fitted on the first rounds: no prediction of those.
        tree: of the responses measured before the run, where it was; its law then stands before that of p0 and kappa.
        sample: those responses.
        delay: rounds that the run learns late.
    """

    prediction: theory.Prediction | None = None
    reason: str = ""
    successes: int = 0
    responses: int = 0
    kappa: float = math.nan
    kappa_standard_error: float = math.nan
    step_size: float = math.nan
    caveats: tuple[str, ...] = ()
    fitted_on: int = 0
    fallback: RunLaw | None = None
    tree: theory.ResponseTree | None = None
    sample: TreeSample | ForestSample | None = None
    delay: int = 0
    _arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def shown(self) -> RunLaw | None:
        """The law that is drawn: this one, else its fallback, else None."""
        return self if self.prediction is not None else self.fallback

    @property
    def by_tree(self) -> bool:
        """Whether the law is that of the tree."""
        return self.prediction is not None and self.prediction.name.startswith("tree_")

    @property
    def p0(self) -> float:
        """The Pass@1 that the law starts from."""
        if self.by_tree and self.tree is not None:
            return self.tree.p0
        return self.successes / self.responses if self.responses else math.nan

    def at(self, rounds: int, kappa: float | None = None) -> theory.Prediction:
        """The same law over other rounds, or with another kappa.

        Raises:
            NoLawError: there is no law.
        """
        if self.prediction is None:
            raise NoLawError(self.reason)
        return theory.predict(self._summary(kappa), step_size=self.step_size, rounds=rounds, **self._arguments)

    def _summary(self, kappa: float | None = None) -> theory.Summary:
        kappa = self.kappa if kappa is None else kappa
        error = self.kappa_standard_error
        return theory.Summary(
            log_p0=math.log(self.successes / self.responses),
            kappa=kappa,
            kappa_standard_error=error if math.isfinite(error) else math.inf,
            tree=self.tree,
            delay=self.delay,
            sample=self.sample,
            responses=self.responses,
        )

    def half_times(self, level: float = 0.5) -> dict[str, float]:
        """Rounds until the mean Pass@1 is at the level, by each law that applies (`theory.times_to`); empty where none
        does, or the run starts above the level.
        """
        if self.prediction is None or self._summary().p0 >= level:
            return {}
        law, given = self.prediction.law, self._arguments
        # The laws of p0 and kappa know neither of several questions nor of a KL term.
        if isinstance(law, (TreeJumpLaw, TreeRoundsLaw)) and (given["questions"] or given["kl_coefficient"]):
            return {"tree": mean_curve_time(law, level)}
        if given["optimizer"] != "sgd" or given["epochs"] != 1:
            return {}
        used = ("signal", "rollouts", "ddof", "eps", "window", "dynamic_sampling", "extra_rollouts", "k")
        settings = {name: given[name] for name in used if name in given}
        return theory.times_to(self._summary(), step_size=self.step_size, level=level, **settings)

    @functools.cached_property
    def half_time(self) -> HalfTime | None:
        """Rounds to Pass@1 = 1/2 by the tree law, with the error of the measurement and the spread over seeds; None
        where the law is another one or the run starts above. It takes some seconds.
        """
        law = None if self.prediction is None else self.prediction.law
        if self.sample is None or not isinstance(law, (TreeJumpLaw, TreeRoundsLaw)):
            return None
        return half_time(law, self.sample, coverage=BAND)

    @property
    def rounds_shown(self) -> np.ndarray:
        """The rounds, int64 [N], of the prediction's values."""
        assert self.prediction is not None
        return np.arange(self.prediction.rounds) if self.prediction.at is None else self.prediction.at

    @property
    def band(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(low, high), float64 [N]: `BAND` of runs lie between; None where only the mean is known."""
        if self.prediction is None or self.prediction.law is None:
            return None
        return self.prediction.value_band(BAND)

    def sentence(self) -> str:
        """The law with its numbers and where they come from; or why there is none, and what there is instead."""
        if self.prediction is None:
            instead = f" Instead: {self.fallback.sentence()}" if self.fallback else ""
            return f"No law applies: {self.reason}{instead}"
        if self.by_tree and self.tree is not None:
            return (
                f"{self.prediction.why} p0 = {self.p0:.4f} by the tree ({self.successes} of {self.responses} "
                f"responses before the run), kappa = {self.tree.kappa:.4g} at the start, {self.tree.decisions:.1f} "
                f"decisions in a correct response, step size {self.step_size:.4g}."
            )
        error = f" ± {self.kappa_standard_error:.2g}" if math.isfinite(self.kappa_standard_error) else ""
        source = f"fitted on the first {self.fitted_on} rounds" if self.fitted_on else "measured before the run"
        return (
            f"{self.prediction.why} p0 = {self.p0:.4f} ({self.successes} of {self.responses} responses before the "
            f"run), kappa = {self.kappa:.4g}{error} ({source}), step size {self.step_size:.4g}."
        )


def law_of(history: History) -> RunLaw:
    """The law of a fine-tuning run, of one seed or of many, finished or not.

    Args:
        history: with the run's config.json as its `config`, and its evaluations.
    """
    config, measured = history.config, _measurement(history.config)
    try:
        sample, tree = _tree(history)
        refuse(config, tree)
        if _several(config) and not isinstance(sample, ForestSample):
            raise NoLawError("The tree that was measured is of one question, and the run has several: measure anew.")
        successes, responses = _start(measured, history.evaluations)
        step_size = _step_size(config)
        if not measured:
            why = "kappa was not measured before the run: run with --measure or --step-over-kappa."
            if config.get("lora_rank") is not None:
                why = "The run trains adapters, and kappa is that of all weights: run without --lora-rank for a law."
            return RunLaw(reason=why, fallback=_fitted(history, successes, responses, step_size))
        kappa = measured.get("kappa")
        if tree is not None and not (kappa is not None and kappa > 0):
            kappa = tree.kappa  # too few successes or failures for an unbiased estimate; the tree has its own
        if kappa is None or not kappa > 0:
            raise InputError(
                f"kappa could not be measured before the run (estimate {kappa}): raise --measure-rollouts, or choose "
                "another question."
            )
        error = measured.get("kappa_standard_error")
        error = math.nan if error is None else float(error)
        found = _predicted(config, successes, responses, float(kappa), error, step_size, tree=tree, sample=sample)
        never = _never_right(sample) if isinstance(sample, ForestSample) else ()
        return dataclasses.replace(found, caveats=(*found.caveats, *never))
    except InputError as refused:
        return RunLaw(reason=str(refused))


def _predicted(
    config: Mapping[str, Any],
    successes: int,
    responses: int,
    kappa: float,
    error: float,
    step_size: float,
    fitted_on: int = 0,
    tree: theory.ResponseTree | None = None,
    sample: TreeSample | ForestSample | None = None,
) -> RunLaw:
    """Raises NoLawError where `theory.predict` has no law for the signal."""
    found = RunLaw(
        prediction=_UNKNOWN,
        successes=successes,
        responses=responses,
        kappa=kappa,
        kappa_standard_error=error,
        step_size=step_size,
        fitted_on=fitted_on,
        tree=tree,
        sample=sample,
        delay=int(config.get("delay") or 0),
        _arguments={
            "optimizer": "adam" if config["optimizer"] == "adamw" else config["optimizer"],
            "adam": tuple(config.get(name, value) for name, value in ADAM.items()),
            "kl_coefficient": 0.0 if _kl_averages_out(config) else config["kl_coefficient"],
            "epochs": config["epochs"],
            "signal": config["signal"],
            "rollouts": config["rollouts"],
            "questions": int(config.get("prompts_per_round") or 1) if _several(config) else 0,
            **{name: config.get(name, value) for name, value in GRPO.items()},
            **{name: config.get(given, value) for name, (given, value) in ROUND.items()},
        },
    )
    prediction = found.at(config["rounds"] + 1)
    found = dataclasses.replace(found, prediction=prediction)
    return dataclasses.replace(found, caveats=(*left_out(config, found.by_tree), *prediction.flags))


def _fitted(history: History, successes: int, responses: int, step_size: float) -> RunLaw | None:
    """The jump chain with kappa fitted on the first rounds; None where it is not the run's, or no success shows it."""
    config = history.config
    first = history.rewards[:, : max(1, round(FIT_SHARE * config["rounds"])), 0]
    alone = (config["rollouts"], config.get("baseline_rollouts", 0), config.get("window")) == (1, 0, None)
    times = signals.of_one(config["signal"], config.get("eps", GRPO["eps"]))
    if not (alone and times and first.any()):
        return None
    kappa = fit_gain(successes / responses, first) / (times * step_size)
    return _predicted(config, successes, responses, kappa, math.nan, step_size, first.shape[1])


# Stands for the prediction while it is made.
_UNKNOWN = theory.Prediction(name="", value=np.zeros(1), regret=np.zeros(1))


def _tree(history: History) -> tuple[TreeSample | ForestSample, theory.ResponseTree] | tuple[None, None]:
    """The responses measured before the run and their tree; None where there are none, or no decision in it."""
    if history.tree is None:
        return None, None
    try:
        sample = sample_of(history.tree)
        return sample, sample.tree()
    except InputError:
        return None, None


def refuse(config: Mapping[str, Any], tree: theory.ResponseTree | None = None) -> None:
    """Raises NoLawError where the run's update is none that a law of a single prompt describes."""
    if _several(config) and tree is None:
        raise NoLawError(
            "The run draws from several questions, whose law is that of the trees of their responses: run with "
            "--measure, or with one --index."
        )
    for name, plain in PLAIN.items():
        if config.get(name, plain) != plain:
            raise NoLawError(
                f"The run has {name} = {config[name]}, of which no law of a single prompt knows: run without "
                f"--{name.replace('_', '-')}."
            )
    adam = config["optimizer"] == "adamw" and tree is not None and tree.coordinates is not None
    if config["optimizer"] != "sgd" and not adam:
        raise NoLawError(
            f"The run's optimiser is {config['optimizer']}, which moves each weight by a scale of its own that p0 and "
            "kappa do not hold: run with --optimizer sgd for a law of the curve, or adamw with --measure and its tree."
        )
    if config["epochs"] != 1 and (config.get("clip", CLIP) is not None or tree is None):
        raise NoLawError(
            f"The run takes {config['epochs']} epochs per round, and the laws are of one, or of a measured tree "
            "without a clipped ratio: run with --epochs 1, or with --clip none and --measure."
        )
    if config.get("delay"):
        _refuse_late(config, tree)
    cap = config.get("truncated_importance")
    if cap is not None and cap < 1:
        raise NoLawError(
            f"The run holds the weight of every token at {cap:g}, where sampler and trainer agree too, and the laws "
            "are of weights of 1: run with --truncated-importance 1 or more."
        )
    if config["aggregation"] != "seq-mean-token-sum":
        raise NoLawError(
            f"The run's loss is averaged as {config['aggregation']}, and kappa is that of whole responses: run with "
            "--aggregation seq-mean-token-sum."
        )


def _refuse_late(config: Mapping[str, Any], tree: theory.ResponseTree | None) -> None:
    """Raises NoLawError where a run learns late otherwise than the law has it: from stale responses as they are."""
    late = f"The run learns {config['delay']} rounds late, and the law of that"
    if config.get("clip", CLIP) is not None or config.get("truncated_importance") is not None:
        raise NoLawError(
            f"{late} is of stale responses as they are, which a ratio corrects in part: run with --clip none and "
            "without --truncated-importance."
        )
    if config["optimizer"] != "sgd":
        raise NoLawError(f"{late} is of plain gradient steps: run with --optimizer sgd.")
    if config["epochs"] != 1:
        raise NoLawError(f"{late} is of one step a round: run with --epochs 1.")
    if tree is None:
        raise NoLawError(f"{late} is that of the tree of measured responses: run with --measure.")


def _several(config: Mapping[str, Any]) -> bool:
    return bool(config.get("indices")) or isinstance(config["index"], list)


def _never_right(sample: ForestSample) -> tuple[str, ...]:
    count = sum(not any(one.rewards) for one in sample.samples)
    of = len(sample.samples)
    return (f"no response to {count} of the {of} questions was right, and the law lets them stay so",) if count else ()


def _measurement(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config.get("resolved", {}).get("measurement") or {}


def _start(measured: Mapping[str, Any], evaluations: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """(successes, responses) before the run: two independent samples of the same Pass@1 say more than one."""
    first = next((e for e in evaluations if e["measured"] == "train" and e["round"] == 0), {})
    successes = int(measured.get("successes", 0)) + int(first.get("successes", 0))
    responses = int(measured.get("rollouts", 0)) + int(first.get("samples", 0))
    if not responses:
        raise InputError("p0 was not measured before the run: run with --measure, or with --train-samples above 0.")
    if not 0 < successes < responses:
        raise InputError(
            f"{successes} of {responses} responses before the run were right, and every law starts strictly between: "
            "measure with more responses, or choose another question."
            + ("" if successes else f" {wait_in_words(responses)}")
        )
    return successes, responses


def _step_size(config: Mapping[str, Any]) -> float:
    rate = config.get("resolved", {}).get("learning_rate")
    if rate is None or not rate > 0:
        raise InputError("config.json does not say which step size the run came to, so no law can be drawn.")
    return float(rate)


def fit_gain(p0: float, rewards: np.ndarray) -> float:
    """The logit gain per success (step size × kappa) of greatest likelihood for chains of one rollout a round from p0.

    Args:
        p0: Pass@1 at the start.
        rewards: 0 or 1, [T] of one run or [S, T] of independent ones.
    """
    right = np.atleast_2d(rewards) > 0.5
    before = np.cumsum(right, axis=1) - right

    def surprise(log_gain: float) -> float:
        logits = JumpLaw(p0=p0, gain=float(np.exp(log_gain)), exact=False).logits(int(before.max()) + 2)[before]
        return float(np.sum(np.logaddexp(0.0, np.where(right, -logits, logits))))

    # The likelihood is flat at both ends: a coarse search first, so that the fine one starts on the right slope.
    grid = np.linspace(*_LOG_GAIN, 96)
    best = int(np.argmin([surprise(value) for value in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
    return float(np.exp(fminbound(surprise, low, high)))


def _kl_averages_out(config: Mapping[str, Any]) -> bool:
    """Whether the gradient of the run's KL term is noise: that of k1 is zero in the mean, unless it is weighted."""
    return config.get("kl") == "k1" and not config.get("kl_weighted", False)


def no_plain_law(config: Mapping[str, Any]) -> str:
    """Why the run's update is not the mean of signal times score over groups drawn as they come, at one step size, one
    sentence; empty where it is. What the rewards of right and wrong responses are, and whether the run has several
    questions, is left open.
    """
    of_one = {"index": 0, "indices": None, "reward_right": 1.0, "reward_wrong": 0.0}
    try:
        refuse({**config, **of_one})
        for name, plain in ROUND.values():
            if config.get(name, plain) != plain:
                raise NoLawError(
                    f"The run has {name} = {config[name]}, which the law followed along a log leaves out: run without "
                    f"--{name.replace('_', '-')}, or ask bandit-rft predict."
                )
        if config["kl_coefficient"] and not _kl_averages_out(config):
            raise NoLawError(
                f"The run has kl_coefficient = {config['kl_coefficient']:g}, which the law followed along a log leaves "
                "out: run without --kl-coefficient, or ask bandit-rft predict."
            )
    except NoLawError as refused:
        return str(refused)
    except KeyError as missing:
        raise InputError(f"config.json of the run does not say its {missing}: restore it.") from None
    return ""


def left_out(config: Mapping[str, Any], by_tree: bool = True) -> list[str]:
    """What the run does otherwise than the laws assume, and that does not rule them out; a KL term is in the law of a
    tree alone.
    """
    found = []
    if config["kl_coefficient"] and _kl_averages_out(config):
        found.append("the run's KL term is k1, whose gradient is zero in the mean, and the law has none")
    elif config["kl_coefficient"] and by_tree:
        # Token by token: what a token does to the KL of those after it is in the law and not in the loss.
        other = config.get("kl", "k3") == "k3" and not config.get("kl_weighted", False)
        found.append(
            "the law's KL term is that of whole responses, KL(policy | start), and the run's is taken token by token"
            + (", where k3 descends KL(start | policy)" if other else "")
        )
    if config["optimizer"] == "adamw" and config.get("weight_decay"):
        found.append(f"the run's weights decay by {config['weight_decay']:g}, which the law leaves out")
    if config.get("gradient_clip") is not None:
        found.append(f"the run clips gradients at {config['gradient_clip']:g}, which the law leaves out")
    return found
