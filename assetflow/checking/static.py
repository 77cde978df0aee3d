"""Looking at the code of assets, and of all helpers that they reach, without running it."""

from __future__ import annotations

import ast
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from assetflow.checking.findings import Finding, StaticReport, in_order
from assetflow.checking.fitting import WORDS, Said, parameter_of, returned, taken
from assetflow.checking.impure import CODES, HELP, KINDS, WHAT, Hit, hits_in
from assetflow.errors import Location, near_names
from assetflow.load.codemap import CodeMap, Unit
from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec
from assetflow.plan.graph import AssetGraph

_IGNORE = re.compile(r"#\s*assetflow:\s*ignore(?:\[([^\]]*)\])?")
_IGNORABLE = (*KINDS, "types", "sql")
_MEANT = re.compile(r"\b(?:None|Optional|In)\b")
"""In the annotation of the partition before: it may be none, or what is taken is written down."""
_SQL_CALLS = frozenset(["duckdb.sql", "duckdb.query", "duckdb.execute", "duckdb.from_query"])
_NOTED = "nothing is wrong: a change there makes the asset run, also one that it does not use"
_SQL_METHODS = frozenset(["sql", "query", "execute"])


class _Seen(Struct):
    """A finding in the making: the places are the same for every asset that reaches them."""

    finding: Finding
    assets: dict[AssetKey, tuple[str, ...]] = field(default_factory=dict[AssetKey, tuple[str, ...]])


def look(root: Path, graph: AssetGraph, selected: Iterable[AssetKey]) -> StaticReport:
    """What the text of the selected assets and of their helpers says against them. Imports and runs no user code."""
    began = time.perf_counter()
    specs = [graph.specs[key] for key in selected]
    found = _Look(root, graph)
    for spec in specs:
        if not spec.is_source:
            found.asset(spec)
    return StaticReport(
        in_order(found.findings()),
        assets=sum(not spec.is_source for spec in specs),
        sources=sum(spec.is_source for spec in specs),
        checks=sum(len(spec.checks) for spec in specs),
        schedules=sum(spec.freshness is not None and spec.freshness.by is not None for spec in specs),
        files=found.code.files,
        seconds=time.perf_counter() - began,
    )


