"""A report's page: escaping, style sheet, and the policy that forbids everything else.

The page loads nothing and runs nothing: its Content-Security-Policy allows one style sheet, by its hash, and no
script, image, frame, form or connection. So even a mistake in escaping could not run what a model wrote.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from bandit_rft.runs.rollouts import pieces

LONGEST = 4000  # characters of a text that are shown

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --card: #f6f7f8; --ink: #1d2125; --soft: #5b636b; --line: #d9dde1;
  --blue: #0072b2; --orange: #d98200; --green: #00855f; --purple: #a8558a; --red: #b8370a; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1d2125; --ink: #e6e8ea; --soft: #a0a8b0;
  --line: #363c42; --blue: #56b4e9; --orange: #f0b040; --green: #35c79b; --purple: #e09cc4; --red: #ff8a5c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1rem 0 .4rem; }
p { margin: .4rem 0; max-width: 48rem; }
.soft { color: var(--soft); }
.charts { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
.chart { margin: 0; padding: .6rem; background: var(--card); border-radius: .5rem; }
.chart > svg { display: block; width: 100%; height: auto; }
figcaption { font-weight: 600; font-size: .95rem; margin: 0 .2rem .2rem; }
.legend { display: flex; flex-wrap: wrap; gap: 0 1rem; list-style: none; margin: .2rem; padding: 0; font-size: .82rem;
  color: var(--soft); }
.key { width: 22px; height: 12px; margin-right: .35rem; vertical-align: -1px; }
.tick { fill: var(--soft); font: 12px system-ui, sans-serif; }
.grid { stroke: var(--line); stroke-width: .6; fill: none; }
.axis { stroke: var(--soft); stroke-width: .8; fill: none; }
.line { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linejoin: round; }
.line.faint { stroke-width: .8; opacity: .3; }
.dashed { stroke-dasharray: 6 4; }
.area { fill: currentColor; opacity: .17; stroke: none; }
.estimate path { stroke: currentColor; stroke-width: 1.5; fill: none; }
.estimate circle { fill: currentColor; }
.blue { color: var(--blue); } .orange { color: var(--orange); } .green { color: var(--green); }
.purple { color: var(--purple); } .ink { color: var(--ink); } .faint { color: var(--blue); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--soft); white-space: nowrap; }
.evaluations td { white-space: nowrap; overflow-wrap: normal; }
.rollout { margin: .8rem 0; padding: .6rem .8rem; background: var(--card); border-radius: .5rem;
  border-left: .25rem solid var(--red); }
.rollout.right { border-left-color: var(--green); }
.rollout h3 { margin: 0; font-size: .95rem; }
.reward { color: var(--red); font-weight: 600; } .right .reward { color: var(--green); }
pre { margin: .5rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate;
  font: .85rem/1.45 ui-monospace, monospace; }
pre.block { background: var(--card); padding: .6rem .8rem; border-radius: .5rem; }
.escaped { color: var(--purple); border: 1px solid var(--line); border-radius: .2rem; padding: 0 .1rem; }
details { margin: .8rem 0; } summary { cursor: pointer; font-weight: 600; }
"""


def escaped(value: Any) -> str:
    """A text as HTML: markup, control and bidirectional characters all made visible, and inert."""
    return "".join(
        f'<span class="escaped">{html.escape(part)}</span>' if odd else html.escape(part)
        for part, odd in pieces(str(value))
    )


def plain(value: Any) -> str:
    """As `escaped`, without markup of its own: for a title or an attribute."""
    return "".join(html.escape(part) for part, _ in pieces(str(value)))


def text(value: str, *, longest: int = LONGEST, rest_in: str = "history.jsonl") -> str:
    """A text to read in a `pre`, cut at `longest` characters with a note of how many are left out."""
    shown = f'<pre dir="auto">{escaped(value[:longest])}</pre>'
    more = len(value) - longest
    return shown if more <= 0 else f'{shown}<p class="soft">… and {more:,} more characters, in {rest_in}.</p>'


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], kind: str = "") -> str:
    """A table that scrolls by itself where it is wider than the page; its cells are escaped here."""
    top = "".join(f"<th>{escaped(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{kind}">{f"<thead><tr>{top}</tr></thead>" if head else ""}'
        f"<tbody>{body}</tbody></table></div>"
    )


def fields(values: Mapping[str, Any]) -> str:
    """A table of names and values."""
    return table((), [(name, _shown(value)) for name, value in values.items()])


def _shown(value: Any) -> str:
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return said if len(said) <= LONGEST else f"{said[:LONGEST]} … and {len(said) - LONGEST:,} more characters"


def page(title: str, body: str) -> str:
    """The whole file.

    Args:
        title: not yet escaped.
        body: HTML whose every foreign part has been escaped.
    """
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{plain(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
