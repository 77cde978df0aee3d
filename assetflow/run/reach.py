"""Modules of the project that ran though the definition of the asset does not reach them, and what they say.

The unit is the module, with the project's modules that it imports: a function depends on the constants and the other
functions of its module, and of these only the text can be had without running it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from assetflow.model.code import CodeSource
from assetflow.model.spec import AssetSpec
from assetflow.run.seen import CodeNow


class Reach(Struct, frozen=True):
    """The code that a definition is made of: whole files, and lines of files. `whole` means all of the project."""

    whole: bool
    files: frozenset[str]
    lines: frozenset[tuple[str, int, int]]

    @classmethod
    def of(cls, spec: AssetSpec, sources: Mapping[str, CodeSource]) -> Reach:
        """The reach of an asset's code."""
        parts = [sources[digest] for digest in (spec.code_parts or {}).values() if digest in sources]
        modules = [one for one in parts if one.kind == "module"]
        lines = [
            (one.file, one.line, one.line + one.text.count("\n"))
            for one in parts
            if one.file and one.kind in ("function", "class")
        ]
        whole = any(not one.file for one in modules)
        return cls(whole, frozenset(one.file for one in modules if one.file), frozenset(lines))

    def covers(self, path: str, line: int) -> bool:
        """Whether what begins on this line of a file (0: the file itself) is part of the definition."""
        names = {path, path.removeprefix("src/")}  # texts are kept by their path below the folder of modules
        if self.whole or names & self.files:
            return True
        return any(file in names and first <= line <= last for file, first, last in self.lines)


def with_imports(names: Iterable[str], root: Path, now: CodeNow) -> list[str]:
    """These modules, by path, and all of the project that they import."""
    found = dict.fromkeys(names)
    waiting = list(found)
    while waiting:
        path = str(root / waiting.pop())
        index = now.files.index(path)
        for imported in () if index is None else index.imports:
            for file in now.files.imported_files(path, imported):
                name = Path(file).relative_to(root).as_posix() if file.startswith(f"{root}{os.sep}") else ""
                if name and name not in found:
                    found[name] = None
                    waiting.append(name)
    return list(found)


def files_of_modules(names: Iterable[str]) -> Iterator[str]:
    """The files of imported modules."""
    for name in names:
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str) and file.endswith(".py"):
            yield file
