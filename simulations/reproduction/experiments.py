"""The experiments: from the minimalist configuration upwards, one design choice at a time.

Each condition is compared with a parent that differs from it in one choice; a group-normalised signal needs a group, so
its parent is the raw reward of a group of the same size: what isolates the signal.
"""

from __future__ import annotations

from bandit_rft.experiments import Experiment, Setting

G = 8  # rollouts of a group, where one is needed

minimalist = Experiment(
    name="minimalist",
    question="What does one example, one rollout per round and the raw reward achieve?",
    conditions={"minimalist": {}},
    strata=("world", "optimiser"),
)
advantage = Experiment(
    name="advantage",
    question="Does a group-normalised advantage change training, generalisation or their stability?",
    conditions={
        "raw, one rollout": {},
        "raw, 8 rollouts": {"rollouts": G},
        "GRPO, 8 rollouts": {"rollouts": G, "signal": "grpo"},
    },
    strata=("world", "optimiser"),
)
rollouts = Experiment(
    name="rollouts",
    question="Do more rollouts per round help, at equal rounds?",
    conditions={"raw, 1": {}, "raw, 16": {"rollouts": 16}},
    strata=("world", "optimiser"),
)
group_rollouts = Experiment(
    name="rollouts of a group",
    question="What do more rollouts of a group buy, at equal rounds and at equal pulls?",
    conditions={
        "raw, 4": {"rollouts": 4},
        "raw, 16": {"rollouts": 16},
        "GRPO, 4": {"rollouts": 4, "signal": "grpo"},
        "GRPO, 16": {"rollouts": 16, "signal": "grpo"},
        "MaxRL, 4": {"rollouts": 4, "signal": "maxrl"},
        "MaxRL, 16": {"rollouts": 16, "signal": "maxrl"},
    },
    strata=("world", "optimiser"),
)
# Where a group of 16 rarely holds more than one success; of GRPO at a p0 that it leaves within the rounds.
_GRPO, _MAXRL = ({"signal": name, "p0": p0, "step": 0.4} for name, p0 in (("grpo", "0.01"), ("maxrl", "0.002")))
rare_groups = Experiment(
    name="rollouts where successes are rare",
    question="How do the rounds until half is right fall with the rollouts of a group?",
    conditions={
        "GRPO, 4": {**_GRPO, "rollouts": 4},
        "GRPO, 16": {**_GRPO, "rollouts": 16},
        "MaxRL, 4": {**_MAXRL, "rollouts": 4},
        "MaxRL, 16": {**_MAXRL, "rollouts": 16},
    },
    strata=("world",),
)
reward_design = Experiment(
    name="reward design",
    question="Does a reward of -1 for wrong responses make training fail?",
    conditions={"wrong earns 0": {}, "wrong earns -1": {"reward_wrong": -1.0}},
    strata=("world", "optimiser", "difficulty"),
)
hard_rewards = Experiment(
    name="reward design on a hard question",
    question="Does a reward of -1 for wrong responses keep seeds from learning a hard question?",
    base=Setting(p0="0.01"),
    conditions={"wrong earns 0": {}, "wrong earns -1": {"reward_wrong": -1.0}},
    strata=("world", "optimiser"),
)
difficulty = Experiment(
    name="difficulty",
    question="Do extremely hard examples fail to generalise?",
    conditions={"p0 about .25": {"p0": "0.25"}, "p0 about .01": {"p0": "0.01"}},
    strata=("world", "optimiser"),
)
base_model = Experiment(
    name="base model",
    question="How much of the result is the base model's?",
    conditions={"minimalist": {}},
    strata=("optimiser", "base model"),
    pooled=("task",),
)
extra_samples = Experiment(
    name="extra samples",
    question="Do more samples for the baseline alone replace rollouts to learn from?",
    conditions={
        "raw, one rollout": {},
        "GRPO, 1 and 7 more": {"signal": "grpo", "extra_rollouts": 7},
        "GRPO, 8 rollouts": {"rollouts": G, "signal": "grpo"},
    },
    strata=("world", "optimiser"),
)
score_window = Experiment(
    name="score window",
    question="Do the last scores of a question replace a group?",
    conditions={
        "raw, one rollout": {},
        "GRPO, window of 8": {"signal": "grpo", "score_window": 8},
        "GRPO, 8 rollouts": {"rollouts": G, "signal": "grpo"},
    },
    strata=("world", "optimiser"),
)
batch = Experiment(
    name="batch",
    question="Does a larger batch of questions help, at equal rounds?",
    conditions={
        "8 questions": {"pool": 128, "questions": 8},
        "32 questions": {"pool": 128, "questions": 32},
    },
    strata=("optimiser",),
)
budget_split = Experiment(
    name="budget split",
    question="How is a budget of 32 responses per round best split into questions and rollouts?",
    conditions={
        "1 x 32": {"pool": 128, "questions": 1, "rollouts": 32, "signal": "grpo"},
        "4 x 8": {"pool": 128, "questions": 4, "rollouts": 8, "signal": "grpo"},
        "16 x 2": {"pool": 128, "questions": 16, "rollouts": 2, "signal": "grpo"},
        "32 x 1": {"pool": 128, "questions": 32, "rollouts": 1, "signal": "grpo"},
    },
    strata=("optimiser",),
)
group_sizes = Experiment(
    name="group sizes",
    question="Does the mean path of GRPO depend on the size of its groups?",
    conditions={
        f"p0 = .{p0[2:]}, G = {g}": {"signal": "grpo", "rollouts": g, "p0": p0, "step": 0.2}
        for p0 in ("0.02", "0.25")
        for g in (2, 16, 64)
    },
    strata=("world",),
)
# A step size of .5 on 20 correct among 200 arms, where kappa is 1/20 + 1/180 = 1/18.
SMALL = {"model": "200 arms", "p0": "0.1", "step": 0.5 / 18}
diversity = Experiment(
    name="diversity",
    question="Do successes alone and failures alone leave the same policy, as their mean updates are the same?",
    conditions={
        "successes alone": {**SMALL, "signal": "psr"},
        "failures alone": {**SMALL, "signal": "nsr"},
        "successes alone, 64 rollouts": {**SMALL, "signal": "psr", "rollouts": 64},
        "failures alone, 64 rollouts": {**SMALL, "signal": "nsr", "rollouts": 64},
    },
    pooled=(),
)
failures_alone = Experiment(
    name="failures alone",
    question="Can failures alone teach where there are 10^100 or 10^12 wrong responses?",
    conditions={
        "successes alone": {"signal": "psr", "step": 0.2},
        "failures alone": {"signal": "nsr", "step": 0.2},
    },
    strata=("world", "difficulty"),
)
exponents = Experiment(
    name="exponents",
    question="What exponent has the sigmoid that is fitted to a mean reward curve?",
    conditions={
        "raw": {"p0": "0.05", "step": 0.2},
        "GRPO, 8 rollouts": {"p0": "0.05", "step": 0.2, "signal": "grpo", "rollouts": G},
        "MaxRL, 8 rollouts": {"p0": "0.05", "step": 0.2, "signal": "maxrl_centred", "rollouts": G},
    },
    strata=("world",),
)
