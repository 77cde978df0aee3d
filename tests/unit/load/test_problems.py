# ruff: noqa: E501 - messages are written out as the user reads them
"""What a user reads when the project does not load: every problem, its place and its fix."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent

import pytest

from assetflow.errors import Location, ProjectLoadError
from assetflow.load.live import Loaded

Problems = Callable[..., list[str]]
HEADER = "from assetflow import *\nfrom typing import Annotated\n"


def test_unknown_parameter_has_the_caret_and_the_nearest_name(load: Callable[..., Loaded]) -> None:
    with pytest.raises(ProjectLoadError) as raised:
        load(assets=HEADER + "@asset\ndef orders(): ...\n\n@asset\ndef report(\n    x=1, *, ordrs: int): ...\n")
    (problem,) = raised.value.problems
    assert problem.where == Location("assets.py", 8, 13, 5)
    assert str(problem) == dedent("""\
        asset `report` needs `ordrs`, which is not an asset, source or resource
          did you mean `orders`?
          at assets.py:8
          help: rename the parameter to `orders`, or map it: @asset(inputs={"ordrs": "orders"})""")


def test_place_is_that_of_the_wrapped_function(problems: Problems) -> None:
    found = problems(assets=HEADER + """
import functools
def timed(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper
@asset
@timed
def report(nothing): ...
""")  # fmt: skip
    assert found == [
        "asset `report` needs `nothing`, which is not an asset, source or resource\n  at assets.py:12\n"
        "  help: declare an asset or source `nothing`, or annotate it with a Config or Resource class"
    ]


def test_ambiguous_name_lists_the_choices(problems: Problems) -> None:
    found = problems(assets=HEADER + """
@asset(key="raw.orders")
def a(): ...
@asset(key="marts.orders")
def b(): ...
@asset
def report(orders): ...
""")  # fmt: skip
    assert found == [
        "asset `report` takes `orders`, which fits 2 assets: `raw.orders`, `marts.orders`\n  at assets.py:9\n"
        '  help: say which: orders: Annotated[..., In("raw.orders")]'
    ]


def test_cycle_names_every_step_and_its_place(problems: Problems) -> None:
    found = problems(assets=HEADER + """
@asset
def orders(customer_ltv): ...
@asset
def payments(orders): ...
@asset
def customer_ltv(payments): ...
@asset
def itself(itself): ...
""")  # fmt: skip
    assert found == [
        "these assets form a cycle: orders → payments → customer_ltv → orders\n"
        "  orders (assets.py:5) takes `customer_ltv`\n"
        "  customer_ltv (assets.py:9) takes `payments`\n"
        "  payments (assets.py:7) takes `orders`\n"
        "  at assets.py:5\n"
        "  help: take one of these inputs away, or split an asset so that data flows one way only",
        "asset `itself` takes itself\n  at assets.py:11\n"
        "  help: rename the parameter, or the asset, so that it reads something else",
    ]


def test_duplicate_keys_show_both_places_whatever_their_case(problems: Problems) -> None:
    found = problems(
        'modules = ["a", "b"]\n',
        a=HEADER + "@asset\ndef orders(): ...\n",
        b=HEADER + "@asset\ndef orders(): ...\nraw = source('Orders', path='x.csv')\n@asset\ndef uses(orders): ...\n",
    )
    assert [text.splitlines()[0] for text in found] == [
        "two declarations are both called `orders`: a.py:4 and b.py:4",
        "two declarations are called `orders` and `Orders`, which differ in case only: a.py:4 and b.py:5",
    ]


@pytest.mark.parametrize(
    ("declaration", "expected"),
    [
        ('@asset(key="a.b.c")\ndef x(): ...', "asset key `a.b.c` has more than two parts"),
        ('@asset(key="class")\ndef x(): ...', "asset key `class` contains the Python keyword `class`"),
        ('@asset(group="my group")\ndef x(): ...', "asset `x`: group `my group` is not a legal name"),
        ('@asset(tags=["a b"])\ndef x(): ...', "asset `x`: tag `a b` is not a legal name"),
        ("@asset\ndef x(*rows): ...", "asset `x` takes `*rows`, and every parameter needs a name: parameter names are the lineage"),
        ("@asset\ndef x(**rows): ...", "asset `x` takes `**rows`, and every parameter needs a name: parameter names are the lineage"),
        ("@asset\ndef y(): ...\n@asset\ndef x(y, /): ...", "asset `x` takes `y` by position only, and inputs are passed by name"),
        ('@asset(inputs={"b": "x"})\ndef x(a=1): ...', "asset `x` says inputs= for `b`, which is not one of its parameters"),
        ('@asset(inputs={"a": "nope"})\ndef x(a): ...', "asset `x` needs `nope`, which is not an asset, source or resource"),
        ('@asset\ndef x(a: Annotated[int, In("nope")]): ...', "asset `x` needs `nope`, which is not an asset, source or resource"),
        ('@asset(deps=["nope"])\ndef x(): ...', "asset `x`: deps= names `nope`, which is not declared"),
        ("@asset(deps=[len])\ndef x(): ...", "asset `x`: deps= names <built-in function len>, which is neither a key nor a declared asset or source"),
        ('@asset(io="parqet")\ndef x(): ...', 'asset `x`: io="parqet" is not known'),
        ('@asset(io="pickle")\ndef x(): ...', 'asset `x`: io="pickle" is off, because reading a pickle runs whatever code it contains'),
        ('@asset(freshness=Freshness(by="8 am"))\ndef x(): ...', "asset `x`: `8 am` is not a cron expression"),
        ('@asset(freshness=Freshness(by="0 8 * * *", tz="Mars"))\ndef x(): ...', "asset `x`: `Mars` is not a time zone"),
        ("@asset(checks=[len])\ndef x(): ...", 'asset `x`: checks= takes ready-made checks such as not_null("id"), not <built-in function len>'),
        ('@asset(checks=[foreign_key("a", "nope")])\ndef x(): ...', "asset `x`: foreign_key(a -> nope.a) names `nope`, which is not declared"),
        ('@asset(checks=[row_count(5, 3)])\ndef x(): ...', "asset `x`: row_count(5, 3) fits no table"),
        ('@check("nope")\ndef x(nope): ...', "check `x` names `nope`, which is not declared"),
        ('a = source("a", path="x.csv", delimitr=";")', "source option `delimitr` is not known for format csv"),
        ('a = source("a", path="x", format="exel")', "format `exel` is not known"),
        ('a = source("a", version=lambda: 1, header=False)', "source `a` has no file, so it takes no `header`"),
        ('a = source("a", path="x.csv")\n@check(a)\ndef x(a): ...', "check `x` is for the source `a`, and only what assets make is checked"),
        ('a = source("a", version=lambda: 1)\n@asset\ndef x(a): ...', "asset `x` takes the source `a`, which has a version but no load="),
        ("class A(Config): ...\nclass B(Config): ...\n@asset\ndef x(a: A, b: B): ...", "asset `x` takes `b: B`, but an asset takes one Config"),
        ('@asset\ndef y(): ...\n@check(y)\ndef x(z): ...', "check `x` of `y` needs `z`, which is not an asset, source or resource"),
        ('@asset\ndef y(): ...\n@check(y, name="c")\ndef x(): ...\n@check(y, name="c")\ndef w(): ...', "asset `y` has two checks called `c`"),
        ('@assets("a", "b")\ndef y(): ...\n@check(y)\ndef x(a): ...', "check `x` is for a function that makes several assets"),
    ],
)  # fmt: skip
def test_bad_declaration_is_said_in_one_sentence(problems: Problems, declaration: str, expected: str) -> None:
    (found,) = problems(assets=HEADER + declaration)
    assert found.splitlines()[0].startswith(expected)
    assert "  at assets.py:" in found


def test_config_problems_name_the_field_and_its_line(problems: Problems) -> None:
    found = problems(
        """
        [config.rates]
        days = "many"
        bas = 1
        [config.plain]
        x = 1
        [config.ratse]
        x = 1
        """,
        assets=HEADER + """
class Rates(Config):
    base: str
    days: int = 3
@asset
def rates(config: Rates): ...
@asset
def plain(): ...
""",
    )  # fmt: skip
    assert found == [
        "asset `rates`: config field `base` has no value\n"
        "  help: set it under [config] in the project file, with --set, or give `Rates.base` a default",
        "asset `rates`: config field `days`: input should be a valid integer, unable to parse string as an integer\n"
        "  at assetflow.toml:3",
        "asset `rates`: `Rates` has no field `bas`\n  did you mean `base`?\n  at assetflow.toml:4",
        "[config.plain]: asset `plain` takes no config\n  at assetflow.toml:6\n"
        "  help: give the function a parameter annotated with a Config class, or take the table out",
        "[config.ratse]: there is no asset `ratse`\n  did you mean `rates`?\n  at assetflow.toml:8",
    ]


def test_tables_of_groups_and_resources_that_nobody_has_are_refused(problems: Problems) -> None:
    found = problems(
        "[groups.glod]\nio = 'duckdb'\n[resources.HttpCleint]\nx = 1\n[resources.Client]\nulr = 1\n",
        assets=HEADER + """
class HttpClient(Resource): ...
class Client(Resource):
    url: str = ""
@asset(group="gold")
def one(a: Client): ...
""",
    )  # fmt: skip
    assert found == [
        "[groups.glod]: no asset is in the group `glod`\n  did you mean `gold`?\n  at assetflow.toml:2",
        "[resources.HttpCleint]: no asset takes such a resource\n  did you mean `HttpClient`?\n  at assetflow.toml:4",
        "[resources.Client]: `Client` has no field `ulr`\n  did you mean `url`?\n  at assetflow.toml:6",
    ]


def test_syntax_error_has_its_place(problems: Problems) -> None:
    (found,) = problems(assets="x = 1\ndef f(:\n")
    assert found == "`assets.py` is not Python: invalid syntax\n  at assets.py:2"


def test_module_that_raises_is_named_with_the_line_of_the_project(problems: Problems) -> None:
    (found,) = problems(assets="import helper\n", helper="import json\n\njson.loads('{')\n")
    assert found.startswith("module `assets` could not be imported: JSONDecodeError: Expecting property name")
    assert found.endswith("\n  at helper.py:3")


def test_missing_package_and_sys_exit_say_what_to_do(problems: Problems) -> None:
    found = problems(
        'modules = ["a", "b", "shpo"]\n', a="import nowhere_to_be_found\n", b="import sys\nsys.exit()\n", shop=""
    )
    assert found == [
        "module `shpo` was not found\n  looked in " + found[0].splitlines()[1].removeprefix("  looked in ")
        + "\n  help: did you mean `shop`?",
        "module `a` could not be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found'\n  at a.py:1\n"
        "  help: install the package that has `nowhere_to_be_found` into this environment, or correct the import",
        "module `b` ended the program while it was imported (sys.exit)\n  at b.py:2\n"
        '  help: put what should run as a script under `if __name__ == "__main__":`',
    ]  # fmt: skip


def test_module_that_failed_does_not_cause_a_flood(problems: Problems) -> None:
    found = problems(
        'modules = ["base", "marts"]\n[config.orders]\nx = 1\n',
        base=HEADER + "@asset\ndef orders(): ...\n1 / 0\n",
        marts=HEADER + "@asset\ndef a(orders): ...\n@asset\ndef b(orders): ...\n@asset(io='x')\ndef c(): ...\n",
    )
    assert [text.splitlines()[0] for text in found] == [
        "module `base` could not be imported: ZeroDivisionError: division by zero",
        'asset `c`: io="x" is not known',
    ]
    assert "2 more problems may follow from this and will be checked after it" in found[0]


def test_same_error_seen_through_two_modules_is_one(problems: Problems) -> None:
    found = problems('modules = ["a", "b"]\n', a="import c\n", b="import c\n", c="def f(:\n")
    assert len(found) == 1


@pytest.mark.parametrize(
    ("function", "kind", "fix"),
    [
        ("async def orders():\n    return 1\n", "`async def`", "call asyncio.run(...) inside it"),
        ("def orders():\n    yield 1\n", "a generator function (it has `yield`)", "return the value"),
        ("async def orders():\n    yield 1\n", "an async generator function", "return the value"),
    ],
)
def test_only_plain_functions_are_assets_and_checks(problems: Problems, function: str, kind: str, fix: str) -> None:
    for decorator, label in (("@asset", "asset `orders`"), ('@check("base")', "check `orders` of `base`")):
        (problem,) = problems(assets=f"{HEADER}@asset\ndef base():\n    return 1\n\n{decorator}\n{function}")
        plain = "assets, checks and hooks are plain functions that return their value"
        assert problem.startswith(f"{label} is {kind}; {plain}\n")
        assert fix in problem


def test_the_place_of_an_async_function_is_its_name(load: Callable[..., Loaded]) -> None:
    with pytest.raises(ProjectLoadError) as raised:
        load(assets=f"{HEADER}@asset\nasync def orders():\n    return 1\n")

    where = raised.value.problems[0].where
    assert where is not None
    assert (where.column, where.length) == (11, 6)


def test_a_plain_wrapper_around_an_async_function_is_an_asset(load: Callable[..., Loaded]) -> None:
    loaded = load(
        assets=f"""{HEADER}
import asyncio, functools

def awaited(function):
    @functools.wraps(function)
    def call(**values):
        return asyncio.run(function(**values))
    return call

@asset
@awaited
async def orders():
    return 1
"""
    )
    assert loaded.nodes["orders"].function() == 1


def test_empty_project_says_what_to_do(problems: Problems) -> None:
    assert problems(assets="x = 1\n") == [
        "no assets were found in `assets`\n  help: decorate a function with @asset, or set `modules` in the project file"
    ]
