"""Figures of runs, drawn from saved results alone. `style` is what all of them share."""
