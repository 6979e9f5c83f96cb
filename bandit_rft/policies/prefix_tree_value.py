"""p and κ of a prefix tree, exactly, from the visited part and the uniform rest.

With u(n) = P(correct | prefix n):   u(n) = Σ_children π(child | n) u(child),   ∂p/∂θ_n[v] = reach(n) π(v | n) (u(nv)
− u(n)). Below a child that has no node every token is uniform, so u there depends only on what the verifier counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.policies import policy as exact
from bandit_rft.policies.policy import LogPair
from bandit_rft.verifiers import AnswerToken, ModularSum, Needle, Verifier, residue_counts


class Tree(NamedTuple):
    """A prefix tree with its probabilities; [S, H] edges from (s, h), [S, H + 1] nodes; see `prefix_tree.Params`.

    Attributes:
        token, node, logit, lump: the parameters.
        is_edge: bool [S, H], this row holds the edge to (s, h + 1).
        is_node: bool [S, H + 1], this row holds node (s, h).
        log_edge: float [S, H], ln π of the edge given its parent; −∞ where `is_edge` is not.
        log_untaken: float [S, H], ln π of one child without a node, given (s, h).
        untaken: float [S, H], how many such children.
        log_reach: float [S, H + 1], ln of the probability to come through (s, h).
    """

    token: jax.Array
    node: jax.Array
    logit: jax.Array
    lump: jax.Array
    is_edge: jax.Array
    is_node: jax.Array
    log_edge: jax.Array
    log_untaken: jax.Array
    untaken: jax.Array
    log_reach: jax.Array


def closed_forms(
    verifier: Verifier | None, vocabulary_size: int, length: int
) -> tuple[Callable[[Tree], LogPair] | None, Callable[[Tree], jax.Array] | None]:
    """(log_success, kappa) for Needle, AnswerToken and ModularSum; (None, None) for others."""
    if isinstance(verifier, Needle):
        return _needle_success, _needle_kappa
    if isinstance(verifier, (AnswerToken, ModularSum)):
        table = Classes(verifier, vocabulary_size, length)
        return table.log_success, table.kappa
    return None, None


def _needle_path(tree: Tree) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(logit of q_h, ln of the others' weight, ln of all weight), [H] each, along sequence 0, the needle."""
    other = tree.is_edge[1:] & (tree.node[1:, :-1] == 0)
    log_lump = tree.lump[0] + jnp.log(tree.untaken[0])
    others = jnp.where(other, tree.logit[1:], -jnp.inf)
    log_rest = jax.nn.logsumexp(jnp.concatenate([log_lump[None], others]), axis=0)
    return tree.logit[0] - log_rest, log_rest, jnp.logaddexp(tree.logit[0], log_rest)


def needle_log_odds(tree: Tree) -> jax.Array:
    """float [H], logit of the probability of each of the needle's tokens given those before it."""
    return _needle_path(tree)[0]


def _needle_success(tree: Tree) -> LogPair:
    log_odds, _, _ = _needle_path(tree)
    return exact.all_needed(log_odds, jnp.ones(log_odds.shape, bool))


def _needle_kappa(tree: Tree) -> jax.Array:
    """Σ_h [(1 − q_h)² + Σ_others π²] / (1 − p)²: only prefixes of the needle move it."""
    _, log_rest, log_norm = _needle_path(tree)
    log_q = _needle_success(tree)[1]
    other = tree.is_edge[1:] & (tree.node[1:, :-1] == 0)
    squares = jnp.sum(jnp.where(other, jnp.exp(2 * (tree.logit[1:] - log_norm - log_q)), 0.0), axis=0)
    lump = tree.untaken[0] * jnp.exp(2 * (tree.lump[0] - log_norm - log_q))
    return jnp.sum(jnp.exp(2 * (log_rest - log_norm - log_q)) + squares + lump)


