"""report.html: inert whatever a model wrote, true to the run's numbers, and readable in a real browser."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from bandit_rft.cli import main
from bandit_rft.errors import InputError
from bandit_rft.plots import curves, finetune, several, style
from bandit_rft.reports import charts, report
from bandit_rft.reports.page import LONGEST
from bandit_rft.run_law import law_of
from bandit_rft.runs import LINES, RESPONSES, read_lines, rewrite_lines
from tests.bandit_rft.histories import make_history
from tests.bandit_rft.run_folders import fine_tuned, simulated, write_rounds

ACT = "document.title='owned'"
HOSTILE = (
    f'<script>{ACT}</script></pre></body><img src=x onerror="{ACT}"><svg onload={ACT}><style>*{{color:red}}</style>'
    f'\x00\x1b[31m\u202eevil\u2066\ud800 &lt;b&gt; <a href="javascript:{ACT}">x</a>'
)
LONG = "W" * 10**5


def hostile_run(path: Path, **changes: Any) -> Path:
    """A run whose every response, and whose model, question and command, are written by an enemy."""
    run = fine_tuned(path, model="</title>" + HOSTILE.replace("\ud800", ""), **changes)
    lines, responses = read_lines(run / LINES), read_lines(run / RESPONSES)
    for place, (line, said) in enumerate(zip(lines, responses, strict=True)):
        said["texts"] = [[(HOSTILE, LONG)[place % 2]]]
        line["metrics"] = {"gradient_norm": [float(place % 7)], "kl": [None], "entropy": [0.5]}
    for name, records in ((LINES, lines), (RESPONSES, responses)):
        (run / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    asked = {"question": 0, "index": 3, "prompt": [{"role": "user", "content": HOSTILE}], "answer": HOSTILE}
    (run / "questions.jsonl").write_text(json.dumps(asked) + "\n")
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "command": HOSTILE, HOSTILE: HOSTILE}))
    return run


class Tags(HTMLParser):
    """Every tag and attribute, and the text of each `pre`."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.pres: list[str] = []
        self.inside = False
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "pre":
            self.inside = True
            self.pres.append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "pre"

    def handle_data(self, data):
        if self.inside:
            self.pres[-1] += data


def test_nothing_that_a_model_wrote_is_markup(tmp_path):
    """Catches any text that is not escaped: tags and attributes are only those that the report itself makes."""
    source = report.write(hostile_run(tmp_path / "run")).read_text(encoding="utf-8")
    found = Tags(source)
    assert found.tags <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "div", "figure", "figcaption"),
        *("svg", "defs", "clippath", "path", "text", "tspan", "g", "use", "rect", "ul", "li", "pre", "table", "thead"),
        *("tbody", "tr", "th", "td", "details", "summary", "article", "span", "code"),
    }
    assert found.attributes <= {
        *("lang", "charset", "http-equiv", "content", "name", "class", "viewbox", "role", "aria-label", "aria-hidden"),
        *("d", "x", "y", "width", "height", "dir", "version", "id", "href", "clip-path", "transform", "opacity"),
        *("fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-dashoffset"),
        *("stroke-linecap", "stroke-linejoin", "text-anchor", "font-size", "font-style", "font-weight"),
    }
    assert not set(source) & set("\x00\x1b\u202e\u2066\ud800")
    shown = HOSTILE.replace("\x00\x1b", "\\x00\\x1b").replace("\u202e", "\\u202e").replace("\u2066", "\\u2066")
    assert found.pres.count(shown.replace("\ud800", "\\ud800")) >= 2
    assert "W" * LONGEST in source
    assert "W" * (LONGEST + 1) not in source
    assert f"{10**5 - LONGEST:,} more characters" in source
    assert len(source) < 200_000


def test_the_policy_allows_the_one_style_sheet_and_nothing_else(tmp_path):
    """A style sheet that differs from its hash would not apply, and a page without a policy would run scripts."""
    source = report.write(fine_tuned(tmp_path / "run")).read_text()
    [style] = re.findall(r"<style>(.*?)</style>", source, re.S)
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', source)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not re.findall(r"https?://|url\((?!#)|@import|\bsrc=|\bhref=(?!\"#)|(?<!-)\bstyle=", source)
    ids = re.findall(r'\bid="(\w+)"', source)
    assert len(ids) == len(set(ids)) > 0
    assert set(re.findall(r"#([mp]\w{10})\b", source)) == set(ids)


