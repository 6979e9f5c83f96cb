"""Experiments as data, claims as tests that were fixed beforehand, and the runs that they share.

    Setting       one run's design choices, the same words on a table and on a language model
    Experiment    a question: conditions that are each one choice away from a parent, crossed with what it may depend on
    Claim         a statement with its effect, margin and direction; `judge` holds it against the outcomes
    save, restore the outcomes of a tier's runs in one file, to be judged again without the runs
    execute       runs what is missing, in processes side by side, and hands back the outcomes

A tier says what stands behind a setting: a table of arms, a small language model, a large one.
"""

from bandit_rft.experiments.claim import Claim, Judgement, digest_of, judge, judge_all
from bandit_rft.experiments.effects import Effect, difference, holm, less_size, mean_effect, widest, wilson
from bandit_rft.experiments.execute import execute
from bandit_rft.experiments.experiment import Experiment, Setting
from bandit_rft.experiments.outcomes import Outcome, Results
from bandit_rft.experiments.saved import restore, save
from bandit_rft.experiments.tier import Job, Tier, Unit, plan

__all__ = [
    "Claim",
    "Effect",
    "Experiment",
    "Job",
    "Judgement",
    "Outcome",
    "Results",
    "Setting",
    "Tier",
    "Unit",
    "difference",
    "digest_of",
    "execute",
    "holm",
    "judge",
    "judge_all",
    "less_size",
    "mean_effect",
    "plan",
    "restore",
    "save",
    "widest",
    "wilson",
]
