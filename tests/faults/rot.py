"""Bit rot: files of the store are changed behind assetflow's back, and everything that reads them is watched.

Whatever is asked then must be answered rightly or refused with an error of ours: never with other rows, never with a
traceback, never by the death of the process. And the next commands must make the project right again.

    python -m tests.faults.rot --points 300 --seed 7 [--kind catalog.db] [--json]
    python -m tests.faults.rot --damage flip:data/small@1/data.parquet:17 [--native]

One process does many damages in turn: it spoils a file in place, reads what that file can influence, puts it right and
goes on. Should it die, that is a finding, and another goes on behind it. Now and then everything is looked at and
mended.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from assetflow import Project
from assetflow.errors import AssetflowError, NoSuchVersion
from tests.faults import rot_project
from tests.faults.driver import Ended, forked
from tests.faults.report import Budget, Pace, Report
from tests.faults.rot_store import GENERATIONS, NATIVE, Damage, Store, damages, kind_of
from tests.faults.sabotage import apply

FEW = 1000
MEND_EACH = {False: 25, True: 250}
"""After so many damages comes one after which everything is looked at and mended; more seldom when there are many."""


NATIVE_SHARE = 0.1


DOCTOR_ONLY = ("catalog.db", "catalog.db-wal")
"""SQLite has no checksums of pages: a changed bit there may give another answer, and then `doctor` must name it."""

SAMPLE = 3
TIMEOUT_S = 60


# ------------------------------------------------------------------------------------------------------------ looking


@dataclass(frozen=True, slots=True)
class Look:
    """What to look at: versions, in every form or in one that `pick` chooses, what is current, and the status."""

    versions: Sequence[tuple[str, int]]
    pick: int | None
    with_heads: bool
    with_status: bool = True


def look(project: Any, task: Look) -> dict[str, Any]:
    """What came of looking: how many answers were right, errors of ours, and what is wrong."""
    found: dict[str, Any] = {"right": 0, "errors": [], "problems": []}
    if task.with_status:
        _ask(found, "status", project.status)
    for name, number in task.versions:
        readings = list(_readings(project, name, f"{name}@{number}"))
        if task.pick is not None:
            readings = [readings[task.pick % len(readings)]]
        for form, read in readings:
            _ask(found, f"{name}@{number} as {form}", read, lambda v, n=name, g=number, f=form: _is_value(v, n, g, f))
        if task.with_heads and number == GENERATIONS:
            _ask(found, f"{name} now", lambda n=name: project.read(n), lambda v, n=name: _is_now(v, n))
    return found


def _ask(found: dict[str, Any], what: str, ask: Callable[[], Any], judge: Callable[[Any], bool] | None = None) -> None:
    try:
        value = ask()
        is_right = judge is None or judge(value)
    except NoSuchVersion as error:
        found["problems"].append(f"P13: {what}: the version is said not to exist: {error}")
    except AssetflowError as error:
        found["errors"].append(type(error).__name__)
    except BaseException:  # noqa: BLE001 - this is what we look for
        found["problems"].append(f"P12: {what}: {' | '.join(traceback.format_exc().strip().splitlines()[-5:])}")
    else:
        found["right"] += is_right
        if not is_right:
            found["problems"].append(f"P12: {what}: other rows than were written")


def _readings(project: Any, name: str, version: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    if name not in rot_project.TABLES:
        yield "python", lambda: project.read(version)
        return
    for form in ("pandas", "arrow", "polars", "records") if name != "large" else ("pandas", "arrow"):
        yield form, lambda form=form: project.read(version, as_=form)
    yield "reader", lambda: project.read(version, as_="reader").read_all()
    yield "columns", lambda: project.read(version, as_="arrow", columns=["key"])
    yield "sql", lambda: project.sql(f'SELECT * FROM "{version}"').table
    yield "duckdb", lambda: project.read(version, as_="duckdb").to_arrow_table()


def _is_now(value: Any, name: str) -> bool:
    return _is_value(value, name, GENERATIONS, "python")


def _is_first(value: Any, name: str) -> bool:
    return _is_value(value, name, 1, "python")


def _is_value(value: Any, name: str, generation: int, form: str) -> bool:
    if name not in rot_project.TABLES:
        expected = rot_project.plain(name, generation)
        if name == "note":
            return {value.name: value.read_bytes()} == expected
        return ({one.name: one.read_bytes() for one in value.iterdir()} if name == "folder" else value) == expected
    expected = _expected(name, generation)
    if form == "columns":
        expected = expected.select(["key"])
    found = _arrow(value)
    if form in ("sql", "duckdb"):
        found, expected = found.sort_by("key"), expected.sort_by("key")
    return found.equals(expected)


@cache
def _expected(name: str, generation: int) -> Any:
    return _arrow(rot_project.table(name, generation))


def _arrow(value: Any) -> Any:
    """The value as an Arrow table of plain columns, whatever it came as."""
    import pyarrow as pa

    if isinstance(value, list):
        value = pa.Table.from_pylist(value)
    elif hasattr(value, "to_arrow"):
        value = value.to_arrow()
    elif not isinstance(value, pa.Table):
        value = pa.Table.from_pandas(value, preserve_index=False)
    plain = {"key": pa.int64(), "noise": pa.int64(), "value": pa.float64(), "word": pa.string()}
    return pa.table({name: value[name].cast(plain[name]) for name in value.column_names})


def mended(project: Any, damage: Damage) -> dict[str, Any]:
    """What a user does about damage: what the messages say, then a run. `problems` is empty when all is right again."""
    problems: list[str] = []
    try:
        checkup = project.doctor(deep=True)
        if checkup.needs_rebuild:
            from assetflow.care.restoring import restore

            restore(project.settings)
            checkup = project.doctor(deep=True)
        if damage.path.startswith("data/") and checkup.is_healthy:
            problems.append("P12: doctor --deep finds nothing")
        project.mend(checkup)
        result = project.materialize(executor="inline")
        problems += [] if result.ok else [f"P1: the run after the damage failed: {dict(result.counts)}"]
    except AssetflowError as error:
        problems.append(f"P13: mending says {type(error).__name__}: {error}")
    except BaseException:  # noqa: BLE001 - this is what we look for
        problems.append(f"P12: mending: {' | '.join(traceback.format_exc().strip().splitlines()[-5:])}")
    if problems:
        return {"problems": problems}
    found: dict[str, Any] = {"right": 0, "errors": [], "problems": []}
    for name in rot_project.ASSETS:
        _ask(found, name, lambda n=name: project.read(n), lambda v, n=name: _is_now(v, n))
        is_lost = damage.path.startswith("data/") or (damage.path == "warehouse.duckdb" and name == "ducks")
        if not is_lost and name != "large":  # versions and pointers are all back
            _ask(found, f"{name}@1", lambda n=name: project.read(f"{n}@1"), lambda v, n=name: _is_first(v, n))
    problems = [f"after mending: {one}" for one in found["problems"]]
    return {"problems": problems + [f"P13: after mending, reading says {one}" for one in found["errors"]]}


# ---------------------------------------------------------------------------------------------------------- the harness


@contextmanager
def a_store(*, native: bool = False) -> Iterator[Store]:
    """A store in memory where the system has that."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="assetflow-rot-", dir=place) as folder:
        yield Store(Path(folder), native=native)


