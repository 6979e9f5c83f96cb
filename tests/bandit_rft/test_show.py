"""`bandit-rft show`: which rollouts are printed, and that nothing a model wrote acts on the terminal."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from bandit_rft.cli import main
from bandit_rft.runs.rollouts import pieces, printable, read_questions, responses_record, rounds_of

HOSTILE = "\x1b[31mred\x1b[0m\x1b]0;title\x07 \x9b2J \u202eevil\u2066 \u200b\x00\r\x08 [bold]markup[/bold] \ud800"


def folder_of(path: Path, rounds: list[list[tuple[str, float, int]]], *, half: str = "") -> Path:
    """A run's folder: rounds of (text, reward, question); questions 0 and 1 are 40 and 41 of their data."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"command": "finetune"}))
    lines = [
        responses_record(
            place,
            rewards=[[reward for _, reward, _ in found]],
            texts=[[text for text, _, _ in found]],
            tokens=[[len(text) for text, _, _ in found]],
            truncated=[[text == "cut" for text, _, _ in found]],
            questions=[[question for _, _, question in found]],
        )
        for place, found in enumerate(rounds)
    ]
    (path / "responses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + half)
    asked = [
        {"question": q, "index": 40 + q, "prompt": [{"role": "user", "content": f"ask {q}?"}], "answer": str(q)}
        for q in (0, 1)
    ]
    (path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in asked))
    return path


