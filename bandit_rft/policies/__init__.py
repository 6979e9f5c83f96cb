"""Token policies: distributions over V^H with exact gradient steps, and exact p and κ where the verifier allows."""

from bandit_rft.policies.log_linear import LogLinear
from bandit_rft.policies.policy import TokenPolicy, TokenPolicyFactory
from bandit_rft.policies.prefix_tree import PrefixTree
from bandit_rft.policies.product import Product

__all__ = ["LogLinear", "PrefixTree", "Product", "TokenPolicy", "TokenPolicyFactory"]