Answer = tuple[str, list[str]]
"""How a damage was answered (right, refused, found by doctor only, wrong, died), and the promises that were broken."""


def attempt(store: Store, damage: Damage, *, mend: bool = True, sabotage: str | None = None) -> Answer:
    """Do the damage, look at everything that there is, and mend it."""
    changed = store.harm(damage)
    task = Look(store.concerns([*changed, "catalog.db"]), None, with_heads=True)

    def work() -> dict[str, Any]:
        _spoil(sabotage)
        return _looked(Project.load(store.root), task, damage)

    answer, problems = _answer(forked(work))
    if mend and not problems:
        again = forked(lambda: mended(Project.load(store.root), damage))
        problems += again.facts["problems"] if "problems" in again.facts else _answer(again)[1]
    store.renew()
    return answer, problems


def answers(store: Store, damages: Sequence[Damage], sabotage: str | None = None) -> Iterator[Answer]:
    """What comes of each damage alone, in a process that does one after the other."""
    left = list(damages)
    while left:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _serve(store, left, writer, sabotage)
        os.close(writer)
        with os.fdopen(reader, "rb") as lines:
            for line in lines:
                left.pop(0)
                found = json.loads(line)
                yield found["answer"], found["problems"]
        _, status = os.waitpid(child, 0)
        if left:
            store.renew()
            left.pop(0)
            yield "died", [f"P12: the process died, with {os.waitstatus_to_exitcode(status)}"]


def _serve(store: Store, damages: Sequence[Damage], writer: int, sabotage: str | None) -> None:
    code = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a handler of Python's would wait for native code to return
        _spoil(sabotage)
        for number, damage in enumerate(damages):
            signal.alarm(TIMEOUT_S)
            os.write(writer, json.dumps(_in_place(store, damage, number)).encode() + b"\n")
        code = 0
    finally:
        os._exit(code)


def _in_place(store: Store, damage: Damage, number: int) -> dict[str, Any]:
    """Do one damage in this process, look at what it can influence, and put it right."""
    changed = store.harm(damage)
    try:
        versions, is_data = store.concerns(changed), damage.path.startswith("data/")
        pick = zlib.crc32(str(damage).encode())
        if not is_data:
            versions = sorted(random.Random(pick).sample(versions, min(SAMPLE, len(versions))))
        task = Look(versions, pick, with_heads=not is_data, with_status=not is_data or number % 20 == 0)
        is_cache = damage.path.startswith("cache/")
        project = Project.load(store.root) if is_cache else Project(store.project.settings, store.project.graph)
        answer, problems = _answer(Ended(0, 0, _looked(project, task, damage)))
    except BaseException:  # noqa: BLE001 - a project that cannot be loaded is a finding too
        answer, problems = "wrong", [f"P12: {' | '.join(traceback.format_exc().strip().splitlines()[-5:])}"]
    finally:
        store.repair(changed)
    return {"answer": answer, "problems": problems}


