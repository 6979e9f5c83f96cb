"""Audit of F6, Adam on a raw reward: optax's Adam on a gradient that is zero but once, and policies trained by Adam."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.integrate import solve_ivp
from scipy.special import expit

from simulations.theory_audit.case import Case, Measured, exact, of_seeds

BETA2 = (0.9, 0.95, 0.99, 0.999)
STEPS = (1, 10, 100, 1000, 10_000)
ROUNDS = (0, 2000, 4000, 8000, 16_000)
LEARNING_RATE = 1e-3


def _displacement(beta2: float, step: int, gradient: float = 1e8, gap: int = 0, beta1: float = 0.9) -> float:
    """What optax.adam moves a parameter by when its gradient is zero but at one step (and a second, `gap` later, of
    which half the sum of both moves counts).
    """
    # optax mixes Python floats and int32 in its bias correction, which strict promotion refuses.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        optimizer = optax.adam(1.0, b1=beta1, b2=beta2)
        after = 2000 if beta2 > 0.95 else 500
        gradients = np.zeros(step + gap + after)
        gradients[[step - 1, step - 1 + gap]] = gradient

        def update(state: optax.OptState, g: jax.Array) -> tuple[optax.OptState, jax.Array]:
            moved, state = optimizer.update(-g, state)
            return state, jnp.asarray(moved)

        _, moves = jax.lax.scan(update, optimizer.init(jnp.zeros(())), jnp.asarray(gradients))
        return float(moves.sum()) / (2 if gap else 1)


def _trained(key: int, *, spread: bool, beta2: float, p0: float) -> Measured:
    """Pass@1 of 40 policies trained by Adam, one rollout a round, raw reward.

    With spread: answers with Gaussian features of variance 1 around their class's mean, the means .2 apart in each of
    25 coordinates. A softmax over such answers tilts both classes alike, and logit p is linear in the parameters.
    Without: a table of ten answers, one of them correct.
    """
    generator, seeds = np.random.default_rng(key), 40
    delta = np.full(25, 0.2) if spread else np.append(1.0, np.full(9, -1 / 9))
    theta, first, second = np.zeros((3, seeds, delta.size))
    value = np.empty((seeds, max(ROUNDS) + 1))
    for t in range(value.shape[1]):
        # The wrong answers of the table stay alike: logit p = theta_0 - their common logit + its start.
        logit = np.log(p0 / (1 - p0)) + (theta @ delta if spread else theta[:, 0] - theta[:, 1])
        p = 1 / (1 + np.exp(-logit))
        value[:, t] = p
        gradient = (1 - p)[:, None] * delta
        if spread:
            gradient = gradient + generator.normal(size=theta.shape)
        gradient = gradient * (generator.random(seeds) < p)[:, None]
        first = 0.9 * first + 0.1 * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        corrected = second / (1 - beta2 ** (t + 1))
        step = np.divide(first, np.sqrt(corrected), out=np.zeros_like(first), where=corrected > 0)
        theta = theta + LEARNING_RATE / (10 if not spread else 1) * step / (1 - 0.9 ** (t + 1))
    return of_seeds(value[:, list(ROUNDS)])


def _integrated(spread: str) -> np.ndarray:
    """Regret at ROUNDS by integrating dz/dt = .002 sqrt(p) (1-p), or .002 sqrt(p), from p = .05."""

    def velocity(t: float, state: np.ndarray) -> list[float]:
        p, wrong = expit(state[0]), expit(-state[0])
        return [0.002 * np.sqrt(p) * (wrong if spread == "response" else 1.0), wrong]

    ends = np.asarray(ROUNDS) + 1.0
    start = [np.log(0.05 / 0.95), 0.0]
    return solve_ivp(velocity, (0, ends[-1]), start, method="DOP853", t_eval=ends, rtol=1e-13, atol=1e-13).y[1]


CASES = (
    Case(
        entry="adam_jump",
        instance="optax.adam, one gradient after 50,000 zeros",
        x=BETA2,
        x_label="beta2",
        y_label="displacement, learning rates",
        predict=lambda f: [f(1.0, 0.9, beta2) for beta2 in BETA2],
        measure=lambda key: exact([_displacement(beta2, 50_000) for beta2 in BETA2]),
    ),
    Case(
        entry="adam_jump",
        instance="optax.adam, beta2 = .999, one gradient at an early step",
        x=STEPS,
        x_label="step of the gradient",
        y_label="displacement, learning rates",
        predict=lambda f: [f(1.0, 0.9, 0.999, step) for step in STEPS],
        measure=lambda key: exact([_displacement(0.999, step) for step in STEPS]),
    ),
    Case(
        entry="adam_jump",
        instance="optax.adam, a second gradient 20 steps later",
        x=BETA2,
        x_label="beta2",
        y_label="displacement per success, learning rates",
        predict=lambda f: [f(1.0, 0.9, beta2) for beta2 in BETA2],
        measure=lambda key: exact([_displacement(beta2, 50_000, gap=20) for beta2 in BETA2]),
        inside=False,
        why="The second moment still remembers the first success when the next comes.",
    ),
    Case(
        entry="adam_flow",
        instance="answers whose scores spread, 25 coordinates, p0 = .2, lr .001, beta2 = .998",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.2, 1e-3, 25 * 0.2**2, max(ROUNDS) + 1, beta2=0.998).value[list(ROUNDS)],
        measure=lambda key: _trained(key, spread=True, beta2=0.998, p0=0.2),
        tolerance=0.03,
        why="sigma is not wholly constant (2%), and the second moment fluctuates and lags.",
    ),
    Case(
        entry="adam_flow",
        instance="a table of ten answers, p0 = .2, lr .0001, beta2 = .998",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.2, 1e-4, 2.0, max(ROUNDS) + 1, spread="class", beta2=0.998).value[list(ROUNDS)],
        measure=lambda key: _trained(key, spread=False, beta2=0.998, p0=0.2),
        tolerance=0.02,
        why="The second moment fluctuates and lags.",
    ),
    *(
        Case(
            entry="adam_flow",
            instance=f"its differential equation integrated, spread {spread}",
            x=ROUNDS,
            x_label="round",
            y_label="cumulative regret",
            predict=lambda f, spread=spread: f(0.05, 1e-3, 2.0, max(ROUNDS) + 1, spread=spread).regret[list(ROUNDS)],
            measure=lambda key, spread=spread: exact(_integrated(spread)),
        )
        for spread in ("response", "class")
    ),
    Case(
        entry="adam_flow",
        instance="a table of ten answers, taken for answers whose scores spread",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(0.2, 1e-4, 2.0, max(ROUNDS) + 1, beta2=0.998).value[list(ROUNDS)],
        measure=lambda key: _trained(key, spread=False, beta2=0.998, p0=0.2),
        tolerance=0.02,
        inside=False,
        why="sigma falls with 1-p: the entry assumes a constant spread, which a table does not have.",
    ),
    Case(
        entry="adam_flow",
        instance="answers whose scores spread, p0 = .0005, lr .001, beta2 = .998",
        x=ROUNDS,
        x_label="round",
        y_label="Pass@1",
        predict=lambda f: f(5e-4, 1e-3, 25 * 0.2**2, max(ROUNDS) + 1, beta2=0.998).value[list(ROUNDS)],
        measure=lambda key: _trained(key, spread=True, beta2=0.998, p0=5e-4),
        tolerance=0.03,
        inside=False,
        why="p0 is below 1-beta2: successes are isolated jumps.",
    ),
)
