"""A report's page: the template report.html.jinja, escaping, and the policy that forbids everything else.

The page loads nothing and runs nothing: its Content-Security-Policy allows one style sheet, by its hash, and no
script, image, frame, form or connection. So even a mistake in escaping could not run what a model wrote.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from bandit_rft.runs.rollouts import pieces, printable

LONGEST = 4000  # characters of a text that are shown
_HERE = Path(__file__).parent


def page(**values: Any) -> str:
    """The whole file; every value is escaped where the template writes it."""
    style = (_HERE / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        finalize=escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"plain": lambda value: Markup(escape(printable(str(value)))), "shown": _shown}
    return pages.get_template("report.html.jinja").render(**values, style=Markup(style), digest=digest, longest=LONGEST)


def escaped(value: Any) -> Markup:
    """A text as HTML: markup, control and bidirectional characters all made visible, and inert."""
    if hasattr(value, "__html__"):
        return value
    return Markup("").join(
        Markup('<span class="escaped">{}</span>').format(part) if odd else escape(part)
        for part, odd in pieces(str(value))
    )


def _shown(value: Any) -> str:
    """A configuration's value as a text, cut at `LONGEST` characters."""
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return said if len(said) <= LONGEST else f"{said[:LONGEST]} … and {len(said) - LONGEST:,} more characters"
