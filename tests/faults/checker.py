"""Says which promises a store breaks, by SQLite, hashes and Parquet alone; no code is shared with assetflow."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

SALTS = {"plain": 1, "arrows": 2, "left": 3, "right": 4, "ducks": 5}
_SLOT = ("env_id", "asset_id", "part_id")
_KEYS = {name: (f"{name}_id",) for name in ("asset", "part", "env", "fp", "version", "trace", "shape")} | {
    "trace_in": ("trace_id", "parameter", "up_asset_id", "lo"), "head": _SLOT, "head_log": (*_SLOT, "seq"),
    "pin": _SLOT, "counter": ("name",), "node": ("digest",), "invalidation": _SLOT, "revoked": ("trace_id",),
    "unsteady": (*_SLOT[1:], "input_key"), "schedule": ("job",), "tick": ("job", "scheduled"), "sensor": ("name",),
    "request": ("request_id",), "dynamic_key": ("name", "ord"),
}  # fmt: skip
_ADDED = {"fp": dict.fromkeys(("packages", "files", "env"), "{}") | {"notes": "[]", "scheme": "", "declared": None},
          "version": {"shape_id": None}}  # fmt: skip
_HEADS = """SELECT e.name, a.key, v.number, h.seq, v.location FROM head h JOIN env e USING (env_id) JOIN asset a
ON a.asset_id = h.asset_id JOIN trace t ON t.trace_id = h.trace_id JOIN version v USING (version_id)"""
_VERSIONS = """SELECT v.*, a.key, a.key || '@' || v.number AS name FROM version v JOIN asset a USING (asset_id)
ORDER BY a.key, v.part_id, v.number"""
_READ = """SELECT a.key, v.number, u.key, i.number FROM trace_in i JOIN trace t USING (trace_id) JOIN version v
USING (version_id) JOIN asset a ON a.asset_id = t.asset_id JOIN asset u ON u.asset_id = i.up_asset_id"""
Ack = Mapping[str, Any]
"""What a driver wrote after a verb returned: verb, env, versions {asset: number}, collected [[asset, number]]."""
Snapshot = dict[str, Any]


def snapshot(store: Path) -> Snapshot:
    """What is committed now: the heads of every environment and the bytes of every live version."""
    found: Snapshot = {"heads": {}, "versions": {}}
    if (catalog := _open(store)) is not None:
        found["heads"] = {f"{env}/{asset}": (number, seq) for env, asset, number, seq, _ in catalog.execute(_HEADS)}
        for row in _live(catalog.execute(_VERSIONS)):
            found["versions"][row["name"]] = _files(store / "data" / row["location"])
        catalog.close()
    return found


def check(
    store: Path, acknowledged: Iterable[Ack] = (), *, before: Snapshot | None = None, damaged: Collection[str] = (),
    is_clean: bool = False, generation: int | None = None,
) -> list[str]:  # fmt: skip
    """The broken promises, as sentences that begin with the promise; none for a sound store.

    `acknowledged`: what drivers were told. `before`: what was there before a command was killed. `damaged`: versions as
    `left@2` that were spoiled. `is_clean`: no dead may have left anything. `generation`: what heads must hold."""
    acks, was = list(acknowledged), before or {"heads": {}, "versions": {}}
    try:
        if (catalog := _open(store)) is None:
            was_there = was["heads"] or any(ack.get("versions") for ack in acks)
            return ["P1: there is no catalog, and something had been committed"] if was_there else []
        rows = catalog.execute(_VERSIONS).fetchall()
        problems = [f"P2: integrity: {row[0]}" for row in catalog.execute("PRAGMA integrity_check") if row[0] != "ok"]
        problems += [f"P2: foreign key: {tuple(row)}" for row in catalog.execute("PRAGMA foreign_key_check")]
        problems += _check_versions(rows, store, damaged) + _check_unnamed(rows, store) + _check_lines(catalog)
        problems += _check_traces(catalog, rows, store) + _check_acknowledged(rows, acks, damaged)
        problems += _check_before(catalog, rows, store, was, damaged) + _check_journal(catalog, store)
        problems += _check_clean(catalog, store) if is_clean else []
        problems += _guarded("P3", lambda: _check_generation(catalog, store, generation))
        return problems
    except sqlite3.DatabaseError as error:
        return [f"P2: the catalog cannot be read: {error}"]


def _open(store: Path) -> sqlite3.Connection | None:
    """The catalog for reading; None where it was never begun (a store that was killed while it was made is legal)."""
    if not (path := store / "catalog.db").exists():
        return None
    catalog = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
    catalog.row_factory = sqlite3.Row
    return catalog if catalog.execute("SELECT 1 FROM sqlite_master WHERE name = 'head_log'").fetchone() else None


def _live(rows: Iterable[sqlite3.Row]) -> list[sqlite3.Row]:
    return [row for row in rows if row["state"] == "live" and row["location"]]


def _files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _guarded(promise: str, look: Callable[[], list[str]]) -> list[str]:
    try:
        return [f"{promise}: {problem}" for problem in look()]
    except Exception as error:  # noqa: BLE001 - whatever a broken file raises is the finding
        return [f"{promise}: {error!r}"]


def _check_versions(rows: Iterable[sqlite3.Row], store: Path, damaged: Collection[str]) -> list[str]:
    problems, last = list[str](), dict[tuple[str, int], int]()
    for row in rows:
        if row["number"] != last.get(slot := (row["key"], row["part_id"]), 0) + 1:
            problems.append(f"P4: {row['name']} comes after version {last.get(slot, 0)}")
        last[slot] = row["number"]
    return problems + [one for r in _live(rows) if r["name"] not in damaged
                       for one in _guarded(f"P2: {r['name']}", lambda r=r: _version_problems(r, store))]  # fmt: skip


def _check_unnamed(rows: Iterable[sqlite3.Row], store: Path) -> list[str]:
    """What was published and not recorded must be whole too: a catalog that is made again takes it in."""
    named = {row["location"] for row in rows}
    folders = {p.relative_to(store / "data").as_posix(): p for p in (store / "data").glob("*/_/*") if p.is_dir()}
    return [problem for name in sorted(folders.keys() - named)
            for problem in _guarded(f"P13: {name}", lambda n=name: _folder_problems(folders[n])[1])]  # fmt: skip


def _version_problems(row: sqlite3.Row, store: Path) -> list[str]:
    said, problems = _folder_problems(folder := store / "data" / row["location"])
    problems += [f"_version.json says {name} {said.get(name)}, the catalog {row[column]}"
                 for name, column in (("data_hash", "data_hash"), ("io", "io"), ("asset", "key"))
                 if said.get(name) != row[column]]  # fmt: skip
    return problems or content_problems(row["key"], folder, row["row_count"])


def _folder_problems(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What the sidecar of a folder says, and what is not as it says."""
    parts = (folder / "_version.json").read_bytes().split(b"\n")
    if len(parts) != 3 or parts[2] or parts[1] != b"xxh3:" + xxhash.xxh3_128(parts[0]).hexdigest().encode():
        return {}, ["the hash of _version.json does not fit"]
    said = json.loads(parts[0])
    found = {name: {"size": len(data), "hash": f"bytes-xxh3:{xxhash.xxh3_128(data).hexdigest()}"}
             for name, data in _files(folder).items() if name != "_version.json"}  # fmt: skip
    return said, [] if found == said["files"] else [f"its files are {found}, recorded {said['files']}"]


