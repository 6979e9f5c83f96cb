"""`bandit-rft simulate`: regret and Pass@1 of a learner on a table of arms, against theory."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bandit_rft.errors import InputError
from bandit_rft.settings.options import path

AUDIT, PREDICTIONS = "theory-audit", "prediction-audit"

HELP = "simulate a learner on up to 10^100000 arms and hold it against theory"
DESCRIPTION = "Simulate a learner on a table of arms, print regret and Pass@1, and compare with theory."
EPILOG = """a TOML file:
  rounds = 400          # T
  seeds = 512           # independent repetitions
  key = 0               # seed of all random draws
  # row_capacity = 500  # rows of the table (default: the most that the run can need)
  [arms]
  type = "Needle"       # or Bernoulli (means), Classes (log_counts, means), or your own module:Name or file.py:Name
  log10_arms = 100      # log10 of the number of arms
  p0 = 0.05             # mass that the base policy gives to the correct ones
  [learner]
  type = "SoftmaxPolicyGradient"   # or ExploreUntilSuccess, UCB1, ThompsonBeta, or your own
  step_size = 0.5       # logit per unit gradient
"""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "sources",
        metavar="NAME|FILE",
        nargs="*",
        help="preset, TOML file, run folder or its config.json, theory-audit or prediction-audit; or one or more "
        "learners: ucb1 thompson kl-ucb, or your own as file.py:Name (without it: list the presets)",
    )
    parser.add_argument(
        "--arms",
        metavar="NAME|FILE",
        help="the arms of these learners: bernoulli2, bernoulli5, bernoulli10, million, a preset's, a TOML file's, or "
        "your own as file.py:Name (default: bernoulli10)",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change a setting (rounds=100, arms.p0=0.1, step_size=1; of several learners kl-ucb.c=3); repeatable "
        "(default: none)",
    )
    parser.add_argument(
        "--tier",
        metavar="NAME",
        help=f"of {PREDICTIONS}: tiny, the embedded models, or small, SmolLM2-135M-Instruct (default: tiny)",
    )
    parser.add_argument(
        "--out", type=path, metavar="RUN", help="run folder (default: runs/NAME, with a hash where --set is given)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Simulate and print the summary, or list the presets."""
    sources = arguments.sources
    study = sources[0] if len(sources) == 1 and sources[0] in _STUDIES else ""
    if arguments.tier is not None and study != PREDICTIONS:
        raise InputError(f"--tier is of {PREDICTIONS}: leave it out, or run that study alone.")
    if study and arguments.arms is not None:
        raise InputError(f"--arms is of learners, and {study} has arms of its own: leave it out.")
    if study == PREDICTIONS and arguments.settings:
        raise InputError(f"--set {arguments.settings[0]!r}: {PREDICTIONS} has no settings, so leave it out.")
    if study:
        return _STUDIES[study](arguments)
    from bandit_rft.presets.named import PRESETS, configuration, default_folder
    from bandit_rft.presets.simulate import simulate
    from bandit_rft.runs.progress import ProgressLine

    if not sources and arguments.arms:
        raise InputError("--arms needs learners: name them before it, such as ucb1 thompson.")
    if not sources:
        questions = {name: entry.question for name, entry in PRESETS.items()} | {
            AUDIT: "Does simulation agree with each entry of the theory? (in a checkout; --set only=NAME)",
            PREDICTIONS: "Does a real run's half-time agree with each law's? (in a checkout; about 2 hours)",
        }
        width = max(map(len, questions))
        for name, question in questions.items():
            print(f"{name:<{width}}  {question}")
        return 0
    if len(sources) > 1 or arguments.arms or _is_learner(sources[0]):
        return _several(arguments)
    config = configuration(sources[0]).with_settings(arguments.settings)
    out = arguments.out or default_folder(config, changed=bool(arguments.settings))
    with ProgressLine(f"simulating {config.name}") as line:
        print(simulate(config, out, progress=line).summary())
    print(f"Run folder: {out}")
    return 0


def _is_learner(source: str) -> bool:
    """Whether a single name is a learner's, and neither a preset's nor a file's."""
    from bandit_rft.presets.named import PRESETS
    from bandit_rft.presets.several import is_learner

    return source not in PRESETS and not Path(source).exists() and is_learner(source)


def _several(arguments: argparse.Namespace) -> int:
    """Simulate learners on one arm set; print their numbers, draw them in one figure, write one report."""
    from bandit_rft import reports
    from bandit_rft.plots import learner_regret
    from bandit_rft.presets.several import DEFAULT_ARMS, configurations, simulate_all
    from bandit_rft.runs import config_hash
    from bandit_rft.runs.progress import ProgressLine

    for study in _STUDIES:
        if study in arguments.sources:
            raise InputError(f"{study} is a study of its own: run it alone.")
    configs = configurations(arguments.sources, arguments.arms, arguments.settings)
    named = Path(arguments.arms or DEFAULT_ARMS).stem.rpartition(":")[2]
    request = config_hash({name: config.to_json() for name, config in configs.items()})[:8]
    out = Path(arguments.out or f"runs/{named}-{'-'.join(configs)}"[:100] + f"-{request}" * bool(arguments.settings))
    with ProgressLine(f"simulating {len(configs)} learners") as line:
        found = simulate_all(configs, out, progress=lambda _: line)
    print(found.summary())
    known = [out / name for name, one in found.outcomes.items() if one.regret_known]
    if known:
        for drawn in learner_regret.draw(known, out / "figures"):
            print(f"Figure: {drawn}")
    if len(known) == len(configs):
        print(f"Report: {reports.write(out)}")
    print(f"Run folders: {out}")
    return 0


def _audit(arguments: argparse.Namespace) -> int:
    """Hold every entry of the theory against simulation."""
    import sys

    from bandit_rft.cli import checkout

    theory_audit = checkout.load("simulations.theory_audit.audit", f"bandit-rft simulate {AUDIT}")
    only: list[str] = []
    for text in arguments.settings:
        name, equals, value = text.partition("=")
        if name != "only" or not equals:
            raise InputError(f"--set {text!r}: the audit has one setting, only=ENTRY,ENTRY of the theory's catalogue.")
        only += value.split(",")

    def tell(done: int, total: int, case: Any, verdict: str) -> None:
        if sys.stderr.isatty():
            print(f"{done}/{total} {case.entry}, {case.instance}: {verdict}", file=sys.stderr)

    out = Path(arguments.out or f"runs/{AUDIT}")
    records = theory_audit.audit(out, only=only, progress=tell)
    print(theory_audit.table(records))
    print(f"Run folder: {out}")
    return 0


def _predictions(arguments: argparse.Namespace) -> int:
    """Hold the laws of a fine-tuning run against real runs."""
    from bandit_rft.cli import checkout
    from bandit_rft.runs.progress import ProgressLine

    what = f"bandit-rft simulate {PREDICTIONS}"
    study = checkout.load("simulations.prediction_audit.audit", what)
    page = checkout.load("simulations.prediction_audit.page", what)
    tier = arguments.tier or "tiny"
    out = Path(arguments.out or f"runs/{PREDICTIONS}" + ("" if tier == "tiny" else f"-{tier}"))

    def tell(done: int, total: int, row: dict[str, Any]) -> None:
        print(f"{done}/{total} {row['model']}, {row['task']}, question {row['question']}", flush=True)

    print(page.table(study.audit(out, tier=tier, progress=tell, line=ProgressLine)))
    print(f"Run folder: {out}")
    return 0


_STUDIES = {AUDIT: _audit, PREDICTIONS: _predictions}
