"""The site: `pip install -e '.[docs]' && sphinx-build -W docs site`. Notebooks run while it is built.

GITHUB_REPOSITORY (owner/name, which GitHub's own CI sets) turns on the links to the repository and the Colab buttons.
"""

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "bandit_rft"
author = "The authors of bandit_rft"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "site_reference"]
html_theme = "sphinx_book_theme"
html_title = "bandit_rft"
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
nb_execution_mode = os.environ.get("NOTEBOOKS", "cache")  # NOTEBOOKS=off builds the pages alone
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
autodoc_typehints = "none"  # the signature has them
autodoc_member_order = "bysource"
suppress_warnings = ["myst.header"]  # generated pages may begin below the first level

REPOSITORY = os.environ.get("GITHUB_REPOSITORY", "")
html_theme_options = {"use_download_button": True, "show_navbar_depth": 1}
if REPOSITORY:
    html_theme_options |= {
        "repository_url": f"https://github.com/{REPOSITORY}",
        "repository_branch": "main",
        "path_to_docs": "docs",
        "use_repository_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }


def _repository_links(app, name, source):
    """A page is also read in the repository, where it links to files that the site lacks."""

    def link(found):
        text, path = found.groups()
        if REPOSITORY:
            return f"[{text}](https://github.com/{REPOSITORY}/blob/main/{path})"
        return text if text.strip("`") == path else f"{text} (`{path}`)"

    source[0] = re.sub(r"(?<!!)\[([^\]\n]*)\]\(\.\./([^)]+)\)", link, source[0])


def setup(app):
    app.connect("source-read", _repository_links)
