"""Audit of section D, classic bounds, and C, sweeps over fresh arms."""

from __future__ import annotations

from simulations.theory_audit import (
    bounds_adversarial,
    bounds_best_arm,
    bounds_commit,
    bounds_confidence,
    bounds_lai_robbins,
    bounds_minimax,
    bounds_sweeps,
)
from simulations.theory_audit.case import Case

CASES: tuple[Case, ...] = (
    *bounds_sweeps.CASES,
    *bounds_lai_robbins.CASES,
    *bounds_confidence.CASES,
    *bounds_commit.CASES,
    *bounds_adversarial.CASES,
    *bounds_minimax.CASES,
    *bounds_best_arm.CASES,
)
