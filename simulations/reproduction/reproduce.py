"""Plans the runs of a tier, runs what is missing, judges the claims, and writes the table."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.experiments import (
    Claim,
    Experiment,
    Job,
    Judgement,
    Results,
    Setting,
    execute,
    judge_all,
    plan,
    restore,
    save,
    wilson,
)
from bandit_rft.experiments.execute import missing
from bandit_rft.experiments.outcomes import Shares
from bandit_rft.experiments.variance import components
from bandit_rft.runs import RunFolder, now, to_json, write_atomically
from simulations.reproduction import table
from simulations.reproduction.claims import claims, digests
from simulations.reproduction.tiers import QUICK_CLAIMS, QUICKER, SIMULATION, TIERS

RESULT = "claims.json"
SAVED = "outcomes.tar.xz"
SPLIT = ("advantage", "difficulty")  # experiments whose conditions' variances are split
MEGABYTES = 3.0  # that a run of an embedded model leaves: history and responses, compressed not at all


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        tier: as it will be run, its seeds replaced where asked.
        claims: that are judged.
        experiments: whose runs they need.
        whole: whether these are all claims that the tier can decide.
        left_out: claims that were asked for by the first word of their id and are not judged here, and where they are.
    """

    tier: Any
    claims: Sequence[Claim]
    experiments: Sequence[Experiment]
    whole: bool
    left_out: Sequence[str] = ()

    def text(self, done: int | None = None, jobs: Sequence[Job] | None = None, processes: int = 1) -> str:
        """How many runs, how long and how much disk: of the jobs, or of what is counted without choosing questions."""
        if jobs is None:
            counts = self._counted()
            seconds = self.tier.scan_seconds()
        else:
            counts = Counter(job.setting for job in jobs)
            seconds = 0.0
        number = sum(counts.values())
        seconds += sum(count * self.tier.seconds(setting) for setting, count in counts.items())
        hours = seconds / 3600
        lines = [
            f"tier {self.tier.name}: {len(self.claims)} claims, {len(self.experiments)} experiments, {number} runs of "
            f"{sizes(self.tier, counts, ' x ')}",
            f"about {hours:.1f} device-hours, {hours / processes:.1f} with --jobs {processes}; about "
            f"{number * MEGABYTES / 1000:.1f} GB",
        ]
        lines += [f"not judged here: {one}" for one in self.left_out]
        lines += [] if jobs is None else self.short(jobs)
        if done:
            lines.append(f"{done} runs are done already")
        return "\n".join(lines)

    def short(self, jobs: Sequence[Job]) -> list[str]:
        """A line for each model, task and bin of which fewer questions were found than are planned."""
        found = Counter(job.setting for job in jobs)
        lines = [
            f"{setting.model}, {setting.task}: {found[setting]} of {count} questions with p0 about {setting.p0} were "
            "found"
            for setting, count in self._counted().items()
            if found[setting] < count
        ]
        return sorted(set(lines))

    def _counted(self) -> Counter[Setting]:
        """Runs by setting, where every bin of questions is filled."""
        settings = {setting for one in self.experiments for setting in one.settings(self.tier.levels)}
        return Counter({setting: self.tier.planned(setting) for setting in settings})


def sizes(tier: Any, counts: Mapping[Setting, int], between: str) -> str:
    """ "2 seeds (4 in 64 of 320 runs), 200 rounds" of so many runs of each setting."""
    number, said = sum(counts.values()), []
    for name, of in (("seeds", tier.seeds_of), ("rounds", tier.rounds_of)):
        runs: Counter[int] = Counter()
        for setting, count in counts.items():
            runs[of(setting)] += count
        (least, _), *more = sorted((size, count) for size, count in runs.items() if count) or [(getattr(tier, name), 0)]
        other = ", ".join(f"{size:,} in {count}" for size, count in more)
        said.append(f"{least:,} {name}" + (f" ({other} of {number} runs)" if more else ""))
    return between.join(said)


