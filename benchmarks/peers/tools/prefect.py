"""Prefect: a flow of cached tasks, each of which writes its table, with the server that it starts for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from typing_extensions import override

from benchmarks.peers.graphs import Graph, Node, python_module
from benchmarks.peers.processes import Command
from benchmarks.peers.tools.base import ModuleTool, emptied, parquet_values

STORED = '''\
"""A task that writes its frame to a file, and whose result is cached by its source and its inputs."""

import functools

from prefect import task
from prefect.cache_policies import INPUTS, TASK_SOURCE


def stored(function):
    @functools.wraps(function)
    def made(*arguments):
        frame = function(*arguments)
        frame.to_parquet(f"data/{function.__name__}.parquet")
        return frame

    return task(cache_policy=INPUTS + TASK_SOURCE, persist_result=True)(made)
'''
RUN = '''\
"""The flow."""

from prefect import flow

from works import {modules}

STEPS = [
{steps}
]


@flow
def make() -> None:
    values = {{}}
    for made, reads in STEPS:
        values[made.fn.__name__] = made(*[values[read] for read in reads])


if __name__ == "__main__":
    make()
'''


class Prefect(ModuleTool):
    """Tasks in order, each with `cache_policy=INPUTS + TASK_SOURCE` and a persisted result."""

    name = "prefect"
    environment = "prefect"
    cases = frozenset({"everything", "nothing", "leaf", "root"})
    usual = 10
    full = 100
    once_from = 10
    notes = MappingProxyType(dict.fromkeys(cases, "with its server; stored twice: Parquet, and pickled for its cache"))

    @override
    def is_once(self, case: str, size: int) -> bool:
        return size >= self.once_from

    @override
    def warm(self, root: Path) -> Command:
        return self.looks(root)["prefect --version"]

    @override
    def lay(self, root: Path, graph: Graph) -> None:
        (root / "works").mkdir()
        (root / "data").mkdir()
        (root / "works" / "__init__.py").touch()
        (root / "works" / "stored.py").write_text(STORED)
        modules = graph.modules()
        for module, nodes in modules.items():
            (root / "works" / f"{module}.py").write_text(self.module(graph, nodes))
        steps = [f"    ({module}.{one.name}, {one.reads!r})," for module, nodes in modules.items() for one in nodes]
        (root / "run.py").write_text(RUN.format(modules=", ".join(modules), steps="\n".join(steps)))

    @override
    def module(self, graph: Graph, nodes: Sequence[Node]) -> str:
        return python_module(graph, nodes, "from works.stored import stored\n", lambda _: "@stored\n")

    @override
    def forget(self, root: Path) -> None:
        emptied(root / "data", root / "home")
        (root / "data").mkdir()

    @override
    def looks(self, root: Path) -> Mapping[str, Command]:
        program = self.environments.program(self.environment, "prefect")
        return {"prefect --version": self._command(root, program, "--version")}

    @override
    def make(self, root: Path) -> Command:
        return self._command(root, self.python, "run.py")

    def _command(self, root: Path, *arguments: str) -> Command:
        quiet = {
            "PREFECT_HOME": str(root / "home"),
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
            "DO_NOT_TRACK": "1",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        return Command(arguments, root, quiet)

    @override
    def values(self, root: Path, graph: Graph) -> dict[str, list[int]]:
        return parquet_values({path.stem: path for path in (root / "data").glob("*.parquet")})

    @override
    def outputs(self, root: Path) -> list[Path] | None:
        return list((root / "data").glob("*.parquet"))
