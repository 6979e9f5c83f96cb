"""The tiers of `bandit-rft reproduce`, as data."""

from __future__ import annotations

import dataclasses

from simulations.reproduction.language import MEDIUM, Cost, LanguageTier
from simulations.reproduction.tables import SimulationTier
from simulations.tiny_models import checkpoints

SIMULATION = SimulationTier()
# Two runs side by side on two idle cores, `reproduce --tier tiny --quick --only "A3 test" --jobs 2`: 11.7 s a run of
# one rollout (2 seeds, 200 rounds, 9 x 300 test responses), 21.7 s of eight. Beside other programs it took twice that.
TINY_COST = Cost(run=3, round=0.005, pull=0.0036, response=0.002)
# Where the responses go follows from the variances that the quick tier showed, before any run of this one. Of final
# test Pass@1 at a p0 of .25 the question has 149 to 332 (10^-4) and the seed what cannot be told from 0, so that two
# seeds are enough; but for GRPO under AdamW, where it has 78 [-10, 166] beside 136, which 24 questions average out. At
# .01 the seed has most, so that those have eight. 300 test questions add to two seeds' mean 2.5 at most. SGD has the
# quick tier's step, at which it learns within the rounds. The first design, of step .2, 8 seeds, 32 on hard questions
# and 1,000 test questions, would have taken 43 device-hours, and no run of it was made.
TINY = LanguageTier(
    name="tiny",
    models=("tiny-llama", "tiny-qwen2", "tiny-olmo2"),
    tasks=("tiny-addition", "tiny-stories"),
    bins=("0.5", "0.25", "0.05", "0.01", "0.001"),
    optimisers=(("sgd", 0.7), ("adamw", 3e-4)),
    seeds=2,
    hard_seeds=8,
    rounds=200,
    per_bin=4,
    scanned=256,
    scan_samples=512,
    fresh=512,
    max_tokens=32,
    test_questions=300,
    evaluate_every=50,
    batch=512,
    cost=TINY_COST,
)
# Three checkpoints of each family, so that a family can be told from the seed that it was pretrained from; minimalist
# configuration, questions of medium difficulty alone.
CHECKPOINTS = dataclasses.replace(
    TINY,
    name="checkpoints",
    models=(*TINY.models, *checkpoints.CHECKPOINTS),
    made={name: checkpoints.PLACE / name for name in checkpoints.CHECKPOINTS},
    made_by=checkpoints.COMMAND,
    bins=(MEDIUM,),
    scanned=128,
    scan_samples=128,
)
# One model, one task, two bins and the claims of `QUICK_CLAIMS`: below an hour on two cores. SGD has the larger of the
# two steps of the pilot, because at the smaller one a question with p0 of .01 takes 1/(.2 p0) = 500 rounds. Many
# questions with few seeds each: a first run of this tier, of 4 questions of each bin and 6 seeds, settled no claim, and
# showed a variance of final test Pass@1 over questions that is 3 to 700 times that over seeds. Its questions, of the
# first 128, are left out here.
QUICK = LanguageTier(
    name="tiny-quick",
    models=("tiny-llama",),
    tasks=("tiny-addition",),
    bins=("0.25", "0.01"),
    optimisers=(("sgd", 0.7), ("adamw", 3e-4)),
    seeds=2,
    hard_seeds=4,
    rounds=200,
    per_bin=16,
    first=128,
    scanned=384,
    scan_samples=256,
    fresh=256,
    max_tokens=32,
    test_questions=300,
    evaluate_every=50,
    batch=512,
    cost=TINY_COST,
)
QUICK_CLAIMS = (
    "A1 test",
    "A1 training",
    "A2",
    "A3 below half",
    "A3 collapse",
    "A3 spread",
    "A3 stability",
    "A3 test",
    "A4",
    "A5",
    "A5 hard",
    "A6",
    "A6 learnt",
    "A6 share",
    "D4",
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
    cost=Cost(run=60, round=0.8, pull=0.7, response=0.3),
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
    cost=Cost(run=120, round=2.7, pull=0.09, response=0.03),
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
TIERS = {"simulation": SIMULATION, "tiny": TINY, "checkpoints": CHECKPOINTS, "small": SMALL, "paper": PAPER}
QUICKER = {"tiny": QUICK}
