"""Manners on GitHub Actions: annotations at lines of code, folded progress, and a table on the page of the job."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assetflow.cli.progress import PlainWatcher
from assetflow.model.durations import words

if TYPE_CHECKING:
    from assetflow.cli.render import Screen
    from assetflow.errors import AssetflowError
    from assetflow.plan.planner import Plan
    from assetflow.run.outcome import RunResult, StepOutcome

_MOST_ROWS = 300
_MOST_FAILURES = 20
_MOST_TEXT = 4_000  # a summary of more than 1 MiB is thrown away whole


def is_github() -> bool:
    """Whether this is a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


# --------------------------------------------------------------------------------------------------- annotations


class GithubWatcher(PlainWatcher):
    """The plain lines, folded, and an annotation for each failure and each check that warns.

    All of it is on stderr, which the runner of a job reads as it reads stdout; so the answer stays as it is.
    """

    def __init__(self, screen: Screen, root: Path) -> None:
        super().__init__(screen)
        self._root = root
        self._is_folded = False

    def run_started(self, run_id: int, plan: Plan, workers: int) -> None:
        """Begin to fold."""
        self._is_folded = True
        self.screen.command(f"::group::assetflow run #{run_id}, env {plan.env}")
        super().run_started(run_id, plan, workers)

    def step_finished(self, outcome: StepOutcome) -> None:
        """Write the outcome, and the annotations of what is wrong."""
        super().step_finished(outcome)
        if outcome.state in ("failed", "rejected"):
            file, line = self._place(outcome)
            self._annotate("error", file, line, f"{outcome.asset} {outcome.state}", failure_text(outcome))
        for check in outcome.checks:
            if not check.passed and not check.blocking:
                file, line = self._declared(outcome)
                title = f"{outcome.asset}: check {check.name} warns"
                self._annotate("warning", file, line, title, check.message or "it returned False")

    def warn(self, text: str) -> None:
        """Write the warning, and annotate it."""
        super().warn(text)
        self._annotate("warning", None, None, "assetflow", text)

    def run_finished(self, result: RunResult) -> None:
        """Unfold, and write the counts."""
        self.close()
        super().run_finished(result)

    def close(self) -> None:
        """Unfold."""
        if self._is_folded:
            self._is_folded = False
            self.screen.command("::endgroup::")

    def _annotate(self, level: str, file: str | None, line: int | None, title: str, message: str) -> None:
        self.screen.command(annotation(level, file, line, title, message))

    def _place(self, outcome: StepOutcome) -> tuple[str | None, int | None]:
        """Where it failed, if that is in the repository, else where the asset is declared."""
        error = outcome.error
        if error is not None and error.file is not None and error.line is not None:
            file = in_repository(error.file, self._root)
            if file is not None:
                return file, error.line
        return self._declared(outcome)

    def _declared(self, outcome: StepOutcome) -> tuple[str | None, int | None]:
        step = self.plan.steps.get(outcome.asset) if self.plan is not None else None
        if step is None or not step.spec.file:
            return None, None
        return in_repository(step.spec.file, self._root), step.spec.line


def annotate(screen: Screen, failure: AssetflowError, root: str | None) -> None:
    """Annotate an error that ends a command; each problem of a project that does not load."""
    problems: Sequence[AssetflowError] = getattr(failure, "problems", ()) or (failure,)
    for one in problems:
        if one.where is not None:
            file = in_repository(one.where.file, Path(root or "."))
            title, text = f"assetflow {one.code}", "\n".join([one.what, *one.facts, *([one.fix] if one.fix else [])])
            screen.command(annotation("error", file, one.where.line, title, text))


def annotation(level: str, file: str | None, line: int | None, title: str, message: str) -> str:
    """A workflow command such as `::error file=assets.py,line=58,title=...::message`."""
    places = [("file", file), ("line", None if file is None else line), ("title", title)]
    given = ",".join([f"{name}={escaped(str(value), is_property=True)}" for name, value in places if value is not None])
    return f"::{level} {given}::{escaped(message)}"


