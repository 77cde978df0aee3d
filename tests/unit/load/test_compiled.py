"""The compiled code of modules that is kept: used only for the text, the place and the Python that it was made of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import cast

import pytest

from assetflow.load.live import Loaded

Write = Callable[..., Path]
Load = Callable[..., Loaded]

SCRIPT = """
import json, sys
from pathlib import Path
from assetflow.errors import ProjectLoadError
from assetflow.load.definitions import load_project
from assetflow.load.settings import read_settings

root = sys.argv[1]
compiled = set()

def hook(event, arguments):
    if event == "compile" and str(arguments[1]).startswith(root):
        compiled.add(Path(arguments[1]).name)

sys.addaudithook(hook)
try:
    specs = load_project(read_settings(Path(root), environment={})).specs
    codes, problems = {str(one.key): one.code for one in specs}, []
except ProjectLoadError as error:
    codes, problems = {}, [str(one) for one in error.problems]
print(json.dumps({"compiled": sorted(compiled), "codes": codes, "problems": problems}))
"""
"""Loads a project; says which of its files were compiled (or parsed, which is announced by the same event)."""

SHOP = "from assetflow import asset\nRATE = 1\n@asset\ndef total() -> int:\n    return RATE\n"
WARNS = f"{SHOP}if RATE is 'x':\n    pass\n"


def loaded_apart(root: Path, *flags: str) -> tuple[dict[str, list[str]], str]:
    """What a load in a fresh process found, and what it wrote on stderr."""
    command = [sys.executable, *flags, "-c", SCRIPT, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout), done.stderr


def kept(root: Path) -> list[Path]:
    return sorted((root / ".assetflow" / "cache" / "compiled").iterdir())


def code_of(name: str) -> CodeType:
    return cast("CodeType", sys.modules[name].where.__code__)


def test_a_second_load_compiles_nothing_and_finds_the_same_code(write: Write) -> None:
    root = write('modules = ["works"]\n', works__a=SHOP, works__b=SHOP.replace("total", "other"))
    first, _ = loaded_apart(root)
    second, _ = loaded_apart(root)
    shutil.rmtree(root / ".assetflow")
    again, _ = loaded_apart(root)

    assert first["compiled"] == again["compiled"] == ["a.py", "b.py"]
    assert second["compiled"] == []
    assert first["codes"] == second["codes"] == again["codes"]


def test_after_an_edit_only_that_module_is_compiled(write: Write) -> None:
    root = write('modules = ["works"]\n', works__a=SHOP, works__b=SHOP.replace("total", "other"))
    loaded_apart(root)
    (root / "works" / "a.py").write_text(SHOP.replace("RATE = 1", "RATE = 2"))

    assert loaded_apart(root)[0]["compiled"] == ["a.py"]
    assert loaded_apart(root)[0]["compiled"] == []


def test_an_edit_of_the_same_size_and_time_runs_the_new_code(load: Load, tmp_path: Path) -> None:
    load('modules = ["shop"]\n', shop=SHOP)
    before = (tmp_path / "shop.py").stat()
    (tmp_path / "shop.py").write_text(SHOP.replace("RATE = 1", "RATE = 2"))
    os.utime(tmp_path / "shop.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (tmp_path / "shop.py").stat().st_mtime_ns == before.st_mtime_ns

    load('modules = ["shop"]\n')
    assert sys.modules["shop"].total() == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"", lambda data: data[:-1], lambda data: data[: len(data) // 2], lambda data: data[:32],
        lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:], lambda data: bytes(len(data)),
        lambda data: data[:-3] + b"\xff" + data[-2:],
    ],
    ids=["empty", "last byte", "cut", "head", "bit", "zeros", "checksum"],
)  # fmt: skip
def test_what_was_damaged_is_compiled_again(write: Write, damage: Callable[[bytes], bytes]) -> None:
    root = write('modules = ["shop"]\n', shop=SHOP)
    first, _ = loaded_apart(root)
    (path,) = kept(root)
    path.write_bytes(damage(path.read_bytes()))

    second, _ = loaded_apart(root)
    assert second == first
    assert second["compiled"] == ["shop.py"]


def test_the_file_of_another_module_is_not_taken(load: Load, tmp_path: Path) -> None:
    helper = "def where():\n    raise ValueError\n"
    load('modules = ["works"]\n', works__a=SHOP, works__one=helper, works__two=helper)
    contents = [path.read_bytes() for path in kept(tmp_path)]
    for path, data in zip(kept(tmp_path), contents[1:] + contents[:1], strict=True):
        path.write_bytes(data)
    load('modules = ["works"]\n')

    assert sys.modules["works.a"].total() == 1
    assert code_of("works.one").co_filename == str(tmp_path / "works" / "one.py")
    assert code_of("works.two").co_filename == str(tmp_path / "works" / "two.py")


def test_each_of_two_modules_of_one_text_has_its_own_file_in_tracebacks(load: Load, tmp_path: Path) -> None:
    helper = "def where():\n    raise ValueError\n"
    for _ in range(2):
        load('modules = ["works"]\n', works__a=SHOP, works__one=helper, works__two=helper)

        assert code_of("works.one").co_filename == str(tmp_path / "works" / "one.py")
        assert code_of("works.two").co_filename == str(tmp_path / "works" / "two.py")


def test_a_project_that_was_moved_has_its_new_place_in_tracebacks(write: Write, tmp_path: Path) -> None:
    root = write('modules = ["shop"]\n', shop=f"{SHOP}1 / 0\n")
    loaded_apart(root)
    target = tmp_path.with_name(f"{tmp_path.name}-moved")
    shutil.move(root, target)

    found, _ = loaded_apart(target)
    assert found["compiled"] == ["shop.py"]
    assert "shop.py:6" in found["problems"][0]


def test_a_warning_of_the_compiler_is_shown_by_each_load(write: Write) -> None:
    root = write('modules = ["shop"]\n', shop=WARNS)
    first = loaded_apart(root)
    second = loaded_apart(root)

    assert first[1].count("SyntaxWarning") == second[1].count("SyntaxWarning") == 1
    assert second[0]["compiled"] == ["shop.py"]


def test_a_warning_that_was_ignored_is_an_error_where_warnings_are(write: Write) -> None:
    root = write('modules = ["shop"]\n', shop=WARNS)
    quiet, said = loaded_apart(root, "-W", "ignore")
    assert (quiet["problems"], said) == ([], "")

    for _ in range(2):
        strict, _ = loaded_apart(root, "-W", "error")
        assert "`shop.py` is not Python" in strict["problems"][0]


def test_the_filters_of_warnings_are_what_they_were(load: Load) -> None:
    import warnings

    before = list(warnings.filters)
    with pytest.warns(SyntaxWarning):
        load('modules = ["shop"]\n', shop=WARNS)
    assert list(warnings.filters) == before


def test_code_without_assertions_is_not_that_of_a_python_with_them(write: Write) -> None:
    root = write('modules = ["shop"]\n', shop=f"{SHOP}assert RATE == 2\n")

    for _ in range(2):
        assert loaded_apart(root, "-O")[0]["problems"] == []
        assert "AssertionError" in loaded_apart(root)[0]["problems"][0]


def test_code_without_columns_is_not_that_of_a_python_with_them(write: Write) -> None:
    root = write('modules = ["shop"]\n', shop=SHOP)
    loaded_apart(root)

    assert loaded_apart(root, "-X", "no_debug_ranges")[0]["compiled"] == ["shop.py"]
    assert loaded_apart(root, "-X", "no_debug_ranges")[0]["compiled"] == []


def test_modules_that_are_gone_leave_no_files(write: Write) -> None:
    root = write('modules = ["works"]\n', works__a=SHOP, works__b="", works__c="")
    loaded_apart(root)
    for number in range(5):
        (root / "works" / f"b{number or ''}.py").rename(root / "works" / f"b{number + 1}.py")
        loaded_apart(root)
    assert len(kept(root)) == 3


def test_a_load_that_failed_takes_nothing_from_modules_that_it_did_not_reach(write: Write) -> None:
    root = write('modules = ["shop", "works"]\n', **{"works/__init__": "RIGHT = 1\n"}, works__a=SHOP, shop="")
    loaded_apart(root)
    write('modules = ["shop", "works"]\n', **{"works/__init__": "1 / 0\n"}, shop="RIGHT = 1\n")
    assert loaded_apart(root)[0]["problems"]
    write('modules = ["shop", "works"]\n', **{"works/__init__": "RIGHT = 1\n"})

    assert loaded_apart(root)[0]["compiled"] == ["__init__.py"]


def test_a_folder_that_cannot_be_written_is_done_without(write: Write) -> None:
    root = write('modules = ["shop"]\n', shop=SHOP)
    (root / ".assetflow" / "cache").mkdir(parents=True)
    (root / ".assetflow" / "cache" / "compiled").write_text("")

    for _ in range(2):
        found, said = loaded_apart(root)
        assert (found["compiled"], found["problems"], said) == (["shop.py"], [], "")
    assert (root / ".assetflow" / "cache" / "compiled").read_text() == ""


def test_nobody_else_can_read_what_stands_in_a_module(write: Write) -> None:
    root = write('modules = ["shop"]\n', shop=f"{SHOP}PASSWORD = 'swordfish-7'\n")
    loaded_apart(root)
    (path,) = kept(root)

    assert path.stat().st_mode & 0o077 == 0
    assert b"swordfish" not in path.read_bytes()
    assert b"swordfish".hex().encode() not in path.read_bytes()
    assert (root / ".assetflow" / ".gitignore").read_text() == "*\n"