def planned(
    tier: str,
    *,
    only: Sequence[str] = (),
    seeds: int | None = None,
    quick: bool = False,
    one_sample: bool = False,
    key: int | None = None,
    first: int | None = None,
) -> Plan:
    """The claims of a tier, and the experiments that they need.

    Args:
        tier: of `TIERS`. quick: its smaller size.
        only: claims, each by its id or the first word of it; all where there is none.
        seeds: of each run, in place of the tier's.
        one_sample: Pass@1 is measured as the papers do.
        key: of the runs' random numbers, in place of the tier's. first: training question at which the scan begins, in
            place of the tier's. With either the runs are held out: other ones than those behind the committed table.

    Raises:
        InputError: no such tier or claim, a claim that the tier cannot decide, or seeds below 2.
    """
    if tier not in TIERS:
        raise InputError(f"--tier is {tier!r}: choose one of {', '.join(TIERS)}.")
    if quick and tier not in QUICKER:
        raise InputError(f"--quick is for --tier {' and '.join(QUICKER)}: leave it out.")
    chosen: Any = (QUICKER if quick else TIERS)[tier]
    if seeds is not None:
        if seeds < 2:
            raise InputError(f"--seeds is {seeds}: give at least 2, so that their spread is known.")
        chosen = chosen.with_seeds(seeds)
    if one_sample:
        if tier == "simulation":
            raise InputError("--one-sample is of test questions, which --tier simulation has not: leave it out.")
        chosen = chosen.one_sample()
    chosen = chosen.held_out(key=key, first=first)
    kept, left_out = _chosen(tier, only, quick)
    experiments = {id(one): one for claim in kept for one in claim.experiments}
    return Plan(chosen, kept, list(experiments.values()), whole=not only, left_out=left_out)


def _chosen(tier: str, only: Sequence[str], quick: bool) -> tuple[list[Claim], list[str]]:
    """The claims to judge, each once, and of the others that were asked for why not; as `planned`."""
    known = claims()
    wanted: dict[str, Claim] = {}
    for name in only:
        found = {key: claim for key, claim in known.items() if name in (key, key.split()[0])}
        if not found:
            raise InputError(f"--only is {name!r}: choose one of {', '.join(known)}.")
        here = [claim for claim in found.values() if tier in claim.tiers]
        if not here:
            elsewhere = next(iter(found.values())).tiers
            raise InputError(f"Claim {name} cannot be decided at tier {tier}: choose {' or '.join(elsewhere)}.")
        if quick and not any(claim.id in QUICK_CLAIMS for claim in here):
            raise InputError(
                f"--only is {name!r}, and --quick judges {', '.join(QUICK_CLAIMS)}: leave --quick out, or choose "
                "--only of these."
            )
        wanted |= found
    kept, left_out = [], []
    for claim in (wanted or known).values():
        if tier not in claim.tiers:
            left_out.append(f"{claim.id} (of tier {' or '.join(claim.tiers)})")
        elif quick and claim.id not in QUICK_CLAIMS:
            left_out.append(f"{claim.id} (without --quick)")
        else:
            kept.append(claim)
    return kept, left_out if only else []


