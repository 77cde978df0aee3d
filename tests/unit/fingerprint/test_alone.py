"""What is kept of functions that reach nothing of the project is what a fresh look finds, or is not made use of."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from msgspec.structs import replace as with_fields

from assetflow.fingerprint.code import CodeFingerprint, Fingerprinter
from assetflow.fingerprint.files import ProjectFiles
from assetflow.model.code import CodeSource

PLAIN = '''
import functools
import math
import numpy as np
import pandas as pd
from assetflow import asset, check
from pandas import DataFrame as Frame
from typing import Any
from kept_shop.others import LIMIT, helper

@asset
def orders(raw: pd.DataFrame) -> pd.DataFrame:
    """Orders."""
    return raw[raw.amount > len(raw)].assign(root=np.sqrt(raw.amount), pi=math.pi)

@asset(key="staging.customers")
def customers(orders: Frame, *, raw: "Frame | None") -> Frame:
    def inner(one):
        return max(one, key=lambda pair: pair[0])
    return Frame({"a": [inner(one) for one in orders]})

@functools.cache
def cached(value: int) -> int:
    return sum(range(value))

def undecorated(rows: list[int]) -> Any:
    return sorted(rows, key=abs)

def with_constant(frame):
    return frame.head(LIMIT)

def with_helper(frame):
    return helper(frame)

def with_default(frame, limit=3):
    return frame.head(limit)

def with_query(frame):
    return frame.query("a < @LIMIT")

def with_words(frame):
    return frame.query("a < @MISSING")

run_text = eval

def with_alias(text):
    return run_text(text)

def with_import(frame):
    import json
    return json.dumps(frame)

def with_names(frame):
    return globals()["LIMIT"]

class Rows:
    def total(self, frame: pd.DataFrame) -> int:
        return int(frame.sum())
'''
KEPT = {"orders", "customers", "undecorated"}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Path, ModuleType]]:
    package = tmp_path / "kept_shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "others.py").write_text("LIMIT = 3\n\ndef helper(frame):\n    return frame\n")
    (package / "plain.py").write_text(PLAIN)
    sys.path.insert(0, str(tmp_path))
    try:
        yield tmp_path, importlib.import_module("kept_shop.plain")
    finally:
        sys.path.remove(str(tmp_path))
        for name in [name for name in sys.modules if name.partition(".")[0] == "kept_shop"]:
            del sys.modules[name]


def functions_of(module: ModuleType) -> dict[str, Callable[..., object]]:
    found = {name: value for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    return {name: value for name, value in found.items() if callable(value) and not isinstance(value, type)}


def looked(root: Path, module: ModuleType) -> tuple[dict[str, CodeFingerprint], ProjectFiles, dict[str, CodeSource]]:
    files = ProjectFiles([root])
    printer = Fingerprinter(files)
    found = {name: printer.of(function) for name, function in functions_of(module).items()}
    return found, files, printer.sources()


def again(root: Path, files: ProjectFiles, texts: dict[str, CodeSource]) -> Fingerprinter:
    """A later load, with what the first one kept."""
    kept = json.loads(json.dumps(files.indexes))
    return Fingerprinter(ProjectFiles([root], known=kept), None, texts)


def marked(texts: dict[str, CodeSource]) -> dict[str, CodeSource]:
    """Texts that tell whether they were taken from here."""
    return {local: with_fields(one, text="kept") for local, one in texts.items()}


def used(printer: Fingerprinter, found: dict[str, CodeFingerprint]) -> set[str]:
    """The functions whose fingerprint was not made anew."""
    texts = printer.sources()
    return {name for name, one in found.items() if texts[next(iter(one.parts.values()))].text == "kept"}


def test_what_is_kept_is_what_was_found(shop: tuple[Path, ModuleType]) -> None:
    root, module = shop
    first, files, texts = looked(root, module)
    printer = again(root, files, texts)

    assert {name: printer.of(function) for name, function in functions_of(module).items()} == first
    assert printer.sources() == texts


def test_functions_that_reach_nothing_of_the_project_are_not_looked_at_again(shop: tuple[Path, ModuleType]) -> None:
    root, module = shop
    _, files, texts = looked(root, module)
    printer = again(root, files, marked(texts))
    found = {name: printer.of(function) for name, function in functions_of(module).items()}

    assert used(printer, found) == KEPT


def _rebind(module: ModuleType) -> None:
    vars(module)["pd"] = math = importlib.import_module("math")
    vars(module)["Frame"] = math.floor


def _shadow(module: ModuleType) -> None:
    vars(module).update(len=lambda rows: 3, max=min, sorted=LocalRows)


def _hang(module: ModuleType) -> None:
    for name in KEPT:
        vars(vars(module)[name])["extra"] = 3


def _wrap(module: ModuleType) -> None:
    for name in KEPT:
        vars(vars(module)[name])["__wrapped__"] = module.with_helper


def _default(module: ModuleType) -> None:
    module.orders.__defaults__ = (pd.DataFrame(),)
    module.customers.__kwdefaults__ = {"raw": None}
    module.undecorated.__defaults__ = ([1],)


def _patch(_: ModuleType) -> None:
    text = "import pandas as pd\n\ndef assign(self, **more):\n    return self\n\npd.DataFrame.assign = assign\n"
    place = Path(sys.modules["kept_shop"].__path__[0]) / "patches.py"
    place.write_text(text)
    importlib.invalidate_caches()
    importlib.import_module("kept_shop.patches")


def _decorate(module: ModuleType) -> None:
    vars(module)["asset"] = module.helper


def _declare(module: ModuleType) -> None:
    vars(module.undecorated)["__assetflow__"] = module.orders.__assetflow__
    del vars(module.orders)["__assetflow__"], vars(module.customers)["__assetflow__"]


class LocalRows:
    pass


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (_rebind, {"undecorated"}),
        (_shadow, set[str]()),
        (_hang, set[str]()),
        (_wrap, set[str]()),
        (_default, set[str]()),
        (_patch, set[str]()),
        (_decorate, {"undecorated"}),
        (_declare, set[str]()),
    ],
)
def test_what_changed_without_the_text_is_seen(
    shop: tuple[Path, ModuleType], monkeypatch: pytest.MonkeyPatch, change: Callable[[ModuleType], None], kept: set[str]
) -> None:
    root, module = shop
    monkeypatch.setattr(pd.DataFrame, "assign", pd.DataFrame.assign)  # puts back what a patch takes away
    _, files, texts = looked(root, module)
    change(module)
    printer = again(root, files, marked(texts))
    found = {name: printer.of(function) for name, function in functions_of(module).items() if name in KEPT}
    fresh, _, _ = looked(root, module)

    assert used(printer, found) == kept
    assert {name: replace_sources(one) for name, one in found.items()} == {
        name: replace_sources(fresh[name]) for name in found
    }


def replace_sources(one: CodeFingerprint) -> CodeFingerprint:
    return with_fields(one, sources={})


def test_a_function_that_moved_is_looked_at_again(shop: tuple[Path, ModuleType]) -> None:
    root, module = shop
    _, files, texts = looked(root, module)
    path = root / "kept_shop" / "plain.py"
    path.write_text(PLAIN.replace("def undecorated", "\n\ndef undecorated"))
    moved = importlib.reload(module)
    printer = again(root, files, marked(texts))
    found = {name: printer.of(function) for name, function in functions_of(moved).items()}

    assert used(printer, found) == {"orders", "customers"}
    place = printer.sources()[next(iter(found["undecorated"].parts.values()))]
    assert place.line == moved.undecorated.__code__.co_firstlineno


def test_nothing_is_made_use_of_whose_text_is_gone(shop: tuple[Path, ModuleType]) -> None:
    root, module = shop
    first, files, texts = looked(root, module)
    gone = {next(iter(first[name].parts.values())) for name in ("orders", "undecorated")}
    printer = again(root, files, {local: one for local, one in marked(texts).items() if local not in gone})
    found = {name: printer.of(function) for name, function in functions_of(module).items()}

    assert used(printer, found) == {"customers"}
