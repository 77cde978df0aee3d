"""`plan` and `materialize`: what would run, and running it."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer, JsonText
from assetflow.cli.command import Command, add_selection, natural, positive, selection_text
from assetflow.cli.folding import Folding
from assetflow.cli.render_current import no_op_line
from assetflow.cli.table import jsonable
from assetflow.cli.text import shell
from assetflow.errors import AssetFailed, AssetflowError, UsageError, error_classes
from assetflow.model.durations import seconds
from assetflow.model.keys import slot, split_slot

if TYPE_CHECKING:
    from assetflow.cli.debugger import TerminalDebugger
    from assetflow.cli.progress import Watcher
    from assetflow.cli.session import Session
    from assetflow.model.keys import AssetKey
    from assetflow.plan.planner import Plan
    from assetflow.plan.saved import SavedPlan
    from assetflow.project import Project
    from assetflow.run.outcome import RunResult


def plan(session: Session, options: Namespace) -> Answer:
    """What would run, and why."""
    from assetflow.cli.glancing import question
    from assetflow.cli.render_plan import empty_facts, plan_lines, plan_table

    if getattr(options, "against", None):
        return _against(session, options)
    project = session.project()
    is_saved = bool(getattr(options, "output", None))  # what is carried out is decided for each partition by itself
    found = project.plan(
        selection_text(options), partitions=options.partitions, force=options.force, rebuild=options.rebuild,
        with_upstream=not options.only, in_crowds=not is_saved,
    )  # fmt: skip
    if is_saved:
        _save(options, found)
    if has_summary():
        from assetflow.cli.github import add_summary, plan_summary

        add_summary(session.screen, plan_summary(found, project.name))
    if found.is_empty and not session.screen.is_json:
        project.keep(question("plan", options.selection), empty_facts(found))
    screen_lines = plan_lines(
        found,
        name=project.name,
        width=session.width,
        elapsed_s=session.elapsed_s,
        apply=_command(options),
        max_rows=options.max_rows,
        every_reason=options.verbose,
        root=str(project.root),
    )
    return Answer(
        lambda: _data(session, options, found),
        screen_lines,
        plan_table(found),
        exit_code=4 if options.exit_code and not found.is_empty else 0,
    )


def _against(session: Session, options: Namespace) -> Answer:
    """What is defined otherwise than elsewhere: what a merge would change there."""
    from assetflow.cli.render_plan import against_lines, against_table

    if options.force or options.only or options.output or options.partitions or options.rebuild:
        raise UsageError("--against compares definitions: it takes no --force, --rebuild, --only, -p or -o")
    found = session.project().against(options.against, selection_text(options))
    return Answer(
        lambda: {"project": session.project().name, **found.to_json()},
        against_lines(found, session.width),
        against_table(found),
        exit_code=4 if options.exit_code and found.others else 0,
    )


def _data(session: Session, options: Namespace, found: Plan) -> JsonText:
    """The plan for programs; an empty one is kept for the next time."""
    from assetflow.cli.glancing import question

    project = session.project()
    text = json.dumps(jsonable({"project": project.name, **found.to_json()}), ensure_ascii=False)
    if found.is_empty:
        facts = {"lead": "", "end": "", "is_bad": False}
        project.keep(question("plan --json", options.selection), facts, texts=[text])
    return JsonText(text)


def has_summary() -> bool:
    """Whether a page of a job on GitHub wants a table."""
    import os

    return bool(os.environ.get("GITHUB_STEP_SUMMARY")) and os.environ.get("GITHUB_ACTIONS") == "true"


def _save(options: Namespace, found: Plan) -> None:
    from pathlib import Path

    from assetflow.plan.saved import saved_plan

    path = Path(options.output)
    stored = saved_plan(found, force=options.force, with_upstream=not options.only, rebuild=options.rebuild)
    try:
        path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the plan cannot be written to {path}: {error.strerror}", fix="-o plan.json") from error


def _saved(options: Namespace) -> SavedPlan | None:
    """The plan of `--plan`, which says by itself what is to be done."""
    if options.plan is None:
        return None
    from pathlib import Path

    from assetflow.plan.saved import read_saved_plan

    if options.selection or options.force or options.only or options.set or options.partitions or options.rebuild:
        raise UsageError(
            "--plan says what to do: it takes no selection, -p, --force, --rebuild, --only or --set",
            fix=f"assetflow materialize --plan {options.plan}",
        )
    return read_saved_plan(Path(options.plan))


def materialize(session: Session, options: Namespace) -> Answer:
    """Run what is not current in the selection, and what it needs."""
    saved = _saved(options)
    if options.dry_run:
        return plan(session, options)
    if session.screen.is_json and options.progress == "jsonl":
        raise UsageError("--json and --progress=jsonl both want stdout", fix="leave one of them out")
    config = config_values(options.set)
    wait_s = 0.0 if options.wait is None else _seconds(options.wait, "--wait 5m")
    debugger = _debugger(session, options)
    project = session.project(to_run=options.executor != "processes")
    from assetflow.cli.progress import watcher_for
    from assetflow.cli.telling import told_after

    choice = options.progress or "auto"
    if debugger is not None and choice in ("auto", "rich"):
        choice = "plain"  # lines that move would be drawn over what the debugger says
    watcher = watcher_for(choice, session.screen, project.root)
    with told_after(session):
        try:
            result = project.materialize(
                selection_text(options),
                force=options.force,
                with_upstream=not options.only,
                executor=options.executor,
                workers=options.jobs,
                fail_fast=options.fail_fast,
                config=config,
                wait_s=wait_s,
                observer=watcher,
                saved=saved,
                retries=options.retries,
                timeout_s=None if options.timeout is None else _seconds(options.timeout, "--timeout 1h"),
                debugger=debugger,
                partitions=options.partitions,
                rebuild=options.rebuild,
            )
        except KeyboardInterrupt as stop:
            if not watcher.run_id:
                raise
            raise KeyboardInterrupt(
                f"interrupted: run #{watcher.run_id}; what was built is kept (go on: assetflow retry {watcher.run_id})"
            ) from stop
        finally:
            watcher.close()
            if debugger is not None:
                debugger.close()
    return _answer(session, options, project, watcher, result)


def _debugger(session: Session, options: Namespace) -> TerminalDebugger | None:
    """The debugger of `--pdb`, ready for `breakpoint()` too."""
    if not options.pdb:
        return None
    if session.screen.is_json or options.progress == "jsonl":
        raise UsageError("--pdb talks on the terminal, where programs would read it", fix="leave --json out")
    if options.no_input:
        raise UsageError("--pdb asks what to do, and --no-input says never to ask", fix="leave one of them out")
    from assetflow.cli.debugger import TerminalDebugger

    return TerminalDebugger(session.screen, session.settings().root)


def _answer(session: Session, options: Namespace, project: Project, watcher: Watcher, result: RunResult) -> Answer:
    from assetflow.cli import render_run

    if has_summary():
        from assetflow.cli.github import add_summary, run_summary

        add_summary(session.screen, run_summary(result))
    if result.run_id is None:
        _keep(options, project, result)
        lines = [
            no_op_line(
                result.current, session.elapsed_s, result.saved_s, result.pinned, is_undecided=bool(result.undecided)
            )
        ]
    else:
        every = options.progress == "summary"
        lines = render_run.run_lines(result, watcher.plan, str(project.root), every_outcome=every)
    text: str | None = None
    if options.progress == "jsonl":
        from assetflow.cli.progress import JsonWatcher

        text = ""
        if result.run_id is None and isinstance(watcher, JsonWatcher):
            watcher.nothing_to_do(result)
    hints = render_run.next_lines(result, _logged(project, result))
    if result.undecided:
        from assetflow.cli.render_plan import undecided_lines

        hints = [*hints, *undecided_lines(result.undecided)]
    return Answer(
        lambda: {"project": project.name, **result.to_json()},
        lines,
        render_run.outcome_table(result),
        text=text,
        hints=hints,
        exit_code=_exit_code(result),
        failure=failure_of(result, is_alone=options.only, plan=watcher.plan),
        ending=(f"{_cut_short(result)}: run #{result.run_id}; what was built is kept",) if result.interrupted else (),
    )


def _keep(options: Namespace, project: Project, result: RunResult) -> None:
    """Keep the answer that there was nothing to do, where nobody is to be told of anything either."""
    from assetflow.cli.glancing import question

    if project.settings.alerts or options.plan or options.set:
        return
    document = {"project": project.name, **result.to_json()}
    facts = {"current": result.current, "saved_s": result.saved_s, "pinned": result.pinned, "document": document}
    project.keep_noop(question("materialize", options.selection), facts)


TIMED_OUT = 124
"""The exit code of `timeout`, which programs around us know."""


def _exit_code(result: RunResult) -> int:
    if result.timed_out:
        return TIMED_OUT
    return 0 if result.ok else 128 + (result.signal_number or 2) if result.interrupted else 1


def _cut_short(result: RunResult) -> str:
    return "timed out" if result.timed_out else "interrupted"


def _logged(project: Project, result: RunResult) -> set[AssetKey]:
    """The assets that failed and have something to read in their logs."""
    failed = {outcome.asset for outcome in result if outcome.state in ("failed", "rejected")}
    if not failed or result.run_id is None:
        return set()
    said = {slot(log.asset, log.partition) for log in project.logs(result.run_id) if log.text.strip()}
    return failed & said


def failure_of(result: RunResult, *, is_alone: bool = False, plan: Plan | None = None) -> AssetflowError | None:
    """What a failed run is called in one line; None when it was fine. By its plan, partitions are ranges."""
    if result.ok:
        return None
    if result.interrupted:
        how = "ran out of time" if result.timed_out else "was interrupted"
        return AssetFailed(f"run #{result.run_id} {how}; what was built is kept")
    failed = [outcome.asset for outcome in result if outcome.state in ("failed", "rejected")]
    blocked = sum(outcome.state == "blocked" for outcome in result)
    if not failed and (absent := _absent(result)):
        return _not_run(result, absent, is_alone=is_alone)
    names = Folding(plan).names(failed)
    named = ", ".join(f"`{key}`" for key in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    what = f"{named} failed" if failed else "nothing failed"
    codes = {outcome.error.code for outcome in result if outcome.error is not None}
    cls = error_classes().get(codes.pop(), AssetFailed) if len(codes) == 1 else AssetFailed
    return cls(f"{what}, {blocked} blocked" if blocked else what)


def _absent(result: RunResult) -> list[AssetKey]:
    """What blocked something by having no version, without having failed in this run."""
    found = {key: None for outcome in result if outcome.state == "blocked" for key in outcome.blocked_by}
    return [key for key in found if key not in result.outcomes or result.outcomes[key].state == "skipped"]


def _not_run(result: RunResult, absent: list[AssetKey], *, is_alone: bool) -> AssetFailed:
    blocked = [outcome.asset for outcome in result if outcome.state == "blocked"]

    def named(keys: list[AssetKey]) -> str:
        return ", ".join([f"`{key}`" for key in keys[:3]]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")

    what = f"{named(blocked)} {'was' if len(blocked) == 1 else 'were'} not run: {named(absent)} "
    again = shell(["assetflow", "materialize", *dict.fromkeys(f"+{split_slot(key)[0]}" for key in blocked)])
    return AssetFailed(
        f"{what}{'has' if len(absent) == 1 else 'have'} no version in env {result.env} yet",
        fix=f"leave out --only, or build what it needs too: {again}" if is_alone else None,
    )


def config_values(texts: list[str]) -> dict[str, dict[str, object]]:
    """The values of `--set asset.field=value` by asset and field. Lists, objects, quoted text and null are JSON.

    Raises:
        UsageError: a text does not have that form.
    """
    found: dict[str, dict[str, object]] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        asset, dot, field = path.strip().rpartition(".")
        if not (equals and dot and asset and field):
            raise UsageError(f"`--set {text}` is not of the form asset.field=value", fix="--set rates.base=EUR")
        found.setdefault(asset, {})[field] = _value(value.strip(), text)
    return found


def _value(text: str, whole: str) -> object:
    if text != "null" and not text.startswith(("[", "{", '"')):
        return text  # numbers and booleans too: the field's type says what the text means
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"the value in `--set {whole}` is not JSON: {error}") from error


def _seconds(text: str, example: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise UsageError(str(error), fix=example) from error


def _command(options: Namespace) -> str:
    """The materialize command that carries out the plan that was asked for."""
    words = ["assetflow"]
    if options.project is not None:
        words += ["-C", options.project]
    if options.env is not None:
        words += ["-e", options.env]
    if getattr(options, "output", None):
        return shell([*words, "materialize", "--plan", options.output])
    words += ["materialize", *options.selection]
    words += ["-p", options.partitions] if options.partitions else []
    words += ["--force"] if options.force else []
    words += ["--rebuild"] if options.rebuild else []
    words += ["--only"] if options.only else []
    return shell(words)


def _plan_options(parser: ArgumentParser) -> None:
    _shared(parser)
    parser.add_argument("--exit-code", action="store_true", help="exit 4 when there is something to do")
    parser.add_argument("--against", metavar="ENV|RUN", help="what is defined otherwise than there")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the plan to a file, for materialize --plan")


def _shared(parser: ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument(
        "-p", "--partitions", metavar="KEYS", help="such as 2026-01-05, 2026-01-01..2026-01-31, latest:7 or is:missing"
    )
    parser.add_argument("--force", action="store_true", help="run the selected assets though they are current")
    parser.add_argument("--rebuild", action="store_true", help="also what was made before an edit and is undecided")
    parser.add_argument("--only", action="store_true", help="the selection alone, on its inputs as they are")
    parser.add_argument(
        "--max-rows", type=natural, default=40, metavar="N", help="rows of each section (default 40; 0: all)"
    )


def _materialize_options(parser: ArgumentParser) -> None:
    _shared(parser)
    parser.add_argument("-j", "--jobs", type=positive, metavar="N", help="how many assets run at once")
    parser.add_argument("--executor", metavar="NAME", help="threads, processes or inline")
    after = parser.add_mutually_exclusive_group()
    after.add_argument("--fail-fast", action="store_true", help="start nothing more after the first failure")
    after.add_argument(
        "--keep-going", action="store_true", help="go on with all that does not need what failed (default)"
    )
    parser.add_argument("--timeout", metavar="TIME", help="stop the run after this long, such as 1h, and exit 124")
    parser.add_argument(
        "--retries", type=natural, metavar="N", help="try what fails again so often, whatever it declares"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the plan and change nothing")
    parser.add_argument(
        "--set", action="append", default=[], metavar="ASSET.FIELD=VALUE", help="a config value of this run"
    )
    parser.add_argument("--plan", metavar="FILE", help="do exactly what a plan from plan -o says, or nothing")
    parser.add_argument("--pdb", action="store_true", help="open the debugger where an asset raises; runs inline")
    parser.add_argument("--wait", metavar="TIME", help="wait this long for another run, such as 5m")
    parser.set_defaults(exit_code=False)


COMMANDS = {
    "plan": Command(
        plan,
        _plan_options,
        (
            ("assetflow plan", "everything"),
            ("assetflow plan +daily_revenue", "one asset and what it is made of"),
            ("assetflow plan --exit-code", "for CI: exit 4 when something is to be done"),
            ("assetflow plan --format md", "a table for a pull request"),
            ("assetflow plan --against prod --format md", "what a merge would change there"),
            ("assetflow plan -o plan.json", "to look at now, and to carry out later"),
        ),
    ),
    "materialize": Command(
        materialize,
        _materialize_options,
        (
            ("assetflow materialize", "everything that is not current"),
            ("assetflow materialize orders+", "orders and what is made of it"),
            ("assetflow materialize daily_revenue --force", "though it is current"),
            ("assetflow materialize --set rates.base=EUR", "with another config value"),
            ("assetflow materialize --plan plan.json", "exactly what was planned, or exit 5"),
            ("assetflow materialize orders --pdb", "look around where it raises"),
        ),
    ),
}
