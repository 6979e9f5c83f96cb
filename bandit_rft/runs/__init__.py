"""Run folders: the settings of a run, what it ran on, and what happened, so that it can be read and continued.

    config.json         complete and re-runnable; a folder belongs to one configuration
    manifest.json       versions, commit, device, key, command line, times; digests of what the run began with, and what
                        was changed of its configuration since
    history.npz         the history of a simulation
    history.jsonl       that of a fine-tuning run: a line for each round, of every seed its rewards and metrics (no
                        clock in it, so that a resumed run's is the same)
    responses.jsonl     beside it: a line for each round, of every seed its responses as texts
    questions.jsonl     one line per training question of a fine-tuning run, with its prompt
    evaluations.jsonl   a line for each evaluation, of a seed or, before the first round, of all
    scan.jsonl          a line for each question, of `bandit-rft measure --scan`
    timings.jsonl       a line for each chunk of rounds: seconds, tokens generated, tokens per second (the clock's own
                        file)
    tree.npz            the tree of responses measured before a fine-tuning run
    report.html         what to read first
    checkpoints/, figures/

Whole files are written beside their place and renamed into it, so a reader never sees half a file; in a .jsonl file a
kill can leave only the last line half written, which reading drops.
"""

from bandit_rft.runs.files import check_place, dumps, explain_disk_errors, read_json, to_json, write_atomically
from bandit_rft.runs.folder import Continues, RunFolder, config_hash, refuse_other
from bandit_rft.runs.lines import LineWriter, cut_lines, has_fields, read_lines, rewrite_lines, to_line
from bandit_rft.runs.names import (
    CONFIG,
    DIGESTS,
    EVALUATIONS,
    HISTORY,
    LINES,
    MANIFEST,
    QUESTIONS,
    RESPONSES,
    SCAN,
    TIMINGS,
)
from bandit_rft.runs.provenance import command_line, commit, now, provenance
from bandit_rft.runs.reading import read_history, seeds_of

__all__ = [
    "CONFIG",
    "DIGESTS",
    "EVALUATIONS",
    "HISTORY",
    "LINES",
    "MANIFEST",
    "QUESTIONS",
    "RESPONSES",
    "SCAN",
    "TIMINGS",
    "Continues",
    "LineWriter",
    "RunFolder",
    "check_place",
    "command_line",
    "commit",
    "config_hash",
    "cut_lines",
    "dumps",
    "explain_disk_errors",
    "has_fields",
    "now",
    "provenance",
    "read_history",
    "read_json",
    "read_lines",
    "refuse_other",
    "rewrite_lines",
    "seeds_of",
    "to_json",
    "to_line",
    "write_atomically",
]
