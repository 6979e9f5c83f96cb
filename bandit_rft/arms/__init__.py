"""Arm sets: what can be pulled. Each satisfies `bandit_rft.contract.ArmSet`."""

from bandit_rft.arms.bernoulli import Bernoulli
from bandit_rft.arms.classes import Classes
from bandit_rft.arms.needle import Needle

__all__ = ["Bernoulli", "Classes", "Needle"]