def content_problems(asset: str, folder: Path, row_count: int | None = None) -> list[str]:
    """What is wrong with the value of a version of the workload."""
    if (generation := generation_in(asset, folder)) is None:
        return []
    if asset in SALTS:
        expected: object = expected_rows(asset, generation)
        found = _rows((folder / "data.parquet").read_bytes())
        if row_count not in (None, len(found)):
            return [f"{len(found)} rows, recorded {row_count}"]
    elif asset == "facts":
        values = [row["value"] for row in expected_rows("arrows", generation)]
        expected = {"generation": generation, "rows": len(values), "total": sum(values)}
        found = json.loads((folder / "value.json").read_bytes())
    else:
        expected, found = f"generation {generation}\n".encode() * 400, (folder / "value.bin").read_bytes()
    return [] if found == expected else [f"it is not the value of generation {generation}"]


@lru_cache(4096)
def _rows(data: bytes) -> list[dict[str, Any]]:
    """The rows of a Parquet file; the same bytes are decoded once, as most files are the same after each fault."""
    return pq.read_table(pa.BufferReader(data), page_checksum_verification=True, use_threads=False).to_pylist()


def generation_in(asset: str, folder: Path) -> int | None:
    """The generation that a version holds; None for assets that do not say (parity) or are not files here."""
    if asset in SALTS and (folder / "data.parquet").exists():
        return _rows((folder / "data.parquet").read_bytes())[0]["generation"]
    if asset == "facts":
        return json.loads((folder / "value.json").read_bytes())["generation"]
    return int((folder / "value.bin").read_bytes().split(b"\n")[0].split()[1]) if asset == "blob" else None


