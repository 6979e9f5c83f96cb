# pyright: reportArgumentType=false, reportCallIssue=false
"""What a notebook's user gives by mistake to `llm_bridge`: one sentence before any work, never a traceback."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft.errors import InputError
from bandit_rft.keys import as_key, row_keys
from bandit_rft.settings.finetune import FineTuneConfig
from llm_bridge import (
    Evaluator,
    FineTune,
    LanguageModel,
    Measuring,
    PromptArms,
    QuestionArms,
    evaluate,
    finetune,
    join_hosts,
    load_model,
    measure,
    plan_memory,
)
from llm_bridge.bandits.token_arms import TokenPromptArms, TokenQuestionArms

ROWS = [{"question": "1+1=?\n", "answer": "2"}]
NO_COUNT = (None, "3", [3], {}, 3j, float("nan"), 1.5, 0, -1, 2**70, np.array([1]), object())
NO_MODEL = (None, "tiny-llama", [], 3, LanguageModel)
NO_LIST = (None, 3, np.array(3), jnp.float32(1), "abc")


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return load_model("tiny-llama")


def refused(call: Any, values: Any, words: str = "") -> None:
    for value in values:
        with pytest.raises(InputError) as caught:
            call(value)
        said = str(caught.value)
        assert words in said, (value, said)
        assert "\n" not in said
        assert ": " in said, said


def test_what_is_no_model_is_refused_at_every_door() -> None:
    """Catches an AttributeError from deep inside, or one that comes when the arms are first used."""
    for door in (
        FineTune,
        lambda value: PromptArms(value, "1+1=?", len),
        lambda value: QuestionArms(value, ROWS),
        lambda value: TokenPromptArms(value, "1+1=?", "2"),
        lambda value: evaluate(value, ROWS, key=0, max_tokens=2),
        lambda value: measure(value, "1+1=?", len, key=0, max_tokens=2),
    ):
        refused(door, NO_MODEL, "model is of type")
    refused(load_model, (None, 3, [], b"tiny-llama", np.array(1)), "The model's name is")
    refused(lambda value: load_model("tiny-llama", mesh=value), ([], 3, True), "mesh is of type")


def test_counts_of_another_kind_are_refused(model: LanguageModel) -> None:
    """Catches a TypeError of `<`, NumPy's own errors, and 1.5 responses that became one."""
    prompts, keys = [model.encode("1+1=?\n")], row_keys(as_key(0), np.arange(2))
    sampling = {"key": 0, "max_tokens": 2}
    for call, words in (
        (lambda value: model.generate("1+1=?", rollouts=value, **sampling), "rollouts is"),
        (lambda value: model.generate("1+1=?", rollouts=1, key=0, max_tokens=value), "max_tokens is"),
        (lambda value: list(model.sample_waiting(prompts, keys, max_tokens=2, width=value)), "width is"),
        (lambda value: evaluate(model, ROWS, samples=value, **sampling), "samples is"),
        (lambda value: evaluate(model, ROWS, key=0, max_tokens=value), "max_tokens is"),
        (lambda value: measure(model, "1+1=?", len, rollouts=value, **sampling), "rollouts is"),
        (lambda value: measure(model, "1+1=?", len, batch=value, **sampling), "batch is"),
        (lambda value: Measuring(batch=value), "batch is"),
        (lambda value: Evaluator("x", ROWS, ks=(value,)), "A k of Evaluator 'x' is"),
    ):
        refused(call, NO_COUNT if "width" not in words and "batch" not in words else NO_COUNT[:-3], words)
    for name in ("prompts", "rollouts", "epochs", "replay", "warmup_rounds", "micro_batch"):
        refused(lambda value, name=name: FineTune(model, **{name: value}), ("3", float("nan"), 1.5, -1, 2**31), name)


def test_temperatures_and_confidences_out_of_range_are_refused(model: LanguageModel) -> None:
    """Catches 1e-320, which is 0 in float32 and turned every logit into NaN."""
    numbers = (None, "1", [1], -1, float("nan"), float("inf"), 1e-320, 1e300)
    sampling = {"key": 0, "max_tokens": 2}
    refused(lambda value: model.generate("1+1=?", rollouts=1, temperature=value, **sampling), numbers, "temperature is")
    refused(lambda value: evaluate(model, ROWS, temperature=value, **sampling), numbers, "temperature is")
    refused(lambda value: measure(model, "1+1=?", len, temperature=value, **sampling), (*numbers, 0), "temperature is")
    refused(lambda value: FineTune(model, temperature=value), (*numbers, 0), "temperature = ")
    refused(lambda value: evaluate(model, ROWS, confidence=value, **sampling), (None, "x", 0, 1, 2), "confidence is")
    rollouts = model.generate("1+1=?", rollouts=1, **sampling)
    refused(lambda value: model.log_probs("1+1=?", rollouts, temperature=value), (*numbers, 0), "temperature is")


