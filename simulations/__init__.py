"""Experiments and audits, one question per file, run from a checkout: `python -m simulations.NAME --out RUN`.

To add an experiment, copy a short one (`signals_compared`): the question and its command on top, a grid, a function
that makes arms and learner of a point, and `main_of` from `study`. For its figure, add `figures/NAME.py` with NAME,
`accepts` and `draw`, and a line in `figures/registry.py`. An experiment that is only settings needs no file: write it
as TOML and give it to `bandit-rft simulate`.
"""
