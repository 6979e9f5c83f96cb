"""What `bandit-rft demo` shows: two simulations, a fine-tuning run of a real model beside them, and the figures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jax

from bandit_rft.errors import InputError
from bandit_rft.keys import Purpose, as_key
from bandit_rft.plots import finetune as figure
from bandit_rft.plots import needle_regret
from bandit_rft.presets.named import preset
from bandit_rft.presets.simulate import simulate
from bandit_rft.runs.progress import ProgressLine
from bandit_rft.settings.finetune import FineTuneConfig
from llm_bridge.bandits.token_arms import speaks_tiny
from llm_bridge.data import datasets
from llm_bridge.language_model import LanguageModel, load_model
from llm_bridge.measuring.evaluate import evaluate
from llm_bridge.measuring.pinned_prompts import prompt_date
from llm_bridge.training.from_settings import finetune

PROBE_QUESTIONS, PROBE_SAMPLES = 6, 64
# A question is worth learning where the model is sometimes right, and worth showing where it is mostly wrong.
TARGET_P0 = 0.2


def demo(out: str | Path, model: str, rounds: int | None = None, quick: bool = False, key: int = 0) -> None:
    """Simulate, fine-tune, draw, and print what is done.

    Args:
        out: folder of the run folders.
        model: an embedded one runs 8 seeds of 300 rounds; any other model one seed of 60.
        rounds: of the fine-tuning run, instead, whether quick or not.
        quick: fewer seeds, rounds and test questions.
        key: a whole number.
    """
    start, out = time.monotonic(), Path(out)
    if key >= 2**62:
        raise InputError(f"--key is {key}: give a whole number below 2^62, for the demo's runs have keys of their own.")
    # First of all: a name that is none is to be said before minutes of simulations, not after them.
    loaded = load_model(model, prompt_date=prompt_date(out / "finetune", None))
    print(
        "1. A needle in a haystack: softmax policy gradient, one rollout, raw reward, among 10^2 and 10^100 arms",
        flush=True,
    )
    for place, name in enumerate(("needle-1e2", "needle")):
        config = preset(name, seeds=128 if quick else 512, key=2 * key + place)
        with ProgressLine(f"simulating {name}") as line:
            outcome = simulate(config, out / name, progress=line)
        print(outcome.summary() + "\n", flush=True)

    print(
        f"2. A real language model, {model}: one question, one rollout per round, raw reward, gradient steps",
        flush=True,
    )
    if speaks_tiny(loaded):
        seeds, usual = 4 if quick else 8, 300
        settings: dict[str, Any] = {"data": "tiny-addition", "max_tokens": 32, "step_over_kappa": 0.2}
        settings |= {"test_questions": 200, "measure_rollouts": 128}
    else:
        seeds, usual = 1, 60
        # Answers to these questions take about six tokens.
        settings = {"data": "arithmetic", "max_tokens": 24, "step_over_kappa": 0.7, "evaluate_every": 15}
        settings |= {"test_questions": 16 if quick else 40, "measure_rollouts": 80}
    config = FineTuneConfig(
        model=model,
        index=choose_question(loaded, settings["data"], key, settings["max_tokens"]),
        optimizer="sgd",
        kl_coefficient=0.0,
        gradient_clip=None,
        rounds=rounds or (usual // 2 if quick else usual),
        train_samples=64,
        test_every=0,
        measure_error=False,
        key=key,
        **settings,
    )
    finetune(config, out / "finetune", seeds=seeds, model=loaded)
    print("\n3. Figures")
    print(needle_regret.draw([out / "needle-1e2", out / "needle"], out / "figures"))
    print(figure.draw(out / "finetune", out / "figures"))
    print(f"Done in {time.monotonic() - start:.0f} s. To read: {out / 'finetune' / 'report.html'}")


def choose_question(model: LanguageModel, source: str, key: int, max_tokens: int) -> int:
    """The index of the question whose estimated p0 is nearest `TARGET_P0`, of the first few; all are printed."""
    data = datasets.load(source, "train")
    examples = [data.example(place) for place in range(PROBE_QUESTIONS)]
    with ProgressLine(f"measuring p0 of {PROBE_QUESTIONS} questions", unit="responses", quantity="p0") as line:
        evaluation = evaluate(
            model,
            examples,
            key=jax.random.fold_in(as_key(key, "--key"), Purpose.QUESTION_CHOICE),
            max_tokens=max_tokens,
            samples=PROBE_SAMPLES,
            progress=line,
        )
    shares = [int(right) / PROBE_SAMPLES for right in evaluation.per_question]
    chosen = min(range(len(shares)), key=lambda place: (shares[place] == 0, abs(shares[place] - TARGET_P0)))
    shown = ", ".join(f"{place}: {share:.2f}" for place, share in enumerate(shares))
    print(f"p0 of the first {PROBE_QUESTIONS} training questions of {source}, {PROBE_SAMPLES} responses each: {shown}")
    question = str(examples[chosen].prompt[-1]["content"]).strip().splitlines()[-1]
    print(f"question {chosen} is nearest {TARGET_P0}: {question!r}, answer {examples[chosen].answer}", flush=True)
    return chosen
