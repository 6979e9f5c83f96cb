"""Fine-tune an embedded model with TRL's GRPOTrainer on one addition, and keep the trainer_state.json that it writes.

    python tests/bandit_rft/training_logs/make_trl_log.py FOLDER [seed] [rounds]     (two minutes on one core)

Needs `pip install trl`. `examples/trainer_state.json` was written by it, with trl 1.16.0, transformers 5.24.0
and torch 2.13.0. Plain gradient steps of a fixed size: SGD, no clipped gradients, no KL term, and
the loss summed over a response's tokens ("dr_grpo" divides by a constant), so that the update is the mean over 16
responses of GRPO's signal times ∇ log π, at a step of the learning rate over 32 tokens.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

MODEL = Path(__file__).resolve().parents[3] / "llm_bridge" / "tiny" / "models" / "tiny-llama"
PROMPT, ANSWER = "347+285=?\n", "632"
ROLLOUTS, TOKENS, ROUNDS = 16, 32, 80
STEP_SIZE = 0.0004
_MARKED = re.compile(r"#### ?(-?[0-9.,]+)")


def right(completions: list[str], **_: object) -> list[float]:
    """1 where the last marked number is the answer."""
    found = [_MARKED.findall(text) for text in completions]
    return [float(bool(numbers) and numbers[-1].replace(",", "") == ANSWER) for numbers in found]


def main(folder: Path, seed: int = 0, rounds: int = ROUNDS) -> Path:
    """The trainer_state.json that was written in `folder`."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(MODEL),
        reward_funcs=right,
        train_dataset=Dataset.from_dict({"prompt": [PROMPT] * 64}),
        args=GRPOConfig(
            output_dir=str(folder),
            per_device_train_batch_size=ROLLOUTS,
            num_generations=ROLLOUTS,
            max_completion_length=TOKENS,
            max_steps=rounds,
            learning_rate=STEP_SIZE * TOKENS,
            lr_scheduler_type="constant",
            optim="sgd",
            max_grad_norm=0.0,
            beta=0.0,
            loss_type="dr_grpo",
            temperature=1.0,
            top_k=0,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            seed=seed,
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
        ),
    )
    trainer.train()
    trainer.save_state()
    return folder / "trainer_state.json"


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), *(int(number) for number in sys.argv[2:])))
