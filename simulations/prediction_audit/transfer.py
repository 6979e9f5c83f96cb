"""The test curve while one question is trained: predicted from trees of the test questions, and measured."""

from __future__ import annotations

import math
import time
from typing import Any

import jax
import numpy as np

import bandit_rft
from bandit_rft import theory
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from llm_bridge import FineTune
from llm_bridge.bandits.question_arms import verifier_of
from llm_bridge.data import datasets
from llm_bridge.language_model import LanguageModel
from llm_bridge.measuring.evaluate import evaluate
from llm_bridge.measuring.response_tree import MeasuredTree, measure_tree
from llm_bridge.training.state import weights_of_seed
from simulations.prediction_audit.design import MEASURE_KEY, RUN_KEY, Tier, arms_of


def transfer(tier: Tier, model: LanguageModel, task: str, question: int) -> dict[str, Any]:
    """Mean Pass@1 on test questions, predicted and measured, before and after a run of one question at .2/kappa.

    Test questions whose responses all take one path have no decision that could move: they are left out of both means.

    Raises:
        InputError: the question's tree has no law, or no test question has a decision.
    """
    tests = tier.tests
    assert tests is not None
    example = datasets.load(task, "train").example(question)

    def grown(one: Any, key: int, responses: int) -> MeasuredTree:
        return measure_tree(
            model,
            one.prompt,
            verifier_of(None, one),
            key=jax.random.fold_in(as_key(MEASURE_KEY), key),
            max_tokens=tier.max_tokens,
            rollouts=responses,
            batch=min(64, tier.batch),
            sketched=True,
        )

    start = time.monotonic()
    train = grown(example, question, tier.responses)
    tree = train.tree()
    tree.refuse()
    step = 0.2 / tree.kappa
    data = datasets.load(task, "test")
    examples = [data.example(index) for index in range(tests.questions)]
    trees: list[Any] = []
    for place, one in enumerate(examples):
        measured = grown(one, 10_000 + place, tests.responses)
        try:
            trees.append((measured.tree(), measured.cross(train)))
        except InputError:  # no decision: this question stays as it is
            trees.append(None)
    seconds = time.monotonic() - start
    law = theory.tree_jump(tree, step, 1)
    rounds = math.ceil(2 * law.mean_hitting_time(0.5))
    at = np.array([0, rounds // 2, rounds])
    moving = [place for place, one in enumerate(trees) if one is not None]
    if not moving:
        raise InputError("No test question has responses that differ: measure with more responses.")
    said = theory.tree_transfer(tree, [trees[place] for place in moving], step, at)
    learner = FineTune(
        model, learning_rate=step, optimizer="sgd", max_tokens=tier.max_tokens, kl_coefficient=0.0, gradient_clip=None
    )
    arms = arms_of(model, example)
    seen = np.empty((tests.seeds, at.size))
    for column, length in enumerate(at):
        weights = [model.params] * tests.seeds
        if length:
            state = bandit_rft.run(arms, learner, int(length), seeds=tests.seeds, key=RUN_KEY).final_state
            weights = [weights_of_seed(state, seed) for seed in range(tests.seeds)]
        for seed, params in enumerate(weights):
            share = evaluate(
                model,
                examples,
                key=jax.random.fold_in(as_key(RUN_KEY), seed),
                max_tokens=tier.max_tokens,
                samples=tests.samples,
                batch=tier.batch,
                params=params,
            )
            seen[seed, column] = np.mean(share.per_question[moving]) / share.samples_per_question
    return {
        "tier": tier.name,
        "model": model.name,
        "task": task,
        "question": question,
        "rounds": at.tolist(),
        "questions": len(moving),
        "predicted": np.mean(said, axis=0).tolist(),
        "measured": seen.mean(axis=0).tolist(),
        "standard_error": (seen.std(axis=0, ddof=1) / math.sqrt(tests.seeds)).tolist(),
        "measure_seconds": seconds,
    }
