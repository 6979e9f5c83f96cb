"""Pass@1 and pass@k between the rounds of a fine-tuning run: who measures what, and how it is said."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from bandit_rft.cli_commands.finetune_config import TEST_EVALUATION, TRAIN_EVALUATION, FineTuneConfig

if TYPE_CHECKING:
    import jax

    from llm_bridge import LanguageModel
    from llm_bridge.datasets import Example


def evaluators(
    config: FineTuneConfig, model: LanguageModel, examples: list[Example], test: list[Example], key: jax.Array
) -> dict[str, tuple[int | None, Any]]:
    """Pass@1 and pass@k on training and test questions: rounds between, (weights, rounds done) -> record."""
    import jax

    from bandit_rft.progress import ProgressLine
    from llm_bridge.evaluate import evaluate

    def evaluator(name: str, examples: list[Example], samples: int, purpose: int) -> Any:
        def measure(params: Any, done: int) -> dict[str, Any]:
            with ProgressLine(f"{name} Pass@1 after {done} rounds", unit="responses", quantity="Pass@1") as line:
                found = evaluate(
                    model,
                    examples,
                    key=jax.random.fold_in(jax.random.fold_in(key, purpose), done),
                    max_tokens=config.max_tokens,
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

    found: dict[str, tuple[int | None, Any]] = {}
    most = max(config.ks)
    if config.train_samples:
        shown = examples[: config.train_questions]
        samples = max(-(-config.train_samples // len(shown)), most)
        found["train"] = config.evaluate_every, evaluator("training", shown, samples, TRAIN_EVALUATION)
    if test:
        every = config.evaluate_every if config.test_every is None else config.test_every or None
        found["test"] = every, evaluator("test", test, most, TEST_EVALUATION)
    return found


def tell(line: Any, record: dict[str, Any]) -> None:
    line.clear()
    print(
        f"round {record['round']}: {record['measured']} Pass@1 {record['pass_at_1']:.3f} "
        f"[{record['low']:.3f}, {record['high']:.3f}] ({record['successes']} of {record['samples']} responses)"
        + "".join(f", pass@{k} {value:.3f}" for k, value in record["pass_at_k"].items() if k != "1"),
        flush=True,
    )
    if record["measured"] == "train":
        line.pass_at_1 = record["pass_at_1"]