def chart(run: Path, title: str) -> Axes:
    """The Axes of the chart of that title in the run's report."""
    history = report.read_history(run)
    if history.config["command"] == "finetune":
        found = charts.finetune_charts(history, law_of(history))
    else:
        found = charts.simulation_charts(history, report.of_simulation(history).prediction)
    axes = Figure().subplots()
    dict(found)[title](axes)
    return axes


def drawn(axes: Axes, colour: str) -> list[np.ndarray]:
    """The lines of that colour on the axes, each as (x, y): [2, N]; markers and limits of intervals left out."""
    lines = [line for line in axes.get_lines() if line.get_color() == colour and line.get_linestyle() != "None"]
    return [np.asarray(line.get_data(), np.float64) for line in lines]


def test_the_curve_of_the_theory_stands_where_the_law_says(tmp_path):
    """Catches a law that is drawn a round too early, or cut; and an evaluation whose numbers cannot be read."""
    run = fine_tuned(tmp_path / "run")
    source = report.write(run).read_text()
    law = law_of(report.read_history(run)).prediction
    assert law is not None
    axes = chart(run, "Reward and training Pass@1")
    [(at, value)] = drawn(axes, style.INK)
    np.testing.assert_array_equal(at, np.arange(61))
    np.testing.assert_allclose(value, law.value)
    assert axes.get_xlim() == (-1.2, 61.2)
    assert "AGREES" in source or "FALSIFIED" in source
    assert re.search(r"<td>60</td><td>training</td><td>0\.938 \[0\.838, 1\.000\]</td>", source)


def test_a_chart_in_the_page_is_the_figure_and_takes_the_page_s_colours():
    """Catches an axis that is upside down or shifted by the clean-up, and a colour that stays dark at night."""

    def line(axes: Axes) -> None:
        axes.plot([0.0, 1.0, 2.0], [0.0, 1.0, 0.0], color=style.BLUE, label="a & <b>")
        axes.set(xlim=(0, 2), ylim=(0, 1))

    source = charts.svg(("t", line))
    paths = re.findall(r'<path d="([^"]*)"[^>]*stroke="var\(--blue\)"', source)
    points = np.asarray([[float(c) for c in pair] for pair in re.findall(r"[ML] ([\d.]+) ([\d.]+)", paths[0])])
    (left, low), (middle, high), (right, end) = points
    assert 20 < left < middle < right < 274
    assert middle - left == pytest.approx(right - middle, abs=0.02)
    assert low == end > high
    assert "a &amp; &lt;b&gt;" in source
    assert not re.findall("#[0-9a-f]{6}(?![0-9a-f])", source)
    assert source == charts.svg(("t", line))


@pytest.mark.filterwarnings("error")
def test_a_chart_has_one_legend_and_room_for_it():
    """That of several learners had theirs twice, on the curves and below; of thirty the curves had no room left."""
    for number in (2, 30):
        many = {f"learner {place}": make_history(seed=place) for place in range(number)}
        source = charts.svg(("t", lambda axes, many=many: several.regret(many, None, axes)))
        assert source.count(">learner 1<") == 1


def test_a_run_outside_every_law_says_why(tmp_path):
    source = report.write(fine_tuned(tmp_path / "run", optimizer="adamw")).read_text()
    assert "optimiser is adamw" in source
    assert not drawn(chart(tmp_path / "run", "Reward and training Pass@1"), style.INK)


