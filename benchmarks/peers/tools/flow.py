"""assetflow itself, with each of its executors, as its command line runs it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from typing_extensions import override

from benchmarks.peers.environments import Environments
from benchmarks.peers.graphs import Graph, Node, python_module
from benchmarks.peers.processes import Command
from benchmarks.peers.tools.base import ModuleTool, emptied, parquet_values

REPOSITORY = Path(__file__).resolve().parents[3]
ENTRY = "from assetflow.cli.main import run; run()"
"""What the installed `assetflow` consists of; so it is this checkout that is measured."""


def assetflow(root: Path, *arguments: str) -> Command:
    """The command line of this checkout, in a folder."""
    return Command((sys.executable, "-c", ENTRY, *arguments), root, {"PYTHONPATH": str(REPOSITORY)})


class Assetflow(ModuleTool):
    """One executor."""

    full = 10_000
    is_looked_at_made = True

    def __init__(self, environments: Environments, executor: str, io: str = "") -> None:
        super().__init__(environments)
        self.executor, self.io = executor, io
        self.name = f"assetflow-{io or executor}"
        if io == "duckdb":
            self.base, self.cases = "floor-duckdb", frozenset({"frames"})
        elif executor != "threads":  # what is current is found before there is an executor
            self.usual = 100
            self.cases = frozenset({"everything", "frames"})

    @override
    def lay(self, root: Path, graph: Graph) -> None:
        (root / "works").mkdir()
        (root / "works" / "__init__.py").touch()
        (root / "assetflow.toml").write_text('modules = ["works"]\n')
        for module, nodes in graph.modules().items():
            (root / "works" / f"{module}.py").write_text(self.module(graph, nodes))

    @override
    def module(self, graph: Graph, nodes: Sequence[Node]) -> str:
        decorator = f'@asset(io="{self.io}")\n' if self.io else "@asset\n"
        return python_module(graph, nodes, "from assetflow import asset\n", lambda _: decorator)

    @override
    def forget(self, root: Path) -> None:
        emptied(root / ".assetflow")

    @override
    def make(self, root: Path) -> Command:
        return assetflow(root, "materialize", "--quiet", "--executor", self.executor)

    @override
    def imports(self, root: Path) -> Command:
        modules = sorted(path.stem for path in (root / "works").glob("*.py") if path.stem != "__init__")
        code = "import " + ", ".join(f"works.{module}" for module in modules)
        return Command((self.python, "-c", code), root, {"PYTHONPATH": str(REPOSITORY)})

    @override
    def looks(self, root: Path) -> Mapping[str, Command]:
        if self.name != "assetflow-threads":  # the same for all executors
            return {}
        verbs = ("--version", "ls", "status", "plan")
        return {f"assetflow {verb}": assetflow(root, verb) for verb in verbs}

    @override
    def values(self, root: Path, graph: Graph) -> dict[str, list[int]]:
        return parquet_values(self._files(root))

    @override
    def table(self, root: Path, name: str) -> Path | tuple[Path, str]:
        return self._files(root)[name]

    @override
    def outputs(self, root: Path) -> list[Path] | None:
        return list((root / ".assetflow" / "data").glob("*/*/*/data.parquet"))

    def _files(self, root: Path) -> dict[str, Path]:
        """Where the current version of each asset is, by one look at the catalog: 10,000 take no time."""
        from assetflow.catalog.catalog import Catalog
        from assetflow.project import Project

        with Project.load(root) as project:
            catalog = Catalog(project.settings.catalog_path)
            try:
                heads = catalog.heads("dev")
            finally:
                catalog.close()
            folder = project.storage.root
        found = {asset: head.version for (asset, _), head in heads.items()}
        return {str(asset): folder / one.location / "data.parquet" for asset, one in found.items()}
