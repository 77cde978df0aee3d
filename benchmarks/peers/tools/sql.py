"""Tools of SQL over DuckDB: dbt and SQLMesh, and the script of the same queries that they are compared with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from typing_extensions import override

from benchmarks.peers.environments import Environments
from benchmarks.peers.graphs import Graph
from benchmarks.peers.processes import Command
from benchmarks.peers.tools.base import Tool, emptied

SCRIPT = '''\
"""Makes the tables in order; arguments: make these alone."""

import sys

import duckdb

STEPS = {{
{steps}
}}
wanted = set(sys.argv[1:])
with duckdb.connect("tables.duckdb") as connection:
    for name, query in STEPS.items():
        if not wanted or name in wanted:
            connection.execute(f"create or replace table {{name}} as {{query}}")
'''


class InDuckDB(Tool):
    """What these have in common: tables in one file of DuckDB."""

    has_same_numbers = False  # big frames are random numbers of DuckDB

    @override
    def is_once(self, case: str, size: int) -> bool:
        return size >= self.once_from

    @override
    def values(self, root: Path, graph: Graph) -> dict[str, list[int]]:
        import duckdb

        found: dict[str, list[int]] = {}
        with duckdb.connect(str(root / "tables.duckdb"), read_only=True) as connection:
            for node in graph.nodes:
                try:
                    rows = connection.table(f"main.{node.name}").order("id").project("value").fetchall()
                except duckdb.Error:
                    continue
                found[node.name] = [row[0] for row in rows]
        return found

    @override
    def table(self, root: Path, name: str) -> Path | tuple[Path, str]:
        return root / "tables.duckdb", f"main.{name}"

    def forget_tables(self, root: Path) -> None:
        """Delete the file of the tables, with what DuckDB may have left beside it."""
        for file in root.glob("tables.duckdb*"):
            file.unlink()


class SqlFloor(InDuckDB):
    """A script that has the queries executed, in the environment of the tool that is compared with it."""

    def __init__(self, environments: Environments, environment: str) -> None:
        super().__init__(environments)
        self.environment = environment
        self.name = self.base = f"floor-sql@{environment}"

    @override
    def lay(self, root: Path, graph: Graph) -> None:
        steps = [f"    {node.name!r}: {node.query(str)!r}," for node in graph.nodes]
        (root / "run.py").write_text(SCRIPT.format(steps="\n".join(steps)))

    @override
    def forget(self, root: Path) -> None:
        self.forget_tables(root)

    @override
    def make(self, root: Path) -> Command:
        return Command((self.python, "run.py"), root)

    @override
    def edit(self, root: Path, graph: Graph, name: str) -> None:
        self.lay(root, graph)

    @override
    def update(self, root: Path, affected: Sequence[str]) -> Command:
        return Command((self.python, "run.py", *affected), root)


DBT_PROJECT = """\
name: works
version: "1.0"
profile: works
models:
  works:
    +materialized: table
flags:
  send_anonymous_usage_stats: false
"""
DBT_PROFILE = """\
works:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: tables.duckdb
      threads: 4
"""


class Dbt(InDuckDB):
    """Tables of dbt-duckdb; after the first run `state:modified+` against the manifest of the run before."""

    name = "dbt"
    environment = "dbt"
    base = "floor-sql@dbt"
    usual = 100
    full = 1_000
    once_from = 1_000

    @override
    def lay(self, root: Path, graph: Graph) -> None:
        (root / "models").mkdir()
        (root / "dbt_project.yml").write_text(DBT_PROJECT)
        (root / "profiles.yml").write_text(DBT_PROFILE)
        for node in graph.nodes:
            self._write(root, graph, node.name)

    def _write(self, root: Path, graph: Graph, name: str) -> None:
        node = next(one for one in graph.nodes if one.name == name)
        query = node.query(lambda upstream: f"{{{{ ref('{upstream}') }}}}")
        (root / "models" / f"{name}.sql").write_text(query + "\n")

    @override
    def forget(self, root: Path) -> None:
        emptied(root / "target", root / "state", root / "logs")
        self.forget_tables(root)

    def _command(self, root: Path, *arguments: str) -> Command:
        program = self.environments.program(self.environment, "dbt")
        return Command((program, "run", "--profiles-dir", ".", "--quiet", *arguments), root)

    @override
    def make(self, root: Path) -> Command:
        return self._command(root)

    @override
    def again(self, root: Path) -> Command:
        return self._command(root, "--select", "state:modified+", "--state", "state")

    @override
    def looks(self, root: Path) -> Mapping[str, Command]:
        program = self.environments.program(self.environment, "dbt")
        return {
            "dbt --version": Command((program, "--version"), root),
            "dbt ls": Command((program, "ls", "--profiles-dir", "."), root),
        }

    @override
    def edit(self, root: Path, graph: Graph, name: str) -> None:
        self._write(root, graph, name)

    @override
    def settle(self, root: Path) -> None:
        (root / "state").mkdir(exist_ok=True)
        shutil.copy(root / "target" / "manifest.json", root / "state" / "manifest.json")

    @override
    def made_since(self, root: Path, moment_ns: int) -> int | None:
        results = root / "target" / "run_results.json"
        if not results.is_file() or results.stat().st_mtime_ns < moment_ns:
            return 0
        return len(json.loads(results.read_text())["results"])


SQLMESH_CONFIG = """\
gateways:
  local:
    connection:
      type: duckdb
      database: tables.duckdb
default_gateway: local
model_defaults:
  dialect: duckdb
  start: 2024-01-01
disable_anonymized_analytics: true
"""


class Sqlmesh(InDuckDB):
    """Models of the kind FULL of SQLMesh; every time a plan that is applied."""

    name = "sqlmesh"
    environment = "sqlmesh"
    base = "floor-sql@sqlmesh"
    usual = 100
    full = 1_000
    once_from = 1_000

    @override
    def lay(self, root: Path, graph: Graph) -> None:
        (root / "models").mkdir()
        (root / "config.yaml").write_text(SQLMESH_CONFIG)
        for node in graph.nodes:
            self._write(root, graph, node.name)

    def _write(self, root: Path, graph: Graph, name: str) -> None:
        node = next(one for one in graph.nodes if one.name == name)
        query = node.query(lambda upstream: f"main.{upstream}")
        (root / "models" / f"{name}.sql").write_text(f"MODEL (name main.{name}, kind FULL);\n\n{query}\n")

    @override
    def forget(self, root: Path) -> None:
        emptied(root / ".cache", root / "logs")
        self.forget_tables(root)

    @override
    def make(self, root: Path) -> Command:
        program = self.environments.program(self.environment, "sqlmesh")
        arguments = ("plan", "--auto-apply", "--no-prompts", "--skip-tests")
        return Command((program, *arguments), root, {"SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true"})

    @override
    def looks(self, root: Path) -> Mapping[str, Command]:
        program = self.environments.program(self.environment, "sqlmesh")
        return {"sqlmesh --version": Command((program, "--version"), root)}

    @override
    def edit(self, root: Path, graph: Graph, name: str) -> None:
        self._write(root, graph, name)
