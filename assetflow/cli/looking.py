"""`status`, `ls` and the home screen: where the project stands."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, add_selection, selection_text
from assetflow.cli.documents import asset_document, status_document
from assetflow.cli.render_freshness import freshness_below, freshness_table, with_deadline
from assetflow.cli.render_status import (
    asset_table,
    counts_line,
    home_lines,
    sorted_rows,
    status_table,
)
from assetflow.cli.text import Line, count, dim
from assetflow.errors import ProjectNotFound

if TYPE_CHECKING:
    from assetflow.cli.session import Session
    from assetflow.load.settings import Settings
    from assetflow.views import AssetStatus, Status

SORTS = ("topo", "name", "age", "size", "duration")


def home(session: Session, options: Namespace) -> Answer:
    """Where the project stands, and what to do next; outside of a project, the help."""
    try:
        project = session.project()
    except ProjectNotFound:
        if options.project is not None or session.screen.is_json:
            raise
        from assetflow.cli.help import main_help

        hint: Line = (dim(" no project here; make one with "), "assetflow init shop")
        return Answer(dict, text=main_help(), hints=(hint,))
    status = project.status(now=session.now)

    def data() -> object:
        return {"project": project.name, "root": str(project.root), **status_document(status)}

    return Answer(data, home_lines(status, project.name, session, _jobs(project.settings)))


def _jobs(settings: Settings) -> str:
    """` · 2 jobs (daemon not running)`; nothing in a project without."""
    from assetflow.automation.declared import with_manifest
    from assetflow.load.manifest import read_manifest

    jobs = with_manifest(settings, read_manifest(settings)).settings.jobs
    amount = sum(job.get("enabled", True) is True for job in jobs.values())
    if not amount:
        return ""
    from assetflow.automation.locks import daemon_lock

    return f" · {count(amount, 'job')}" + ("" if daemon_lock(settings).is_held_by_anyone() else " (daemon not running)")


def ls(session: Session, options: Namespace) -> Answer:
    """The selected assets, one in each row."""
    status = session.project().status(selection_text(options), now=session.now)
    rows = sorted_rows(status.rows, options.sort)
    return Answer(
        lambda: {"env": status.env, "assets": [asset_document(row) for row in rows]},
        table=asset_table(rows, session),
        below=_below(session, options, status),
        hints=_of_environment(status),
    )


def status(session: Session, options: Namespace) -> Answer:
    """What is current, stale, failed or late, and why."""
    found = session.project().status(selection_text(options), now=session.now)
    _warn_of_unknown_versions(session, found)
    rows = found.rows
    if options.freshness:
        rows = with_deadline(rows)
        table, below = freshness_table(rows, session), freshness_below(rows, found, session)
    else:
        table, below = status_table(rows, session, is_verbose=bool(options.verbose)), _below(session, options, found)
    is_late = any(str(row.freshness.timeliness) == "overdue" for row in rows)
    is_bad = is_late or (not options.freshness and any(_needs_work(row) for row in rows))
    return Answer(
        lambda: status_document(found),
        table=table,
        below=below,
        hints=_of_environment(found),
        exit_code=4 if options.exit_code and is_bad else 0,
    )


def _needs_work(row: AssetStatus) -> bool:
    return row.state not in ("current", "pinned", "source", "running")


def _below(session: Session, options: Namespace, status: Status) -> tuple[Line, ...]:
    if not status.rows and options.selection:
        total = len(session.project().graph)
        return ((f" nothing selected: `{' '.join(options.selection)}` matches 0 of {total}",),)
    return (counts_line(status.rows, session.elapsed_s),)


def _of_environment(status: Status) -> tuple[Line, ...]:
    """What to know of an environment of which nothing is recorded: its name may be a slip."""
    if not status.others:
        return ()
    return ((dim(f" nothing is recorded in env {status.env} yet; there are: {', '.join(status.others)}"),),)


def _warn_of_unknown_versions(session: Session, status: Status) -> None:
    """Say when the catalog has seen nothing yet and versions are there: it was lost, and is not new."""
    if status.last_run is not None or any(row.head is not None for row in status.rows):
        return
    from assetflow.care.checkup import REBUILD, versions_without_catalog

    settings = session.project().settings
    if found := versions_without_catalog(settings):
        place = settings.storage_path.name
        session.screen.warning(f"{count(found, 'version')} in {place}/ unknown to the catalog: {REBUILD}")


def _ls_options(parser: ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--sort", choices=SORTS, default="topo", help="topo (default), name, age, size or duration")


def _status_options(parser: ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument(
        "--freshness", action="store_true", help="the assets that have a deadline: when, how late, and why"
    )
    parser.add_argument(
        "--exit-code",
        action="store_true",
        help="exit 4 when an asset is not current or is overdue (with --freshness: is overdue)",
    )


COMMANDS = {
    "home": Command(home),
    "ls": Command(
        ls,
        _ls_options,
        (
            ("assetflow ls", "all assets"),
            ("assetflow ls 'stg_*'", "those that fit a pattern"),
            ("assetflow ls is:stale --sort age", "stale ones, the oldest first"),
            ("assetflow ls --format csv > assets.csv", "for a spreadsheet"),
        ),
    ),
    "status": Command(
        status,
        _status_options,
        (
            ("assetflow status", "every asset: state, and why"),
            ("assetflow status is:failed", "those that failed last"),
            ("assetflow status --freshness", "what is late, and what makes it so"),
            ("assetflow status --freshness --exit-code", "for a monitor: exit 4 when something is late"),
        ),
    ),
}
