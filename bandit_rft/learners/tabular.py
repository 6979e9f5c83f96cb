"""What the tabular learners share: a learner file gives its `TabularUpdate`; `bind` lets it run on the rows of a table.

    rule.weight(key, state)                [R] weight with which each row is drawn
    rule.learn(state, pulls, rewards)      the `Lesson` of a round: what changes for all rows, and for the arms pulled

A rule sees rows only. What belongs to the arm set (the arms' classes and means, drift, delay) is done here, once.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments, fresh_rows, own_code, signals
from bandit_rft import rows as row_table
from bandit_rft.arms.lumped_arms import LumpedArms, innermost
from bandit_rft.contract import Info, Learner, Redraws
from bandit_rft.errors import InputError
from bandit_rft.keys import as_key
from bandit_rft.learners.tabular_update import Lesson, State, TabularUpdate
from bandit_rft.pools import Pool

_ROW_BYTES = 32  # of a row's own arrays, the learner's statistics apart


def bind(arms: Any, rule: TabularUpdate, *, name: str, rounds: int, row_capacity: int | None) -> Learner:
    """The rule on the rows of a table.

    Raises:
        InputError: `arms` is no table, the row capacity is below what it starts with, a subsample larger than K,
            delayed rewards for a rule that cannot take them, or a rule that wants a row a class where there is none;
            when the run begins, rows beyond memory.
    """
    table, rounds = require_table(arms, name), arguments.whole("rounds", rounds)
    layout = _layout(table, rule, name, rounds, row_capacity)
    rollouts, capacity = rule.rollouts, layout.capacity
    pool = table.pool(max(capacity - 1, 1)) if layout.pooled else None

    log_arms = math.log(rule.subsample) if rule.subsample is not None else table.log_arms

    def start_rows(world: Any) -> row_table.Rows:
        if pool is None:
            return row_table.Rows.of(np.asarray(table.log_counts), capacity, table.class_means(world))
        return row_table.Rows.pooled(pool, log_arms, capacity, pool.start(table.class_means(world)))

    fixed = table.fixed_means
    if fixed is not None and (pool is not None or fixed.size != capacity):
        fixed = None  # rows come to be as the run goes

    def init(key: jax.Array) -> State:
        require_room(capacity, len(rule.initial), name)
        world = table.start(as_key(key))
        statistic = {label: _spread(value, capacity) for label, value in rule.initial.items()}
        state = State(
            rows=start_rows(world),
            statistic=statistic,
            memory={label: jnp.asarray(value) for label, value in rule.memory.items()},
            time=jnp.zeros((), jnp.int32),
            world=world,
        )
        if table.delay:
            state = dataclasses.replace(state, pending=_no_pulls(state.rows, table.delay, rollouts))
        return state

    own = own_code.holds_own(rule.weight)
    swept = pool if _only_sweeps(table, rule, rounds) else None  # the pool that every pull is from

    def act(key: jax.Array, state: State) -> tuple[row_table.Pulls, Info]:
        key = as_key(key)
        rule_key, draw_key = jax.random.split(key) if rule.random else (key, key)
        if swept is not None:
            pulls, value = fresh_rows.draw_fresh(draw_key, state.rows, swept)
            return pulls, Info(value=value if rule.value_known else None, best_mean=table.best(state.world))
        weight = rule.weight(rule_key, state)
        if own and not rule.random and own_code.uses(lambda key: rule.weight(key, state), rule_key):
            raise InputError(
                f"{name}'s weight uses its key, which the draw of an arm uses too: say random=True in its "
                "TabularUpdate, so that it is given a key of its own."
            )
        if getattr(weight, "shape", None) != (capacity,):
            said = f"the shape {list(np.shape(weight))}" if hasattr(weight, "shape") else type(weight).__name__
            raise InputError(f"{name}'s weight has {said}: return a weight for each of the {capacity} rows.")
        mean = None if fixed is None else jnp.asarray(fixed, dtype=float)
        pulls, value = row_table.draw(draw_key, state.rows, weight, rollouts, pool, mean)
        return pulls, Info(value=value if rule.value_known else None, best_mean=table.best(state.world))

    def learn(state: State, pulls: row_table.Pulls, rewards: jax.Array) -> State:
        lesson = rule.learn(state, pulls, rewards)
        if swept is not None and lesson.keep is None and lesson.statistic is None:
            return learn_fresh(swept, state, pulls, lesson)
        keep = jnp.ones_like(pulls.row, dtype=bool) if lesson.keep is None else lesson.keep
        before = state.statistic if lesson.statistic is None else {**state.statistic, **lesson.statistic}
        gathered = {label: values[pulls.row] for label, values in before.items()}
        after = gathered | lesson.observe(gathered)
        if state.rows.splits(pool):
            for values in after.values():
                pulls = dataclasses.replace(pulls, row=row_table.once_read(pulls.row, values))
        rows, place = row_table.split(state.rows, pulls, keep, pool)
        first = pulls.first == jnp.arange(rollouts, dtype=jnp.int32)
        target = jnp.where(first & keep, place, capacity)  # out of range: dropped
        statistic = {label: values.at[target].set(after[label], mode="drop") for label, values in before.items()}
        memory = state.memory if lesson.memory is None else {**state.memory, **lesson.memory}
        state = dataclasses.replace(state, rows=rows, statistic=statistic, memory=memory)
        return state if lesson.then is None else lesson.then(state, place)

    def learn_fresh(swept: Pool, state: State, pulls: row_table.Pulls, lesson: Lesson) -> State:
        """The same where the arm pulled leaves the pool for the next free row, which is one number for all seeds."""
        place = state.rows.used
        rows = fresh_rows.split_fresh(state.rows, pulls, place, swept, log_arms)
        # Not read from row 0, which never changes: a read beside a write is a copy of the whole array.
        untouched = {
            label: jnp.asarray(rule.initial[label], values.dtype)[None] for label, values in state.statistic.items()
        }
        after = untouched | lesson.observe(untouched)
        statistic = {
            label: fresh_rows.write_row(values, place, after[label][0]) for label, values in state.statistic.items()
        }
        memory = state.memory if lesson.memory is None else {**state.memory, **lesson.memory}
        state = dataclasses.replace(state, rows=rows, statistic=statistic, memory=memory)
        return state if lesson.then is None else lesson.then(state, place[None])

    def update(state: State, pulls: row_table.Pulls, rewards: jax.Array) -> State:
        if table.delay:
            state, pulls, rewards, heard = _exchange(state, pulls, rewards, table.delay, pool)
            learnt = learn(state, pulls, rewards)
            state = jax.tree.map(lambda new, old: jnp.where(heard, new, old), learnt, state)
        else:
            state = learn(state, pulls, rewards)
        world = table.advance(state.world)
        rows = state.rows
        if table.moving:
            rows = dataclasses.replace(rows, mean=jnp.asarray(table.class_means(world))[rows.class_index])
        return dataclasses.replace(state, rows=rows, world=world, time=state.time + 1)

    return Learner(
        init=init,
        act=act,
        update=update,
        rollouts=rollouts,
        overflowed=lambda state: state.rows.overflowed,
        notes=_sweep_note(table, rule, name, rounds),
        redraws=None if rule.redraws == 0 else _redraws(rule, act),
    )


def _redraws(rule: TabularUpdate, act: Callable[[jax.Array, State], tuple[row_table.Pulls, Info]]) -> Redraws:
    """A round is one group. Pulls that are drawn again leave no trace: no arm leaves its row for them."""

    def cost(pulls: row_table.Pulls, dead: jax.Array | None) -> dict[str, jax.Array]:
        del pulls, dead
        return {"pulls": jnp.int32(rule.rollouts)}

    return Redraws(
        most=rule.redraws,
        dead=lambda rewards: signals.dead(rewards)[None],
        again=lambda key, state, pulls, dead: act(key, state)[0],
        cost=cost,
    )


class _Layout(NamedTuple):
    pooled: bool
    capacity: int


def _layout(table: LumpedArms, rule: TabularUpdate, name: str, rounds: int, row_capacity: int | None) -> _Layout:
    """Whether untouched arms share row 0, and how many rows the run can need at most."""
    by_class = any(np.ndim(value) for value in rule.initial.values())
    splits = rounds * rule.rollouts if rule.most_splits is None else rule.most_splits
    if table.delay:
        splits = max(splits, rounds * rule.rollouts)  # every arm leaves its row while its reward is under way
    if rule.subsample is not None:
        require_subsample(table, rule.subsample, name)
        if by_class or table.moving:
            raise InputError(f"{name} cannot be confined to a subsample of {type(table).__name__}: its rows are fixed.")
    if table.delay and rule.redraws:
        raise InputError(f"{name} has to hear of a reward to draw again: give it arms without delay.")
    if table.delay and not rule.delayable:
        raise InputError(f"{name} has to hear of a reward in the round of its pull: give it arms without delay.")
    if table.reservoir and by_class:
        raise InputError(
            f"{name} starts from a base policy, which infinitely many arms have not: choose an index learner."
        )
    classes = len(table.log_counts)
    pooled = table.reservoir or rule.subsample is not None
    if not (pooled or by_class or table.moving):
        pooled = classes > 1 + splits
    if row_capacity is not None:
        return _Layout(pooled, arguments.whole("row_capacity", row_capacity))
    if pooled:
        arms = rule.subsample if rule.subsample is not None else _count(table.log_arms, splits)
        return _Layout(True, 1 + min(splits, arms))
    log_counts = np.asarray(table.log_counts)
    can_split = log_counts > 0.5  # a class of one arm never splits
    if rule.classes_split is not None and not table.delay:
        can_split &= rule.classes_split
    splittable = sum(_count(log_count, splits) for log_count in log_counts[can_split])
    return _Layout(False, classes + min(splits, splittable))


def _only_sweeps(table: LumpedArms, rule: TabularUpdate, rounds: int) -> bool:
    """Whether every pull of the run is of an arm not pulled before, so that what was learnt decides nothing."""
    arms = _count(table.log_arms, rounds) if rule.subsample is None else rule.subsample
    heard_at_once = not (table.delay or table.moving or rule.redraws)
    return rule.sweeps and rule.rollouts == 1 and heard_at_once and arms >= rounds


def _count(log_count: float, most: int) -> int:
    """Arms of a class, at most `most`."""
    return most if log_count > math.log(most + 1) else round(math.exp(log_count))


def _spread(value: Any, capacity: int) -> jax.Array:
    """[R]: the value of an untouched arm in every row, or one value a class and the first class's beyond."""
    array = np.asarray(value)
    if array.ndim == 0:
        return jnp.full(capacity, array, dtype=float if array.dtype.kind == "f" else array.dtype)
    whole = np.zeros(max(capacity, array.size))
    whole[: array.size] = array
    return jnp.asarray(whole, dtype=float)


