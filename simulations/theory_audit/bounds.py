"""Audit of section D, classic bounds, and C, sweeps over fresh arms."""

from __future__ import annotations

from simulations.theory_audit import bounds_any_rewards, bounds_gaps, bounds_sweeps
from simulations.theory_audit.case import Case

CASES: tuple[Case, ...] = (*bounds_sweeps.CASES, *bounds_gaps.CASES, *bounds_any_rewards.CASES)
