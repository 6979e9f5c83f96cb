"""What `--plan` predicts is what XLA says of the very calls that a run makes, and what the options save is saved."""

from __future__ import annotations

import dataclasses
import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.core import Tracer

import bandit_rft
from bandit_rft.cli import main
from bandit_rft.errors import InputError
from bandit_rft.settings.finetune import FineTuneConfig
from llm_bridge import FineTune, LanguageModel, PromptArms, plan_memory
from llm_bridge.measuring import branch_scores, prompt_scores
from llm_bridge.measuring.measure import measure
from llm_bridge.models.config import DecoderConfig
from llm_bridge.sampling import generate
from llm_bridge.training import memory_plan, policy_gradient
from llm_bridge.training.memory_programs import Programs, abstract_params, bytes_of
from llm_bridge.training.narrow_moments import rounded
from tests.llm_bridge import toy
from tests.llm_bridge.updates import early_letter

CONFIGS = Path(__file__).parent / "configs"
Held = dict[str, int]


def held_by(program: Any) -> int:
    """Bytes that XLA says a program holds in all."""
    found = program.memory_analysis()
    size = found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
    return size - found.alias_size_in_bytes


def spied(monkeypatch: pytest.MonkeyPatch, held: Held) -> None:
    """The largest that each compiled function of a round holds, by name, from its real arguments."""

    def watch(module: Any, name: str) -> None:
        function: Any = getattr(module, name)

        def called(*arguments: Any, **named: Any) -> Any:
            if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((arguments, named))):
                size = held_by(function.lower(*arguments, **named).compile())
                held[name] = max(held.get(name, 0), size)
            return function(*arguments, **named)

        monkeypatch.setattr(module, name, called)

    for name in ("prefill", "decode"):
        watch(generate, name)
    for name in ("loss_and_gradient", "accumulated", "token_log_probs", "step_donated"):
        watch(policy_gradient, name)


