"""report.html of a run: `write(folder)`."""

from bandit_rft.reports.report import NAME, render, write

__all__ = ["NAME", "render", "write"]
