"""Prefix-tree policy: every prefix has a softmax over its next token; only visited prefixes have parameters.

    θ_prefix[v] ← θ_prefix[v] + Σ_g coefficient_g 1[y_g starts with prefix] (1[next of y_g = v] − π(v | prefix))

A prefix that no moving rollout went through is uniform, and the children of a visited one that were never taken share
one logit (docs/lumping.md): memory is S sequences times H, the law that of the whole tree of V^H leaves. One correct
sequence, raw reward, one rollout: along it logit q_h grows by step_size (1 − q_h) V/(V − 1) per success
(docs/theory.md, F2).

The tree is kept as its S distinct sequences. Node (s, h) is the prefix of length h of sequence s, and belongs to the
first sequence that has it: `node[s, h]` is that sequence, and the row that counts.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.policies import policy as exact
from bandit_rft.policies.policy import EMPTY, TokenPolicy
from bandit_rft.policies.prefix_tree_value import Tree, closed_forms, needle_log_odds
from bandit_rft.verifiers import Needle, Verifier


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Params:
    """The visited part of the tree.

    Attributes:
        token: int32 [S, H], the sequences.
        node: int32 [S, H + 1], first sequence with the same prefix of length h; −1 where a slot is not in use.
        logit: float [S, H], of the edge from (s, h) to (s, h + 1); counts where node[s, h + 1] = s.
        lump: float [S, H], of each child of (s, h) that has no node; counts where node[s, h] = s.
        used: int32 scalar, sequences.
        overflowed: bool scalar.
    """

    token: jax.Array
    node: jax.Array
    logit: jax.Array
    lump: jax.Array
    used: jax.Array
    overflowed: jax.Array


@dataclass(frozen=True)
class PrefixTree:
    """Lazily grown prefix tree. p and κ are exact for Needle, AnswerToken and ModularSum.

    Base policy: uniform, or (Needle alone) each step along the target at probability p0^(1/H). Other verifiers take
    no p0: their correct sequences spread over prefixes that have no parameters yet.

    Example:
        >>> from bandit_rft import arms, policies, verifiers
        >>> arms.TokenSequences(10, 3, verifiers.Needle((1, 2, 3)), policies.PrefixTree()).best_mean
        1.0
    """

    @property
    def name(self) -> str:
        return "PrefixTree"

    def bind(
        self,
        vocabulary_size: int,
        length: int,
        verifier: Verifier | None = None,
        p0: float | None = None,
        *,
        touches: int | None = None,
    ) -> TokenPolicy:
        """See `TokenPolicyFactory.bind`; without `touches` there is room for 256 sequences."""
        slots = 1 + (256 if touches is None else touches)
        if slots * math.log(2) > length * math.log(vocabulary_size):  # the whole tree may fit
            slots = min(slots, vocabulary_size**length)
        exact.require_room(4 * slots * length, "The prefix tree")
        needed = exact.needed_tokens(verifier, length, p0, "prefix-tree")
        if p0 is not None and not isinstance(verifier, Needle):
            raise InputError("p0 sets the base policy of a prefix tree for Needle alone: leave p0 out.")
        # A first sequence is there from the start (the needle, else any), so that the root always has a row.
        first = needed if isinstance(verifier, Needle) and needed is not None else np.zeros(length, np.int32)
        start = 0.0 if p0 is None else exact.log_odds_of_needed_token(p0, first) + math.log(vocabulary_size - 1)
        grow = touches is None or touches > 0

        def init() -> Params:
            return Params(
                token=jnp.zeros((slots, length), jnp.int32).at[0].set(jnp.asarray(first, jnp.int32)),
                node=jnp.full((slots, length + 1), -1, jnp.int32).at[0].set(0),
                logit=jnp.zeros((slots, length), dtype=float).at[0].set(start),
                lump=jnp.zeros((slots, length), dtype=float),
                used=jnp.ones((), jnp.int32),
                overflowed=jnp.zeros((), bool),
            )

        measure = functools.partial(_measure, vocabulary_size)
        log_success, kappa = closed_forms(verifier, vocabulary_size, length)
        return TokenPolicy(
            init=init,
            sample=functools.partial(_sample, vocabulary_size),
            log_prob=functools.partial(_log_prob, vocabulary_size),
            step=functools.partial(_step, vocabulary_size, grow),
            log_success=None if log_success is None else lambda params: log_success(measure(params)),
            kappa=None if kappa is None else lambda params: kappa(measure(params)),
            overflowed=lambda params: params.overflowed,
            needed_log_odds=(lambda params: needle_log_odds(measure(params))) if isinstance(verifier, Needle) else None,
        )


def _measure(vocabulary_size: int, params: Params) -> Tree:
    """Normalised probabilities of everything that has a node."""
    slots, length = params.token.shape
    parent, row, column = (
        params.node[:, :-1],
        jnp.arange(slots, dtype=jnp.int32)[:, None],
        jnp.arange(length, dtype=jnp.int32)[None, :],
    )
    is_edge = params.node[:, 1:] == row
    at = (jnp.maximum(parent, 0), column)
    masked = jnp.where(is_edge, params.logit, -jnp.inf)
    children = jnp.zeros_like(parent).at[at].add(is_edge.astype(jnp.int32))
    untaken = (vocabulary_size - children).astype(params.lump.dtype)
    # Where every child has a node the lump is nobody's logit: outside the norm it would grow without bound.
    lump = jnp.where(untaken > 0, params.lump, -jnp.inf)
    largest = lump.at[at].max(masked)
    scaled = jnp.where(is_edge, jnp.exp(masked - largest[at]), 0.0)
    total = jnp.zeros_like(lump).at[at].add(scaled) + untaken * jnp.exp(lump - largest)
    log_norm = largest + jnp.log(total)
    log_edge = jnp.where(is_edge, params.logit - log_norm[at], -jnp.inf)
    along = log_edge[jnp.maximum(params.node[:, 1:], 0), column]
    log_reach = jnp.concatenate([jnp.zeros((slots, 1), along.dtype), jnp.cumsum(along, axis=1)], axis=1)
    return Tree(
        token=params.token,
        node=params.node,
        logit=params.logit,
        lump=lump,
        is_edge=is_edge,
        is_node=params.node == row,
        log_edge=log_edge,
        log_untaken=lump - log_norm,
        untaken=untaken,
        log_reach=log_reach,
    )


def _sample(vocabulary_size: int, key: jax.Array, params: Params, rollouts: int) -> jax.Array:
    """Draw where a response leaves the tree, among all its nodes at once; an untaken child, then uniform tokens."""
    place_key, fresh_key, rest_key = jax.random.split(as_key(key), 3)
    tree = _measure(vocabulary_size, params)
    length = params.token.shape[1]
    leave = tree.log_reach[:, :-1] + tree.log_untaken + jnp.log(tree.untaken)
    log_weight = jnp.where(tree.is_node, jnp.concatenate([leave, tree.log_reach[:, -1:]], axis=1), -jnp.inf).reshape(-1)
    below = jnp.cumsum(jnp.exp(log_weight))
    uniform = jax.random.uniform(place_key, (rollouts,), dtype=below.dtype) * below[-1]
    place = jnp.minimum(jnp.searchsorted(below, uniform, side="right"), log_weight.shape[0] - 1).astype(jnp.int32)
    # Rounding could point at a place of weight zero: then, once in 10^16 draws, take the likeliest.
    place = jnp.where(log_weight[place] > -jnp.inf, place, jnp.argmax(log_weight).astype(jnp.int32))
    row, depth = place // (length + 1), place % (length + 1)
    at = jnp.minimum(depth, length - 1)
    taken = tree.is_edge[:, at].T & (row[:, None] == params.node[:, at].T)
    used = jnp.sort(jnp.where(taken, params.token[:, at].T, EMPTY), axis=1)
    unused = jnp.maximum(tree.untaken[row, at].astype(jnp.int32), 1)
    fresh = exact.unused_token(jax.random.randint(fresh_key, (rollouts,), 0, unused, jnp.int32), used)
    uniform_tokens = jax.random.randint(rest_key, (rollouts, length), 0, vocabulary_size, jnp.int32)
    column = jnp.arange(length, dtype=jnp.int32)[None, :]
    after = jnp.where(column == depth[:, None], fresh[:, None], uniform_tokens)
    return jnp.where(column < depth[:, None], params.token[row], after)


def _walk(params: Params, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(node int32 [H + 1], whether it exists bool [H + 1]) along one sequence int32 [H]."""
    slots = params.token.shape[0]
    in_use = jnp.arange(slots, dtype=jnp.int32) < params.used
    same = jnp.cumprod((params.token == tokens).astype(jnp.int32), axis=1) > 0
    match = in_use[:, None] & jnp.concatenate([jnp.ones((slots, 1), bool), same], axis=1)
    return jnp.argmax(match, axis=0).astype(jnp.int32), jnp.any(match, axis=0)