def test_prompts_keys_and_weights_of_another_kind_are_refused(model: LanguageModel) -> None:
    """Catches a text taken for a list of prompts, one of each character; a token that the model lacks, which gave NaN,
    or that of another place; and no prompt, whose longest is none.
    """
    prompts, keys = [model.encode("1+1=?\n")], row_keys(as_key(0), np.arange(2))
    ids = [[np.array([first, 3], np.int32)] for first in (-1, model.config.vocabulary)]
    refused(lambda value: model.sample_rows(value, keys, max_tokens=2), ids, "outside 0 … 63, those of tiny-llama")
    refused(lambda value: list(model.sample_waiting(value, keys, width=2, max_tokens=2)), ids, "outside 0 … 63")
    refused(lambda value: model.sample_rows([], value, max_tokens=2), (keys, keys[:0]), "prompts has none")
    refused(lambda value: model.generate_many(value, key=0, max_tokens=2), NO_LIST, "prompts is of type")
    refused(lambda value: model.sample_rows(value, keys, max_tokens=2), (None, "ab", [[1, 2]], [np.ones((1, 2))]))
    refused(lambda value: model.sample_rows(prompts, value, max_tokens=2), (None, 0, [1], np.zeros((2, 2))), "row_keys")
    refused(
        lambda value: model.sample_rows(prompts, keys, max_tokens=2, prompt_width=value), ("x", 0, 2**40), "prompt_"
    )
    refused(lambda value: model.generate("1+1", rollouts=1, key=0, max_tokens=2, params=value), (3, "x", {}), "params")
    refused(lambda value: model.log_probs("1+1", value), (None, 3, [[1]]), "rollouts is of type")
    refused(model.logits, ([[1, 2], [3]],), "several lengths")


def test_questions_and_verifiers_of_another_kind_are_refused(model: LanguageModel) -> None:
    """Catches a verifier that is none, which showed after a round had been sampled."""
    refused(lambda value: QuestionArms(model, value), NO_LIST, "examples is of type")
    refused(lambda value: TokenQuestionArms(model, value), NO_LIST, "examples is of type")
    refused(lambda value: QuestionArms(model, ROWS, value), ("exactly", 3, [], np.array(1)), "verifier")
    refused(lambda value: Evaluator("x", ROWS, verifier=value), ("exactly", 3, []), "verifier")
    refused(lambda value: PromptArms(model, value, len), (None, 3, b"x", {}, np.array("x")), "The prompt is")
    refused(lambda value: Evaluator(value, ROWS), (None, 3, b"x"), "An Evaluator's name")
    refused(lambda value: Evaluator("x", ROWS, ks=value), (None, 3, "12", (), np.array(3)), "ks")
    refused(lambda value: Evaluator("x", ROWS, every=value), ("x", 0, float("nan")), "every of Evaluator 'x'")


def test_a_run_s_arguments_of_another_kind_are_refused(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a run that begins in the working folder, where `out` is empty, and whatever is left of one refused."""
    monkeypatch.chdir(tmp_path)
    arms, learner = PromptArms(model, "1+1=?\n", len), FineTune(model, max_tokens=2)

    def run(**given: Any) -> Any:
        return finetune(arms, learner, **{"rounds": 1, "shown": False, **given})

    refused(lambda value: run(out=value), ("", 3, [], b"x", np.array(1), "a\0b", "x" * 300), "")
    refused(lambda value: run(log=value), (None, 3, {}, [3], ("nothing",)), "")
    refused(lambda value: run(evaluate=value), (*NO_LIST, [3]), "evaluate")
    refused(lambda value: run(seeds=value), (0, "x", 2**30), "seeds is")
    refused(lambda value: run(rounds=value), (0, None, 2**40), "rounds is")
    refused(lambda value: run(shown=value), (None, "no", 3), "shown is")
    refused(lambda value: run(measure=value), ("x", -1, 2**30), "easur")
    refused(lambda value: run(key=value), (True, -1, 2**70, None, 1.0), "key is")
    refused(lambda value: FineTune(model, schedule=value), (None, [], np.array(1)), "schedule")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_s_and_a_join_s_arguments_are_refused() -> None:
    config = FineTuneConfig(model="tiny-llama", prompt="1+1=", answer="2", max_tokens=4)
    refused(plan_memory, (None, {}, "tiny-llama"), "config is of type")
    refused(lambda value: plan_memory(config, prompt_tokens=value), ("x", 0, float("nan"), 2**40), "--prompt-tokens")
    refused(lambda value: plan_memory(config, limit_gb=value), ("x", 0, float("inf"), 1e300), "--device-memory")
    refused(lambda value: plan_memory(config, target=value), (None, "gpu", 3), "target is")
    refused(join_hosts, (None, 3, [], b"a:1"), "coordinator is")
    refused(lambda value: join_hosts("localhost:9", 2, value), ("x", [], 1.5), "process is")
    refused(lambda value: join_hosts("localhost:9", 2, 1, wait=value), (None, "x", [1], 0, float("nan")), "wait is")
