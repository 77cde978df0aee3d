"""The verbs as scenarios: the store each begins with, and the command during which something happens.

A scenario whose verb this version does not have is not run, and said to be skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from assetflow import Project, files
from assetflow.automation.rounds import see, take_up
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.ticks import Ticks
from assetflow.io import publishing
from assetflow.load.settings import Settings
from assetflow.model.jobs import Job, Tick
from assetflow.run import pace
from tests.faults import project as workload


class Acks:
    """Writes down what a verb said was done, after it returned: what is written here must never be lost."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def say(self, verb: str, **facts: Any) -> None:
        """One line, in one write, outside of all that failpoints see."""
        line = json.dumps({"at": time.time(), "verb": verb, **facts}) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, line.encode())
        os.close(descriptor)

    def materialized(self, project: Project, result: Any) -> None:
        """The versions that a run said it made or found. Raises what the run failed of."""
        made = {one.asset: one.version for one in result if one.version is not None and one.asset != "numbers"}
        failed = [one.asset for one in result if one.error is not None]
        self.say("materialize", env=project.env, versions=made, ok=result.ok, failed=failed)
        result.raise_for_status()


Act = Callable[[Project, Acks], None]


def nothing(project: Project, acks: Acks) -> None:
    """No change."""


def materialize(project: Project, acks: Acks) -> None:
    """Build what is stale."""
    acks.materialized(project, project.materialize(executor="inline"))


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is there before (`prepare`, then `harm` after the snapshot), the command, and what a user does next.

    `needs`: the method of `Project` without which it cannot run. `damaged`: versions that `harm` spoils.
    `is_whole_before_recovery`: whether the store must be sound right after a kill. `ends_newest`: whether every head
    holds what the source says in the end.
    """

    name: str
    prepare: Act
    act: Act
    needs: str = "materialize"
    harm: Act = nothing
    recover: Act = materialize
    damaged: tuple[str, ...] = ()
    is_whole_before_recovery: bool = True
    ends_newest: bool = True
    native: bool = False


def two_generations(project: Project, acks: Acks) -> None:
    """Versions 1 and 2 of all, current at 2."""
    materialize(project, acks)
    advance(project, acks)


def stale(project: Project, acks: Acks) -> None:
    """One version of all, and a source that has changed since."""
    materialize(project, acks)
    workload.set_generation(project.root, workload.generation_of(project.root) + 1)


def threaded(project: Project, acks: Acks) -> None:
    """Build what is stale in four threads."""
    acks.materialized(project, project.materialize(executor="threads", workers=4))


def as_if_large(project: Project, acks: Acks) -> None:
    """Build what is stale, and write every file as a large one is: by a thread beside, synced on the way."""
    files._LARGE = files._SYNC_EACH = 0
    materialize(project, acks)


def together(project: Project, acks: Acks) -> None:
    """Build what is stale as if all steps were quick: many are published with one sync, and recorded at once."""
    pace.LOOK_BACK, pace._LONGEST_S, publishing._TOGETHER = 0, 60.0, 1
    materialize(project, acks)


def advance(project: Project, acks: Acks) -> None:
    """The source changes and all is built again."""
    workload.set_generation(project.root, workload.generation_of(project.root) + 1)
    materialize(project, acks)


def force(project: Project, acks: Acks) -> None:
    """Build all though nothing changed: equal content everywhere."""
    acks.materialized(project, project.materialize(force=True, executor="inline"))


def many_generations(project: Project, acks: Acks) -> None:
    """Four versions of all."""
    two_generations(project, acks)
    advance(project, acks)
    advance(project, acks)


def rollback(project: Project, acks: Acks) -> None:
    """Make the versions before these current again."""
    project.rollback("arrows facts")
    acks.say("rollback", env=project.env, versions={})


def pin_and_unpin(project: Project, acks: Acks) -> None:
    """Pin one asset, build, unpin it."""
    project.pin("arrows")
    advance(project, acks)
    project.unpin("arrows")
    acks.say("pin", env=project.env, versions={})


def unpin_and_materialize(project: Project, acks: Acks) -> None:
    """What is pinned stays as it is until it is unpinned."""
    project.unpin("arrows")
    materialize(project, acks)


def collect(project: Project, acks: Acks) -> None:
    """Remove all but the newest two versions."""
    acks.say("gc begins", env=project.env, versions={}, collected=every_version(project))
    project.gc(keep=1, keep_days=0, grace_s=0)


def rolled_back(project: Project, acks: Acks) -> None:
    """Four versions of all, of which the oldest are current for some."""
    many_generations(project, acks)
    for _ in range(3):
        project.rollback("arrows facts")


def every_version(project: Project) -> list[tuple[str, int]]:
    """All versions that the catalog knows: what a collection may take (its references are checked otherwise)."""
    query = "SELECT a.key, v.number FROM version v JOIN asset a USING (asset_id)"
    uri = f"file:{project.settings.catalog_path}?mode=ro"
    try:
        rows = sqlite3.connect(uri, uri=True).execute(query).fetchall()
    except sqlite3.OperationalError:  # the file that readers share cannot be made: the disk is full from the beginning
        rows = sqlite3.connect(f"{uri}&immutable=1", uri=True).execute(query).fetchall()
    return [(key, number) for key, number in rows]


def damage(project: Project, acks: Acks) -> None:
    """A bit of the current `left` changes."""
    with sqlite3.connect(f"file:{project.settings.catalog_path}?mode=ro", uri=True) as catalog:
        row = catalog.execute(
            "SELECT v.location FROM version v JOIN asset a USING (asset_id) WHERE a.key = 'left' AND v.number = 2"
        ).fetchone()
    path = project.settings.storage_path / row[0] / "data.parquet"
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    path.chmod(0o444)


def repair(project: Project, acks: Acks) -> None:
    """Look at all that is stored, and put what is damaged aside."""
    project.mend(project.doctor(deep=True), grace_s=0)


def lose_catalog(project: Project, acks: Acks) -> None:
    """The catalog is gone."""
    for path in project.settings.state_path.glob("catalog.db*"):
        path.unlink()


def rebuild(project: Project, acks: Acks) -> None:
    """Make the catalog again from the journal or the files."""
    from assetflow.care.restoring import restore

    restore(project.settings)


def rebuild_and_materialize(project: Project, acks: Acks) -> None:
    """What the message about a lost catalog says to do, and then the usual."""
    rebuild(project, acks)
    materialize(project, acks)


JOB = Job("nightly", "0 6 * * *")
SEEN, DUE = 1_772_323_200, 1_772_604_000
"""When the job is first seen, 1 March 2026 at midnight, and the fourth time that it is due after that, 06:00."""


def with_a_job(project: Project, acks: Acks) -> None:
    """One version of all, a source that has changed since, and a job that was seen days ago."""
    stale(project, acks)
    see(scheduled(project), SEEN)


def tick(project: Project, acks: Acks) -> None:
    """Take up what is due: three ticks are missed, the fourth is run."""
    settings = scheduled(project)

    def carry_out(one: Tick) -> Tick:
        acks.materialized(project, result := project.materialize(executor="inline", tick=one))
        return replace(one, state="done", run_id=result.run_id)

    if take_up(settings, JOB, DUE, carry_out, lambda: DUE) is None:
        raise RuntimeError("the job is held by a process that died")


def tick_and_materialize(project: Project, acks: Acks) -> None:
    """The next round; then each tick must have its run or its miss, whoever died when."""
    tick(project, acks)
    with closing(Catalog(project.settings.catalog_path)) as catalog:
        missed_and_last = [(one.state, one.count, one.run_id) for one in reversed(Ticks(catalog).of(JOB.name))]
        runs = [run.run_id for run in catalog.runs(100) if run.trigger == f"schedule {JOB.name}"]
    [missed, (state, count, run_id)] = missed_and_last
    if missed != ("missed", 3, None) or state not in ("done", "failed") or count != 1 or runs != [run_id][: len(runs)]:
        raise RuntimeError(f"P11: the ticks are {missed_and_last}, the runs {runs}")
    materialize(project, acks)


def scheduled(project: Project) -> Settings:
    """The settings with the job in them."""
    return replace(project.settings, jobs={JOB.name: {"cron": JOB.cron}})


OLD_CATALOG = Path(__file__).parents[1] / "unit" / "catalog" / "catalog_v1.sql"


def old_catalog(project: Project, acks: Acks) -> None:
    """A catalog of format 1, as the first release wrote it."""
    path = project.settings.catalog_path
    path.unlink(missing_ok=True)
    shutil.rmtree(path.parent / "journal", ignore_errors=True)
    catalog = sqlite3.connect(path)
    catalog.executescript(OLD_CATALOG.read_text())
    catalog.execute("PRAGMA user_version = 1")
    catalog.commit()
    catalog.close()


def skipped(project: type[Project] = Project) -> dict[str, str]:
    """The scenarios that cannot run with this version, and why."""
    return {
        name: f"Project has no `{scenario.needs}`"
        for name, scenario in SCENARIOS.items()
        if not hasattr(project, scenario.needs)
    }


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("first", nothing, materialize),
        Scenario("changed", stale, materialize),
        Scenario("no-op", two_generations, materialize),
        Scenario("forced", two_generations, force),
        Scenario("threads", stale, threaded),
        Scenario("large", stale, as_if_large),
        Scenario("together", stale, together),
        Scenario("migration", old_catalog, materialize),
        Scenario("rollback", two_generations, rollback, needs="rollback", ends_newest=False),
        Scenario("pin", two_generations, pin_and_unpin, needs="pin", recover=unpin_and_materialize),
        Scenario("tick", with_a_job, tick, recover=tick_and_materialize),
        Scenario("gc", many_generations, collect, needs="gc"),
        Scenario("gc-rolled-back", rolled_back, collect, needs="gc", ends_newest=False),
        Scenario("doctor-fix", two_generations, repair, needs="mend", harm=damage, damaged=("left@2",)),
        Scenario(
            "rebuild-catalog",
            two_generations,
            rebuild,
            needs="mend",
            harm=lose_catalog,
            recover=rebuild_and_materialize,
            is_whole_before_recovery=False,
        ),
        Scenario("native", stale, materialize, native=True),
    )
}
