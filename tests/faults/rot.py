"""Bit rot: files of the store are changed behind assetflow's back, and everything that reads them is watched.

Whatever is asked then must be answered rightly or refused with an error of ours: never with other rows, never with a
traceback, never by the death of the process. And the next commands must make the project right again.

    python -m tests.faults.rot --points 300 --seed 7 [--kind catalog.db] [--json]
    python -m tests.faults.rot --damage flip:data/small@1/data.parquet:17
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assetflow import Project
from assetflow.errors import AssetflowError, NoSuchVersion
from tests.faults import rot_project
from tests.faults.driver import Ended, forked, warm_up
from tests.faults.report import Budget, Report
from tests.faults.sabotage import apply

SETTINGS = 'name = "rot"\nmodules = ["assets"]\nallow_pickle = true\n'
BLOCK = 4096
MEND_EACH = 10
EVERYTHING_EACH = 50
GENERATIONS = 2
HOW = ("flip", "flip", "flip", "zero", "truncate", "extend", "delete", "swap", "older")
CATALOG = ("catalog.db", "catalog.db-wal", "journal")
UNREAD = (".lock", ".log", "-shm")


@dataclass(frozen=True, slots=True)
class Damage:
    """What is done to a file: `at` is a bit, a block, a length or the number of the other file, as `how` needs it."""

    how: str
    path: str
    at: int = 0

    def __str__(self) -> str:
        return f"{self.how}:{self.path}:{self.at}"

    @classmethod
    def parse(cls, text: str) -> Damage:
        """The damage of a name that `str` gave."""
        how, path, at = text.split(":")
        return cls(how, path, int(at))


class Store:
    """A project with two versions of everything, a copy of it to damage, and what every version must hold."""

    def __init__(self, folder: Path) -> None:
        self.root, self.template = folder / "work", folder / "template"
        self.store = self.root / ".assetflow"
        self.root.mkdir()
        (self.root / "assetflow.toml").write_text(SETTINGS)
        shutil.copy(str(rot_project.__file__), self.root / "assets.py")
        self._source(1)
        warm_up()
        self.project = Project.load(self.root)
        self.project._load()
        self._build()
        self._owners = self._find_owners()
        found = [path for path in self.template.rglob("*") if path.is_file() and path.stat().st_size]
        self._paths = {self._named(path): path for path in found if not path.name.endswith(UNREAD)}
        self._folded = folder / "catalog.db"
        shutil.copy(self.template / "catalog.db", self._folded)
        shutil.copy(self.template / "catalog.db-wal", folder / "catalog.db-wal")
        with closing(sqlite3.connect(self._folded)) as catalog:
            catalog.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._paths["catalog.db"] = self._folded
        self.files = sorted(self._paths)
        self.kinds: dict[str, list[str]] = {}
        for name in self.files:
            self.kinds.setdefault(kind_of(name, self.size(name)), []).append(name)

    def _source(self, generation: int) -> None:
        (self.root / "numbers.json").write_text(json.dumps([{"generation": generation}]))

    def _build(self) -> None:
        """The versions; a reader that stays makes SQLite leave its log beside the catalog, as a death does."""
        for generation in range(1, GENERATIONS + 1):
            self._source(generation)
            with closing(sqlite3.connect(self.store / "catalog.db")) as reader:
                if generation > 1:
                    reader.execute("SELECT count(*) FROM head").fetchone()
                ended = forked(lambda: {"ok": self.project.materialize(executor="inline").ok}, timeout_s=120)
                if not ended.facts.get("ok"):
                    raise RuntimeError(f"the project of the bit rot harness cannot be built: {ended}")
                shutil.rmtree(self.template, ignore_errors=True)
                shutil.copytree(self.store, self.template, ignore=shutil.ignore_patterns("*-shm"))
        self.renew()

    def _find_owners(self) -> dict[str, tuple[str, int]]:
        """Whose version lies in which folder."""
        with closing(sqlite3.connect(self.store / "catalog.db")) as catalog:
            rows = catalog.execute(
                "SELECT v.location, a.key, v.number FROM version v JOIN asset a USING (asset_id) WHERE v.location <> ''"
            ).fetchall()
        self.renew()
        return {location: (key, number) for location, key, number in rows}

    def _named(self, path: Path) -> str:
        """The path below the store, with the version in place of its folder, which has another name each time."""
        name = path.relative_to(self.template).as_posix()
        for location, (key, number) in self._owners.items():
            if name.startswith(f"data/{location}/"):
                return f"data/{key}@{number}{name.removeprefix(f'data/{location}')}"
        return name

    def size(self, name: str) -> int:
        """How long the file of this name is when nothing was done to it."""
        return self._paths[name].stat().st_size

    def _place(self, name: str) -> Path:
        path = self._paths[name]
        return self.store / (path.name if path == self._folded else path.relative_to(self.template))

    def renew(self) -> None:
        """Make the store what it was."""
        shutil.rmtree(self.store, ignore_errors=True)
        shutil.copytree(self.template, self.store)

    def repair(self, names: Sequence[str]) -> None:
        """Make these files, and the catalog with all that SQLite keeps beside it, what they were."""
        for name in {*names, *(name for name in self.files if "/" not in name)}:
            target = self._place(name)
            target.unlink(missing_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.template / name if "/" not in name else self._paths[name], target)
        for path in self.store.glob("catalog.db-shm"):
            path.unlink()

    def harm(self, damage: Damage) -> list[str]:
        """Do it; which files are others now."""
        path = self._place(damage.path)
        if path.name == "catalog.db":  # all of it in the file, as after the end of a run: else the log has every page
            shutil.copy2(self._folded, path)
            path.with_name("catalog.db-wal").unlink()
        data = bytearray(path.read_bytes())
        changed = [damage.path]
        match damage.how:
            case "flip":
                data[damage.at // 8] ^= 1 << damage.at % 8
            case "zero":
                start = damage.at * BLOCK
                data[start : start + BLOCK] = bytes(len(data[start : start + BLOCK]))
            case "truncate":
                del data[damage.at :]
            case "extend":
                data += bytes(damage.at % 251 for _ in range(damage.at % 5000 + 1))
            case "delete":
                path.unlink()
                return changed
            case "swap" | "older":
                other = self._place(self.files[damage.at])
                data, mine = bytearray(other.read_bytes()), bytes(data)
                if damage.how == "swap":
                    _replace(other, mine)
                    changed.append(self.files[damage.at])
            case how:
                raise ValueError(f"there is no damage {how}")
        _replace(path, bytes(data))
        return changed

    def is_one_behind(self) -> bool:
        """Whether the catalog lacks the journal's last record alone, as when a process died just before its commit.

        The two cannot be told apart; whatever lacks more is known to be damaged.
        """
        last = max((self.store / "journal").glob("*.jsonl")).read_bytes().splitlines()[-1]
        with closing(sqlite3.connect(f"file:{self.store}/catalog.db?mode=ro", uri=True)) as catalog:
            known = catalog.execute("SELECT value FROM counter WHERE name = 'journal'").fetchone()[0]
        return json.loads(last.partition(b" ")[2])["n"] == known + 1

    def concerns(self, changed: Sequence[str]) -> list[tuple[str, int]]:
        """The versions whose reading may be influenced by these files."""
        found: set[tuple[str, int]] = set()
        everything = [(key, n) for key in rot_project.ASSETS for n in range(1, GENERATIONS + 1)]
        for path in changed:
            if path.startswith("data/"):
                key, _, number = path.split("/")[1].partition("@")
                found.add((key, int(number)))
            elif "duckdb" in path:
                found |= {one for one in everything if one[0] == "ducks"}
            else:
                found |= {one for one in everything if one[0] != "large"}
        return sorted(found)


def _replace(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def kind_of(path: str, size: int) -> str:
    """The class of a file, by which damage is spread and counted."""
    name = path.rpartition("/")[2]
    if name == "data.parquet":
        return "data.parquet, large" if size > 4 << 20 else "data.parquet"
    if path.startswith("journal/"):
        return "journal"
    if path.startswith("data/"):
        return "file" if name.startswith(("note", "part-")) else name
    return path.partition("/")[0] if "/" in path else name


def damages(store: Store, seed: int, kinds: Sequence[str] | None) -> Iterator[Damage]:
    """Damage without end: every class of files as often as any other."""
    dice = random.Random(seed)
    names = [kind for kind in store.kinds if not kinds or kind in kinds]
    while True:
        dice.shuffle(names)
        for kind in names:
            path, how = dice.choice(store.kinds[kind]), dice.choice(HOW)
            size = store.size(path)
            others = [other for other in store.kinds[kind] if other != path]
            if how in ("swap", "older") and others:
                yield Damage(how, path, store.files.index(dice.choice(others)))
            elif how == "zero" and size:
                yield Damage(how, path, dice.randrange((size + BLOCK - 1) // BLOCK))
            elif how in ("truncate", "extend"):
                yield Damage(how, path, dice.randrange(size))
            elif how == "delete":
                yield Damage(how, path)
            else:
                yield Damage("flip", path, dice.randrange(size * 8))


# ------------------------------------------------------------------------------------------------------------ looking


@dataclass(frozen=True, slots=True)
class Look:
    """What to look at: versions, in every form or in one that `pick` chooses, and what is current."""

    versions: Sequence[tuple[str, int]]
    pick: int | None
    with_heads: bool


def look(project: Any, task: Look) -> dict[str, Any]:
    """What came of looking: how many answers were right, errors of ours, and what is wrong."""
    found: dict[str, Any] = {"right": 0, "errors": [], "problems": []}
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
    expected = _arrow(rot_project.table(name, generation))
    if form == "columns":
        expected = expected.select(["key"])
    found = _arrow(value)
    if form in ("sql", "duckdb"):
        found, expected = found.sort_by("key"), expected.sort_by("key")
    return found.equals(expected)


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
        if not damage.path.startswith("data/") and name != "large":  # versions and pointers are all back
            _ask(found, f"{name}@1", lambda n=name: project.read(f"{n}@1"), lambda v, n=name: _is_first(v, n))
    problems = [f"after mending: {one}" for one in found["problems"]]
    return {"problems": problems + [f"P13: after mending, reading says {one}" for one in found["errors"]]}


# ---------------------------------------------------------------------------------------------------------- the harness


@contextmanager
def a_store() -> Iterator[Store]:
    """A store in memory where the system has that."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="assetflow-rot-", dir=place) as folder:
        yield Store(Path(folder))


