"""The names of a run folder's files."""

from __future__ import annotations

CONFIG, MANIFEST, HISTORY, LINES, EVALUATIONS, SCAN, TIMINGS, QUESTIONS, RESPONSES = (
    "config.json",
    "manifest.json",
    "history.npz",
    "history.jsonl",
    "evaluations.jsonl",
    "scan.jsonl",
    "timings.jsonl",
    "questions.jsonl",
    "responses.jsonl",
)
DIGESTS = "digests"  # in manifest.json: of what the run began with
TREE = "tree.npz"
TENSORBOARD, WANDB, WANDB_FILES = "tensorboard", "wandb.json", "wandb"
# What a run writes before it has a result, and what goes with a run that comes to none. Whatever else a folder holds is
# a result, so that a file that this list has forgotten keeps the folder for the same command.
PASSING = (CONFIG, MANIFEST, QUESTIONS, TREE, TENSORBOARD, WANDB, WANDB_FILES)
