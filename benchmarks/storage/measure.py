"""What the storage costs on top of plain pyarrow: time, processor time and peak memory, side by side in one run.

    python benchmarks/storage/measure.py                 # 5 million rows
    python benchmarks/storage/measure.py --stream 8      # 8 GB through a RecordBatchReader, in and out

The floor is `pyarrow.parquet.write_table` and `read_table` with the settings of the storage and checked page checksums.
Both sides take turns, so that other load on the machine meets both alike; the figures are medians.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2]))

from assetflow.io.base import Want
from assetflow.io.chunks import writer_options
from assetflow.io.hashing import BLOCK_ROWS
from assetflow.io.storage import Staged, Storage
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version


def frame(rows: int) -> pd.DataFrame:
    """Two whole numbers, two floats, a text and a timestamp, in a fixed order that is hard to compress."""
    random = np.random.default_rng(7)
    names = np.array([f"customer {number:05d}" for number in range(20_000)], dtype=object)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "quantity": random.integers(0, 1_000_000, rows),
            "price": random.random(rows) * 100,
            "weight": random.normal(size=rows),
            "customer": pd.Series(names[random.integers(0, len(names), rows)], dtype="str"),
            "at": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(random.integers(0, 10**9, rows)), unit="ms"),
        }
    )


class Bench:
    """One folder with a store and a plain file; every side is a method without arguments."""

    def __init__(self, folder: Path, hash: str) -> None:
        self.plain = folder / "plain.parquet"
        self.storage = Storage(folder / "store", warehouse=folder / "warehouse.duckdb", hash=hash)
        self.version: Version | None = None

    def write_plain(self, table: pa.Table) -> None:
        """The floor of writing."""
        self.plain.unlink(missing_ok=True)
        pq.write_table(table, self.plain, row_group_size=BLOCK_ROWS, **writer_options(table.schema))

    def write(self, value: object) -> None:
        """Stage and publish one version, and forget the one before."""
        staged: Staged = self.storage.write(
            value, key=AssetKey("big"), partition="", io="parquet", io_is_explicit=True, declared=None, run_id=1
        )
        new = self.storage.publish(staged)
        if self.version is not None:
            self.storage.delete(self.version)
        self.version = Version(
            version_id=1, asset=AssetKey("big"), partition="", number=1, data_hash=new.data_hash, io=new.io,
            location=new.location, rows=new.rows, size_bytes=new.size_bytes, schema=new.schema, columns=new.columns,
            details=new.details, created_at=0.0,
        )  # fmt: skip

    def read_plain(self, columns: list[str] | None = None) -> pa.Table:
        """The floor of reading."""
        return pq.read_table(self.plain, columns=columns, page_checksum_verification=True)

    def read(self, form: str, columns: tuple[str, ...] | None = None) -> Any:
        """The published version."""
        assert self.version is not None
        return self.storage.read(self.version, Want(form, columns))

    def query_plain(self) -> None:
        """A query by DuckDB over the plain file, which it does not check."""
        import duckdb

        duckdb.connect().read_parquet(str(self.plain)).aggregate("sum(price), max(quantity), min(customer)").fetchall()

    def query(self) -> None:
        """The same query through the storage."""
        self.read("duckdb").aggregate("sum(price), max(quantity), min(customer)").fetchall()


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock and of the processors."""
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - processor


def compare(name: str, limit: float, rounds: int, floor: Callable[[], object], ours: Callable[[], object]) -> None:
    """Let both sides take turns, and print one line."""
    timed(floor), timed(ours)
    found = [(timed(floor), timed(ours)) for _ in range(rounds)]
    walls = [median(pair[side][0] for pair in found) for side in (0, 1)]
    works = [median(pair[side][1] for pair in found) for side in (0, 1)]
    ratio, work = walls[1] / walls[0], works[1] / works[0]
    paired = median(pair[1][0] / pair[0][0] for pair in found)
    say(
        f"{name:28} {walls[0] * 1e3:6.0f} ms {walls[1] * 1e3:6.0f} ms   x{ratio:.2f} (pairs x{paired:.2f}, processor "
        f"x{work:.2f})   limit x{limit:.2f} {'' if min(ratio, paired) <= limit else 'OVER'}"
    )