def attempt(
    store: Store, damage: Damage, *, number: int = EVERYTHING_EACH, mend: bool = True, sabotage: str | None = None
) -> tuple[str, list[str]]:
    """How the damage was answered (right, refused, died), and the promises that were broken. `number`: of the point."""
    changed, whole = store.harm(damage), number % EVERYTHING_EACH == 0
    is_catalog = damage.path.startswith(CATALOG)
    versions = store.concerns([*changed, *(["catalog.db"] if whole else [])])
    task = Look(versions, None if whole else number, with_heads=is_catalog or whole)

    def work() -> dict[str, Any]:
        if sabotage == "unchecked_reads":
            _unchecked_reads()
        elif sabotage:
            apply(sabotage)
        return look(Project.load(store.root), task)

    answer, problems = _answer(forked(work))
    if answer == "wrong" and damage.path == "catalog.db-wal" and store.is_one_behind():
        answer, problems = "one behind", []
    if mend and not problems:
        again = forked(lambda: mended(Project.load(store.root), damage))
        problems += again.facts["problems"] if "problems" in again.facts else _answer(again)[1]
        store.renew()
    else:
        store.repair(changed)
    return answer, problems


def _unchecked_reads() -> None:
    """Take out the checks of bytes that are read: what is left finds only what cannot be decoded."""
    import importlib

    def unchecked(path: Path, recorded: object) -> bytes:
        return path.read_bytes()

    for name in ("parquet", "verified"):
        module: Any = importlib.import_module(f"assetflow.io.{name}")
        module.checked_bytes = unchecked
        module.check_file = lambda *_: None


