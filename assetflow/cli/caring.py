"""`gc` and `doctor`: what is stored, kept small and whole."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assetflow.cli.answer import Answer
from assetflow.cli.asking import confirmed
from assetflow.cli.command import Command, natural, positive
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import BLANK, Line, Piece, aligned, bad, count, dim, good, number, size, strong, warn, wrapped
from assetflow.errors import AssetflowError, DamagedCatalog, DamagedVersion, UsageError
from assetflow.model.durations import seconds

if TYPE_CHECKING:
    from assetflow.care.checkup import Checkup, Damage
    from assetflow.care.mending import Mended
    from assetflow.care.removal import Collected, Going, Litter
    from assetflow.care.restoring import Restored
    from assetflow.cli.session import Session
    from assetflow.io.storage import Storage
    from assetflow.load.settings import Settings

_SHOWN = 20
_MARKS = {"ok": good("✓"), "warn": warn("▲"), "bad": bad("✗")}

# ------------------------------------------------------------------------------------------------------------ gc


def gc(session: Session, options: Namespace) -> Answer:
    """Remove the versions that nothing needs."""
    import time

    from assetflow.care import retention
    from assetflow.care.removal import collect, foresee
    from assetflow.run.storing import storage_of

    settings = _settings(options)
    grace_s = _seconds("--grace", options.grace)
    policy = retention(settings, keep=options.keep, keep_days=options.keep_days, grace_s=grace_s)
    wait_s = _seconds("--wait", options.wait) or 0.0
    foreseen = foresee(settings, policy, time.time())
    has_file = settings.warehouse_path.exists()
    if options.dry_run or (foreseen.is_nothing and not (options.compact and has_file)):
        answer = _gc_answer(session, foreseen)
        if options.compact and not has_file:
            answer.lines = [*answer.lines, (" there is no DuckDB file to compact",)]
            return answer
        return answer
    if not session.screen.is_json:
        session.screen.lines(_gc_lines(foreseen))
    if not confirmed(session, options, "compact the DuckDB file?" if foreseen.is_nothing else "delete them?"):
        return Answer(lambda: _gc_data(foreseen), [(" nothing was deleted",)])
    storage = storage_of(settings)
    done = collect(settings, storage, policy, wait_s=wait_s)
    if note := _show_what_is_left(session, settings, storage):
        done = replace(done, notes=(*done.notes, note))
    answer = _gc_answer(session, done)
    if not options.compact:
        return answer
    freed = storage.compact()
    line: Line = (f" {settings.warehouse_path.name} is {size(freed)} smaller",)
    return Answer(lambda: {**_gc_data(done), "compacted_bytes": freed}, [*answer.lines, line], answer.table)


def _show_what_is_left(session: Session, settings: Settings, storage: Storage) -> str:
    """Why the views in DuckDB files may still name versions that were removed, or nothing."""
    from assetflow.care import show_what_is_left

    try:
        graph = session.project().graph
    except AssetflowError:  # removing versions needs no code that loads, and views are derived
        return "the views for DuckDB programs are as they were: the project does not load, and the next run makes them"
    return show_what_is_left(settings, graph, storage)


def _gc_answer(session: Session, found: Collected) -> Answer:
    for note in found.notes:
        session.screen.warning(note)
    lines = _gc_lines(found) if found.is_dry else [_done_line(found)]
    return Answer(lambda: _gc_data(found), lines, _gc_table(found.going))


def _gc_lines(found: Collected) -> list[Line]:
    if found.is_nothing:
        return [(f" nothing to delete · keeps {count(found.kept, 'version')}",)]
    rows = [
        (strong(one.asset), _numbers(one.numbers), count(len(one.numbers), "version"), size(one.size_bytes))
        for one in found.going[:_SHOWN]
    ]
    lines = [*aligned(rows, right=(2, 3)), *_litter_lines(found.litter)]
    if len(found.going) > _SHOWN:
        lines.append((dim(f" and {count(len(found.going) - _SHOWN, 'more asset')}"),))
    return [*lines, BLANK, (" would delete ", strong(_amount(found)), f" · keeps {number(found.kept)}")]


def _done_line(found: Collected) -> Line:
    if found.left:
        why = f"{found.why_left}: their bytes go with the next gc" if found.why_left else ""
        return (f" condemned {count(found.left, 'version')} · {why} · keeps {number(found.kept)}",)
    return (" deleted ", strong(_amount(found)), f" · keeps {number(found.kept)}")


def _amount(found: Collected) -> str:
    assets = count(len(found.going), "asset")
    parts = [f"{count(found.versions, 'version')} of {assets}"] if found.going else []
    if found.litter.orphans and not found.litter.is_suspicious:
        parts.append(count(len(found.litter.orphans), "orphan"))
    if temporary := (*found.litter.staging, *found.litter.rests):
        parts.append(f"{len(temporary)} temporary")
    return f"{' and '.join(parts) or 'nothing'} · {size(found.size_bytes)}"


def _litter_lines(litter: Litter) -> list[Line]:
    lines: list[Line] = []
    if litter.orphans:
        folders = count(len(litter.orphans), "folder")
        lines.append((" ", warn("▲"), f" {folders} written, never committed · {size(litter.orphan_bytes)}"))
    if litter.rests:
        files = count(len(litter.rests), "file")
        lines.append((" ", warn("▲"), f" {files} left beside the DuckDB file or the views · {size(litter.rest_bytes)}"))
    if litter.staging:
        folders = count(len(litter.staging), "temporary folder")
        lines.append((" ", warn("▲"), f" {folders} of runs that died · {size(litter.staging_bytes)}"))
    return lines


def _gc_table(going: tuple[Going, ...]) -> Table:
    columns = (
        Column("asset", "ASSET"),
        Column("versions", "VERSIONS", is_right=True),
        Column("bytes", "BYTES", is_right=True),
        Column("numbers", "NUMBERS"),
    )
    rows = tuple(
        (cell(one.asset), cell(len(one.numbers)), cell(one.size_bytes), cell(" ".join(map(str, one.numbers))))
        for one in going
    )
    return Table(columns, rows)


def _gc_data(found: Collected) -> dict[str, object]:
    return {
        "dry_run": found.is_dry,
        "versions": found.versions,
        "bytes": found.size_bytes,
        "freed_bytes": found.freed_bytes,
        "kept": found.kept,
        "left": found.left,
        "assets": [{"asset": one.asset, "versions": list(one.numbers), "bytes": one.size_bytes} for one in found.going],
        "orphans": list(found.litter.orphans),
        "temporary": [path.name for path in (*found.litter.staging, *found.litter.rests)],
    }


def _numbers(numbers: tuple[int, ...]) -> str:
    """`v1 … v12`, or `v1 v4 v7`: what fits."""
    if len(numbers) <= 4:
        return " ".join(f"v{one}" for one in numbers)
    return f"v{numbers[0]} … v{numbers[-1]}"


# -------------------------------------------------------------------------------------------------------- doctor


def doctor(session: Session, options: Namespace) -> Answer:
    """Look at all that is stored, and mend it when asked to."""
    settings = _settings(options)
    if options.from_backup or options.rebuild_catalog:
        return _rebuilt(session, options, settings)
    found = _examined(session, options, settings)
    wait_s = _seconds("--wait", options.wait) or 0.0
    if not options.fix or found.needs_rebuild:
        return _judged(found, _checkup_data(found), _checkup_lines(session, found))
    if not session.screen.is_json:
        session.screen.lines(_checkup_lines(session, found))
    if not found.can_be_fixed and found.is_healthy:
        return Answer(lambda: _checkup_data(found), [(" nothing to mend",)] if not session.screen.is_json else [])
    if not confirmed(session, options, "mend it?"):
        return _judged(found, _checkup_data(found), [(" nothing was changed",)])
    from assetflow.care import retention
    from assetflow.care.mending import mend
    from assetflow.run.storing import storage_of

    given = retention(settings, grace_s=_seconds("--grace", options.grace))
    mended = mend(settings, storage_of(settings), found, grace_s=given.grace_s, wait_s=wait_s)
    after = _examined(session, options, settings)
    data = {**_checkup_data(after), "mended": list(mended.done), "to_materialize": list(mended.to_materialize)}
    return _judged(after, data, _mended_lines(mended))


def _examined(session: Session, options: Namespace, settings: Settings) -> Checkup:
    from assetflow.care import retention
    from assetflow.care.checkup import examine

    given = retention(settings, grace_s=_seconds("--grace", options.grace))
    screen = session.screen
    is_shown = options.deep and screen.is_terminal_err and not screen.is_quiet and not screen.is_json
    look = partial(examine, settings, is_deep=options.deep, workers=options.jobs, grace_s=given.grace_s)
    if not is_shown:
        return look()
    with screen.live() as live:

        def progress(done: int, total: int) -> None:
            live.update([(f" reading {number(done)} of {count(total, 'version')}",)])

        return look(on_progress=progress)


def _judged(found: Checkup, data: object, lines: list[Line]) -> Answer:
    """The answer of a doctor: a store with damage makes it a failure."""
    error = _failure(found)
    return Answer(lambda: data, lines, exit_code=0 if error is None else error.exit_code, failure=error)


def _failure(found: Checkup) -> AssetflowError | None:
    if found.is_healthy:
        return None
    if found.needs_rebuild:
        return DamagedCatalog("the catalog is lost or damaged", fix=found.rebuild_command)
    what = count(len(found.damage), "version") + (" is" if len(found.damage) == 1 else " are")
    problems = sum(one.level == "bad" for one in found.findings)
    said = f"{what} damaged" if found.damage else f"{count(problems, 'problem')} in the store"
    fix = _fix_command(found) if found.can_be_fixed else None
    return DamagedVersion(said, fix=fix)


def _checkup_lines(session: Session, found: Checkup) -> list[Line]:
    fine = [f"✓ {one.text}" for one in found.findings if one.level == "ok"]
    words: list[Piece] = [good(text) for text in fine]
    lines: list[Line] = wrapped((" ",), words, width=session.width) if words else []
    for damage in found.damage:
        lines.append((" ", _MARKS["bad"], " ", strong(damage.name), f": {'; '.join(damage.problems)}", _where(damage)))
    for level in ("bad", "warn"):
        for one in found.findings:
            if one.level == level:
                hint = f"   {one.fix}" if one.fix else ""
                lines.append((" ", _MARKS[level], f" {one.text}", dim(hint)))
    for run in found.dead_runs:
        lines.append((" ", _MARKS["warn"], f" run #{run.run_id} died and is not recorded so"))
    lines += _litter_lines(found.litter)
    what = "read and hashed" if found.is_deep else "looked at"
    if not found.needs_rebuild:
        hint = "" if found.is_deep else " · --deep reads every byte"
        lines.append((dim(f" {count(found.checked, 'version')} {what} · {size(found.checked_bytes)}{hint}"),))
    if found.can_be_fixed:
        lines.append((" fix: ", strong(_fix_command(found)), f"   {_plan_of_fix(found)}"))
    return lines


def _fix_command(found: Checkup) -> str:
    return f"assetflow doctor {'--deep ' if found.is_deep else ''}--fix"


def _where(damage: Damage) -> Piece:
    envs = ", ".join(damage.current_in)
    return dim(f"   current in {envs}" if envs else "   not current anywhere")


def _plan_of_fix(found: Checkup) -> str:
    parts: list[str] = []
    if found.damage:
        parts.append(f"puts {count(len(found.damage), 'version')} into quarantine")
    if found.back:
        parts.append(f"takes {count(len(found.back), 'version')} back")
    if found.litter.orphans and not found.litter.is_suspicious:
        parts.append(f"removes {count(len(found.litter.orphans), 'orphan')}")
    if found.litter.staging:
        parts.append(f"removes {count(len(found.litter.staging), 'temporary folder')}")
    if found.litter.rests:
        parts.append(f"removes {count(len(found.litter.rests), 'temporary file')}")
    if found.is_journal_behind:
        parts.append("writes the journal anew")
    if found.dead_runs:
        parts.append(f"ends {count(len(found.dead_runs), 'dead run')}")
    return ", ".join(parts)


def _mended_lines(mended: Mended) -> list[Line]:
    lines: list[Line] = [(" ", _MARKS["ok"], f" {one}") for one in mended.done]
    if mended.to_materialize:
        command = f"assetflow materialize {' '.join(mended.to_materialize)}"
        lines.append((" make them again: ", strong(command)))
    if mended.to_unpin:
        lines.append((" pinned, so let them go first: ", strong(f"assetflow unpin {' '.join(mended.to_unpin)}")))
    return lines or [(" nothing to mend",)]


def _checkup_data(found: Checkup) -> dict[str, object]:
    return {
        "healthy": found.is_healthy,
        "deep": found.is_deep,
        "versions": found.checked,
        "bytes": found.checked_bytes,
        "needs_rebuild": found.needs_rebuild,
        "findings": [
            {"level": one.level, "topic": one.topic, "text": one.text, "fix": one.fix} for one in found.findings
        ],
        "damage": [
            {
                "asset": one.version.asset,
                "version": one.version.number,
                "problems": list(one.problems),
                "current_in": list(one.current_in),
            }
            for one in found.damage
        ],
        "orphans": list(found.litter.orphans),
        "temporary": [path.name for path in (*found.litter.staging, *found.litter.rests)],
        "dead_runs": [run.run_id for run in found.dead_runs],
    }


def _rebuilt(session: Session, options: Namespace, settings: Settings) -> Answer:
    from assetflow.care.restoring import kept_by_backup, restore

    wait_s = _seconds("--wait", options.wait) or 0.0
    if not options.from_backup and (kept := kept_by_backup(settings)):
        session.screen.warning(kept)
    question = "make the catalog again? the old file goes to quarantine; the history of runs may be lost"
    if not confirmed(session, options, question):
        return Answer(dict, [(" nothing was changed",)])
    found = restore(settings, from_backup=options.from_backup, wait_s=wait_s)
    return Answer(lambda: _restored_data(found), _restored_lines(settings, found))


def _restored_lines(settings: Settings, found: Restored) -> list[Line]:
    made = found.rebuilt
    lines: list[Line] = []
    if made.backup is not None:
        lines.append((" ", _MARKS["ok"], f" from the backup {made.backup.name}"))
    journal = f"{count(made.transactions, 'transaction')} carried out"
    lines.append((" ", _MARKS["ok"], f" from the journal: {journal}"))
    if made.adopted:
        names = ", ".join(made.adopted[:8]) + ("…" if len(made.adopted) > 8 else "")
        versions = f"{count(len(made.adopted), 'version')} ({names})"
        text = f" from the versions themselves: {versions}, numbered anew, not current anywhere yet"
        lines.append((" ", _MARKS["ok"], text))
    for text in made.lost:
        lines.append((" ", _MARKS["warn"], f" not restored: {text}"))
    for location, reason in found.refused:
        lines.append((" ", _MARKS["warn"], f" not taken in: {location}: {reason}"))
    if made.backup is None and made.runs:
        lines.append((dim(f"   of {count(made.runs, 'run')} only the number is known"),))
    if made.kept_in is not None:
        lines.append((dim(f"   what was there is in {made.kept_in.relative_to(settings.root)}"),))
    total = f"{count(made.versions, 'version')} · {number(made.heads)} current"
    lines.append((" the catalog is whole again: ", strong(total)))
    if made.adopted:
        lines.append((dim("   assetflow plan   what fits the code and its inputs is linked, not computed"),))
    return lines


def _restored_data(found: Restored) -> object:
    made = found.rebuilt
    return {
        "versions": made.versions,
        "heads": made.heads,
        "transactions": made.transactions,
        "adopted": list(made.adopted),
        "backup": None if made.backup is None else made.backup.name,
        "lost": list(made.lost),
        "refused": [{"location": location, "reason": reason} for location, reason in found.refused],
        "kept_in": None if made.kept_in is None else str(made.kept_in),
    }


# ------------------------------------------------------------------------------------------------------- options


def _settings(options: Namespace) -> Settings:
    """The settings alone: these verbs are for days on which the project's own code may not load."""
    from assetflow.load.settings import read_settings

    return read_settings(Path(options.project or "."), {} if options.env is None else {"env": options.env})


