"""Plots in one line: what they take, what they show, and that every reader can tell the learners apart."""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from bandit_rft import arms, compare_learners, learners, plots, run, theory
from bandit_rft.errors import InputError, UnknownOptimumError
from bandit_rft.plots import several
from bandit_rft.regret import band, hitting_time
from tests.bandit_rft.histories import make_history, valued

MEANS = [0.2, 0.5, 0.8]


@pytest.fixture(scope="module")
def histories():
    named = {"UCB1": learners.UCB1(), "Thompson": learners.ThompsonBeta()}
    return {name: run(arms.Bernoulli(MEANS), learner, rounds=40, seeds=5) for name, learner in named.items()}


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    pyplot.close("all")


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_one_history_a_list_and_a_dict_are_drawn_in_one_line(histories) -> None:
    """Catches a list whose learners have no names, and two of one name of which one is lost."""
    first, second = histories.values()
    assert labels(plots.regret(first)) == ["UCB1"]
    assert labels(plots.regret([first, second, first])) == ["UCB1", "ThompsonBeta", "UCB1 (2)"]
    axes = plots.regret(histories)
    assert labels(axes) == ["UCB1", "Thompson"]
    for line, history in zip(axes.lines, histories.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 41))
        np.testing.assert_allclose(np.asarray(line.get_ydata()), band(history.regret()).mean)
    assert len(axes.collections) == 2


@pytest.mark.filterwarnings("error")
def test_the_legend_of_fifty_learners_is_read_whole_and_hides_no_curve() -> None:
    """Catches entries beyond the picture's edge: of fifty, 29 were cut off, and the others lay on the curves."""
    many = {f"learner number {place} (alpha={place / 10})": make_history(seed=place) for place in range(50)}
    axes = plots.regret(many)
    axes.figure.canvas.draw()
    shown, picture = axes.get_legend().get_window_extent(), axes.figure.bbox
    assert len(labels(axes)) == 50
    assert picture.x0 <= shown.x0 < shown.x1 <= picture.x1
    assert picture.y0 <= shown.y0 < shown.y1 <= picture.y1
    assert shown.x0 >= axes.get_window_extent().x1
    assert axes.get_window_extent().width > 0.25 * picture.width
    few = plots.regret(dict(itertools.islice(many.items(), 10)))
    assert tuple(few.figure.get_size_inches()) == (4.8, 3.2)


def test_round_0_has_a_place_on_a_logarithmic_axis(histories) -> None:
    """Where a policy starts, at round 0, fell off the axis without a word."""
    for axes in (
        plots.pass_at_1(histories, xscale="log"),
        plots.bands(histories, "reward", xscale="log"),
        plots.hitting_times(histories, 0.5, xscale="log"),
    ):
        assert axes.lines[0].get_xdata()[0] == 0
        at = axes.transData.transform([[0, 0], [1, 0], [10, 0], [39, 0]])[:, 0] - axes.bbox.x0
        assert 0 <= at[0] < at[1]
        assert at[3] - at[2] == pytest.approx((at[2] - at[1]) * np.log10(3.9), rel=1e-6)  # logarithmic from 1 on
    assert plots.bands(histories, "regret", xscale="log").get_xscale() == "log"
    plots.pass_at_1(valued([[0.5], [0.6]]), xscale="log")  # of round 0 alone matplotlib warned


def test_theory_lies_on_top_once_and_is_named(histories) -> None:
    """Catches a bound that two learners share and that is drawn twice, and a vacuous one that looks like a promise."""
    bound, below = theory.ucb1_bound(MEANS, rounds=40), theory.lai_robbins(MEANS, rounds=40)
    axes = plots.regret(histories, theory=[bound, below, theory.lai_robbins(MEANS, rounds=40)], xscale="log")
    shown = labels(axes)
    assert shown == ["UCB1", "Thompson", "ucb1_bound, upper bound, vacuous", "lai_robbins, lower bound, asymptotic"]
    np.testing.assert_array_equal(axes.lines[2].get_ydata(), bound.value)
    assert axes.get_xscale() == "log"
    law = theory.pg_jump_single(0.1, 0.5, 40)
    assert labels(plots.pass_at_1(histories, theory={"mine": law}))[-1] == "mine"


def test_learners_are_told_apart_in_colour_in_grey_and_by_line(histories) -> None:
    """Any two of eight learners differ in line style or marker, and neighbours in the lightness of their grey or in
    both. Catches a palette whose colours alone carry the names."""
    history = histories["UCB1"]
    axes = plots.regret({f"learner {place}": history for place in range(8)})
    lines = [line for line in axes.lines if line.get_label().startswith("learner")]
    for one, other in itertools.combinations(lines, 2):
        assert (one._unscaled_dash_pattern, one.get_marker()) != (other._unscaled_dash_pattern, other.get_marker())
        assert one.get_marker() != other.get_marker()
    assert len({to_rgb(line.get_color()) for line in lines[:7]}) == 7
    marks = [set(several._marks(400, place, "linear")) for place in range(7)]
    assert all(not (a & b) for a, b in itertools.combinations(marks, 2))


