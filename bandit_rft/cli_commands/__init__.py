"""The commands of `bandit-rft`, one a file: `add(subparsers)` says its options, `run(arguments)` does it.

With `cli.py` they are the composition root: the only place of `bandit_rft` that imports `llm_bridge`, `simulations` and
`figures`, and only inside functions, so that `--help` answers at once.
"""