class _Look:
    """One look at a project; every unit is scanned once, however many assets reach it."""

    def __init__(self, root: Path, graph: AssetGraph) -> None:
        self.code = CodeMap(root)
        self._root, self._graph = root, graph
        self._seen: dict[tuple[str, str, int, int, str], _Seen] = {}
        self._of_unit: dict[Unit, list[Finding]] = {}
        self._said: dict[str, Said | None] = {}
        self._outputs = Counter(spec.node for spec in graph.specs.values())
        self._paths = {spec.source.path: key for key, spec in graph.specs.items() if spec.source is not None}

    def asset(self, spec: AssetSpec) -> None:
        """Look at one asset: its function, what that reaches, and what it takes."""
        start = self.code.function(spec.file, spec.line)
        if start is None:
            return
        for unit, way in self.code.reached(start).items():
            if unit not in self._of_unit:
                self._of_unit[unit] = list(self._scan(unit))
            for finding in self._of_unit[unit]:
                if not _is_declared(spec, finding):
                    self._note(spec.key, finding, tuple(one.short for one in way[1:]))
        for finding in (*self._types(spec, start), *self._own_name(spec, start), *_unseen(spec)):
            self._note(spec.key, finding, ())

    def findings(self) -> Iterator[Finding]:
        """All that was found, once for each place."""
        for seen in self._seen.values():
            via = {key: (key, *way) for key, way in seen.assets.items() if way}
            yield replace(seen.finding, assets=tuple(seen.assets), via=via)

    def _note(self, key: AssetKey, finding: Finding, way: tuple[str, ...]) -> None:
        place = (finding.code, finding.where.file, finding.where.line, finding.where.column, finding.detail)
        self._seen.setdefault(place, _Seen(finding)).assets.setdefault(key, way)

    # -- one unit

    def _scan(self, unit: Unit) -> Iterator[Finding]:
        for hit in hits_in(unit, self.code):
            if not self._is_ignored(unit.file, hit.node, hit.kind):
                yield self._impure(unit, hit)
        for node, text in self._sql_texts(unit):
            from assetflow.io.sql_text import sql_problem

            problem = sql_problem(text)
            if problem is not None and not self._is_ignored(unit.file, node, "sql"):
                yield Finding(
                    "error", "AF421", "sql", f"SQL in `{unit.name}` cannot be read: {problem}",
                    self._where(unit.file, node), (), "correct the text: DuckDB's parser refuses it",
                )  # fmt: skip
        yield from self._wrong_words(unit)

    def _impure(self, unit: Unit, hit: Hit) -> Finding:
        kind, help_ = hit.kind, HELP[hit.kind]
        if kind == "file":
            source = self._source_of(hit.detail)
            if source is not None:
                help_ = f"it is the source `{source}`: take `{source.rpartition('.')[2]}` as a parameter"
        name = unit.name.replace(".<locals>", "")
        what = f"`{name}` {WHAT[kind]}: {hit.spelled}"
        return Finding(
            "warning", CODES[kind], kind, what, self._where(unit.file, hit.node), (), help_, detail=hit.detail
        )

    def _source_of(self, path: str) -> AssetKey | None:
        return self._paths.get(str(self._root / path))

    def _sql_texts(self, unit: Unit) -> Iterator[tuple[ast.Call, str]]:
        """The texts that are given in full to `duckdb.sql` and to the methods of a connection."""
        meant = {id(one.node): one.dotted for one in self.code.references(unit)}
        connections = set(self._connections(unit))
        for node in ast.walk(unit.node):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            first, function = node.args[0], node.func
            if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
                continue
            on_connection = (
                isinstance(function, ast.Attribute)
                and function.attr in _SQL_METHODS
                and isinstance(function.value, ast.Name)
                and function.value.id in connections
            )
            if on_connection or meant.get(id(function)) in _SQL_CALLS:
                yield node, first.value

    def _connections(self, unit: Unit) -> Iterator[str]:
        if isinstance(unit.node, ast.FunctionDef):
            for one in (*unit.node.args.args, *unit.node.args.kwonlyargs):
                meant = None if one.annotation is None else self.code.resolve(unit, one.annotation)
                if meant is not None and meant.dotted.endswith("DuckDBPyConnection"):
                    yield one.arg

    # -- types

    def _types(self, spec: AssetSpec, start: Unit) -> Iterator[Finding]:
        for given in spec.inputs:
            upstream = self._graph.specs[given.upstream]
            if given.mode == "order" or not given.parameter or upstream.is_source:
                continue
            takes, gives = taken(start, given.parameter, self.code), self._returned(upstream)
            if takes is None or gives is None or takes.shape == gives.shape:
                continue
            if self._is_ignored(start.file, takes.node, "types"):
                continue
            what = (
                f"`{spec.key}` takes `{given.parameter}` as {takes.text}, and `{given.upstream}` returns {gives.text}: "
                f"{WORDS[gives.shape]} does not fit"
            )
            help_ = f"annotate it as {WORDS[gives.shape]}, or correct the return annotation at {_shown(upstream)}"
            yield Finding("error", "AF141", "types", what, self._where(start.file, takes.node), (), help_)

    def _own_name(self, spec: AssetSpec, start: Unit) -> Iterator[Finding]:
        """A parameter that is the partition before by its name alone, and is not ready for the first to have none."""
        for given in spec.inputs:
            name = given.parameter
            if given.upstream != spec.key or given.optional or not isinstance(start.node, ast.FunctionDef):
                continue
            others = [key for key in self._graph.order if key != spec.key and key.rpartition(".")[2] == name]
            taken_by = parameter_of(start.node, name)
            if not others or taken_by is None or self._is_ignored(start.file, taken_by, "types"):
                continue
            text = "" if taken_by.annotation is None else ast.unparse(taken_by.annotation)
            if _MEANT.search(text):
                continue
            what = f"`{name}` of `{spec.key}` is its own previous partition, and not `{others[0]}`"
            form = text or "..."
            annotated = f'{name}: Annotated[{form}, In("{others[0]}")]'
            help_ = f"write `{annotated}`, or `{form} | None` if the previous one is meant: the first has none"
            yield Finding("warning", "AF141", "types", what, self._where(start.file, taken_by), (), help_)

    def _returned(self, spec: AssetSpec) -> Said | None:
        """What an asset says it returns; of a function with several outputs nothing is said of each."""
        if spec.node not in self._said:
            unit = self.code.function(spec.file, spec.line)
            several = self._outputs[spec.node] > 1 or spec.node != spec.key or unit is None
            self._said[spec.node] = None if several or unit is None else returned(unit, self.code)
        return self._said[spec.node]

    # -- places and comments

    def _where(self, file: str, node: ast.expr | ast.arg) -> Location:
        line = self.code.line(file, node.lineno)
        column = len(line.encode()[: node.col_offset].decode(errors="replace")) + 1
        one_line = node.end_lineno == node.lineno and node.end_col_offset is not None
        length = (node.end_col_offset or 0) - node.col_offset if one_line else max(1, len(line) - column + 1)
        return Location(self.code.relative(file), node.lineno, column, length)

    def _is_ignored(self, file: str, node: ast.expr | ast.arg, kind: str) -> bool:
        lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        return any(
            words is not None and (not words or kind in words) for words in (self._words(file, n) for n in lines)
        )

    def _words(self, file: str, line: int) -> list[str] | None:
        """What `# assetflow: ignore[...]` on a line names; empty for all, None when there is no such comment."""
        found = _IGNORE.search(self.code.line(file, line))
        if found is None:
            return None
        return [] if found[1] is None else [word.strip() for word in found[1].split(",")]

    def _wrong_words(self, unit: Unit) -> Iterator[Finding]:
        """Comments that ignore something that there is not, which would otherwise be believed to work."""
        for line in range(unit.line, unit.last_line + 1):
            for word in self._words(unit.file, line) or ():
                if word not in _IGNORABLE:
                    near = near_names(word, _IGNORABLE, 1)
                    where = Location(self.code.relative(unit.file), line)
                    text = f"`assetflow: ignore[{word}]` ignores nothing"
                    help_ = f"did you mean `{near[0]}`?" if near else f"one of: {', '.join(_IGNORABLE)}"
                    yield Finding("warning", "AF190", "ignore", text, where, (), help_)


def _shown(spec: AssetSpec) -> str:
    return f"{spec.file}:{spec.line}"


def _is_declared(spec: AssetSpec, finding: Finding) -> bool:
    """Whether the asset declares what it reads there, with `env=` or `files=`, so that a change of it is seen."""
    if finding.kind == "environment":
        return finding.detail in spec.env_vars
    return finding.kind == "file" and (finding.detail in spec.files or finding.detail.removeprefix("./") in spec.files)


def _unseen(spec: AssetSpec) -> Iterator[Finding]:
    """What the fingerprint could not look into. What is made anew with every load makes the asset stale every time."""
    for note in spec.code_notes:
        severity = "warning" if note.kind == "volatile" else "note"
        help_ = "make it inside the function, or give it a fixed value" if note.kind == "volatile" else _NOTED
        what = f"`{note.name}` in the code of `{spec.key}`: {note.text} ({note.kind})"
        where = Location(spec.file, spec.line)
        yield Finding(severity, "AF216", note.kind, what, where, (), help_, detail=f"{note.kind} {note.name}")
