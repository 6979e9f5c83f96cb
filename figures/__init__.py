"""Figures from saved runs, in a checkout: `bandit-rft figures NAME --run RUN`. `registry.FIGURES` lists them all.

The figure NAME is drawn by the function `draw` of the module NAME: of this package, or of `bandit_rft.plots` where an
installed command draws it too (needle_regret, seed_bands, finetune, finetune_prediction). The manifest.json beside a
PNG holds the command that drew it, and the command, settings, key and commit of the run that it shows.
"""