def expected_rows(asset: str, generation: int) -> list[dict[str, Any]]:
    """The workload's formula, written again."""
    salt, count = SALTS[asset], 20 + generation % 7
    values = [(generation * 7919 + row * 104729 + salt) % 1000003 for row in range(count)]
    return [{"generation": generation, "row": row, "value": value, "word": f"{generation}/{row}/{salt}"}
            for row, value in enumerate(values)]  # fmt: skip


_RULES = {
    "P4: run {} moved a head twice": "SELECT run_id FROM head_log WHERE run_id IS NOT NULL AND cause = '' "
    "GROUP BY env_id, asset_id, part_id, run_id HAVING count(*) > 1",
    "P4: run {} moved a head that had been moved after the run began": "SELECT l.run_id FROM head_log l "
    "JOIN run r USING (run_id) JOIN head_log b ON b.env_id = l.env_id AND b.asset_id = l.asset_id "
    "AND b.part_id = l.part_id AND b.seq < l.seq AND b.moved_at > r.started_at WHERE l.cause = ''",
    "P5: run {} had ended and made a trace": "SELECT run_id FROM trace JOIN run r USING (run_id) "
    "WHERE trace.kind <> 'link' AND trace.finished_at > r.finished_at + 0.001",
    "P4: move {} leads to another asset": "SELECT seq FROM head_log l JOIN trace t USING (trace_id) "
    "JOIN version v USING (version_id) WHERE t.asset_id <> l.asset_id OR v.asset_id <> l.asset_id",
    "P4: two moves of heads have the number {}": "SELECT seq FROM head_log GROUP BY seq HAVING count(*) > 1",
    "P4: move {} is beyond the counter": "SELECT seq FROM head_log "
    "WHERE seq > (SELECT value FROM counter WHERE name = 'seq')",
    "P4: head {} was collected": "SELECT h.seq FROM head h JOIN trace USING (trace_id) JOIN version v USING "
    "(version_id) WHERE v.state IN ('condemned', 'evicted')",
}


def _check_lines(catalog: sqlite3.Connection) -> list[str]:
    is_new = catalog.execute("PRAGMA user_version").fetchone()[0] > 1  # a catalog may not be migrated yet
    rules = {rule: query for rule, query in _RULES.items() if is_new or "cause" not in query}
    problems = [rule.format(row[0]) for rule, query in rules.items() for row in catalog.execute(query)]
    newest = {tuple(row[name] for name in _SLOT): (row["seq"], row["trace_id"])
              for row in catalog.execute("SELECT * FROM head_log ORDER BY seq")}  # fmt: skip
    heads = {tuple(row[name] for name in _SLOT): (row["seq"], row["trace_id"])
             for row in catalog.execute("SELECT * FROM head")}  # fmt: skip
    return problems + ([] if heads == newest else [f"P4: the heads {heads} are not the newest moves {newest}"])


def _check_traces(catalog: sqlite3.Connection, rows: Iterable[sqlite3.Row], store: Path) -> list[str]:
    """Every version must hold the generation of what its trace says was read."""
    held: dict[tuple[str, int], int | None] = {}
    for row in _live(rows):
        with suppress(Exception):  # said by _check_versions
            held[row["key"], row["number"]] = generation_in(row["key"], store / "data" / row["location"])
    read = [(asset, n, held.get((asset, n)), held.get((up, m))) for asset, n, up, m in catalog.execute(_READ)]
    return [f"P2: {a}@{n} is not of what it says it read" for a, n, x, y in read if None not in (x, y) and x != y]


def _check_acknowledged(rows: Iterable[sqlite3.Row], acks: list[Ack], damaged: Collection[str]) -> list[str]:
    states = {(row["key"], row["number"]): row["state"] for row in rows}
    states |= {tuple(one): "live" for ack in acks for one in ack.get("collected", ())}
    states |= {(asset, int(number)): "live" for asset, _, number in (name.partition("@") for name in damaged)}
    said = {one: ack.get("verb") for ack in acks for one in (ack.get("versions") or {}).items()}
    return [f"P1: {asset}@{number} was acknowledged ({verb}) and is {states.get((asset, number), 'not there')}"
            for (asset, number), verb in said.items() if states.get((asset, number)) != "live"]  # fmt: skip


