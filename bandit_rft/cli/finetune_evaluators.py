"""Pass@1 and pass@k between the rounds of a fine-tuning run: who measures what, and how it is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bandit_rft.cli.finetune_config import TEST_EVALUATION, TRAIN_EVALUATION, FineTuneConfig

if TYPE_CHECKING:
    import jax

    from bandit_rft.runs.progress import ProgressLine
    from llm_bridge import LanguageModel
    from llm_bridge.data.datasets import Example

# What a line of evaluations.jsonl holds, whoever measured.
EVALUATION_FIELDS: dict[str, type] = {
    **dict.fromkeys(("round", "successes", "samples"), int),
    **dict.fromkeys(("pass_at_1", "low", "high"), float),
    "measured": str,
    "pass_at_k": dict,
}
# (weights, rounds done), and of several seeds the seed -> record
Evaluate = Callable[..., dict[str, Any]]


def evaluators(
    config: FineTuneConfig, model: LanguageModel, examples: list[Example], test: list[Example], key: jax.Array
) -> dict[str, tuple[int | None, Evaluate]]:
    """Pass@1 and pass@k on training and test questions: rounds between, (weights, rounds done) -> record.

    With a seed as third argument the responses are drawn from a key of that seed.
    """
    import jax

    from bandit_rft.runs.progress import ProgressLine
    from llm_bridge.measuring.evaluate import evaluate

    max_tokens = config.max_tokens
    assert max_tokens is not None  # `finetune_learner.fitting` has resolved it

    def evaluator(name: str, examples: list[Example], samples: int, purpose: int) -> Evaluate:
        def measure(params: Any, done: int, seed: int | None = None) -> dict[str, Any]:
            label = f"{name} Pass@1 after {done} rounds" + ("" if seed is None else f" of seed {seed}")
            draws = jax.random.fold_in(jax.random.fold_in(key, purpose), done)
            with ProgressLine(label, unit="responses", quantity="Pass@1") as line:
                found = evaluate(
                    model,
                    examples,
                    key=draws if seed is None else jax.random.fold_in(draws, seed),
                    max_tokens=max_tokens,
                    verifier=config.verifier,
                    samples=samples,
                    temperature=config.temperature,
                    batch=config.evaluation_batch,
                    params=params,
                    progress=line,
                )
            record = {**dataclasses.asdict(found), "per_question": found.per_question.tolist()}
            return {**record, "pass_at_k": {str(k): found.pass_at(k) for k in config.ks}}

        return measure

    found: dict[str, tuple[int | None, Evaluate]] = {}
    most = max(config.ks)
    if config.train_samples:
        shown = examples[: config.train_questions]
        samples = max(-(-config.train_samples // len(shown)), most)
        found["train"] = config.evaluate_every, evaluator("training", shown, samples, TRAIN_EVALUATION)
    if test:
        every = config.evaluate_every if config.test_every is None else config.test_every or None
        found["test"] = every, evaluator("test", test, most, TEST_EVALUATION)
    return found


def tell(line: ProgressLine, record: dict[str, Any]) -> None:
    """Print an evaluation, on a line of its own."""
    line.clear()
    print(
        f"round {record['round']}: {record['measured']} Pass@1 {record['pass_at_1']:.3f} "
        f"[{record['low']:.3f}, {record['high']:.3f}] ({record['successes']} of {record['samples']} responses)"
        + "".join(f", pass@{k} {value:.3f}" for k, value in record["pass_at_k"].items() if k != "1"),
        flush=True,
    )
    if record["measured"] == "train":
        line.pass_at_1 = record["pass_at_1"]


def tell_of_seeds(line: ProgressLine, records: Sequence[dict[str, Any]], rounds: int) -> None:
    """Print an evaluation of all seeds between the first and the last round; the run's summary names those two."""
    shares = [record["pass_at_1"] for record in records]
    mean = sum(shares) / len(shares)
    done, name = records[0]["round"], records[0]["measured"]
    if 0 < done < rounds:
        line.clear()
        spread = f"mean of {len(shares)} seeds from {min(shares):.3f} to {max(shares):.3f}"
        print(f"round {done}: {name} Pass@1 {mean:.3f}, {spread}", flush=True)
    if name == "train":
        line.pass_at_1 = mean
