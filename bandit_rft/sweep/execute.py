"""`sweep`: the same experiment over a grid of parameters, point by point, so that an interruption loses one point.

A folder given as `out` holds

    config.json      what was asked; the folder belongs to one sweep
    manifest.json    versions, commit, device, times; "finished" is null until all points are there
    points/*.npz     the measures of each finished point, written as it completes
    sweep.npz        the whole result, once all points are there

Keys: a point's key is folded from the base key and from its own parameters, hence the same whatever else is swept, and
independent of the other points'.
"""

from __future__ import annotations

import contextlib
import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from bandit_rft import keys
from bandit_rft.arguments import shown, whole
from bandit_rft.errors import InputError, reason
from bandit_rft.fingerprint import fingerprint
from bandit_rft.loop import Progress, run
from bandit_rft.runs import RunFolder, backends, now, write_atomically
from bandit_rft.sweep.grid import Make, Plan, naming, plan_point, points_of
from bandit_rft.sweep.measures import Measure, final_regret, measured, measures_of
from bandit_rft.sweep.result import SweepResult, pack, unpack

POINTS, RESULT = "points", "sweep.npz"
# With fewer points than this, progress is also told inside a point; watching a run costs it a second compilation.
_FEW_POINTS = 20


def sweep(
    make: Make,
    over: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    *,
    rounds: int | None = None,
    seeds: int | None = None,
    key: keys.Key = 0,
    measure: Measure | Mapping[str, Measure] = final_regret,
    row_capacity: int | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    processes: int = 1,
    backend: str = "processes",
) -> SweepResult:
    """Run `make(**point)` at every point, and keep what is measured of each seed.

    Args:
        make: the point's parameters -> (arms, learner). It is called twice a point (once to refuse bad points before
            anything is run), so it must return the same both times.
        over: name -> values, whose product is the grid (the last name varies fastest), or a list of points. Values are
            numbers, texts, booleans or None. "rounds", "seeds" and "row_capacity" may be swept too: they go to the run,
            and to `make` where it names them.
        rounds, seeds: of every point, where they are not swept; seeds defaults to 1.
        key: base key, as in `run`.
        measure: history -> one number a seed [S] (the measure's name is then "value", or "regret" for the default), or
            name -> such functions. The histories themselves are not kept.
        row_capacity: as in `run`.
        out: folder. A rerun of the same sweep takes the finished points from there, bit by bit, and runs the rest.
        progress: called with (rounds done, rounds in all, mean reward of the newest, seconds), rounds summed over
            points; rounds of points found in `out` count as done.
        processes: points that run side by side, each in a process of its own; with "ray" and no cluster, as many cores.
        backend: who runs the points: "processes", or "ray" (the extra `ray`), whose cluster RAY_ADDRESS names. A point
            whose worker is lost is given to another one. Results are the same bits whoever runs them, on one kind of
            machine.

    Returns:
        The measures, float64 [*grid, S].

    Raises:
        InputError: an empty or malformed grid; with `out`, arms, learner or a measure that hold something of which
            nothing tells whether it is the same in a rerun, such as an open file; arms and learner that do not fit, a
            run or a measure that fails, each naming its point; a folder that holds another sweep or a damaged point; an
            unknown backend, or `make` and `measure` that no other process can have. What was finished before a failure
            stays in `out`; an error of another kind carries the point's name as a note.

    Left out: `make` is recognised by what it returns, `measure` by its code, and both by all that they hold, in objects
    of your own classes too. What changes in code that they call, or in the code of a class, is not noticed: choose
    another folder after such a change.

    Example:
        >>> from bandit_rft import arms, learners
        >>> result = sweep(
        ...     lambda p0, eta: (arms.Needle(6, p0=p0), learners.SoftmaxPolicyGradient(step_size=eta)),
        ...     over={"p0": [0.1, 0.3], "eta": [1.0]}, rounds=20, seeds=3)
        >>> result.shape, result.samples["regret"].shape
        ((2, 1), (2, 1, 3))
    """
    keys.as_key(key)
    if not callable(make):
        raise InputError(
            f"make is {shown(make)}: give a function of a point's parameters that returns (arms, learner)."
        )
    start = backends.chosen(backend, whole("processes", processes))
    axes, points = points_of(over)
    measures = measures_of(measure)
    plans = [plan_point(make, point, rounds, seeds, row_capacity) for point in points]
    unknown: list[str] = []
    recognised = {name: fingerprint(function, unknown) for name, function in measures.items()}
    if out is not None:
        _check_known(plans, unknown)
    config = {
        "command": "sweep",
        "axes": [[name, list(values)] for name, values in axes.items()],
        "points": [dict(point) for point in points],
        "rounds": rounds,
        "seeds": seeds,
        "row_capacity": row_capacity,
        "key": keys.recorded(key),
        "measures": recognised,
        "made": [plan.fingerprint for plan in plans],
    }
    with _folder(out, config) as folder:
        if folder is not None:  # before there are points: of a sweep that is killed, it tells what made them
            folder.write_manifest(started=now(), finished=None, key=config["key"])
        points_in = None if folder is None else folder.path.absolute() / POINTS
        if start is backends.serial:
            found = _run_all(make, plans, measures, key, points_in, progress)
        else:
            found = _run_apart(start, processes, make, plans, measures, key, points_in, progress)
        result = _result(axes, points, plans, found, config)
        if folder is not None:
            result.save(folder.path / RESULT)
            folder.amend_manifest(finished=now())
    return result


