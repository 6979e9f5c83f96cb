"""Learners, one per file: the index or update equation and its source on top, and one frozen factory with `bind`.

The three that are based on runs of successes share `run_based`. Token policies learn by `token_policy_gradient`, which
`SoftmaxPolicyGradient` chooses by itself; language models by `llm_bridge.FineTune`. `DenseLearner` is no learner yet:
subclass it for your own on a small table.
"""

from bandit_rft.learners.annealed_softmax import AnnealedSoftmax
from bandit_rft.learners.bayes_ucb import BayesUCB
from bandit_rft.learners.dense import DenseLearner as DenseLearner
from bandit_rft.learners.discounted_ucb import DiscountedUCB
from bandit_rft.learners.epsilon_greedy import EpsilonGreedy
from bandit_rft.learners.exp3 import EXP3
from bandit_rft.learners.exp3_ix import EXP3IX
from bandit_rft.learners.explore_then_commit import ExploreThenCommit
from bandit_rft.learners.explore_until_success import ExploreUntilSuccess
from bandit_rft.learners.greedy import Greedy
from bandit_rft.learners.kl_ucb import KLUCB
from bandit_rft.learners.linear import LinTS, LinUCB
from bandit_rft.learners.moss import MOSS
from bandit_rft.learners.natural_policy_gradient import NaturalPolicyGradient
from bandit_rft.learners.run_based import BestRun, OneFailure, TwoTarget
from bandit_rft.learners.sliding_window_ucb import SlidingWindowUCB
from bandit_rft.learners.softmax_policy_gradient import SoftmaxPolicyGradient
from bandit_rft.learners.subsampled import Subsampled
from bandit_rft.learners.successive_elimination import SuccessiveElimination
from bandit_rft.learners.thompson_beta import ThompsonBeta
from bandit_rft.learners.thompson_gaussian import ThompsonGaussian
from bandit_rft.learners.tsallis_inf import TsallisINF
from bandit_rft.learners.ucb1 import UCB1
from bandit_rft.learners.ucb_alpha import UCB
from bandit_rft.learners.ucb_f import UCBF
from bandit_rft.learners.ucb_v import UCBV
from bandit_rft.learners.uniform import Uniform

__all__ = [
    "EXP3",
    "EXP3IX",
    "KLUCB",
    "MOSS",
    "UCB",
    "UCB1",
    "UCBF",
    "UCBV",
    "AnnealedSoftmax",
    "BayesUCB",
    "BestRun",
    "DiscountedUCB",
    "EpsilonGreedy",
    "ExploreThenCommit",
    "ExploreUntilSuccess",
    "Greedy",
    "LinTS",
    "LinUCB",
    "NaturalPolicyGradient",
    "OneFailure",
    "SlidingWindowUCB",
    "SoftmaxPolicyGradient",
    "Subsampled",
    "SuccessiveElimination",
    "ThompsonBeta",
    "ThompsonGaussian",
    "TsallisINF",
    "TwoTarget",
    "Uniform",
]