def peak_memory() -> int:
    """The high-water mark of this process in MB. `ru_maxrss` would begin with that of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def _forget_peak() -> None:
    """Begin the high-water mark anew, so that making the values does not count."""
    Path("/proc/self/clear_refs").write_text("5")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()


def times(folder: Path, rows: int, rounds: int, hash: str) -> None:
    """Compare the times."""
    values, bench = frame(rows), Bench(folder, hash)
    table = pa.Table.from_pandas(values)
    say(f"{'':28} {'plain':>9} {'assetflow':>9}")
    compare("write an Arrow table", 1.15, rounds, lambda: bench.write_plain(table), lambda: bench.write(table))
    compare(
        "write a frame",
        1.15,
        rounds,
        lambda: bench.write_plain(pa.Table.from_pandas(values)),
        lambda: bench.write(values),
    )
    compare("frame, floor: write_table", 1.15, rounds, lambda: bench.write_plain(table), lambda: bench.write(values))
    compare("read as Arrow", 1.1, 2 * rounds, bench.read_plain, lambda: bench.read("arrow"))
    compare("read as pandas", 1.1, 2 * rounds, lambda: bench.read_plain().to_pandas(), lambda: bench.read("pandas"))
    compare(
        "read one column as Arrow", 1.1, 2 * rounds,
        lambda: bench.read_plain(["price"]), lambda: bench.read("arrow", ("price",)),
    )  # fmt: skip
    compare("query as a relation", 1.1, 2 * rounds, bench.query_plain, bench.query)


SIDES = ("write_plain", "write", "write_frame_plain", "write_frame", "arrow_plain", "arrow", "pandas_plain", "pandas")


def memory(folder: Path, rows: int, rounds: int, hash: str) -> None:
    """Compare the peaks of processes that do one thing each."""
    bench = Bench(folder, hash)
    table = pa.Table.from_pandas(frame(rows))
    bench.write_plain(table)
    del table
    peaks = {
        side: median(
            int(_child("--side", side, "--rows", str(rows), "--folder", str(folder), "--hash", hash))
            for _ in range(rounds)
        )
        for side in SIDES
    }
    for floor, ours in zip(SIDES[::2], SIDES[1::2], strict=True):
        ratio = peaks[ours] / peaks[floor]
        say(
            f"peak memory: {ours:15} {peaks[floor]:6.0f} MB {peaks[ours]:6.0f} MB   x{ratio:.2f}   limit x1.25 "
            f"{'' if ratio <= 1.25 else 'OVER'}"
        )


def side(name: str, folder: Path, rows: int, hash: str) -> None:
    """Do one thing and print the peak of this process in MB. What is read was written by a process of its own."""
    bench = Bench(folder, hash)
    if name.startswith("write"):
        values: Any = frame(rows)
        if "frame" not in name:
            values = pa.Table.from_pandas(values)
        _forget_peak()
        if name.endswith("plain"):
            bench.write_plain(values if isinstance(values, pa.Table) else pa.Table.from_pandas(values))
        else:
            bench.write(values)
    elif name.endswith("plain"):
        found = bench.read_plain()
        _ = found.to_pandas() if name.startswith("pandas") else found
    else:
        bench.version = _stored(folder, rows, hash)
        _ = bench.read(name)
    say(str(peak_memory()))


def _stored(folder: Path, rows: int, hash: str) -> Version:
    """The version of the frame, written by another process, so that writing does not count for reading."""
    import pickle

    note = folder / f"version-{hash}"
    if not note.exists():
        _child("--prepare", "--rows", str(rows), "--folder", str(folder), "--hash", hash)
    return pickle.loads(note.read_bytes())  # noqa: S301 - our own file


def prepare(folder: Path, rows: int, hash: str) -> None:
    """Write the frame and leave its version for others."""
    import pickle

    bench = Bench(folder, hash)
    bench.write(frame(rows))
    (folder / f"version-{hash}").write_bytes(pickle.dumps(bench.version))


def batches(gigabytes: float) -> Iterator[pa.RecordBatch]:
    """Batches of 100,000 rows with 48 bytes each and more, until they hold this much."""
    random, left, start = np.random.default_rng(7), gigabytes * 1e9, 0
    while left > 0:
        count = 100_000
        batch = pa.RecordBatch.from_pydict(
            {
                "id": np.arange(start, start + count),
                "quantity": random.integers(0, 1000, count),
                "price": random.integers(0, 10_000, count) / 100,
                "weight": np.round(random.normal(size=count), 2),
                "customer": pa.array(random.integers(0, 20_000, count)).cast(pa.string()),
                "at": pa.array(np.arange(start, start + count) * 1_000_000, pa.timestamp("us")),
            }
        )
        yield batch
        left, start = left - batch.nbytes, start + count


def stream(folder: Path, gigabytes: float, hash: str) -> None:
    """Send a long table in and out, and print the peaks of this process."""
    bench, source = Bench(folder, hash), batches(gigabytes)
    first = next(source)
    before = peak_memory()

    def all_batches() -> Iterator[pa.RecordBatch]:
        yield first
        yield from source

    started = time.perf_counter()
    bench.write(pa.RecordBatchReader.from_batches(first.schema, all_batches()))
    assert bench.version is not None
    written, peak = time.perf_counter() - started, peak_memory()
    say(
        f"in:  {bench.version.rows:,} rows, {(bench.version.size_bytes or 0) / 1e9:.2f} GB stored, {written:.0f} s; "
        f"peak {peak} MB ({before} MB before)"
    )
    started, rows, size = time.perf_counter(), 0, 0
    for batch in bench.read("reader"):
        rows += batch.num_rows
        size += batch.nbytes
    peak = peak_memory()
    assert rows == bench.version.rows
    say(f"out: {rows:,} rows, {size / 1e9:.2f} GB logical, {time.perf_counter() - started:.0f} s; peak {peak} MB")


def _child(*arguments: str) -> str:
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def main() -> None:
    """Measure what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--hash", default="xxh3", choices=("xxh3", "sha256"))
    parser.add_argument("--stream", type=float, metavar="GB", help="stream this much instead, in constant memory")
    parser.add_argument("--only", choices=("times", "memory"))
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        return side(given.side, given.folder, given.rows, given.hash)
    if given.prepare:
        return prepare(given.folder, given.rows, given.hash)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.stream:
            return stream(folder, given.stream, given.hash)
        if given.only != "memory":
            times(folder, given.rows, given.rounds, given.hash)
        if given.only != "times":
            memory(folder, given.rows, 3, given.hash)
    return None


if __name__ == "__main__":
    main()
