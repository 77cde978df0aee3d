"""Objects of all kinds that code keeps at the top of a module: what they hold counts, and nothing else of them does."""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assetflow.fingerprint.code import CodeFingerprint, Fingerprinter
from assetflow.fingerprint.files import ProjectFiles
from assetflow.io.constants import constant_content

CASES = (Path(__file__).parent / "objects.txt").read_text(encoding="utf-8").split("\n---\n")
"""Programs with a function `f`; each has a place `«before|after»` that changes what it computes.

Lines such as `### hha` begin another module of that name.
"""
_PLACE = re.compile("«([^|]*)\\|([^»]*)»")

Look = Callable[[str], tuple[CodeFingerprint, str]]


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Look]:
    count = 0

    def forget() -> None:
        for name in [one for one in sys.modules if one in ("objects_main", "hha", "hhb", "hhc")]:
            del sys.modules[name]

    def at(text: str) -> tuple[CodeFingerprint, str]:
        nonlocal count
        count += 1
        root = tmp_path / str(count)
        root.mkdir()
        main, *others = text.split("### ")
        (root / "objects_main.py").write_text(main)
        for name, _, other in (one.partition("\n") for one in others):
            (root / f"{name}.py").write_text(other)
        forget()
        with monkeypatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.syspath_prepend(str(root))
            importlib.invalidate_caches()
            module = importlib.import_module("objects_main")
            found = Fingerprinter(ProjectFiles([root]), constant_content).of(module.f)
            try:
                return found, repr(module.f())
            except Exception as error:  # noqa: BLE001 - a program may be about an error; what it raises is its value
                return found, repr(error)

    yield at
    forget()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.strip().splitlines()[-1][:40])
def test_change_of_what_an_object_holds_is_seen(look: Look, case: str) -> None:
    before, value = look(_PLACE.sub(lambda found: found[1], case))
    after, other = look(_PLACE.sub(lambda found: found[2], case))
    again, _ = look(_PLACE.sub(lambda found: found[1], case))

    assert value != other  # else the program shows nothing
    assert before.digest != after.digest
    assert before == again
