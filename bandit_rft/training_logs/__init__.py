"""Anybody's training log against the law: inside, outside and which assumption fell, or why nothing can be tested.

    from bandit_rft import verdict_on_log

    found = verdict_on_log("trainer_state.json", format="trl", rollouts=16)
    print(found.report())

Reading (`reading`, `columns`, `rows`, `intervals`) → a `TrainingLog` → the law followed along it (`groups`, `state`,
`following`), fitted (`fitting`) and held against the rest (`judge`, with `limits`), with a test of each assumption
(`assumptions`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bandit_rft import arguments, run_law
from bandit_rft.errors import InputError
from bandit_rft.runs import CONFIG, read_history
from bandit_rft.training_logs import reading
from bandit_rft.training_logs.assumptions import Assumption
from bandit_rft.training_logs.columns import read_log
from bandit_rft.training_logs.judge import Band, LogVerdict, judge
from bandit_rft.training_logs.log import TrainingLog

__all__ = ["EPS", "FORMATS", "Assumption", "Band", "LogVerdict", "TrainingLog", "judge", "read_log", "verdict_on_log"]

FORMATS = (*reading.FORMATS, "run")
# What each trainer adds to GRPO's standard deviation.
EPS = {"trl": 1e-4, "verl": 1e-6, "tunix": 1e-4, "csv": 1e-6}


def verdict_on_log(
    path: str | Path,
    *,
    format: str = "trl",
    signal: str | None = None,
    rollouts: int | None = None,
    prompts: int = 1,
    step_size: float | None = None,
    reward: str | None = None,
    step: str | None = None,
    eps: float | None = None,
    ddof: int = 1,
    seed: int | None = None,
    reward_right: float | None = None,
    reward_wrong: float | None = None,
    dynamic_sampling: bool = False,
) -> LogVerdict:
    """Fit κ on the first fifth of a training log and hold the rest against the law of its signal.

    Args:
        path: trainer_state.json of TRL; console output or JSON lines of verl; JSON lines or CSV of Tunix; any CSV
            (each also compressed by gzip); a TensorBoard event file or folder; a run folder of `bandit-rft finetune`.
        format: "trl", "verl", "tunix", "csv" or "run".
        signal: of `bandit_rft.signals`; None: "grpo", or that of the run folder.
        rollouts: G, responses to one prompt; None: the log's column "rollouts" (of a round), or the run folder's.
        prompts: B, of a round.
        step_size: η of plain steps, whose loss is a mean over responses and a sum over their tokens, so that κ can be
            told; None: κ η alone is (a run folder says its own).
        reward, step: names of columns; None: those of the format.
        eps, ddof: of GRPO's standard deviation; eps None: that of the trainer.
        seed: which run of a run folder of many; None: the first.
        reward_right, reward_wrong: what the log gives a right and a wrong response; None: 1 and 0.
        dynamic_sampling: whether groups of equal rewards were drawn anew until they differed, and the logged reward is
            of the groups that do (DAPO).

    Raises:
        InputError: a file that is not of the format, or an argument out of range; one sentence.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from bandit_rft import arms, learners, run, verdict_on_log
        >>> learner = learners.SoftmaxPolicyGradient(step_size=0.2, signal="grpo", rollouts=8)
        >>> rewards = run(arms.Needle(log10_arms=6, p0=0.1), learner, rounds=80, seeds=1, key=0).rewards[0].mean(axis=1)
        >>> with TemporaryDirectory() as folder:
        ...     log = Path(folder) / "log.csv"
        ...     rows = [f"{step},{reward}" for step, reward in enumerate(rewards)]
        ...     _ = log.write_text("\\n".join(["step,reward", *rows]))
        ...     verdict_on_log(log, format="csv", rollouts=8).verdict
        'INSIDE'
    """
    if not isinstance(path, str | Path):
        raise InputError(f"The log is {arguments.shown(path)}: give the path of a file.")
    if format not in FORMATS:
        raise InputError(f"format is {arguments.shown(format)}: give {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.")
    dynamic_sampling = arguments.flag("dynamic_sampling", dynamic_sampling)
    if format == "run":
        asked = {
            "rollouts": rollouts,
            "prompts": None if prompts == 1 else prompts,
            "reward": reward,
            "step": step,
            "reward_right": reward_right,
            "reward_wrong": reward_wrong,
            "dynamic_sampling": dynamic_sampling or None,
        }
        for name, value in asked.items():
            if value is not None:
                raise InputError(f"{name} is {arguments.shown(value)}, and a run folder says its own: leave it out.")
        return _of_run(Path(path), 0 if seed is None else seed, signal=signal, eps=eps, step_size=step_size)
    if seed is not None:
        raise InputError(f"seed is {arguments.shown(seed)}, and only a run folder has several: leave it out.")
    right, wrong = 1.0 if reward_right is None else reward_right, 0.0 if reward_wrong is None else reward_wrong
    log = read_log(
        path,
        format,
        rollouts=rollouts,
        prompts=prompts,
        reward=reward,
        step=step,
        reward_right=right,
        reward_wrong=wrong,
    )
    return judge(
        log,
        signal="grpo" if signal is None else signal,
        prompts=prompts,
        ddof=ddof,
        eps=EPS[format] if eps is None else eps,
        step_size=step_size,
        reward_right=right,
        reward_wrong=wrong,
        dynamic_sampling=dynamic_sampling,
    )


def _of_run(folder: Path, seed: int, *, signal: str | None, eps: float | None, step_size: float | None) -> LogVerdict:
    """The verdict on one seed of a run folder."""
    history = read_history(folder)
    config = history.config
    if "signal" not in config:
        raise InputError(
            f"{folder} is no run of bandit-rft finetune: name one. bandit-rft simulate holds its own against theory."
        )
    prompts = config.get("prompts_per_round", 1)
    rewards = np.asarray(history.rewards, np.float64)
    if arguments.whole("seed", seed, least=0) >= len(rewards):
        raise InputError(f"seed is {seed} and {folder} holds {len(rewards)}: count from 0.")
    rounds, rollouts = rewards.shape[1:]
    if not arguments.is_whole(prompts) or not 1 <= prompts <= rollouts or rollouts % prompts:
        raise InputError(f"{folder / CONFIG} is damaged (prompts_per_round): restore it, or choose another folder.")
    why_not = run_law.no_plain_law(config)
    one, responses = np.ones(rounds, np.int64), np.full(rounds, rollouts)
    log = TrainingLog(
        source=str(folder),
        column="rewards",
        step=np.arange(rounds),
        reward=rewards[seed].mean(axis=1),
        responses=responses,
        rounds=one,
        seen=one,
        group=responses // prompts,
        notes=tuple(run_law.left_out(config)),
    )
    rate = config.get("resolved", {}).get("learning_rate")
    return judge(
        log,
        signal=str(config["signal"]) if signal is None else signal,
        prompts=prompts,
        ddof=config.get("ddof", run_law.GRPO["ddof"]),
        eps=config.get("eps", run_law.GRPO["eps"]) if eps is None else eps,
        step_size=rate if step_size is None else step_size,
        reward_right=config.get("reward_right", 1.0),
        reward_wrong=config.get("reward_wrong", 0.0),
        why_not=why_not,
    )
