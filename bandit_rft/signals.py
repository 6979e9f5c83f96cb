"""Signals: G rewards of a round in, G learning signals out. Tables and LLMs call the same functions.

A signal is what the field calls the advantage: the factor of ∇ log π(response) in the policy gradient.

| name | signal of rollout g | source |
| --- | --- | --- |
| raw | r_g | arXiv 2601.14599, the minimalist configuration |
| signed | 2 r_g − 1: −1 for wrong, +1 for correct | arXiv 2601.14599, negative rewards |
| mean_baseline | r_g − mean(r); a group of one: 0 | Dr.GRPO, arXiv 2503.20783 (no division by the spread) |
| rloo | G/(G−1) · (r_g − mean(r)); a group of one: r_g | RLOO, arXiv 2402.14740; singleton as in verl |
| grpo | (r_g − mean(r)) / (std_ddof(r) + eps); group of one: r_g/(1 + eps) | GRPO, arXiv 2402.03300; singleton: verl |
| maxrl | r_g / mean(r); 0 where mean(r) ≤ 0 | MaxRL, arXiv 2602.02710: the mean over correct rollouts alone |
| maxrl_centred | (r_g − mean(r)) / mean(r); 0 where mean(r) ≤ 0 | the same with the mean score as control variate |
| pass_at_k | k · mean over k−1 of the other rollouts, S, of (r_g − max(S))⁺; k = 1: r_g | arXiv 2505.15201, s^(loo−1) |
| psr | r_g: only correct responses teach | positive sample reinforcement, arXiv 2506.01347 |
| nsr | r_g − 1: only wrong responses teach; psr + nsr = signed | negative sample reinforcement, arXiv 2506.01347 |

The first five are verl's but for two things. Of a group of one, verl's Dr.GRPO (norm_adv_by_std_in_grpo=False) learns
from the raw reward, and `mean_baseline` gives 0: the mean of one reward is that reward, and the theory's drift 1 − 1/G
counts on it. And a group whose rewards are equal but for rounding has the signal exactly 0 under the last three of
them, where verl's is the rounding left of the mean, divided by eps and a spread of the same size.

Each takes rewards [G] float and returns [G] of the same dtype. Beyond a group's own rewards go `windowed` (mean and
spread of a prompt's newest scores) and `batch_normalised` (spread of all groups of a round).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments, own_code
from bandit_rft.errors import InputError

Signal = Callable[[jax.Array], jax.Array]

# Rewards are equal where they differ by so many roundings of the largest at most: sums in another order do that much.
ROUNDINGS = 4.0


def raw(rewards: jax.Array) -> jax.Array:
    """The reward itself.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import signals
        >>> print(signals.raw(jnp.array([1.0, 0.0, 0.0, 1.0])).round(3))
        [1. 0. 0. 1.]
    """
    return rewards


def signed(rewards: jax.Array) -> jax.Array:
    """2r − 1, for rewards in [0, 1]: a wrong response is pushed down as hard as a correct one is pushed up.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import signals
        >>> print(signals.signed(jnp.array([1.0, 0.0, 0.0, 1.0])).round(3))
        [ 1. -1. -1.  1.]
    """
    return 2 * rewards - 1


def dead(rewards: jax.Array) -> jax.Array:
    """bool scalar: the rewards [G] are equal, but for rounding of their own size. Of float32 rewards near 1 those are
    that differ by less than 5e-7; all others have verl's signals.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import signals
        >>> signals.dead(jnp.array([[1.0, 0.0], [1.0, 1.0]])).tolist()
        False
    """
    spread = jnp.max(rewards) - jnp.min(rewards)
    return spread <= ROUNDINGS * jnp.finfo(rewards.dtype).eps * jnp.max(jnp.abs(rewards))


def _centred(rewards: jax.Array) -> jax.Array:
    """r − mean(r); exactly 0 for a dead group, where the mean's own rounding would be left."""
    return jnp.where(dead(rewards), jnp.zeros_like(rewards), rewards - jnp.mean(rewards))


