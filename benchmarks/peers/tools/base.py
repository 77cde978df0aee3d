"""What the benchmark asks of a tool: to lay out a project, and the processes that make it, look again, and go on."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from typing_extensions import override

from benchmarks.peers.environments import Environments
from benchmarks.peers.graphs import Graph, Node
from benchmarks.peers.processes import Command

_FEW = 100
"""So many files and folders cost nobody anything when they are deleted."""


class Tool:
    """A tool with defaults that suit a script; each method may be told otherwise.

    Attributes:
        name: as it is written on the command line and in tables.
        environment: its requirements file without ending; empty for the interpreter of this process.
        base: the tool that it is compared with.
        cases: what it takes part in, of `everything`, `nothing`, `leaf`, `root` and `frames`.
        usual: the largest number of tiny assets that it is given.
        full: the same with `--full`.
        once_from: from so many assets what takes long is done in one round only.
        notes: what a reader has to know of its figures, by case.
        is_looked_at_made: whether all is made before its verbs are measured.
        has_same_numbers: whether its big frames are those of the base, as they are if both make them in Python.
    """

    name = ""
    environment = ""
    base = "floor"
    cases: frozenset[str] = frozenset({"everything", "nothing", "leaf", "root", "frames"})
    usual = 1_000
    full = 10_000
    once_from = 5_000
    notes: Mapping[str, str] = MappingProxyType({})
    is_looked_at_made = False
    has_same_numbers = True

    def __init__(self, environments: Environments) -> None:
        self.environments = environments

    def imports(self, root: Path) -> Command | None:
        """A process that imports the project and nothing more; None where that is not measured."""
        return None

    @property
    def python(self) -> str:
        """The interpreter that has the tool."""
        return self.environments.python(self.environment) if self.environment else sys.executable

    def is_once(self, case: str, size: int) -> bool:
        """Whether it takes part in one round only."""
        return size >= self.once_from and case in ("everything", "root")

    def warm(self, root: Path) -> Command:
        """A process that has files read and modules compiled, before anything is measured."""
        return self.make(root)

    def lay(self, root: Path, graph: Graph) -> None:
        """Write the project of a graph into an empty folder."""
        raise NotImplementedError

    def forget(self, root: Path) -> None:
        """Delete what runs left, so that the next one makes everything."""
        raise NotImplementedError

    def make(self, root: Path) -> Command:
        """The process that makes everything."""
        raise NotImplementedError

    def again(self, root: Path) -> Command:
        """The process that is started when nothing has changed."""
        return self.make(root)

    def edit(self, root: Path, graph: Graph, name: str) -> None:
        """Write what an edit of one body changes in the project; the graph is that after the edit."""
        raise NotImplementedError

    def update(self, root: Path, affected: Sequence[str]) -> Command:
        """The process that makes what an edit made stale; a tool that finds that by itself needs no names."""
        return self.again(root)

    def looks(self, root: Path) -> Mapping[str, Command]:
        """Commands that only look, by how they are named in tables."""
        return {}

    def settle(self, root: Path) -> None:
        """What a user would do after a run that went well, and is not measured."""

    def values(self, root: Path, graph: Graph) -> dict[str, list[int]]:
        """The column `value` of each asset, in the order of `id`."""
        raise NotImplementedError

    def table(self, root: Path, name: str) -> Path | tuple[Path, str]:
        """Where an asset is: a Parquet file, or a DuckDB file and the name of its table."""
        raise NotImplementedError

    def outputs(self, root: Path) -> list[Path] | None:
        """The files that are outputs; None where assets are not files of their own."""
        return None

    def made_since(self, root: Path, moment_ns: int) -> int | None:
        """How many outputs were written since; None where that cannot be seen."""
        found = self.outputs(root)
        return None if found is None else sum(one.stat().st_mtime_ns >= moment_ns for one in found)


def emptied(*folders: Path) -> None:
    """Take folders of a tool's project away with all that is in them, if they are there."""
    for folder in folders:
        put_away(folder, folder.parents[2])


def put_away(folder: Path, beside: Path) -> None:
    """Delete a folder of few files; one of many is moved `beside`, to be deleted when all has been measured.

    Whenever ext4 makes a file it looks past the inode of each that was deleted in the last minutes: who makes many
    would pay for those of the round before. Big files are few, and shall not fill the disk.
    """
    if not folder.is_dir():
        return
    inside = (name for _, below, files in os.walk(folder) for name in (*below, *files))
    if len(list(islice(inside, _FEW))) < _FEW:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.rename(Path(tempfile.mkdtemp(prefix="gone-", dir=beside)) / folder.name)


def parquet_values(files: dict[str, Path]) -> dict[str, list[int]]:
    """The column `value` of each file, in the order of `id`."""
    import pyarrow.parquet as pq

    read = cast("Callable[[Path], Any]", pq.read_table)  # pyright: ignore[reportUnknownMemberType] - as all of pyarrow
    return {name: read(file).sort_by("id").column("value").to_pylist() for name, file in files.items()}


class ModuleTool(Tool):
    """A tool whose project is the package `works`, of modules with a function for each asset."""

    def module(self, graph: Graph, nodes: Sequence[Node]) -> str:
        """The text of a module with these functions."""
        raise NotImplementedError

    @override
    def edit(self, root: Path, graph: Graph, name: str) -> None:
        module = graph.module_of(name)
        (root / "works" / f"{module}.py").write_text(self.module(graph, graph.modules()[module]))
