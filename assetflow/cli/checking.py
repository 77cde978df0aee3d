"""`check`: what the code of assets says against itself."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, add_selection, selection_text
from assetflow.cli.render_errors import frame_lines
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import BLANK, Line, Span, aligned, bad, count, dim, good, strong, warn, wrapped
from assetflow.errors import StaticProblems
from assetflow.model.durations import words

if TYPE_CHECKING:
    from assetflow.checking.findings import Finding, StaticReport
    from assetflow.cli.session import Session

_STYLES = {"error": "bad", "warning": "warn", "note": "dim"}


def check(session: Session, options: Namespace) -> Answer:
    """What the code says against itself."""
    project = session.project()
    report = project.check(selection_text(options))
    # A note on an alert is not one of those that a project has many of: it says that nobody may be told.
    shown = [one for one in report if one.severity != "note" or one.kind == "alert" or options.verbose]
    failure = _failure(report, is_strict=options.strict)
    return Answer(
        report.to_json,
        check_lines(report, shown, session.elapsed_s, str(project.root), session.width),
        findings_table(shown),
        hints=_silence(shown),
        exit_code=0 if failure is None else 1,
        failure=failure,
    )


def _failure(report: StaticReport, *, is_strict: bool) -> StaticProblems | None:
    errors, warnings = report.counts["error"], report.counts["warning"]
    if not errors and not (is_strict and warnings):
        return None
    parts = [count(number, name) for number, name in ((errors, "error"), (warnings, "warning")) if number]
    return StaticProblems(" and ".join(parts) + " in the code of the project")


def _silence(shown: list[Finding]) -> list[Line]:
    """How to say that something is meant, for one of the findings."""
    kind = next((one.kind for one in shown if one.severity == "warning" and one.kind not in ("ignore", "alert")), None)
    return [] if kind is None else [(dim(f" if it is meant: # assetflow: ignore[{kind}] on that line"),)]


def check_lines(
    report: StaticReport, shown: list[Finding], elapsed_s: float, root: str, width: int
) -> list[Line]:  # fmt: skip
    """The whole screen: each finding with its line of code, then what was looked at."""
    lines: list[Line] = []
    for one in shown:
        lines += [*_finding(one, root, width), BLANK]
    counts = report.counts
    looked = [
        count(report.assets, "asset"),
        count(report.sources, "source"),
        count(report.checks, "check"),
        *([count(report.schedules, "schedule")] if report.schedules else []),
    ]
    found: list[Span] = [
        Span(count(counts[name], name), _STYLES[name]) for name in ("error", "warning", "note") if counts[name]
    ]
    mark = bad("✗") if counts["error"] else warn("!") if counts["warning"] else good("✓")
    verdict: list[Span | str] = [*_separated(found)] if found else [good("nothing found")]
    tail = f" · {' · '.join(looked)} in {count(report.files, 'file')} · {words(elapsed_s)}"
    hidden = counts["note"] - sum(one.severity == "note" for one in shown)
    lines.append((" ", mark, " ", *verdict, tail))
    if hidden:
        lines.append((dim(f"   {count(hidden, 'note')} on what the fingerprint could not see: check -v"),))
    return lines


def _separated(spans: list[Span]) -> list[Span | str]:
    found: list[Span | str] = []
    for span in spans:
        found += [" · ", span] if found else [span]
    return found


def _finding(one: Finding, root: str, width: int) -> list[Line]:
    lines: list[Line] = [(Span(f"{one.severity}[{one.code}]", _STYLES[one.severity]), ": ", strong(one.what))]
    lines += frame_lines(one.where, root)
    others = [key for key in one.assets if key not in one.via]
    rows: list[tuple[Line | Span | str, ...]] = []
    ways = [" → ".join(way) for way in one.via.values()]
    if ways:
        more = f" and {len(ways) - 3} more" if len(ways) > 3 else ""
        rows.append((dim("reached by"), ", ".join(ways[:3]) + more))
    elif len(others) > 1 or (others and f"`{others[0]}`" not in one.what):
        rows.append((dim("asset" if len(others) == 1 else "assets"), ", ".join(others)))
    lines += aligned(rows, indent=2)
    lines += wrapped((Span("  help", "head"), ": "), one.help.split(), width=width, separator=" ")
    return lines


def findings_table(findings: list[Finding]) -> Table:
    """One row for each finding, for programs."""
    columns = (
        Column("severity", "SEVERITY"), Column("code", "CODE"), Column("file", "FILE"),
        Column("line", "LINE", is_right=True), Column("assets", "ASSETS"), Column("message", "MESSAGE"),
    )  # fmt: skip
    rows = tuple(
        (cell(one.severity), cell(one.code), cell(one.where.file), cell(one.where.line), cell(", ".join(one.assets)),
         cell(one.what))
        for one in findings
    )  # fmt: skip
    return Table(columns, rows)


def _options(parser: ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--static", action="store_true", help="without reading data or running anything, as always")
    parser.add_argument("--strict", action="store_true", help="exit 1 on warnings too")


COMMANDS = {
    "check": Command(
        check,
        _options,
        (("assetflow check", "everything that the text of the project shows"),
         ("assetflow check +daily_revenue", "one asset and what it is made of"),
         ("assetflow check --strict", "for CI: warnings fail it too"),
         ("assetflow check -v", "with notes on what the fingerprint could not see")),
    ),
}  # fmt: skip
