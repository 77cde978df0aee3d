"""What tools are let do: make everything, look again, go on after an edit; and the checks of what they left."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from statistics import median

from benchmarks.peers.environments import Environments
from benchmarks.peers.figures import LEFT_OUT, Figure, Turn, WrongOutput, in_turns
from benchmarks.peers.graphs import Graph, chain, diamond, layered, tiny_values
from benchmarks.peers.processes import Command, ProcessFailed, run
from benchmarks.peers.tools.base import Tool, put_away

NOTHING = "python -c pass"
IMPORTS = "imports of "


@dataclass(slots=True)
class Bench:
    """One run of the benchmark.

    Attributes:
        folder: where projects are made, those of one case at a time.
        tools: who takes part, each after the one that it is compared with.
        absent: why a tool cannot take part, by its name.
        rounds: how often each figure is taken.
        is_full: whether the larger limits of tools hold.
        said: hears what is going on.
        patience_s: after so long a process is ended, and its tool has failed.
    """

    folder: Path
    tools: Sequence[Tool]
    absent: dict[str, str]
    rounds: int
    is_full: bool
    said: Callable[[str], None]
    environments: Environments
    patience_s: float = 1800.0
    places: dict[str, Path] = field(default_factory=dict[str, Path])

    def invite(self, part: str, case: str, size: int) -> tuple[list[Tool], list[Figure]]:
        """Who takes part in a case of this size; and for each of the others a figure that says why not."""
        invited: list[Tool] = []
        others: list[Figure] = []
        more = "" if self.is_full else ", see --full"
        for tool in self.tools:
            if case not in tool.cases:
                continue
            limit = tool.full if self.is_full else tool.usual
            error = self.absent.get(tool.name, "")
            if part == "tiny" and size > limit:
                error = error or f"{LEFT_OUT}: takes part up to {limit} assets{more}"
            if error:
                others.append(Figure(part, case, size, tool.name, tool.base, error=error))
            else:
                invited.append(tool)
        compared = {tool.base for tool in invited if tool.base != tool.name}
        return [tool for tool in invited if tool.base != tool.name or tool.name in {*compared, "floor"}], others

    def lay(self, tools: Sequence[Tool], graph: Graph) -> None:
        """A fresh project of each tool, with its bytecode compiled, in `places`; what was there goes."""
        self.clear()
        for tool in tools:
            self.add(tool, graph)

    def clear(self) -> None:
        """Take all projects away."""
        put_away(self.folder, self.folder.parent)
        self.folder.mkdir(parents=True)
        self.places = {}

    def warm(self, cases: Collection[str]) -> None:
        """Let every tool of these cases make a few assets, which is not counted: first times meet no figure."""
        self.clear()
        graph = layered(10)
        for tool in self.tools:
            if tool.name not in self.absent and not tool.cases.isdisjoint(cases):
                self.said(f"{tool.name} is warmed up")
                try:
                    run(tool.warm(self.add(tool, graph)), self.patience_s)
                except (ProcessFailed, OSError) as problem:
                    self.said(f"{tool.name} failed: {problem}")  # as it will again, where that is a figure

    def add(self, tool: Tool, graph: Graph) -> Path:
        """A project more."""
        root = self.folder / tool.name.replace(" ", "_")
        root.mkdir()
        tool.lay(root, graph)
        run(Command((tool.python, "-m", "compileall", "-q", "."), root))
        self.places[tool.name] = root
        return root


def _turn(
    bench: Bench,
    tool: Tool,
    case: str,
    size: int,
    prepare: Callable[[], Command],
    check: Callable[[], int | None],
    needed: int,
) -> Turn:
    rounds = int(tool.is_once(case, size))
    return Turn(tool.name, prepare, check, tool.base, rounds, tool.notes.get(case, ""), needed, bench.patience_s)


# ------------------------------------------------------------------------------------------------------ tiny assets


def tiny(bench: Bench, size: int) -> list[Figure]:
    """All assets of a layered graph, made for the first time."""
    tools, others = bench.invite("tiny", "everything", size)
    graph = layered(size)
    expected = tiny_values(graph)
    bench.lay(tools, graph)

    def prepare(tool: Tool) -> Command:
        root = bench.places[tool.name]
        tool.forget(root)
        return tool.make(root)

    def check(tool: Tool) -> int:
        return _checked(tool, bench.places[tool.name], graph, expected)

    turns = [
        _turn(bench, one, "everything", size, functools.partial(prepare, one), functools.partial(check, one), size)
        for one in tools
    ]
    return in_turns("tiny", "everything", size, turns, bench.rounds, bench.said) + others


def _checked(tool: Tool, root: Path, graph: Graph, expected: dict[str, list[int]]) -> int:
    found = tool.values(root, graph)
    wrong = [name for name in expected if found.get(name) != expected[name]]
    if wrong:
        raise WrongOutput(
            f"{len(wrong)} of {len(expected)} outputs are missing or wrong, such as {', '.join(wrong[:3])}"
        )
    return len(expected)


def changes(bench: Bench, size: int, cases: Sequence[str]) -> Iterator[list[Figure]]:
    """Runs after everything was made, of the cases `nothing` has changed, the body of one `leaf`, of one `root`."""
    invited, others = bench.invite("tiny", "leaf", size)
    graph = layered(size)
    bench.lay(invited, graph)
    errors: dict[str, str] = {}
    for tool in invited:
        try:
            bench.said(f"tiny {size}: {tool.name} makes everything")
            run(tool.make(bench.places[tool.name]), bench.patience_s)
            _checked(tool, bench.places[tool.name], graph, tiny_values(graph))
            tool.settle(bench.places[tool.name])
        except (ProcessFailed, WrongOutput, OSError) as problem:
            bench.said(f"{tool.name} failed: {problem}")
            errors[tool.name] = f"makes everything: {problem}"
    later = {tool.name: Later(bench, tool, graph) for tool in invited}
    for case in cases:
        turns = [later[tool.name].turn(case) for tool in invited if tool.name not in errors]
        if case == "nothing":  # what a script costs that knows beforehand that there is nothing to do
            start = Command((sys.executable, "-c", "pass"), bench.folder)
            turns.append(Turn(NOTHING, lambda start=start: start, lambda: None, NOTHING))
        else:
            importing = [(one, one.imports(bench.places[one.name])) for one in invited if one.name not in errors]
            turns += [
                Turn(f"{IMPORTS}{one.name}", lambda command=command: command, lambda: None, one.base)
                for one, command in importing
                if command is not None
            ]
        figures = in_turns("tiny", case, size, turns, bench.rounds, bench.said)
        yield [
            *figures,
            *(_besides(figures, case, size) if case != "nothing" else ()),
            *(replace(one, case=case) for one in others),
            *(
                Figure("tiny", case, size, tool.name, tool.base, error=errors[tool.name])
                for tool in invited
                if tool.name in errors
            ),
        ]
        errors |= {one.tool: f"failed before, in {case}" for one in figures if one.error}


def _besides(figures: Sequence[Figure], case: str, size: int) -> list[Figure]:
    """What a run takes besides the part that changed, in imports of its own modules.

    The part is what the script takes to make it, without the imports of the script.
    """
    known = {one.tool: one.samples for one in figures if not one.error}
    if not {"floor", f"{IMPORTS}floor"} <= known.keys():
        return []
    found: list[Figure] = []
    for name in (one for one in known if one != "floor" and f"{IMPORTS}{one}" in known):
        rounds = list(
            zip(known[name], known["floor"], known[f"{IMPORTS}floor"], known[f"{IMPORTS}{name}"], strict=False)
        )
        if rounds:
            facts = {
                f"{name}, {what}": median((of(own) - of(made) + of(idle)) / of(its) for own, made, idle, its in rounds)
                for what, of in (("wall", attrgetter("wall_s")), ("CPU", attrgetter("cpu_s")))
            }
            found.append(
                Figure("tiny", f"{case}, without the part, in imports of its modules", size, name, "", facts=facts)
            )
    return found


class Later:
    """The runs of one tool after the first: before each, the body that changes is given another constant."""

    def __init__(self, bench: Bench, tool: Tool, graph: Graph) -> None:
        self.bench, self.tool, self.graph = bench, tool, graph
        self.root = bench.places[tool.name]
        self.constant = 100_000
        self.began_ns = 0

    def turn(self, case: str) -> Turn:
        """The side of this tool in a case."""
        name = {"nothing": "", "leaf": self.graph.nodes[-1].name, "root": self.graph.nodes[0].name}[case]
        affected = self.graph.affected(name) if name else []
        prepare = functools.partial(self._prepare, name, affected)
        return _turn(self.bench, self.tool, case, len(self.graph.nodes), prepare, self._check, len(affected))

    def _prepare(self, name: str, affected: Sequence[str]) -> Command:
        if name:
            self.constant += 1
            self.graph = self.graph.edited(name, self.constant)
            self.tool.edit(self.root, self.graph, name)
        self.began_ns = time.time_ns()
        return self.tool.update(self.root, affected) if name else self.tool.again(self.root)

    def _check(self) -> int | None:
        """How many outputs were written; what there is now must be what the bodies say now."""
        _checked(self.tool, self.root, self.graph, tiny_values(self.graph))
        made = self.tool.made_since(self.root, self.began_ns)
        self.tool.settle(self.root)
        return made


# ------------------------------------------------------------------------------------------------------- big frames


def frames(bench: Bench, rows: int) -> Iterator[list[Figure]]:
    """A chain and a diamond of five big frames."""
    for case, graph in (("chain", chain(rows)), ("diamond", diamond(rows))):
        tools, others = bench.invite("frames", "frames", rows)
        bench.lay(tools, graph)

        def prepare(tool: Tool) -> Command:
            root = bench.places[tool.name]
            tool.forget(root)
            return tool.make(root)

        def check(tool: Tool, graph: Graph = graph) -> int:
            return _same_tables(bench, tool, graph, rows)

        turns = [
            _turn(
                bench,
                one,
                "frames",
                0,
                functools.partial(prepare, one),
                functools.partial(check, one),
                len(graph.nodes),
            )
            for one in tools
        ]
        yield in_turns("frames", case, rows, turns, bench.rounds, bench.said) + [
            replace(one, case=case) for one in others
        ]


def _same_tables(bench: Bench, tool: Tool, graph: Graph, rows: int) -> int:
    """Every table has all rows, and sums that are those of the base."""
    for node in graph.nodes:
        own = _digest(tool.table(bench.places[tool.name], node.name))
        if own[0] != rows:
            raise WrongOutput(f"{node.name} has {own[0]} rows instead of {rows}")
        if tool.base != tool.name and tool.base in bench.places and tool.has_same_numbers:
            other = next(one for one in bench.tools if one.name == tool.base)
            expected = _digest(other.table(bench.places[other.name], node.name))
            if own != expected:
                raise WrongOutput(f"{node.name} is not what {other.name} has: {own} instead of {expected}")
    return len(graph.nodes)


def _digest(place: Path | tuple[Path, str]) -> tuple[object, ...]:
    import duckdb

    query = (
        "select count(*), sum(id), sum(quantity), round(sum(cast(price as decimal(18, 6))), 3), "
        "round(sum(cast(weight as decimal(18, 6))), 3), min(customer), max(customer), min(moment), max(moment) from "
    )
    file, table = place if isinstance(place, tuple) else (None, f"read_parquet('{place}')")
    try:
        with duckdb.connect(str(file or ":memory:"), read_only=file is not None) as connection:
            return tuple(connection.sql(query + table).fetchall()[0])
    except duckdb.Error as problem:
        raise WrongOutput(str(problem)) from problem