def mean_baseline(rewards: jax.Array) -> jax.Array:
    """r − mean(r). A group of one gives 0: its own reward is its baseline, and nothing is learnt (verl's Dr.GRPO gives
    the raw reward there).

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import signals
        >>> print(signals.mean_baseline(jnp.array([1.0, 0.0, 0.0, 1.0])).round(3))
        [ 0.5 -0.5 -0.5  0.5]
    """
    return _centred(rewards)


def rloo(rewards: jax.Array) -> jax.Array:
    """Leave-one-out baseline, r_g − mean of the others. A group of one gives the raw reward, as verl does.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import signals
        >>> print(signals.rloo(jnp.array([1.0, 0.0, 0.0, 1.0])).round(3))
        [ 0.66700006 -0.66700006 -0.66700006  0.66700006]
    """
    rollouts = rewards.shape[-1]
    if rollouts == 1:
        return rewards
    return _centred(rewards) * (rollouts / (rollouts - 1))


def grpo(rewards: jax.Array, *, ddof: int = 1, eps: float = 1e-6) -> jax.Array:
    """(r − mean) / (std + eps). A dead group (all rewards equal, but for rounding) gives exact zeros, also at eps = 0.

    Args:
        rewards: [G] float.
        ddof: 1 for the sample standard deviation (verl, TRL, Tunix), 0 for the population's (open-instruct).
        eps: added to the standard deviation (verl 1e-6, TRL 1e-4, open-instruct 1e-8).

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import signals
        >>> print(signals.grpo(jnp.array([1.0, 0.0, 0.0, 1.0])).round(3))
        [ 0.86600006 -0.86600006 -0.86600006  0.86600006]
    """
    rollouts = rewards.shape[-1]
    if rollouts == 1:
        return rewards / (1 + eps)
    centred = _centred(rewards)
    # Rounding of the mean must not read as spread: a dead group is recognised by its rewards, not by its std.
    variance = jnp.sum(centred**2) / (rollouts - ddof)
    return centred / (jnp.sqrt(jnp.where(dead(rewards), jnp.ones_like(variance), variance)) + eps)


def windowed(
    rewards: jax.Array, past: jax.Array, seen: jax.Array, *, normalised: bool, ddof: int = 1, eps: float = 1e-6
) -> jax.Array:
    """The signals of new rewards by the mean, and spread where normalised, of a window of scores with earlier ones.

    Args:
        rewards: [G] float, of this round; they are part of the window.
        past: [W - G] float, of earlier rounds, the newest first.
        seen: int scalar, how many of these there are yet.
        normalised: divide by std + eps (grpo); otherwise only the mean is taken away (mean_baseline).
        ddof, eps: as in `grpo`.

    Returns:
        [G], exact zeros where all scores of the window are equal, one score alone among them: that score's own mean is
        all there is. arXiv 2601.22532 has the raw reward there, as `grpo` has for a group of one; it differs in the
        first round of each question, where G = 1.
    """
    scores = jnp.concatenate([rewards, past])
    held = jnp.arange(scores.shape[0], dtype=seen.dtype) < rewards.shape[0] + seen
    count = jnp.sum(held.astype(rewards.dtype))
    scores = jnp.where(held, scores, rewards[0])
    equal = dead(scores)
    mean = jnp.sum(jnp.where(held, scores, 0)) / count
    centred = jnp.where(equal, jnp.zeros_like(rewards), rewards - mean)
    if not normalised:
        return centred
    variance = jnp.sum(jnp.where(held, scores - mean, 0) ** 2) / jnp.maximum(count - ddof, 1)
    return centred / (jnp.sqrt(jnp.where(equal, jnp.ones_like(variance), variance)) + eps)


