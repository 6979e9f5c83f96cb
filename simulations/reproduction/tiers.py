"""The tiers of `bandit-rft reproduce`, as data."""

from __future__ import annotations

from simulations.reproduction.language import LanguageTier
from simulations.reproduction.tables import SimulationTier

SIMULATION = SimulationTier()
TINY = LanguageTier(
    name="tiny",
    models=("tiny-llama", "tiny-qwen2", "tiny-olmo2"),
    tasks=("tiny-addition", "tiny-stories"),
    bins=("0.5", "0.25", "0.05", "0.01", "0.001"),
    optimisers=(("sgd", 0.2), ("adamw", 3e-4)),
    seeds=8,
    rounds=200,
    per_bin=4,
    scanned=256,
    scan_samples=512,
    fresh=512,
    max_tokens=32,
    test_questions=1000,
    evaluate_every=50,
    batch=512,
    seconds_a_round=(0.056, 0.016),
)
# One model, one task, two bins, few seeds: an hour on two cores.
QUICK = LanguageTier(
    name="tiny-quick",
    models=("tiny-llama",),
    tasks=("tiny-addition",),
    bins=("0.25", "0.05"),
    optimisers=(("sgd", 0.2), ("adamw", 3e-4)),
    seeds=8,
    rounds=150,
    per_bin=3,
    scanned=128,
    scan_samples=256,
    fresh=256,
    max_tokens=32,
    test_questions=500,
    evaluate_every=50,
    batch=512,
    seconds_a_round=(0.056, 0.016),
)
SMALL = LanguageTier(
    name="small",
    models=("smollm2-135m",),
    tasks=("arithmetic",),
    bins=("0.25", "0.05"),
    optimisers=(("adamw", 1e-5),),
    seeds=2,
    rounds=60,
    per_bin=2,
    scanned=32,
    scan_samples=64,
    fresh=128,
    max_tokens=24,
    test_questions=100,
    evaluate_every=30,
    batch=32,
    seconds_a_round=(0.8, 0.7),
)
# The authors' own numbers (public scripts of arXiv 2601.22532); their metric is one response to each test question.
PAPER = LanguageTier(
    name="paper",
    models=(
        "meta-llama/Llama-3.2-1B-Instruct",
        "allenai/OLMo-2-0425-1B-Instruct",
        "Qwen/Qwen2.5-1.5B-Instruct",
    ),
    tasks=("gsm8k", "math"),
    bins=("0.5", "0.25", "0.05", "0.01", "0.001"),
    optimisers=(("adamw", 1e-6),),
    seeds=4,
    rounds=1000,
    per_bin=4,
    scanned=512,
    scan_samples=64,
    fresh=256,
    max_tokens=1024,
    test_questions=1319,
    evaluate_every=100,
    batch=256,
    # Counted, not measured: decoding 1,024 tokens at half of an A100's bandwidth, and gradients at 40% of its peak.
    seconds_a_round=(2.7, 0.09),
    load={"dtype": "bfloat16"},
    learn={
        "kl_coefficient": 0.001,
        "kl": "k3",
        "weight_decay": 0.01,
        "gradient_clip": 1.0,
        "clip": 0.2,
        "dual_clip": 3.0,
        "aggregation": "token-mean",
    },
)
# By name; --quick takes the second one of those that have two.
TIERS = {"simulation": SIMULATION, "tiny": TINY, "small": SMALL, "paper": PAPER}
QUICKER = {"tiny": QUICK}
