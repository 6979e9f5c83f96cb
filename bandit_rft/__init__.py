"""Bandit learning from 2 to 10^100000 arms, its theory, and the check of one against the other.

    from bandit_rft import arms, learners, run, theory, compare

Data flows one way: arm sets → learners → run → history → regret and theory → compare → plots, reports.
"""

from bandit_rft import arms, learners, objectives, policies, ratios, regret, signals, theory, verifiers
from bandit_rft.errors import InputError, NoLawError, RowCapacityError, SweepWarning, UnknownOptimumError
from bandit_rft.history import History
from bandit_rft.known_theory import theory_for
from bandit_rft.loop import run
from bandit_rft.planning import Plan, plan
from bandit_rft.regret import LearnerComparison, compare_learners
from bandit_rft.summarize import summarize
from bandit_rft.sweep import sweep
from bandit_rft.training_logs import LogVerdict, verdict_on_log
from bandit_rft.verdict import Verdict, compare

__version__ = "0.1.0"

__all__ = [
    "History",
    "InputError",
    "LearnerComparison",
    "LogVerdict",
    "NoLawError",
    "Plan",
    "RowCapacityError",
    "SweepWarning",
    "UnknownOptimumError",
    "Verdict",
    "__version__",
    "arms",
    "compare",
    "compare_learners",
    "learners",
    "objectives",
    "plan",
    "policies",
    "ratios",
    "regret",
    "run",
    "signals",
    "summarize",
    "sweep",
    "theory",
    "theory_for",
    "verdict_on_log",
    "verifiers",
]
