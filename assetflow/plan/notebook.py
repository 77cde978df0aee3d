"""Plans and graphs as HTML for notebooks: tables and pictures without JavaScript."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from assetflow.model.durations import words

if TYPE_CHECKING:
    from assetflow.plan.planner import Plan


def plan_html(plan: Plan) -> str:
    """A plan as a table: what runs, may run, is linked or blocked, with the reasons; what is current as a count."""
    rows: list[str] = []
    for title, steps in (("run", plan.run), ("maybe", plan.maybe), ("link", plan.link), ("blocked", plan.blocked)):
        for step in steps:
            reasons = "; ".join(reason.text for reason in step.reasons)
            estimate = "" if step.estimate_s is None else words(step.estimate_s)
            rows.append(table_row(title, step.asset, reasons, estimate))
    summary = f"{plan.current_count} current" if rows else f"all {plan.current_count} current, nothing to do"
    return html_table(("action", "asset", "why", "took last time"), rows) + f"<p>{escape(summary)}</p>"


def table_row(*cells: str) -> str:
    """One row of a table, its texts escaped."""
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def html_table(head: tuple[str, ...], rows: list[str]) -> str:
    """A table with these column names; nothing when there are no rows."""
    if not rows:
        return ""
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
