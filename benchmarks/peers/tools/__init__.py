"""The tools that are compared."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.peers.environments import Environments
from benchmarks.peers.tools.base import Tool
from benchmarks.peers.tools.dagster import Dagster, DagsterDefault
from benchmarks.peers.tools.floor import DuckFloor, Floor, KeptFloor
from benchmarks.peers.tools.flow import Assetflow
from benchmarks.peers.tools.hamilton import Hamilton, PlainHamilton
from benchmarks.peers.tools.prefect import Prefect
from benchmarks.peers.tools.sql import Dbt, SqlFloor, Sqlmesh


def every(environments: Environments) -> list[Tool]:
    """All tools, each after the one that it is compared with."""
    return [
        Floor(environments),
        KeptFloor(environments),
        Assetflow(environments, "threads"),
        Assetflow(environments, "inline"),
        Assetflow(environments, "processes"),
        Hamilton(environments),
        PlainHamilton(environments),
        Floor(environments, "dagster"),
        Dagster(environments),
        DagsterDefault(environments),
        Prefect(environments),
        SqlFloor(environments, "dbt"),
        Dbt(environments),
        SqlFloor(environments, "sqlmesh"),
        Sqlmesh(environments),
        DuckFloor(environments),
        Assetflow(environments, "threads", "duckdb"),
    ]


def choose(names: Sequence[str], environments: Environments) -> list[Tool]:
    """The tools with these names, or of which a name is the first word.

    Raises:
        SystemExit: if there is none of a name.
    """
    tools = every(environments)
    words = {name: [tool for tool in tools if name == tool.name or name == _word(tool)] for name in names}
    if unknown := [name for name, found in words.items() if not found and name != "all"]:
        raise SystemExit(f"no tool is called {', '.join(unknown)}; there are {', '.join(tool.name for tool in tools)}")
    return tools if "all" in names else [tool for tool in tools if any(tool in found for found in words.values())]


def _word(tool: Tool) -> str:
    """The first word of a name; none of a script in a peer's environment, which is not made for its own sake."""
    return "" if tool.name == tool.base and tool.environment else tool.name.split("-")[0]


def bases(chosen: Sequence[Tool], environments: Environments) -> list[Tool]:
    """The chosen tools and those that they are compared with, in order."""
    needed = {tool.name for tool in chosen} | {tool.base for tool in chosen}
    return [tool for tool in every(environments) if tool.name in needed]