def seeds_folder(path: Path, rounds: int, *, half: str = "") -> Path:
    """A run of two seeds with two responses a round; seed s is right in round t where s + t is even."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"command": "finetune", "seeds": 2}))
    lines = [
        responses_record(
            t,
            rewards=[[float((s + t) % 2 == 0)] * 2 for s in range(2)],
            texts=[[f"a{s}{t}", f"b{s}{t}"] for s in range(2)],
            tokens=[[3, 3]] * 2,
            truncated=[[False, s == 1] for s in range(2)],
        )
        for t in range(rounds)
    ]
    (path / "responses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + half)
    return path


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (("--last", "1"), ["a04", "b04", "a14", "b14"]),
        (("--round", "2", "--seed", "1"), ["a12", "b12"]),
        (("--seed", "0", "--right", "--last", "2"), ["a02", "b02", "a04", "b04"]),
    ],
)
def test_rollouts_of_many_seeds_are_chosen_by_seed(tmp_path, options, texts, capsys):
    """Catches another seed's responses under a seed's name, and a half line that is read."""
    run = seeds_folder(tmp_path / "run", 5, half='{"round":5,"rew')
    assert main(["show", str(run), *options]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^  ([ab]\d\d)$", out, re.M) == texts
    heads = re.findall(r"^round (\d), seed (\d), response (\d): reward (\d), 3 tokens(, truncated)?$", out, re.M)
    assert [f"{'ab'[int(place)]}{seed}{t}" for t, seed, place, _, _ in heads] == texts
    for t, seed, place, reward, cut in heads:
        assert int(reward) == ((int(seed) + int(t)) % 2 == 0)
        assert bool(cut) == (seed == place == "1")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--seed", "2"), "seeds 0 to 1"),
        (("--round", "5"), "rounds 0 to 4"),
        (("--seed", "1", "--round", "9"), "0 to 4"),
    ],
)
def test_what_many_seeds_have_not_is_said(tmp_path, options, word, capsys):
    assert main(["show", str(seeds_folder(tmp_path / "run", 5)), *options]) == 2
    assert word in capsys.readouterr().err


def test_seed_0_is_the_one_of_a_run_of_one(run, capsys):
    assert main(["show", str(run), "--seed", "0", "--round", "3"]) == 0
    assert "round 3, response 1" in capsys.readouterr().out
    assert main(["show", str(run), "--seed", "1"]) == 2
    assert "a run of one seed" in capsys.readouterr().err


ODD = [
    *({"texts": value} for value in (None, {}, [["x"]], [["x"], ["y"]], [["x", "y"]] * 3)),
    *({"tokens": value} for value in (None, [[3, 3]], [[3, 3], [3]], [[3, None], [3, 3]], [["x", 3], [3, 3]])),
    *({"rewards": value} for value in (None, [], [["z", 0.0], [0.0, 0.0]], [[1.0, 0.0]], [1.0, 0.0], [[1.0], [0.0]])),
    *({"questions": value} for value in (None, [[0, 0]], [[0], [0]], [[0, "x"], [0, 0]])),
    *({"truncated": value} for value in (None, [[False, False]], [True, True])),
    *({"round": value} for value in ([], None, "x")),
]


@pytest.mark.parametrize("change", ODD, ids=repr)
def test_a_line_that_no_run_writes_is_a_sentence(tmp_path, change, capsys):
    """Catches a seed or a response too few or too many, and fields of another type."""
    run = seeds_folder(tmp_path / "run", 1)
    line = json.loads((run / "responses.jsonl").read_text())
    (run / "responses.jsonl").write_text(json.dumps(line | change) + "\n")
    assert main(["show", str(run)]) == 2
    assert "Line 1 of" in capsys.readouterr().err


@pytest.mark.parametrize("seeds", [1, 3])
def test_responses_of_another_number_of_seeds_than_the_configuration_says_are_refused(tmp_path, seeds, capsys):
    run = seeds_folder(tmp_path / "run", 1)
    (run / "config.json").write_text(json.dumps({"command": "finetune", "seeds": seeds}))
    assert main(["show", str(run)]) == 2
    assert "Line 1 of" in capsys.readouterr().err


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_run_without_responses_says_so(tmp_path, seeds, capsys):
    """Before its first round, also where a kill left half a line, and where the file is missing."""
    run = seeds_folder(tmp_path / "run", 0, half='{"round":0,"rew')
    (run / "config.json").write_text(json.dumps({"command": "finetune", "seeds": seeds}))
    for _ in range(2):
        assert main(["show", str(run)]) == 2
        assert "let the run do at least one round" in capsys.readouterr().err
        (run / "responses.jsonl").unlink(missing_ok=True)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    rounds = [[(f"a{t}", float(t % 2), 0), (f"b{t}", float(t % 3 == 0), 1)] for t in range(7)]
    return folder_of(tmp_path / "run", [*rounds, [("cut", 0.0, 0)]], half='{"round":8,"rew')


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (("--last", "1"), ["cut"]),
        (("--last", "2"), ["a6", "b6", "cut"]),
        (("--round", "3"), ["a3", "b3"]),
        (("--round", "3", "--question", "41"), ["b3"]),
        (("--right", "--last", "2"), ["a5", "b6"]),
        (("--wrong", "--last", "2"), ["a6", "cut"]),
        (("--right", "--question", "41", "--last", "9"), ["b0", "b3", "b6"]),
    ],
)
def test_rollouts_are_chosen_by_round_question_and_reward(run, options, texts, capsys):
    """Catches a filter that is off by a round, counts empty rounds, or takes a question's place for its index."""
    assert main(["show", str(run), *options]) == 0
    out = capsys.readouterr().out
    assert [line.strip() for line in out.splitlines() if line.strip()[:1] in ("a", "b", "c") and len(line) < 8] == texts
    assert "\x1b" not in out  # captured: no terminal


