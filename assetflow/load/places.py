"""Where in a TOML file a key stands: the standard parser gives values but no places."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from assetflow.errors import Location

_TABLE = re.compile(r"\s*\[\[?([^\]]+)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""(\s*)((?:[\w\-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w\-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w\-]+|"[^"]*"|'[^']*'""")

KeyPath = tuple[str, ...]


def key_places(text: str, file: str) -> dict[KeyPath, Location]:
    """The place of every key and table of a TOML text that parsed without error.

    It goes by lines: a line of a multi-line text that looks like a key is taken for one, which at worst points a
    message at the wrong line.
    """
    found: dict[KeyPath, Location] = {}
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = _TABLE.match(line)
        key = None if header else _KEY.match(line)
        if header:
            table = _parts(header[1])
            found.setdefault(table, Location(file, number, line.index("[") + 1, len(line.strip())))
        elif key:
            path = (*table, *_parts(key[2]))
            place = Location(file, number, len(key[1]) + 1, len(key[2]))
            for end in range(len(table) + 1, len(path) + 1):
                found.setdefault(path[:end], place)
    return found


def nearest_place(places: Mapping[KeyPath, Location], path: Sequence[str], file: str) -> Location:
    """The place of the key, or of the table around it when the key stands in an inline table."""
    for end in range(len(path), 0, -1):
        place = places.get(tuple(path[:end]))
        if place is not None:
            return place
    return Location(file, 1)


def _parts(dotted: str) -> KeyPath:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
