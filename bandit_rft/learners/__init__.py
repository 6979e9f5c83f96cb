"""Learners, one a file: the index or update equation and its source on top, `State`, and one frozen factory with
`bind`.
"""

from bandit_rft.learners.explore_until_success import ExploreUntilSuccess
from bandit_rft.learners.softmax_policy_gradient import SoftmaxPolicyGradient
from bandit_rft.learners.thompson_beta import ThompsonBeta
from bandit_rft.learners.ucb1 import UCB1

__all__ = ["UCB1", "ExploreUntilSuccess", "SoftmaxPolicyGradient", "ThompsonBeta"]