def test_the_command_the_summary_and_the_report_name_one_law(tmp_path, capsys):
    """Catches a run that one of them has a law for and another has not, such as groups of four with a baseline."""
    for name, changes in (("groups", {"signal": "rloo", "rollouts": 4}), ("unmeasured", {"kappa": None})):
        run = fine_tuned(tmp_path / name, **changes)
        rewards = report.read_history(run).rewards.repeat(changes.get("rollouts", 1), axis=2)
        write_rounds(run, rewards, {"loss": np.zeros((1, rewards.shape[1]))})
        sentence = law_of(report.read_history(run)).sentence()
        assert main(["predict", str(run)]) == 0
        assert sentence in capsys.readouterr().out
        assert sentence in finetune.summary(run)
        assert main(["report", str(run), "--out", str(tmp_path / "mine.html")]) == 0
        assert sentence in html.unescape((tmp_path / "mine.html").read_text())
        capsys.readouterr()
    assert "pg_group" in law_of(report.read_history(tmp_path / "groups")).sentence()


def test_the_commands_in_a_report_are_safe_to_paste(tmp_path, monkeypatch):
    """Catches a folder's name that would run as a command, and a run that is reported as "." and loses its name."""
    run = fine_tuned(tmp_path / "a;touch x")
    monkeypatch.chdir(run)
    source = html.unescape(report.write(Path(".")).read_text())
    assert "bandit-rft finetune --config 'a;touch x/config.json' --out AGAIN" in source
    assert "bandit-rft show 'a;touch x'" in source


def test_the_verdict_on_a_run_that_is_going_on_is_of_the_law_that_is_drawn(tmp_path):
    """Catches a kappa that is fitted anew, on fewer rounds, for the verdict."""
    run = fine_tuned(tmp_path / "run", kappa=None)
    rewrite_lines(run / "history.jsonl", read_lines(run / "history.jsonl")[:30])
    source = report.write(run).read_text()
    assert "(fitted on the first 12 rounds)" in source
    assert "1 seed, 30 rounds" in source


def test_first_best_worst_and_last_are_those(tmp_path):
    """Catches ties that are broken the wrong way round, and a run that is going on."""
    run = fine_tuned(tmp_path / "run", rounds=60)
    write_rounds(run, np.asarray([0.0, 1.0, 0.0, 1.0, 0.5])[None, :, None], {"loss": np.zeros((1, 5))})
    lines = read_lines(run / RESPONSES)
    for place, line in enumerate(lines):
        line |= {"texts": [[f"text {place}"]], "truncated": [[place == 4]]}
    rewrite_lines(run / RESPONSES, lines)
    source = report.write(run).read_text()
    shown = re.findall(r"<article[^>]*><h3>([^<]*)</h3>.*?<pre dir=\"auto\">([^<]*)</pre>", source, re.S)
    assert shown[:4] == [
        ("First response", "text 0"),
        ("Best: the first with the highest reward", "text 1"),
        ("Worst: the last with the lowest reward", "text 2"),
        ("Last response", "text 4"),
    ]
    assert "5 of 60 rounds" in source
    assert "round 4, 6 tokens, truncated" in source
    (run / RESPONSES).unlink()  # as it may be published
    assert "<h2>Rollouts" not in report.write(run).read_text()


def test_a_simulation_is_reported_with_its_law_and_a_study_is_refused(tmp_path):
    source = report.write(simulated(tmp_path / "needle", 100)).read_text()
    assert "8 seeds of 40 rounds" in source
    assert "<figcaption>Cumulative regret" in source
    assert len(drawn(chart(tmp_path / "needle", "Cumulative regret, rewards"), style.INK)) == 1
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "config.json").write_text('{"command": "study"}')
    with pytest.raises(InputError, match="no history to report"):
        report.write(tmp_path / "study")


def test_a_long_line_keeps_its_spike_and_gaps_stay_gaps():
    """Catches thinning that loses the one round where the gradient exploded, and a page too large to send."""
    y = np.random.default_rng(0).random(10**5)
    y[77777] = 9.0

    def line(axes: Axes) -> None:
        axes.plot(y, color=style.BLUE, linewidth=0.5, label="l")
        axes.set_ylim(0, 9)

    source = charts.svg(("t", line))
    assert len(source) < 120_000
    path = re.findall(r'<path d="([^"]*)"[^>]*stroke="var\(--blue\)"', source)[0]  # the second is the legend's
    heights = [float(height) for height in re.findall(r"[ML] [\d.]+ ([\d.]+)", path)]
    assert min(heights) < 10 < 100 < np.median(heights)
    gaps = np.asarray([[0, 1, np.nan, 1, 2, np.nan, np.nan]])
    source = charts.svg(("t", lambda axes: curves.bands(axes, np.arange(7.0), gaps, label="l")))
    path = re.findall(r'<path d="([^"]*)"[^>]*stroke="var\(--blue\)"', source)[0]  # the second is the legend's
    assert path.count("M") == 2


