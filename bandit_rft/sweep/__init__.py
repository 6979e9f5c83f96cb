"""Sweeps: one experiment over a grid of parameters, resumable, each point with its own key.

result = sweep(make, over={"K": [10, 100], "step_size": [0.1, 0.5]}, rounds=400, seeds=64, out="runs/k")
print(result.report())
scaling_exponent(*result.along("K", step_size=0.5))
"""

from bandit_rft.sweep.execute import sweep
from bandit_rft.sweep.measures import final_regret
from bandit_rft.sweep.result import SweepResult

__all__ = ["SweepResult", "final_regret", "sweep"]