def test_bands_draw_any_quantity(histories) -> None:
    history = make_history(metrics={"entropy": np.ones((3, 5))})
    np.testing.assert_allclose(plots.bands(history).lines[0].get_ydata(), history.rewards.mean(axis=(0, 2)))
    np.testing.assert_allclose(plots.bands(history, "value").lines[0].get_ydata(), history.value.mean(axis=0))
    np.testing.assert_allclose(plots.bands(history, "entropy").lines[0].get_ydata(), 1.0)
    assert plots.bands(history, "regret").lines[0].get_xdata()[0] == 1
    with pytest.raises(InputError, match="choose one of reward, value, regret, entropy"):
        plots.bands(history, "loss")


def test_differences_are_drawn_with_their_bands(histories) -> None:
    found = compare_learners(histories)
    for axes in (plots.compare_learners(histories), plots.compare_learners(found)):
        assert labels(axes) == ["Thompson − UCB1"]
        np.testing.assert_allclose(axes.lines[1].get_ydata(), found.differences[0].mean)
        corners = axes.collections[0].get_paths()[0].vertices
        assert np.isclose(np.asarray(corners)[:, 1].min(), found.differences[0].low.min())


def test_hitting_times_are_a_distribution_with_its_law() -> None:
    """Catches the share of seeds that are still below, and a law read at another level."""
    needle, learner = arms.Needle(log10_arms=3, p0=0.2), learners.SoftmaxPolicyGradient(step_size=0.5)
    history = run(needle, learner, rounds=80, seeds=40)
    law = theory.pg_jump_single(0.2, 0.5, 80, log_arms=needle.log_arms)
    axes = plots.hitting_times(history, level=0.5, theory=law)
    measured, predicted = axes.lines
    times = hitting_time(history, 0.5).rounds
    want = [(times <= t).mean() for t in range(80)]
    np.testing.assert_allclose(measured.get_ydata(), want)
    # Dvoretzky, Kiefer, Wolfowitz: the law lies within the band at every round; false-alarm rate 0.05 at this key.
    rounds = np.asarray(predicted.get_xdata(), int)
    assert np.all(np.asarray(predicted.get_ydata()) <= np.asarray(want)[rounds] + np.sqrt(np.log(40) / 80) + 0.01)
    assert axes.get_ylabel() == "share of seeds with Pass@1 ≥ 0.5"


def test_axes_that_are_given_are_drawn_on_and_keep_their_style(histories) -> None:
    axes = Figure().subplots()
    before = dict(matplotlib.rcParams)
    for draw in (plots.regret, plots.pass_at_1, plots.bands, plots.compare_learners, plots.hitting_times):
        assert draw(histories, ax=axes) is axes
    assert pyplot.get_fignums() == []
    assert dict(matplotlib.rcParams) == before
    assert plots.regret(histories).figure.number in pyplot.get_fignums()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda h: plots.regret(h, xscale="logarithmic"), "choose linear or log"),
        (lambda h: plots.regret(h, yscale=2), "choose linear or log"),
        (lambda h: plots.regret(h, ax="top"), "matplotlib Axes"),
        (lambda h: plots.regret(Figure().subplots(), h), "no history"),
        (lambda h: plots.regret(h["UCB1"].rewards), "no history"),
        (lambda h: plots.regret({}), "at least 1"),
        (lambda h: plots.regret(h, theory="ucb1_bound"), "give predictions or bounds"),
        (lambda h: plots.regret(h, theory=[theory.ucb1_bound]), "give predictions or bounds"),
        (lambda h: plots.regret(h, kind="simple"), "choose pseudo"),
        (lambda h: plots.hitting_times(h, level=float("nan")), "finite"),
        (lambda h: plots.pass_at_1(valued([[np.nan, 1.0]])), "no exact Pass@1"),
        (lambda h: plots.bands(valued([[np.nan, np.nan]]), "value"), "in no round"),  # an empty plot, or a ValueError
    ],
)
def test_what_cannot_be_drawn_is_a_sentence_and_leaves_no_figure(histories, call, said) -> None:
    with pytest.raises(InputError, match=said) as refused:
        call(histories)
    assert "\n" not in str(refused.value)
    assert pyplot.get_fignums() == []


def test_regret_without_a_known_optimum_says_what_to_draw_instead(histories) -> None:
    with pytest.raises(UnknownOptimumError, match=r"draw plots\.pass_at_1"):
        plots.regret(make_history(best_mean=None))


@pytest.mark.parametrize("name", ["$\\frac$", "_hidden", "\x1b[31mred", "x" * 500])
def test_names_stand_in_the_legend_as_they_are(histories, name) -> None:
    """Catches a name that matplotlib takes for mathematics, hides, or draws as wide as a street."""
    axes = plots.regret({name: histories["UCB1"]})
    assert len(labels(axes)) == 1
    axes.figure.draw_without_rendering()


def test_markers_fit_any_number_of_rounds() -> None:
    for rounds, place, scale in itertools.product((1, 2, 9, 4000), (0, 6, 7), ("linear", "log")):
        marks = several._marks(rounds, place, scale)
        assert all(0 <= mark < rounds for mark in marks)
        assert len(marks) >= 1
