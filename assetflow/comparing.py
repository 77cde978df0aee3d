"""Comparing versions: which rows and columns differ, and what differs between the computations that made them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.pointers import advising
from assetflow.errors import UsageError
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import Trace, TraceInput, Version
from assetflow.model.spec import AssetSpec
from assetflow.plan.graph import AssetGraph

if TYPE_CHECKING:
    from assetflow.io.diff import Ask
    from assetflow.io.diff_results import Cause, CodeChange, InputChange, TableDiff, ValueDiff
    from assetflow.model.versions import VersionName


class Comparing:
    """The verb of a project that compares two versions. Changes nothing."""

    settings: Settings
    graph: AssetGraph
    storage: Storage

    # -- what the project provides

    def _catalog(self) -> AbstractContextManager[Catalog]:
        raise NotImplementedError

    def _split(self, key: str) -> tuple[AssetKey, VersionName | None]:
        raise NotImplementedError

    def _version(self, key: AssetKey, name: VersionName | None) -> Version:
        raise NotImplementedError

    @property
    def env(self) -> str:
        """The environment whose current versions are meant."""
        return self.settings.env

    # -- comparing

    def diff(  # noqa: PLR0913 - what is compared and how, all by keyword
        self,
        old: str,
        new: str | None = None,
        *,
        key: str | Iterable[str] = (),
        columns: Iterable[str] | None = None,
        where: str | None = None,
        tolerance: float | None = None,
        limit: int = 20,
        schema_only: bool = False,
        stats: bool = False,
        export: str | Path | None = None,
    ) -> TableDiff | ValueDiff:
        """How two versions differ: rows, columns, values, and what made the difference.

        `diff("orders@3", "orders@5")` compares these; `diff("orders@3")` that one with the current version;
        `diff("orders")` the version before with the current one. Two names without versions are two assets.

        Args:
            old: a key, maybe with a version.
            new: another one.
            key: columns that tell rows apart; by default a `unique` check of the asset, or a column that is unique.
            columns: compare only these.
            where: compare only rows for which this SQL expression is true.
            tolerance: numbers that are this close count as equal, in rows that are matched by a key.
            limit: how many rows the sample has.
            schema_only: columns and digests alone, without reading data.
            stats: with the profile of each column that differs.
            export: a .parquet or .csv file for all rows that differ.

        Raises:
            NoSuchAsset, NoSuchVersion: there is no such asset or version, or none before the current one.
            DamagedVersion: the stored bytes of one of them are not what was recorded.
            ContractBroken: a column is named that is not there.
            QueryError: `where` is not an expression over the columns of a row.
            UsageError: a key is not in both versions, or what is asked for needs tables.
        """
        from assetflow.io.diff import Ask, diff_tables
        from assetflow.io.diff_export import require_ending
        from assetflow.io.diff_values import diff_values

        before, after = self._sides(old, new)
        given = (key,) if isinstance(key, str) else tuple(key)
        if tolerance is not None and not 0 <= tolerance < float("inf"):
            raise UsageError(f"a tolerance is a number from 0, not {tolerance!r}")
        if export is not None:
            require_ending(Path(export))
        ask = Ask(
            given, self._declared_keys(before, after), None if columns is None else tuple(columns), where, tolerance,
            limit, schema_only, stats, None if export is None else Path(export),
        )  # fmt: skip
        cause = self._cause(before, after)
        with advising(self._catalog, self.env, before, after):
            if before.rows is not None and after.rows is not None:
                found = diff_tables(self.storage, before, after, ask)
                return replace(found, cause=cause, common=_common_columns(before, after, found, ask))
            _refuse_table_options(ask, before, after)
            return replace(diff_values(self.storage, before, after, limit=limit), cause=cause)

    def _sides(self, old: str, new: str | None) -> tuple[Version, Version]:
        key, named = self._split(old)
        if key in self.graph.specs and self.graph.specs[key].partitions is not None:
            raise UsageError(
                f"{key} has partitions, and each has versions of its own",
                fix=f'name one: assetflow diff "{key}[latest]"',
            )
        if new is not None:
            return self._version(key, named), self._version(*self._split(new))
        if named is not None:
            return self._version(key, named), self._version(key, None)
        return self._version(*self._split(f"{key}@HEAD~1")), self._version(key, None)

    def _declared_keys(self, *versions: Version) -> tuple[tuple[str, ...], ...]:
        """The columns of `unique` checks, of the asset of the new version first."""
        found: list[tuple[str, ...]] = []
        for version in reversed(versions):
            spec = self.graph.specs.get(version.asset)
            for check in () if spec is None else spec.checks:
                if check.name.startswith("unique(") and check.name.endswith(")"):
                    inside = check.name[len("unique(") : -1]
                    found.append((inside,) if inside in version.schema else tuple(inside.split(", ")))
        return tuple(dict.fromkeys(found))

    # -- the cause

    def _cause(self, old: Version, new: Version) -> Cause | None:
        if old.slot != new.slot or old.data_hash == new.data_hash:
            return None
        with self._catalog() as catalog:
            # Every computation here, also of what was there already, and elsewhere.
            moves = catalog.history(self.env, new.asset, parts=(new.partition,))
            known = catalog.traces([split_slot(new.slot)], self.env).get(split_slot(new.slot), {})
        traces = [head.trace for head in (*moves, *(head for heads in known.values() for head in heads))]
        found = _closest(traces, old, new)
        if found is None:
            return None
        from assetflow.io.diff_results import Cause, ConfigChange

        was, now = found
        changed_code = tuple(self._code_changes(was, now))
        config = tuple(
            ConfigChange(name, was.config.get(name), now.config.get(name))
            for name in sorted(was.config.keys() | now.config.keys())
            if was.config.get(name) != now.config.get(name)
        )
        inputs = tuple(_input_changes(was.inputs, now.inputs))
        other = not changed_code and (
            was.code != now.code or (was.input_key != now.input_key and not (config or inputs))
        )
        return Cause(changed_code, config, inputs, other)

    def _code_changes(self, was: Trace, now: Trace) -> Iterable[CodeChange]:
        from assetflow.io.diff_results import CodeChange

        spec = self.graph.specs.get(now.asset)
        for name in sorted(was.code_parts.keys() | now.code_parts.keys()):
            before, after = was.code_parts.get(name), now.code_parts.get(name)
            if before == after:
                continue
            change = "added" if before is None else "removed" if after is None else "changed"
            known = spec is not None and (spec.code_parts or {}).get(name) is not None
            file, line = _place(spec, name, self.settings.root) if spec is not None and known else (None, 0)
            yield CodeChange(name, change, file, line)


def _common_columns(before: Version, after: Version, found: TableDiff, ask: Ask) -> int:
    names = {name for name in before.schema if name in after.schema and (ask.columns is None or name in ask.columns)}
    return len(names - {one.name for one in found.schema.retyped if not one.is_compared})


def _refuse_table_options(ask: Ask, *versions: Version) -> None:
    given: Mapping[str, object] = {
        "key": ask.key, "columns": ask.columns, "where": ask.where, "tolerance": ask.tolerance, "stats": ask.stats,
        "export": ask.export, "schema": ask.schema_only,
    }  # fmt: skip
    used = [name for name, value in given.items() if value not in ((), None, False)]
    if used:
        other = next(version for version in versions if version.rows is None)
        raise UsageError(
            f"{other.name} is not a table, so `{used[0]}` cannot be applied",
            fix=f"leave out {used[0]}",
        )


def _closest(traces: Iterable[Trace], old: Version, new: Version) -> tuple[Trace, Trace] | None:
    """The traces of both versions between which least happened: one version may have been found several times."""
    ordered = sorted(traces, key=lambda trace: trace.trace_id)
    before = [trace for trace in ordered if trace.version_id == old.version_id]
    after = [trace for trace in ordered if trace.version_id == new.version_id]
    if not before or not after:
        return None
    return min(
        ((was, now) for was in before for now in after), key=lambda pair: abs(pair[1].trace_id - pair[0].trace_id)
    )


def _input_changes(before: Iterable[TraceInput], after: Iterable[TraceInput]) -> Iterable[InputChange]:
    from assetflow.io.diff_results import InputChange

    was = {(one.parameter, one.upstream): one for one in before if one.mode != "order"}
    now = {(one.parameter, one.upstream): one for one in after if one.mode != "order"}
    for pair in sorted(was.keys() | now.keys()):
        parameter, upstream = pair
        old, new = was.get(pair), now.get(pair)
        if old is None or new is None:
            change = "added" if old is None else "removed"
        elif old.digest == new.digest:
            continue
        else:
            change = "changed"
        yield InputChange(
            upstream, parameter, change,
            None if old is None else old.version_number, None if new is None else new.version_number,
        )  # fmt: skip


def _place(spec: AssetSpec, name: str, root: Path) -> tuple[str | None, int]:
    """Where a part of an asset's code is defined: in its own file, or in a module that the name begins with."""
    own = root / spec.file
    found = _line_of(own, name)
    if found:
        return spec.file, found
    module, _, inner = name.partition(".")
    folders = dict.fromkeys([own.parent, *(one for one in own.parents if one.is_relative_to(root)), root, root / "src"])
    for folder in folders if inner else ():
        for file in (folder / f"{module}.py", folder / module / "__init__.py"):
            found = _line_of(file, inner)
            if found:
                return (file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)), found
    return None, 0


def _line_of(file: Path, name: str) -> int:
    """The line in which a function, class or constant is defined; 0 when it is not, or the file cannot be read."""
    try:
        nodes: list[ast.stmt] = ast.parse(file.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return 0
    line = 0
    for part in name.split("."):
        found = next((node for node in nodes if part in _names_of(node)), None)
        if found is None:
            return 0
        line = found.lineno
        nodes = found.body if isinstance(found, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) else []
    return line


def _names_of(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}
