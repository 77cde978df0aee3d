# ruff: noqa: E501 - pairs of programs read best on one line
"""Fingerprints: what must change them, and what must not."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from textwrap import dedent

import pytest

from assetflow.fingerprint import outside
from assetflow.fingerprint.code import CodeFingerprint, code_fingerprint

Fingerprint = Callable[..., CodeFingerprint]


@pytest.fixture
def fingerprint(tmp_path: Path) -> Iterator[Fingerprint]:
    """Writes modules, imports `main` and gives the fingerprint of its function `f`."""
    before = set(sys.modules)
    folders: list[Path] = []

    def of(main: str, /, **helpers: str) -> CodeFingerprint:
        root = tmp_path / str(len(folders))
        root.mkdir()
        folders.append(root)
        for name in set(sys.modules) - before:
            if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
        for name, text in {**helpers, "main": main}.items():
            path = root / (name.replace("__", "/") + ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(dedent(text))
        sys.path.insert(0, str(root))
        try:
            importlib.invalidate_caches()
            module = importlib.import_module("main")
            return code_fingerprint(module.f, [root])
        finally:
            sys.path.remove(str(root))

    yield of
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


SAME = [
    ("def f(x):\n    return x + 1\n", '\n\ndef f(x):  # why\n    """Doc."""\n    return (x\n        + 1)\n'),
    ("def f(x):\n    return 'a'\n", 'def f(x):\n    return "a"\n'),
    ("def f(x):\n    return f'a{x}b' 'c'\n", "def f(x):\n    return f'a{x}bc'\n"),
    (
        "from assetflow import asset\n@asset(description='one')\ndef f(x): return x\n",
        "import assetflow as af\n@af.asset(description='two', tags=['t'])\ndef f(x): return x\n",
    ),
    ("A = 1\nB = 1\ndef f(): return A\n", "A = 1\nB = 2\ndef f(): return A\n"),
    ("S = {'b', 'a', 'c'}\ndef f(): return S\n", "S = {'c', 'b', 'a'}\ndef f(): return S\n"),
    ("def g(): pass\ndef f(g): return g()\n", "def g(): return 1\ndef f(g): return g()\n"),
    ("g = 1\ndef f(): return [g for g in (1, 2)]\n", "g = 2\ndef f(): return [g for g in (1, 2)]\n"),
    (
        "def f(): return g()\ndef g(): return f()\n",
        "def g(): return f()\n\n\ndef f(): return g()\n",
    ),
    ("import json\ndef f(): return json.dumps(1)\n", "import json, os\ndef f(): return json.dumps(1)\n"),
    ("import logging\nlog = logging.getLogger('a')\ndef f(): log.info(1)\n",) * 2,
]

DIFFERENT = [
    ("def f(x): return x + 1\n", "def f(x): return x + 2\n"),
    ("def f(x): return 1\n", "def f(x): return 1.0\n"),
    ("def f(x): return 1\n", "def f(x): return True\n"),
    ("from assetflow import asset\n@asset\ndef f(x: int): return x\n", "from assetflow import asset\n@asset\ndef f(x: str): return x\n"),
    ("def f(x=1): return x\n", "def f(x=2): return x\n"),
    ("A = 1\ndef f(): return A\n", "A = 2\ndef f(): return A\n"),
    ("A = 1\ndef f(x=A): return x\n", "A = 2\ndef f(x=A): return x\n"),
    ("A = [1, (2, {'k': 3})]\ndef f(): return A\n", "A = [1, (2, {'k': 4})]\ndef f(): return A\n"),
    ("A = [1, 2]\ndef f(): return A\n", "A = (1, 2)\ndef f(): return A\n"),
    ("A = {'a': 1, 'b': 2}\ndef f(): return A\n", "A = {'b': 2, 'a': 1}\ndef f(): return A\n"),
    ("import re\nP = re.compile('a' * 300)\ndef f(): return P\n", "import re\nP = re.compile('a' * 301)\ndef f(): return P\n"),
    ("def g(): return 1\ndef f(): return g()\n", "def g(): return 2\ndef f(): return g()\n"),
    ("def h(): return 1\ndef g(): return h()\ndef f(): return g()\n", "def h(): return 2\ndef g(): return h()\ndef f(): return g()\n"),
    ("g = 1\ndef f(): return [x for x in g]\n", "g = 2\ndef f(): return [x for x in g]\n"),
    ("x = 1\ndef f(): return [x for x in x]\n", "x = 2\ndef f(): return [x for x in x]\n"),
    ("x = 1\ndef f():\n    def g(): return x\n    return g\n", "x = 2\ndef f():\n    def g(): return x\n    return g\n"),
    ("R = {'a': lambda: 1}\ndef f(): return R['a']()\n", "R = {'a': lambda: 2}\ndef f(): return R['a']()\n"),
    ("class C:\n    def m(self): return 1\ndef f(): return C().m()\n", "class C:\n    def m(self): return 2\ndef f(): return C().m()\n"),
    ("class B:\n    x = 1\nclass C(B): pass\ndef f(): return C.x\n", "class B:\n    x = 2\nclass C(B): pass\ndef f(): return C.x\n"),
    ("def g(): return 1\nclass C:\n    def m(self): return g()\ndef f(): return C\n", "def g(): return 2\nclass C:\n    def m(self): return g()\ndef f(): return C\n"),
    ("class C:\n    def __init__(self, n): self.n = n\nc = C(1)\ndef f(): return c.n\n", "class C:\n    def __init__(self, n): self.n = n\nc = C(1 + 1)\ndef f(): return c.n\n"),
    ("from functools import partial\ndef g(n): pass\np = partial(g, 1)\ndef f(): return p()\n", "from functools import partial\ndef g(n): pass\np = partial(g, 2)\ndef f(): return p()\n"),
    ("from functools import lru_cache\n@lru_cache\ndef g(): return 1\ndef f(): return g()\n", "from functools import lru_cache\n@lru_cache\ndef g(): return 2\ndef f(): return g()\n"),
    ("import functools\ndef d(n):\n    def w(g):\n        @functools.wraps(g)\n        def i(): return g() + n\n        return i\n    return w\n@d(1)\ndef f(): return 1\n",
     "import functools\ndef d(n):\n    def w(g):\n        @functools.wraps(g)\n        def i(): return g() + n\n        return i\n    return w\n@d(2)\ndef f(): return 1\n"),
    ("import functools\ndef d(g):\n    @functools.wraps(g)\n    def i(): return g()\n    return i\n@d\ndef f(): return 1\n",
     "import functools\ndef d(g):\n    @functools.wraps(g)\n    def i(): return g()\n    return i\n@d\ndef f(): return 2\n"),
    ("L = (x for x in 'ab')\nX = 1\ndef f(): return L\n", "L = (x for x in 'ab')\nX = 2\ndef f(): return L\n"),
    ("X = 1\ndef f(): return globals()['X']\n", "X = 2\ndef f(): return globals()['X']\n"),
    ("def g():\n    '''A'''\ndef f(): return g.__doc__\n", "def g():\n    '''B'''\ndef f(): return g.__doc__\n"),
    ("from functools import singledispatch\n@singledispatch\ndef g(x): pass\n@g.register\ndef _(x: int): return 1\ndef f(): return g(1)\n",
     "from functools import singledispatch\n@singledispatch\ndef g(x): pass\n@g.register\ndef _(x: int): return 2\ndef f(): return g(1)\n"),
    ("def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)\ndef f(): return even(3)\n",
     "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 1 and even(n - 1)\ndef f(): return even(3)\n"),
    ("fs = [lambda: 1, lambda: 2]\ndef f(): return fs[0]()\n", "fs = [\n lambda: 2,\n lambda: 1]\ndef f(): return fs[0]()\n"),
    ("def f():\n    match 1:\n        case None: return 1\n", "def f():\n    match 1:\n        case True: return 1\n"),
    ("def f(): return {**{}, 'a': 1}\n", "def f(): return {'a': 1, **{}}\n"),
]  # fmt: skip


FRAME = "import pandas as pd, duckdb\nfrom assetflow import asset\nRATES = pd.DataFrame({{'r': [{0}]}})\nLIMIT = {0}\ndef small(a): return a < {0}\nclass Box:\n    limit = {0}\n"
"""A module with a frame, a number, a function and a class that an edit changes."""
NAMED_IN_TEXT = [
    "def f(x): return x.query('a < @LIMIT')\n",
    "def f(x): return x[0].query(f'a < {x} and b > @LIMIT')\n",
    "def f(x): return x.query('@small(a)')\n",
    "def f(x): return x.query('a < @Box.limit')\n",
    "import main\ndef f(x): return x.query('a < @main.LIMIT')\n",
    "def g(x): return x.query('a < @LIMIT')\ndef f(x): return g(x)\n",
    "def f(): return duckdb.sql('select r from RATES')\n",
    "def f(): return duckdb.sql('select RATES.r from RATES')\n",
    "from duckdb import sql\ndef f(): return sql('from RATES')\n",
    "QUERY = 'select r from RATES'\ndef f(con): return con.sql(QUERY)\n",
    "def f(): return duckdb.connect().execute('select r from RATES').df()\n",
    "def make():\n    RATES = pd.DataFrame({'r': [LIMIT]})\n    def f(con): return con.sql('from RATES'), RATES\n    return f\nf = make()\n",
]
NOT_MEANT_IN_TEXT = [
    "def f(RATES): return duckdb.sql('select r from RATES')\n",  # its own
    "def f(x):\n    RATES = x.head()\n    return duckdb.sql('select r from RATES')\n",
    "def f(x): return x.query('a < @x')\n",
    "def f(x): return x.query('a < LIMIT')\n",  # a column of this name
    "def f(con): return con.sql('select small from other')\n",  # no table is a function
    "@asset\ndef orders(): return LIMIT\ndef f(o, con): return con.sql('select * from orders')\n",
    "def f(x): return x.replace('@LIMIT', 'RATES')\n",  # looks nothing up
]


@pytest.mark.parametrize("body", NAMED_IN_TEXT)
def test_what_a_text_names_for_a_library_to_look_up_counts(fingerprint: Fingerprint, body: str) -> None:
    before, same, after = (fingerprint(FRAME.format(number) + body) for number in (1, 1, 2))
    assert before.digest == same.digest
    assert before.digest != after.digest


@pytest.mark.parametrize("body", NOT_MEANT_IN_TEXT)
def test_words_of_a_text_that_mean_something_else_do_not_count(fingerprint: Fingerprint, body: str) -> None:
    assert fingerprint(FRAME.format(1) + body).digest == fingerprint(FRAME.format(2) + body).digest


@pytest.mark.parametrize(("before", "after"), SAME)
def test_what_means_the_same_is_the_same(fingerprint: Fingerprint, before: str, after: str) -> None:
    assert fingerprint(before).digest == fingerprint(after).digest


@pytest.mark.parametrize(("before", "after"), DIFFERENT)
def test_what_means_something_else_differs(fingerprint: Fingerprint, before: str, after: str) -> None:
    assert fingerprint(before).digest != fingerprint(after).digest


@pytest.mark.parametrize(
    "main",
    [
        "import tax\ndef f(): return tax.net(1)\n",
        "from tax import net\ndef f(): return net(1)\n",
        "from tax import net as n\ndef f(): return n(1)\n",
        "def f():\n    from tax import net\n    return net(1)\n",
        "def f():\n    import tax\n    return tax.net(1)\n",
        "import tax\ndef f(): return getattr(tax, 'n' + 'et')(1)\n",
        "from tax import *\ndef f(): return net(1)\n",
        "import importlib\ndef f(): return importlib.import_module('tax').net(1)\nimport tax\n",
        "import middle\ndef f(): return middle.tax.net(1)\n",
        "import middle\ndef f(): return middle.again(1)\n",
    ],
)
def test_change_of_a_helper_in_another_module_is_seen(fingerprint: Fingerprint, main: str) -> None:
    middle = "import tax\nfrom tax import net as again\n"
    before = fingerprint(main, tax="RATE = 0.2\ndef net(x): return x * RATE\n", middle=middle)
    after = fingerprint(main, tax="RATE = 0.3\ndef net(x): return x * RATE\n", middle=middle)
    assert before.digest != after.digest


def test_change_elsewhere_in_a_helper_module_is_not_seen(fingerprint: Fingerprint) -> None:
    main = "from tax import net\nimport tax\ndef f(): return net(1) + tax.RATE\n"
    before = fingerprint(main, tax="RATE = 0.2\ndef net(x): return x\ndef other(): return 1\n")
    after = fingerprint(main, tax="RATE = 0.2\ndef net(x): return x\ndef other(): return 2\n")
    assert before == after


def test_helper_that_moves_to_another_module_stays_the_same(fingerprint: Fingerprint) -> None:
    helper = "def net(x): return x\n"
    assert (
        fingerprint("from tax import net\ndef f(): return net(1)\n", tax=helper).digest
        == fingerprint("from duty import net\ndef f(): return net(1)\n", duty=helper).digest
    )


def test_parts_name_what_changed(fingerprint: Fingerprint) -> None:
    main = "import tax\nfrom tax import net\nLIMIT = 3\ndef here(): pass\ndef f(a=1): return net(a, LIMIT), here()\n"
    before = fingerprint(main, tax="RATE = 0.2\ndef net(*x): return RATE\n")
    after = fingerprint(main, tax="RATE = 0.3\ndef net(*x): return RATE\n")
    assert set(before.parts) == {"f", "f.a (default)", "LIMIT", "here", "tax.net", "tax.RATE"}
    assert [name for name in before.parts if before.parts[name] != after.parts[name]] == ["tax.RATE"]


def test_checkout_in_another_folder_agrees(fingerprint: Fingerprint) -> None:
    text = "from pathlib import Path\nROOT = Path(__file__).parent / 'data'\ndef f(): return ROOT\n"
    assert fingerprint(text) == fingerprint(text)


def test_functions_that_swap_their_helpers_differ(fingerprint: Fingerprint) -> None:
    one = fingerprint("import m, n\ndef f(): return m.g() - n.g()\n", m="def h(): return 1\ndef g(): return h()\n", n="def h(): return 2\ndef g(): return h()\n")  # fmt: skip
    two = fingerprint("import m, n\ndef f(): return m.g() - n.g()\n", m="def h(): return 2\ndef g(): return h()\n", n="def h(): return 1\ndef g(): return h()\n")  # fmt: skip
    assert one.digest != two.digest


def test_very_long_chains_of_calls_and_sums_are_fine(fingerprint: Fingerprint) -> None:
    chain = "".join(f"def g{n}(): return g{n + 1}()\n" for n in range(3000)) + "def g3000(): return 1\n"
    chain += "def f(): return g0()\n"
    assert len(fingerprint(chain).parts) == 3002
    long_sum = "def f(): return " + " + ".join(["1"] * 900) + "\n"
    assert fingerprint(long_sum).digest != fingerprint(long_sum.replace("1\n", "2\n")).digest


def test_digest_is_the_same_in_every_process_and_version(fingerprint: Fingerprint) -> None:
    """A change here makes every asset of every user stale: it needs a new scheme name and a migration."""
    text = """
    RATES = {"a": 1.5, "b": [None, True, b"x"]}
    def helper(x, *, y=(1, 2)):
        return [z for z in x if z] or f"{x!r:>{10}} and {y}"
    def f(x: int) -> object:
        match x:
            case [1, *rest]:
                return rest
            case _:
                return helper(x)["k"], RATES, lambda q: q
    """
    assert fingerprint(text).digest == "7ebbf3719b931eb46b75361d89b29895"


def test_the_versions_of_distributions_are_those_that_their_metadata_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "site-packages"
    for folder, head in (
        ("Own.Made-1.2_3.dist-info", "Metadata-Version: 2.1\nName: Own.Made\nVersion: 1.2-3\n\nVersion: of the text\n"),
        ("twice-1.0.dist-info", "Metadata-Version: 2.1\nName: twice\nVersion: 1.0\n"),
        ("old-0.9.egg-info", ""),
    ):
        (place / folder).mkdir(parents=True)
        (place / folder / "METADATA").write_text(head)
    (place / "old-0.9.egg-info" / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: old\nVersion: 0.9\n")
    for name in ("own_made", "twice", "old"):
        (place / f"{name}.py").touch()
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(place))
    for name in ("own_made", "twice", "old"):
        importlib.import_module(name)
    outside._metadata_folders.cache_clear()
    importlib.import_module("dateutil")

    assert outside.distributions(["module own_made.x", "function twice.y", "class old.Z"]) == {
        "own_made": "1.2-3", "twice": "1.0", "old": "0.9",
    }  # fmt: skip
    assert outside.distributions(["module pandas.DataFrame", "function dateutil.parser.parse", "builtin os.stat"]) == {
        "pandas": metadata.version("pandas"),
        "python-dateutil": metadata.version("python-dateutil"),
    }
    outside._metadata_folders.cache_clear()
