# ruff: noqa: S608 - tables and columns are numbered: no name and no value of a user is part of SQL
"""The rows of two tables compared in DuckDB, in bounded memory: by key, or as a multiset.

Columns are numbered there (`c0`, `c1`), so that no name of a user is ever part of SQL, and hold exact forms (see
`diff_forms`), so that equal means equal. What does not fit into memory goes to a temporary folder.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, Self, cast

from msgspec import Struct

from assetflow.errors import StorageFailed
from assetflow.io.diff_forms import NotComparable, from_exact, is_float, nan_bits, to_exact

MEMORY = "1GB"
"""What DuckDB may hold in memory; beyond that it uses the disk."""

BATCH_ROWS = 65_536


class Pair(Struct, frozen=True):
    """A column of both tables; `kind` is the plain Arrow type that holds the values of both.

    `must_cast`: it is not the type of both already. `is_soft`: numbers within the tolerance count as equal.
    """

    old: str
    new: str
    kind: Any
    must_cast: bool
    is_same_content: bool
    is_soft: bool = False


class Counts(Struct, frozen=True):
    """How many rows were changed, added and removed, and in how many of the changed rows each column differs."""

    changed: int
    added: int
    removed: int
    columns: tuple[int, ...] = ()


class Comparison:
    """Two tables in a database of their own, which lives as long as the `with` around it.

    `pairs` are the columns that are loaded, by their numbers. `is_filtered`: not all rows of a version are.
    """

    def __init__(self, pairs: Sequence[Pair], tolerance: float | None = None, *, is_filtered: bool = False) -> None:
        self.pairs = tuple(pairs)
        self._tolerance, self._is_filtered = tolerance, is_filtered
        self._database = database()
        self._connection: Any = None

    def __enter__(self) -> Self:
        self._connection = self._database.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._database.__exit__(None, None, None)

    def load(self, side: str, batches: Iterable[Any]) -> None:
        """Take the rows of one side, `old` or `new`, in: batches that have the columns by the names of that side.

        Raises:
            NotComparable: a value does not fit into the common type of its pair, whose new name the error holds.
        """
        import pyarrow as pa

        failed: list[BaseException] = []

        def numbered() -> Generator[Any]:
            try:
                yield from self._numbered(side, batches)
            except BaseException as error:
                failed.append(error)
                raise

        rows = numbered()
        first = next(rows, None)
        if first is None:
            raise failed[0] if failed else AssertionError("a stream has at least one batch")
        stream: Any = pa.RecordBatchReader.from_batches(first.schema, _again(first, rows))
        try:
            with guarded():
                self._connection.register("arriving", stream)
                self._connection.execute(f"CREATE OR REPLACE TABLE {side} AS SELECT * FROM arriving")
        except StorageFailed:
            if failed:  # DuckDB knows only the text of what the stream raised
                raise failed[0] from None
            raise
        finally:
            with guarded():
                self._connection.unregister("arriving")
            rows.close()

    def _numbered(self, side: str, batches: Iterable[Any]) -> Generator[Any]:
        import numpy as np
        import pyarrow as pa

        start = 0
        names = [f"c{number}" for number in range(len(self.pairs))]
        for batch in batches:
            columns = [
                self._form(batch.column(pair.old if side == "old" else pair.new), number)
                for number, pair in enumerate(self.pairs)
            ]
            place: Any = pa.array(np.arange(start, start + batch.num_rows, dtype="i8"))
            start += batch.num_rows
            yield pa.RecordBatch.from_arrays([place, *columns], names=["r", *names])

    def _form(self, array: Any, number: int) -> Any:
        import pyarrow as pa

        pair = self.pairs[number]
        if pair.is_soft:
            array = array.cast(pair.kind)
            return array.cast(pa.float64()) if is_float(pair.kind) else array
        try:
            return to_exact(array, pair.kind if pair.must_cast else None)
        except NotComparable as error:
            raise NotComparable(pair.new) from error

    # -- keys

    def key_problem(self, key: Sequence[int]) -> str | None:
        """Why the columns do not tell the rows of both sides apart, as words; None when they do."""
        is_same = not self._is_filtered and all(self.pairs[number].is_same_content for number in key)
        for side in ("new",) if is_same else ("old", "new"):
            missing = " OR ".join(self._is_missing(number) for number in key)
            nulls = self._one(f"SELECT count(*) FROM {side} WHERE {missing}")
            if nulls:
                return f"is null in {nulls:,} {'row' if nulls == 1 else 'rows'} of the {side} version"
            columns = ", ".join(f"c{number}" for number in key)
            twice = self._one(f"SELECT count(*) FROM (SELECT 1 FROM {side} GROUP BY {columns} HAVING count(*) > 1)")
            if twice:
                values = "value is" if twice == 1 else "values are"
                return f"is not unique: {twice:,} {values} there more than once in the {side} version"
        return None

    def has_overlap(self, key: Sequence[int]) -> bool:
        """Whether any row of one side has a partner on the other, or one side is empty."""
        on = " AND ".join(f"o.c{number} = n.c{number}" for number in key)
        if not self._one("SELECT (SELECT count(*) FROM old) * (SELECT count(*) FROM new)"):
            return True
        return bool(self._one(f"SELECT count(*) FROM old o WHERE EXISTS (FROM new n WHERE {on})"))

    def _is_missing(self, number: int) -> str:
        kind = self.pairs[number].kind
        if not is_float(kind):
            return f"c{number} IS NULL"
        return f"c{number} IS NULL OR c{number} = {nan_bits(kind)}"  # NaN is no key: checks count it as null, too

    # -- by key

    def by_key(self, key: Sequence[int]) -> Counts:
        """Match rows by the key and note those that differ, for `sample` and `export`."""
        others = [number for number in range(len(self.pairs)) if number not in key]
        on = " AND ".join(f"o.c{number} = n.c{number}" for number in key)
        flags = {number: self._differs(number) for number in others}
        marks = "".join(f", {text} AS d{number}" for number, text in flags.items())
        tests = "".join(f" OR {text}" for text in flags.values())
        self._run(
            f"CREATE OR REPLACE TABLE changes AS SELECT o.r AS ro, n.r AS rn{marks} "
            f"FROM old o FULL JOIN new n ON {on} WHERE o.r IS NULL OR n.r IS NULL{tests}"
        )
        both = "ro IS NOT NULL AND rn IS NOT NULL"
        sums = "".join(f", count(*) FILTER (WHERE d{number} AND {both})" for number in others)
        row = self._row(
            f"SELECT count(*) FILTER (WHERE {both}), count(*) FILTER (WHERE ro IS NULL), "
            f"count(*) FILTER (WHERE rn IS NULL){sums} FROM changes"
        )
        by_number = dict(zip(others, row[3:], strict=True))
        return Counts(row[0], row[1], row[2], tuple(by_number.get(number, 0) for number in range(len(self.pairs))))

    def moved_by_key(self, key: Sequence[int]) -> bool:
        """Whether matched rows stand in another order."""
        on = " AND ".join(f"o.c{number} = n.c{number}" for number in key)
        return bool(self._one(f"SELECT count(*) FROM old o JOIN new n ON {on} WHERE o.r <> n.r"))

    def _differs(self, number: int) -> str:
        exact = f"o.c{number} IS DISTINCT FROM n.c{number}"
        if not self.pairs[number].is_soft:
            return f"({exact})"
        # As doubles: the difference of two wide decimals may not fit into their type.
        near = f"abs(o.c{number}::DOUBLE - n.c{number}::DOUBLE) <= {self._tolerance!r}::DOUBLE"
        return f"({exact} AND NOT coalesce({near}, false))"

    def sample_by_key(
        self, change: str, limit: int
    ) -> tuple[list[dict[int, Any]], list[dict[int, Any]], list[set[int]]]:
        """The first rows of one change, as the values of old and new rows by column number, and which ones differ."""
        both = "ro IS NOT NULL AND rn IS NOT NULL"
        where = {"changed": both, "added": "ro IS NULL", "removed": "rn IS NULL"}[change]
        order = "ro" if change == "removed" else "rn"
        self._run(
            f"CREATE OR REPLACE TABLE picked AS SELECT *, row_number() OVER (ORDER BY {order}) AS p FROM changes "
            f"WHERE {where} ORDER BY {order} LIMIT {int(limit)}"
        )
        old = self._values("SELECT t.* EXCLUDE (r) FROM picked JOIN old t ON t.r = ro ORDER BY p", "old")
        new = self._values("SELECT t.* EXCLUDE (r) FROM picked JOIN new t ON t.r = rn ORDER BY p", "new")
        with guarded():
            flags: Any = self._connection.sql("SELECT * EXCLUDE (ro, rn, p) FROM picked ORDER BY p").to_arrow_table() \
                if len(self._names("picked")) > 3 else None  # fmt: skip
        rows = [] if flags is None else flags.to_pylist()
        differs = [{int(name[1:]) for name, is_different in row.items() if is_different} for row in rows]
        return old, new, differs or [set() for _ in (old or new)]

    def export_by_key(self) -> Iterator[Any]:
        """Every row that differs, as batches of the column `change` and all others; old rows before new ones."""
        parts = (("before", "old", "ro", "rn IS NOT NULL", 0), ("after", "new", "rn", "ro IS NOT NULL", 0),
                 ("added", "new", "rn", "ro IS NULL", 1), ("removed", "old", "ro", "rn IS NULL", 2))  # fmt: skip
        text = " UNION ALL ".join(
            f"SELECT {rank} AS k, coalesce(rn, ro) AS p, '{word}' AS change, t.* EXCLUDE (r) "
            f"FROM changes JOIN {side} t ON t.r = {place} WHERE {where}"
            for word, side, place, where, rank in parts
        )
        return self._export(f"SELECT * EXCLUDE (k, p) FROM ({text}) ORDER BY k, p, change DESC")

    # -- as a multiset

    def as_multiset(self) -> Counts:
        """Count equal rows on both sides and note those that are there more often on one, for `sample` and `export`."""
        columns = ", ".join(f"c{number}" for number in range(len(self.pairs)))
        self._run(
            f"CREATE OR REPLACE TABLE changes AS SELECT {columns}, sum(one)::BIGINT AS many, min(r) AS p FROM "
            f"(SELECT *, 1 AS one FROM new UNION ALL SELECT *, -1 AS one FROM old) "
            f"GROUP BY {columns} HAVING sum(one) <> 0"
        )
        row = self._row(
            "SELECT coalesce(sum(many) FILTER (WHERE many > 0), 0)::BIGINT, "
            "coalesce(-sum(many) FILTER (WHERE many < 0), 0)::BIGINT FROM changes"
        )
        return Counts(0, row[0], row[1])

    def moved(self) -> bool:
        """Whether rows at the same place differ."""
        tests = " OR ".join(self._differs(number) for number in range(len(self.pairs)))
        return bool(self._one(f"SELECT count(*) FROM old o FULL JOIN new n ON o.r = n.r WHERE {tests or 'false'}"))

    def sample_multiset(self, change: str, limit: int) -> list[tuple[dict[int, Any], int]]:
        """The first rows that were added or removed, and how many equal ones."""
        sign = ">" if change == "added" else "<"
        text = f"FROM changes WHERE many {sign} 0 ORDER BY p, abs(many) LIMIT {int(limit)}"
        with guarded():
            self._connection.execute(f"CREATE OR REPLACE TABLE picked AS SELECT *, row_number() OVER () AS q {text}")
        values = self._values("SELECT * EXCLUDE (many, p, q) FROM picked ORDER BY q", change)
        with guarded():
            many = self._connection.execute("SELECT abs(many) FROM picked ORDER BY q").fetchall()
        return [(row, int(count[0])) for row, count in zip(values, many, strict=True)]

    def export_multiset(self) -> Iterator[Any]:
        """Every row that differs, as often as it was added or removed, as batches of `change` and all columns."""
        return self._export(
            "SELECT CASE WHEN many > 0 THEN 'added' ELSE 'removed' END AS change, * EXCLUDE (many, p, i) FROM "
            "(SELECT *, unnest(range(abs(many))) AS i FROM changes) ORDER BY many < 0, p"
        )

    # -- SQL

    def _export(self, text: str) -> Iterator[Any]:
        import pyarrow as pa

        names = export_names([pair.new for pair in self.pairs])
        with guarded():
            reader: Any = self._connection.sql(text).to_arrow_reader(BATCH_ROWS)
            yield pa.RecordBatch.from_arrays(
                [pa.array([], pa.string()), *(pa.array([], pair.kind) for pair in self.pairs)], names=names
            )
            for batch in reader:
                columns = [self._back(column, pair) for column, pair in zip(batch.columns[1:], self.pairs, strict=True)]
                yield pa.RecordBatch.from_arrays([batch.column(0).cast(pa.string()), *columns], names=names)

    def _values(self, text: str, side: str) -> list[dict[int, Any]]:
        import pyarrow as pa

        with guarded():
            table: Any = self._connection.sql(text).to_arrow_table()
        found: list[list[Any]] = []
        for column, pair in zip(table.columns, self.pairs, strict=True):
            chunks = [self._back(chunk, pair) for chunk in column.chunks]
            found.append(cast("Any", pa).chunked_array(chunks, pair.kind).to_pylist())
        return [dict(enumerate(row)) for row in zip(*found, strict=True)]

    def _back(self, array: Any, pair: Pair) -> Any:
        return array.cast(pair.kind) if pair.is_soft else from_exact(array, pair.kind)

    def _names(self, table: str) -> list[str]:
        with guarded():
            return [row[0] for row in self._connection.execute(f"DESCRIBE {table}").fetchall()]

    def _run(self, text: str) -> None:
        with guarded():
            self._connection.execute(text)

    def _row(self, text: str) -> Any:
        with guarded():
            return self._connection.execute(text).fetchall()[0]

    def _one(self, text: str) -> int:
        return int(self._row(text)[0])


@contextmanager
def database() -> Generator[Any]:
    """An empty DuckDB in memory that goes to a temporary folder, which is removed at the end, when it needs more."""
    import duckdb

    with TemporaryDirectory(prefix="assetflow-diff-") as folder:
        config: dict[str, Any] = {
            "autoinstall_known_extensions": "false", "autoload_known_extensions": "false",
            "python_enable_replacements": "false", "memory_limit": MEMORY, "temp_directory": folder,
        }  # fmt: skip
        connection: Any = duckdb.connect(":memory:", config=config)
        try:
            yield connection
        finally:
            connection.close()


def export_names(names: Sequence[str]) -> list[str]:
    """The columns of an export: `change`, with underscores until no other has that name, and the columns themselves."""
    first = "change"
    while first in names:
        first = f"_{first}"
    return [first, *names]


@contextmanager
def guarded() -> Generator[None]:
    """Map what DuckDB raises while it works on tables of our own making: it ran out of room."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise StorageFailed(
            "the comparison could not be finished",
            facts=(f"DuckDB:   {str(error).splitlines()[0]}",),
            fix="compare fewer columns (--columns id,amount), or make room in the temporary folder (TMPDIR)",
        ) from error


def _again(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
