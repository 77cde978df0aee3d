"""Projects made of shapes: written, edited, imported afresh, fingerprinted and run."""

from __future__ import annotations

import importlib
import random
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assetflow.fingerprint.code import CodeFingerprint, Fingerprinter
from assetflow.fingerprint.files import ProjectFiles
from assetflow.io.constants import constant_content
from assetflow.model.code import CodeSource
from tests.mutations.noise import NOISE
from tests.mutations.shapes import Shape, all_shapes

_PLACE = re.compile(r"«(=?\w+):([^»]*)»")


@dataclass(frozen=True)
class Edit:
    """One edit: the file and its new text, what it is, and which assets must become stale ("+": others may as well)."""

    name: str
    file: str
    text: str
    stale: frozenset[str]
    others_may: bool
    changes_meaning: bool


@dataclass
class Generated:
    """A project: its files, the edits of it that are known, and which assets reach everything."""

    files: dict[str, str]
    edits: list[Edit]
    shapes: list[str] = field(default_factory=list)


def deal(rng: random.Random, count: int = 5) -> Iterator[list[Shape]]:
    """The shapes of one project after another, without end; each shape comes once before any comes again."""
    while True:
        shapes = [*all_shapes()]
        rng.shuffle(shapes)
        for place in range(0, len(shapes), count):
            yield shapes[place : place + count]


def generate(rng: random.Random, shapes: Sequence[Shape]) -> Generated:
    """A project of several shapes, with all edits of their places and some that mean nothing in each file."""
    files: dict[str, str] = {"shop/__init__.py": ""}
    edits: list[Edit] = []
    for number, shape in enumerate(shapes):
        mark = str(rng.randrange(100, 999) * 10 + number)
        stale = {name: sets.replace("@@", mark).split() for name, sets in shape.stale.items()}
        for path, template in shape.files.items():
            raw = template.replace("@@", mark)
            file = path.replace("@@", mark)
            files[file] = _PLACE.sub(lambda found: found[2].split("→")[0], raw)
            for name, text in _edits(raw):
                sets = stale.get(name, [])
                others = "+" in sets
                assets = frozenset(one for one in sets if one != "+")
                edits.append(Edit(f"{shape.name}/{name}", file, text, assets, others, not name.startswith("=")))
            if file.endswith(".py"):
                edits += _noise(rng, shape.name, file, files[file])
    return Generated(files, edits, [shape.name for shape in shapes])


def _edits(template: str) -> list[tuple[str, str]]:
    """Every place with every one of its afters, all other places as they were."""
    found: list[tuple[str, str]] = []
    for match in _PLACE.finditer(template):
        before, *afters = match[2].split("→")
        for after in afters:
            if after == before:
                continue
            raw = template[: match.start()] + after + template[match.end() :]
            found.append((match[1], _PLACE.sub(lambda other: other[2].split("→")[0], raw)))
    return found


def _noise(rng: random.Random, shape: str, file: str, text: str) -> list[Edit]:
    found: list[Edit] = []
    for name, change in NOISE.items():
        edited = change(rng, text)
        if edited is not None and edited != text:
            found.append(Edit(f"{shape}/~{name}", file, edited, frozenset(), False, False))
    return found


class World:
    """One project on disk, and what importing it gives. Indexes of files and texts are kept, as a load keeps them."""

    def __init__(self, root: Path, project: Generated) -> None:
        self.root, self.project = root, project
        self.known: dict[str, object] = {}
        self.texts: dict[str, CodeSource] = {}
        for file, text in project.files.items():
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.tops = {file.partition("/")[0] for file in project.files if file.endswith(".py")}

    def look(self, edit: Edit | None, *, run: bool) -> tuple[dict[str, CodeFingerprint], dict[str, str]]:
        """The fingerprints of all assets after an edit, and what the assets compute."""
        path = None if edit is None else self.root / edit.file
        if edit is not None and path is not None:
            path.write_text(edit.text, encoding="utf-8")
        try:
            assets = self._import()
            files = ProjectFiles([self.root], None, self.known)  # type: ignore[arg-type]
            printer = Fingerprinter(files, constant_content, self.texts)
            prints = {name: printer.of(function) for name, function in assets.items()}
            if edit is None:
                self.known.update(files.indexes)
                self.texts = printer.sources()
            values = {name: _value(function) for name, function in assets.items()} if run else {}
            return prints, values
        finally:
            if edit is not None and path is not None:
                path.write_text(self.project.files[edit.file], encoding="utf-8")
            self.forget()

    def _import(self) -> dict[str, Callable[..., object]]:
        sys.path.insert(0, str(self.root))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for file in self.project.files:
                    if file.endswith(".py"):
                        importlib.import_module(file[:-3].replace("/", ".").removesuffix(".__init__"))
        finally:
            sys.path.remove(str(self.root))
        found: dict[str, Callable[..., object]] = {}
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in self.tops:
                for value in vars(module).values():
                    if "__assetflow__" in getattr(value, "__dict__", {}):
                        found[value.__name__] = value
        return found

    def forget(self) -> None:
        """Take the project's modules away."""
        for name in list(sys.modules):
            if name.partition(".")[0] in self.tops:
                del sys.modules[name]


def _value(function: Callable[..., object]) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return repr(function())
    except Exception as error:  # noqa: BLE001 - what an edit breaks may raise anything, and that is its value
        return f"{type(error).__name__}: {error}"