def _sweep_note(table: LumpedArms, rule: TabularUpdate, name: str, rounds: int) -> tuple[str, ...]:
    arms = rule.subsample if rule.subsample is not None else None
    log_arms = table.log_arms if arms is None else math.log(arms)
    if not rule.sweeps or log_arms < math.log(rounds) - 1e-12:
        return ()
    best, average = table.best_mean, table.average_mean
    shown = _arms_text(table) if arms is None else f"{arms} arms"
    # Under delay an arm may be pulled again before it is heard of; no choice has heard of a reward either way.
    habit = "tries arms unheard of before all others" if table.delay else "pulls every arm once before any arm twice"
    sentence = f"{name} {habit}, and {rounds} rounds do not exceed {shown}"
    if best is None or average is None:
        return (f"{sentence}: it explores to the end and never uses what it has seen.",)
    loss = best - average
    return (
        f"{sentence}: it explores to the end, and its expected regret is exactly T(best - average) = "
        f"{rounds * loss:.6g}.",
    )


def _arms_text(table: LumpedArms) -> str:
    if table.reservoir:
        return "infinitely many arms"
    exact = math.exp(table.log_arms) if table.log_arms < 30 else None
    return f"{round(exact)} arms" if exact is not None else f"10^{table.log_arms / math.log(10):g} arms"


