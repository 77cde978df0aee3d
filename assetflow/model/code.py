"""What is kept of the code behind an asset: the text of each piece that counts, and what is to be said about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from msgspec import Struct


class CodeSource(Struct, frozen=True):
    """The text of one piece of code or of one value, under its own digest.

    kind: `function`, `class`, `value`, `module` (a whole file), `wrapper` (something outside the project that holds
    project code) or `opaque` (a value that could not be looked into). `file` is relative to the project's root and
    `line` counts from 1; both are empty for what has no place. `text` is the raw dedented source; of a value its
    canonical readable text, abridged. `refers` says what the names in it mean, such as `net -> tax.net`: an import that
    changes can change what a text means without changing the text.
    """

    kind: str
    file: str
    line: int
    text: str
    refers: tuple[str, ...] = ()


class CodeNote(Struct, frozen=True):
    """Something about a fingerprint that people should know.

    kind: `widened` (more counts than is used), `opaque` (a value that could not be looked into), `dynamic` (what it
    reaches is only known when it runs), `volatile` (a value that is made anew with every load) or `bytecode` (its text
    is not at hand). `name` says what the note is about, `text` why.
    """

    kind: str
    name: str
    text: str


def source_to_json(source: CodeSource) -> list[object]:
    """The source as JSON-able values."""
    return [source.kind, source.file, source.line, source.text, *source.refers]


def source_from_json(found: Sequence[object]) -> CodeSource:
    """The source that `source_to_json` wrote."""
    kind, file, line, text, *refers = found
    return CodeSource(str(kind), str(file), int(cast("int", line)), str(text), tuple(map(str, refers)))


def note_to_json(note: CodeNote) -> list[str]:
    """The note as JSON-able values."""
    return [note.kind, note.name, note.text]


def note_from_json(found: Sequence[object]) -> CodeNote:
    """The note that `note_to_json` wrote."""
    kind, name, text = found
    return CodeNote(str(kind), str(name), str(text))


def sources_to_json(sources: Mapping[str, CodeSource]) -> dict[str, list[object]]:
    """Sources by digest as JSON-able values."""
    return {digest: source_to_json(source) for digest, source in sources.items()}


def sources_from_json(found: Mapping[str, Sequence[object]]) -> dict[str, CodeSource]:
    """The sources that `sources_to_json` wrote."""
    return {digest: source_from_json(source) for digest, source in found.items()}
