"""What a fine-tuning run's configuration and one of its evaluations hold, for tests that write run folders."""

CONFIG = {"command": "finetune", "rounds": 3, "rate": 0.1}
FINETUNE = dict(
    rollouts=1,
    model="m",
    data=None,
    index=0,
    signal="raw",
    epochs=1,
    optimizer="sgd",
    aggregation="seq-mean-token-sum",
    kl_coefficient=0.0,
    gradient_clip=None,
    resolved={},
    **CONFIG,
)
EVALUATION = {"round": 0, "measured": "train", "seed": None, "pass_at_1": 0.5, "low": 0.1, "high": 0.9}
