"""Arm sets: what can be pulled. Each satisfies `bandit_rft.contract.ArmSet`."""

from bandit_rft.arms.classes import Classes
from bandit_rft.arms.contexts import Contexts
from bandit_rft.arms.instances import Instances
from bandit_rft.arms.linear import LinearContexts
from bandit_rft.arms.listed import Bernoulli, Deterministic, Gaussian
from bandit_rft.arms.needle import Needle
from bandit_rft.arms.priors import Beta, Prior, TwoPoint
from bandit_rft.arms.reservoir import Reservoir
from bandit_rft.arms.token_sequences import TokenSequences
from bandit_rft.arms.wrapped import Delayed, Drifting, Noisy
from bandit_rft.arms.zipf import zipf_log_mass

__all__ = [
    "Bernoulli",
    "Beta",
    "Classes",
    "Contexts",
    "Delayed",
    "Deterministic",
    "Drifting",
    "Gaussian",
    "Instances",
    "LinearContexts",
    "Needle",
    "Noisy",
    "Prior",
    "Reservoir",
    "TokenSequences",
    "TwoPoint",
    "zipf_log_mass",
]
