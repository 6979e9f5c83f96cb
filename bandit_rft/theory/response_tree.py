"""The tree of decisions that sampled responses show, and the policy on it: what the tree law needs of a model.

A response is several decisions in a row. `grow` makes their tree from sampled responses with rewards and the policy's
log-probabilities; whoever holds the policy adds the Gram matrix of the edges' scores, ⟨∇ log π(token | prefix),
∇ log π(token' | prefix')⟩; and the law of `theory.tree_jump` runs on the tree alone, so that a table, a token policy
and a language model look the same to it.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError, NoLawError

__all__ = ["Branch", "GrownTree", "ResponseTree", "TreeSample", "grow"]

_FORCED = 0.997  # a token of greater probability is followed: no decision to learn
_LEAST_SHARE = 0.002  # of the responses, below which a branch without a success is pruned (and never below 2 of them)
_LEAST_P0 = 0.8  # of the counted p0, below which the tree may miss too many correct responses
_MOST_UNSEEN = 0.5  # then, share of the correct ones that came once each: others like them were not seen at all
_CHANCE = 3.0  # or standard errors of the count that the tree falls short by
_MOST_PRUNED = 0.3  # share of the correct responses that may end in pruned branches
_SLIGHT = 1e-4  # probability of all the rest below which no edge stands for it


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
        """Probability of a success at the start."""
        return float((self.walks(self.log_prob[None]).path @ self.leaf_reward)[0])

    @functools.cached_property
    def kappa(self) -> float:
        """‖grad logit p‖² at the start, as the tree has it; NaN where p0 is 0 or 1."""
        p = self.p0
        if not 0.0 < p < 1.0:
            return math.nan
        walks = self.walks(self.log_prob[None])
        path = walks.path[0]
        gap = path * (self.leaf_reward / p - (1.0 - self.leaf_reward) / (1.0 - p))
        score = gap @ (self.paths - self.visits * np.exp(walks.log_q))
        return float(score @ self.gram @ score)

    @functools.cached_property
    def decisions(self) -> float:
        """Mean number of decisions in a correct response."""
        right = self.walks(self.log_prob[None]).path[0] * self.leaf_reward
        return float(right @ self.paths.sum(axis=1) / right.sum()) if right.any() else math.nan

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


class Branch(NamedTuple):
    """An edge as the responses show it: the token after a prefix; () where it stands for all the others there.

    Attributes:
        prefix: tokens before the decision. token: chosen there, or None for all tokens that are not edges.
    """

    prefix: tuple[int, ...]
    token: int | None


@dataclass(frozen=True)
class GrownTree:
    """A tree without its kernel: what `grow` saw.

    Attributes:
        branches: E of them, in the tree's order.
        node, child, reward, log_prob: as in `ResponseTree`.
        responses, counted, pruned, once: as there.
    """

    branches: tuple[Branch, ...]
    node: np.ndarray
    child: np.ndarray
    reward: np.ndarray
    log_prob: np.ndarray
    responses: int
    counted: float
    pruned: float
    once: float

    @functools.cached_property
    def scored(self) -> tuple[Branch, ...]:
        """The branches whose score the policy must give, int K of them: those with a token."""
        return tuple(branch for branch in self.branches if branch.token is not None)

    @functools.cached_property
    def mixing(self) -> np.ndarray:
        """float64 [E, K]: the score of each edge from those of `scored`.

        The scores of a decision add up to 0 under the policy, so that the score of "all others" is minus the sum of
        π(c) times that of each edge c beside it, over their own probability.
        """
        place = {branch: k for k, branch in enumerate(self.scored)}
        found = np.zeros((len(self.branches), len(self.scored)))
        for edge, branch in enumerate(self.branches):
            if branch.token is not None:
                found[edge, place[branch]] = 1.0
                continue
            for beside in np.flatnonzero(self.node == self.node[edge]):
                if beside != edge:
                    weight = math.exp(self.log_prob[beside] - self.log_prob[edge])
                    found[edge, place[self.branches[beside]]] = -weight
        return found

    def with_gram(self, gram: Any, coordinates: Any = None, dimension: int = 0) -> ResponseTree:
        """The tree with inner products [K, K] of the scores of `scored`, and those scores at J coordinates [K, J]."""
        gram = np.asarray(gram, np.float64)
        return ResponseTree(
            self.node,
            self.child,
            self.reward,
            self.log_prob,
            self.mixing @ gram @ self.mixing.T,
            responses=self.responses,
            counted=self.counted,
            pruned=self.pruned,
            once=self.once,
            coordinates=None if coordinates is None else (self.mixing @ coordinates).astype(np.float32),
            dimension=dimension,
        )


@dataclass(frozen=True)
class _Response:
    tokens: tuple[int, ...]
    log_probs: np.ndarray
    reward: float
    count: int


def grow(
    tokens: Sequence[Sequence[int]],
    rewards: Sequence[float],
    counts: Sequence[int],
    log_probs: Sequence[Sequence[float] | np.ndarray],
    *,
    only: frozenset[Branch] | None = None,
) -> GrownTree:
    """The prefix tree of D distinct responses, pruned.

    A token is an edge where at least max(2, .002 n) of the n responses take it, or one that is correct. All others of
    that decision are one edge, which ends at a leaf. A token of probability above .997 is followed without a decision.

    Args:
        tokens: D distinct responses, an end-of-text token included.
        rewards: of each, 0 to 1.
        counts: how often each was sampled.
        log_probs: ln π(token t | tokens before t) for each token of each response.
        only: branches that may become edges; None: all. For trees of resampled responses, whose kernel is known for
            these alone.

    Raises:
        InputError: no response, or lengths that do not match.

    Example:
        >>> from bandit_rft import theory
        >>> found = theory.grow([[1, 2], [3]], rewards=[1.0, 0.0], counts=[20, 20], log_probs=[[-0.7, 0.0], [-0.7]])
        >>> type(found).__name__
        'GrownTree'
    """
    if not len(tokens) or not len(tokens) == len(rewards) == len(counts) == len(log_probs):
        raise InputError("Give at least one response, and a reward, a count and log-probabilities for each.")
    group = [
        _Response(tuple(int(token) for token in one), np.asarray(log, np.float64), float(reward), int(count))
        for one, reward, count, log in zip(tokens, rewards, counts, log_probs, strict=True)
        if count > 0
    ]
    if any(len(one.tokens) != one.log_probs.size for one in group):
        raise InputError("A response and its log_probs differ in length: give one log-probability for each token.")
    n = sum(one.count for one in group)
    least = max(2.0, _LEAST_SHARE * n)
    edges: list[list[tuple[Branch, int, float, float]]] = []  # by decision: branch, child, reward, log-probability
    waiting: list[tuple[list[_Response], int, tuple[int, int] | None]] = [(group, 0, None)]
    lost = 0.0

    def mean(some: list[_Response]) -> float:
        return sum(one.reward * one.count for one in some) / sum(one.count for one in some)

    while waiting:
        some, depth, into = waiting.pop(0)
        child, reward = -1, 0.0
        while True:
            if any(len(one.tokens) == depth for one in some):
                reward = mean(some)
                break
            kids: dict[int, list[_Response]] = {}
            for one in some:
                kids.setdefault(one.tokens[depth], []).append(one)
            log_prob = {token: float(kid[0].log_probs[depth]) for token, kid in kids.items()}
            likely = max(log_prob, key=log_prob.__getitem__)
            if log_prob[likely] > math.log(_FORCED):
                lost += sum(one.reward * one.count for kid in kids for one in kids[kid] if kid != likely)
                some, depth = kids[likely], depth + 1
                continue
            prefix = some[0].tokens[:depth]
            kept = [
                token
                for token, kid in sorted(kids.items())
                if (sum(one.count for one in kid) >= least or any(one.reward > 0.5 for one in kid))
                and (only is None or Branch(prefix, token) in only)
            ]
            rest = [one for token, kid in kids.items() if token not in kept for one in kid]
            if not kept:
                reward = mean(some)
                lost += sum(one.reward * one.count for one in some)
                break
            lost += sum(one.reward * one.count for one in rest)
            child = len(edges)
            decision = [(Branch(prefix, token), -1, 0.0, log_prob[token]) for token in kept]
            edges.append(decision)
            waiting += [(kids[token], depth + 1, (child, place)) for place, token in enumerate(kept)]
            left = -math.expm1(min(0.0, float(np.logaddexp.reduce([log_prob[token] for token in kept]))))
            if left > _SLIGHT or rest:
                decision.append((Branch(prefix, None), -1, mean(rest) if rest else 0.0, math.log(max(left, _SLIGHT))))
            break
        if into is not None:
            branch, _, _, log = edges[into[0]][into[1]]
            edges[into[0]][into[1]] = (branch, child, reward, log)
    flat = [(number, *edge) for number, decision in enumerate(edges) for edge in decision]
    log = np.array([edge[4] for edge in flat])
    node = np.array([edge[0] for edge in flat], np.int64)
    if flat:
        log = log - np.logaddexp.reduceat(log, np.flatnonzero(np.diff(node, prepend=-1)))[node]
    right = sum(one.reward * one.count for one in group)
    return GrownTree(
        branches=tuple(edge[1] for edge in flat),
        node=node,
        child=np.array([edge[2] for edge in flat], np.int64),
        reward=np.array([edge[3] for edge in flat], np.float64),
        log_prob=log,
        responses=n,
        counted=right / n,
        pruned=lost / right if right else 0.0,
        once=sum(one.reward for one in group if one.count == 1) / right if right else 0.0,
    )


@dataclass(frozen=True, eq=False)
class TreeSample:
    """Sampled responses with the kernel of the branches that they show: what is measured, and what trees are made of.

    Attributes:
        tokens: D distinct responses. rewards, counts, log_probs: as `grow` takes them.
        branches: K, those whose scores were computed.
        kernel: float64 [K, K], inner products of their scores.
        kernel_error: relative standard error of an inner product, in units of the two norms; 0 where exact.
        coordinates: float32 [K, J], the scores at J weights drawn at random, or None.
        dimension: D, all weights.
    """

    tokens: tuple[tuple[int, ...], ...]
    rewards: tuple[float, ...]
    counts: tuple[int, ...]
    log_probs: tuple[np.ndarray, ...]
    branches: tuple[Branch, ...]
    kernel: np.ndarray
    kernel_error: float = 0.0
    coordinates: np.ndarray | None = None
    dimension: int = 0

    def grown(self, counts: Sequence[int] | None = None) -> GrownTree:
        """The tree without its kernel, of the responses as they were sampled or with other counts."""
        return grow(
            self.tokens,
            self.rewards,
            self.counts if counts is None else counts,
            self.log_probs,
            only=frozenset(self.branches),
        )

    def rows(self, grown: GrownTree) -> np.ndarray:
        """float64 [E, K], the scores of a tree's edges from those of `branches`."""
        place = {branch: k for k, branch in enumerate(self.branches)}
        found = np.zeros((len(grown.branches), len(self.branches)))
        found[:, [place[branch] for branch in grown.scored]] = grown.mixing
        return found

    def tree(self, counts: Sequence[int] | None = None) -> ResponseTree:
        """The tree with its kernel.

        Raises:
            InputError: no decision: every response takes the same path.
        """
        grown = self.grown(counts)
        place = {branch: k for k, branch in enumerate(self.branches)}
        chosen = [place[branch] for branch in grown.scored]
        coordinates = None if self.coordinates is None else self.coordinates[chosen]
        return grown.with_gram(self.kernel[np.ix_(chosen, chosen)], coordinates, self.dimension)

    def resampled(self, generator: np.random.Generator) -> ResponseTree | None:
        """The tree of as many responses, drawn from these with replacement (the bootstrap); None: no decision in it."""
        counts = np.asarray(self.counts)
        try:
            return self.tree(generator.multinomial(counts.sum(), counts / counts.sum()).tolist())
        except InputError:
            return None

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as plain arrays, for a file; `from_arrays` reads them."""
        found = {
            "tokens": np.array([token for one in self.tokens for token in one], np.int64),
            "lengths": np.array([len(one) for one in self.tokens], np.int64),
            "rewards": np.array(self.rewards, np.float64),
            "counts": np.array(self.counts, np.int64),
            "log_probs": np.concatenate(self.log_probs).astype(np.float64),
            "prefixes": np.array([token for branch in self.branches for token in branch.prefix], np.int64),
            "prefix_lengths": np.array([len(branch.prefix) for branch in self.branches], np.int64),
            "chosen": np.array([branch.token for branch in self.branches], np.int64),
            "kernel": self.kernel,
            "kernel_error": np.array(self.kernel_error),
            "dimension": np.array(self.dimension),
        }
        return found if self.coordinates is None else {**found, "coordinates": self.coordinates}

    @classmethod
    def from_arrays(cls, arrays: Any) -> TreeSample:
        """What `arrays` made. Raises InputError where it is something else."""
        try:
            cuts = np.cumsum(arrays["lengths"])[:-1]
            prefixes = np.split(arrays["prefixes"], np.cumsum(arrays["prefix_lengths"])[:-1])
            tokens = np.split(arrays["tokens"], cuts)
            return cls(
                tokens=tuple(tuple(map(int, one)) for one in tokens),
                rewards=tuple(map(float, arrays["rewards"])),
                counts=tuple(map(int, arrays["counts"])),
                log_probs=tuple(np.split(arrays["log_probs"], cuts)),
                branches=tuple(
                    Branch(tuple(map(int, prefix)), int(token))
                    for prefix, token in zip(prefixes, arrays["chosen"], strict=True)
                ),
                kernel=arrays["kernel"],
                kernel_error=float(arrays["kernel_error"]),
                coordinates=arrays.get("coordinates"),
                dimension=int(arrays["dimension"]),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"These arrays are no measured tree ({error}): measure it again.") from None