# ------------------------------------------------------------------------------------------------------------ delay


def _no_pulls(rows: row_table.Rows, delay: int, rollouts: int) -> tuple[row_table.Pulls, jax.Array]:
    empty = jnp.zeros((delay, rollouts), jnp.int32)
    nothing = jnp.zeros((delay, rollouts), rows.mean.dtype)
    index = jnp.broadcast_to(jnp.arange(rollouts, dtype=jnp.int32), (delay, rollouts))
    return row_table.Pulls(row=empty, first=index, class_index=empty, mean=nothing), nothing


def _exchange(
    state: State, pulls: row_table.Pulls, rewards: jax.Array, delay: int, pool: Pool | None
) -> tuple[State, row_table.Pulls, jax.Array, jax.Array]:
    """Store this round's pulls and hand out those of `delay` rounds ago, with whether there are any.

    A pulled arm leaves its row at once: until its reward comes, later draws of the same arm must be known as such.
    """
    rows, place = row_table.split(state.rows, pulls, jnp.ones_like(pulls.row, dtype=bool), pool)
    statistic = {
        label: values.at[place].set(values[pulls.row], mode="drop") for label, values in state.statistic.items()
    }
    slot = state.time % delay
    newest = (dataclasses.replace(pulls, row=place), rewards)
    oldest_pulls, oldest_rewards = jax.tree.map(lambda values: values[slot], state.pending)
    pending = jax.tree.map(lambda values, new: values.at[slot].set(new), state.pending, newest)
    state = dataclasses.replace(state, rows=rows, statistic=statistic, pending=pending)
    return state, oldest_pulls, oldest_rewards, state.time >= delay


