"""A policy on a tree of decisions with the kernel of their scores: what the tree law needs of a model.

A response is several decisions in a row. `sampled_tree.grow` makes their tree from sampled responses; whoever holds the
policy adds the Gram matrix of the edges' scores, ⟨∇ log π(token | prefix), ∇ log π(token' | prefix')⟩; and the law of
`theory.tree_jump` runs on the tree alone, so that a table, a token policy and a language model look the same to it.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError, NoLawError

__all__ = ["ResponseTree", "Walks"]

_LEAST_P0 = 0.8  # of the counted p0, below which the tree may miss too many correct responses
_MOST_UNSEEN = 0.5  # then, share of the correct ones that came once each: others like them were not seen at all
_CHANCE = 3.0  # or standard errors of the count that the tree falls short by
_ROUNDED = 1e-3  # of the largest entry of a kernel, by which rounding may keep it from being symmetric
_MOST_PRUNED = 0.3  # share of the correct responses that may end in pruned branches


class Walks(NamedTuple):
    """The policy on the tree at logits [W, E].

    Attributes:
        log_q: float64 [W, E], log-probability of each edge at its decision.
        path: float64 [W, L], probability of each leaf.
    """

    log_q: np.ndarray
    path: np.ndarray


@dataclass(frozen=True, eq=False)
class ResponseTree:
    """Decisions (nodes), their edges and the kernel of the edges' scores. E edges, L of them end at a leaf.

    Attributes:
        node: int [E], the decision an edge belongs to, in ascending order; 0 is the root.
        child: int [E], the decision it leads to, of a higher number; -1 where it ends at a leaf.
        reward: float64 [E], mean reward of the responses that end there; unused where an edge leads on.
        log_prob: float64 [E], ln π(edge | its decision); the edges of a decision add up to 1.
        gram: float64 [E, E], inner products of the edges' scores, in nats² per unit² of weights.
        responses: n it was grown from; 0: it is complete, and no estimate.
        counted: share of those that are correct; NaN where unknown.
        pruned: share of the correct ones that end in a pruned branch.
        once: share of the correct ones that were sampled once, which estimates the share of p0 in responses that were
            not sampled (Good and Turing).
        coordinates: float32 [E, J], the edges' scores at J weights drawn at random, for Adam; or None.
        dimension: D, all weights that those stand for.
        truth: float64 [E], mean of what `reward` says with errors, which Pass@1 and regret count; None: the reward.
        turned: float32 [E, J], by how much `coordinates` change for each unit that all weights go along `toward`, the
            sign of a success's mean gradient; None: they stay.
        toward: float32 [J], that sign at the J weights; None as `turned`.
        stands_for: how many of all weights each of the J stands for; None: D/J.
        questions: of a forest (`theory.forest`), how many its first decision draws from; 0: a tree of one question.

    Raises:
        InputError: shapes that do not fit, or edges that make no tree.

    Example:
        >>> from bandit_rft import theory
        >>> from bandit_rft.theory.compared import chain_of_decisions
        >>> tree = chain_of_decisions(0.1, 40.0, 3)
        >>> round(tree.p0, 3), round(tree.kappa, 3)
        (0.1, 40.0)
    """

    node: np.ndarray
    child: np.ndarray
    reward: np.ndarray
    log_prob: np.ndarray
    gram: np.ndarray
    responses: int = 0
    counted: float = math.nan
    pruned: float = 0.0
    once: float = 0.0
    coordinates: np.ndarray | None = None
    dimension: int = 0
    truth: np.ndarray | None = None
    turned: np.ndarray | None = None
    toward: np.ndarray | None = None
    stands_for: float | None = None
    questions: int = 0

    def __post_init__(self) -> None:
        node, child = np.asarray(self.node, np.int64), np.asarray(self.child, np.int64)
        edges = node.size
        reward, log_prob = (arguments.numbers(name, getattr(self, name)) for name in ("reward", "log_prob"))
        gram = np.asarray(self.gram, np.float64)
        if not edges:
            raise InputError("The tree has no edge: every response takes the same path, and there is nothing to learn.")
        if any(part.shape != (edges,) for part in (child, reward, log_prob)) or gram.shape != (edges, edges):
            raise InputError(
                f"The tree has {edges} edges: give child, reward and log_prob as [{edges}] and gram [{edges}, {edges}]."
            )
        if not np.all(np.isfinite(gram)):
            raise InputError("gram holds a number that is not finite: give inner products of scores.")
        if not np.all(np.isfinite(log_prob)):
            raise InputError("log_prob holds a number that is not finite: leave out edges of probability 0.")
        rounding = _ROUNDED * np.abs(gram).max()
        if np.diag(gram).min() < -rounding or np.abs(gram - gram.T).max() > rounding:
            raise InputError("gram is not symmetric with a diagonal of squared norms: give inner products of scores.")
        nodes = np.unique(node)
        led = child[child >= 0]
        whole = np.array_equal(nodes, np.arange(nodes.size)) and np.all(np.diff(node) >= 0)
        if not (whole and np.array_equal(np.sort(led), nodes[1:]) and np.all((child > node)[child >= 0])):
            raise InputError(
                "node and child make no tree: number decisions from 0, the root, each led to by one edge of a lower "
                "one, and let edges stand in the order of their decisions."
            )
        if not np.all((reward >= 0) & (reward <= 1)):
            raise InputError("reward holds a value outside 0 to 1: give mean rewards of a verifiable reward.")
        if self.truth is not None:
            truth = arguments.numbers("truth", self.truth)
            if truth.shape != (edges,) or not np.all((truth >= 0) & (truth <= 1)):
                raise InputError(f"truth must be [{edges}], a number from 0 to 1 for each edge.")
        for name, value in (
            ("node", node),
            ("child", child),
            ("reward", reward),
            ("log_prob", log_prob),
            ("gram", gram),
        ):
            object.__setattr__(self, name, value)
        total = np.logaddexp.reduceat(log_prob, self._starts)
        if np.abs(total).max() > 1e-3:
            raise InputError("log_prob does not add up to probability 1 at every decision.")

    @functools.cached_property
    def _digest(self) -> bytes:
        truth = self.reward if self.truth is None else np.asarray(self.truth, np.float64)
        parts = (self.node, self.child, self.reward, self.log_prob, self.gram, truth)
        content = hashlib.sha256(b"" if self.coordinates is None else self.coordinates.tobytes())
        for part in parts:
            content.update(part.tobytes())
        if self.turned is not None and self.toward is not None:
            content.update(self.turned.tobytes() + self.toward.tobytes())
        content.update(repr((self.stands_for, self.questions)).encode())
        return content.digest()

    def __eq__(self, other: object) -> bool:
        """Whether the laws on both are the same, which they may then share."""
        return isinstance(other, ResponseTree) and (self._digest, self.dimension) == (other._digest, other.dimension)

    def __hash__(self) -> int:
        return hash(self._digest)

    @property
    def edges(self) -> int:
        """E."""
        return self.node.size

    @functools.cached_property
    def _starts(self) -> np.ndarray:
        """The first edge of each decision."""
        return np.flatnonzero(np.diff(self.node, prepend=-1))

    @functools.cached_property
    def leaves(self) -> np.ndarray:
        """int [L], the edges that end at a leaf."""
        return np.flatnonzero(self.child < 0)

    @functools.cached_property
    def leaf_reward(self) -> np.ndarray:
        """float64 [L]."""
        return self.reward[self.leaves]

    @functools.cached_property
    def leaf_truth(self) -> np.ndarray:
        """float64 [L]."""
        return self.leaf_reward if self.truth is None else np.asarray(self.truth, np.float64)[self.leaves]

    @functools.cached_property
    def paths(self) -> np.ndarray:
        """float64 [L, E], 1 where the path to the leaf takes the edge."""
        into = np.full(self.node.max() + 1, -1)
        into[self.child[self.child >= 0]] = np.flatnonzero(self.child >= 0)
        found = np.zeros((self.leaves.size, self.edges))
        for row, edge in enumerate(self.leaves):
            while edge >= 0:
                found[row, edge] = 1.0
                edge = into[self.node[edge]]
        return found

    @functools.cached_property
    def root_of_leaf(self) -> np.ndarray:
        """int [L], the edge of the root that the path to the leaf takes."""
        return self.paths[:, self.node == 0].argmax(axis=1)

    @functools.cached_property
    def visits(self) -> np.ndarray:
        """float64 [L, E], 1 where the path to the leaf meets the edge's decision, whether it takes the edge or not."""
        met = np.add.reduceat(self.paths, self._starts, axis=1)
        return met[:, self.node]

    def walks(self, logits: np.ndarray) -> Walks:
        """The policy at logits [W, E]: one softmax for each decision."""
        highest = np.maximum.reduceat(logits, self._starts, axis=1)[:, self.node]
        shifted = logits - highest
        total = np.add.reduceat(np.exp(shifted), self._starts, axis=1)[:, self.node]
        log_q = shifted - np.log(total)
        return Walks(log_q, np.exp(log_q @ self.paths.T))

    def score(self, walks: Walks, leaf: np.ndarray) -> np.ndarray:
        """float64 [W, E], for each walk the sum over its decisions of (edge taken) - q; leaf int [W]."""
        return self.paths[leaf] - self.visits[leaf] * np.exp(walks.log_q)

    @functools.cached_property
    def p0(self) -> float:
        """Pass@1 at the start."""
        return float((self.walks(self.log_prob[None]).path @ self.leaf_truth)[0])

    @functools.cached_property
    def paid(self) -> float:
        """Probability of a reward of 1 at the start: `p0`, but for a reward that errs."""
        return float((self.walks(self.log_prob[None]).path @ self.leaf_reward)[0])

    @functools.cached_property
    def kappa(self) -> float:
        """‖grad logit p‖² of the reward at the start, as the tree has it; NaN where `paid` is 0 or 1."""
        p = self.paid
        if not 0.0 < p < 1.0:
            return math.nan
        walks = self.walks(self.log_prob[None])
        path = walks.path[0]
        gap = path * (self.leaf_reward / p - (1.0 - self.leaf_reward) / (1.0 - p))
        score = gap @ (self.paths - self.visits * np.exp(walks.log_q))
        return float(score @ self.gram @ score)

    @functools.cached_property
    def way(self) -> np.ndarray:
        """float64 [E], the sum of a move of the logits by these is how far the weights have gone along `toward`, by
        what ln p of a success has gained to first order; 0 where `toward` is unknown, or raises no success.
        """
        if self.coordinates is None or self.toward is None:
            return np.zeros(self.edges)
        walks = self.walks(self.log_prob[None])
        right = walks.path[0] * self.leaf_reward
        success = right @ (self.paths - self.visits * np.exp(walks.log_q))
        gain = float(success @ (self.coordinates.astype(np.float64) @ self.toward))
        each = self.stands_for or self.dimension / self.toward.size
        return success / (gain * each) if gain > 0.0 else np.zeros(self.edges)

    @functools.cached_property
    def decisions(self) -> float:
        """Mean number of decisions in a correct response; that which draws a forest's question is none."""
        right = self.walks(self.log_prob[None]).path[0] * self.leaf_reward
        met = self.paths.sum(axis=1) - (self.questions > 0)
        return float(right @ met / right.sum()) if right.any() else math.nan

    def refuse(self) -> None:
        """Raises NoLawError where the sampled responses show too little of the policy's correct ones."""
        if not 0.0 < self.p0 < 1.0:
            raise NoLawError(
                f"The sampled responses put Pass@1 at {self.p0:g}, and every law starts strictly between 0 and 1: "
                "measure with more responses, or choose another question."
            )
        # The tree knows the probability of what it shows, where the count has noise: that a count lies above it is a
        # reason only where noise does not explain it, or where responses that came once say that more are missing.
        noise = math.sqrt(self.counted * (1.0 - self.counted) / max(1, self.responses))
        missing = self.once > _MOST_UNSEEN or self.counted - self.p0 > _CHANCE * noise
        if self.p0 < _LEAST_P0 * self.counted and missing:
            raise NoLawError(
                f"The tree of responses explains a Pass@1 of {self.p0:.3f} where {self.counted:.3f} was counted: "
                "measure with more responses."
            )
        if self.pruned > _MOST_PRUNED:
            raise NoLawError(
                f"{self.pruned:.0%} of the correct responses end in branches that were sampled too rarely to follow: "
                "measure with more responses."
            )
