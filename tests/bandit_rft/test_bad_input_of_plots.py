"""What a notebook's user gives by mistake to the plots and the comparisons: one sentence, never a traceback."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

from bandit_rft import InputError, arms, compare, compare_learners, learners, plots, run, theory_for

matplotlib.use("Agg")
TABLE = arms.Bernoulli([0.2, 0.8])


@pytest.fixture(scope="module")
def both() -> dict:
    policies = {"UCB1": learners.UCB1(), "Thompson": learners.ThompsonBeta()}
    return {name: run(TABLE, one, rounds=30, seeds=4, key=0) for name, one in policies.items()}


@pytest.fixture(scope="module")
def laws() -> tuple:
    return theory_for(TABLE, learners.UCB1(), 30)


@pytest.fixture(autouse=True)
def closed():
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.mark.parametrize(
    ("plot", "given"),
    [
        *((plots.hitting_times, {"level": one}) for one in (None, "x", [], np.array([0.5]), 1j, {}, np.nan)),
        *((plots.bands, {"quantity": one}) for one in ([], {}, None, "x")),
        *((plots.compare_learners, {"baseline": one}) for one in ([], 1j, "x")),
        *((compare_learners, {"baseline": one}) for one in ([], 3)),
        *((plots.regret, {"theory": one}) for one in (3, "x", [None], {1: None})),
        *((plots.regret, {"xscale": one}) for one in ([], None, "symlog")),
        (compare_learners, {"confidence": 1 - 1e-16}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_an_argument_that_is_none_of_its_kind_is_named(both, plot, given) -> None:
    """Catches TypeError of NumPy or of a dict in place of a sentence, and 0 x infinity as a warning of NumPy."""
    [(name, _)] = given.items()
    with pytest.raises(InputError, match=f"{name}|has no"):
        plot(both, **given)


def test_axes_of_three_dimensions_are_refused(both) -> None:
    from matplotlib import pyplot

    axes = pyplot.figure().add_subplot(projection="3d")
    for plot in (plots.regret, plots.bands, plots.hitting_times, plots.compare_learners, plots.pass_at_1):
        with pytest.raises(InputError, match="ax is Axes3D"):
            plot(both, ax=axes)


@pytest.mark.parametrize("wrong", [None, "x", 3, [], np.arange(3)], ids=str)
def test_one_curve_and_compare_refuse_what_is_no_history_or_law(both, laws, wrong) -> None:
    """Catches AttributeErrors from inside, such as 'NoneType' object has no attribute 'at'."""
    from matplotlib import pyplot

    axes = pyplot.figure().add_subplot()
    for call in (
        lambda: plots.bound(axes, wrong),
        lambda: plots.bound(wrong, laws[0]),
        lambda: plots.prediction(axes, wrong),
        lambda: plots.rewards(axes, wrong),
        lambda: plots.rewards(wrong, both["UCB1"]),
        lambda: plots.pass_at_1_by_seed(axes, wrong, newest=3),
        lambda: compare(both["UCB1"], wrong),
        lambda: compare(wrong, laws[0]),
    ):
        with pytest.raises(InputError, match="is of type"):
            call()
    with pytest.raises(InputError, match="window is 31"):
        plots.rewards(axes, both["UCB1"], window=31)


def test_histories_come_as_any_collection_and_theory_under_any_name(both, laws) -> None:
    """Catches a refusal of `histories.values()`, and a TypeError for a theory whose name is no text."""
    for several in (both.values(), iter(both.values()), tuple(both.values()), (one for one in both.values())):
        assert len(plots.regret(several, theory={1: laws[0]}).lines) == 3
    assert compare_learners(both.values()).differences[0].name == "ThompsonBeta"


def test_a_figure_saved_as_it_comes_is_large_enough_to_read(both) -> None:
    """The README's snippet saves `axes.figure`: with matplotlib's own 100 dots per inch it had 480 x 320 pixels."""
    assert plots.regret(both).figure.dpi >= 150


def test_a_bound_begins_where_it_is_above_zero(both, laws) -> None:
    """lai_robbins is 0 after one round: on a logarithmic axis its line fell to the bottom of the figure."""
    [lower] = [law for law in laws if law.name == "lai_robbins"]
    assert lower.value[0] == 0
    axes = plots.regret(both, theory=lower, yscale="log")
    drawn = np.asarray(axes.lines[-1].get_ydata(), float)
    assert np.isnan(drawn[0])
    assert np.nanmin(drawn) > 0
