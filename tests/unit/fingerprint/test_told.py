# ruff: noqa: E501 - programs read best on one line
"""What a fingerprint says besides its digest: texts, notes, packages; and what a new scheme makes of old texts."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from assetflow.fingerprint.code import CodeFingerprint, Fingerprinter
from assetflow.fingerprint.files import ProjectFiles
from assetflow.fingerprint.migrate import same_meaning
from assetflow.io.constants import constant_content
from assetflow.model.code import CodeSource, note_from_json, note_to_json, sources_from_json, sources_to_json

Fingerprint = Callable[..., CodeFingerprint]


@pytest.fixture
def fingerprint(tmp_path: Path) -> Iterator[Fingerprint]:
    """Writes modules, imports `main_told` and gives the fingerprint of its function `f`."""
    count = 0

    def forget() -> None:
        for name, module in list(sys.modules.items()):
            if str(tmp_path) in str(getattr(module, "__file__", "")):
                del sys.modules[name]

    def of(main: str, /, **helpers: str) -> CodeFingerprint:
        nonlocal count
        count += 1
        root = tmp_path / str(count)
        root.mkdir()
        forget()
        for name, text in {**helpers, "main_told": main}.items():
            (root / f"{name}.py").write_text(dedent(text))
        sys.path.insert(0, str(root))
        try:
            importlib.invalidate_caches()
            module = importlib.import_module("main_told")
            return Fingerprinter(ProjectFiles([root]), constant_content).of(module.f)
        finally:
            sys.path.remove(str(root))

    yield of
    forget()


def source(found: CodeFingerprint, part: str) -> CodeSource:
    return found.sources[found.parts[part]]


def kinds(found: CodeFingerprint) -> set[str]:
    return {note.kind for note in found.notes}


def same(one: CodeFingerprint, other: CodeFingerprint) -> bool:
    return same_meaning(one.parts, one.sources, other.parts, other.sources)


def test_text_of_every_part_is_there_with_its_place(fingerprint: Fingerprint) -> None:
    found = fingerprint(
        "import duty_told\nfrom duty_told import Rates\nLIMIT = {'a': [1, 2]}\n\ndef f():\n    # why\n"
        "    return duty_told.net(LIMIT), Rates\n",
        duty_told="class Rates:\n    eu = 1\n\n\ndef net(x):\n    return x\n",
    )

    assert next(iter(found.parts)) == "f"
    assert set(found.sources) == set(found.parts.values())
    function = source(found, "f")
    assert (function.kind, function.file, function.line) == ("function", "main_told.py", 5)
    assert function.text == "def f():\n    # why\n    return duty_told.net(LIMIT), Rates"
    assert source(found, "LIMIT") == CodeSource("value", "main_told.py", 3, "{'a': [1, 2]}")
    assert source(found, "duty_told.Rates").text == "class Rates:\n    eu = 1"
    assert source(found, "duty_told.net").line == 5


def test_long_values_are_cut_and_still_tell_apart(fingerprint: Fingerprint) -> None:
    one = fingerprint("X = list(range(5000))\ndef f(): return X\n")
    other = fingerprint("X = [*range(4999), 0]\ndef f(): return X\n")

    assert len(source(one, "X").text) <= 2000
    assert source(one, "X").text != source(other, "X").text


@pytest.mark.parametrize(
    "main",
    [
        "import os\nget = os.environ.get\ndef f(): return get('PLACE_TOLD')\n",
        "import os\nENV = os.environ\ndef f(): return ENV['PLACE_TOLD']\n",
        "from os import environ\nHELD = {'env': environ}\ndef f(): return HELD['env']['PLACE_TOLD']\n",
        "import functools, os\nget = functools.partial(os.environ.get, 'PLACE_TOLD')\ndef f(): return get()\n",
    ],
)
def test_a_name_for_the_environment_does_not_bring_in_all_of_it(
    fingerprint: Fingerprint, main: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(main)
    monkeypatch.setenv("PLACE_TOLD", "sesame")
    after = fingerprint(main)

    assert before.digest == after.digest
    assert not before.notes
    assert not any("sesame" in one.text for one in after.sources.values())


@pytest.mark.parametrize(
    "main",
    [
        "import os\nX = os.environ.get('HOME', 'sesame')\ndef f(): return X\n",
        "API_KEY = 'sesame'\ndef f(): return API_KEY\n",
        "X = {'password': 'sesame'}\ndef f(): return X\n",
        "class C:\n    def __init__(self): self.token = 'sesame'\nX = C()\ndef f(): return X\n",
    ],
)
def test_values_that_look_like_secrets_are_not_shown(
    fingerprint: Fingerprint, main: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "sesame")
    found = fingerprint(main)
    values = [one.text for one in found.sources.values() if one.kind == "value"]

    assert values
    assert not any("sesame" in text for text in values)


@pytest.mark.parametrize(
    ("main", "kind"),
    [
        ("X = (n for n in 'ab')\ndef f(): return X\n", "opaque"),
        ("def f(): return globals()\n", "widened"),
        ("import importlib\ndef f(n): return importlib.import_module(n)\n", "dynamic"),
        ("def f(): return eval('1')\n", "dynamic"),
        ("import time\nX = time.time()\ndef f(): return X\n", "volatile"),
        ("d = {}\nexec('def g(): return 1', d)\ng = d['g']\ndef f(): return g()\n", "bytecode"),
        ("import helper_told\ndef f(n): return getattr(helper_told, n)\n", "widened"),
    ],
)
def test_what_is_not_seen_exactly_is_said(fingerprint: Fingerprint, main: str, kind: str) -> None:
    assert kind in kinds(fingerprint(main, helper_told="X = 1\n"))


def test_plain_code_has_no_notes(fingerprint: Fingerprint) -> None:
    main = "import json, re\nP = re.compile('a')\nclass C:\n    x = 1\n    def m(self): return P\ndef f(): return json.dumps(C().m())\n"

    assert fingerprint(main).notes == ()


def test_packages_that_are_reached_are_named_with_their_versions(fingerprint: Fingerprint) -> None:
    from importlib.metadata import version

    main = (
        "import pandas as pd\nimport json, helper_told\ndef f(): return helper_told.g(pd.DataFrame(json.loads('{}')))\n"
    )
    found = fingerprint(main, helper_told="from numpy import array\ndef g(x): return array(x)\n")

    assert found.packages == {"pandas": version("pandas"), "numpy": version("numpy")}


def test_values_of_dataframe_libraries_count_by_content(fingerprint: Fingerprint) -> None:
    text = "import pyarrow as pa, numpy as np\nT = pa.table({{'a': [1, {0}]}})\nN = np.arange(5000)\nN[2500] = {1}\ndef f(): return T, N\n"
    base = fingerprint(text.format(2, 7))

    assert base.digest == fingerprint(text.format(2, 7)).digest
    assert base.digest != fingerprint(text.format(3, 7)).digest
    assert base.digest != fingerprint(text.format(2, 8)).digest
    assert base.notes == ()


def test_old_texts_with_other_digests_mean_the_same(fingerprint: Fingerprint) -> None:
    main = "import helper_told\nfrom assetflow import asset\nX = [1]\n@asset(description='one')\ndef f(): return helper_told.g(X)\n"
    old = fingerprint(main, helper_told='def g(x):\n    "Doc."\n    return x  # why\n')
    new = fingerprint(main.replace("one", "two"), helper_told="def g(x):\n    return x\n")
    other_scheme = {name: f"old{local}" for name, local in old.parts.items()}
    stored = {f"old{local}": one for local, one in sources_from_json(sources_to_json(old.sources)).items()}

    assert same_meaning(other_scheme, stored, new.parts, new.sources)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def f(): return 1\n", "def f(): return 2\n"),
        ("X = 1\ndef f(): return X\n", "X = 2\ndef f(): return X\n"),
        ("from math import floor as g\ndef f(): return g(1)\n", "from math import ceil as g\ndef f(): return g(1)\n"),
        ("from helper_told import a as g\ndef f(): return g()\n", "from helper_told import b as g\ndef f(): return g()\n"),
        ("def g(): return 1\ndef f(): return g()\n", "def f(): return 1\n"),
        ("X = (n for n in 'ab')\ndef f(): return X\n", "X = (n for n in 'ac')\ndef f(): return X\n"),
        ("def f(x=1): return x\n", "def f(x=2): return x\n"),
    ],
)  # fmt: skip
def test_what_changed_is_not_the_same_under_a_new_scheme_either(fingerprint: Fingerprint, old: str, new: str) -> None:
    helper = "def a(): return 1\ndef b(): return 1\n"

    assert not same(fingerprint(old, helper_told=helper), fingerprint(new, helper_told=helper))


def test_without_stored_texts_nothing_is_the_same(fingerprint: Fingerprint) -> None:
    found = fingerprint("def f(): return 1\n")

    assert same(found, found)
    assert not same_meaning(found.parts, {}, found.parts, found.sources)
    assert not same_meaning({}, {}, {}, {})


def test_notes_and_texts_come_back_from_json(fingerprint: Fingerprint) -> None:
    found = fingerprint("import math\ndef f(): return globals(), math.pi\n")

    assert [note_from_json(note_to_json(one)) for one in found.notes] == list(found.notes)
    assert sources_from_json(sources_to_json(found.sources)) == found.sources


def test_digest_does_not_depend_on_what_was_asked_before(fingerprint: Fingerprint) -> None:
    main = "def even(n): return odd(n)\ndef odd(n): return even(n)\ndef f(): return even(1)\n"
    alone = fingerprint(main)
    module = sys.modules["main_told"]
    root = Path(str(module.__file__)).parent
    printer = Fingerprinter(ProjectFiles([root]))
    for function in (module.odd, module.even):
        printer.of(function)

    assert printer.of(module.f) == alone
