"""Cache files: what was kept comes back as it was, whichever way it is read, and never as something else."""

from __future__ import annotations

import math
import subprocess
import sys
from enum import StrEnum
from pathlib import Path

import pytest

from assetflow.load.caches import exact, read_cache, read_plain, write_cache, write_plain


class Colour(StrEnum):
    RED = "red"


PLAIN = {
    "texts": ["", "a", 'quote " and \\', "line\nend\x00\x7f", "ü→😀", "\u2028"],
    "numbers": [0, -1, 2**63, -(2**80), True, False, None],
    "nested": {"": {}, "a": [[], [[]], {"b": []}]},
}


def test_texts_and_whole_numbers_come_back_by_either_way(tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"

    assert write_plain(one, PLAIN) == one.stat().st_size
    assert write_cache(other, PLAIN) == other.stat().st_size
    assert [read_plain(one), read_cache(one), read_plain(other)] == [PLAIN] * 3


@pytest.mark.parametrize(
    "value", ["half \ud800 of a pair", Colour.RED, {Colour.RED: [Colour.RED]}], ids=["surrogate", "enum", "enum-key"]
)
def test_what_only_the_standard_library_writes_is_kept_too(tmp_path: Path, value: object) -> None:
    path = tmp_path / "one.json"
    write_plain(path, [value, exact([1.5, math.inf])])

    assert read_plain(path) == [value, [1.5, math.inf]]
    assert read_cache(path) == [value, [1.5, math.inf]]


def test_exact_parts_keep_what_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    write_plain(path, {"options": exact({"bad": math.nan, "top": math.inf, "half": 0.5})})
    found = read_plain(path)

    assert isinstance(found, dict)
    assert math.isnan(found["options"].pop("bad"))
    assert found == {"options": {"top": math.inf, "half": 0.5}}


@pytest.mark.parametrize("value", [object(), {("a", "b"): 1}, [exact("a"), object()]], ids=["object", "key", "part"])
def test_what_is_no_json_is_not_kept(tmp_path: Path, value: object) -> None:
    path = tmp_path / "one.json"

    assert write_plain(path, value) == -1
    assert list(tmp_path.iterdir()) == []


def test_damaged_file_and_none_are_nothing(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    write_plain(path, PLAIN)
    path.write_bytes(path.read_bytes().replace(b"quote", b"quite"))

    assert read_plain(path) is None
    assert read_plain(tmp_path / "none.json") is None


def test_reading_and_writing_the_short_way_needs_no_msgspec(tmp_path: Path) -> None:
    script = (
        "import sys; from assetflow.load.caches import *\n"
        "write_cache(sys.argv[1], {'a': [1]}); print(read_cache(sys.argv[1]), 'msgspec' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "one.json")], capture_output=True, text=True, check=True
    )

    assert done.stdout == "{'a': [1]} False\n"
