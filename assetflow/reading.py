"""Reading what was built: values, previews and SQL, now or as they were."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from assetflow.catalog.catalog import Catalog
from assetflow.errors import NoSuchVersion, UsageError
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import UNPARTITIONED, AssetKey
from assetflow.model.records import Version
from assetflow.plan.graph import AssetGraph
from assetflow.run.survey import Survey
from assetflow.views import Preview, Tables

if TYPE_CHECKING:
    from assetflow.io.base import Want
    from assetflow.io.sql import QueryResult, TableRef
    from assetflow.load.live import Loaded

T = TypeVar("T")


class Reading:
    """The verbs of a project that read data. Change nothing."""

    settings: Settings
    graph: AssetGraph
    storage: Storage

    # -- what the project provides

    def _catalog(self) -> AbstractContextManager[Catalog]:
        raise NotImplementedError

    def _survey(self, catalog: Catalog, *, ask: bool) -> Survey:
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
        self, key: str, *, as_: type[T], version: int | None = None, columns: Iterable[str] | None = None
    ) -> T: ...
    @overload
    def read(
        self, key: str, *, as_: object = None, version: int | None = None, columns: Iterable[str] | None = None
    ) -> Any: ...
    def read(
        self, key: str, *, as_: object = None, version: int | None = None, columns: Iterable[str] | None = None
    ) -> Any:
        """The value of an asset: the current version, or an earlier one by `version=3` or `"orders@3"`.

        A table arrives as a pandas frame, unless `as_` names another class (`pa.Table`, `pl.DataFrame`, `list[dict]`)
        or form (`"arrow"`). `columns` reads only these, in this order.

        Raises:
            NoSuchAsset: there is no such asset.
            NoSuchVersion: it has no such version, or none yet.
            DamagedVersion: the stored bytes are not what was recorded.
        """
        from assetflow.io.base import Want
        from assetflow.io.forms import form_of

        form = as_ if isinstance(as_, str) else form_of(as_) if as_ is not None else "python"
        if form is None:
            raise UsageError(f"cannot read as {as_!r}", fix="give a class such as pa.Table, or a name such as 'arrow'")
        want = Want(form, None if columns is None else tuple(columns))
        found, number = self._split(key, version)
        if self.graph.specs[found].is_source and number is None:
            return self._read_source(found, want)
        return self.storage.read(self._version(found, number), want)

    def preview(self, key: str, *, rows: int = 10, columns: Iterable[str] | None = None, tail: bool = False) -> Preview:
        """The first (or last) rows of an asset, and its columns with their types.

        Raises:
            NoSuchVersion: there is nothing to show yet.
            ContractBroken: what is stored is not a table.
        """
        from assetflow.io.sql import preview_rows

        found, number = self._split(key, None)
        value: Any = self.read(key, as_="arrow", columns=columns)
        part = preview_rows(value, rows, tail=tail)
        if number is None and not self.graph.specs[found].is_source:
            number = self._version(found, None).number
        names = tuple(part.column_names)
        types = tuple(str(field.type) for field in part.schema)
        values = [column.to_pylist() for column in part.columns]
        cells = tuple(zip(*values, strict=True)) if values else ()
        return Preview(found, number, names, types, cells, value.num_rows, part)

    def sql(self, text: str, *, limit: int | None = None) -> QueryResult:
        """The answer of a read-only query in which every asset and source is a table by its key.

        Earlier versions are tables too, in quotes: `select * from "orders@3"`.

        Raises:
            QueryError: the text is not one reading statement, or DuckDB cannot run it.
        """
        from assetflow.io.sql import query

        return query(Tables(self.graph, text, self._table), text, limit=limit)

    def _table(self, name: str) -> TableRef:
        from assetflow.io.sql import TableRef

        key, number = self._split(name, None)
        if self.graph.specs[key].is_source and number is None:
            return TableRef(load=lambda: self.read(name, as_="arrow"))
        version = self._version(key, number)
        files = self.storage.parquet_files(version)
        if files:
            return TableRef(parquet=files)
        return TableRef(load=lambda: self.read(name, as_="arrow"))

    def _split(self, key: str, version: int | None) -> tuple[AssetKey, int | None]:
        name, _, number = key.partition("@")
        if number:
            text = number.removeprefix("v")
            if not text.isdigit() or version is not None:
                raise NoSuchVersion(f"`{key}` does not name a version", fix=f"write a number: `{name}@3`")
            version = int(text)
        return self.graph.resolve(name), version

    def _version(self, key: AssetKey, number: int | None) -> Version:
        with self._catalog() as catalog:
            if number is not None:
                found = catalog.version(key, number)
            else:
                head = catalog.heads(self.env).get((key, UNPARTITIONED))
                found = None if head is None else head.version
        if found is None:
            what = f"{key} has no version {number}" if number is not None else f"{key} has not been materialized"
            fix = f"assetflow history {key}" if number is not None else f"assetflow materialize {key}"
            raise NoSuchVersion(what, fix=fix)
        if found.io == "source":
            raise NoSuchVersion(
                f"{key} is a source: assetflow records its versions but keeps no copies of them",
                fix=f"read it without a version: `{key}`",
            )
        return found

    def _read_source(self, key: AssetKey, want: Want) -> object:
        from assetflow.io.sources import read_source

        spec = self.graph.specs[key]
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
