"""The responses of a run of many seeds on their way to its folder: a line a round in responses.jsonl.

No line depends on where a chunk of rounds began or ended, so a run that was cut and continued leaves the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.runs import RESPONSES, LineWriter, cut_lines
from bandit_rft.runs.rollouts import round_of_seeds
from llm_bridge.tiny import vocabulary


def continued(folder: Path, done: int) -> LineWriter:
    """The file, cut to the rounds before `done`, to go on with.

    A folder that an older version began has none of those rounds: the file then begins with round `done`.

    Raises:
        InputError: the file ends before round `done`, or is damaged.
    """
    path = folder / RESPONSES
    last = cut_lines(path, lambda record: record["round"] < done, {"round": int})
    if last is not None and last["round"] != done - 1:
        raise InputError(
            f"{path} ends with round {last['round']}, but the newest checkpoint is of round {done}: restore the file, "
            "or start over."
        )
    return LineWriter(path)


def write(lines: LineWriter, start: int, rewards: np.ndarray, kept: Mapping[str, np.ndarray]) -> None:
    """Append the rounds of a chunk.

    Args:
        lines: of the file.
        start: the chunk's first round.
        rewards: [S, L, G].
        kept: what `TokenArms.kept` gives: tokens [S, L, G, T], lengths, truncated and, of several questions, questions
            [S, L, G].
    """
    tokens, lengths, truncated = (np.asarray(kept[name]) for name in ("tokens", "lengths", "truncated"))
    questions = np.asarray(kept["questions"]) if "questions" in kept else None
    for place in range(rewards.shape[1]):
        texts = [
            [vocabulary.decode(row[:length].tolist()) for row, length in zip(group, ends, strict=True)]
            for group, ends in zip(tokens[:, place], lengths[:, place], strict=True)
        ]
        lines.write(
            round_of_seeds(
                start + place,
                rewards=rewards[:, place].tolist(),
                texts=texts,
                tokens=lengths[:, place].tolist(),
                truncated=truncated[:, place].tolist(),
                questions=None if questions is None else questions[:, place].tolist(),
            )
        )
