"""Hamilton: functions of a module, with its cache, whose results are Parquet files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from typing_extensions import override

from benchmarks.peers.graphs import Graph, Node, python_module
from benchmarks.peers.processes import Command
from benchmarks.peers.tools.base import ModuleTool, emptied, parquet_values

RUN = '''\
"""Has the last tables of the graph executed; what they are made of is executed or known from the cache."""

import json
from pathlib import Path

from hamilton import driver

from works import {modules}

built = driver.Builder().with_modules({modules}).with_cache("cache").build()
built.execute({last!r})
Path("versions.json").write_text(json.dumps(built.cache.data_versions[built.cache.last_run_id]))
'''
PLAIN = '''\
"""Has every table of the graph executed and written, without a cache."""

from hamilton import driver
from hamilton.io.materialization import to

from works import {modules}

built = driver.Builder().with_modules({modules}).build()
names = {names!r}
written = [to.parquet(id=f"{{one}}_file", dependencies=[one], path=f"data/{{one}}.parquet") for one in names]
built.materialize(*written)
'''


class Hamilton(ModuleTool):
    """A driver with `with_cache()` and functions with `@cache(format="parquet")`."""

    name = "hamilton"
    environment = "hamilton"
    notes = MappingProxyType(dict.fromkeys(("everything", "frames"), "hands values on in memory, as floor-kept"))

    @override
    def is_once(self, case: str, size: int) -> bool:
        return case == "frames" or super().is_once(case, size)  # its cache hashes every row by itself: minutes

    @override
    def lay(self, root: Path, graph: Graph) -> None:
        (root / "works").mkdir()
        (root / "works" / "__init__.py").touch()
        for module, nodes in graph.modules().items():
            (root / "works" / f"{module}.py").write_text(self.module(graph, nodes))
        read = {name for node in graph.nodes for name in node.reads}
        last = [node.name for node in graph.nodes if node.name not in read]
        (root / "run.py").write_text(RUN.format(modules=", ".join(graph.modules()), last=last))

    @override
    def module(self, graph: Graph, nodes: Sequence[Node]) -> str:
        imports = "from hamilton.function_modifiers import cache\n"
        return python_module(graph, nodes, imports, lambda _: '@cache(format="parquet")\n')

    @override
    def forget(self, root: Path) -> None:
        emptied(root / "cache")
        (root / "versions.json").unlink(missing_ok=True)

    @override
    def make(self, root: Path) -> Command:
        return Command((self.python, "run.py"), root, {"HAMILTON_TELEMETRY_ENABLED": "false"})

    @override
    def values(self, root: Path, graph: Graph) -> dict[str, list[int]]:
        return parquet_values({node.name: self.file(root, node.name) for node in graph.nodes})

    @override
    def table(self, root: Path, name: str) -> Path | tuple[Path, str]:
        return self.file(root, name)

    def file(self, root: Path, name: str) -> Path:
        """Where the result of a function is, by what the last run said of it."""
        versions: dict[str, str] = json.loads((root / "versions.json").read_text())
        return (root / "cache" / versions[name]).with_suffix(".parquet")

    @override
    def outputs(self, root: Path) -> list[Path] | None:
        return list((root / "cache").glob("*.parquet"))


class PlainHamilton(Hamilton):
    """Without its cache, which looks at every row: what is made is written by materializers."""

    name = "hamilton-plain"
    cases = frozenset({"frames"})

    @override
    def is_once(self, case: str, size: int) -> bool:
        return False

    @override
    def lay(self, root: Path, graph: Graph) -> None:
        super().lay(root, graph)
        (root / "data").mkdir()
        names = [node.name for node in graph.nodes]
        (root / "run.py").write_text(PLAIN.format(modules=", ".join(graph.modules()), names=names))

    @override
    def forget(self, root: Path) -> None:
        emptied(root / "data")
        (root / "data").mkdir()

    @override
    def file(self, root: Path, name: str) -> Path:
        return root / "data" / f"{name}.parquet"

    @override
    def outputs(self, root: Path) -> list[Path] | None:
        return list((root / "data").glob("*.parquet"))
