"""Indexes of edited files: what is taken from the index of before is what is found in the text."""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from assetflow.fingerprint.files import ProjectFiles

PACKAGE = Path(__file__).parents[3] / "assetflow"
PATH = "/project/works.py"
ODD = '''\
# -*- coding: latin-1 -*-
import pandas as pd
from os import (
    path as way
)
LIMIT = 3; OTHER = 4
@asset(
    "one"
)
def one(a: Annotated[int, In(accept="last_good")], b=lambda x: x + 1) -> int:
    """Docs."""
    total: int = 1
    return a + LIMIT + (lambda: total)()
@register("total")
class Totals(Base):
    rate = 0.2
    def get(self): return [one for one in self.rows if one]; pass
def late():
    import json
    from . import sibling
    pd.DataFrame.total = one
    return json
def sets(): setattr(pd.Series, "mean_of", one)
try:
    def maybe(): return "\xe9"
except ImportError:
    from works import maybe
if LIMIT:
    class Inner: value = 1
async def wait(x, /, *, y): return await x
def one(a): return a
'''


def texts() -> Iterator[bytes]:
    yield ODD.encode("latin-1")
    yield ODD.encode("latin-1").replace(b"\n", b"\r\n")
    for name in ("model/keys.py", "cli/main.py", "fingerprint/trees.py"):
        yield (PACKAGE / name).read_bytes()


def edited(text: bytes, chance: random.Random) -> bytes:
    """The text with some lines taken out, doubled, moved, changed, or with a comment more."""
    lines = text.split(b"\n")
    for _ in range(chance.randint(1, 3)):
        place, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        line = lines[place]
        match chance.randrange(7):
            case 0:
                lines.pop(place)
            case 1:
                lines.insert(place, line)
            case 2:
                lines[place], lines[other] = lines[other], line
            case 3:
                lines[place] = line.replace(b"1", b"2").replace(b"self", b"this")
            case 4:
                lines.insert(place, b"")
            case 5:
                lines.insert(0, b"# more")
            case _:
                size = chance.randint(1, 20)
                block = lines[place : place + size]
                del lines[place : place + size]
                lines[other:other] = block
    return b"\n".join(lines)


def index(text: bytes, known: dict[str, list[object]]) -> tuple[str, str, dict[str, list[object]]]:
    """All that is found, but the digest of the whole file; that digest; and what is kept for the next time."""
    files = ProjectFiles(["/project"], {PATH: text}, known)
    found = files.index(PATH)
    assert found is not None
    kept = json.loads(json.dumps(files.indexes))
    return json.dumps(found.row[1:]), files.tree(PATH), kept


@pytest.mark.parametrize("number", range(len(list(texts()))))
def test_an_edited_file_has_the_index_that_it_has_by_itself(number: int) -> None:
    chance = random.Random(number)
    text = list(texts())[number]
    _, _, known = index(text, {})
    tried = 0
    while tried < 25:
        later = edited(text, chance)
        try:
            ast.parse(later)
        except (SyntaxError, ValueError):
            continue
        tried += 1
        kept, alone = index(later, known), index(later, {})

        assert kept[:2] == alone[:2], later.decode("latin-1")
        if tried % 3 == 0:  # edits upon edits
            text, known = later, kept[2]


def test_the_pieces_of_an_edited_file_stand_where_they_stand_now() -> None:
    text = b"def one(a, b): return a\n\n\ndef two(c): return [lambda: c, lambda: 1]\n"
    _, _, known = index(text, {})
    for piece in cast("list[list[object]]", next(iter(known.values()))[5]):
        piece[4] = "from before"
    files = ProjectFiles(["/project"], {PATH: b"LIMIT = 1\n\n" + text}, known)
    found = files.index(PATH)

    assert found is not None
    assert [one.tree for one in found.functions("two", 6)] == ["from before"]
    assert [(one.line, tuple(one.places["c"])) for one in found.functions("two", 6)] == [(6, (6, 9))]
    assert [one.span[0] for one in found.functions("two.<locals>.<lambda>", 6)] == [6, 6]
    assert found.functions("two", 4) == []


def test_the_digest_of_a_whole_file_is_kept_once_it_was_asked_for() -> None:
    text = b"def one(a, b): return a\n"
    first = ProjectFiles(["/project"], {PATH: text})
    first.index(PATH)
    assert not first.has_more
    tree = first.tree(PATH)
    assert first.has_more

    again = ProjectFiles(["/project"], {PATH: text}, json.loads(json.dumps(first.indexes)))
    found = again.index(PATH)
    assert found is not None
    assert (found.row[0], again.tree(PATH), again.has_more) == (tree, tree, False)


def test_what_is_said_of_the_bytes_counts_for_the_text() -> None:
    text = b'# coding: latin-1\ndef one(): return "\xc3\xa9"\n'
    other = text.replace(b"latin-1", b"utf-8  ")
    _, _, known = index(text, {})

    assert index(other, known)[:2] == index(other, {})[:2] != index(text, {})[:2]
