"""Does simulation agree with the theory? Every entry of the catalogue, inside its assumptions and just outside them.

    bandit-rft simulate theory-audit --out runs/theory-audit      all cases; a rerun continues there
    python -m simulations.theory_docs --run runs/theory-audit     docs/theory.md, docs/theory-audit.md and the plots

A falsified prediction is a row like any other. Seeds are fixed by the names of the cases.
"""

from simulations.theory_audit import (
    bounds,
    clipping,
    constant_step,
    delayed,
    groups,
    many_arms,
    published_rates,
    sequences,
    share_flow,
    softmax,
    takeover,
    weighted,
)
from simulations.theory_audit.case import Case, Measured, judge

CASES: tuple[Case, ...] = (
    *softmax.CASES,
    *takeover.CASES,
    *clipping.CASES,
    *published_rates.CASES,
    *constant_step.CASES,
    *share_flow.CASES,
    *delayed.CASES,
    *groups.CASES,
    *bounds.CASES,
    *many_arms.CASES,
    *sequences.CASES,
    *weighted.CASES,
)

__all__ = ["CASES", "Case", "Measured", "judge"]
