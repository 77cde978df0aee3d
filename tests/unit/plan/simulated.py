"""A project, its memory and its runs, simulated: contents are small tables computed by a pure function of what is read.

What is remembered beside each trace is its recipe: the definition and the *values* that were read, without any hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from assetflow.errors import SourceMissing
from assetflow.model.keys import AssetKey
from assetflow.model.records import Head, Pin, Trace, TraceInput, Version
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.plan.graph import AssetGraph
from assetflow.plan.planner import Plan, SourceNow, Step, World
from assetflow.plan.staleness import Content, digest_of, input_key

Table = str | tuple[int, tuple[tuple[str, int], ...]]
"""The token of a source; or the row count of an asset and its columns, each a name and a number for its content."""


@dataclass
class Function:
    """A function of the project. `after` are order-only inputs of single outputs, as checks have them."""

    name: str
    outputs: tuple[str, ...]
    inputs: list[InputSpec]
    after: dict[str, list[str]]
    coarse: int
    code: int = 0
    config: dict[str, str] = field(default_factory=dict[str, str])

    def inputs_of(self, output: str) -> tuple[InputSpec, ...]:
        return (*self.inputs, *(InputSpec("", AssetKey(key), "order") for key in self.after.get(output, ())))

    @property
    def signature(self) -> str:
        """What a fingerprint sees of the parameters: their names and annotations, not what they are mapped to."""
        return repr(sorted((one.parameter, one.mode, one.columns) for one in self.inputs if one.parameter))

    @property
    def parts(self) -> dict[str, str]:
        """The digests of the function itself and of a helper that it calls; codes share one or the other."""
        return {self.name: f"{self.code // 3}{self.signature}", "helper": str(self.code % 3)}

    def make(self, output: str, recipe: Recipe) -> Table:
        """The output for what is read; the coarser the function, the more gives the same."""
        text = repr((output, recipe.own, recipe.helper, sorted(recipe.config), sorted(map(repr, recipe.reads))))
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        a, b = number % self.coarse, number // self.coarse % self.coarse
        return (number // self.coarse**2 % min(self.coarse, 2), (("a", a), ("b", b)))


@dataclass(frozen=True)
class Read:
    """One thing that was read, and by which parameter."""

    parameter: str
    upstream: str
    mode: str
    columns: tuple[str, ...]
    value: Table


@dataclass(frozen=True)
class Recipe:
    """All that a result depends on, in clear."""

    own: str
    helper: str
    config: frozenset[tuple[str, str]]
    reads: frozenset[Read]


@dataclass(frozen=True)
class Memory:
    """A trace with what it was made from and what it gave."""

    recipe: Recipe
    head: Head
    table: Table


def seen(given: InputSpec, table: Table) -> Table:
    """What an input sees of an upstream: the listed columns when it has them, else everything."""
    if given.mode != "columns" or isinstance(table, str) or not set(given.columns) <= dict(table[1]).keys():
        return table
    columns = dict(table[1])
    return (table[0], tuple((name, columns[name]) for name in given.columns))


def recipe_of(function: Function, tables: Mapping[str, Table]) -> Recipe:
    """What an output is made from when the upstreams hold `tables`."""
    reads = [
        Read(one.parameter, one.upstream, one.mode, one.columns, seen(one, tables[one.upstream]))
        for one in function.inputs
    ]
    parts = function.parts
    return Recipe(parts[function.name], parts["helper"], frozenset(function.config.items()), frozenset(reads))


def known(tables: Mapping[str, Table | None]) -> dict[str, Table]:
    """The tables that are there."""
    return {key: table for key, table in tables.items() if table is not None}


def content_of(table: Table, number: int | None) -> Content:
    """The table as the planner knows it."""
    if isinstance(table, str):
        return Content(table, None, {}, number)
    return Content(f"data:{table!r}", table[0], {name: f"column:{value}" for name, value in table[1]}, number)


class Project:
    """Sources and functions as they are now, and all that was ever computed."""

    def __init__(
        self, sources: Mapping[str, str | None], functions: Iterable[Function], *, is_declared_backwards: bool = False
    ) -> None:
        self.is_declared_backwards = is_declared_backwards
        self.sources = dict(sources)
        self.functions = {one.name: one for one in functions}
        self.maker = {output: one.name for one in self.functions.values() for output in one.outputs}
        self.memories: dict[str, list[Memory]] = {}  # newest first
        self.current: dict[str, Memory] = {}
        self.tables: dict[tuple[str, int], Table] = {}  # by key and version number
        self.lost: set[tuple[str, int]] = set()
        self.pinned: set[str] = set()
        self._newest: dict[str, int] = {}
        self._traces = 0

    # -- what the planner sees

    def graph(self) -> AssetGraph:
        specs = [_spec(key, "source", Function(key, (key,), [], {}, 1)) for key in self.sources]
        specs += [_spec(output, "asset", one) for one in self.functions.values() for output in one.outputs]
        return AssetGraph(reversed(specs) if self.is_declared_backwards else specs)

    def world(self) -> World:
        heads = {(AssetKey(key), ""): memory.head for key, memory in self.current.items()}
        lost = frozenset(AssetKey(key) for key in self.current if self.is_lost(key))
        return World(
            self.graph(), "dev", heads, {AssetKey(key): self._now(key) for key in self.sources}, self._find, lost,
            {AssetKey(key): Pin(AssetKey(key), "", "pin", "ann", 0.0) for key in self.pinned},
        )  # fmt: skip

    def is_lost(self, key: str) -> bool:
        memory = self.current.get(key)
        return memory is not None and (key, memory.head.version.number) in self.lost

    def live(self, key: str) -> list[Memory]:
        """The memories of an asset whose bytes are there, newest first."""
        return [one for one in self.memories.get(key, ()) if (key, one.head.version.number) not in self.lost]

    def _find(self, keys: list[AssetKey]) -> Mapping[tuple[AssetKey, str], Mapping[str, Head]]:
        return {(key, ""): {one.head.trace.input_key: one.head for one in reversed(self.live(key))} for key in keys}

    def _now(self, key: str) -> SourceNow:
        token = self.sources[key]
        return SourceNow("", problem=SourceMissing(f"{key} is not there")) if token is None else SourceNow(token)

    # -- what a run does

    def carry_out(self, plan: Plan, forced: Collection[str], broken: Collection[str]) -> tuple[set[str], set[str]]:
        """Do what the runner does for a plan: the assets that ran, and those that were linked. `broken` nodes fail."""
        for step in plan:
            token = self.sources.get(step.asset)
            if token is not None and self.table(step.asset) != token:
                self._remember(step.asset, Recipe(token, "", frozenset(), frozenset()), token, step.spec, {})
        ran: set[str] = set()
        linked: set[str] = set()
        failed = {step.asset for step in plan if step.spec.is_source and self.sources[step.asset] is None}
        failed |= {step.asset for step in plan if step.asset in self.pinned and self.is_lost(step.asset)}
        todo = [name for name in self.functions if any(self._is_due(plan.steps[key]) for key in self._in(plan, name))]
        for name in todo:  # functions are declared in an order in which they can run
            function = self.functions[name]
            keys = [key for key in self._in(plan, name) if self._is_due(plan.steps[key])]
            taken = {one.upstream for key in keys for one in function.inputs_of(key)}
            tables = known({str(one.upstream): self.table(one.upstream) for one in function.inputs})
            if name in broken or taken & failed or any(one.upstream not in tables for one in function.inputs):
                failed.update(keys)
                continue
            recipe = recipe_of(function, tables)
            found = {key: self._settled(key, recipe, key in forced) for key in keys}
            if all(memory is not None for memory in found.values()):
                for key, memory in found.items():
                    if memory is not None and memory is not self.current.get(key):
                        self._move(key, memory)
                        linked.add(key)
                continue
            for key in keys:
                self._remember(key, recipe, function.make(key, recipe), plan.steps[AssetKey(key)].spec, tables)
                ran.add(key)
        return ran, linked

    def table(self, key: str) -> Table | None:
        """What is current."""
        memory = self.current.get(key)
        return None if memory is None else memory.table

    def evaluate(self, key: str) -> Table | None:
        """What a computation of everything but what is pinned would give; None when a source is missing."""
        if key in self.sources:
            return self.sources[key]
        if key in self.pinned:
            return self.table(key)
        function = self.functions[self.maker[key]]
        tables = known({str(one.upstream): self.evaluate(one.upstream) for one in function.inputs})
        if any(one.upstream not in tables for one in function.inputs):
            return None
        return function.make(key, recipe_of(function, tables))

    def _is_due(self, step: Step) -> bool:
        return step.action != "current" and step.asset not in self.pinned

    def _in(self, plan: Plan, name: str) -> list[AssetKey]:
        return [AssetKey(key) for key in self.functions[name].outputs if key in plan.steps]

    def _settled(self, key: str, recipe: Recipe, is_forced: bool) -> Memory | None:
        current = self.current.get(key)
        if is_forced:
            return None
        if current is not None and current.recipe == recipe and not self.is_lost(key):
            return current
        return next((one for one in self.live(key) if one.recipe == recipe), None)

    def _remember(self, key: str, recipe: Recipe, table: Table, spec: AssetSpec, tables: Mapping[str, Table]) -> None:
        before = self.current.get(key)
        number = self._newest.get(key, 0) + 1
        if before is not None and before.table == table and not self.is_lost(key):
            number = before.head.version.number
        self.tables[key, number] = table
        self._newest[key] = max(number, self._newest.get(key, 0))
        self._traces += 1
        content = content_of(table, number)
        known = [(one, content_of(tables[one.upstream], None)) for one in spec.inputs if one.upstream in tables]
        digests = [(one, digest_of(one, given)) for one, given in known]
        inputs = tuple(
            TraceInput(one.parameter, one.upstream, one.mode, digest, self.current[one.upstream].head.version.number)
            for one, digest in digests
        )
        version = Version(
            number,
            spec.key,
            "",
            number,
            content.data_hash,
            "parquet",
            "",
            content.rows,
            None,
            {},
            content.columns,
            {},
            0.0,
        )
        trace = Trace(
            self._traces, spec.key, "", input_key(spec, digests), spec.code,
            spec.code_parts or {}, spec.config or {}, inputs, number, number, content.data_hash, None, "run", 0.0, 0.0,
            None, {},
        )  # fmt: skip
        self._move(key, Memory(recipe, Head("dev", trace, version, 0, 0, 0.0), table))

    def move_back(self, key: str, memory: Memory) -> None:
        """What a rollback does: the pointer moves, and stays there."""
        self.current[key] = memory
        self.pinned.add(key)

    def _move(self, key: str, memory: Memory) -> None:
        self.current[key] = memory
        self.memories.setdefault(key, []).insert(0, memory)


def _spec(key: str, kind: str, made_by: Function) -> AssetSpec:
    return AssetSpec(
        key=AssetKey(key), kind=kind, node=made_by.name, inputs=made_by.inputs_of(key), group="", owners=(), tags={},
        description="", io="parquet", file="assets.py", line=1, code=repr(made_by.parts), code_parts=made_by.parts,
        config=dict(made_by.config),
    )  # fmt: skip
