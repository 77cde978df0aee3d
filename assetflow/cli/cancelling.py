"""`cancel` and `retry`: ending a run from elsewhere, and going on where one ended."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, natural, parser_of, positive
from assetflow.cli.documents import run_document
from assetflow.cli.running import run_number
from assetflow.cli.text import Line, aligned, dim, good, head, state_words, strong
from assetflow.errors import RunConflict, UsageError

if TYPE_CHECKING:
    from assetflow.cli.session import Session
    from assetflow.model.records import Attempt, Run
    from assetflow.run.requests import Asked

MADE = ("materialized", "unchanged", "linked")
LEFT = ("failed", "rejected", "blocked", "cancelled", "died", "superseded", "running")
"""States of attempts after which there is something left to do."""


def cancel(session: Session, options: Namespace) -> Answer:
    """Stop a run that is going on."""
    return cancel_run(session, run_number(options.run), at_once=options.now)


def cancel_run(session: Session, run_id: int, *, at_once: bool) -> Answer:
    """Stop a run and say what is kept of it."""
    project = session.project()
    run, was_running = project.cancel(run_id, at_once=at_once)
    if not was_running:
        words: Line = (" ", strong(f"run #{run_id}"), " has ended: ", state_words(project.run_details(run_id)[0].state))
        return Answer(lambda: {**run_document(run), "was_running": False}, [words])
    kept = sum(run.counts.get(state, 0) for state in MADE)
    left = sum(run.counts.get(state, 0) for state in LEFT)
    lines: list[Line] = [
        (" ", strong(f"run #{run_id}"), f" was stopped · {kept} kept · {left} not finished"),
        *(aligned([(head("resume"), strong(f"assetflow retry {run_id}"), dim(f"{left} left"))], gap=3) if left else ()),
    ]
    return Answer(lambda: {**run_document(run), "was_running": True}, lines)


def retry(session: Session, options: Namespace) -> Answer:
    """Ask for what a run was asked for, with the code as it is now: what it committed stays."""
    run = _run(session, None if options.run is None else run_number(options.run))
    session.options.env = run.env
    project = session.project()
    run, attempts = project.run_details(run.run_id)
    if run.state == "running":
        fix = f"wait for it with `assetflow retry {run.run_id} --wait 5m`, or end it: assetflow cancel {run.run_id}"
        if options.wait is None:
            raise RunConflict(f"run #{run.run_id} is going on", fix=fix)
    elif run.state == "ok":
        words: Line = (" ", good("●"), f" nothing to retry in run #{run.run_id}: it did all that it was asked for")
        return Answer(lambda: {**run_document(run), "retried": False}, [words])
    asked = project.asked(run.run_id)
    if changed := _changed(asked, {spec.key: spec.code for spec in project.graph.specs.values()}):
        names = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        session.screen.note((f"the code has changed since run #{run.run_id}: {names}; it runs as it is now",))
    from assetflow.cli import planning

    return planning.materialize(session, _request(session, options, asked, attempts))


def _run(session: Session, run_id: int | None) -> Run:
    """The run that is meant: the one with this number, or the last one of the environment."""
    from contextlib import closing

    from assetflow.catalog.catalog import Catalog

    settings = session.settings()
    with closing(Catalog(settings.catalog_path)) as catalog:
        if run_id is None:
            found = next(iter(catalog.runs(1, settings.env)), None)
        else:
            found = catalog.run(run_id)
    if found is None:
        what = "there has been no run yet" if run_id is None else f"there is no run #{run_id}"
        raise UsageError(what, fix="`assetflow runs` lists the runs")
    return found


def _changed(asked: Asked, now: dict[str, str]) -> list[str]:
    return sorted(key for key, code in asked.code.items() if now.get(key) != code)


def _request(session: Session, options: Namespace, asked: Asked, attempts: tuple[Attempt, ...]) -> Namespace:
    """The options of the `materialize` that goes on where the run ended; those that are given now come first."""
    from assetflow.cli.command import command_of
    from assetflow.cli.verbs import BY_NAME

    verb = BY_NAME["materialize"]
    found = parser_of(verb, command_of(verb)).parse_args([])
    vars(found).update(vars(session.options))
    found.selection = [asked.selection] if asked.selection else []
    found.force, found.only, found.rebuild = asked.force, not asked.with_upstream, asked.rebuild
    if asked.force:  # what the run has made is not made once more
        last = {str(attempt.asset): attempt.state for attempt in attempts}
        wanted = dict.fromkeys([*asked.code, *last])
        left = [key for key in wanted if last.get(key) not in MADE]
        found.force = bool(left)
        if len(left) < len(wanted):
            found.selection = [" or ".join(left)] if left else found.selection
    found.set = [f"{asset}.{name}={_text(value)}" for asset, own in asked.config.items() for name, value in own.items()]
    found.executor = options.executor or asked.executor
    found.jobs = options.jobs or asked.workers
    found.fail_fast = asked.fail_fast
    found.partitions = asked.partitions
    found.retries = asked.retries if options.retries is None else options.retries
    return found


def _text(value: object) -> str:
    """A config value as `--set` writes it."""
    is_plain = (
        isinstance(value, str) and value == value.strip() and value != "null" and value[:1] not in ("[", "{", '"')
    )
    return str(value) if is_plain else json.dumps(value)


def _cancel_options(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the number of the run, such as 42")
    parser.add_argument("--now", action="store_true", help="do not wait for what is being computed")


def _retry_options(parser: ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="the number of the run (default: the last one)")
    parser.add_argument("-j", "--jobs", type=positive, metavar="N", help="how many assets run at once")
    parser.add_argument("--executor", metavar="NAME", help="another executor than that of the run")
    parser.add_argument("--retries", type=natural, metavar="N", help="try what fails again so often")
    parser.add_argument("--timeout", metavar="TIME", help="stop after this long, such as 1h, and exit 124")
    parser.add_argument("--wait", metavar="TIME", help="wait this long for another run, such as 5m")


COMMANDS = {
    "cancel": Command(
        cancel,
        _cancel_options,
        (("assetflow cancel 42", "as ctrl-c does"), ("assetflow cancel 42 --now", "as a second ctrl-c does")),
    ),
    "retry": Command(
        retry,
        _retry_options,
        (("assetflow retry", "what the last run left"), ("assetflow retry 42 -j 2", "with two workers")),
    ),
}
