"""Several questions as one tree: its first decision draws the question, and is never learnt.

A policy that answers a question drawn at random is a policy over a tree whose first edges have a fixed probability:
their scores are 0. What one question teaches another stands in the kernel between their edges. So a law of trees is one
of batches of questions as well: `tree_jump` for one response per round to a question drawn independently, `tree_rounds`
with `questions` for rounds of B different questions, G responses each, and any signal of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.theory.response_tree import ResponseTree
from bandit_rft.theory.sampled_tree import ByContent, TreeSample

__all__ = ["ForestSample", "forest", "sample_of"]


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
    # Adam's steps are summed over the same weights for all questions, or over none.
    picked = [tree.coordinates for tree in grown if tree.coordinates is not None]
    same = len(picked) == len(grown) and len({one.shape[1] for one in picked}) == 1
    coordinates = np.concatenate([np.zeros((count, picked[0].shape[1]), np.float32), *picked]) if same else None
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
    counted = [tree.counted if isinstance(tree, ResponseTree) else tree for tree in trees]
    return ResponseTree(
        node,
        child,
        reward,
        log_prob,
        gram,
        responses=sum(tree.responses for tree in grown),
        counted=float(np.mean(counted)),
        pruned=_of_the_correct(grown, [tree.pruned for tree in grown]),
        once=_of_the_correct(grown, [tree.once for tree in grown]),
        coordinates=coordinates,
        dimension=grown[0].dimension if same else 0,
        questions=count,
    )


def _of_the_correct(trees: Sequence[ResponseTree], shares: Sequence[float]) -> float:
    """Share of the correct responses of all questions, from the share of those of each."""
    right = [tree.counted * tree.responses if math.isfinite(tree.counted) else 0.0 for tree in trees]
    return float(np.average(shares, weights=right)) if sum(right) else 0.0


def _edges(tree: ResponseTree | float) -> int:
    return tree.edges if isinstance(tree, ResponseTree) else 0


@dataclass(frozen=True, eq=False)
class ForestSample(ByContent):
    """Sampled responses to several questions of one policy: as `TreeSample`, for all of them.

    Attributes:
        samples: of each question, its responses.
        between: (i, j) with i > j -> float64 [K_i, K_j], inner products of the scores of two questions' branches.
    """

    samples: tuple[TreeSample, ...]
    between: Mapping[tuple[int, int], np.ndarray]

    def tree(self, counts: Sequence[Sequence[int]] | None = None) -> ResponseTree:
        """The forest; `counts` in place of how often each response was sampled.

        Raises:
            InputError: no question has a decision: every response takes the same path.
        """
        trees: list[ResponseTree | float] = []
        rows: dict[int, np.ndarray] = {}
        for place, sample in enumerate(self.samples):
            own = sample.counts if counts is None else counts[place]
            try:
                trees.append(sample.tree(own))
                rows[place] = sample.rows(sample.grown(own))
            except InputError:  # every response takes the same path
                trees.append(float(np.average(sample.rewards, weights=own)))
        return forest(trees, lambda i, j: rows[i] @ self.between[i, j] @ rows[j].T)

    def resampled(self, generator: np.random.Generator) -> ResponseTree | None:
        """The forest of as many responses to each question, drawn from these with replacement (the bootstrap); None:
        no decision in it.
        """
        drawn = []
        for sample in self.samples:
            counts = np.asarray(sample.counts)
            drawn.append(generator.multinomial(counts.sum(), counts / counts.sum()).tolist())
        try:
            return self.tree(drawn)
        except InputError:
            return None

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as plain arrays, for a file; `sample_of` reads them."""
        found = {"questions": np.array(len(self.samples))}
        for place, sample in enumerate(self.samples):
            found |= {f"{place}/{name}": value for name, value in sample.arrays().items()}
        return found | {f"{i}-{j}": block for (i, j), block in self.between.items()}


def sample_of(arrays: Mapping[str, Any]) -> TreeSample | ForestSample:
    """What `arrays` of a sample of one question or of several made.

    Raises:
        InputError: they are something else.
    """
    if "questions" not in arrays:
        return TreeSample.from_arrays(arrays)
    count = int(arrays["questions"])
    parts: list[dict[str, Any]] = [{} for _ in range(count)]
    between = {}
    try:
        for name, value in arrays.items():
            place, slash, of = name.partition("/")
            if slash:
                parts[int(place)][of] = value
        samples = tuple(map(TreeSample.from_arrays, parts))
        for i in range(count):
            for j in range(i):
                between[i, j] = np.asarray(arrays[f"{i}-{j}"], np.float64)
                if between[i, j].shape != (len(samples[i].branches), len(samples[j].branches)):
                    raise InputError(f"The kernel between questions {i} and {j} has another shape: measure it again.")
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"These arrays are no measured trees ({error}): measure them again.") from None
    return ForestSample(samples, between)