def test_what_is_printed_of_a_rollout(run, capsys):
    assert main(["show", str(run), "--last", "1", "--question"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [
        *("question 40", "  ask 0?", "  answer: 0", ""),
        *("round 7, response 0: reward 0, 3 tokens, truncated", "  cut", ""),
    ]


@pytest.mark.parametrize(
    ("options", "word"),
    [(("--round", "8"), "0 to 7"), (("--question", "3"), "question 3"), (("--round", "2", "--right"), "no such")],
)
def test_what_is_not_there_is_said(run, options, word, capsys):
    assert main(["show", str(run), *options]) == 2
    assert word in capsys.readouterr().err


def test_a_simulation_and_a_damaged_line_are_refused(tmp_path, run, capsys):
    simulation = tmp_path / "simulation"
    simulation.mkdir()
    (simulation / "config.json").write_text('{"command": "simulate"}')
    (simulation / "history.npz").write_bytes(b"")
    assert main(["show", str(simulation)]) == 2
    assert "rewards only" in capsys.readouterr().err
    lines = (run / "responses.jsonl").read_text().splitlines(keepends=True)
    (run / "responses.jsonl").write_text("".join([lines[0], '{"round": 1, "rewards": 3}\n', *lines[2:]]))
    assert main(["show", str(run)]) == 2
    assert "Line 2" in capsys.readouterr().err


def test_nothing_in_a_text_acts_on_a_terminal(tmp_path, capsys):
    """Catches colour codes, titles, carriage returns, bidirectional and zero-width marks that get through."""
    shown = printable(HOSTILE + "\tx\u00a0y\n漢")
    assert shown.replace("\n", "").isprintable()
    for visible in ("\\x1b[31mred", "\\x9b2J", "\\u202eevil", "\\u200b", "\\x00\\x0d\\x08", "[bold]markup", "\\ud800"):
        assert visible in shown
    assert shown.endswith("    x y\n漢")
    assert "".join(part for part, odd in pieces(HOSTILE) if not odd).isprintable()
    run = folder_of(tmp_path / "hostile", [[(HOSTILE, 1.0, 0)]])
    assert main(["show", str(run)]) == 0
    assert not set(capsys.readouterr().out) & set("\x1b\x9b\x07\x08\r\x00\u202e\u2066\u200b")


def test_a_terminal_of_another_encoding_gets_escapes(tmp_path, monkeypatch):
    run = folder_of(tmp_path / "run", [[("é 漢", 1.0, 0)]])
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    assert main(["show", str(run)]) == 0
    assert b"\\xe9 \\u6f22" in raw.getvalue()
    assert main(["theory", "pg_jump_single"]) == 0  # every command: it was a traceback over the η of a formula
    assert b"\\u03b7" in raw.getvalue()


def test_colour_on_a_terminal_only_and_not_where_no_color_is_set(run, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def printed(out: io.StringIO) -> str:
        monkeypatch.setattr("sys.stdout", out)
        assert main(["show", str(run), "--last", "2"]) == 0
        return out.getvalue()

    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[32mreward 1" in printed(Terminal())
    assert "\x1b" not in printed(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[\d;]*3\dm", printed(Terminal()))


@pytest.mark.parametrize(
    "line", ["a", "word " * 16, "abcdefghijklmnop" * 3, "漢字漢字漢字" * 5 + " ab", "e\u0301" * 29]
)
def test_wrapping_keeps_every_letter_within_the_width(tmp_path, line, capsys):
    """Catches lost letters, lines too long, and wide letters or accents that are counted as one column."""
    run = folder_of(tmp_path / "run", [[(f"{line}\n  x  y", 1.0, 0)]])
    assert main(["show", str(run), "--width", "20"]) == 0
    parts = capsys.readouterr().out.splitlines()[4:-1]
    assert "".join(parts).replace(" ", "") == line.replace(" ", "") + "xy"
    assert parts[-1] == "    x  y"
    assert all(part.startswith("  ") and cell_len(part) <= 20 for part in parts)


def test_a_folder_without_texts_or_questions_is_shown(tmp_path, capsys):
    """The published runs leave the responses' texts out; older ones have no questions.jsonl. Catches a seed that is
    named in a run of one."""
    run = folder_of(tmp_path / "run", [[("x", 1.0, 0)]])
    (run / "questions.jsonl").unlink()
    (run / "responses.jsonl").write_text(
        '{"round":0,"rewards":[[1.0]],"texts":[[null]],"tokens":[[9]],"truncated":[[false]]}\n'
    )
    assert read_questions(run) == {}
    [[rollout]] = rounds_of(run)
    assert (rollout.text, rollout.tokens, rollout.seed, rollout.question) == (None, 9, None, 0)
    assert main(["show", str(run)]) == 0
    out = capsys.readouterr().out
    assert "no text" in out
    assert "seed" not in out


def test_a_sentence_that_quotes_a_strangers_file_does_not_act_on_the_terminal(tmp_path, capsys):
    """Catches a model folder or run folder whose values reach the terminal raw through the refusal of them."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "\x1b]0;owned\x07\u202e"}))
    (model / "tokenizer.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"")
    assert main(["evaluate", "--model", str(model), "--data", "arithmetic"]) == 2
    said = capsys.readouterr().err
    assert "\\x1b]0;owned\\x07\\u202e" in said
    assert not set(said) & set("\x1b\x07\u202e")