def _log_prob(vocabulary_size: int, params: Params, tokens: jax.Array) -> jax.Array:
    tree = _measure(vocabulary_size, params)
    column = jnp.arange(params.token.shape[1], dtype=jnp.int32)

    def one(sequence: jax.Array) -> jax.Array:
        node, exists = _walk(params, sequence)
        outside = jnp.where(exists[:-1], tree.log_untaken[node[:-1], column], -math.log(vocabulary_size))
        return jnp.sum(jnp.where(exists[1:], tree.log_edge[node[1:], column], outside))

    return jax.vmap(one)(tokens)


def _insert(params: Params, moving: tuple[jax.Array, jax.Array]) -> tuple[Params, None]:
    """Give one sequence's prefixes a node each; the policy does not change."""
    tokens, moves = moving
    node, exists = _walk(params, tokens)
    slots, length = params.token.shape
    new = moves & ~exists[-1]
    slot = jnp.where(new, params.used, slots)  # beyond the end: dropped
    inherited = jnp.where(exists[:-1], params.lump[node[:-1], jnp.arange(length, dtype=jnp.int32)], 0.0)
    # A fresh slot's lump is still zero: a new node is uniform.
    return replace(
        params,
        token=params.token.at[slot].set(tokens, mode="drop"),
        node=params.node.at[slot].set(jnp.where(exists, node, params.used), mode="drop"),
        logit=params.logit.at[slot].set(inherited, mode="drop"),
        used=params.used + new.astype(jnp.int32),
        overflowed=params.overflowed | (new & (params.used == slots)),
    ), None


def _step(vocabulary_size: int, grow: bool, params: Params, tokens: jax.Array, coefficient: jax.Array) -> Params:
    if grow:
        params, _ = jax.lax.scan(_insert, params, (tokens, coefficient != 0))
    tree = _measure(vocabulary_size, params)
    slots, length = params.token.shape
    node, exists = jax.vmap(functools.partial(_walk, params))(tokens)
    column = jnp.arange(length + 1, dtype=jnp.int32)[None, :]
    signal = jnp.where(exists, coefficient[:, None], 0.0)
    through = jnp.zeros((slots, length + 1), signal.dtype).at[node, column].add(signal)
    from_parent = through[jnp.maximum(params.node[:, :-1], 0), column[:, :-1]]
    gain = through[:, 1:] - from_parent * jnp.exp(tree.log_edge)
    fall = jnp.where(tree.is_node[:, :-1], through[:, :-1] * jnp.exp(tree.log_untaken), 0.0)
    return replace(params, logit=params.logit + jnp.where(tree.is_edge, gain, 0.0), lump=params.lump - fall)
