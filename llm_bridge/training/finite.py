"""Numbers that stop being finite: said once, with the round and the prompt, before they reach the weights on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft.errors import InputError
from llm_bridge.training.learned_rows import Rows

PyTree = Any
_SHOWN = 80  # characters of a prompt in a message


class NotFiniteError(InputError):
    """A round whose loss, gradient, signal, samples or weights are not finite; the run stops there.

    Attributes:
        round: the round, from 0.
        question: place of its prompt among the arm set's questions, from 0; None where there are several and nothing
            says which.
        prompt: how that prompt begins.
        what: what was not finite.
        sound: the newest checkpoint that can be trusted has at most so many rounds: the weights behind a loss that is
            not finite are themselves suspect, though every one of them may be finite.
    """

    def __init__(self, round: int, question: int | None, prompt: str, what: str, *, sound: int) -> None:
        self.round, self.question, self.prompt, self.what, self.sound = round, question, prompt, what, sound
        on = "" if question is None else f" on prompt {question} ({prompt!r})"
        super().__init__(
            f"Round {round} gave {what}{on}, so the run stopped there: lower the learning rate or check the weights."
        )


def check_records(arms: Any, start: int, records: Mapping[str, Any], kept: Callable[[], Any]) -> None:
    """Raises NotFiniteError for the first round, and in it the first seed, whose numbers are not finite.

    Args:
        arms: of the run.
        start: the first round of the records.
        records: by the loop's names, [S, L, ...] of L rounds; a reward that is NaN says that its response's
            log-probabilities are not finite.
        kept: () -> what the arms keep of these rounds' responses (`ArmSet`); called where numbers are not finite.
    """
    metrics = records["metrics"]
    signs = {
        "responses whose log-probabilities are not finite": np.isfinite(records["rewards"]).all(axis=2),
        "a learning signal that is not finite": np.isfinite(metrics["signal_mean"]),
        "a loss that is not finite": np.isfinite(metrics["loss"]),
        "a gradient that is not finite": np.isfinite(metrics["gradient_norm"]),
    }
    lost = ~np.logical_and.reduce(list(signs.values()))
    if not lost.any():
        return
    offset, seed = (int(place) for place in np.argwhere(lost.T)[0])
    what = next(what for what, sound in signs.items() if not sound[seed, offset])
    where = f" in seed {seed}" if len(lost) > 1 else ""
    row = int(np.argmin(np.isfinite(records["rewards"][seed, offset])))
    found, question = kept() or {}, None
    if len(arms.examples) == 1:
        question = 0
    elif "questions" in found:
        question = int(found["questions"][seed, offset, row])
    prompt, done = "" if question is None else opening(arms, question), start + offset
    raise NotFiniteError(done, question, prompt, f"{what}{where}", sound=done - 1)


def opening(arms: Any, question: int) -> str:
    """The first 80 characters of an arm set's prompt; of chat messages, the last one's."""
    prompt = arms.examples[question].prompt
    text = prompt if isinstance(prompt, str) else str(prompt[-1]["content"])
    return text[:_SHOWN]


def unsound(rows: Rows, log_probs: np.ndarray) -> np.ndarray:
    """bool [R]: rows whose log-probabilities float32 [R, T] are not finite on the response, or whose ratio is not."""
    old = np.asarray(rows.log_probs)
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = np.exp(log_probs - old)
    lost = rows.mask & ~(np.isfinite(log_probs) & np.isfinite(ratio))
    return np.asarray(lost.any(axis=1))


@jax.jit
def all_finite(tree: PyTree) -> jax.Array:
    """Whether every number of a tree of arrays is finite, bool scalar."""
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()
