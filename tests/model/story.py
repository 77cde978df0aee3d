"""The vocabulary of the model: a project as its author sees it, and results with what they were made from, in clear."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from hashlib import sha256


@dataclass(frozen=True)
class Input:
    """What a function takes. mode: `value`, `columns`, `version` (of a source, unread), `order` (of one `output`)."""

    parameter: str
    upstream: str
    mode: str = "value"
    columns: tuple[str, ...] = ()
    output: str = ""


@dataclass(frozen=True)
class Function:
    """A function of the project: what it takes and makes, what it depends on besides, and a file that it just opens."""

    outputs: tuple[str, ...]
    inputs: tuple[Input, ...] = ()
    body: int = 0
    helper: str = ""
    coarse: int = 2
    config: tuple[tuple[str, str], ...] | None = None
    comment: int = 0
    checked: str = ""
    opens: str = ""

    @property
    def text(self) -> str:
        """All that matters in the function's own text: not its comments, and not what its parameters are mapped to."""
        taken = [(one.parameter, one.columns) for one in self.inputs if one.parameter]
        return repr((self.outputs, taken, self.body, self.helper, self.coarse, self.config is not None, self.opens))


@dataclass(frozen=True)
class Recipe:
    """All that a result depends on; `reads` has parameter, upstream, mode, columns, and what was seen of it.

    `opened` has the files that were opened without a word, with what was in them.
    """

    text: str
    helper: str
    config: frozenset[tuple[str, str]]
    reads: frozenset[tuple[str, str, str, tuple[str, ...], str]]
    opened: tuple[tuple[str, str], ...] = ()

    @property
    def declared(self) -> Recipe:
        """What is known of it before the function runs."""
        return replace(self, opened=())


@dataclass
class Memory:
    """A trace: what gave which content as which version, where that is stored, and from which versions it was made.

    `kind` is that of the trace: only `run` was computed. `run` is the run that made it, or the last one before.
    """

    recipe: Recipe
    value: str
    number: int = 0
    trace: int = 0
    place: str = ""
    inputs: tuple[tuple[str, int], ...] = ()
    kind: str = "run"
    run: int = 0


@dataclass(frozen=True)
class Answer:
    """`value` is what an asset is known to hold when its turn has come, None while that is open."""

    action: str
    value: str | None = None
    link: Memory | None = None
    causes: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class Question:
    """What a plan is about: the assets it is asked for, whether with all above them, and which must run."""

    targets: Collection[str]
    with_upstream: bool = True
    forced: Collection[str] = ()


def content(output: str, function: Function, made_of: Recipe) -> str:
    """What a function makes of what it reads; the coarser it is, the more gives the same."""
    reads = sorted((parameter, value) for parameter, *_, value in made_of.reads if parameter)
    text = repr((output, function.body, made_of.helper, sorted(made_of.config), reads, made_of.opened))
    number = int.from_bytes(sha256(text.encode()).digest()[:8], "big")
    n, a, b = number % min(function.coarse, 3), number // 3 % function.coarse, number // 3000 % function.coarse
    return json.dumps([{"a": a, "b": b}] * n)


def seen(value: str, columns: tuple[str, ...]) -> str:
    """What an input sees of a table: the listed columns when it has them, else everything."""
    rows = json.loads(value) if columns and set(columns) <= {"a", "b"} and value.startswith("[") else None
    return value if rows is None else json.dumps([{name: row[name] for name in columns} for row in rows])


class State:
    """A project as it is declared now, and all that was ever computed in it."""

    def __init__(self) -> None:
        self.functions: list[Function] = []  # each after all that it takes
        self.helpers: dict[str, str] = {}
        self.sources: dict[str, str | None] = {}  # the token that a plan finds, None when it finds none
        self.files: dict[str, str] = {"e0": "0", "e1": "0"}  # those that functions open
        self.memories: dict[str, list[Memory]] = {}  # newest first
        self.current: dict[str, Memory] = {}
        self.gone: set[tuple[str, int]] = set()  # versions without bytes
        self.pinned: set[str] = set()
        self.invalid: dict[str, int] = {}  # the last trace before somebody said that none counts
        self.revoked: set[int] = set()  # traces that had been accepted

    def maker(self, key: str) -> Function:
        """The function that makes an asset."""
        return next(one for one in self.functions if key in one.outputs)

    def taken(self, key: str) -> list[Input]:
        """What an asset takes, and what its checks read."""
        return [one for one in self.maker(key).inputs if one.output in ("", key)]

    def is_lost(self, key: str) -> bool:
        """Whether what is current has no bytes."""
        return key in self.current and (key, self.current[key].number) in self.gone

    def counts(self, key: str, memory: Memory) -> bool:
        """Whether nobody said that it does not."""
        return memory.trace > self.invalid.get(key, 0) and memory.trace not in self.revoked

    def fits(self, memory: Memory, recipe: Recipe) -> bool:
        """Whether a result is what is declared now, and all that it was seen to open is as it was."""
        return memory.recipe.declared == recipe.declared and not self.changed_files(memory)

    def changed_files(self, memory: Memory) -> set[str]:
        """The files that a result was seen to open, and that hold something else now."""
        return {name for name, text in memory.recipe.opened if self.files[name] != text}

    def linkable(self, key: str) -> list[Memory]:
        """What could be current again: best what has the content of now, then the newest."""
        kinds = ("run", "accept") if key in self.invalid else ("run", "accept", "link", "observe")
        live = [one for one in self.memories.get(key, ()) if (key, one.number) not in self.gone and one.kind in kinds]
        now = self.current[key].value if key in self.current else ""
        return sorted((one for one in live if self.counts(key, one)), key=lambda one: one.value != now)