class Classes:
    """Children without a node, in classes of equal chance to end correct.

    AnswerToken has two classes (the answer at its position, and the rest), ModularSum one for each residue.
    """

    def __init__(self, verifier: AnswerToken | ModularSum, vocabulary_size: int, length: int) -> None:
        self.verifier, self.vocabulary_size, self.length = verifier, vocabulary_size, length
        if isinstance(verifier, ModularSum):
            counts = np.asarray(residue_counts(vocabulary_size, verifier.modulus), np.float64)
            self.counts = counts
            index = np.arange(verifier.modulus)
            one_token = (counts / vocabulary_size)[(index[:, None] - index[None, :]) % verifier.modulus]
            tail = [np.eye(verifier.modulus)[0]]  # P(sum of k uniform tokens has residue c)
            for _ in range(length - 1):
                tail.append(one_token @ tail[-1])
            self.tail = np.stack(tail[::-1])  # [H, M]: after position h, H − 1 − h tokens remain
            self.squares = self._residue_squares()

    def _residue_squares(self) -> np.ndarray:
        """Σ (∂p/∂θ)² over a subtree without nodes, per squared reach, float64 [H, M]: after position h, by what is
        missing.
        """
        modulus = len(self.counts)
        shift = (np.arange(modulus)[:, None] - np.arange(modulus)[None, :]) % modulus  # [missing, class]
        weight = self.counts / self.vocabulary_size**2
        squares = np.zeros_like(self.tail)
        for h in range(self.length - 2, -1, -1):
            here, next_tail, next_squares = self.tail[h][:, None], self.tail[h + 1][shift], squares[h + 1][shift]
            squares[h] = ((next_tail - here) ** 2 + next_squares) @ weight
        return squares

    def _table(self, tree: Tree) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Of each class of children without a node: (their number, P(correct) below one, P(wrong) below one, Σ
        (∂p/∂θ)² below one per squared reach), float [S, H, C] each.
        """
        if isinstance(self.verifier, AnswerToken):
            return self._answer_table(tree)
        return self._residue_table(tree)

    def _answer_table(self, tree: Tree) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        assert isinstance(self.verifier, AnswerToken)
        position, answer = self.verifier.position % self.length, self.verifier.token
        column = jnp.arange(self.length, dtype=jnp.int32)
        parent = jnp.maximum(tree.node[:, :-1], 0)
        held = tree.is_edge & (tree.token == answer)
        taken = jnp.zeros_like(tree.lump).at[parent, column[None]].add(held.astype(tree.lump.dtype))
        answers = jnp.where(column == position, 1.0 - taken, 0.0)
        count = jnp.stack([answers, tree.untaken - answers], axis=-1)
        before = column < position
        decided = (tree.token[:, position] == answer)[:, None] & (column > position)
        right = jnp.where(before, 1.0 / self.vocabulary_size, decided.astype(tree.lump.dtype))
        wrong = jnp.where(before, 1.0 - 1.0 / self.vocabulary_size, 1.0 - decided.astype(tree.lump.dtype))
        one, zero = jnp.ones_like(right), jnp.zeros_like(right)
        # Below, V^k prefixes (k = position − h − 1) decide, each reached with V^−k and with a spread of (V − 1)/V³.
        size = float(self.vocabulary_size)
        spread = np.where(np.arange(self.length) < position, size ** (np.arange(self.length) + 1.0 - position), 0.0)
        squares = jnp.broadcast_to(jnp.asarray(spread * (size - 1) / size**3, dtype=right.dtype), right.shape)
        pair = jnp.stack([zero, squares], axis=-1)
        return count, jnp.stack([one, right], axis=-1), jnp.stack([zero, wrong], axis=-1), pair

    def _residue_table(self, tree: Tree) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        assert isinstance(self.verifier, ModularSum)
        modulus, residue = self.verifier.modulus, self.verifier.residue
        index = jnp.arange(modulus, dtype=jnp.int32)
        parent, column = jnp.maximum(tree.node[:, :-1], 0), jnp.arange(self.length, dtype=jnp.int32)[None, :]
        one_hot = (tree.is_edge[..., None] & (tree.token[..., None] % modulus == index)).astype(tree.lump.dtype)
        taken = jnp.zeros_like(one_hot).at[parent, column].add(one_hot)
        count = jnp.asarray(self.counts, dtype=tree.lump.dtype) - taken
        before = jnp.cumsum(tree.token % modulus, axis=1, dtype=jnp.int32) - tree.token % modulus
        missing = (residue - before[..., None] - index) % modulus  # what the rest must sum to, for each class
        tail = jnp.asarray(self.tail, dtype=tree.lump.dtype)
        at = jnp.arange(self.length, dtype=jnp.int32)[None, :, None]
        others = jnp.sum(tail, axis=-1)[at] - tail[at, missing]
        return count, tail[at, missing], others, jnp.asarray(self.squares, dtype=tree.lump.dtype)[at, missing]

    def _values(self, tree: Tree) -> tuple[jax.Array, jax.Array]:
        """(P(correct | node), P(wrong | node)), float [S, H + 1] each, summed from positive terms; right at own rows
        only.
        """
        count, right, wrong, _ = self._table(tree)
        lump = (count * jnp.exp(tree.log_untaken)[..., None])[..., None, :] * jnp.stack([right, wrong], axis=-2)
        lump = jnp.sum(lump, axis=-1)  # [S, H, 2]
        leaf = self.verifier.reward(tree.token).astype(tree.lump.dtype)
        below = jnp.stack([leaf, 1.0 - leaf], axis=-1)

        def up(below: jax.Array, level: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
            parent, edge, lump = level
            value = lump.at[jnp.maximum(parent, 0)].add(edge[:, None] * below)
            return value, value

        levels = (tree.node[:, :-1].T, jnp.exp(tree.log_edge).T, jnp.moveaxis(lump, 1, 0))
        _, values = jax.lax.scan(up, below, levels, reverse=True)
        values = jnp.concatenate([jnp.moveaxis(values, 0, 1), below[:, None]], axis=1)
        return values[..., 0], values[..., 1]

    def log_success(self, tree: Tree) -> LogPair:
        """(ln p, ln(1 − p)): the root's values."""
        right, wrong = self._values(tree)
        return jnp.log(right[0, 0]), jnp.log(wrong[0, 0])

    def kappa(self, tree: Tree) -> jax.Array:
        """‖∇p‖² / (p(1 − p))², over all prefixes, those without a node included."""
        right, wrong = self._values(tree)
        count, right_below, _, squares_below = self._table(tree)
        at = (jnp.maximum(tree.node[:, :-1], 0), jnp.arange(self.length, dtype=jnp.int32)[None, :])
        of_child = jnp.where(tree.is_edge, jnp.exp(2 * tree.log_edge) * (right[:, 1:] - right[:, :-1][at]) ** 2, 0.0)
        lump = count * ((right_below - right[:, :-1, None]) ** 2 + squares_below)
        of_lump = jnp.exp(2 * tree.log_untaken) * jnp.sum(lump, axis=-1)
        of_node = jnp.where(tree.is_node[:, :-1], jnp.exp(2 * tree.log_reach[:, :-1]), 0.0)
        squares = jnp.zeros_like(of_lump).at[at].add(of_child) + jnp.where(tree.is_node[:, :-1], of_lump, 0.0)
        return jnp.sum(of_node * squares) / (right[0, 0] * wrong[0, 0]) ** 2
