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
