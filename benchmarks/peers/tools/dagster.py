"""Dagster: assets with an IO manager of Parquet files, in one process or with the executor that it takes by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from typing_extensions import override

from benchmarks.peers.graphs import Graph, Node, python_module
from benchmarks.peers.processes import Command
from benchmarks.peers.tools.base import ModuleTool, emptied, parquet_values

DEFINITIONS = '''\
"""The definitions."""

from pathlib import Path

import pandas as pd
from dagster import ConfigurableIOManager, Definitions, load_assets_from_modules

from works import {modules}


class ParquetFiles(ConfigurableIOManager):
    folder: str

    def handle_output(self, context, obj: pd.DataFrame) -> None:
        obj.to_parquet(f"{{self.folder}}/{{context.asset_key.path[-1]}}.parquet")

    def load_input(self, context) -> pd.DataFrame:
        return pd.read_parquet(f"{{self.folder}}/{{context.asset_key.path[-1]}}.parquet")


assets = load_assets_from_modules([{modules}])
resources = {{"io_manager": ParquetFiles(folder=str(Path(__file__).parent / "data"))}}
defs = Definitions(assets=assets, resources=resources)
'''
MAKE = '''\
"""Materializes the assets that are named, or all, in this process."""

import sys

from dagster import DagsterInstance, materialize

from defs import assets, resources

with DagsterInstance.get() as instance:
    done = materialize(assets, instance=instance, resources=resources, selection=sys.argv[1:] or None)
    sys.exit(0 if done.success else 1)
'''
STALE = '''\
"""Materializes what is stale or missing: the look that the web page takes, with its records loaded in one batch."""

import sys

from dagster import DagsterInstance, materialize
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from dagster._utils.caching_instance_queryer import CachingInstanceQueryer

from defs import assets, defs, resources

with DagsterInstance.get() as instance:
    graph = defs.resolve_asset_graph()
    context = LoadingContextForTest(instance)
    queryer = CachingInstanceQueryer(instance, graph, context)
    keys = list(graph.materializable_asset_keys)
    queryer.prefetch_asset_records(keys)
    resolver = CachingStaleStatusResolver(instance, graph, context, queryer)
    stale = [key for key in keys if resolver.get_status(key) in (StaleStatus.STALE, StaleStatus.MISSING)]
    print(f"{len(stale)} of {len(keys)} are stale")
    if stale:
        done = materialize(assets, instance=instance, resources=resources, selection=stale)
        sys.exit(0 if done.success else 1)
'''


class Dagster(ModuleTool):
    """All in one process, as the function `materialize` does it: what Dagster is quickest at."""

    name = "dagster"
    environment = "dagster"
    base = "floor@dagster"
    usual = 100
    full = 1_000
    once_from = 1_000
    notes = MappingProxyType(dict.fromkeys(("leaf", "root"), "what to make is named, and code_version raised, by hand"))

    @override
    def is_once(self, case: str, size: int) -> bool:
        return size >= self.once_from

    @override
    def lay(self, root: Path, graph: Graph) -> None:
        for folder in ("works", "data", "home"):
            (root / folder).mkdir()
        (root / "works" / "__init__.py").touch()
        (root / "home" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        for module, nodes in graph.modules().items():
            (root / "works" / f"{module}.py").write_text(self.module(graph, nodes))
        (root / "defs.py").write_text(DEFINITIONS.format(modules=", ".join(graph.modules())))
        (root / "make.py").write_text(MAKE)
        (root / "stale.py").write_text(STALE)

    @override
    def module(self, graph: Graph, nodes: Sequence[Node]) -> str:
        return python_module(
            graph, nodes, "from dagster import asset\n", lambda node: f'@asset(code_version="{node.constant}")\n'
        )

    @override
    def forget(self, root: Path) -> None:
        settings = (root / "home" / "dagster.yaml").read_text()
        emptied(root / "data", root / "home")
        (root / "data").mkdir()
        (root / "home").mkdir()
        (root / "home" / "dagster.yaml").write_text(settings)

    def _command(self, root: Path, *arguments: str) -> Command:
        return Command(arguments, root, {"DAGSTER_HOME": str(root / "home"), "DAGSTER_DISABLE_TELEMETRY": "1"})

    @override
    def make(self, root: Path) -> Command:
        return self._command(root, self.python, "make.py")

    @override
    def again(self, root: Path) -> Command:
        return self._command(root, self.python, "stale.py")

    @override
    def looks(self, root: Path) -> Mapping[str, Command]:
        program = self.environments.program(self.environment, "dagster")
        return {
            "dagster --version": self._command(root, program, "--version"),
            "dagster asset list": self._command(root, program, "asset", "list", "-f", "defs.py"),
        }

    @override
    def update(self, root: Path, affected: Sequence[str]) -> Command:
        return self._command(root, self.python, "make.py", *affected)

    @override
    def values(self, root: Path, graph: Graph) -> dict[str, list[int]]:
        return parquet_values({path.stem: path for path in (root / "data").glob("*.parquet")})

    @override
    def table(self, root: Path, name: str) -> Path | tuple[Path, str]:
        return root / "data" / f"{name}.parquet"

    @override
    def outputs(self, root: Path) -> list[Path] | None:
        return list((root / "data").glob("*.parquet"))


class DagsterDefault(Dagster):
    """Its command line, with the executor that a project has that names none: a process for each asset."""

    name = "dagster-default"
    cases = frozenset({"everything"})
    usual = 10
    full = 1_000
    once_from = 10
    notes = MappingProxyType({})

    @override
    def looks(self, root: Path) -> Mapping[str, Command]:
        return {}

    @override
    def warm(self, root: Path) -> Command:
        program = self.environments.program(self.environment, "dagster")
        return self._command(root, program, "asset", "list", "-f", "defs.py")

    @override
    def make(self, root: Path) -> Command:
        program = self.environments.program(self.environment, "dagster")
        return self._command(root, program, "asset", "materialize", "--select", "*", "-f", "defs.py")
