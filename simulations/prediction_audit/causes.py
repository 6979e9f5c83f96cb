"""Why a prediction failed: each cause that could make it fail, with the measurement that supports or excludes it.

The tree law keeps the kernel that was measured before training, holds for small steps, and knows the correct responses
that its sample showed. Of rows that it misses by more than a quarter, and of as many that it does not (the controls):

- *The kernel drifts.* Half-way to the level the tree is measured anew, on the weights of several seeds, and the rest of
  the way is predicted from there. If the kernel is why, that prediction holds where the first one fails.
- *The step is finite.* The same run with a quarter of the step, against the law of that step. If the step is why, this
  run is predicted better.
- *Correct responses that no sample showed.* Their share of p0, estimated from those that were drawn once (Good and
  Turing): the sum of singletons over all that are correct.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import numpy as np

import bandit_rft
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.theory import compared
from bandit_rft.theory.sequences.tree import jump_law
from llm_bridge.bandits.question_arms import verifier_of
from llm_bridge.data import datasets
from llm_bridge.language_model import LanguageModel
from llm_bridge.measuring.measure import Measurement
from llm_bridge.measuring.response_tree import measure_tree
from llm_bridge.training.state import weights_of_seed
from simulations.prediction_audit.design import MEASURE_KEY, NAMED, RUN_KEY, Condition, Tier, arms_of
from simulations.prediction_audit.half_times import half_time, learner_of

REMEASURED = 4  # seeds whose weights are measured half-way
FINER = 4  # by which the step is divided
MISSED = math.log2(1.25)


def missed(record: dict[str, Any]) -> float | None:
    """log2 (predicted over measured half-time) of a row that the causes are looked for in, else None."""
    said, seen = record.get("predicted", {}).get("tree"), record.get("measured_half_time")
    plain = (record["optimizer"], record["signal"]) == ("sgd", "raw")
    if not plain or not said or not seen or record["successes_at_half_time"] < 5:
        return None
    return math.log2(said / seen)


def chosen(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that are missed, and as many of the others: the first ones of the study. In turn one of these and one of
    those, the shortest runs first, so that a study that is cut has both."""
    tests = [(record, ratio) for record in rows if (ratio := missed(record)) is not None]
    failed = [record for record, ratio in tests if abs(ratio) > MISSED]
    controls = [record for record, ratio in tests if abs(ratio) <= MISSED][: len(failed)]
    by_length = [sorted(group, key=lambda record: record["measured_half_time"]) for group in (failed, controls)]
    pairs = itertools.zip_longest(*by_length)
    return [record for pair in pairs for record in pair if record is not None]


def unseen(measured: Measurement) -> float:
    """The estimated share of p0 that is in correct responses which the sample does not hold."""
    assert measured.tree is not None
    sample = measured.tree.sample
    right = [count for count, reward in zip(sample.counts, sample.rewards, strict=True) if reward > 0.5]
    return sum(count == 1 for count in right) / sum(right)


def causes(
    tier: Tier, model: LanguageModel, record: dict[str, Any], condition: Condition, measured: Measurement
) -> dict[str, Any]:
    """What each cause would show, on one row."""
    level, step = record["level"], record["step_size"]
    example = datasets.load(record["task"], "train").example(record["question"])
    arms, key = arms_of(model, example), RUN_KEY + record["question"]
    half = max(1, round(record["measured_half_time"] / 2))
    state = bandit_rft.run(
        arms, learner_of(tier, model, condition, step), half, seeds=max(2, REMEASURED), key=key
    ).final_state
    values, kappas = [], []
    horizon = 8 * math.ceil(record["measured_half_time"])
    for seed in range(REMEASURED):
        found = measure_tree(
            model,
            example.prompt,
            verifier_of(None, example),
            key=jax.random.fold_in(as_key(MEASURE_KEY), 20_000 + seed),
            max_tokens=tier.max_tokens,
            rollouts=tier.responses,
            batch=min(64, tier.batch),
            params=weights_of_seed(state, seed),
        )
        sample = found.sample
        share = float(np.dot(sample.rewards, sample.counts) / sum(sample.counts))
        try:
            tree = found.tree()
            values.append(jump_law(tree, step).curves(horizon).value)
            kappas.append(tree.kappa)
        except InputError:  # every response takes the same path: it stays as it is
            values.append(np.full(horizon, share))
    rest = np.flatnonzero(np.mean(values, axis=0) >= level)
    assert measured.tree is not None
    finer = compared.mean_curve_time(jump_law(measured.tree.tree(), step / FINER), level)
    rounds = math.ceil(2 * max(finer, FINER * record["measured_half_time"]))
    rewards = bandit_rft.run(
        arms, learner_of(tier, model, condition, step / FINER), rounds, seeds=tier.seeds, key=key
    ).rewards
    seen = half_time(rewards, level)
    return {
        **{name: record[name] for name in ("tier", "model", "task", "question", *NAMED, "measured_half_time")},
        "frozen": record["predicted"]["tree"],
        "remeasured_at": half,
        "remeasured": half + int(rest[0]) if rest.size else None,
        "kappa": record["kappa"],
        "kappa_half_way": float(np.mean(kappas)) if kappas else None,
        "finer_predicted": finer if math.isfinite(finer) else None,
        "finer_measured": seen if math.isfinite(seen) else None,
        "unseen": unseen(measured),
    }
