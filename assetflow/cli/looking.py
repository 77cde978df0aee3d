"""`status`, `ls` and the home screen: where the project stands."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer, JsonText
from assetflow.cli.command import Command, add_selection, selection_text
from assetflow.cli.documents import asset_document, status_document, status_facts
from assetflow.cli.glancing import Seen, is_bad, ls_answer, of_environment, question, spliced, status_answer
from assetflow.cli.render_freshness import freshness_below, freshness_table, with_deadline
from assetflow.cli.render_glance import sorted_rows
from assetflow.cli.render_status import glance, home_lines
from assetflow.cli.table import jsonable
from assetflow.cli.text import Line, count, dim
from assetflow.errors import ProjectNotFound

if TYPE_CHECKING:
    from assetflow.cli.session import Session
    from assetflow.load.settings import Settings
    from assetflow.project import Project
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
    project = session.project()
    status = project.status(selection_text(options), now=session.now)
    seen = _seen(session, status)
    if not session.screen.is_json:
        project.keep(question("ls", options.selection), seen.to_json())
    place: dict[str, AssetStatus] = {row.spec.key: row for row in status.rows}

    def data() -> object:
        rows = [place[one.key] for one in sorted_rows(seen.rows, options.sort)]
        return _kept(project, question("ls --json", options.selection, options.sort), {"env": status.env}, rows)

    return ls_answer(seen, session, options.selection, options.sort, data)


def _kept(
    project: Project, name: str, facts: Mapping[str, object], rows: Iterable[AssetStatus], *, is_bad: bool = False
) -> JsonText:
    """A document of these facts and rows, which is kept for the next time."""
    lead = json.dumps(jsonable({**facts, "assets": []}), ensure_ascii=False)[:-2]
    texts = [json.dumps(jsonable(asset_document(row)), ensure_ascii=False) for row in rows]
    project.keep(name, {"lead": lead, "end": "]}", "is_bad": is_bad}, texts=texts)
    return JsonText(spliced(lead, texts, "]}"))


def _seen(session: Session, status: Status) -> Seen:
    return Seen(status.env, [glance(row) for row in status.rows], status.others, len(session.project().graph))


def status(session: Session, options: Namespace) -> Answer:
    """What is current, stale, failed or late, and why."""
    project = session.project()
    found = project.status(selection_text(options), now=session.now)
    _warn_of_unknown_versions(session, found)
    seen = _seen(session, found)

    def data() -> object:
        name = question("status --json", options.selection)
        return _kept(project, name, status_facts(found), found.rows, is_bad=is_bad(seen))

    if options.freshness:
        rows = with_deadline(found.rows)
        is_late = any(str(row.freshness.timeliness) == "overdue" for row in rows)
        return Answer(
            data,
            table=freshness_table(rows, session),
            below=freshness_below(rows, found, session),
            hints=of_environment(seen),
            exit_code=4 if options.exit_code and is_late else 0,
        )
    if not session.screen.is_json:
        project.keep(question("status", options.selection), seen.to_json())
    return status_answer(
        seen, session, options.selection, data, verbose=bool(options.verbose), exits=bool(options.exit_code)
    )  # fmt: skip


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
