"""How two versions of a table differ, found on the cheapest level that answers.

The levels: equal hashes; columns and their digests, which the catalog has; rows that were only appended, found by
reading the longer table alone; rows matched by a key; rows counted. Data is read through the storage, which checks it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, cast

from msgspec import Struct, field
from msgspec.structs import replace

from assetflow.errors import UsageError, near_names
from assetflow.io import arrow
from assetflow.io.base import Want
from assetflow.io.columns import name_list, require_columns
from assetflow.io.diff_export import write_rows
from assetflow.io.diff_filter import RowFilter
from assetflow.io.diff_forms import NotComparable, common_type, is_key_like, is_soft
from assetflow.io.diff_profile import profiles
from assetflow.io.diff_results import ColumnDiff, Retyped, RowDiff, SchemaDiff, TableDiff
from assetflow.io.diff_rows import Comparison, Counts, Pair, database
from assetflow.io.diff_stream import (
    cut,
    exported,
    first_rows,
    is_unique,
    name_of,
    one_sided,
    rehashed,
    selected,
    shares,
    sided,
    tail_after,
    types_of,
    unlikeliness,
)
from assetflow.io.diff_values import side_of
from assetflow.io.hashing import TableHasher, algorithm_of
from assetflow.io.storage import Storage
from assetflow.model.records import Version

_FIRST_LOOK_ROWS = 4096
_MOST_KEYS = 8

_REORDERED = "the same rows in another order"
_BESIDE = "the values are equal: what differs is kept beside them, such as categories or the index of pandas"
_NEAR = "nothing differs by more than the tolerance"
_NO_KEY = "no column tells the rows apart, so equal rows are counted; if one does, name it with --key"


class Ask(Struct, frozen=True):
    """What is asked of a comparison.

    `key` is what was asked for; `declared` are keys that the asset declares. `columns` and `where` restrict what is
    compared. With `tolerance`, numbers that are this close count as equal, in rows that are matched by a key.
    """

    key: tuple[str, ...] = ()
    declared: tuple[tuple[str, ...], ...] = ()
    columns: tuple[str, ...] | None = None
    where: str | None = None
    tolerance: float | None = None
    limit: int = 20
    schema_only: bool = False
    stats: bool = False
    export: Path | None = None


def diff_tables(storage: Storage, old: Version, new: Version, ask: Ask | None = None) -> TableDiff:
    """How the tables of two versions differ; the cause is left to who knows the traces.

    Raises:
        DamagedVersion: the stored bytes of one of them are not what was recorded.
        ContractBroken, UsageError: a column is named that is not there.
        QueryError: the condition is not an expression over the columns of a row.
        StorageFailed: the comparison ran out of memory and of room for temporary files.
        NotWritable: the export cannot be written.
    """
    found = _Ladder(storage, rehashed(storage, old, new), new, ask or Ask()).answer()
    return replace(found, old=side_of(old))


class _Rows(Struct):
    """What comparing rows found."""

    level: str
    counts: Counts
    key: tuple[str, ...] = ()
    key_from: str = ""
    sample: tuple[RowDiff, ...] = ()
    changed_columns: dict[str, int] | None = None
    exported: int | None = None


class _Ladder(Struct):
    """One comparison on its way down the levels."""

    storage: Storage
    old: Version
    new: Version
    ask: Ask
    notes: list[str] = field(default_factory=list[str])
    incomparable: set[str] = field(default_factory=set[str])
    filter: RowFilter | None = None

    def answer(self) -> TableDiff:
        """The difference, from the first level that has it."""
        if self.ask.where is not None:
            self.filter = RowFilter(self.ask.where)
        names = self._names()
        schema = self._schema(names)
        pairs = self._pairs(names)
        if self.ask.key:
            self._numbers(pairs, self.ask.key)  # a key that is not there is said at any level
        wanted = [pair for pair in pairs if self._is_wanted(pair)]
        if self.old.data_hash == self.new.data_hash:
            return self._finish("identical", schema, wanted, self._nothing(wanted))
        differing = [pair for pair in wanted if not pair.is_same_content]
        if self.ask.schema_only:
            return self._finish("schema", schema, wanted, None)
        if not differing and self.old.rows == self.new.rows and self.filter is None:
            if schema.is_empty and self.ask.columns is None:
                self.notes.append(_BESIDE)
            return self._finish("schema", schema, wanted, self._nothing(wanted))
        rows = self._appended(wanted) if wanted else None
        while rows is None and wanted:
            try:
                rows = self._compared(pairs)
            except NotComparable as error:  # found in the middle of the data: start again without that column
                self.incomparable.add(str(error))
                pairs = [pair for pair in pairs if pair.new != str(error)]
                wanted = [pair for pair in wanted if pair.new != str(error)]
        if rows is None:
            self.notes.append("no column can be compared, so rows were not")
            return self._finish("schema", schema, wanted, None)
        return self._finish(rows.level, schema, wanted, rows)

    def _is_wanted(self, pair: Pair) -> bool:
        return self.ask.columns is None or not {pair.old, pair.new}.isdisjoint(self.ask.columns)

    # -- columns

    def _names(self) -> list[tuple[str, str]]:
        """The old and the new name of every column that both have, in the order of the new version."""
        old, new = self.old, self.new
        common = [(name, name) for name in new.schema if name in old.schema]
        gone = {name: digest for name, digest in old.columns.items() if name not in new.schema}
        come = {name: digest for name, digest in new.columns.items() if name not in old.schema}
        if old.rows and new.rows:  # of empty tables every column of a type has the same digest
            for name, digest in come.items():
                same = [was for was, other in gone.items() if other == digest]
                if len(same) == 1 and list(come.values()).count(digest) == 1:
                    common.append((same[0], name))
        order = {name: place for place, name in enumerate(new.schema)}
        common.sort(key=lambda pair: order[pair[1]])
        if self.ask.columns is not None:
            both = f"`{old.asset}`" if old.asset == new.asset else f"`{old.asset}` or `{new.asset}`"
            require_columns(
                self.ask.columns, {**old.schema, **new.schema}, both, fix="name columns that a version has"
            )  # fmt: skip
        return common

    def _schema(self, names: Sequence[tuple[str, str]]) -> SchemaDiff:
        """What differs between the columns themselves, among those that are asked for."""
        old, new = self.old.schema, self.new.schema

        def is_asked(*columns: str) -> bool:
            return self.ask.columns is None or not set(columns).isdisjoint(self.ask.columns)

        before, after = {was for was, _ in names}, {now for _, now in names}
        order = [was for was, _ in names]
        return SchemaDiff(
            added=tuple((name, kind) for name, kind in new.items() if name not in after and is_asked(name)),
            removed=tuple((name, kind) for name, kind in old.items() if name not in before and is_asked(name)),
            renamed=tuple((was, now) for was, now in names if was != now and is_asked(was, now)),
            retyped=tuple(
                Retyped(now, old[was], new[now], is_compared=True)  # what turns out not to be is said at the end
                for was, now in names
                if old[was] != new[now] and is_asked(was, now)
            ),
            is_reordered=self.ask.columns is None and order != [name for name in old if name in before],
        )

    def _pairs(self, names: Sequence[tuple[str, str]]) -> list[Pair]:
        """The columns that can be compared; notes in `incomparable` those that cannot."""
        before, after = types_of(self.storage, self.old), types_of(self.storage, self.new)
        pairs: list[Pair] = []
        for was, now in names:
            must_cast = self.old.schema[was] != self.new.schema[now]
            kind = common_type(before[was], after[now]) if must_cast else after[now]
            if kind is None:
                self.incomparable.add(now)
                continue
            is_same = self.old.columns.get(was) is not None and self.old.columns[was] == self.new.columns.get(now)
            soft = self.ask.tolerance is not None and is_soft(kind) and kind.bit_width <= 128
            pairs.append(Pair(was, now, kind, must_cast, is_same, soft))
        return pairs

    # -- rows that were appended, or taken from the end

    def _appended(self, pairs: Sequence[Pair]) -> _Rows | None:
        """The rows after those that both begin with; None when neither begins with the whole other."""
        before, after = cast("int", self.old.rows), cast("int", self.new.rows)
        if self.filter is not None or before == after or any(pair.must_cast for pair in pairs):
            return None
        is_longer = after > before
        short, long = (self.old, self.new) if is_longer else (self.new, self.old)
        names = [(pair.old, pair.new) if is_longer else (pair.new, pair.old) for pair in pairs]
        if not self._begins_alike(short, long, names):
            return None
        change = "added" if is_longer else "removed"
        with closing(self._batches(long, [name for _, name in names])) as batches:
            tail = tail_after(batches, short, names)
            if tail is None:
                return None
            first = first_rows(tail, self.ask.limit)
            rows = _Rows("append", Counts(0, *((after - before, 0) if is_longer else (0, before - after))))
            rows.sample = one_sided(first, change, pairs, self.ask.limit)
            if self.ask.export is not None:
                rows.exported = write_rows(exported(pairs, change, chain(first, tail)), self.ask.export)
        return rows

    def _begins_alike(self, short: Version, long: Version, names: Sequence[tuple[str, str]]) -> bool:
        """Whether the first rows are equal: it costs little to see that nothing was appended."""
        count = min(_FIRST_LOOK_ROWS, cast("int", short.rows))
        if not count:
            return True
        digests: list[list[str]] = []
        for version, wanted in ((short, [was for was, _ in names]), (long, [now for _, now in names])):
            with closing(self._batches(version, wanted)) as batches:
                first = first_rows(batches, count)
                hasher = TableHasher(first[0].schema, algorithm_of(short.data_hash))
                for batch in cut(first, count):
                    hasher.update(batch)
                digests.append([hasher.finish()[1][name] for name in wanted])
        return digests[0] == digests[1]

    # -- rows matched by a key, or counted

    def _compared(self, pairs: Sequence[Pair]) -> _Rows:
        self.notes.clear()
        for names, source in self._keys(pairs):
            with Comparison(
                self._loaded(pairs, names), self.ask.tolerance, is_filtered=self.filter is not None
            ) as comparison:
                self._load(comparison)
                key = self._numbers(comparison.pairs, names)
                problem = comparison.key_problem(key)
                if problem is None and (source != "found" or comparison.has_overlap(key)):
                    return self._by_key(comparison, key, source)
            if source != "found":
                self.notes.append(f"the {source} key {name_list(names)} {problem}: equal rows are counted instead")
                break
        else:
            self.notes.append(_NO_KEY)
        return self._as_multiset([pair for pair in pairs if self._is_wanted(pair)])

    def _loaded(self, pairs: Sequence[Pair], key: Sequence[str]) -> list[Pair]:
        """The key and what is compared: where the key columns are as they were, only the columns that changed."""
        numbers = self._numbers(pairs, key)
        is_narrow = (
            self.ask.export is None and self.filter is None and self.old.rows == self.new.rows
            and all(pairs[number].is_same_content for number in numbers)
        )  # fmt: skip
        found: list[Pair] = []
        for number, pair in enumerate(pairs):
            if number in numbers:
                found.append(replace(pair, is_soft=False))
            elif self._is_wanted(pair) and not (is_narrow and pair.is_same_content):
                found.append(pair)
        return found

    def _as_multiset(self, pairs: Sequence[Pair]) -> _Rows:
        if self.ask.tolerance is not None:
            self.notes.append("the tolerance is not applied: it needs rows that are matched by a key")
        with Comparison([replace(pair, is_soft=False) for pair in pairs]) as comparison:
            self._load(comparison)
            counts = comparison.as_multiset()
            if not counts.added and not counts.removed and self.filter is None:
                self.notes.append(_REORDERED if comparison.moved() else _BESIDE)
            sample: list[RowDiff] = []
            parts = shares(self.ask.limit, (counts.added, counts.removed))
            for change, share in zip(("added", "removed"), parts, strict=True):
                for row, count in comparison.sample_multiset(change, share):
                    values = {pair.new: sided(change, row[i]) for i, pair in enumerate(pairs)}
                    sample.append(RowDiff(change, {}, values, count))
            rows = _Rows("multiset", counts, sample=tuple(sample))
            if self.ask.export is not None:
                rows.exported = write_rows(comparison.export_multiset(), self.ask.export)
            return rows

    def _by_key(self, comparison: Comparison, key: list[int], source: str) -> _Rows:
        pairs, counts = comparison.pairs, comparison.by_key(key)
        if not (counts.changed or counts.added or counts.removed) and self.filter is None:
            moved = comparison.moved_by_key(key)
            self.notes.append(_REORDERED if moved else _BESIDE if self.ask.tolerance is None else _NEAR)
        others = [number for number in range(len(pairs)) if number not in key]
        sample: list[RowDiff] = []
        amounts = (counts.changed, counts.added, counts.removed)
        parts = shares(self.ask.limit, amounts)
        for change, share in zip(("changed", "added", "removed"), parts, strict=True):
            if not share:
                continue
            before, after, differs = comparison.sample_by_key(change, share)
            for place, row in enumerate(before if change == "removed" else after):
                if change == "changed":
                    values = {pairs[i].new: (before[place][i], row[i]) for i in others if i in differs[place]}
                else:
                    values = {pairs[i].new: sided(change, row[i]) for i in others}
                sample.append(RowDiff(change, {pairs[i].new: row[i] for i in key}, values))
        rows = _Rows("keyed", counts, tuple(pairs[i].new for i in key), source, tuple(sample))
        rows.changed_columns = {pairs[i].new: counts.columns[i] for i in others if counts.columns[i]}
        if self.ask.export is not None:
            rows.exported = write_rows(comparison.export_by_key(), self.ask.export)
        return rows

    def _keys(self, pairs: Sequence[Pair]) -> list[tuple[tuple[str, ...], str]]:
        """What may tell rows apart, with where it comes from: only what was asked for, if something was."""
        if self.ask.key:
            return [(self.ask.key, "given")]
        known = {pair.new for pair in pairs}
        declared = [key for key in self.ask.declared if known.issuperset(key)]
        if declared:
            return [(declared[0], "declared")]
        likely = [pair for pair in pairs if is_key_like(pair.kind)]
        tail = self.new.asset.rpartition(".")[2].lower()
        likely.sort(key=lambda pair: unlikeliness(pair.new.lower(), tail))
        for version in (self.old, self.new):
            names = [pair.old if version is self.old else pair.new for pair in likely]
            if not names:
                return []
            with closing(self._batches(version, names)) as batches:
                first = next(batches)
            likely = [pair for pair, name in zip(likely, names, strict=True) if is_unique(first.column(name))]
        return [((pair.new,), "found") for pair in likely[:_MOST_KEYS]]

    def _numbers(self, pairs: Sequence[Pair], names: Sequence[str]) -> list[int]:
        """The places of key columns among the pairs."""
        places = {pair.new: number for number, pair in enumerate(pairs)}
        places = {**{pair.old: number for number, pair in enumerate(pairs)}, **places}
        missing = [name for name in names if name not in places]
        if missing:
            raise UsageError(
                f"the key {name_list(missing)} is not a column of both versions",
                facts=(f"columns: {name_list([pair.new for pair in pairs])}",),
                fix=f"did you mean `{near[0]}`?" if (near := near_names(missing[0], places, 1)) else None,
            )
        return [places[name] for name in dict.fromkeys(names)]

    # -- reading

    def _load(self, comparison: Comparison) -> None:
        for side, version in (("old", self.old), ("new", self.new)):
            names = [pair.old if side == "old" else pair.new for pair in comparison.pairs]
            with closing(self._batches(version, names)) as batches:
                comparison.load(side, batches)

    def _batches(self, version: Version, names: Sequence[str]) -> Generator[Any]:
        """The verified batches of these columns, of the rows that the condition keeps; at least one."""
        wanted = None if self.filter is not None else tuple(dict.fromkeys(names))
        reader: Any = self.storage.read(version, Want("reader", wanted))
        with closing(reader):
            batches = reader if self.filter is None else self.filter.kept(reader, name_of(version))
            none = True
            for batch in batches:
                none = False
                yield batch
            if none:
                yield from arrow.batches_of(reader.schema.empty_table())

    # -- the result

    def _nothing(self, pairs: Sequence[Pair]) -> _Rows:
        rows = _Rows("", Counts(0, 0, 0))
        if self.ask.export is not None and pairs:
            rows.exported = write_rows(exported(pairs, "added", iter(())), self.ask.export)
        return rows

    def _finish(self, level: str, schema: SchemaDiff, pairs: Sequence[Pair], rows: _Rows | None) -> TableDiff:
        retyped = tuple(replace(one, is_compared=one.name not in self.incomparable) for one in schema.retyped)
        schema = replace(schema, retyped=retyped)
        counts, found = (None, None) if rows is None else (rows.counts, rows.changed_columns)
        counted = 0 if counts is None else counts.changed + counts.added + counts.removed
        columns: list[ColumnDiff] = []
        if found is not None:
            columns = [ColumnDiff(name, changed) for name, changed in found.items()]
        elif level == "schema" or (level == "multiset" and counted):
            columns = [ColumnDiff(pair.new) for pair in pairs if not pair.is_same_content]
        different = self._is_different(level, schema, counts, columns)
        if self.ask.stats and level != "identical":
            columns = self._with_profiles(pairs, columns, level)
        has_rows = rows is not None
        return TableDiff(
            side_of(self.old), side_of(self.new), level, different, schema, tuple(columns),
            key=rows.key if has_rows else (), key_from=rows.key_from if has_rows else "",
            added=None if counts is None else counts.added, removed=None if counts is None else counts.removed,
            changed=None if counts is None else counts.changed, rows=rows.sample if has_rows else (),
            notes=tuple(self.notes), exported=rows.exported if has_rows else None,
        )  # fmt: skip

    def _is_different(
        self, level: str, schema: SchemaDiff, counts: Counts | None, columns: Sequence[ColumnDiff]
    ) -> bool:
        if level == "identical":
            return False
        is_loose = self.filter is not None or self.ask.tolerance is not None
        if not is_loose and (self.ask.columns is None or level in ("keyed", "multiset", "append")):
            return True  # the digests differ: if no row does, the order of rows does
        counted = counts is not None and counts.changed + counts.added + counts.removed > 0
        return counted or not schema.is_empty or (counts is None and bool(columns))

    def _with_profiles(self, pairs: Sequence[Pair], columns: Sequence[ColumnDiff], level: str) -> list[ColumnDiff]:
        known = {one.name: one for one in columns}
        wanted = [pair for pair in pairs if pair.new in known or level != "keyed" or not pair.is_same_content]
        if not wanted:
            return list(columns)
        before, after = types_of(self.storage, self.old), types_of(self.storage, self.new)
        with (
            closing(self._batches(self.old, [pair.old for pair in wanted])) as old,
            closing(self._batches(self.new, [pair.new for pair in wanted])) as new,
            database() as connection,
        ):
            kinds = [(before[pair.old], after[pair.new]) for pair in wanted]
            found = profiles(
                connection,
                selected(old, [pair.old for pair in wanted]),
                selected(new, [pair.new for pair in wanted]),
                kinds,
            )
        return [
            replace(known.get(pair.new, ColumnDiff(pair.new)), old=was, new=now)
            for pair, (was, now) in zip(wanted, found, strict=True)
        ]
