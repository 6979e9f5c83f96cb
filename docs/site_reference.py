"""Directives of the site that ask the code: `public-names` of a module, and the help of all `commands`."""

import inspect
import os
import textwrap
from importlib import import_module

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList


def public_names(module):
    """Classes and functions of `__all__`; of a module without one, those that it defines."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    return [
        name for name in names if inspect.isclass(getattr(module, name)) or inspect.isfunction(getattr(module, name))
    ]


class PublicNames(Directive):
    """Autodoc of every public class and function of a module."""

    required_arguments = 1

    def run(self):
        name = self.arguments[0]
        module = import_module(name)
        described = self.state.document.settings.env.temp_data.setdefault("described", set())
        lines = []
        for one in public_names(module):
            found = getattr(module, one)
            kind = "class" if inspect.isclass(found) else "function"
            # What two modules offer is described in both, and indexed once.
            lines += [f".. auto{kind}:: {name}.{one}", *["   :no-index:"] * (found in described), ""]
            described.add(found)
        if "myst" in type(self.state).__module__:
            lines = ["```{eval-rst}", *lines, "```"]
        parent = nodes.container()
        self.state.nested_parse(StringList(lines, source=name), self.content_offset, parent)
        return parent.children


class Commands(Directive):
    """A section for each command, with what its --help prints."""

    def run(self):
        os.environ["COLUMNS"] = "100"  # argparse wraps by it
        from bandit_rft.cli import parser

        (commands,) = (action for action in parser()._actions if hasattr(action, "choices") and action.choices)
        sections = []
        for name, command in commands.choices.items():
            section = nodes.section(ids=[nodes.make_id(f"command-{name}")], names=[f"command-{name}"])
            section += nodes.title("", name)
            section += nodes.literal_block("", command.format_help(), language="text")
            sections.append(section)
        return sections


def _as_help_shows(app, what, name, value, options, lines):
    """Docstrings are plain text, as `help()` shows them: the first paragraph as prose, the rest as it stands."""
    text = "\n".join(lines).strip()
    first, _, rest = text.partition("\n\n")
    prose = " ".join(first.split()).replace("\\", "\\\\")
    for character in "*_|":
        prose = prose.replace(character, f"\\{character}")
    parts = [part.replace("\\", "") if place % 2 else part for place, part in enumerate(prose.split("`"))]
    prose = "".join(f"``{part.strip()}``" if place % 2 else part for place, part in enumerate(parts) if part)
    lines[:] = [prose, ""]
    if rest.strip():
        lines += [".. code-block:: text", "", *textwrap.indent(textwrap.dedent(rest), "   ").splitlines(), ""]


def setup(app):
    app.add_directive("public-names", PublicNames)
    app.add_directive("commands", Commands)
    app.connect("autodoc-process-docstring", _as_help_shows)
    return {"parallel_read_safe": True}