# ----------------------------------------------------------------------------------------------------------- checks


def require_table(arms: Any, learner: str) -> LumpedArms:
    """The arm set itself if it is a table of arms.

    Raises:
        InputError: it is something else (an LLM's prompt, say).
    """
    if not isinstance(arms, LumpedArms):
        raise InputError(
            f"{learner} learns on tables of arms (Bernoulli, Classes, Needle and their like), not on "
            f"{type(arms).__name__}: choose another learner."
        )
    if own_code.is_own(innermost(arms)):
        _check_own_table(innermost(arms))
    return arms


def _check_own_table(table: LumpedArms) -> None:
    """Raises InputError where a user's own table has not C numbers everywhere: a single mean would be that of all."""
    name = type(table).__name__
    log_counts = arguments.numbers(f"{name}.log_counts", table.log_counts)
    if not np.all(np.isfinite(log_counts)) or np.any(log_counts < -1e-12):
        raise InputError(
            f"{name}.log_counts holds {log_counts.min():g}: give the natural logarithm of each class's number of arms, "
            "0 for one arm."
        )
    mass = arguments.numbers(f"{name}.base_log_mass", table.base_log_mass)
    if mass.shape != log_counts.shape:
        raise InputError(
            f"{name}.base_log_mass has {mass.size} entries, and log_counts has {log_counts.size}: give one for each "
            "class."
        )

    def means() -> jax.Array:
        found = table.class_means(table.start(as_key(0)))
        return own_code.real_array(
            f"{name}.class_means", found, log_counts.shape, "the mean of each class of log_counts"
        )

    with own_code.same_each_round(f"{name}.class_means", table):
        jax.eval_shape(means)
    if not table.moving and _changes(table.advance, jax.eval_shape(lambda: table.start(as_key(0)))):
        raise InputError(
            f"{name}.advance changes the world, and moving is False, so that every mean would stay as it starts: say "
            "moving = True."
        )


def _changes(advance: Callable[[Any], Any], world: Any) -> bool:
    """Whether a world of these shapes is another one after a round."""
    traced = jax.make_jaxpr(advance)(world).jaxpr
    return len(traced.invars) != len(traced.outvars) or any(
        before is not after for before, after in zip(traced.invars, traced.outvars, strict=True)
    )


def require_room(capacity: int, statistics: int, name: str) -> None:
    """Refuse rows that one seed's memory cannot hold, before any is made. Raises InputError."""
    needed, there = capacity * _ROW_BYTES + capacity * statistics * 8, _memory()
    if capacity >= 2**31 or needed > there:
        limit = "2^31 are the most" if capacity >= 2**31 else f"this machine has {there / 2**30:.3g} GiB"
        raise InputError(
            f"{name} would need {capacity:,} rows, {needed / 2**30:.3g} GiB for each seed, and {limit}: shorten the "
            "run, or set row_capacity."
        )


def _memory() -> float:
    """Bytes of the machine's memory; infinity where it does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):  # not every system knows these names
        return math.inf


def require_subsample(table: LumpedArms, size: int, name: str) -> None:
    """Raises InputError for a subsample of no arm, or of more than there are."""
    if size < 1 or math.log(size) > table.log_arms + 1e-12:
        raise InputError(
            f"{name} wants a subsample of {size} arms out of {_arms_text(table)}: give a whole number between 1 and "
            "the number of arms."
        )


def classes_split(table: LumpedArms, signal: Any) -> np.ndarray | None:
    """Classes whose pulled arms may move on their own under a signal, bool [C]; None: all.

    Where failures have no signal, an arm of reward 0 never moves on its own, so its class never splits.
    """
    silent = signal in signals.SUCCESSES_ONLY and (signal != "pass_at_k" or table.means_within(0.0, math.inf))
    return table.can_pay if silent else None


def base_logit(table: LumpedArms) -> np.ndarray | float:
    """ln of the base policy's weight of one arm: [C], or the scalar 0 where all arms weigh the same."""
    if table.uniform_base:
        return 0.0
    return np.asarray(table.base_log_mass) - np.asarray(table.log_counts)