def escaped(text: str, *, is_property: bool = False) -> str:
    """The text as workflow commands want it; in a property, colons and commas are escaped as well."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if is_property else text


def in_repository(file: str, root: Path) -> str | None:
    """The path of a file relative to the checkout ($GITHUB_WORKSPACE, else the project); None when it is outside."""
    workspace = os.environ.get("GITHUB_WORKSPACE") or str(root)
    path, base = os.path.realpath(root / file), os.path.realpath(workspace)
    return Path(path).relative_to(base).as_posix() if Path(path).is_relative_to(base) else None


def failure_text(outcome: StepOutcome) -> str:
    """What went wrong with an asset, and what it had read."""
    error = outcome.error
    lines = [] if error is None else [f"{error.type}: {error.message}" if error.code == "AF160" else error.message]
    lines += [] if error is None else error.facts
    return "\n".join([*lines, *(f"input {read}" for read in outcome.inputs_read)])


# ------------------------------------------------------------------------------------------------------- summary


def add_summary(screen: Screen, text: str) -> None:
    """Add Markdown to the page of the job ($GITHUB_STEP_SUMMARY). When that is impossible, a warning says so."""
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name or not is_github():
        return
    try:
        with open(name, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text + "\n")
    except OSError as error:
        screen.warning(f"the summary of the job cannot be written: {error.strerror or error}")


def run_summary(result: RunResult) -> str:
    """A run as Markdown: a table of what it did, and what failed with its traceback."""
    if result.run_id is None:
        return f"### assetflow: nothing to do\n\n{result.current} already current, env {markdown(result.env)}\n"
    state = "was interrupted" if result.interrupted else "is fine" if result.ok else "failed"
    counts = ", ".join([f"{number} {state}" for state, number in result.counts.items()])
    rows = [
        (_MARKS.get(one.state, ""), code(one.asset), one.state.replace("_", " "),
         "" if one.version is None or one.state not in _NEW else f"v{one.version}",
         "" if one.rows is None else f"{one.rows:,}", words(one.total_s) if one.seconds else "", markdown(_why(one)))
        for one in sorted(result, key=lambda one: _ORDER.index(one.state) if one.state in _ORDER else len(_ORDER))
    ]  # fmt: skip
    parts = [
        f"### assetflow run #{result.run_id} {state}\n",
        f"{counts}, {result.current} already current, env {markdown(result.env)}, {words(result.seconds)}\n",
        _table(("", "asset", "state", "version", "rows", "took", "why"), rows),
    ]
    failed = [one for one in result if one.state in ("failed", "rejected")]
    parts += [_failure(one) for one in failed[:_MOST_FAILURES]]
    return "\n".join(parts)


def plan_summary(plan: Plan, name: str) -> str:
    """A plan as Markdown, each asset with all its reasons."""
    env = f"env {markdown(plan.env)}"
    if plan.is_empty:
        return (
            f"### assetflow plan for {markdown(name)}: nothing to do\n\n{plan.current_count} already current, {env}\n"
        )
    sections = (("run", plan.run), ("maybe", plan.maybe), ("reuse", plan.link), ("blocked", plan.blocked))
    counts = ", ".join([f"{sum(step.count for step in steps)} {word}" for word, steps in sections if steps])
    rows = [
        (word, code(step.asset), markdown("; ".join([reason.text for reason in step.reasons])),
         "" if step.estimate_s is None else words(step.estimate_s))
        for word, steps in sections for step in steps
    ]  # fmt: skip
    head = f"### assetflow plan for {markdown(name)}\n\n{counts}, {plan.current_count} already current, {env}\n\n"
    return head + _table(("", "asset", "why", "last time"), rows)


_ORDER = ("failed", "rejected", "blocked", "cancelled", "materialized", "unchanged", "linked", "skipped", "cut_off")
_MARKS = {"failed": "❌", "rejected": "❌", "blocked": "⛔", "cancelled": "⛔", "materialized": "✅"}
_NEW = ("materialized", "unchanged", "linked", "cut_off", "skipped")


def _why(outcome: StepOutcome) -> str:
    if outcome.error is not None:
        return failure_text(outcome).partition("\n")[0]
    if outcome.blocked_by:
        return f"waited for {', '.join(outcome.blocked_by)}"
    warned = [f"check {check.name} warns" for check in outcome.checks if not check.passed]
    return "; ".join([*(reason.text for reason in outcome.reasons), *warned]) or outcome.message


def _failure(outcome: StepOutcome) -> str:
    text = "\n".join([failure_text(outcome), *([outcome.error.text] if outcome.error and outcome.error.text else [])])
    text = text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "\n…"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return (
        f"<details><summary>{code(outcome.asset, is_html=True)}</summary>\n\n{fence}text\n{text}\n{fence}\n</details>\n"
    )


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [_row(titles), _row(["---"] * len(titles)), *(_row(row) for row in rows[:_MOST_ROWS])]
    more = f"\nand {len(rows) - _MOST_ROWS:,} more\n" if len(rows) > _MOST_ROWS else ""
    return "\n".join(lines) + "\n" + more


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def code(text: str, *, is_html: bool = False) -> str:
    """A key as code. Keys hold letters, digits, `_`, `.` and nothing that would have to be escaped."""
    return f"<code>{text}</code>" if is_html else f"`{text}`"


def markdown(text: str) -> str:
    """Text of users in one line of Markdown, where it means nothing but itself."""
    return re.sub(r"([\\`*_\[\]<>|~&$#])", r"\\\1", " ".join(text.split()))
