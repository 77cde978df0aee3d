"""Reading what was built: values, previews and SQL, now or as they were."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, date, datetime, tzinfo
from typing import TYPE_CHECKING, Any, TypeVar, overload

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.pointers import Pointers, advising, by_key, history_of
from assetflow.errors import ContractBroken, DamagedVersion, NoSuchVersion, SourceUnreadable, UsageError
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey, arguments_of, slot, split_slot
from assetflow.model.records import Head, Version
from assetflow.model.spec import AssetSpec, SourceSpec
from assetflow.plan.graph import AssetGraph, Slots
from assetflow.plan.named import one_partition, written
from assetflow.run.survey import Survey
from assetflow.views import Preview, Tables

if TYPE_CHECKING:
    from assetflow.io.base import Want
    from assetflow.io.sources import Observation
    from assetflow.io.sql import QueryResult, TableRef
    from assetflow.load.live import Loaded
    from assetflow.model.versions import VersionName
    from assetflow.partitions.definition import Definition
    from assetflow.partitions.ordinals import Ordinals

When = datetime | date | str
"""A moment: without an offset it is in the zone of the project; a date alone means the end of that day."""

T = TypeVar("T")


class Reading:
    """The verbs of a project that read data. Change nothing."""

    settings: Settings
    graph: AssetGraph
    storage: Storage

    # -- what the project provides

    def _catalog(self) -> AbstractContextManager[Catalog]:
        raise NotImplementedError

    def _survey(self, catalog: Catalog, *, ask: bool, graph: Slots | None = None) -> Survey:
        raise NotImplementedError

    def _load(self) -> Loaded:
        raise NotImplementedError

    @property
    def env(self) -> str:
        """The environment that verbs read and write."""
        return self.settings.env

    # -- reading data

    @overload
    def read(
        self,
        key: str,
        *,
        as_: type[T],
        version: int | str | None = None,
        as_of: When | None = None,
        run: int | None = None,
        columns: Iterable[str] | None = None,
    ) -> T: ...
    @overload
    def read(
        self,
        key: str,
        *,
        as_: object = None,
        version: int | str | None = None,
        as_of: When | None = None,
        run: int | None = None,
        columns: Iterable[str] | None = None,
    ) -> Any: ...
    def read(
        self,
        key: str,
        *,
        as_: object = None,
        version: int | str | None = None,
        as_of: When | None = None,
        run: int | None = None,
        columns: Iterable[str] | None = None,
    ) -> Any:
        """The value of an asset: the current version, or what it was.

        An earlier one is named by `version=3`, `as_of="2026-11-20T10:00"` (what was current then), `run=41` (what was
        current after that run), or behind the key: `"orders@3"`, `"orders@HEAD~1"`, `"orders@2026-11-20"` (at the end
        of that day), `"orders@run:41"`, `"orders@prod"` (of another environment).

        Of an asset with partitions it is the rows of all that are current, in their order; `"orders[2026-11-20]"` is
        one of them.

        A table arrives as a pandas frame, unless `as_` names another class (`pa.Table`, `pl.DataFrame`, `list[dict]`)
        or form (`"arrow"`). `columns` reads only these, in this order.

        Raises:
            NoSuchAsset: there is no such asset.
            NoSuchVersion: it has no such version, none yet, or gc removed its bytes.
            DamagedVersion: the stored bytes are not what was recorded.
        """
        from assetflow.io.base import Want
        from assetflow.io.forms import form_of

        form = as_ if isinstance(as_, str) else form_of(as_) if as_ is not None else "python"
        if form is None:
            raise UsageError(f"cannot read as {as_!r}", fix="give a class such as pa.Table, or a name such as 'arrow'")
        want = Want(form, None if columns is None else tuple(columns))
        found, name = self._split(key, version, as_of, run)
        plain = "as_='arrow'" if as_ is None else f"leave out as_: read({key!r}) gives what is stored"
        with _asked_for(found, plain):
            if self.graph.specs[split_slot(found)[0]].is_source and name is None:
                return self._read_source(found, want)
            return self._read_asset(found, name, want)[0]

    def preview(
        self,
        key: str,
        *,
        rows: int = 10,
        columns: Iterable[str] | None = None,
        tail: bool = False,
        version: int | str | None = None,
        as_of: When | None = None,
        run: int | None = None,
    ) -> Preview:
        """The first (or last) rows of an asset, and its columns with their types. Versions are named as in `read`.

        Raises:
            NoSuchVersion: there is nothing to show yet.
            ContractBroken: what is stored is not a table.
        """
        from assetflow.io.base import Want
        from assetflow.io.sql import preview_rows

        found, name = self._split(key, version, as_of, run)
        want = Want("arrow", None if columns is None else tuple(columns))
        number: int | None = None
        with _asked_for(found, f"read it as it is: read({key!r})" if columns is None else "leave the columns out"):
            if self.graph.specs[split_slot(found)[0]].is_source and name is None:
                value: Any = self._read_source(found, want)
            else:
                value, number = self._read_asset(found, name, want)
        part = preview_rows(value, rows, tail=tail)
        names = tuple(part.column_names)
        types = tuple(str(field.type) for field in part.schema)
        values = [column.to_pylist() for column in part.columns]
        cells = tuple(zip(*values, strict=True)) if values else ()
        return Preview(found, number, names, types, cells, value.num_rows, part)

    def version_number(self, key: str) -> int | None:
        """The number of the version that a name such as `orders` or `orders@HEAD~1` means; None for a source.

        Raises:
            NoSuchVersion: it has no such version, or none yet.
        """
        found, name = self._split(key)
        if self.graph.specs[split_slot(found)[0]].is_source and name is None:
            return None
        return self._version(found, name).number

    def sql(
        self, text: str, *, limit: int | None = None, as_of: When | None = None, run: int | None = None
    ) -> QueryResult:
        """The answer of a read-only query in which every asset and source is a table by its key.

        Earlier versions are tables too, in quotes: `select * from "orders@3"`. With `as_of` or `run`, every asset is
        what it was at that time, or after that run. All tables of a query are of one moment.

        Raises:
            QueryError: the text is not one reading statement, or DuckDB cannot run it.
            NoSuchVersion: the query names an asset that had no version then.
        """
        from assetflow.io.sql import query
        from assetflow.model.versions import zone_named

        then = _one_of(None, as_of, run, zone_named(self.settings.tz))
        heads: list[Mapping[AssetKey, Head]] = []

        def current() -> Mapping[AssetKey, Head]:
            if not heads:
                heads.append(self._heads(then))
            return heads[0]

        return query(Tables(self.graph, text, lambda name: self._table(name, then, current)), text, limit=limit)

    def _heads(self, then: VersionName | None) -> Mapping[AssetKey, Head]:
        with self._catalog() as catalog:
            if then is None:
                return by_key(catalog.heads(self.env))
            pointers = Pointers(catalog)
            return by_key(pointers.at(pointers.cut(self.env, then)))

    def _table(
        self, name: str, then: VersionName | None, current: Callable[[], Mapping[AssetKey, Head]]
    ) -> TableRef:  # fmt: skip
        from assetflow.io.base import Want
        from assetflow.io.sql import TableRef

        key, named = self._split(name)
        if key in self.graph.specs and self.graph.specs[key].partitions is not None:
            if self.graph.specs[key].is_source and named is None and then is None:
                return TableRef(load=lambda: self._load_table(key, name, None))
            return TableRef(load=lambda: self._read_asset(key, named, Want("arrow"), keyed=True)[0])
        if named is not None or key not in self.graph.specs:
            version = self._version(key, named)
        elif not self.graph.specs[key].is_source:
            head = current().get(key)
            version = self._usable(key, head) if head is not None else self._version(key, then)
        elif then is None:
            return TableRef(load=lambda: self._load_table(key, name, None))
        else:
            raise _no_copies(key)
        with advising(self._catalog, self.env, version):
            files = self.storage.parquet_files(version)
        if files:
            return TableRef(parquet=files)
        return TableRef(load=lambda: self._load_table(key, name, version))

    def _load_table(self, key: AssetKey, name: str, version: Version | None) -> object:
        """A table of a query that DuckDB cannot read by itself: of a source when there is no version."""
        from assetflow.io.base import Want

        want = Want("arrow")
        with _asked_for(key, f"a query reads tables only; to look at it: assetflow preview {name}"):
            return self._read_source(key, want) if version is None else self._read_version(version, want)

    def _read_asset(
        self, key: AssetKey, name: VersionName | None, want: Want, *, keyed: bool = False
    ) -> tuple[object, int | None]:
        """The value, and the number of its version; of several partitions, `keyed` or not, there is none."""
        spec = self.graph.specs[split_slot(key)[0]]
        if spec.partitions is None or key != spec.key:
            version = self._version(key, name)
            return self._read_version(version, want), version.number
        if name is not None:
            raise NoSuchVersion(
                f"{key} has partitions, and each has versions of its own",
                fix=f"name one of them: `{key}[...]@3`",
            )
        with self._catalog() as catalog:
            heads = {part: head for (asset, part), head in catalog.heads(self.env).items() if asset == key and part}
        if not heads:
            raise NoSuchVersion(f"{key} has not been materialized", fix=f"assetflow materialize {key}")
        from assetflow.io.parts import read_parts
        from assetflow.partitions.ordinals import Ordinals

        own = spec.partitions
        places: dict[int, Head] = {}
        for part, head in heads.items():
            with suppress(UsageError):  # it is none of the definition of now
                places[own.ordinal(part)] = head
        there = own.clip(Ordinals.of(*places))
        if not there:
            raise NoSuchVersion(f"{key} has no partition that still exists", fix=f"assetflow materialize {key}")
        return read_parts(self.storage, [self._usable(key, places[one]) for one in there], want, keyed=keyed), None

    def _read_version(self, version: Version, want: Want) -> object:
        with advising(self._catalog, self.env, version):
            return self.storage.read(version, want)

    def _split(
        self, key: str, version: int | str | None = None, as_of: When | None = None, run: int | None = None
    ) -> tuple[AssetKey, VersionName | None]:
        """The asset that is meant, and the version: in the name itself, or given beside it; None is the current one."""
        from assetflow.model.versions import parse_version, zone_named

        parts = written(key)
        name, text = parts.name, parts.version
        if text is not None and not (version is None and as_of is None and run is None):
            raise NoSuchVersion(
                f"`{key}` has a version, and another one is asked for", fix=f"leave one out: read({name!r}, ...)"
            )
        asked = (
            parse_version(text, zone_named(self.settings.tz), of=name)
            if text is not None
            else _one_of(version, as_of, run, zone_named(self.settings.tz))
        )
        found = self.graph.resolve(parts.asset)
        partition = one_partition(self.graph, found, parts.partitions) if parts.partitions else ""
        return slot(found, partition), asked

    def _version(self, key: AssetKey, name: VersionName | None) -> Version:
        if self.graph.specs[split_slot(key)[0]].is_source:
            raise _no_copies(key)
        with self._catalog() as catalog:
            if name is not None:
                head = Pointers(catalog).find(self.env, key, name)
            else:
                found = catalog.heads(self.env).get(split_slot(key))
                if found is None:
                    self._must_exist(key)
                    fix = f"assetflow materialize {shlex.join(arguments_of(key))}"
                    raise NoSuchVersion(f"{key} has not been materialized", fix=fix)
                head = found
        return self._usable(key, head)

    def _must_exist(self, key: AssetKey) -> None:
        from assetflow.partitions.ordinals import Ordinals

        asset, partition = split_slot(key)
        own = self.graph.specs[asset].partitions
        if own is not None and partition and not own.clip(Ordinals.of(own.ordinal(partition))):
            raise NoSuchVersion(f"{asset} has no partition `{partition}`", fix=f"assetflow show {asset}")

    def _usable(self, key: AssetKey, head: Head) -> Version:
        """The version of a head, unless there can be no bytes of it."""
        if head.version.io == "source":  # it was one when this was recorded
            raise _no_copies(key)
        if head.version.state == "evicted":
            with self._catalog() as catalog:
                error = Pointers(catalog).evicted(head)
            raise NoSuchVersion(error.what, facts=(*error.facts, *self._readable(key)), fix=error.fix)
        if head.version.state in ("lost", "damaged") and not self.storage.exists(head.version):
            where = "lost" if head.version.state == "lost" else "damaged, and in quarantine"
            raise DamagedVersion(
                f"the bytes of {key}@{head.version.number} are {where}",
                facts=self._readable(key),
                fix=history_of(key),
            )
        return head.version

    def _readable(self, key: AssetKey) -> tuple[str, ...]:
        """The newest versions that can be read, as a fact of an error."""
        with self._catalog() as catalog:
            return Pointers(catalog).readable(key, self.storage.exists)

    def _read_source(self, key: AssetKey, want: Want) -> object:
        from assetflow.io.sources import read_source, read_sources

        spec = self.graph.specs[split_slot(key)[0]]
        if spec.partitions is not None:
            return read_sources(self._source_parts(spec, split_slot(key)[1]), want, key)
        if spec.source is not None and spec.source.path is None:
            load = self._load().sources[key].load
            if load is None:
                raise UsageError(f"source {key} has no load function, so there is nothing to read")
            return self.storage.convert(load(), want, key=key)
        with self._catalog() as catalog:
            found = self._survey(catalog, ask=False)
        problem = found.world.sources[key].problem
        if problem is not None:
            raise problem
        assert spec.source is not None, "a source without a problem has a place"
        return read_source(spec.source, found.observations[key], want)

    def _source_parts(self, spec: AssetSpec, partition: str) -> list[tuple[SourceSpec, Observation]]:
        """What is observed now of one partition of a source, or of all that exist, in their order."""
        from assetflow.plan.slots import slots_of

        def wanted(key: AssetKey, definition: Definition, existing: Ordinals) -> Ordinals:
            return definition.ordinals([partition]) & existing if partition else existing

        slots = slots_of(AssetGraph([spec]), (spec.key,), wanted, datetime.now(UTC))
        if not slots.targets:
            raise NoSuchVersion(f"{slot(spec.key, partition)} does not exist by now", fix="wait until its time is over")
        with self._catalog() as catalog:
            found = self._survey(catalog, ask=False, graph=slots)
        parts: list[tuple[SourceSpec, Observation]] = []
        for name in slots.targets:
            source, problem = slots.graph.specs[name].source, found.world.sources[name].problem
            if problem is not None:
                raise problem
            assert source is not None, "every source says where it is"
            parts.append((source, found.observations[name]))
        return parts


@contextmanager
def _asked_for(key: AssetKey, otherwise: str) -> Generator[None]:
    """While somebody reads by name: errors say what helps there, not what helps in the function of an asset.

    `otherwise` is what to do when the value has not the form that is needed.
    """
    from assetflow.io.columns import OF_INPUTS

    try:
        yield
    except (ContractBroken, SourceUnreadable) as error:
        if error.fix == OF_INPUTS:
            error.fix = f"name columns that `{key}` has"
        elif error.fix is not None and "annotat" in error.fix:
            error.fix = otherwise
        raise


def _one_of(version: int | str | None, as_of: When | None, run: int | None, zone: tzinfo | None) -> VersionName | None:
    """The one name that was given, or None.

    Raises:
        UsageError: there are several.
    """
    from assetflow.model.versions import VersionName, parse_version, time_name

    if sum(one is not None for one in (version, as_of, run)) > 1:
        raise UsageError("version, as_of and run each name a version", fix="give one of them")
    if as_of is not None:
        return time_name(as_of, zone)
    if run is not None:
        return VersionName("run", f"run:{run}", run)
    if isinstance(version, int):
        return VersionName("number", str(version), version)
    return None if version is None else parse_version(version, zone)


def _no_copies(key: AssetKey) -> NoSuchVersion:
    return NoSuchVersion(
        f"{key} is a source: assetflow records its versions but keeps no copies of them",
        fix=f"read it without a version: `{key}`",
    )