def slid(rewards: jax.Array, past: jax.Array, seen: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(past, seen) of a window after this round's rewards [G]; arguments as `windowed` takes them."""
    size = past.shape[0]
    scores = jnp.concatenate([rewards[::-1], past])[:size]
    return scores, jnp.minimum(seen + rewards.shape[0], size)


def batch_normalised(rewards: jax.Array, *, ddof: int = 1, eps: float = 1e-6) -> jax.Array:
    """(r − mean of its group) / (std of all rewards of the round + eps): GRPO with the batch's standard deviation.

    TRL's scale_rewards="batch" (eps 1e-4) and Lite PPO's advantage (arXiv 2508.08221). REINFORCE++-baseline (arXiv
    2501.03262) divides by the spread of the centred rewards instead.

    Args:
        rewards: [B, G] float, B groups.
        ddof, eps: as in `grpo`.

    Returns:
        [B, G]; exact zeros for a dead group.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import signals
        >>> print(signals.batch_normalised(jnp.array([[1.0, 0.0], [1.0, 1.0]])).round(3))
        [[ 1. -1.]
         [ 0.  0.]]
    """
    every = rewards.reshape(-1)
    equal = dead(every)
    variance = jnp.sum((every - jnp.mean(every)) ** 2) / max(every.shape[0] - ddof, 1)
    spread = jnp.sqrt(jnp.where(equal, jnp.ones_like(variance), variance)) + eps
    return jax.vmap(_centred)(rewards) / spread


def maxrl(rewards: jax.Array) -> jax.Array:
    """r / mean(r): the round's update is the mean score of its correct rollouts. A group whose mean is not positive
    has the signal 0.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import signals
        >>> print(signals.maxrl(jnp.array([1.0, 0.0, 0.0, 1.0])).round(3))
        [2. 0. 0. 2.]
    """
    mean = jnp.mean(rewards)
    return jnp.where(mean > 0, rewards / jnp.where(mean > 0, mean, 1), jnp.zeros_like(rewards))


def maxrl_centred(rewards: jax.Array) -> jax.Array:
    """(r − mean(r)) / mean(r); 0 for a group whose mean is not positive, and for a dead group.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import signals
        >>> print(signals.maxrl_centred(jnp.array([1.0, 0.0, 0.0, 1.0])).round(3))
        [ 1. -1. -1.  1.]
    """
    mean = jnp.mean(rewards)
    return jnp.where(mean > 0, _centred(rewards) / jnp.where(mean > 0, mean, 1), jnp.zeros_like(rewards))


def pass_at_k(rewards: jax.Array, *, k: int | None = None) -> jax.Array:
    """What a rollout adds to the largest reward of k − 1 others, averaged over the sets of others, times k.

    For rewards 0 and 1 a correct rollout has k · C(wrong, k−1) / C(G−1, k−1) and a wrong one 0. The mean of signal
    times score is an unbiased estimate of the gradient of E[max of k rewards], which is pass@k of rewards 0 and 1.

    Args:
        rewards: [G] float.
        k: from 1 (the raw reward) to G; None: G.

    Raises:
        InputError: k outside 1 to G.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import signals
        >>> print(signals.pass_at_k(jnp.array([1.0, 0.0, 0.0, 1.0])).round(3))
        [0. 0. 0. 0.]
    """
    rollouts = rewards.shape[-1]
    k = check_k(k, rollouts)
    if k == 1:
        return rewards
    order = jnp.argsort(rewards)
    ascending = rewards[order]
    # Of the sets of k − 1 others, the share whose rewards are all among the lowest 1, 2, …, G − 1.
    below = np.arange(1, rollouts)
    share = np.ones(rollouts - 1)
    for j in range(k - 1):
        share *= np.maximum(below - j, 0) / (rollouts - 1 - j)
    # Of positive terms alone: what each step up in reward adds, times the share of sets that lie below the step.
    gain = jnp.cumsum(jnp.diff(ascending) * jnp.asarray(k * share, rewards.dtype))
    return jnp.zeros_like(rewards).at[order[1:]].set(gain)


def check_k(k: int | None, rollouts: int) -> int:
    """The k of pass_at_k among G rollouts; None: G. Raises InputError outside 1 to G."""
    if k is None:
        return rollouts
    k = arguments.whole("k", k)
    if k > rollouts:
        raise InputError(
            f"pass_at_k has k = {k} and {rollouts} rollouts per group: give at least as many rollouts as k."
        )
    return k


def psr(rewards: jax.Array) -> jax.Array:
    """The reward itself, for rewards in [0, 1]: a wrong response teaches nothing.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import signals
        >>> print(signals.psr(jnp.array([1.0, 0.0, 0.0, 1.0])).round(3))
        [1. 0. 0. 1.]
    """
    return rewards


def nsr(rewards: jax.Array) -> jax.Array:
    """r − 1, for rewards in [0, 1]: a correct response teaches nothing, a wrong one is pushed down.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import signals
        >>> print(signals.nsr(jnp.array([1.0, 0.0, 0.0, 1.0])).round(3))
        [ 0. -1. -1.  0.]
    """
    return rewards - 1


NORMALISATIONS = ("group", "batch")


def check_spread(ddof: int, eps: float) -> None:
    """Raises InputError for GRPO's degrees of freedom other than 0 and 1, or a negative eps."""
    if ddof not in (0, 1):
        raise InputError(f"ddof is {arguments.shown(ddof)}: give 0 (population) or 1 (sample standard deviation).")
    arguments.at_least("eps", eps, 0)


NAMES = ("raw", "signed", "mean_baseline", "rloo", "grpo", "maxrl", "maxrl_centred", "pass_at_k", "psr", "nsr")

# Of rewards that are nowhere negative, a reward of 0 has the signal 0 under these.
SUCCESSES_ONLY = ("raw", "psr", "maxrl", "pass_at_k")

# A group of two or more equal rewards has the signal 0 under these.
CENTRED = ("mean_baseline", "rloo", "grpo", "maxrl_centred")


def of_one(name: str | Signal, eps: float = 1e-6) -> float | None:
    """c where the signal of a group of one is c times its own reward, for a reward of 0 or 1; None where it is no such
    multiple, or a function of the user's own. It is 0 where such a group teaches nothing.

    Args:
        name: of the signal. eps: of grpo, at least 0.

    Example:
        >>> from bandit_rft import signals
        >>> signals.of_one("rloo"), signals.of_one("mean_baseline"), signals.of_one("signed")
        (1.0, 0.0, None)
    """
    if name in ("mean_baseline", "maxrl_centred"):
        return 0.0
    if name == "grpo":
        return 1.0 / (1.0 + eps)
    return 1.0 if name in ("raw", "rloo", "maxrl", "pass_at_k", "psr") else None


def make(name: str | Signal, *, ddof: int = 1, eps: float = 1e-6, k: int | None = None) -> Signal:
    """The signal of that name (a callable passes through); `ddof` and `eps` reach GRPO alone, and `k` pass_at_k. All
    are checked whatever the signal.

    Raises:
        InputError: unknown name, ddof not 0 or 1, eps negative, or k below 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from bandit_rft import signals
        >>> print(signals.make("grpo", ddof=0)(jnp.array([1.0, 0.0])).round(3))
        [ 1. -1.]
    """
    check_spread(ddof, eps)
    k = None if k is None else arguments.whole("k", k)
    if callable(name):
        if not own_code.holds_own(name):
            return name
        return own_code.watched(f"The signal {getattr(name, '__name__', type(name).__name__)}", name)
    table: dict[str, Signal] = {
        "raw": raw,
        "signed": signed,
        "mean_baseline": mean_baseline,
        "rloo": rloo,
        "grpo": lambda rewards: grpo(rewards, ddof=ddof, eps=eps),
        "maxrl": maxrl,
        "maxrl_centred": maxrl_centred,
        "pass_at_k": lambda rewards: pass_at_k(rewards, k=k),
        "psr": psr,
        "nsr": nsr,
    }
    if not isinstance(name, str) or name not in table:
        raise InputError(f"Signal {arguments.shown(name)} is unknown: choose one of {', '.join(NAMES)}.")
    return table[name]
