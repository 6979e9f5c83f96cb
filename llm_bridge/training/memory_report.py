"""The plan of a run's memory as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_bridge.training.memory_plan import MemoryPlan


def report(plan: MemoryPlan, words: Mapping[str, str]) -> str:
    """The table and what follows from it; GB of 10^9 bytes, or MB, per device.

    Args:
        plan: what to show.
        words: what each item is called, in the order of the rows.
    """
    every, trained = plan.parameters
    unit, size = ("GB", 1e9) if plan.peak >= 1e9 else ("MB", 1e6)

    def shown_as(number: int) -> str:
        return f"{number / size:.2f}" if number else "-"

    on = "one device" if plan.devices == 1 else f"each of {plan.devices} devices"
    some = "" if trained == every else f", {_count(trained)} more are trained"
    lines = [f"{plan.model}: {_count(every)} weights{some}. Memory of {on} in {unit}:", ""]
    shown = [name for name in words if any(phase.items.get(name) for phase in plan.phases)]
    wide = max(len(words[name]) for name in shown)
    columns = [max(len(phase.name), 8) for phase in plan.phases]

    def row(title: str, cells: list[str]) -> str:
        return f"{title:<{wide}}" + "".join(f"  {cell:>{column}}" for cell, column in zip(cells, columns, strict=True))

    lines.append(row("", [phase.name for phase in plan.phases]))
    for name in shown:
        lines.append(row(words[name], [shown_as(phase.items.get(name, 0)) for phase in plan.phases]))
    lines.append(row("in all", [shown_as(phase.total) for phase in plan.phases]))
    lines += ["", f"Peak: {shown_as(plan.peak)} {unit}, in the {plan.fullest.name} phase."]
    if plan.limit is not None:
        fits = "fits" if plan.peak <= plan.limit else "does not fit"
        lines[-1] += f" It {fits} into {plan.limit / 1e9:g} GB."
    if plan.smaller:
        lines.append("One option changed, the peak would be:")
        lines += [f"  {shown_as(peak):>8} {unit}  {options}" for options, peak in plan.smaller]
    for name, rate in plan.rates.items():
        lines.append(f"At the stated rate of the device, {name} makes at most {rate:,.0f} tokens per second.")
    lines.append("Assumed: " + "; ".join(plan.assumptions) + ".")
    return "\n".join(lines)


def _count(number: int) -> str:
    for unit, word in ((1e9, "billion"), (1e6, "million")):
        if number >= unit:
            return f"{number / unit:.3g} {word}"
    return str(number)