# ---------------------------------------------------------------------------------------------------------- browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def browse(tmp_path: Path, file: Path, *options: str) -> str:
    """What headless Chromium prints of a page."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"needs a browser, one of {', '.join(BROWSERS)}, absent on this machine")
    # As root in a container Chromium has no sandbox of its own; the pages are this test's.
    always = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [program, *always, profile, *options, file.as_uri()], capture_output=True, text=True, timeout=90, check=True
    )
    return done.stdout


def title_of(dom: str) -> str:
    return html.unescape(re.findall(r"<title>(.*?)</title>", dom, re.S)[0])


@pytest.mark.slow
def test_no_script_of_a_model_runs_in_a_browser(tmp_path):
    """The control page, unescaped and without a policy, shows that such a script would have been noticed; the second,
    unescaped with the report's policy, that the policy alone stops it."""
    page = report.write(hostile_run(tmp_path / "run"))
    assert "Rollouts" in browse(tmp_path, page, "--dump-dom")
    assert title_of(browse(tmp_path, page, "--dump-dom")).endswith("on question 3 of arithmetic")
    control = tmp_path / "control.html"
    control.write_text(f"<!doctype html><title>mine</title><script>{ACT}</script>")
    assert title_of(browse(tmp_path, control, "--dump-dom")) == "owned"
    [policy] = re.findall(r'<meta http-equiv="Content-Security-Policy"[^>]*>', page.read_text())
    control.write_text(f"<!doctype html>{policy}<title>mine</title><script>{ACT}</script><img src=x onerror={ACT}>")
    assert title_of(browse(tmp_path, control, "--dump-dom")) == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1100])
def test_the_page_does_not_overflow(tmp_path, width):
    """Measured in a frame of that width with every details block open; the control overflows."""
    page = report.write(hostile_run(tmp_path / "run"))

    def scroll_width(name: str) -> int:
        frame = tmp_path / "frame.html"
        frame.write_text(
            f'<!doctype html><title>?</title><iframe src="{name}" width="{width}" height="900" frameborder="0" '
            "onload=\"const d=this.contentDocument;d.querySelectorAll('details').forEach(e=>e.open=true);"
            'document.title=d.documentElement.scrollWidth"></iframe>'
        )
        return int(title_of(browse(tmp_path, frame, "--dump-dom", "--allow-file-access-from-files")))

    assert scroll_width(str(page.relative_to(tmp_path))) <= width
    (tmp_path / "wide.html").write_text(f'<!doctype html><div style="width:{width + 500}px">x</div>')
    assert scroll_width("wide.html") > width


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_the_screenshot_shows_charts_and_text(tmp_path, dark):
    """Catches a blank page, a style sheet that does not apply (the hash), and a dark mode that is light."""
    page = report.write(fine_tuned(tmp_path / "run"))
    picture = tmp_path / "shot.png"
    mode = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0") if dark else ()
    browse(tmp_path, page, f"--screenshot={picture}", "--window-size=900,1200", *mode)
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert pixels.shape == (1200, 900, 3)
    page_colour, orange, blue, green = (
        ((0x14, 0x17, 0x1A), (0xF0, 0xB0, 0x40), (0x56, 0xB4, 0xE9), (0x35, 0xC7, 0x9B))
        if dark
        else ((0xFF, 0xFF, 0xFF), (0xD9, 0x82, 0x00), (0x00, 0x72, 0xB2), (0x00, 0x85, 0x5F))
    )
    assert tuple(pixels[2, 2]) == page_colour

    def count(colour: tuple[int, int, int]) -> int:
        return int((np.abs(pixels - np.asarray(colour)).sum(axis=-1) < 30).sum())

    assert 0.3 < count(page_colour) / (1200 * 900) < 0.97
    assert all(count(colour) > 60 for colour in (orange, blue, green))  # reward, training and test Pass@1