SETTINGS = [
    {"rollouts": 8, "micro_batch": 4, "signal": "grpo"},
    pytest.param({"rollouts": 4, "signal": "grpo", "remat": True, "lora_rank": 2}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["full", "adapters"])
def test_programs_from_shapes_hold_what_the_programs_of_a_run_hold(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """A real round, every call of which XLA is asked about, against the plan's programs, made of shapes: within 15%.
    Catches a bucket, a micro-batch, a cache or an argument that the plan forms otherwise than the run."""
    settings = dict(settings)
    rank = settings.pop("lora_rank", None)
    given: dict[str, Any] = {"max_tokens": 12, "learning_rate": 1e-3, **settings}
    model = toy.model(spread=3.0, layers=3, eos_ids=())  # nothing ends a response: all have their full length
    model = model if rank is None else model.with_lora(rank)
    found: Held = {}
    spied(monkeypatch, found)
    bandit_rft.run(PromptArms(model, "hello", early_letter), FineTune(model, **given), rounds=1, key=0)
    monkeypatch.undo()
    graphdef, params = abstract_params(model.config, dtype="float32", param_dtype="float32")
    shapes = LanguageModel(name="toy", config=model.config, graphdef=graphdef, params=params, tokenizer=None)
    programs = Programs(FineTune(shapes, **given), 1, 5, 3, {})
    gradient = "accumulated" if "micro_batch" in given else "loss_and_gradient"
    planned: dict[str, Any] = {
        **{name: value for name, value in programs.sampling(given["rollouts"], 1).items() if name != "grow"},
        "token_log_probs": programs.scoring(),
        gradient: programs.gradient(),
        "step_donated": programs.step(donated=True),
    }
    for name, program in planned.items():
        predicted = program.arguments + program.made
        assert abs(predicted / found[name] - 1) < 0.15, (name, predicted, found[name])
    assert found.keys() == planned.keys()


@pytest.mark.slow
def test_a_plan_of_qwen_is_what_xla_says_of_its_update_and_sampling() -> None:
    """Qwen2.5-0.5B in its own shape: each phase is its program and what stands beside it, within 15%. Catches a layer
    that is counted once, and temporaries that are left out of a phase."""
    values = json.loads((CONFIGS / "Qwen2.5-0.5B-Instruct.json").read_text())
    shape = DecoderConfig.from_values(values, source="Qwen2.5-0.5B")
    config = FineTuneConfig(model="q", data="gsm8k", rollouts=8, max_tokens=128, micro_batch=4, train_samples=0)
    plan, programs = memory_plan._planned(config, shape, 96, "here", {})
    phases = {phase.name: phase.total for phase in plan.phases}
    weights, moments, copy = bytes_of(programs.weights), bytes_of(programs.moments), programs.decoding_copy()[0]
    gradient, decode = programs.gradient(), programs.sampling(8, 1)["decode"]
    for name, whole in (
        ("gradient", gradient.arguments + gradient.made + weights + moments),
        ("sampling", decode.arguments + decode.made + 2 * weights + moments),
    ):
        assert abs(phases[name] / whole - 1) < 0.15, (name, phases[name], whole)
    assert abs(weights / (494e6 * 4) - 1) < 0.01
    assert copy > weights  # a tied head is there twice


def live(kind: Any = None) -> int:
    """Bytes of all arrays that something still refers to, or of those of a dtype.

    What earlier tests left in cycles is swept first: freed between two looks, it would count as memory saved.
    """
    gc.collect()
    return sum(array.nbytes for array in jax.live_arrays() if kind is None or array.dtype == kind)


@pytest.mark.slow
def test_a_reference_that_no_term_needs_is_not_held() -> None:
    """Arrays alive after two rounds, with the model kept and handed over: less by the weights. Catches a second copy
    that something still refers to, and other numbers of a run that has none."""
    histories, sizes = [], []
    for keep in (True, False):
        model = toy.model(spread=3.0, width=64)
        settings = {"kl_coefficient": 0.0, "rollouts": 4, "max_tokens": 4, "signal": "grpo", "learning_rate": 1e-2}
        learner = FineTune(model, keep_model=keep, **settings)
        weights, before = bytes_of(model.params), live()
        histories.append(bandit_rft.run(PromptArms(model, "hello", early_letter), learner, rounds=2, key=0))
        model.release_decoding_weights()
        sizes.append(live() - before)
    np.testing.assert_array_equal(histories[0].rewards, histories[1].rewards)
    assert abs(sizes[0] - sizes[1] - weights) < 0.05 * weights
    with pytest.raises(InputError, match="handed over"):
        model.hand_over()
    with pytest.raises(InputError, match="reference"):
        FineTune(toy.model(), keep_model=False)


def test_decodings_copy_is_gone_while_gradients_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an update that still holds the sampler's copy of weights that are about to move."""
    model = toy.model(spread=3.0)
    kept: list[Any] = []
    real: Callable[..., Any] = policy_gradient.loss_and_gradient

    def watched(*arguments: Any, **named: Any) -> Any:
        kept.append(model._prepared._kept)
        return real(*arguments, **named)

    monkeypatch.setattr(policy_gradient, "loss_and_gradient", watched)
    learner = FineTune(model, rollouts=4, max_tokens=4, learning_rate=1e-3)
    bandit_rft.run(PromptArms(model, "hello", early_letter), learner, rounds=1, key=0)
    assert kept == [None]


def test_a_narrow_cache_takes_half_and_the_sampler_says_how_far_it_is_off() -> None:
    """The cache of the compiled sampler, and the log-probabilities that it gives for the same draws. Catches an option
    that only renames, a cache read as other numbers than were written, and one that widens."""
    model = toy.model(spread=3.0, layers=2, eos_ids=())
    narrow = model.with_cache("bfloat16")
    sizes = []
    for one in (model, narrow):
        graphdef, params = abstract_params(one.config, dtype="float32", param_dtype="float32")
        shapes = LanguageModel(name="toy", config=one.config, graphdef=graphdef, params=params, tokenizer=None)
        _, state = Programs(FineTune(shapes, rollouts=4, max_tokens=8), 1, 5, 3, {}).sampling(4, 1)["prefill"].result
        sizes.append(bytes_of((state.keys, state.values)))
    assert sizes[1] * 2 == sizes[0]
    wide, short = (one.generate("hello", rollouts=8, max_tokens=8, key=0) for one in (model, narrow))
    same = wide.tokens == short.tokens
    assert same.mean() > 0.8
    scored = model.log_probs("hello", short)
    gap = np.abs(scored - short.log_probs).max()
    assert 1e-5 < gap < 0.1
    with pytest.raises(InputError, match="wider"):
        LanguageModel.with_cache(_in_bfloat16(), "float32")


def _in_bfloat16() -> LanguageModel:
    shape = toy.config()
    graphdef, params = abstract_params(shape, dtype="bfloat16", param_dtype="float32")
    return LanguageModel(name="toy", config=shape, graphdef=graphdef, params=params, tokenizer=None)


def test_narrow_moments_take_half_and_are_right_in_the_mean() -> None:
    """Bytes of the optimiser's state, and 4,096 roundings of numbers between two of bfloat16: their mean is the number
    (five standard errors; a right build fails once in a million). Catches moments that stay wide, and rounding to the
    nearest, with which a second moment at beta2 = .999 would never decay."""
    model = toy.model(spread=3.0)
    sizes = {}
    for kind in ("float32", "bfloat16"):
        learner = FineTune(model, rollouts=4, max_tokens=4, learning_rate=1e-2, signal="grpo", moment_dtype=kind)
        history = bandit_rft.run(PromptArms(model, "hello", early_letter), learner, rounds=3, key=0)
        sizes[kind] = sum(leaf.nbytes for leaf in jax.tree.leaves(history.final_state.opt_state) if leaf.ndim)
        assert np.isfinite(history.metrics["loss"]).all()
    assert sizes["bfloat16"] * 2 == sizes["float32"]
    graphdef, params = abstract_params(toy.config(width=256, mlp_width=512), dtype="float32", param_dtype="float32")
    shapes = LanguageModel(name="toy", config=toy.config(), graphdef=graphdef, params=params, tokenizer=None)
    programs = Programs(FineTune(shapes, max_tokens=4, moment_dtype="bfloat16"), 1, 5, 3, {})
    # One float32 copy of the gradient or a moment at most: random bits that were laid out made it five.
    assert programs.step(donated=True).temporaries < 1.1 * bytes_of(programs.weights)
    numbers = jnp.asarray([1.001, -3.004, 1e-20, 7.77e8], jnp.float32)
    drawn = rounded(jnp.tile(numbers, (4096, 1)), jax.random.key(0)).astype(jnp.float32)
    step = jnp.abs(numbers) * 2.0**-7
    assert (jnp.abs(drawn.mean(axis=0) - numbers) < 5 * 0.5 * step / 64).all()
    assert len(jnp.unique(drawn[:, 0])) == 2
    assert jnp.isinf(rounded(jnp.asarray([jnp.inf]), jax.random.key(0))).all()


def test_the_command_plans_from_config_json_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that holds no weights and no tokenizer. Catches a plan that loads either, a folder that it makes, and
    plan's options that a run takes silently."""
    values = json.loads((CONFIGS / "Qwen2.5-0.5B-Instruct.json").read_text())
    tiny = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 512}
    tiny |= {"num_attention_heads": 4, "num_key_value_heads": 2, "eos_token_id": 3, "bos_token_id": 1}
    (tmp_path / "config.json").write_text(json.dumps(values | tiny))
    command = ["finetune", "--model", str(tmp_path), "--data", "gsm8k", "--rollouts", "2", "--max-tokens", "16"]
    command += ["--prompt-tokens", "8", "--out", str(tmp_path / "run"), "--train-samples", "0", "--json"]
    command += ["--lora-rank", "2", "--remat", "--moment-dtype", "bfloat16", "--dtype", "bfloat16"]
    command += ["--param-dtype", "bfloat16", "--device-memory", "1", "--device-bandwidth", "100"]
    assert main([*command, "--plan", "accelerator"]) == 0
    said = json.loads(capsys.readouterr().out)
    phases = said["phases"]
    assert said["fits"] is True
    assert said["peak_bytes"] == max(phase["total"] for phase in phases.values())
    assert phases["step"]["weights"] == 4 * said["trained_parameters"]
    assert abs(phases["step"]["moments"] / (2 * 2 * said["trained_parameters"]) - 1) < 0.01
    assert phases["step"]["base"] == 2 * said["parameters"]
    assert "reference" not in phases["step"]
    assert said["tokens_per_second_at_most"].keys() == {"decoding"}
    assert not (tmp_path / "run").exists()
    assert main(command) == 2
    assert "--plan" in capsys.readouterr().err
    assert main([*command, "--plan", "--seeds", "2"]) == 2
    assert "--seeds" in capsys.readouterr().err
    with pytest.raises(InputError, match="--prompt-tokens"):
        plan_memory(FineTuneConfig(model=str(tmp_path), data="gsm8k"), prompt_tokens=10**6)


@pytest.mark.usefixtures("compiled_quickly")
def test_a_measurement_and_the_responses_that_a_run_keeps_take_what_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """What XLA says of the programs of a real measurement, and the rows that a real state has. Catches another shape
    than the run's, and sums of scores or what the tree makes of them that are left out."""
    model = toy.model(spread=3.0, layers=1, eos_ids=())
    found: list[Any] = []
    trees: list[Any] = []

    def watch(module: Any, name: str, seen: list[Any]) -> None:
        function: Any = getattr(module, name)

        def called(*given: Any, **named: Any) -> Any:
            seen.append(function.lower(*given, **named).compile().memory_analysis())
            return function(*given, **named)

        monkeypatch.setattr(module, name, called)

    watch(prompt_scores, "_gradients", found)
    for name in ("_flat", "_folded"):
        watch(branch_scores, name, trees)
    how: dict[str, Any] = {"key": 0, "max_tokens": 12}
    measured = measure(model, "hello", early_letter, rollouts=24, batch=6, **how)
    assert np.isfinite(measured.kappa_standard_error)
    for sketched in (False, True):
        measure(model, "hello", early_letter, rollouts=3, tree=True, sketched=sketched, **how)
    monkeypatch.undo()
    graphdef, params = abstract_params(model.config, dtype="float32", param_dtype="float32")
    shapes = LanguageModel(name="toy", config=model.config, graphdef=graphdef, params=params, tokenizer=None)
    given: dict[str, Any] = {"rollouts": 4, "max_tokens": 12, "learning_rate": 1e-3}
    programs = Programs(FineTune(shapes, **given), 1, 5, 3, {})
    assert abs(programs.measuring().temporaries / max(one.temp_size_in_bytes for one in found) - 1) < 0.15
    together = max(one.output_size_in_bytes for one in found) // bytes_of(model.params)
    for error in (True, False):
        assert programs.measured_scores(error) == (2 + error + together) * bytes_of(model.params)

    whole, folded = trees[0], trees[-1]
    for real, responses in ((whole, 24), (folded, 10**9)):
        scores, beside = programs.measured_tree(responses)
        assert scores == together * bytes_of(model.params)
        held = real.argument_size_in_bytes + real.output_size_in_bytes + real.temp_size_in_bytes
        assert abs((scores + beside) / held - 1) < 0.05
    assert whole.output_size_in_bytes >= together * bytes_of(model.params)

    late = FineTune(model, replay=2, clip=0.2, **given), FineTune(model, delay=3, clip=None, **given)
    for learner in late:
        state = learner.bind(PromptArms(model, "hello", early_letter), rounds=9).init(jax.random.key(0))
        kept = bytes_of((state.window, state.pending))
        assert Programs(dataclasses.replace(learner, model=shapes), 1, 5, 9, {}).kept_rows == kept > 0


@pytest.mark.usefixtures("compiled_quickly")
def test_a_plan_has_the_measurement_as_a_phase_and_says_what_it_leaves_aside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a peak before the first round that no phase shows, a measurement that --step-over-kappa makes and the
    plan forgets, responses kept for replay that are left out, and options that a plan takes silently."""
    values = json.loads((CONFIGS / "Qwen2.5-0.5B-Instruct.json").read_text())
    tiny = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "vocab_size": 64}
    tiny |= {"num_attention_heads": 2, "num_key_value_heads": 1, "eos_token_id": 3, "bos_token_id": 1}
    (tmp_path / "config.json").write_text(json.dumps(values | tiny))
    given = {"model": str(tmp_path), "prompt": "1+1=", "answer": "2", "max_tokens": 16, "rounds": 9, "replay": 2}
    given |= {"optimizer": "sgd", "kl_coefficient": 0.0, "train_samples": 0, "step_over_kappa": 0.5}
    config, told, kept = FineTuneConfig(measure_tree=False, evaluation_batch=4, **given), [], {}
    shape = DecoderConfig.from_folder(tmp_path)
    plan, _ = memory_plan._planned(config, shape, 8, "here", kept, tell=told.append)
    assert {"the gradient", "decoding", "the measurement"} <= {*told}
    assert len(told) == len(kept)
    with_tree, _ = memory_plan._planned(dataclasses.replace(config, measure_tree=True), shape, 8, "here", kept)
    measuring = with_tree.to_json()["phases"]["measuring"]
    assert measuring["scores"] + measuring["temporaries"] >= 2 * 8 * measuring["weights"]  # scores, and whole once more
    assert "tree" not in with_tree.report()
    phases = plan.to_json()["phases"]
    assert next(iter(phases)) == "measuring"
    assert phases["measuring"]["scores"] == (3 + 8) * phases["measuring"]["weights"]  # sums, and the scores beside
    assert phases["measuring"].keys().isdisjoint({"rows", "moments", "gradient"})
    assert phases["step"]["rows"] == 2 * (3 * 4 + 2 * 4 * 16)  # replayed, each of one response
    assert "responses kept of past rounds" in plan.report()
    monkeypatch.setattr(memory_plan, "plan_memory", lambda *given, **named: plan)
    command = ["finetune", "--model", str(tmp_path), "--prompt", "1+1=", "--answer", "2", "--plan"]
    assert main([*command, "--out", str(tmp_path / "run"), "--log", "wandb", "--process", "0"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "--out, --log, --process do not change the plan."


def test_an_evaluation_is_planned_by_its_own_questions() -> None:
    """One training question or 64, and 64 test questions. Catches caches of prompts counted by the training questions,
    an evaluation that is left out because it has no more rows, and a run as long as its schedule that is refused."""
    given: dict[str, Any] = {"model": "tiny-llama", "data": "tiny-addition", "rollouts": 4, "max_tokens": 16}
    given |= {"test_data": "tiny-addition", "rounds": 2_000, "schedule": "cosine", "warmup_rounds": 1_000}
    one = plan_memory(FineTuneConfig(index=0, evaluation_batch=64, **given), prompt_tokens=64, alternatives=False)
    many = plan_memory(
        FineTuneConfig(index=tuple(range(64)), evaluation_batch=64, **given), prompt_tokens=64, alternatives=False
    )
    phases = [{phase.name: phase for phase in plan.phases} for plan in (one, many)]
    assert phases[0]["evaluation"].items["cache"] == phases[1]["evaluation"].items["cache"]
    few = plan_memory(FineTuneConfig(index=0, evaluation_batch=4, **given), prompt_tokens=64, alternatives=False)
    assert {phase.name for phase in few.phases} >= {"sampling", "evaluation"}  # 4 rows of 4 prompts, not of one


def test_a_prompt_that_nobody_gave_fits_the_context() -> None:
    """Catches a default of 256 tokens that is refused where the model takes 128, though nobody gave it."""
    cases = [(None, 128), (100, 128), (None, 8192), (1024, 8192), (8000, 8192), (9000, 8192)]
    assert [memory_plan.usual_prompt(*case) for case in cases] == [64, 28, 256, 256, 192, 1]