def _check_known(plans: Sequence[Plan], in_measures: Sequence[str]) -> None:
    """Raises InputError where something is swept that could change and be read as the same."""
    places = [(f"At {plan.name}: what make returns", plan.unknown) for plan in plans]
    for where, kinds in (*places, ("A measure", in_measures)):
        if kinds:
            raise InputError(
                f"{where} holds a {kinds[0]}, and nothing tells whether it is the same when the sweep is run again: "
                "hold numbers, texts, arrays, functions or objects of these instead, or leave out `out`."
            )


class _Found(NamedTuple):
    """Measures [S_p] by name, and the sentences that go with them."""

    sample: dict[str, np.ndarray]
    notes: tuple[str, ...]


def _run_all(
    make: Make,
    plans: Sequence[Plan],
    measures: Mapping[str, Measure],
    key: keys.Key,
    folder: Path | None,
    progress: Progress | None,
) -> list[_Found]:
    """What was found at each point, taken from the folder where it is there."""
    found: list[_Found] = []
    total, done, start = sum(plan.rounds for plan in plans), 0, time.monotonic()
    for plan in plans:
        stored = _stored(folder, plan, measures)
        if stored is not None:
            found.append(stored)
            done += plan.rounds
            continue

        def inside(now_done: int, now_total: int, mean: float, _: float, before: int = done, plan: Plan = plan) -> None:
            if progress is not None:
                part = plan.rounds * now_done // now_total
                progress(before + part, total, mean, time.monotonic() - start)

        watched = inside if progress is not None and len(plans) < _FEW_POINTS else None
        here, mean = _one(make, measures, folder, (plan, _point_key(key, plan)), watched)
        found.append(here)
        done += plan.rounds
        if progress is not None and watched is None:
            progress(done, total, mean, time.monotonic() - start)
    return found


def _run_apart(
    backend: Any,
    workers: int,
    make: Make,
    plans: Sequence[Plan],
    measures: Mapping[str, Measure],
    key: keys.Key,
    folder: Path | None,
    progress: Progress | None,
) -> list[_Found]:
    """`_run_all` by the workers of a backend, whatever the order in which points end."""
    found = {plan.digest: _stored(folder, plan, measures) for plan in plans}
    todo = [plan for plan in plans if found[plan.digest] is None]
    total, start = sum(plan.rounds for plan in plans), time.monotonic()
    done = total - sum(plan.rounds for plan in todo)
    # A key as two words, which any process can have.
    jobs = [(plan, np.asarray(jax.random.key_data(_point_key(key, plan)))) for plan in todo]
    work = partial(_one, make, measures, folder)
    _check_sendable(work, backend)
    for (plan, _), (here, mean) in backend(work, jobs, workers):
        found[plan.digest] = here
        done += plan.rounds
        if progress is not None:
            progress(done, total, mean, time.monotonic() - start)
    return [here for here in (found[plan.digest] for plan in plans) if here is not None]


