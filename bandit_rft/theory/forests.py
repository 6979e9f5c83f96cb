"""Several questions as one tree: its first decision draws the question, and is never learnt.

A policy that answers a question drawn at random is a policy over a tree whose first edges have a fixed probability:
their scores are 0. What one question teaches another stands in the kernel between their edges. So a law of trees is one
of batches of questions as well, where rounds draw their questions independently: `tree_jump` for one response per
round, `tree_rounds` for several with a signal that does not compare responses (raw, signed, psr, nsr).

Left out: signals of groups, each of one question, and questions of a round that are all different. With N questions and
B per round the latter narrows the spread of what is drawn, by (N - B)/(N - 1) in variance, and not its mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.theory.response_tree import ResponseTree

__all__ = ["forest"]


def forest(
    trees: Sequence[ResponseTree | float], between: Callable[[int, int], np.ndarray] | None = None
) -> ResponseTree:
    """The tree of questions that are drawn with equal chances; its Pass@1 is the mean of theirs.

    Args:
        trees: of each question, its tree; or a number, the Pass@1 of one that has no decision and stays as it is.
        between: (i, j) with i > j -> float64 [E_i, E_j], inner products of the scores of two trees' edges; None: the
            questions share nothing.

    Raises:
        InputError: no question, none with a tree, a number outside 0 to 1, rewards that err, or a block of another
            shape.

    Example:
        >>> from bandit_rft import theory
        >>> from bandit_rft.theory.compared import chain_of_decisions
        >>> tree = chain_of_decisions(0.1, 40.0, 3)
        >>> theory.forest([tree, 0.5]).p0 > tree.p0
        True
    """
    grown = [tree for tree in trees if isinstance(tree, ResponseTree)]
    if not grown:
        raise InputError("A forest got no tree: give that of at least one question.")
    if any(tree.truth is not None for tree in grown):
        raise InputError("A tree's reward errs, and a forest is of rewards that do not: leave it out.")
    fixed = [tree for tree in trees if not isinstance(tree, ResponseTree)]
    if not all(0 <= value <= 1 for value in fixed):
        raise InputError(f"A forest got a Pass@1 outside 0 to 1 in {fixed}: give shares.")
    count, edges = len(trees), len(trees) + sum(tree.edges for tree in grown)
    node, child, reward = np.zeros(edges, np.int64), np.full(edges, -1), np.zeros(edges)
    log_prob, gram = np.full(edges, -math.log(count)), np.zeros((edges, edges))
    starts: dict[int, int] = {}
    next_node, next_edge = 1, count
    for place, tree in enumerate(trees):
        if not isinstance(tree, ResponseTree):
            reward[place] = tree
            continue
        own = slice(next_edge, next_edge + tree.edges)
        starts[place] = next_edge
        child[place] = next_node
        node[own] = tree.node + next_node
        child[own] = np.where(tree.child < 0, -1, tree.child + next_node)
        reward[own], log_prob[own], gram[own, own] = tree.reward, tree.log_prob, tree.gram
        next_node, next_edge = next_node + int(tree.node.max()) + 1, next_edge + tree.edges
    if between is not None:
        for i, at in starts.items():
            for j, other in starts.items():
                if j < i:
                    rows, columns = slice(at, at + _edges(trees[i])), slice(other, other + _edges(trees[j]))
                    block = np.asarray(between(i, j), np.float64)
                    if block.shape != gram[rows, columns].shape:
                        raise InputError(
                            f"The kernel between questions {i} and {j} has shape {list(block.shape)}: give "
                            f"{list(gram[rows, columns].shape)}, an entry for each pair of edges."
                        )
                    gram[rows, columns], gram[columns, rows] = block, block.T
    return ResponseTree(node, child, reward, log_prob, gram, responses=sum(tree.responses for tree in grown))


def _edges(tree: ResponseTree | float) -> int:
    return tree.edges if isinstance(tree, ResponseTree) else 0