def _check_before(
    catalog: sqlite3.Connection, rows: Iterable[sqlite3.Row], store: Path, before: Snapshot, damaged: Collection[str]
) -> list[str]:
    problems, known = list[str](), {row["name"]: row for row in rows}
    for name, files in before["versions"].items():
        if name not in known:
            problems.append(f"P3: {name} was committed and is not in the catalog")
        elif known[name]["state"] == "live" and _files(store / "data" / known[name]["location"]) != files:
            problems += [f"P3: the bytes of {name} have changed"] if name not in damaged else []
    heads = {f"{env}/{asset}": (number, seq) for env, asset, number, seq, _ in catalog.execute(_HEADS)}
    return problems + [f"P3: the head {name} was {was} (version, move) and is {heads.get(name)}"
                       for name, was in before["heads"].items()
                       if heads.get(name) != was and heads.get(name, (0, 0))[1] <= was[1]]  # fmt: skip


def _check_generation(catalog: sqlite3.Connection, store: Path, generation: int | None) -> list[str]:
    heads = [(row["key"], store / "data" / row["location"]) for row in catalog.execute(_HEADS) if row["location"]]
    return [f"the head of {asset} is not of generation {generation}" for asset, folder in heads
            if generation is not None and generation_in(asset, folder) not in (None, generation)]  # fmt: skip


def _check_clean(catalog: sqlite3.Connection, store: Path) -> list[str]:
    left = [*(store / "data" / "tmp").glob("*"), *(p for p in store.rglob("*.new") if "quarantine" not in p.parts)]
    running = catalog.execute("SELECT run_id FROM run WHERE state = 'running'")
    return [*(f"P7: {path.relative_to(store)} was left behind" for path in left),
            *(f"P7: run {row[0]} is dead and still said to be running" for row in running)]  # fmt: skip


def _check_journal(catalog: sqlite3.Connection, store: Path) -> list[str]:
    """Whether replaying the journal gives the tables of the catalog; one line more, of a dead writer, is legal."""
    if catalog.execute("PRAGMA user_version").fetchone()[0] < 2:  # no journal before it is migrated
        return []
    last = catalog.execute("SELECT value FROM counter WHERE name = 'journal'").fetchone()[0]
    records, done = _journal_records(store)
    start = max((one["n"] for one in records if "part" in one), default=0)
    numbers = [one["n"] for one in records if "part" not in one]
    if numbers not in (list(range(start + 1, last + 1)), list(range(start + 1, last + 2))):
        return [f"P13: the journal has the records {numbers[:3]}..{numbers[-3:]}, not {start + 1}..{last}"]
    if done > last:
        return [f"P1: the journal says that record {done} was committed, the catalog ends with {last}"]
    tables = {name: dict[tuple, dict]() for name in _KEYS}
    for table, action, row in (change for one in records if one["n"] <= last for change in one["changes"]):
        key = tuple(row[column] for column in _KEYS[table])
        code = {"source": b64decode(row["source"])} if "source" in row else {}
        tables[table][key] = _ADDED.get(table, {}) | row | code if action == "put" else {}
    return [problem for name in _KEYS for problem in _differences(catalog, name, tables[name])]


def _journal_records(store: Path) -> tuple[list[dict[str, Any]], int]:
    """Whole lines but those that a later one of the same or a smaller number cancels; the last mark of a commit."""
    kept, done = list[dict[str, Any]](), 0
    for path in sorted((store / "journal").glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            checksum, _, data = line.partition(b" ")
            if hashlib.blake2b(data, digest_size=8).hexdigest().encode() != checksum:
                continue
            record = json.loads(data)
            if "done" in record and (done := record["n"]):
                continue
            kept = [] if record.get("part") == 0 else kept
            while "part" not in record and kept and kept[-1]["n"] >= record["n"] and "part" not in kept[-1]:
                kept.pop()
            kept += [record] if "changes" in record else []  # else it only cancels what did not commit
    return kept, done


def _differences(catalog: sqlite3.Connection, table: str, replayed: dict[tuple, dict]) -> list[str]:
    """Rows that differ, but for when a head was last looked at, and what every new catalog begins with."""
    found = {tuple(row[c] for c in _KEYS[table]): dict(row) for row in catalog.execute(f"SELECT * FROM {table}")}
    given = {"counter": [("journal",), ("seq",)], "part": [(0,)]}.get(table, [])
    wrong = [key for key in found.keys() | replayed.keys()
             if not (key in given and (key not in replayed or key == ("journal",)))
             and {**found.get(key, {}), "verified_at": 0} != {**replayed.get(key, {}), "verified_at": 0}]  # fmt: skip
    return [f"P13: the journal gives another {table} {key}: {replayed.get(key)}, not {found.get(key)}" for key in wrong]
