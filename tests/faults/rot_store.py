"""The store of the bit rot harness: what lies in it, what each file is called and can influence, and damage to it."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from assetflow import Project
from tests.faults import rot_project
from tests.faults.driver import forked, warm_up

SETTINGS = 'name = "rot"\nmodules = ["assets"]\nallow_pickle = true\n'
BLOCK = 4096
RARELY = {"cache": 0.1, "views": 0.5}
"""Classes of files that are cheap to make again, and slow to look at."""
GENERATIONS = 2
HOW = ("flip", "flip", "flip", "zero", "truncate", "extend", "delete", "swap", "older")
CATALOG = ("catalog.db", "catalog.db-wal", "journal")
NATIVE = ("warehouse.duckdb", "table.txt")
UNREAD = (".lock", ".log", "-shm", ".gitignore")


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

    def __init__(self, folder: Path, *, native: bool = False) -> None:
        self.native = native
        self.root, self.template = folder / "work", folder / "template"
        self.store = self.root / ".assetflow"
        self.root.mkdir()
        (self.root / "assetflow.toml").write_text(SETTINGS + ('duckdb = "native"\n' if native else ""))
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
        """Make these files what they were, and the catalog with all that SQLite keeps beside it."""
        if all(name.startswith("data/") for name in names):
            self._put_back(names)
            return
        self._put_back({*names, *(name for name in self.files if "/" not in name)})
        for path in self.store.glob("catalog.db-shm"):
            path.unlink()

    def _put_back(self, names: Collection[str]) -> None:
        for name in names:
            target = self._place(name)
            target.unlink(missing_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.template / name if "/" not in name else self._paths[name], target)

    def harm(self, damage: Damage) -> list[str]:
        """Do it; which files are others now."""
        if damage.path.startswith(CATALOG):  # who read it last may have folded the log into it
            self.repair(["catalog.db"])
        path = self._place(damage.path)
        if path.name == "catalog.db":  # all of it in the file, as after the end of a run: else the log has every page
            shutil.copy2(self._folded, path)
            path.with_name("catalog.db-wal").unlink(missing_ok=True)
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
    chosen = kinds or (NATIVE if store.native else [kind for kind in store.kinds if kind not in NATIVE])
    names = [kind for kind in store.kinds if kind in chosen]
    while True:
        dice.shuffle(names)
        for kind in names:
            if len(names) > 1 and dice.random() > RARELY.get(kind, 1.0):
                continue
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
