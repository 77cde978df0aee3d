"""The floor: a plain script with `read_parquet` and `to_parquet`, which knows no versions and syncs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from benchmarks.peers.environments import Environments
from benchmarks.peers.graphs import Graph, python_module
from benchmarks.peers.processes import Command
from benchmarks.peers.tools.base import Tool, emptied, parquet_values

SCRIPT = '''\
"""Makes the tables in order; arguments: make these alone."""

import sys

import pandas as pd

from works import {modules}

STEPS = [
{steps}
]
wanted = set(sys.argv[1:])
for function, reads in STEPS:
    name = function.__name__
    if not wanted or name in wanted:
        function(*[pd.read_parquet(f"data/{{read}}.parquet") for read in reads]).to_parquet(f"data/{{name}}.parquet")
'''
KEPT = '''\
"""Makes the tables in order, and keeps each in memory while it is needed."""

import pandas as pd

from works import {modules}

STEPS = [
{steps}
]
last = {{read: number for number, (_, reads) in enumerate(STEPS) for read in reads}}
values = {{}}
for number, (function, reads) in enumerate(STEPS):
    name = function.__name__
    values[name] = function(*[values[read] for read in reads])
    values[name].to_parquet(f"data/{{name}}.parquet")
    for done in [one for one in values if last.get(one, number) <= number]:
        del values[done]
'''
DUCKDB = '''\
"""Makes the tables in order, in a DuckDB file, and reads each back as a frame."""

import duckdb

from works import {modules}

STEPS = [
{steps}
]
with duckdb.connect("data/tables.duckdb") as connection:
    for function, reads in STEPS:
        frame = function(*[connection.table(read).df() for read in reads])
        connection.sql(f"create or replace table {{function.__name__}} as select * from frame")
        del frame
'''


class Floor(Tool):
    """The script that reads back what it wrote, as every tool does that keeps assets apart."""

    name = "floor"
    script = SCRIPT

    def __init__(self, environments: Environments, environment: str = "") -> None:
        super().__init__(environments)
        if environment:
            self.environment = environment
            self.name = self.base = f"floor@{environment}"

    @override
    def is_once(self, case: str, size: int) -> bool:
        return size >= self.once_from and case != "leaf"  # it makes everything when nothing has changed

    @override
    def lay(self, root: Path, graph: Graph) -> None:
        (root / "works").mkdir()
        (root / "data").mkdir()
        (root / "works" / "__init__.py").touch()
        modules = graph.modules()
        for module, nodes in modules.items():
            (root / "works" / f"{module}.py").write_text(python_module(graph, nodes, "", lambda _: ""))
        steps = [f"    ({module}.{one.name}, {one.reads!r})," for module, nodes in modules.items() for one in nodes]
        (root / "run.py").write_text(self.script.format(modules=", ".join(modules), steps="\n".join(steps)))

    @override
    def forget(self, root: Path) -> None:
        emptied(root / "data")
        (root / "data").mkdir()

    @override
    def make(self, root: Path) -> Command:
        return Command((self.python, "run.py"), root)

    @override
    def edit(self, root: Path, graph: Graph, name: str) -> None:
        module = graph.module_of(name)
        text = python_module(graph, graph.modules()[module], "", lambda _: "")
        (root / "works" / f"{module}.py").write_text(text)

    @override
    def update(self, root: Path, affected: Sequence[str]) -> Command:
        return Command((self.python, "run.py", *affected), root)

    @override
    def imports(self, root: Path) -> Command:
        return Command((self.python, "run.py", "nothing"), root)

    @override
    def values(self, root: Path, graph: Graph) -> dict[str, list[int]]:
        return parquet_values({path.stem: path for path in (root / "data").glob("*.parquet")})

    @override
    def table(self, root: Path, name: str) -> Path | tuple[Path, str]:
        return root / "data" / f"{name}.parquet"

    @override
    def outputs(self, root: Path) -> list[Path] | None:
        return list((root / "data").glob("*.parquet"))


class KeptFloor(Floor):
    """The script that hands values on in memory and only writes them."""

    name = "floor-kept"
    cases = frozenset({"everything", "frames"})
    script = KEPT


class DuckFloor(Floor):
    """The script with tables of DuckDB in the place of Parquet files."""

    name = "floor-duckdb"
    base = "floor-duckdb"
    cases = frozenset({"frames"})
    script = DUCKDB

    @override
    def table(self, root: Path, name: str) -> Path | tuple[Path, str]:
        return root / "data" / "tables.duckdb", name
