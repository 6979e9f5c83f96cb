"""Parquet files of a few questions, in the layouts of real data sets."""

import pyarrow as pa
import pyarrow.parquet as pq

PROBLEM = "How many vertical asymptotes does $y=\\frac{2}{x^2+x-6}$ have?"


def row(content="What is 1 + 1?", truth="2", **more):
    return {
        "prompt": [{"role": "user", "content": content}],
        "reward_model": {"style": "rule", "ground_truth": truth},
    } | more


def write(path, rows, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def math_row(**more):
    return {
        "problem": PROBLEM,
        "solution": "Two: $\\boxed{1}$, no, $\\boxed{\\frac{4}{2}}$.",
        "level": "Level 3",
    } | more