def _seconds(flag: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return seconds(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise UsageError(str(error), fix=f"{flag} 24h") from error


def _gc_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--keep", type=positive, metavar="N", help="newest versions of each asset that stay (default 10)"
    )
    parser.add_argument("--keep-days", type=natural, metavar="DAYS", help="younger versions stay (default 30)")
    parser.add_argument("--grace", metavar="TIME", help="nothing younger than this goes (default 24h)")
    parser.add_argument("--wait", metavar="TIME", help="wait this long for runs to end, such as 5m")
    parser.add_argument("--compact", action="store_true", help="give the room in the DuckDB file back to the disk")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")


def _doctor_options(parser: ArgumentParser) -> None:
    parser.add_argument("--deep", action="store_true", help="read and hash every stored byte, and decode the tables")
    parser.add_argument("-j", "--jobs", type=positive, default=1, metavar="N", help="read with N processes (--deep)")
    parser.add_argument("--fix", action="store_true", help="put damage into quarantine, end dead runs, remove orphans")
    parser.add_argument("--grace", metavar="TIME", help="orphans younger than this stay (default 24h)")
    parser.add_argument("--wait", metavar="TIME", help="wait this long for runs to end, such as 5m")
    parser.add_argument("--rebuild-catalog", action="store_true", help="make the catalog again, from the journal")
    parser.add_argument("--from-backup", action="store_true", help="and on top of the newest backup")


COMMANDS = {
    "gc": Command(
        gc,
        _gc_options,
        (
            ("assetflow gc --dry-run", "what would go"),
            ("assetflow gc --keep 3 --keep-days 7", "keep less"),
        ),
    ),
    "doctor": Command(
        doctor,
        _doctor_options,
        (
            ("assetflow doctor", "a quick look"),
            ("assetflow doctor --deep -j 4", "every byte"),
            ("assetflow doctor --fix", "mend what was found"),
            ("assetflow doctor --rebuild-catalog", "when catalog.db is lost"),
        ),
    ),
}
