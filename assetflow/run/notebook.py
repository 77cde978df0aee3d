"""The result of a run as HTML for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from assetflow.model.durations import words
from assetflow.plan.notebook import html_table, table_row

if TYPE_CHECKING:
    from assetflow.run.outcome import RunResult


def result_html(result: RunResult) -> str:
    """A run as a table of outcomes and a line that sums it up."""
    rows: list[str] = []
    for outcome in result:
        version = "" if outcome.version is None else f"v{outcome.version}"
        count = "" if outcome.rows is None else f"{outcome.rows:,}"
        message = outcome.error.message if outcome.error is not None else outcome.message
        rows.append(table_row(outcome.state, outcome.asset, version, count, words(outcome.total_s), message))
    title = "nothing to do" if result.run_id is None else f"run #{result.run_id}: {'ok' if result.ok else 'failed'}"
    summary = f"{title}, {result.current} already current, {words(result.seconds)}"
    head = ("state", "asset", "version", "rows", "took", "message")
    return html_table(head, rows) + f"<p>{escape(summary)}</p>"
