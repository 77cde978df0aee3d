"""Stored tables under every kind of damage: readers get exactly the rows that were written, or an error."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from msgspec.structs import replace

from assetflow.errors import DamagedVersion
from assetflow.files import BLOCK_BYTES
from assetflow.io.base import Want
from assetflow.io.hashing import BLOCK_ROWS, bytes_hash, table_hash
from assetflow.io.storage import Storage
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version

DATA, BLOCKS, CATEGORIES = "data.parquet", "data.blocks", "categories.arrow"
ROWS = 3 * BLOCK_ROWS + 1000
RANDOM = np.random.default_rng(3)
LARGE = pd.DataFrame(
    {
        "id": np.arange(ROWS),
        "price": RANDOM.random(ROWS),
        "weight": RANDOM.normal(size=ROWS),
        "kind": pd.Categorical(np.array(["b", "a", "c"])[np.arange(ROWS) % 3], ["c", "b", "a", "unused"]),
    }
)
SMALL = LARGE.head(50)


class Store:
    """A storage with one published version of a frame, and ways to read it and to spoil its files."""

    def __init__(self, folder: Path, frame: pd.DataFrame, hash: str = "xxh3") -> None:
        self.frame, self.root = frame, folder / "store"
        self.storage = Storage(self.root, warehouse=folder / "warehouse.duckdb", hash=hash)
        self.version = self.put(frame)

    def put(self, value: object) -> Version:
        staged = self.storage.write(
            value, key=AssetKey("orders"), partition="", io="parquet", io_is_explicit=True, declared=None, run_id=1
        )
        new = self.storage.publish(staged)
        return Version(
            version_id=1, asset=AssetKey("orders"), partition="", number=1, data_hash=new.data_hash, io=new.io,
            location=new.location, rows=new.rows, size_bytes=new.size_bytes, schema=new.schema, columns=new.columns,
            details=new.details, created_at=0.0,
        )  # fmt: skip

    def path(self, name: str = DATA) -> Path:
        return self.root / self.version.location / name

    def spoil(self, content: bytes, name: str = DATA) -> None:
        self.path(name).chmod(0o644)
        self.path(name).write_bytes(content)

    def read(self, form: str, columns: tuple[str, ...] | None = None) -> Any:
        return self.storage.read(self.version, Want(form, columns))


def by_relation(store: Store) -> Any:
    return store.read("duckdb").to_arrow_table()


def by_sql(store: Store) -> Any:
    (path,) = store.storage.parquet_files(store.version)
    return duckdb.connect().read_parquet(str(path)).to_arrow_table()


WHOLE: dict[str, Callable[[Store], Any]] = {
    "pandas": lambda store: store.read("pandas"),
    "arrow": lambda store: store.read("arrow").to_pandas(),
    "reader": lambda store: store.read("reader").read_all().to_pandas(),
    "polars": lambda store: store.read("polars").to_pandas(),
    "relation": lambda store: by_relation(store).to_pandas(),
    "sql": lambda store: by_sql(store).to_pandas(),
    "path": lambda store: pd.read_parquet(store.read("path")),
}
PART: dict[str, Callable[[Store], Any]] = {
    "one column": lambda store: store.read("pandas", ("price",)),
    "a column with categories": lambda store: store.read("arrow", ("kind", "id")).to_pandas(),
    "a stream of one column": lambda store: store.read("reader", ("weight",)).read_all().to_pandas(),
    "a relation of one column": lambda store: store.read("duckdb", ("id",)).to_df(),
}
READS = {**WHOLE, **PART}


def exactly(found: pd.DataFrame, frame: pd.DataFrame) -> bool:
    """Whether the values are those of the frame; the forms differ in how they write categories."""
    texts = {name: frame[name].astype("str") for name in frame.columns if name == "kind"}
    wanted = frame.assign(**texts)[list(found.columns)]
    if "kind" in found.columns:
        found = found.assign(kind=found["kind"].astype("str"))
    return bool(found.equals(wanted))


def outcome(store: Store, read: str) -> str:
    try:
        found = READS[read](store)
    except DamagedVersion:
        return "damaged"
    return "exact" if exactly(found, store.frame) else "wrong"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("large"), LARGE)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("small"), SMALL)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("size", ["small", "large"])
def test_every_way_to_read_gives_the_rows_that_were_written(request: Any, size: str, read: str) -> None:
    assert outcome(request.getfixturevalue(size), read) == "exact"


def test_only_files_that_are_not_small_have_blocks(small: Store, large: Store) -> None:
    assert not small.path(BLOCKS).exists()
    assert large.path().stat().st_size > 4 << 20
    assert large.path(BLOCKS).stat().st_size == 8 * -(-large.path().stat().st_size // BLOCK_BYTES)


def positions(content: bytes, count: int, seed: int) -> list[int]:
    """Bytes to flip: the first and the last ones, the footer, places where page headers stand, and any others."""
    dice = random.Random(seed)
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    fixed = [0, 3, 4, 5, footer - 1, footer, len(content) - 9, len(content) - 8, len(content) - 5, len(content) - 1]
    near = [dice.randrange(footer, len(content)) for _ in range(count // 4)]
    early = [dice.randrange(4, 64) for _ in range(count // 8)]  # the first page's header
    return [*fixed, *near, *early, *(dice.randrange(len(content)) for _ in range(count))]


@pytest.mark.fault
@pytest.mark.parametrize("size", ["small", "large"])
def test_a_flipped_bit_of_the_data_is_damage_to_every_read_of_the_whole(request: Any, size: str) -> None:
    store: Store = request.getfixturevalue(size)
    content, dice, found = store.path().read_bytes(), random.Random(5), list[tuple[str, int, int, str]]()
    for number, position in enumerate(positions(content, 60, 11)):
        bit = dice.randrange(8)
        store.spoil(content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :])
        read = list(WHOLE)[number % len(WHOLE)]
        found.append((read, position, bit, outcome(store, read)))
    store.spoil(content)

    assert [one for one in found if one[3] != "damaged"] == []


@pytest.mark.fault
@pytest.mark.parametrize("size", ["small", "large"])
def test_a_flipped_bit_of_the_data_never_gives_wrong_values_of_some_columns(request: Any, size: str) -> None:
    store: Store = request.getfixturevalue(size)
    content, dice, found = store.path().read_bytes(), random.Random(6), list[tuple[str, int, int, str]]()
    for number, position in enumerate(positions(content, 60, 12)):
        bit = dice.randrange(8)
        store.spoil(content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :])
        read = list(PART)[number % len(PART)]
        found.append((read, position, bit, outcome(store, read)))
    store.spoil(content)

    assert [one for one in found if one[3] == "wrong"] == []
    assert size == "small" or {one[3] for one in found} == {"damaged", "exact"}


@pytest.mark.fault
@pytest.mark.parametrize("name", [BLOCKS, CATEGORIES])
def test_a_flipped_bit_beside_the_data_never_gives_wrong_rows(large: Store, name: str) -> None:
    content, dice, found = large.path(name).read_bytes(), random.Random(7), list[str]()
    for number in range(40):
        position, bit = dice.randrange(len(content)), dice.randrange(8)
        large.spoil(content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :], name)
        found.append(outcome(large, list(READS)[number % len(READS)]))
    large.spoil(content, name)

    assert "wrong" not in found
    assert "damaged" in found


@pytest.mark.fault
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("size", ["small", "large"])
def test_a_file_of_another_length_or_of_another_version_is_damage(request: Any, size: str, read: str) -> None:
    store: Store = request.getfixturevalue(size)
    other = store.put(store.frame.assign(price=store.frame["price"] + 1))
    content = store.path().read_bytes()
    foreign = (store.root / other.location / DATA).read_bytes()
    spoilt = {
        "cut by a byte": content[:-1],
        "cut in half": content[: len(content) // 2],
        "empty": b"",
        "longer": content + b"\0",
        "twice": content + content,
        "another version": foreign,
        "zeros at the end": content[:-BLOCK_BYTES] + bytes(min(BLOCK_BYTES, len(content))),
        "zeros in a block": content[:40] + bytes(200) + content[240:],
    }
    found: dict[str, str] = {}
    for name, bad in spoilt.items():
        store.spoil(bad)
        found[name] = outcome(store, read)
    store.spoil(content)

    may_be_exact = {"zeros in a block"} if read in PART and size == "large" else set[str]()
    assert {name for name, result in found.items() if result != "damaged"} <= may_be_exact
    assert "wrong" not in found.values()


@pytest.mark.fault
@pytest.mark.parametrize("name", [DATA, BLOCKS, CATEGORIES])
def test_swapped_and_missing_files_are_damage(large: Store, name: str) -> None:
    other = Store(
        large.root.parent / f"other {name}", LARGE.assign(price=-LARGE["price"], kind=LARGE["kind"].iloc[::-1])
    )
    content, foreign = large.path(name).read_bytes(), other.path(name).read_bytes()
    large.spoil(foreign, name)
    swapped = {outcome(large, read) for read in READS}
    large.path(name).unlink()
    missing = {outcome(large, read) for read in READS}
    large.path(name).write_bytes(content)

    assert "wrong" not in swapped | missing
    assert "damaged" in missing
    assert name == CATEGORIES or "damaged" in swapped  # the categories of both are the same bytes


@pytest.mark.fault
def test_verifying_finds_what_readers_would_find(large: Store) -> None:
    content = large.path().read_bytes()
    assert large.storage.verify(large.version) == large.storage.verify(large.version, deep=True) == []

    for place in (len(content) // 3, len(content) - 20):
        large.spoil(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert len(large.storage.verify(large.version, deep=True)) == 1
    assert len(large.storage.verify(large.version)) == 1  # the last one was in the footer
    large.spoil(content)


@pytest.mark.parametrize("size", ["small", "large"])
def test_versions_from_before_there_were_blocks_are_read_and_checked(request: Any, size: str, tmp_path: Path) -> None:
    store = Store(tmp_path, LARGE if size == "large" else SMALL)
    details = {name: value for name, value in store.version.details.items() if name != "blocks"}
    store.version = replace(store.version, details=details)
    store.path(BLOCKS).unlink(missing_ok=True)
    assert {outcome(store, read) for read in READS} == {"exact"}

    content = store.path().read_bytes()
    store.spoil(content[:300] + bytes([content[300] ^ 1]) + content[301:])
    assert {outcome(store, read) for read in READS} == {"damaged"}


@pytest.mark.parametrize("frame", [SMALL, LARGE], ids=["small", "large"])
def test_a_store_may_change_its_hash_and_reads_both(tmp_path: Path, frame: pd.DataFrame) -> None:
    one, other = Store(tmp_path, frame), Store(tmp_path, frame, "sha256")
    old, new = one.version, other.version
    assert (old.data_hash[:10], new.data_hash[:12]) == ("adh1-xxh3:", "adh1-sha256:")
    assert new.data_hash == table_hash(pa.Table.from_pandas(frame), "sha256")[0]
    assert new.details["file"] == bytes_hash(other.path().read_bytes(), "sha256")
    for store, version in ((one, new), (other, old)):  # each reads what the other wrote
        store.version = version
        assert {outcome(store, read) for read in READS} == {"exact"}
        assert store.storage.verify(version, deep=True) == []
        content = store.path().read_bytes()
        store.spoil(content[:300] + bytes([content[300] ^ 1]) + content[301:])
        assert {outcome(store, read) for read in WHOLE} == {"damaged"}
        store.spoil(content)


def test_a_reader_that_stops_early_leaves_nothing_behind(large: Store) -> None:
    import threading

    reader = large.read("reader")
    assert reader.read_next_batch().num_rows == BLOCK_ROWS
    reader.close()
    del reader

    assert [one.name for one in threading.enumerate() if one.name.startswith("assetflow-read")] == []


def test_readers_in_many_threads_do_not_disturb_each_other(large: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    names = [*WHOLE, *PART, *WHOLE]
    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(names, pool.map(lambda read: outcome(large, read), names), strict=True))

    assert set(found.values()) == {"exact"}


@pytest.mark.slow
@pytest.mark.budget
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_a_stream_of_any_length_needs_the_same_memory() -> None:
    script = Path(__file__).parents[3] / "benchmarks" / "storage" / "measure.py"
    done = subprocess.run([sys.executable, script, "--stream", "0.6"], capture_output=True, text=True, check=True)

    (before,), peaks = re.findall(r"(\d+) MB before", done.stdout), re.findall(r"peak (\d+) MB", done.stdout)
    assert max(map(int, peaks)) - int(before) < 250, done.stdout
