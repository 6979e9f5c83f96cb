"""`bandit-rft predict RUN`: the theory's overlay of a fine-tuning run, from what was measured before it; no fit."""

from __future__ import annotations

import argparse
from pathlib import Path

from bandit_rft.settings.options import path

HELP = "the theory's overlay of a fine-tuning run, from its measured p0 and kappa"
DESCRIPTION = (
    "Predict a fine-tuning run's Pass@1 from p0 and kappa measured before it, without a fitted parameter, and hold its "
    "rewards against that; or say why no law applies."
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "run_folder",
        type=path,
        metavar="RUN",
        help="run folder of bandit-rft finetune, of one seed or many, finished or not",
    )


def run(arguments: argparse.Namespace) -> int:
    """Predict, compare, write prediction.json and the figure, and print."""
    from bandit_rft.plots import finetune_prediction
    from bandit_rft.reports import prediction

    folder = Path(arguments.run_folder)
    result = prediction.predict(folder)
    print(prediction.summary(result))
    if result["law"] is not None:
        print(f"Figure: {finetune_prediction.draw(folder)}")
    print(f"Written: {folder / prediction.RESULT}")
    return 0
