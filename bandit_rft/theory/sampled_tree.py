"""The tree of decisions that sampled responses show: grown from them, pruned, and grown again from resampled ones.

`grow` makes it from responses with rewards and the policy's log-probabilities, and says which branches need a score;
`TreeSample` keeps the responses with the kernel of those scores, and makes a `ResponseTree` of them.
"""

from __future__ import annotations

import abc
import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.theory.response_tree import ResponseTree

__all__ = ["Branch", "GrownTree", "MovedScores", "TreeSample", "grow"]

_FORCED = 0.997  # a token of greater probability is followed: no decision to learn
_LEAST_SHARE = 0.002  # of the responses, below which a branch without a success is pruned (and never below 2 of them)
_SLIGHT = 1e-4  # probability of all the rest below which no edge stands for it


class Branch(NamedTuple):
    """An edge as the responses show it: the token after a prefix; () where it stands for all the others there.

    Attributes:
        prefix: tokens before the decision. token: chosen there, or None for all tokens that are not edges.
    """

    prefix: tuple[int, ...]
    token: int | None


class MovedScores(NamedTuple):
    """Scores of the branches once the weights have gone some way along Adam's first step on a success, ± the same for
    each weight: they say how the scores turn as Adam goes on.

    Attributes:
        reach: by how much each weight was moved, up or down.
        toward: float32 [J], 1, -1 or 0, which of the two, at the J weights of `TreeSample.coordinates`.
        coordinates: float32 [K, J], the scores there at those weights.
        log_probs: float64 [K], ln π of the branches there.
        share: of the J weights in the sum over all of |∇ ln p|, about J/D. A sum over the J is divided by it: that is
            exact for Adam's first step on a success, where D/J has the noise of the draw.
    """

    reach: float
    toward: np.ndarray
    coordinates: np.ndarray
    log_probs: np.ndarray
    share: float


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
        return self._mixing(self.log_prob)

    def _mixing(self, log_prob: np.ndarray) -> np.ndarray:
        """`mixing` where the edges have these log-probabilities, float64 [E]."""
        place = {branch: k for k, branch in enumerate(self.scored)}
        found = np.zeros((len(self.branches), len(self.scored)))
        for edge, branch in enumerate(self.branches):
            if branch.token is not None:
                found[edge, place[branch]] = 1.0
                continue
            for beside in np.flatnonzero(self.node == self.node[edge]):
                if beside != edge:
                    weight = math.exp(log_prob[beside] - log_prob[edge])
                    found[edge, place[self.branches[beside]]] = -weight
        return found

    def _turned(self, coordinates: np.ndarray, moved: MovedScores) -> np.ndarray:
        """float32 [E, J], the change of the edges' scores for each unit of the way to where `moved` was measured."""
        place = {branch: k for k, branch in enumerate(self.scored)}
        log_prob = np.array([0.0 if b.token is None else moved.log_probs[place[b]] for b in self.branches])
        for edge, branch in enumerate(self.branches):
            if branch.token is None:
                beside = (self.node == self.node[edge]) & (np.arange(self.node.size) != edge)
                log_prob[edge] = math.log(max(_SLIGHT, 1.0 - float(np.exp(log_prob[beside]).sum())))
        change = self._mixing(log_prob) @ moved.coordinates - self.mixing @ coordinates
        return (change / moved.reach).astype(np.float32)

    def with_gram(
        self, gram: Any, coordinates: Any = None, dimension: int = 0, moved: MovedScores | None = None
    ) -> ResponseTree:
        """The tree with inner products [K, K] of the scores of `scored`, those scores at J coordinates [K, J], and how
        they turn.
        """
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
            turned=None if moved is None or coordinates is None else self._turned(coordinates, moved),
            toward=None if moved is None else moved.toward,
            stands_for=None if moved is None else 1.0 / moved.share,
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


class ByContent(abc.ABC):
    """Samples are equal where all that they hold is, so that laws on trees drawn from them are made once."""

    @abc.abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as plain arrays."""

    @functools.cached_property
    def _digest(self) -> bytes:
        content = hashlib.sha256()
        for name, part in self.arrays().items():
            content.update(f"{name} {part.dtype} {part.shape} ".encode())
            content.update(np.ascontiguousarray(part).tobytes())
        return content.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByContent) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)


@dataclass(frozen=True, eq=False)
class TreeSample(ByContent):
    """Sampled responses with the kernel of the branches that they show: what is measured, and what trees are made of.

    Attributes:
        tokens: D distinct responses. rewards, counts, log_probs: as `grow` takes them.
        branches: K, those whose scores were computed.
        kernel: float64 [K, K], inner products of their scores.
        kernel_error: relative standard error of an inner product, in units of the two norms; 0 where exact.
        coordinates: float32 [K, J], the scores at J weights drawn at random, or None.
        dimension: D, all weights.
        moved: the scores after some way along Adam's step; None: not measured, and they are taken to stay.
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
    moved: MovedScores | None = None

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
        moved = self.moved
        if moved is not None:
            moved = moved._replace(coordinates=moved.coordinates[chosen], log_probs=moved.log_probs[chosen])
        return grown.with_gram(self.kernel[np.ix_(chosen, chosen)], coordinates, self.dimension, moved)

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
        if self.coordinates is not None:
            found["coordinates"] = self.coordinates
        if self.moved is not None:
            found |= {f"moved_{name}": np.asarray(value) for name, value in self.moved._asdict().items()}
        return found

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
                moved=None
                if "moved_reach" not in arrays
                else MovedScores(
                    reach=float(arrays["moved_reach"]),
                    share=float(arrays["moved_share"]),
                    **{name: arrays[f"moved_{name}"] for name in ("toward", "coordinates", "log_probs")},
                ),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"These arrays are no measured tree ({error}): measure it again.") from None