def reproduce(
    work: Plan,
    out: Path,
    *,
    processes: int = 1,
    backend: str = "processes",
    outcomes: Path | None = None,
    tell: Callable[[int, int, Job, float], None] | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run what is missing and judge; returns the record of claims.json, beside which all outcomes are put in one file.

    Args:
        work: of `planned`.
        out: run folder of the whole.
        processes: runs side by side. backend: who makes them, as `execute` takes it.
        outcomes: a file of `save`, whose runs are taken and not made again; manifest.json says so.
        tell: progress over runs.
        say: given the plan before it is run.

    Raises:
        InputError: a folder of another plan, or a run that cannot be made.
    """
    config = {"command": "reproduce", "tier": work.tier.name, "seeds": work.tier.seeds, "key": "by tier"}
    with RunFolder.claim(out, config) as folder:
        folder.write_manifest(started=now(), key="by tier", finished=None)
        given = restore(outcomes, folder.path) if outcomes is not None else frozenset()
        jobs = plan(work.tier, work.experiments, folder.path)
        if outcomes is not None:
            taken = sum(job.digest in given for job in jobs)
            if not taken:
                raise InputError(
                    f"{outcomes} has no outcome of the {len(jobs)} runs of this plan: give one of its tier."
                )
            folder.amend_manifest(outcomes={"file": str(outcomes), "runs": taken})
            say(f"{outcomes} has the outcomes of {taken} of these {len(jobs)} runs: those are not made again")
        todo = missing(folder.path, jobs)
        say(work.text(len(jobs) - len(todo), jobs, processes))
        results = execute(work.tier, jobs, folder.path, processes=processes, backend=backend, progress=tell)
        judged = judge_all(work.claims, results)
        record = record_of(work, judged, results, jobs)
        if work.whole:  # some claims alone share no correction with the others, and are no table of the tier
            write_atomically(folder.path / RESULT, to_json(record))
            write_atomically(folder.path / "claims.md", table.markdown([record]))
            save(folder.path, folder.path / SAVED)
        folder.amend_manifest(finished=now())
    return record


def record_of(
    work: Plan, judged: Mapping[str, Judgement], results: Results, jobs: Sequence[Job] = ()
) -> dict[str, Any]:
    """Plain values: the design, and each claim with its judgement and the digest of what it was judged by."""
    by = digests()
    return {
        "tier": work.tier.name,
        "seeds": work.tier.seeds,
        "rounds": work.tier.rounds,
        "sizes": sizes(work.tier, Counter(job.setting for job in jobs), ", "),
        "short": work.short(jobs),
        "claims": [
            {
                **judged[claim.id].to_json(),  # before the claim's own words: of a single stratum it has an effect, too
                "id": claim.id,
                "statement": claim.statement,
                "source": claim.source,
                "effect": claim.effect,
                "direction": claim.direction,
                "threshold": claim.threshold,
                "margin": claim.margin,
                "digest": by[claim.id],
                **({} if claim.shares is None else {"shares": _with_wilson(claim.shares(results))}),
            }
            for claim in work.claims
        ],
        "variance": _variance(work.experiments, results),
        "metric": _metric(results),
    }


def _metric(results: Results) -> dict[str, Any] | None:
    """{"error": of one point of test Pass@1, from its responses and questions alone, the median over runs}."""
    noise = [one.noise for one in results.every() if one.evaluated.size]
    return None if not noise else {"error": float(np.sqrt(np.median(noise)))}


def _variance(experiments: Sequence[Experiment], results: Results) -> list[dict[str, Any]]:
    """Of each condition of `SPLIT` with test questions, the components of the variance of final test Pass@1, that of
    questions within a base model and task."""
    found = []
    for experiment in experiments:
        for label, stratum in results.strata(experiment).items() if experiment.name in SPLIT else ():
            for condition in experiment.conditions:
                outcomes = results.outcomes(experiment, condition, stratum)
                if not all(one.evaluated.size for one in outcomes.values()):
                    continue
                of = results.cells(experiment, condition, stratum)
                cells = [of[unit] for unit in outcomes]
                if len(set(cells)) == len(cells):  # no two questions of one base model and task
                    continue
                split = {
                    name: [effect.value, *(end if math.isfinite(end) else None for end in effect.interval())]
                    for name, effect in components(list(outcomes.values()), cells).items()
                }
                found.append({"condition": condition, "stratum": label, "questions": len(outcomes), **split})
    return found


def _with_wilson(shares: Shares) -> dict[str, Any]:
    """stratum -> condition -> unit -> [seeds, of seeds, Wilson's 95% interval]."""
    return {
        label: {
            condition: {unit: [*counts, *wilson(*counts)] for unit, counts in units.items()}
            for condition, units in conditions.items()
        }
        for label, conditions in shares.items()
    }


def void(record: Mapping[str, Any]) -> list[str]:
    """Ids of claims whose file or experiments have changed since they were judged, or are gone."""
    by = digests()
    return [claim["id"] for claim in record["claims"] if by.get(claim["id"]) != claim["digest"]]


def main() -> None:
    """docs/claims.md and .json from the run folders of one or more tiers, and docs/outcomes of those that take long.

    python -m simulations.reproduction.reproduce runs/reproduce-simulation runs/reproduce-tiny

    Tiers that are in docs/claims.json and have no folder here stay there as they are.
    """
    from bandit_rft.runs import read_json

    docs = Path(__file__).resolve().parents[2] / "docs"
    kept = read_json(docs / "claims.json")["tiers"] if (docs / "claims.json").exists() else []
    records = with_new(kept, [read_json(Path(name) / RESULT) for name in sys.argv[1:]])
    for name in sys.argv[1:]:
        tier = read_json(Path(name) / RESULT)["tier"]
        if tier != SIMULATION.name:  # whose runs take a minute
            save(Path(name), docs / "outcomes" / f"{tier}.tar.xz")
    write_atomically(docs / "claims.json", to_json({"tiers": records}))
    write_atomically(docs / "claims.md", table.markdown(records))


def with_new(kept: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The records of all tiers, a new one in place of the kept one of its tier, in the order of `TIERS`, a tier's
    smaller size before it."""
    by = {record["tier"]: record for record in (*kept, *new)}
    order = [one.name for name in TIERS for one in (QUICKER.get(name), TIERS[name]) if one is not None]
    return [
        by[name] for name in sorted(by, key=lambda name: (order.index(name) if name in order else len(order), name))
    ]


if __name__ == "__main__":
    main()