def _check_sendable(work: Any, backend: Any) -> None:
    """Raises InputError where another process cannot have what a point is made and measured by."""
    try:
        if backend is backends.processes:
            pickle.dumps(work)
        else:  # Ray sends functions that are no module's too, by this package of its own
            from ray import cloudpickle

            cloudpickle.dumps(work)  # type: ignore[reportPrivateImportUsage]
    except ImportError:  # which the backend says
        return
    except Exception as error:  # pickle has several types for it, and what it looks at may raise its own
        raise InputError(
            f"make or measure cannot be given to another process ({reason(error)}): define both at the top level of a "
            "module, or run the sweep with processes=1."
        ) from None


def _one(
    make: Make,
    measures: Mapping[str, Measure],
    folder: Path | None,
    job: tuple[Plan, Any],
    watched: Progress | None = None,
) -> tuple[_Found, float]:
    """Run a point and write it to the folder; what was measured, and the mean reward."""
    plan, key = job
    with naming(plan):
        arms, learner = make(**plan.arguments)
        history = run(
            arms,
            learner,
            plan.rounds,
            seeds=plan.seeds,
            key=key,
            row_capacity=plan.row_capacity,
            progress=watched,
        )
        sample = {name: measured(function, name, history) for name, function in measures.items()}
    here = _Found(sample, tuple(history.notes))
    if folder is not None:
        content = pack({"point": dict(plan.point), "notes": here.notes}, here.sample)
        write_atomically(folder / f"{plan.digest}.npz", content)
    return here, float(history.rewards.mean())


def _point_key(key: keys.Key, plan: Plan) -> jax.Array:
    base = keys.as_key(key)
    for word in (plan.digest[:8], plan.digest[8:]):
        base = jax.random.fold_in(base, np.uint32(int(word, 16)))
    return base


def _result(
    axes: Mapping[str, tuple[Any, ...]],
    points: Sequence[Mapping[str, Any]],
    plans: Sequence[Plan],
    found: Sequence[_Found],
    config: Mapping[str, Any],
) -> SweepResult:
    shape = tuple(len(values) for values in axes.values())
    most = max(plan.seeds for plan in plans)
    arrays = {}
    for name in found[0].sample:
        array = np.full((len(plans), most), np.nan)
        for number, (sample, _) in enumerate(found):
            array[number, : sample[name].size] = sample[name]
        arrays[name] = array.reshape(*shape, most)
    counts = np.array([plan.seeds for plan in plans], dtype=np.int64).reshape(shape)
    notes = tuple(f"{plan.name}: {note}" for plan, here in zip(plans, found, strict=True) for note in here.notes)
    return SweepResult(axes=axes, points=tuple(points), samples=arrays, seeds=counts, notes=notes, config=config)


@contextlib.contextmanager
def _folder(out: str | Path | None, config: Mapping[str, Any]) -> Iterator[RunFolder | None]:
    """The run folder, with a folder for its points; None where none is asked for."""
    if out is None:
        yield None
        return
    with RunFolder.claim(out, config) as folder:
        (folder.path / POINTS).mkdir(exist_ok=True)
        yield folder


def _stored(folder: Path | None, plan: Plan, measures: Mapping[str, Measure]) -> _Found | None:
    """A point that the folder has; None where it has not."""
    path = None if folder is None else folder / f"{plan.digest}.npz"
    if path is None or not path.exists():
        return None
    header, arrays = unpack(path, "delete it, and that point is run again")
    if header.get("point") != dict(plan.point) or any(
        arrays.get(name, np.empty(0)).shape != (plan.seeds,) for name in measures
    ):
        raise InputError(f"{path} is not the point {plan.name} of this sweep: delete it, and that point is run again.")
    return _Found({name: arrays[name] for name in measures}, tuple(header.get("notes", ())))
