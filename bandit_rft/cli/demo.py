"""`bandit-rft demo`: the whole idea in minutes, from a table of 10^100 arms to a real language model, with figures."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bandit_rft.cli.finetune_config import FineTuneConfig
from bandit_rft.cli.options import count, seed

if TYPE_CHECKING:
    from llm_bridge import LanguageModel

DATA = "arithmetic"
MAX_TOKENS = 24  # answers to these questions take about six
EMBEDDED, EMBEDDED_DATA, EMBEDDED_TOKENS, SEEDS = "tiny-llama", "tiny-addition", 32, 8
PROBE_QUESTIONS, PROBE_SAMPLES = 6, 64
# A question is worth learning where the model is sometimes right, and worth showing where it is mostly wrong.
TARGET_P0 = 0.2


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "demo",
        help="simulation, theory and a real fine-tuning run in minutes, ending in figures",
        description="Simulate a needle among 10^2 and 10^100 arms, fine-tune a language model on one question with "
        "one rollout per round and the raw reward, hold both against the same theory, and draw the figures.",
    )
    parser.add_argument(
        "--out", default="runs/demo", metavar="FOLDER", help="folder of the demo's runs (default: runs/demo)"
    )
    parser.add_argument(
        "--model",
        default=EMBEDDED,
        help=f"an embedded model, {SEEDS} seeds at once; or a name, folder, .gguf file or hub id, one seed "
        f"(default: {EMBEDDED}, which needs no download)",
    )
    parser.add_argument(
        "--rounds",
        type=count,
        default=None,
        help="rounds of the fine-tuning run (default: 300 on an embedded model, 60 on others)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer seeds, rounds and test questions: about half the time (default: off)",
    )
    parser.add_argument("--key", type=seed, default=0, help="seed of all random draws (default: 0)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Simulations, then the real run, then the figures."""
    from bandit_rft.cli.finetune_run import finetune
    from bandit_rft.plots import finetune as figure
    from bandit_rft.plots import needle_regret
    from bandit_rft.presets.named import preset
    from bandit_rft.presets.simulate import simulate
    from bandit_rft.runs.progress import ProgressLine
    from llm_bridge import load_model
    from llm_bridge.bandits.token_arms import speaks_tiny
    from llm_bridge.measuring.pinned_prompts import prompt_date

    start = time.monotonic()
    out = Path(arguments.out)
    seeds = 128 if arguments.quick else 512
    print(
        "1. A needle in a haystack: softmax policy gradient, one rollout, raw reward, among 10^2 and 10^100 arms",
        flush=True,
    )
    for place, name in enumerate(("needle-1e2", "needle")):
        config = preset(name, seeds=seeds, key=2 * arguments.key + place)
        with ProgressLine(f"simulating {name}") as line:
            outcome = simulate(config, out / name, progress=line if line.active else None)
        print(outcome.summary() + "\n", flush=True)

    print(
        f"2. A real language model, {arguments.model}: one question, one rollout per round, raw reward, gradient steps",
        flush=True,
    )
    model = load_model(arguments.model, prompt_date=prompt_date(out / "finetune", None))
    embedded = speaks_tiny(model)
    data, max_tokens = (EMBEDDED_DATA, EMBEDDED_TOKENS) if embedded else (DATA, MAX_TOKENS)
    index = choose_question(model, arguments.key, data, max_tokens)
    rounds = arguments.rounds or (300 if embedded else 60)
    config = FineTuneConfig(
        model=arguments.model,
        data=data,
        index=index,
        optimizer="sgd",
        step_over_kappa=0.2 if embedded else 0.7,
        kl_coefficient=0.0,
        gradient_clip=None,
        rounds=(rounds + 1) // 2 if arguments.quick else rounds,
        max_tokens=max_tokens,
        train_samples=64,
        test_questions=200 if embedded else 16 if arguments.quick else 40,
        evaluate_every=None if embedded else 15,
        test_every=0,
        measure_rollouts=128 if embedded else 80,
        measure_error=False,
        key=arguments.key,
    )
    many = 4 if arguments.quick else SEEDS
    finetune(config, out / "finetune", seeds=many if embedded else 1, model=model)
    print("\n3. Figures")
    print(needle_regret.draw([out / "needle-1e2", out / "needle"], out / "figures"))
    print(figure.draw(out / "finetune", out / "figures"))
    print(f"Done in {time.monotonic() - start:.0f} s. To read: {out / 'finetune' / 'report.html'}")
    return 0


def choose_question(model: LanguageModel, key: int, source: str = DATA, max_tokens: int = MAX_TOKENS) -> int:
    """The index of the question whose estimated p0 is nearest `TARGET_P0`, of the first few; all are printed."""
    import jax

    from bandit_rft.keys import Purpose, as_key
    from bandit_rft.runs.progress import ProgressLine
    from llm_bridge.data import datasets
    from llm_bridge.measuring.evaluate import evaluate

    data = datasets.load(source, "train")
    examples = [data.example(place) for place in range(PROBE_QUESTIONS)]
    with ProgressLine(f"measuring p0 of {PROBE_QUESTIONS} questions", unit="responses", quantity="p0") as line:
        found = evaluate(
            model,
            examples,
            key=jax.random.fold_in(as_key(key, "--key"), Purpose.QUESTION_CHOICE),
            max_tokens=max_tokens,
            samples=PROBE_SAMPLES,
            progress=line,
        )
    shares = [int(right) / PROBE_SAMPLES for right in found.per_question]
    chosen = min(range(len(shares)), key=lambda place: (shares[place] == 0, abs(shares[place] - TARGET_P0)))
    shown = ", ".join(f"{place}: {share:.2f}" for place, share in enumerate(shares))
    print(f"p0 of the first {PROBE_QUESTIONS} training questions of {source}, {PROBE_SAMPLES} responses each: {shown}")
    question = str(examples[chosen].prompt[-1]["content"]).strip().splitlines()[-1]
    print(f"question {chosen} is nearest {TARGET_P0}: {question!r}, answer {examples[chosen].answer}", flush=True)
    return chosen