def _answer(ended: Ended) -> tuple[str, list[str]]:
    if ended.signal or ended.code:
        why = f"signal {ended.signal}, code {ended.code}: {ended.facts.get('error')}"
        return "died", [f"P12: the process died of {why}"]
    if ended.facts["problems"]:
        return "wrong", ended.facts["problems"]
    return "refused" if ended.facts["errors"] else "right", []


def run(budget: Budget, seed: int = 0, sabotage: str | None = None, kinds: Sequence[str] | None = None) -> Report:
    """Damage every class of files in turn; with a sabotage, stop at the first damage that breaks a promise."""
    report, began = Report("rot", seed), time.monotonic()
    deadline = budget.deadline()
    with a_store() as store:
        kind_by_path = {path: kind for kind, paths in store.kinds.items() for path in paths}
        for damage in damages(store, seed, kinds):
            if report.points >= budget.points or time.monotonic() > deadline or (sabotage and report.violations):
                break
            report.points += 1
            mend = report.points % MEND_EACH == 0 and not sabotage
            answer, problems = attempt(store, damage, number=report.points, mend=mend, sabotage=sabotage)
            report.counts[f"{kind_by_path[damage.path]}: {answer}"] += 1
            report.counts["mended"] += mend
            again = f"python -m tests.faults.rot --damage '{damage}'" + (f" --sabotage {sabotage}" if sabotage else "")
            for problem in problems[:3]:
                report.violation(f"{' '.join(problem.split())} [{damage}]", again)
    report.seconds = time.monotonic() - began
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the harness from the command line; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.rot")
    parser.add_argument("--points", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", help="only files of this class, such as catalog.db or data.parquet")
    parser.add_argument("--damage", help="only this one, such as flip:data/small@1/data.parquet:17")
    parser.add_argument("--sabotage")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if given.damage:
        with a_store() as store:
            damage = Damage.parse(given.damage)
            answer, problems = attempt(store, damage, sabotage=given.sabotage)
        sys.stdout.write("\n".join([answer, *problems]) + "\n")
        return 1 if problems else 0
    report = run(Budget(given.points, given.seconds), given.seed, given.sabotage, given.kind)
    sys.stdout.write(json.dumps(report.to_json()) if given.json else report.summary() + "\n")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