def _looked(project: Any, task: Look, damage: Damage) -> dict[str, Any]:
    """What came of looking; where SQLite cannot know that a page is another, whether doctor names the damage."""
    found = look(project, task)
    is_quiet = found["problems"] and all("other rows" in one or one.startswith("P13") for one in found["problems"])
    if is_quiet and damage.path in DOCTOR_ONLY:
        with suppress(AssetflowError):
            if project.doctor().is_healthy:
                return found
        return {**found, "problems": [], "doctor": True}
    return found


def _spoil(sabotage: str | None) -> None:
    if sabotage == "unchecked_reads":
        _unchecked_reads()
    elif sabotage:
        apply(sabotage)


def _unchecked_reads() -> None:
    """Take out the checks of bytes that are read: what is left finds only what cannot be decoded."""
    import importlib

    from pyarrow import parquet

    def unchecked(path: Path, recorded: object) -> bytes:
        return path.read_bytes()

    for name in ("parquet", "verified"):
        module: Any = importlib.import_module(f"assetflow.io.{name}")
        module.checked_bytes = unchecked
        module.check_file = lambda *_: None
    parquet_file = parquet.ParquetFile

    def unverified(*arguments: Any, **options: Any) -> Any:
        return parquet_file(*arguments, **{**options, "page_checksum_verification": False})

    parquet.ParquetFile = unverified


def _answer(ended: Ended) -> Answer:
    if ended.signal or ended.code:
        why = f"signal {ended.signal}, code {ended.code}: {ended.facts.get('error')}"
        return "died", [f"P12: the process died of {why}"]
    if ended.facts["problems"]:
        return "wrong", ended.facts["problems"]
    if ended.facts.get("doctor"):
        return "found by doctor only", []
    return "refused" if ended.facts["errors"] else "right", []


def run(
    budget: Budget,
    seed: int = 0,
    sabotage: str | None = None,
    kinds: Sequence[str] | None = None,
    *,
    progress: bool = False,
) -> Report:
    """Damage every class of files in turn; with a sabotage, stop at the first damage that breaks a promise."""
    report, began = Report("rot", seed), time.monotonic()
    deadline, pace = budget.deadline(), Pace()
    native = [kind for kind in kinds or NATIVE if kind in NATIVE]
    others = not kinds or len(native) < len(kinds)
    share = int(budget.points * (NATIVE_SHARE if others else 1)) if native and not sabotage else 0
    for is_native, points in ((False, budget.points - share), (True, share)):
        if not points:
            continue
        with a_store(native=is_native) as store:
            source, end = damages(store, seed, kinds), report.points + points
            while report.points < end and time.monotonic() < deadline and not (sabotage and report.violations):
                each = MEND_EACH[budget.points >= FEW]
                batch = [next(source) for _ in range(min(each, end - report.points))]
                for damage, (answer, problems) in zip(batch, answers(store, batch[:-1], sabotage), strict=False):
                    _note(store, report, damage, answer, problems, sabotage)
                    if progress:
                        pace.tell(report)
                answer, problems = attempt(store, batch[-1], mend=not sabotage, sabotage=sabotage)
                report.counts["mended"] += not sabotage
                _note(store, report, batch[-1], answer, problems, sabotage)
    report.seconds = time.monotonic() - began
    return report


def _note(
    store: Store, report: Report, damage: Damage, answer: str, problems: Sequence[str], sabotage: str | None
) -> None:
    report.points += 1
    report.counts[f"{kind_of(damage.path, store.size(damage.path))}: {answer}"] += 1
    again = f"python -m tests.faults.rot --damage '{damage}'" + (" --native" if store.native else "")
    again += f" --sabotage {sabotage}" if sabotage else ""
    for problem in problems[:3]:
        report.violation(f"{' '.join(problem.split())} [{damage}]", again)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the harness from the command line; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.rot")
    parser.add_argument("--points", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", help="only files of this class, such as catalog.db or data.parquet")
    parser.add_argument("--damage", help="only this one, such as flip:data/small@1/data.parquet:17")
    parser.add_argument("--native", action="store_true", help="of the store that keeps its tables in DuckDB")
    parser.add_argument("--sabotage")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if given.damage:
        with a_store(native=given.native) as store:
            damage = Damage.parse(given.damage)
            answer, problems = attempt(store, damage, sabotage=given.sabotage)
        sys.stdout.write("\n".join([answer, *problems]) + "\n")
        return 1 if problems else 0
    report = run(Budget(given.points, given.seconds), given.seed, given.sabotage, given.kind)
    sys.stdout.write(json.dumps(report.to_json()) if given.json else report.summary() + "\n")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
