"""Simulations as configurations: what `bandit-rft simulate` runs, by name or from a file.

    from bandit_rft.presets.named import preset
    from bandit_rft.presets.simulate import simulate

    print(simulate(preset("needle", rounds=200), "runs/needle").summary())

`config` reads and checks a configuration, `named` holds the presets, `simulate` runs one into its run folder and holds
it against the theory that applies.
"""
