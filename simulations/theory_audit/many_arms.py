"""Audit of section E, many arms."""

from __future__ import annotations

from simulations.theory_audit import (
    infinite_arms,
    many_arms_explore,
    many_arms_fresh,
    many_arms_long,
    many_arms_moments,
    many_arms_rates,
    many_arms_waiting,
)
from simulations.theory_audit.case import Case

CASES: tuple[Case, ...] = (
    *many_arms_explore.CASES,
    *many_arms_long.CASES,
    *many_arms_fresh.CASES,
    *many_arms_moments.CASES,
    *infinite_arms.CASES,
    *many_arms_rates.CASES,
    *many_arms_waiting.CASES,
)
