"""A round of a simulation writes its rows in place: read from the compiled scan, whatever the machine's load."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arms, learners
from bandit_rft.loop import scan
from bandit_rft.random_bits import quick

SEEDS, ROUNDS = 4, 300
LISTED = arms.Bernoulli(np.linspace(0.1, 0.9, 400).tolist())


def copies_in_the_loop(text: str, rows: int) -> list[str]:
    """The copies of whole arrays [SEEDS, rows] that a computation called as a loop's body makes."""
    bodies = set(re.findall(r"body=%?([\w.\-]+)", text))
    found, name = [], None
    for line in text.splitlines():
        opening = re.match(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$", line)
        name = opening.group(1) if opening else name
        if name in bodies and re.search(rf"\[{SEEDS},{rows}\]\S* copy\(", line):
            found.append(line.strip())
    return found


def test_no_row_array_is_copied_in_a_round() -> None:
    """Catches a read of a row that XLA may put after the write, for which it copies the array in every round: a
    quarter of the processor time at 10^3 rows."""
    learner = learners.SoftmaxPolicyGradient(step_size=0.1)
    with jax.enable_x64(True):
        compiled = scan._Compiled(LISTED, learner, ROUNDS, None)
        keys = quick(jax.random.split(jax.random.key(0), SEEDS))
        values = scan._values(LISTED, learner)
        state = compiled.init(values, keys)
        text = compiled.chunk.lower(values, keys, state, jnp.int32(0), ROUNDS).compile().as_text()
    rows = state.rows.count.shape[1]
    assert rows > 100
    assert copies_in_the_loop(text, rows) == []
